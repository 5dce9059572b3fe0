#include "agent/config/config.h"

#include "common/base/mem.h"
#include "common/loop/socket_folder.h"
#include "common/share/share_message.h"

#include <string.h>
#include <sys/stat.h>

static const struct option_word authority_kinds[] = {
    {"self", AUTHORITY_SELF, true},
    {"disk", AUTHORITY_DISK, false},
    {"spire", AUTHORITY_SPIRE, false},
    {"vault", AUTHORITY_VAULT, false},
    {"cert-manager", AUTHORITY_CERT_MANAGER, false},
    {NULL, 0, false},
};
static const struct option_word attestor_words[] = {
    {"unix", 0, true}, {"systemd", 0, false}, {"docker", 0, false},
    {"k8s", 0, false}, {NULL, 0, false},
};

static const struct option_word record_failures[] = {
    {"stop", RECORD_STOP, true}, {"continue", RECORD_CONTINUE, true}, {NULL, 0, false}};

#define OPTION_STRUCT struct agent_config
static const struct option rows[] = {
#include "agent/config/options.def"
};
#undef OPTION_STRUCT

const struct option_table agent_options = {
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .size = sizeof(struct agent_config),
};

/* Length of the folder part of a path, without the last '/'. */
static size_t folder_len(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? (size_t)(slash - path) : 0;
}

static err_t check_sockets(const struct agent_config *c, struct buf *report)
{
    const char *api = c->workload_api_socket, *admin = c->admin_socket;
    char share[SHARE_PATH_MAX];
    struct why why = {.err = ERR_OK};
    err_t err = ERR_OK;
    if (api == NULL || admin == NULL)
        return ERR_OK;
    size_t len = folder_len(api);
    if (strcmp(api, admin) == 0)
        option_problem(c->origins, report, &err, "admin.socket",
                       "is the Workload API's socket too: expected one of its own, found \"%s\"",
                       admin);
    else if (len == folder_len(admin) && memcmp(api, admin, len) == 0)
        option_warning(c->origins, report, &err, "admin.socket",
                       "stands in the folder of the Workload API's socket, which is open to all; "
                       "a folder of its own is safer");
    if (share_path(api, share, &why) != ERR_OK)
        option_problem(c->origins, report, &err, "workload_api.socket", "%s", why_text(&why));
    return err;
}

/* What one row cannot see. Runs after errors too, so that all of them are told at once. */
static err_t check_all(const struct agent_config *c, struct buf *report)
{
    err_t err = check_sockets(c, report);
    if (c->attestors != NULL && c->attestors[0] == NULL)
        option_problem(c->origins, report, &err, "attestors",
                       "is empty: expected at least unix, else nobody is ever told apart");
    if (c->x509_ttl_s > 0 && c->issuer_ttl_s > 0 && c->x509_ttl_s > c->issuer_ttl_s / 2)
        option_warning(c->origins, report, &err, "svid.x509_ttl",
                       "is more than half of authority.issuer_ttl, so that some SVIDs will live "
                       "shorter than asked for");
    if (!option_given(c->origins, "entries"))
        option_warning(c->origins, report, &err, "entries",
                       "is not set: no workload will get an identity");
    return err;
}

err_t agent_config_load(const char *path, const char *const *sets, struct buf *report,
                        struct agent_config **ret, struct why *why)
{
    struct agent_config *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return why_set(why, ERR_NO_MEMORY, "reading the configuration");
    err_t err = option_load(&agent_options, path, sets, c, report, &c->origins, why);
    if (c->origins != NULL)
        option_set_err(&err, check_all(c, report));
    c->metrics_on = c->metrics_listen.host[0] != '\0';
    if (err == ERR_OK)
        *ret = c;
    else
        agent_config_free(c);
    return err;
}

static void check_data_dir(const struct agent_config *c, struct buf *report, err_t *err)
{
    char parent[4096];
    struct stat st;
    size_t len = folder_len(c->data_dir);
    if (stat(c->data_dir, &st) == 0) {
        if (!S_ISDIR(st.st_mode))
            option_problem(c->origins, report, err, "data_dir", "%s is no folder", c->data_dir);
        return;
    }
    if (len == 0 || len >= sizeof parent)
        return;
    memcpy(parent, c->data_dir, len);
    parent[len] = '\0';
    if (stat(parent, &st) != 0)
        option_problem(c->origins, report, err, "data_dir",
                       "%s cannot be made: %s does not exist, make it first", c->data_dir, parent);
}

static void check_socket_folder(const struct agent_config *c, const char *key, const char *path,
                                struct buf *report, err_t *err)
{
    struct why why = {0};
    if (path != NULL && socket_folder_check_modes(path, &why) != ERR_OK)
        option_problem(c->origins, report, err, key, "%s", why_text(&why));
}

err_t agent_config_check_files(const struct agent_config *c, struct buf *report)
{
    err_t err = ERR_OK;
    check_data_dir(c, report, &err);
    check_socket_folder(c, "workload_api.socket", c->workload_api_socket, report, &err);
    check_socket_folder(c, "admin.socket", c->admin_socket, report, &err);
    if (c->metrics_on && c->metrics_listen.kind == ADDRESS_UNIX)
        check_socket_folder(c, "metrics.listen", c->metrics_listen.host, report, &err);
    return err;
}

err_t agent_config_check_reload(const struct agent_config *now, const struct agent_config *next,
                                struct buf *report)
{
    return option_check_reload(&agent_options, now, next, next->origins, report);
}

void agent_config_free(struct agent_config *c)
{
    if (c == NULL)
        return;
    option_free(&agent_options, c);
    option_origins_free(c->origins);
    mem_free(c);
}

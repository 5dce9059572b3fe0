#include "sidecar/privileges.h"

#include "common/sandbox/sandbox_list.h"

#include <limits.h>
#include <stdlib.h>

static const int keep_capabilities[] = {-1};
static const int syscalls[] = {SYSCALL_END};

static void list_socket(struct sandbox_list *l, const struct address *a)
{
    if (a->kind == ADDRESS_UNIX)
        sandbox_list_add_parent(l, a->host, true);
}

/* What look-ups read stays readable when it is a link out of /etc, wherever it leads to (but not
 * the whole machine: a file right below / is listed itself). */
static void list_resolver_files(struct sandbox_list *l)
{
    static const char *const files[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"};
    char target[PATH_MAX];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (realpath(files[i], target) == NULL)
            continue;
        if (strrchr(target, '/') == target)
            sandbox_list_add(l, target, false);
        else
            sandbox_list_add_parent(l, files[i], false);
    }
}

static void list_paths(const struct sidecar_config *config, const char *config_path,
                       struct sandbox_list *l)
{
    sandbox_list_init(l);
    list_resolver_files(l);
    sandbox_list_add_parent(l, config_path, false);
    sandbox_list_add_parent(l, config->file_certificate, false);
    sandbox_list_add_parent(l, config->file_key, false);
    sandbox_list_add_parent(l, config->file_bundle, false);
    sandbox_list_add_parent(l, config->admin_socket, true);
    sandbox_list_add_parent(l, config->audit_file, true);
    if (config->metrics_on)
        list_socket(l, &config->metrics_listen);
    for (size_t i = 0; i < config->route_count; i++)
        list_socket(l, &config->routes[i].listen);
}

err_t sidecar_privileges_enter(const struct sidecar_config *config, const char *config_path,
                               struct buf *notes, struct why *why)
{
    struct sandbox_list paths;
    if (!config->sandbox)
        return buf_append_str(notes, "sandbox: off by configuration, all privileges are kept\n");
    list_paths(config, config_path, &paths);
    const struct sandbox_rules rules = {
        .syscalls = syscalls, .paths = paths.items, .keep_capabilities = keep_capabilities};
    err_t err = paths.err != ERR_OK ? why_set(why, paths.err, "sandbox: list of paths")
                                    : sandbox_enter(&rules, notes, why);
    sandbox_list_done(&paths);
    return err;
}

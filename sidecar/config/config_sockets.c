#include "sidecar/config/config_sockets.h"

#include "common/loop/socket_folder.h"

/* Where the checks write, and the worst they met. */
struct checks {
    const struct sidecar_config *config;
    struct buf *report;
    err_t err;
};

static void problem(struct checks *c, const char *key, const struct why *why, err_t err)
{
    if (err == ERR_NO_MEMORY)
        c->err = err;
    else
        option_problem(c->config->origins, c->report, &c->err, key, "%s", why_text(why));
}

/* A key that could not do what it says would leave a door open that its writer takes for closed. */
static void refuse_elsewhere(struct checks *c, size_t route)
{
    const struct route_config *r = &c->config->routes[route];
    const struct {
        const char *key;
        bool given;
    } keys[] = {{"mode", r->socket_mode != NULL},
                {"owner", r->socket_owner != NULL},
                {"uids", r->socket_uids != NULL}};
    char key[ROUTE_KEY_LEN], text[ADDRESS_TEXT_LEN];
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i].given)
            option_problem(c->config->origins, c->report, &c->err,
                           sidecar_route_key(c->config, route, keys[i].key, key),
                           "is for a Unix socket alone, and listen is %s",
                           address_text(&r->listen, text));
    }
}

static void parse_one(struct checks *c, size_t route)
{
    struct route_config *r = &c->config->routes[route];
    struct why why = {0};
    char key[ROUTE_KEY_LEN];
    r->mode = ROUTE_SOCKET_MODE;
    err_t err = r->socket_mode != NULL ? route_socket_mode(r->socket_mode, &r->mode, &why) : ERR_OK;
    if (err != ERR_OK)
        problem(c, sidecar_route_key(c->config, route, "mode", key), &why, err);
    err = r->socket_owner != NULL ? route_socket_owner_form(r->socket_owner, &why) : ERR_OK;
    if (err != ERR_OK)
        problem(c, sidecar_route_key(c->config, route, "owner", key), &why, err);
    err = route_socket_uids(r->socket_uids, &r->uids, &why);
    if (err != ERR_OK)
        problem(c, sidecar_route_key(c->config, route, "uids", key), &why, err);
    else if (r->uids.given && r->uids.count == 0)
        option_warning(c->config->origins, c->report, &c->err,
                       sidecar_route_key(c->config, route, "uids", key),
                       "is empty and admits nobody");
}

err_t config_sockets_parse(struct sidecar_config *config, struct buf *report)
{
    struct checks c = {.config = config, .report = report};
    for (size_t i = 0; i < config->route_count; i++) {
        if (config->routes[i].listen.kind == ADDRESS_UNIX)
            parse_one(&c, i);
        else
            refuse_elsewhere(&c, i);
    }
    return c.err;
}

static void look_at_folder(struct checks *c, const char *key, const char *path)
{
    struct why why = {0};
    err_t err = path != NULL ? socket_folder_check_modes(path, &why) : ERR_OK;
    if (err != ERR_OK)
        problem(c, key, &why, err);
}

static void look_at_route(struct checks *c, size_t route)
{
    const struct route_config *r = &c->config->routes[route];
    struct why why = {0};
    char key[ROUTE_KEY_LEN];
    uid_t user;
    gid_t group;
    if (r->listen.kind != ADDRESS_UNIX)
        return;
    look_at_folder(c, sidecar_route_key(c->config, route, "listen", key), r->listen.host);
    err_t err =
        r->socket_owner != NULL ? route_socket_owner(r->socket_owner, &user, &group, &why) : ERR_OK;
    if (err != ERR_OK)
        problem(c, sidecar_route_key(c->config, route, "owner", key), &why, err);
}

err_t config_sockets_look(const struct sidecar_config *config, struct buf *report)
{
    struct checks c = {.config = config, .report = report};
    for (size_t i = 0; i < config->route_count; i++)
        look_at_route(&c, i);
    look_at_folder(&c, "admin.socket", config->admin_socket);
    if (config->metrics_on && config->metrics_listen.kind == ADDRESS_UNIX)
        look_at_folder(&c, "metrics.listen", config->metrics_listen.host);
    return c.err;
}

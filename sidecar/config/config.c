#include "sidecar/config/config.h"

#include "common/base/mem.h"
#include "common/loop/descriptors.h"
#include "common/share/share_message.h"
#include "sidecar/config/places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option_word protocols[] = {
    {"tcp", PROTOCOL_TCP, true}, {"http", PROTOCOL_HTTP, false}, {NULL, 0, false}};
static const struct option_word client_auths[] = {
    {"require", CLIENT_AUTH_REQUIRE, true},
    {"optional", CLIENT_AUTH_OPTIONAL, false},
    {"none", CLIENT_AUTH_NONE, false},
    {NULL, 0, false},
};
static const struct option_word tunnels[] = {
    {"direct", TUNNEL_DIRECT, true}, {"pooled", TUNNEL_POOLED, false}, {NULL, 0, false}};
static const struct option_word peer_expiries[] = {
    {"keep", PEER_EXPIRY_KEEP, true},
    {"drain", PEER_EXPIRY_DRAIN, true},
    {"close", PEER_EXPIRY_CLOSE, true},
    {NULL, 0, false},
};
static const struct option_word unclean_closes[] = {
    {"reset", UNCLEAN_CLOSE_RESET, true}, {"eof", UNCLEAN_CLOSE_EOF, true}, {NULL, 0, false}};
static const struct option_word revocation_policies[] = {
    {"off", REVOCATION_OFF, true},
    {"soft", REVOCATION_SOFT, true},
    {"hard", REVOCATION_HARD, true},
    {NULL, 0, false},
};

#define TABLE(rows_, struct_)                                                                      \
    {                                                                                              \
        .rows = (rows_), .count = sizeof(rows_) / sizeof((rows_)[0]), .size = sizeof(struct_)      \
    }

#define OPTION_STRUCT struct route_config
static const struct option inbound_rows[] = {
#include "sidecar/config/inbound.def"
};
static const struct option outbound_rows[] = {
#include "sidecar/config/outbound.def"
};
#undef OPTION_STRUCT
static const struct option_table inbound_table = TABLE(inbound_rows, struct route_config);
static const struct option_table outbound_table = TABLE(outbound_rows, struct route_config);

#define OPTION_STRUCT struct sidecar_config
static const struct option rows[] = {
#include "sidecar/config/options.def"
};
#undef OPTION_STRUCT
const struct option_table sidecar_options = TABLE(rows, struct sidecar_config);

/* The checks across keys: where they write, and the worst they met. */
struct checks {
    const struct sidecar_config *config;
    const struct option_origins *origins;
    struct buf *report;
    err_t err;
};

#define PROBLEM(c, ...) option_problem((c)->origins, (c)->report, &(c)->err, __VA_ARGS__)
#define WARNING(c, ...) option_warning((c)->origins, (c)->report, &(c)->err, __VA_ARGS__)

static void check_identity(struct checks *c)
{
    bool api = option_given(c->origins, "identity.workload_api") || c->config->workload_api != NULL;
    bool files = option_given(c->origins, "identity.files");
    if (!api && !files)
        PROBLEM(c, "identity",
                "is missing: expected workload_api: unix:///run/spindle/public/api.sock, or "
                "files: {certificate: tls.crt, key: tls.key, bundle: ca.crt}");
    if (api && files)
        PROBLEM(c, "identity.files", "expected either workload_api or files, found both");
    if (option_given(c->origins, "identity.hint") && option_given(c->origins, "identity.spiffe_id"))
        PROBLEM(c, "identity.spiffe_id", "expected either hint or spiffe_id, found both");
    if (files && option_given(c->origins, "identity.hint"))
        WARNING(c, "identity.hint", "has no effect: files hold one identity");
    if (files && c->config->revocation == REVOCATION_HARD)
        WARNING(c, "revocation.policy",
                "hard admits nobody here: the revocation cache comes from an agent, and with "
                "identity.files there is none");
}

struct place_wishes sidecar_config_places(const struct sidecar_config *c)
{
    return (struct place_wishes){.routes = c->route_count,
                                 .workers = (size_t)c->workers,
                                 .total = (size_t)c->max_total,
                                 .per_listener = (size_t)c->max_connections,
                                 .per_source = (size_t)c->max_unauthenticated_per_source};
}

static void check_limit(struct checks *c, const char *key, int64_t wanted, size_t limit)
{
    struct place_wishes wishes = sidecar_config_places(c->config);
    size_t most = places_within(wishes, limit);
    if (wanted > 0 && (size_t)wanted > most)
        WARNING(
            c, key,
            "%lld connections need %zu descriptors, and the limit (RLIMIT_NOFILE) allows %zu: at "
            "most %zu are held; raise it (ulimit -n, LimitNOFILE=)",
            (long long)wanted, places_need(wishes, (size_t)wanted), limit, most);
}

static void check_limits(struct checks *c)
{
    const struct sidecar_config *config = c->config;
    struct place_wishes wishes = sidecar_config_places(config);
    size_t limit = descriptors_limit();
    bool enough = places_within(wishes, limit) > 0;
    if (!enough)
        PROBLEM(
            c, "limits",
            "the descriptor limit (RLIMIT_NOFILE) allows %zu: this configuration needs at least "
            "%zu; raise it (ulimit -n, LimitNOFILE=)",
            limit, places_need(wishes, 0));
    else
        check_limit(c, "limits.total", config->max_total, limit);
    if (enough)
        check_limit(c, "limits.connections", config->max_connections, limit);
    if (config->max_total > 0 && config->max_connections > config->max_total)
        WARNING(c, "limits.connections", "is more than limits.total, which is for all listeners");
}

static void check_name(struct checks *c)
{
    struct why why = {0};
    if (c->config->name != NULL && share_check_name(slice_str(c->config->name), &why) != ERR_OK)
        PROBLEM(c, "name", "%s", why_text(&why));
}

static bool same_address(const struct address *a, const struct address *b)
{
    return a->host[0] != '\0' && a->kind == b->kind && a->port == b->port &&
           strcmp(a->host, b->host) == 0 && (a->kind == ADDRESS_UNIX || a->port != 0);
}

const char *route_direction_name(enum route_direction direction)
{
    return direction == ROUTE_INBOUND ? "inbound" : "outbound";
}

const char *sidecar_route_key(const struct sidecar_config *c, size_t route, const char *key,
                              char out[static ROUTE_KEY_LEN])
{
    bool in = route < c->inbound.count;
    snprintf(out, ROUTE_KEY_LEN, "%s[%zu].%s", in ? "inbound" : "outbound",
             in ? route : route - c->inbound.count, key);
    return out;
}

static void check_listen(struct checks *c, const char *key, const struct address *listen,
                         size_t before)
{
    char other[ROUTE_KEY_LEN], text[ADDRESS_TEXT_LEN];
    for (size_t i = 0; i < before; i++) {
        if (same_address(&c->config->routes[i].listen, listen)) {
            PROBLEM(c, key, "%s is taken by %s", address_text(listen, text),
                    sidecar_route_key(c->config, i, "listen", other));
            return;
        }
    }
}

static bool is_local(const struct address *a)
{
    return address_is_any(a) || address_is_loopback(a);
}

/* Does who connects to `to` arrive at `listen`, as far as the file alone tells? */
static bool arrives_at(const struct address *to, const struct address *listen)
{
    if (same_address(to, listen))
        return true;
    bool same_port = to->port == listen->port && to->port != 0 && to->kind != ADDRESS_UNIX;
    return same_port && listen->kind == ADDRESS_IP && is_local(to) &&
           (address_is_any(listen) || (to->kind == ADDRESS_NAME && is_local(listen)));
}

/* The route at whose listen address this one's connections arrive, or route_count. */
static size_t next_route(const struct sidecar_config *config, size_t from)
{
    size_t i = 0;
    while (i < config->route_count &&
           !arrives_at(&config->routes[from].forward, &config->routes[i].listen))
        i++;
    return i;
}

/* A connection that comes back to where it was accepted makes the next one, until nothing is left.
 */
static void check_loop(struct checks *c, size_t route)
{
    const struct sidecar_config *config = c->config;
    char key[ROUTE_KEY_LEN], by[ROUTE_KEY_LEN];
    size_t at = next_route(config, route), first = at;
    for (size_t hops = 0; at != route && at < config->route_count && hops < config->route_count;
         hops++)
        at = next_route(config, at);
    if (at != route)
        return;
    sidecar_route_key(config, route, "forward", key);
    if (first == route)
        PROBLEM(c, key, "is its own listen address");
    else
        PROBLEM(c, key, "leads back to its own listen address, by way of %s",
                sidecar_route_key(config, first, "listen", by));
}

static void check_routes(struct checks *c)
{
    const struct sidecar_config *config = c->config;
    char key[ROUTE_KEY_LEN];
    if (!option_given(c->origins, "inbound") && !option_given(c->origins, "outbound"))
        PROBLEM(c, "inbound", "is missing, outbound too: expected at least one route");
    else if (config->route_count == 0 && c->err == ERR_OK)
        PROBLEM(c, "inbound", "is empty, outbound too: expected at least one route");
    for (size_t i = 0; i < config->route_count; i++) {
        const struct route_config *r = &config->routes[i];
        bool in = r->direction == ROUTE_INBOUND;
        check_listen(c, sidecar_route_key(config, i, "listen", key), &r->listen, i);
        check_loop(c, i);
        if (!in && r->listen.host[0] != '\0' && !address_is_loopback(&r->listen))
            WARNING(c, sidecar_route_key(config, i, "listen", key),
                    "takes plain connections from other machines, and speaks for them with this "
                    "identity: expected a loopback address or a Unix socket");
        if (r->peers != NULL && r->peers[0] == NULL)
            WARNING(c, sidecar_route_key(config, i, in ? "allow" : "expect", key),
                    "is empty and admits nobody");
    }
    check_listen(c, "metrics.listen", &config->metrics_listen, config->route_count);
    struct address admin = {.kind = ADDRESS_UNIX};
    if (config->admin_socket != NULL)
        snprintf(admin.host, sizeof admin.host, "%s", config->admin_socket);
    check_listen(c, "admin.socket", &admin, config->route_count);
}

static void problem(struct checks *c, const char *key, const struct why *why, err_t err)
{
    if (err == ERR_NO_MEMORY)
        c->err = err;
    else
        PROBLEM(c, key, "%s", why_text(why));
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
            PROBLEM(c, sidecar_route_key(c->config, route, keys[i].key, key),
                    "is for a Unix socket alone, and listen is %s", address_text(&r->listen, text));
    }
}

static void check_socket(struct checks *c, size_t route)
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
        WARNING(c, sidecar_route_key(c->config, route, "uids", key), "is empty and admits nobody");
}

/* Fills mode and uids of each route. */
static void check_sockets(struct checks *c)
{
    for (size_t i = 0; i < c->config->route_count; i++) {
        if (c->config->routes[i].listen.kind == ADDRESS_UNIX)
            check_socket(c, i);
        else
            refuse_elsewhere(c, i);
    }
}

/* SPIFFE_ENDPOINT_SOCKET stands in for an identity that the configuration does not name (EP-4). */
static err_t take_environment(struct sidecar_config *c, struct checks *checks)
{
    const char *text = getenv("SPIFFE_ENDPOINT_SOCKET");
    struct address address;
    struct why why = {0};
    if (text == NULL || text[0] == '\0' || c->workload_api != NULL ||
        option_given(c->origins, "identity.workload_api") ||
        option_given(c->origins, "identity.files"))
        return ERR_OK;
    if (address_parse_endpoint(slice_str(text), &address, &why) != ERR_OK) {
        PROBLEM(checks, "identity", "SPIFFE_ENDPOINT_SOCKET=%.120s: %s", text, why_text(&why));
        return ERR_CONFIG;
    }
    c->workload_api = mem_strdup(text);
    return c->workload_api != NULL ? ERR_OK : ERR_NO_MEMORY;
}

static err_t parse_rules(struct route_config *r, struct why *why)
{
    size_t count = 0;
    while (r->peers != NULL && r->peers[count] != NULL)
        count++;
    r->rules = mem_array(count, sizeof *r->rules);
    if (r->rules == NULL)
        return why_set(why, ERR_NO_MEMORY, "reading the configuration");
    for (; r->rule_count < count; r->rule_count++) {
        err_t err =
            spiffeid_rule_parse(slice_str(r->peers[r->rule_count]), &r->rules[r->rule_count], why);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static void set_direction(struct option_items *items, enum route_direction direction)
{
    struct route_config *routes = items->items;
    for (size_t i = 0; i < items->count; i++)
        routes[i].direction = direction;
}

/* The routes of both sections as one array, which borrows what they own. */
static err_t join_routes(struct sidecar_config *c, struct why *why)
{
    size_t in = c->inbound.count, out = c->outbound.count;
    c->routes = mem_array(in + out, sizeof *c->routes);
    if (c->routes == NULL)
        return why_set(why, ERR_NO_MEMORY, "reading the configuration");
    set_direction(&c->inbound, ROUTE_INBOUND);
    set_direction(&c->outbound, ROUTE_OUTBOUND);
    if (in > 0)
        memcpy(c->routes, c->inbound.items, in * sizeof *c->routes);
    if (out > 0)
        memcpy(c->routes + in, c->outbound.items, out * sizeof *c->routes);
    c->route_count = in + out;
    for (size_t i = 0; i < c->route_count; i++) {
        err_t err = parse_rules(&c->routes[i], why);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

err_t sidecar_config_load(const char *path, const char *const *sets, struct buf *report,
                          struct sidecar_config **ret, struct why *why)
{
    struct sidecar_config *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return why_set(why, ERR_NO_MEMORY, "reading the configuration");
    c->refs = 1;
    err_t err = option_load(&sidecar_options, path, sets, c, report, &c->origins, why);
    if (c->origins != NULL) {
        struct checks checks = {.config = c, .origins = c->origins, .report = report, .err = err};
        option_set_err(&err, join_routes(c, why));
        err_t environment = take_environment(c, &checks);
        if (environment == ERR_OK)
            check_identity(&checks);
        check_name(&checks);
        option_set_err(&err, environment);
        if (err == ERR_OK || err == ERR_CONFIG)
            check_routes(&checks);
        bool sound = checks.err == ERR_OK;
        if (err == ERR_OK || err == ERR_CONFIG)
            check_sockets(&checks);
        if (sound)
            check_limits(&checks);
        option_set_err(&err, checks.err);
    }
    c->metrics_on = c->metrics_listen.host[0] != '\0';
    if (err == ERR_OK)
        *ret = c;
    else
        sidecar_config_unref(c);
    return err;
}

err_t sidecar_config_check_reload(const struct sidecar_config *now,
                                  const struct sidecar_config *next, struct buf *report)
{
    return option_check_reload(&sidecar_options, now, next, next->origins, report);
}

struct sidecar_config *sidecar_config_ref(struct sidecar_config *c)
{
    __atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

void sidecar_config_unref(struct sidecar_config *c)
{
    if (c == NULL || __atomic_fetch_sub(&c->refs, 1, __ATOMIC_ACQ_REL) > 1)
        return;
    for (size_t i = 0; i < c->route_count; i++) {
        mem_free(c->routes[i].rules);
        route_uids_done(&c->routes[i].uids);
    }
    mem_free(c->routes);
    option_free(&sidecar_options, c);
    option_origins_free(c->origins);
    mem_free(c);
}

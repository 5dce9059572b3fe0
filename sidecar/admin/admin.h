/* The sidecar's admin routes, for operators by its Unix socket (0600, same user or root):
 * GET /v1/conns and /v1/explain (would this peer be accepted, by which rule, is it revoked, and how
 * was it refused lately; without a peer the last refusals of all), POST /v1/drain, POST /v1/quit.
 * Loop thread only. */
#ifndef SPINDLE_SIDECAR_ADMIN_ADMIN_H
#define SPINDLE_SIDECAR_ADMIN_ADMIN_H

#include "common/http/http_server.h"
#include "common/spiffe/identity.h"
#include "sidecar/conn/conn_view.h"
#include "sidecar/telemetry/refusals.h"

/* What the program goes by now; borrowed until the loop goes on. */
struct admin_facts {
    const struct sidecar_config *config;
    const struct identity *identity;    /* NULL: none */
    const struct revocation_view *view; /* NULL: none */
    struct refusals *refusals;
};
/* What the routes ask of the program. */
struct admin_source {
    struct admin_facts (*facts)(const void *arg);
    void (*each_conn)(void *arg, size_t max, void (*fn)(void *fn_arg, const struct conn_view *view),
                      void *fn_arg);
    void (*drain)(void *arg, const struct audit_order *order);
    void (*quit)(void *arg, const struct audit_order *order);
    void *arg;
};

/* places: connections at once. `from` is borrowed until the server has closed. ERR_CONFIG naming
 * key, socket and cause. */
err_t sidecar_admin_open(uv_loop_t *loop, const char *socket_path, size_t places,
                         struct admin_source *from, struct metrics *m, struct http_server **ret,
                         struct why *why) MUST_CHECK;

#endif

/* Judges the peer of a connection: at the handshake, and again while it lives. */
#include "sidecar/conn/conn_internal.h"

#include "common/base/clock.h"
#include "common/base/rand.h"
#include "sidecar/peer/policy.h"
#include "sidecar/peer/revocation_check.h"
#include "sidecar/telemetry/metrics.h"

#include <stddef.h>

#define DRAIN_LOOK_MS 1000 /* so long without a byte is idle */

/* As the configuration says now: its list may be shorter than when the connection was accepted. */
const struct route_config *conn_route_now(const struct conn *c)
{
    return &c->worker->config->routes[c->route_index];
}

static struct tls_context *context_of(const struct conn *c)
{
    return c->route->direction == ROUTE_INBOUND ? c->worker->server_tls : c->worker->client_tls;
}

/* The peer, and ourselves: a peer of another node cannot know that we are revoked. */
static err_t ask_revocation(const struct conn *c, int64_t now, bool *ret_unknown, struct why *why)
{
    const struct worker *w = c->worker;
    err_t err = revocation_check_self(w->view, w->config->revocation, &w->self, now, why);
    if (err != ERR_OK)
        return err;
    return revocation_check(w->view, w->config->revocation, c->peer.path, now, ret_unknown, why);
}

static err_t check_revocation(struct conn *c, int64_t now, struct why *why)
{
    bool unknown = false;
    const struct worker *w = c->worker;
    err_t err = ask_revocation(c, now, &unknown, why);
    if (unknown)
        metric_add(w->metrics, M_REVOCATION_UNKNOWN, c->route->direction, 0, 0, 1);
    return err;
}

/* First who it is, then whether that was revoked, then whether it is welcome. */
err_t conn_verify_peer(void *arg, const struct slice *chain, size_t count, struct why *why)
{
    struct conn *c = arg;
    struct tls_context *tls = context_of(c);
    if (tls == NULL)
        return why_set(why, ERR_NO_IDENTITY_YET, "the identity ran out during the handshake");
    const struct identity *me = tls_context_identity(tls);
    struct svid_verify_options options = {
        .bundles = identity_bundles(me),
        .peer_role = c->route->direction == ROUTE_INBOUND ? SVID_ROLE_CLIENT : SVID_ROLE_SERVER,
        .now = clock_wall_s(),
        .max_lifetime_s = c->worker->life_limit_s,
        .lifetime_domain = identity_id(me)->trust_domain,
    };
    struct svid_peer seen = {.leaf_parsed = false};
    err_t err = verify_cache_check(&c->worker->verified, chain, count, &options, &seen, why);
    conn_peer_note(&c->peer, &seen);
    if (err == ERR_OK && !conn_peer_keep(&c->peer, &seen))
        err = why_set(why, ERR_NO_MEMORY, "no room to remember the peer");
    if (err == ERR_OK)
        err = check_revocation(c, options.now, why);
    if (err == ERR_OK)
        err = policy_check(conn_route_now(c), &seen.id, why);
    return err;
}

/* --- while it lives --------------------------------------------------------------------------- */

static err_t check_trust(const struct conn *c, const struct spiffeid *id, struct why *why)
{
    const struct tls_context *tls = context_of(c);
    if (tls == NULL)
        return ERR_OK; /* no identity now: nothing to judge by */
    const struct bundle *bundle =
        bundle_set_find(identity_bundles(tls_context_identity(tls)), id->trust_domain);
    if (bundle != NULL && bundle_has_key(bundle, peer_path_anchor(c->peer.path)))
        return ERR_OK;
    return why_set(why, ERR_TRUST_REMOVED, "%s trust domain \"%.*s\"",
                   bundle == NULL ? "there is no bundle any more for"
                                  : "its root is no longer in the bundle of",
                   SLICE_ARG(id->trust_domain));
}

static err_t recheck(struct conn *c, unsigned what, int64_t now, struct why *why)
{
    struct spiffeid id;
    bool unknown = false;
    err_t err = ERR_OK;
    if ((what & RECHECK_REVOCATION) != 0)
        err = ask_revocation(c, now, &unknown, why);
    if (err == ERR_REVOCATION_UNKNOWN)
        err = ERR_OK; /* was known at the handshake: an agent that is away cuts nobody */
    if (err == ERR_OK && (what & RECHECK_EXPIRY) != 0)
        err = conn_watch_expiry(c, why);
    if (err != ERR_OK || (what & (RECHECK_ROUTE | RECHECK_TRUST)) == 0)
        return err;
    err = spiffeid_parse(slice_str(atomic_load(&c->peer.id)), &id, why);
    if (err == ERR_OK && (what & RECHECK_ROUTE) != 0)
        err = policy_check(conn_route_now(c), &id, why);
    if (err == ERR_OK && (what & RECHECK_TRUST) != 0)
        err = check_trust(c, &id, why);
    return err;
}

bool conn_recheck(struct conn *c, unsigned what, int64_t now)
{
    if (c->peer.path == NULL || conn_state_of(c) == CONN_LINGER)
        return false; /* not judged yet, or refused */
    if (recheck(c, what, now, NULL) != ERR_OK)
        c->doomed |= (uint8_t)what;
    return c->doomed != 0;
}

bool conn_cut_doomed(struct conn *c, int64_t now, bool loud)
{
    struct why why = {0};
    if (c->doomed == 0)
        return false;
    why.err = recheck(c, c->doomed, now, &why);
    c->doomed = 0;
    if (why.err == ERR_OK)
        return false; /* admitted again meanwhile */
    conn_report_cut(c, &why, loud ? LOG_WARN : LOG_DEBUG);
    conn_cut(c, &why, CONN_CUT_RESET);
    return true;
}

/* --- when its certificate runs out ------------------------------------------------------------ */

/* From the second on in which svid_verify would refuse it. */
static int64_t ends_ms(const struct conn *c)
{
    return (c->peer.not_after + 1) * 1000;
}

/* A tenth of its life, at least a second: drawn, so that peers of one age do not all come back at
 * once. */
static int64_t drain_limit_ms(const struct conn *c)
{
    int64_t tenth = (c->peer.not_after - c->peer.not_before) * 100;
    int64_t most = tenth > DRAIN_LOOK_MS ? tenth : DRAIN_LOOK_MS;
    return ends_ms(c) + DRAIN_LOOK_MS + (int64_t)rand_below((uint64_t)(most - DRAIN_LOOK_MS) + 1);
}

err_t conn_watch_expiry(struct conn *c, struct why *why)
{
    enum route_peer_expiry mode = conn_route_now(c)->peer_expiry;
    if (mode == PEER_EXPIRY_DRAIN && c->drain_limit_ms != 0)
        return ERR_OK; /* it drains already: a reload draws no new limit */
    c->drain_limit_ms = 0;
    if (mode == PEER_EXPIRY_KEEP) {
        expiry_remove(&c->worker->expiry, &c->expiry);
        return ERR_OK;
    }
    if (expiry_set(&c->worker->expiry, &c->expiry, ends_ms(c)) != ERR_OK)
        return why_set(why, ERR_NO_MEMORY, "no room to note when the certificate runs out");
    return ERR_OK;
}

static void expire(struct conn *c, bool idle)
{
    char end[CLOCK_TEXT_LEN];
    struct why why = {0};
    why_set(&why, ERR_CERT_EXPIRED,
            "the peer's certificate was valid until %s, and peer_expiry is %s",
            clock_format_s(c->peer.not_after, end),
            conn_route_now(c)->peer_expiry == PEER_EXPIRY_DRAIN ? "drain" : "close");
    conn_report_cut(c, &why, LOG_INFO);
    conn_cut(c, &why, idle ? CONN_CUT_ORDERLY : CONN_CUT_RESET);
}

/* True: not a byte since the last look, and none waiting. */
static bool fell_idle(struct conn *c)
{
    uint64_t moved = conn_bytes_moved(c);
    bool idle = c->drain_limit_ms != 0 && moved == c->drain_mark && !stream_is_full(&c->down) &&
                !stream_is_full(&c->up);
    c->drain_mark = moved;
    return idle;
}

void conn_on_expiry(struct expiry_item *item)
{
    struct conn *c = (struct conn *)((char *)item - offsetof(struct conn, expiry));
    int64_t now = clock_wall_ms();
    enum route_peer_expiry mode = conn_route_now(c)->peer_expiry;
    if (mode == PEER_EXPIRY_KEEP)
        return; /* a reload says so, and its walk has not come here yet */
    if (mode == PEER_EXPIRY_CLOSE) {
        expire(c, false);
        return;
    }
    bool idle = fell_idle(c);
    if (c->drain_limit_ms == 0)
        c->drain_limit_ms = drain_limit_ms(c);
    if (idle || now >= c->drain_limit_ms) {
        expire(c, idle);
        return;
    }
    int64_t next = now + DRAIN_LOOK_MS;
    next = next < c->drain_limit_ms ? next : c->drain_limit_ms;
    if (expiry_set(&c->worker->expiry, item, next) != ERR_OK)
        expire(c, false);
}

#include "sidecar/conn/conn_verify.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "sidecar/conn/conn_facts.h"
#include "sidecar/peer/policy.h"
#include "sidecar/telemetry/metrics.h"

#define DRAIN_LOOK_MS 1000 /* so long without a byte is idle */

/* --- what is kept of it ----------------------------------------------------------------------- */

static char *copy_slice(struct slice s)
{
    char *text = mem_alloc(s.len + 1);
    if (text != NULL && s.len > 0)
        memcpy(text, s.data, s.len);
    return text;
}

/* Lack of memory here costs words in a log line, nothing else. */
static void note_peer(struct conn_peer *p, const struct svid_peer *seen)
{
    if (!seen->leaf_parsed)
        return;
    p->not_before = seen->leaf.not_before;
    p->not_after = seen->leaf.not_after;
    p->shown = mem_alloc(sizeof *p->shown);
    if (p->shown != NULL) {
        x509_serial_text(seen->leaf.serial, p->shown->serial, sizeof p->shown->serial);
        x509_name_text(seen->leaf.issuer, p->shown->issuer, sizeof p->shown->issuer);
    }
    struct slice id = seen->id_parsed ? seen->id.text : slice_of(NULL, 0);
    if (id.len == 0 && seen->leaf.uri_count > 0)
        id = seen->leaf.uri[0];
    if (id.len > 0 && id.len <= SPIFFEID_MAX && p->id == NULL)
        atomic_store(&p->id, copy_slice(id));
}

/* For as long as the connection lives; false: no memory. */
static bool keep_peer(struct conn_peer *p, const struct svid_peer *seen)
{
    p->path = peer_path_new(seen);
    return p->path != NULL && atomic_load(&p->id) != NULL;
}

void conn_peer_forget_shown(struct conn *c)
{
    mem_free(c->peer.shown);
    c->peer.shown = NULL;
}

void conn_peer_done(struct conn *c)
{
    mem_free(atomic_load(&c->peer.id));
    conn_peer_forget_shown(c);
    peer_path_free(c->peer.path);
}

/* --- at the handshake ------------------------------------------------------------------------- */

static struct tls_context *context_of(const struct conn *c)
{
    return c->route->direction == ROUTE_INBOUND ? c->home->server_tls : c->home->client_tls;
}

/* The peer, and ourselves: a peer of another node cannot know that we are revoked. */
static err_t ask_revocation(const struct conn *c, int64_t now, bool *ret_unknown, struct why *why)
{
    const struct conn_home *h = c->home;
    err_t err = revocation_check_self(h->view, h->config->revocation, &h->self, now, why);
    if (err != ERR_OK)
        return err;
    return revocation_check(h->view, h->config->revocation, c->peer.path, now, ret_unknown, why);
}

static err_t check_revocation(struct conn *c, int64_t now, struct why *why)
{
    bool unknown = false;
    const struct conn_home *h = c->home;
    err_t err = ask_revocation(c, now, &unknown, why);
    if (unknown)
        metric_add(h->metrics, M_REVOCATION_UNKNOWN, c->route->direction, 0, 0, 1);
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
        .max_lifetime_s = c->home->life_limit_s,
        .lifetime_domain = identity_id(me)->trust_domain,
    };
    struct svid_peer seen = {.leaf_parsed = false};
    err_t err = verify_cache_check(&c->home->verified, chain, count, &options, &seen, why);
    note_peer(&c->peer, &seen);
    if (err == ERR_OK && !keep_peer(&c->peer, &seen))
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

err_t conn_verify_again(struct conn *c, unsigned what, int64_t now, struct why *why)
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
        expiry_remove(&c->home->expiry, &c->expiry);
        return ERR_OK;
    }
    if (expiry_set(&c->home->expiry, &c->expiry, ends_ms(c)) != ERR_OK)
        return why_set(why, ERR_NO_MEMORY, "no room to note when the certificate runs out");
    return ERR_OK;
}

/* True: not a byte since the last look, and none waiting. */
static bool fell_idle(struct conn *c)
{
    uint64_t moved = protocol_bytes(&c->protocol);
    bool idle = c->drain_limit_ms != 0 && moved == c->drain_mark && !stream_is_full(&c->down) &&
                !stream_is_full(&c->up);
    c->drain_mark = moved;
    return idle;
}

/* A reload to `keep` takes all of them out, and its walk may not have come here yet. */
static enum conn_due due_of(struct conn *c, enum route_peer_expiry mode)
{
    int64_t now = clock_wall_ms();
    if (mode != PEER_EXPIRY_DRAIN)
        return mode == PEER_EXPIRY_KEEP ? CONN_DUE_LATER : CONN_DUE_BUSY;
    bool idle = fell_idle(c);
    if (c->drain_limit_ms == 0)
        c->drain_limit_ms = drain_limit_ms(c);
    if (idle)
        return CONN_DUE_IDLE;
    int64_t next = now + DRAIN_LOOK_MS;
    next = next < c->drain_limit_ms ? next : c->drain_limit_ms;
    if (now >= c->drain_limit_ms || expiry_set(&c->home->expiry, &c->expiry, next) != ERR_OK)
        return CONN_DUE_BUSY;
    return CONN_DUE_LATER;
}

enum conn_due conn_verify_due(struct conn *c, struct why *why)
{
    char end[CLOCK_TEXT_LEN];
    enum route_peer_expiry mode = conn_route_now(c)->peer_expiry;
    enum conn_due due = due_of(c, mode);
    if (due != CONN_DUE_LATER)
        why_set(why, ERR_CERT_EXPIRED,
                "the peer's certificate was valid until %s, and peer_expiry is %s",
                clock_format_s(c->peer.not_after, end),
                mode == PEER_EXPIRY_DRAIN ? "drain" : "close");
    return due;
}

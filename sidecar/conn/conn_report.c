#include "sidecar/conn/conn_report.h"

#include "common/base/clock.h"
#include "sidecar/conn/conn_facts.h"
#include "sidecar/peer/policy.h"
#include "sidecar/telemetry/metrics.h"
#include "sidecar/telemetry/notes.h"

static const char *direction_name(const struct conn *c)
{
    return route_direction_name(c->route->direction);
}

static enum metric_side side_of(const struct conn *c)
{
    return c->route->direction == ROUTE_INBOUND ? SIDE_SERVER : SIDE_CLIENT;
}

/* The address at the other end of the TLS leg. */
static const char *secure_address(const struct conn *c, char out[static ADDRESS_TEXT_LEN])
{
    if (c->route->direction == ROUTE_INBOUND)
        return sockaddr_text((const struct sockaddr *)&c->from, out);
    return address_text(&c->route->forward, out);
}

/* Where it was accepted: with the port that the kernel picked, if it did. */
static const char *listen_text(const struct conn *c, char out[static ADDRESS_TEXT_LEN])
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    if (c->route->listen.kind != ADDRESS_IP ||
        getsockname(c->down.fd, (struct sockaddr *)&sa, &len) != 0)
        return address_text(&c->route->listen, out);
    return sockaddr_text((const struct sockaddr *)&sa, out);
}

static const char *stage_of(const struct conn *c)
{
    switch (conn_state_of(c)) {
    case CONN_ACCEPT_TLS:
        return "accept";
    case CONN_RELAY:
    case CONN_ENDING:
        return "finished"; /* on our side */
    default:
        return "connect";
    }
}

void conn_report_state(struct conn *c, enum conn_state next)
{
    bool waited = conn_state_of(c) == CONN_HOLD && c->state_ns != 0; /* 0: in no state yet */
    int change = (next == CONN_HOLD) - waited;
    if (change != 0)
        metric_move(c->home->metrics, M_CONNECTIONS_WAITING, c->route->direction, 0, 0, change);
}

void conn_report_dialed(struct conn *c)
{
    metric_observe_ns(c->home->metrics, M_CONNECT_DURATION, c->route->direction, 0, 0,
                      clock_mono_ns() - c->state_ns);
}

#define SERIAL_TEXT 48

static const char *serial_text(const struct conn *c, char out[static SERIAL_TEXT])
{
    if (c->peer.path != NULL)
        return x509_serial_text(peer_link_serial(&c->peer.path->link[0]), out, SERIAL_TEXT);
    return c->peer.shown != NULL ? c->peer.shown->serial : NULL;
}

/* What the audit log and `explain` tell of the other end; the texts live in `t`. */
struct facts_text {
    char address[ADDRESS_TEXT_LEN], listen[ADDRESS_TEXT_LEN], serial[SERIAL_TEXT];
};

static struct audit_peer facts_of(const struct conn *c, struct facts_text *t)
{
    return (struct audit_peer){.conn = c->id,
                               .direction = direction_name(c),
                               .listen = listen_text(c, t->listen),
                               .address = secure_address(c, t->address),
                               .id = atomic_load(&c->peer.id),
                               .serial = serial_text(c, t->serial),
                               .issuer = c->peer.shown != NULL ? c->peer.shown->issuer : NULL,
                               .not_before = c->peer.not_before,
                               .not_after = c->peer.not_after};
}

static void audit_admitted(const struct conn *c)
{
    struct facts_text t;
    struct spiffeid id;
    if (c->home->notes->audit == NULL || !c->home->config->audit_connections ||
        spiffeid_parse(slice_str(atomic_load(&c->peer.id)), &id, NULL) != ERR_OK)
        return;
    struct audit_peer p = facts_of(c, &t);
    size_t rule = policy_find(c->route, &id);
    audit_peer_admitted(c->home->notes->audit, &p,
                        rule < c->route->rule_count ? c->route->peers[rule] : NULL);
}

static void note_refusal(const struct conn *c, err_t err, const struct why *why)
{
    struct facts_text t;
    struct audit_peer p = facts_of(c, &t);
    audit_peer_refused(c->home->notes->audit, &p, err, why_text(why));
    refusals_note(c->home->notes->refusals, &p, err, why_text(why), clock_wall_s());
}

/* A client that connects and hangs up without a word (a port probe) is counted, not shouted about.
 */
static enum log_level level_of(const struct conn *c, err_t err)
{
    bool left = err == ERR_PEER_CLOSED || err == ERR_PEER_RESET;
    bool silent = left && !c->heard && c->route->direction == ROUTE_INBOUND;
    return silent ? LOG_DEBUG : LOG_WARN;
}

void conn_report_handshake(struct conn *c)
{
    struct metrics *m = c->home->metrics;
    const char *group = tls_group_name(c->secure->tls);
    sidecar_count_handshake(m, side_of(c), TLS_KIND_MUTUAL, group, clock_mono_ns() - c->state_ns);
    metric_add(m, M_AUTHZ_DECISIONS, c->route->direction, DECISION_ALLOW, 0, 1);
    log_debug("handshake", log_int("conn", c->id), log_str("direction", direction_name(c)),
              log_str("peer_id", atomic_load(&c->peer.id)), log_str("group", group),
              log_str("suite", tls_suite_name(c->secure->tls)));
    audit_admitted(c);
}

void conn_report_handshake_failure(struct conn *c, err_t err, const struct why *why)
{
    char address[ADDRESS_TEXT_LEN], listen[ADDRESS_TEXT_LEN], expected[512], serial[SERIAL_TEXT];
    struct metrics *m = c->home->metrics;
    sidecar_count_handshake_failure(m, side_of(c), err);
    if (err == ERR_PEER_NOT_ALLOWED)
        metric_add(m, M_AUTHZ_DECISIONS, c->route->direction, DECISION_DENY, 0, 1);
    policy_list_text(conn_route_now(c), " ", expected, sizeof expected);
    listen_text(c, listen);
    secure_address(c, address);
    enum log_level level = level_of(c, err);
    if (level <= LOG_WARN)
        note_refusal(c, err, why);
    struct log_limit *limit = log_limits_of(&c->home->notes->lines, LINE_HANDSHAKE, err);
    if (c->peer.not_after != 0)
        LOG_LIMITED(limit, level, "handshake_failed", log_str("direction", direction_name(c)),
                    log_str("listen", listen), log_str("peer", address),
                    log_str("stage", stage_of(c)), log_err("reason", err),
                    log_str("presented", atomic_load(&c->peer.id)), log_str("expected", expected),
                    log_str("detail", why_text(why)), log_str("serial", serial_text(c, serial)),
                    log_str("issuer", c->peer.shown != NULL ? c->peer.shown->issuer : NULL),
                    log_time("not_before", c->peer.not_before),
                    log_time("not_after", c->peer.not_after), log_time("clock", clock_wall_s()));
    else
        LOG_LIMITED(limit, level, "handshake_failed", log_str("direction", direction_name(c)),
                    log_str("listen", listen), log_str("peer", address),
                    log_str("stage", stage_of(c)), log_err("reason", err),
                    log_str("presented", NULL), log_str("expected", expected),
                    log_str("detail", why_text(why)), log_time("clock", clock_wall_s()));
}

void conn_report_connect_failure(struct conn *c, err_t err, const struct why *why)
{
    char forward[ADDRESS_TEXT_LEN];
    sidecar_count_connect_failure(c->home->metrics, c->route->direction, err);
    LOG_LIMITED(log_limits_of(&c->home->notes->lines, LINE_CONNECTION, err), LOG_WARN,
                "connect_failed", log_str("direction", direction_name(c)),
                log_str("forward", address_text(&c->route->forward, forward)),
                log_err("reason", err), log_str("detail", why_text(why)));
}

void conn_report_open(struct conn *c)
{
    metric_add(c->home->metrics, M_CONNECTIONS_OPENED, c->route->direction, TLS_KIND_MUTUAL, 0, 1);
    peer_tally_count(c->home->notes->peers, c->route->direction, atomic_load(&c->peer.id));
}

void conn_report_newcomer_cut(const struct conn *c, const struct why *why)
{
    char address[ADDRESS_TEXT_LEN], listen[ADDRESS_TEXT_LEN];
    LOG_LIMITED(log_limits_of(&c->home->notes->lines, LINE_NEWCOMER, ERR_LIMIT), LOG_WARN,
                "newcomer_cut", log_str("listen", address_text(&c->route->listen, listen)),
                log_str("peer", sockaddr_text((const struct sockaddr *)&c->from, address)),
                log_str("state", conn_state_name(conn_state_of(c))),
                log_int("age_ms", (clock_mono_ns() - c->opened_ns) / 1000000u),
                log_str("detail", why_text(why)));
}

void conn_report_cut(struct conn *c, const struct why *why, enum log_level level)
{
    char address[ADDRESS_TEXT_LEN], serial[SERIAL_TEXT];
    sidecar_count_cut(c->home->metrics, c->route->direction, why->err);
    if (c->home->notes->audit != NULL) {
        struct facts_text t;
        struct audit_peer p = facts_of(c, &t);
        audit_connection_cut(c->home->notes->audit, &p, why->err, why_text(why),
                             (int64_t)((clock_mono_ns() - c->opened_ns) / 1000000000u));
    }
    if (!log_enabled(level))
        return;
    LOG_EVENT(level, "connection_cut", log_str("direction", direction_name(c)),
              log_str("peer", secure_address(c, address)),
              log_str("state", conn_state_name(conn_state_of(c))), log_err("reason", why->err),
              log_str("peer_id", atomic_load(&c->peer.id)),
              log_str("serial", serial_text(c, serial)), log_str("detail", why_text(why)),
              log_int("age_ms", (clock_mono_ns() - c->opened_ns) / 1000000u));
}

void conn_report_truncated(struct conn *c)
{
    char address[ADDRESS_TEXT_LEN];
    bool eof = c->route->unclean_close == UNCLEAN_CLOSE_EOF;
    LOG_LIMITED(log_limits_of(&c->home->notes->lines, LINE_CONNECTION, ERR_TLS_TRUNCATED), LOG_INFO,
                "connection_truncated", log_str("direction", direction_name(c)),
                log_str("peer", secure_address(c, address)),
                log_str("peer_id", atomic_load(&c->peer.id)),
                log_str("detail", "FIN without close_notify"),
                log_str("next", eof ? "the app sees an end of file"
                                    : "the app is reset once it has taken all and is through"));
}

void conn_report_untaken(struct conn *c, uint64_t queued)
{
    char address[ADDRESS_TEXT_LEN];
    metric_add(c->home->metrics, M_CONNECTIONS_UNTAKEN, c->route->direction, 0, 0, 1);
    LOG_LIMITED(log_limits_of(&c->home->notes->lines, LINE_CONNECTION, ERR_TIMEOUT), LOG_WARN,
                "connection_untaken", log_str("direction", direction_name(c)),
                log_str("peer", secure_address(c, address)),
                log_str("peer_id", atomic_load(&c->peer.id)), log_err("reason", c->end.err),
                log_int("queued", queued), log_str("next", "reset: the queued bytes are lost"));
}

void conn_report_refused(const struct conn_home *h, enum route_direction direction,
                         const char *listen, err_t err, const char *detail)
{
    sidecar_count_refused(h->metrics, direction, err);
    LOG_LIMITED(log_limits_of(&h->notes->lines, LINE_CONNECTION, err), LOG_WARN,
                "connection_refused", log_str("listen", listen), log_err("reason", err),
                log_str("detail", detail));
    audit_connection_refused(h->notes->audit, route_direction_name(direction), listen, err, detail);
}

void conn_report_closed(struct conn *c, err_t err, const struct why *why)
{
    const char *detail = why != NULL ? why_text(why) : err_text(err);
    if (conn_state_of(c) == CONN_HOLD) {
        char listen[ADDRESS_TEXT_LEN];
        conn_report_refused(c->home, c->route->direction, listen_text(c, listen), err, detail);
    } else {
        sidecar_count_closed(c->home->metrics, c->route->direction, err);
    }
    conn_count_bytes(c);
    log_debug("conn_closed", log_int("conn", c->id), log_err("reason", err),
              log_str("detail", detail), log_int("bytes_forth", c->counted[0]),
              log_int("bytes_back", c->counted[1]));
}

void conn_count_bytes(struct conn *c)
{
    static const enum metric_flow flows[2] = {FLOW_TO_DESTINATION, FLOW_TO_SOURCE};
    for (size_t i = 0; i < 2; i++) {
        uint64_t now = relay_bytes(&c->protocol.relays[i]);
        if (now != c->counted[i])
            metric_add(c->home->metrics, M_TRANSFERRED_BYTES, c->route->direction, flows[i], 0,
                       now - c->counted[i]);
        c->counted[i] = now;
    }
}

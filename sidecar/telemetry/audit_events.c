#include "sidecar/telemetry/audit_events.h"

static const struct audit_event_row rows[] = {
#define EVENT(name, fields, help) {name, fields, help},
#include "sidecar/telemetry/audit_events.def"
#undef EVENT
};
const struct audit_table sidecar_audit_table = {rows, sizeof rows / sizeof rows[0]};

void audit_started(struct audit *a, const char *name)
{
    audit_event(a, "started", log_str("version", SPINDLE_VERSION), audit_text("name", name));
}

void audit_identity(struct audit *a, const struct identity *id)
{
    char serial[48];
    const struct x509 *leaf = identity_leaf(id);
    if (a == NULL)
        return;
    audit_event(a, "identity_in_use", log_slice("spiffe_id", identity_id(id)->text),
                log_str("serial", x509_serial_text(leaf->serial, serial, sizeof serial)),
                log_time("not_before", leaf->not_before), log_time("not_after", leaf->not_after));
}

void audit_identity_lost(struct audit *a, err_t reason, const char *detail)
{
    audit_event(a, "identity_lost", log_err("reason", reason), log_str("detail", detail));
}

void audit_peer_refused(struct audit *a, const struct audit_peer *p, err_t reason,
                        const char *detail)
{
    audit_event_often(a, err_index(reason), "peer_refused", log_err("reason", reason),
                      log_str("direction", p->direction), log_str("listen", p->listen),
                      log_str("address", p->address), audit_text("serial", p->serial),
                      audit_text("issuer", p->issuer), audit_time("not_before", p->not_before),
                      audit_time("not_after", p->not_after), log_str("detail", detail),
                      audit_text("peer", p->id));
}

void audit_peer_admitted(struct audit *a, const struct audit_peer *p, const char *rule)
{
    audit_event(a, "peer_admitted", log_int("conn", p->conn), log_str("direction", p->direction),
                log_str("listen", p->listen), log_str("address", p->address),
                audit_text("rule", rule), audit_text("serial", p->serial),
                audit_text("issuer", p->issuer), audit_time("not_after", p->not_after),
                audit_text("peer", p->id));
}

void audit_connection_cut(struct audit *a, const struct audit_peer *p, err_t reason,
                          const char *detail, int64_t age_s)
{
    audit_event(a, "connection_cut", log_err("reason", reason), log_int("conn", p->conn),
                log_str("direction", p->direction), log_str("listen", p->listen),
                log_str("address", p->address), log_int("age_s", age_s),
                audit_text("serial", p->serial), log_str("detail", detail),
                audit_text("peer", p->id));
}

void audit_connection_refused(struct audit *a, const char *direction, const char *listen,
                              err_t reason, const char *detail)
{
    audit_event_often(a, err_index(reason), "connection_refused", log_err("reason", reason),
                      log_str("direction", direction), log_str("listen", listen),
                      log_str("detail", detail));
}

void audit_reloaded(struct audit *a)
{
    audit_event(a, "reloaded");
}

void audit_reload_failed(struct audit *a, struct slice detail)
{
    audit_event(a, "reload_failed", log_slice("detail", detail));
}

void audit_drain(struct audit *a, const struct audit_order *order, size_t connections)
{
    audit_event(a, "drain", audit_text("signal", order->signal),
                audit_id("pid", order->by.pid, order->by.pid),
                audit_id("uid", order->by.pid, order->by.uid), log_int("connections", connections));
}

void audit_quit(struct audit *a, const struct audit_order *order, size_t connections)
{
    audit_event(a, "quit", audit_text("signal", order->signal),
                audit_id("pid", order->by.pid, order->by.pid),
                audit_id("uid", order->by.pid, order->by.uid), log_int("connections", connections));
}

void audit_stopped(struct audit *a)
{
    audit_event(a, "stopped");
}

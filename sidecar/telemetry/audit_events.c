#include "sidecar/telemetry/audit_events.h"

static const struct audit_event_row rows[] = {
#define EVENT(name, fields, help) {name, fields, help},
#include "sidecar/telemetry/audit_events.def"
#undef EVENT
};
const struct audit_table sidecar_audit_table = {rows, sizeof rows / sizeof rows[0]};

static struct log_field none(const char *key)
{
    return (struct log_field){.key = key, .kind = LOG_F_NONE};
}

static struct log_field text(const char *key, const char *value)
{
    return value != NULL && value[0] != '\0' ? log_str(key, value) : none(key);
}

static struct log_field when(const char *key, int64_t value)
{
    return value != 0 ? log_time(key, value) : none(key);
}

static struct log_field id_of(const char *key, const struct unix_peer *who, int64_t id)
{
    return who->pid != 0 ? log_int(key, id) : none(key);
}

void audit_started(struct audit *a, const char *name)
{
    audit_event(a, "started", log_str("version", SPINDLE_VERSION), text("name", name));
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
                      log_str("address", p->address), text("serial", p->serial),
                      text("issuer", p->issuer), when("not_before", p->not_before),
                      when("not_after", p->not_after), log_str("detail", detail),
                      text("peer", p->id));
}

void audit_peer_admitted(struct audit *a, const struct audit_peer *p, const char *rule)
{
    audit_event(a, "peer_admitted", log_int("conn", p->conn), log_str("direction", p->direction),
                log_str("listen", p->listen), log_str("address", p->address), text("rule", rule),
                text("serial", p->serial), text("issuer", p->issuer),
                when("not_after", p->not_after), text("peer", p->id));
}

void audit_connection_cut(struct audit *a, const struct audit_peer *p, err_t reason,
                          const char *detail, int64_t age_s)
{
    audit_event(a, "connection_cut", log_err("reason", reason), log_int("conn", p->conn),
                log_str("direction", p->direction), log_str("listen", p->listen),
                log_str("address", p->address), log_int("age_s", age_s), text("serial", p->serial),
                log_str("detail", detail), text("peer", p->id));
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
    audit_event(a, "drain", text("signal", order->signal), id_of("pid", &order->by, order->by.pid),
                id_of("uid", &order->by, order->by.uid), log_int("connections", connections));
}

void audit_quit(struct audit *a, const struct audit_order *order, size_t connections)
{
    audit_event(a, "quit", text("signal", order->signal), id_of("pid", &order->by, order->by.pid),
                id_of("uid", &order->by, order->by.uid), log_int("connections", connections));
}

void audit_stopped(struct audit *a)
{
    audit_event(a, "stopped");
}

#include "agent/telemetry/audit_events.h"

#include "common/x509/x509.h"

enum { SERIAL_TEXT_LEN = 64 };

static const struct audit_event_row rows[] = {
#define EVENT(name, fields, help) {name, fields, help},
#include "agent/telemetry/audit_events.def"
#undef EVENT
};
const struct audit_table agent_audit_table = {rows, sizeof rows / sizeof rows[0]};

void audit_started(struct audit *a, const char *trust_domain, size_t entries)
{
    audit_event(a, "started", log_str("version", SPINDLE_VERSION),
                log_str("trust_domain", trust_domain), log_int("entries", entries));
}

void audit_stopping(struct audit *a, const char *signal)
{
    audit_event(a, "stopping", log_str("signal", signal));
}

void audit_issued(struct audit *a, const struct audit_certificate *c)
{
    char serial[SERIAL_TEXT_LEN];
    if (a == NULL)
        return;
    audit_event(a, "issued", log_str("spiffe_id", c->spiffe_id), log_str("entry", c->entry),
                log_str("serial", x509_serial_text(c->serial, serial, sizeof serial)),
                log_time("not_before", c->not_before), log_time("not_after", c->not_after),
                log_str("why", c->why));
}

void audit_refused(struct audit *a, const struct audit_refusal *r)
{
    audit_event_often(a, r->uid, "refused", log_err("reason", r->reason),
                      log_str("method", r->method), log_int("pid", r->pid), log_int("uid", r->uid),
                      log_int("gid", r->gid), audit_text("comm", r->comm),
                      r->program.len > 0 ? log_slice("program", r->program)
                                         : audit_text("program", NULL),
                      log_str("detail", r->detail));
}

void audit_connection_refused(struct audit *a, err_t reason, const struct unix_peer *who,
                              const char *detail)
{
    audit_event_often(a, who->uid, "connection_refused", log_err("reason", reason),
                      audit_id("pid", who->pid, who->pid), audit_id("uid", who->pid, who->uid),
                      log_str("detail", detail));
}

void audit_revoked(struct audit *a, const struct audit_revocation *r)
{
    audit_event(a, "revoked", log_str("target", r->target), log_str("reason", r->reason),
                log_int("certificates", r->certificates), log_int("generation", r->generation),
                audit_id("pid", r->by.pid, r->by.pid), audit_id("uid", r->by.pid, r->by.uid));
}

void audit_lifted(struct audit *a, const struct audit_revocation *r)
{
    audit_event(a, "lifted", log_str("target", r->target), log_int("certificates", r->certificates),
                log_int("generation", r->generation), audit_id("pid", r->by.pid, r->by.pid),
                audit_id("uid", r->by.pid, r->by.uid));
}

void audit_revocation_failed(struct audit *a, const struct audit_revocation *r, err_t err,
                             const char *detail)
{
    audit_event(a, "revocation_failed", log_str("target", r->target), log_str("reason", r->reason),
                log_err("error", err), audit_id("pid", r->by.pid, r->by.pid),
                audit_id("uid", r->by.pid, r->by.uid), log_str("detail", detail));
}

void audit_reloaded(struct audit *a, size_t entries)
{
    audit_event(a, "reloaded", log_int("entries", entries));
}

void audit_reload_failed(struct audit *a, const char *first_problem)
{
    audit_event(a, "reload_failed", audit_text("detail", first_problem));
}

void audit_issuer_renewed(struct audit *a, int64_t not_after)
{
    audit_event(a, "issuer_renewed", log_time("not_after", not_after));
}

void audit_issuer_renewal_failed(struct audit *a, err_t err, int64_t keeping_until,
                                 const char *detail)
{
    audit_event(a, "issuer_renewal_failed", log_err("error", err),
                log_time("keeping_until", keeping_until), log_str("detail", detail));
}

/* The agent's audit events (audit_events.def), one function each. `a` may be NULL: the log is off.
 * Loop thread only. */
#ifndef SPINDLE_AGENT_TELEMETRY_AUDIT_EVENTS_H
#define SPINDLE_AGENT_TELEMETRY_AUDIT_EVENTS_H

#include "common/audit/audit.h"
#include "common/audit/audit_table.h"
#include "common/loop/unix_socket.h"

extern const struct audit_table agent_audit_table;

struct audit_certificate {
    const char *spiffe_id, *entry;
    struct slice serial;
    int64_t not_before, not_after;
    const char *why;
};
struct audit_refusal {
    err_t reason;
    const char *method;
    pid_t pid;
    uid_t uid;
    gid_t gid;
    const char *comm;     /* the process's name; "" when it is not known */
    struct slice program; /* its path, the same */
    const char *detail;
};
struct audit_revocation {
    const char *target; /* "spiffe://...", "serial:HEX" or "entry:ID" */
    const char *reason; /* of RFC 5280; NULL when lifted */
    size_t certificates;
    uint64_t generation;
    struct unix_peer by;
};

void audit_started(struct audit *a, const char *trust_domain, size_t entries);
void audit_stopping(struct audit *a, const char *signal);
void audit_issued(struct audit *a, const struct audit_certificate *c);
/* Bounded for each user. */
void audit_refused(struct audit *a, const struct audit_refusal *r);
/* who: all zero when not known. Bounded for each user. */
void audit_connection_refused(struct audit *a, err_t reason, const struct unix_peer *who,
                              const char *detail);
void audit_revoked(struct audit *a, const struct audit_revocation *r);
void audit_lifted(struct audit *a, const struct audit_revocation *r);
void audit_revocation_failed(struct audit *a, const struct audit_revocation *r, err_t err,
                             const char *detail);
void audit_reloaded(struct audit *a, size_t entries);
void audit_reload_failed(struct audit *a, const char *first_problem); /* may be NULL */
void audit_issuer_renewed(struct audit *a, int64_t not_after);
void audit_issuer_renewal_failed(struct audit *a, err_t err, int64_t keeping_until,
                                 const char *detail);

#endif

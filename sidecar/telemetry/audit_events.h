/* The sidecar's audit events (audit_events.def), one function each. `a` may be NULL: the log is
 * off. Any thread. */
#ifndef SPINDLE_SIDECAR_TELEMETRY_AUDIT_EVENTS_H
#define SPINDLE_SIDECAR_TELEMETRY_AUDIT_EVENTS_H

#include "common/audit/audit.h"
#include "common/audit/audit_table.h"
#include "common/loop/unix_socket.h"
#include "common/spiffe/identity.h"

extern const struct audit_table sidecar_audit_table;

/* The other end of a connection. Borrowed; texts may be NULL, times 0 where they are not known. */
struct audit_peer {
    uint64_t conn;
    const char *direction, *listen, *address;
    const char *id, *serial, *issuer;
    int64_t not_before, not_after;
};

void audit_started(struct audit *a, const char *name);
void audit_identity(struct audit *a, const struct identity *id);
void audit_identity_lost(struct audit *a, err_t reason, const char *detail);
/* Bounded for each reason. */
void audit_peer_refused(struct audit *a, const struct audit_peer *p, err_t reason,
                        const char *detail);
void audit_peer_admitted(struct audit *a, const struct audit_peer *p, const char *rule);
void audit_connection_cut(struct audit *a, const struct audit_peer *p, err_t reason,
                          const char *detail, int64_t age_s);
/* Bounded for each reason. */
void audit_connection_refused(struct audit *a, const char *direction, const char *listen,
                              err_t reason, const char *detail);
void audit_reloaded(struct audit *a);
void audit_reload_failed(struct audit *a, struct slice detail);

/* Who tells the sidecar to end: a signal, or a process by the admin socket. */
struct audit_order {
    const char *signal; /* NULL: by `by` */
    struct unix_peer by;
};
void audit_drain(struct audit *a, const struct audit_order *order, size_t connections);
void audit_quit(struct audit *a, const struct audit_order *order, size_t connections);
void audit_stopped(struct audit *a);

#endif

/* One call at the Workload Endpoint: who makes it, what it has been sent, how it ended. Newest
 * state only: while one message is on its way, the next one waits and is replaced by a newer one
 * (WA-8); bytes the client has already are not sent again (WA-3). Services embed it in what they
 * keep for a call. Loop thread only. */
#ifndef SPINDLE_AGENT_API_CALL_H
#define SPINDLE_AGENT_API_CALL_H

#include "agent/api/service.h"
#include "agent/telemetry/audit_events.h"
#include "common/rpc/rpc_server.h"

struct call {
    struct rpc_call *rpc;
    struct connection *connection;  /* pinned */
    struct metrics *metrics;        /* borrowed, may be NULL */
    void (*on_end)(struct call *c); /* the last thing that happens: frees what embeds it */
    LIST_ENTRY(call) in_connection; /* its calls */
    struct rpc_message *sent;       /* what the client has or is being sent; NULL: nothing yet */
    struct rpc_message *waiting;    /* newer, until `sent` has left */
    const struct method *method;
    err_t outcome;
    bool sending, ended;
};

/* Enters the connection. On failure nothing is kept and the caller ends the rpc_call. */
err_t call_init(struct call *c, struct rpc_call *rpc, struct connection *connection,
                const struct method *method, struct metrics *metrics,
                void (*on_end)(struct call *c), struct why *why) MUST_CHECK;
/* Instead of call_init: the call gets nothing; counted, and ended with the status of `err`. */
void call_refuse(struct rpc_call *rpc, enum agent_method label, struct metrics *metrics, err_t err,
                 const char *message);
/* The gRPC status that goes with an error (agent/telemetry/outcomes.def). */
enum rpc_code call_code(err_t err);
/* The client shall have this message; takes a reference of its own. */
void call_offer(struct call *c, struct rpc_message *m);
/* Ends the call with the gRPC status of `err`; ERR_OK for a unary call that is done. Nothing is
 * sent after it. */
void call_end(struct call *c, err_t err, const char *message);
/* All calls of a connection; they leave it later. */
void call_end_all(struct connection *connection, err_t err, const char *message);
/* The audit event of a call that gets nothing. audit: may be NULL; program: empty when not known.
 */
void call_audit_refused(struct audit *audit, err_t reason, const char *method,
                        const struct peer *who, struct slice program, const char *detail);

/* From the server's events. */
void call_sent(struct call *c);
void call_gone(struct call *c); /* leaves the connection, counts, calls on_end */

#endif

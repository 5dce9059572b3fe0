#include "agent/api/call.h"

#include "agent/attest/proc.h"

enum rpc_code call_code(err_t err)
{
    static const struct {
        err_t err;
        enum rpc_code code;
    } outcomes[] = {
#define OUTCOME(error, code, name) {ERR_##error, RPC_##code},
#include "agent/telemetry/outcomes.def"
#undef OUTCOME
    };
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++)
        if (outcomes[i].err == err)
            return outcomes[i].code;
    return RPC_INTERNAL;
}

void call_refuse(struct rpc_call *rpc, enum agent_method label, struct metrics *metrics, err_t err,
                 const char *message)
{
    agent_count_request(metrics, label, err);
    rpc_call_finish(rpc, call_code(err), message);
}

err_t call_init(struct call *c, struct rpc_call *rpc, struct connection *connection,
                const struct method *method, struct metrics *metrics,
                void (*on_end)(struct call *c), struct why *why)
{
    err_t err = connection_enter(connection, why);
    if (err != ERR_OK)
        return err;
    *c = (struct call){.rpc = rpc,
                       .connection = connection,
                       .metrics = metrics,
                       .on_end = on_end,
                       .method = method,
                       .outcome = ERR_CANCELED};
    LIST_INSERT_HEAD(&connection->calls, c, in_connection);
    rpc_call_set_user(rpc, c);
    metric_move(metrics, M_STREAMS, method->label, 0, 0, 1);
    return ERR_OK;
}

static void call_transmit(struct call *c, struct rpc_message *m)
{
    c->sending = rpc_call_send(c->rpc, m) == ERR_OK;
    c->sent = m;
    c->outcome = ERR_OK;
}

void call_offer(struct call *c, struct rpc_message *m)
{
    if (c->ended)
        return;
    rpc_message_unref(c->waiting);
    c->waiting = NULL;
    if (rpc_message_eq(c->sent, m))
        return;
    rpc_message_ref(m);
    if (c->sending) {
        c->waiting = m;
        return;
    }
    rpc_message_unref(c->sent);
    call_transmit(c, m);
}

void call_end(struct call *c, err_t err, const char *message)
{
    if (c->ended)
        return;
    c->ended = true;
    c->outcome = err;
    rpc_message_unref(c->waiting);
    c->waiting = NULL;
    rpc_call_finish(c->rpc, call_code(err), message);
}

void call_end_all(struct connection *connection, err_t err, const char *message)
{
    struct call *c;
    LIST_FOREACH(c, &connection->calls, in_connection)
        call_end(c, err, message);
}

void call_audit_refused(struct audit *audit, err_t reason, const char *method,
                        const struct peer *who, struct slice program, const char *detail)
{
    char comm[PROC_COMM_MAX] = "";
    if (audit == NULL)
        return;
    proc_comm(who->pid, comm);
    audit_refused(audit, &(struct audit_refusal){.reason = reason,
                                                 .method = method,
                                                 .pid = who->pid,
                                                 .uid = who->uid,
                                                 .gid = who->gid,
                                                 .comm = comm,
                                                 .program = program,
                                                 .detail = detail});
}

void call_sent(struct call *c)
{
    c->sending = false;
    struct rpc_message *m = c->waiting;
    if (m == NULL)
        return;
    c->waiting = NULL;
    rpc_message_unref(c->sent);
    call_transmit(c, m);
}

void call_gone(struct call *c)
{
    struct connection *connection = c->connection;
    LIST_REMOVE(c, in_connection);
    rpc_message_unref(c->sent);
    rpc_message_unref(c->waiting);
    metric_move(c->metrics, M_STREAMS, c->method->label, 0, 0, -1);
    agent_count_request(c->metrics, c->method->label, c->outcome);
    connection_leave(connection);
    c->on_end(c);
}

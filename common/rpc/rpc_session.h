/* The client side of gRPC over one HTTP/2 connection, without the connection: bytes in, bytes out,
 * time as a number (nghttp2 stays inside). rpc_client.h puts it on a socket.
 * Received bytes and messages may hold keys: what is kept of them is wiped. One thread.
 *
 *   rpc_session_new -> rpc_session_call (any number, any time, from callbacks too)
 *   -> rpc_session_output until empty -> rpc_session_receive -> output again ...
 *   -> rpc_session_fail when the connection is gone -> rpc_session_free */
#ifndef SPINDLE_COMMON_RPC_RPC_SESSION_H
#define SPINDLE_COMMON_RPC_RPC_SESSION_H

#include "common/base/slice.h"
#include "common/base/why.h"
#include "common/rpc/rpc_code.h"

#define RPC_MESSAGE_MAX (4u * 1024u * 1024u) /* bytes of one message, either way (WA-9) */
#define RPC_STATUS_TEXT_MAX 1024             /* bytes kept of grpc-message */

struct rpc_session; /* opaque */
struct rpc_stream;  /* opaque; gone when on_end or rpc_stream_cancel returns */

struct rpc_stream_events {
    /* A whole message; the slice lives for the call only. */
    void (*on_message)(void *arg, struct slice message);
    /* The end, exactly once: a gRPC status, or code RPC_UNAVAILABLE with our own words when the
     * connection failed. The stream is gone after it. */
    void (*on_end)(void *arg, int code, const char *message);
    void *arg;
};

/* on_wake: there may be output or another deadline, though nothing was received. It may come from
 * within rpc_session_call, rpc_stream_cancel and events, so it must not call back at once. */
err_t rpc_session_new(void (*on_wake)(void *arg), void *arg, struct rpc_session **ret,
                      struct why *why) MUST_CHECK;
/* Live streams vanish without on_end; NULL is fine. Not from an event. */
void rpc_session_free(struct rpc_session *s);

/* deadline: 0 for none, in the unit of rpc_session_expire. */
err_t rpc_session_call(struct rpc_session *s, const char *method, bool spiffe_header,
                       struct slice request, uint64_t deadline,
                       const struct rpc_stream_events *events, struct rpc_stream **ret,
                       struct why *why) MUST_CHECK;
/* No more events of this stream; the server is told. */
void rpc_stream_cancel(struct rpc_stream *stream);

/* ERR_RPC when the peer broke the protocol, ERR_NO_MEMORY: the session is over, fail it. */
err_t rpc_session_receive(struct rpc_session *s, struct slice bytes, struct why *why) MUST_CHECK;
/* The next bytes to send, borrowed until the next call; empty when there are none. */
err_t rpc_session_output(struct rpc_session *s, struct slice *ret, struct why *why) MUST_CHECK;
/* Ends every live stream with this code. New calls may come from the events: not to this session.
 */
void rpc_session_fail(struct rpc_session *s, int code, const char *message);

/* Ends streams whose deadline is <= now with RPC_DEADLINE_EXCEEDED. */
void rpc_session_expire(struct rpc_session *s, uint64_t now);
/* The nearest deadline, 0 when there is none. */
uint64_t rpc_session_next_deadline(const struct rpc_session *s);
/* Both sides are through: close the connection. */
bool rpc_session_is_done(const struct rpc_session *s);

#endif

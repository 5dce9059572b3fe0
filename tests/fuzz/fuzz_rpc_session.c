/* The gRPC client's session: whatever a server sends, streams end at most once, messages keep their
 * bound, and nothing is written that was not asked for. The first byte picks how the rest is cut.
 */
#include "common/rpc/rpc_session.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct stream {
    struct rpc_stream *rpc;
    unsigned messages, ends;
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void on_wake(void *arg)
{
    (void)arg;
}

static void on_message(void *arg, struct slice message)
{
    struct stream *s = arg;
    check(s->ends == 0 && message.len <= RPC_MESSAGE_MAX);
    if (++s->messages == 3) { /* leaves in the middle of things */
        rpc_stream_cancel(s->rpc);
        s->ends++;
    }
}

static void on_end(void *arg, int code, const char *message)
{
    struct stream *s = arg;
    check(code >= 0 && message != NULL && ++s->ends == 1);
}

static void drain(struct rpc_session *session)
{
    struct slice out = {0};
    while (rpc_session_output(session, &out, NULL) == ERR_OK && out.len > 0) {
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stream streams[2] = {0};
    struct rpc_session *session = NULL;
    size_t piece = size > 0 && data[0] != 0 ? data[0] : size + 1;
    check(rpc_session_new(on_wake, NULL, &session, NULL) == ERR_OK);
    for (size_t i = 0; i < 2; i++) {
        const struct rpc_stream_events events = {on_message, on_end, &streams[i]};
        check(rpc_session_call(session, "/A/B", true, slice_of(NULL, 0), i + 1, &events,
                               &streams[i].rpc, NULL) == ERR_OK);
    }
    drain(session);
    err_t err = ERR_OK;
    for (size_t at = 1; at < size && err == ERR_OK; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        err = rpc_session_receive(session, slice_of(data + at, n), NULL);
        drain(session);
    }
    rpc_session_expire(session, 1);
    drain(session);
    rpc_session_fail(session, RPC_UNAVAILABLE, "gone");
    check(streams[0].ends == 1 && streams[1].ends == 1);
    rpc_session_free(session);
    return 0;
}

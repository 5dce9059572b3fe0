/* A gRPC server on a Unix socket that answers as a script says: h2_server.h on the test's own loop.
 * One socket path for life; it can stop (as if killed) and start again. */
#ifndef SPINDLE_TESTS_FAKE_AGENT_H
#define SPINDLE_TESTS_FAKE_AGENT_H

#include "tests/support/h2_server.h"

#include <uv.h>

#define FAKE_AGENT_CONNS_MAX 16

struct fake_conn {
    uv_pipe_t pipe;
    struct fake_agent *agent;
    struct h2_server h2;
    bool open;
};

struct fake_agent {
    uv_loop_t *loop;
    char dir[64], path[96];
    uv_pipe_t listener;
    bool listening;
    struct fake_conn *conns[FAKE_AGENT_CONNS_MAX];
    const struct h2_script *(*choose)(void *arg, const char *path);
    void *arg;
    unsigned calls, accepted;
};

/* Makes a folder under /tmp; listens on path after fake_agent_start. */
void fake_agent_init(struct fake_agent *a, uv_loop_t *loop,
                     const struct h2_script *(*choose)(void *arg, const char *path), void *arg);
void fake_agent_start(struct fake_agent *a);
/* Closes listener and connections at once and removes the socket. */
void fake_agent_stop(struct fake_agent *a);
/* After fake_agent_stop and a run of the loop. */
void fake_agent_done(struct fake_agent *a);
/* One more message on all held streams; the end of all held streams. */
void fake_agent_push(struct fake_agent *a, struct slice message);
void fake_agent_finish(struct fake_agent *a, const char *grpc_status, const char *grpc_message);

#endif

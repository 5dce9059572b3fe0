#include "common/rpc/rpc_settings.h"

#include "common/log/log.h"

#include <dlfcn.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>

enum {
    STREAMS_PER_CONNECTION = 256,
    PING_INTERVAL_MS = 5000, /* clients may ping this often without being told to calm down */
};

static void on_grpc_log(gpr_log_func_args *args)
{
    log_debug("grpc", log_str("message", args->message), log_str("file", args->file),
              log_int("line", args->line));
}

#define ARG(k, v)                                                                                  \
    {                                                                                              \
        .type = GRPC_ARG_INTEGER, .key = (char *)(k), .value.integer = (int)(v)                    \
    }

/* Debian's Abseil enters each mutex into a graph of lock orders: 14 % of the CPU of connect + call
 * + close, 1.4 KiB a connection. A C++ function turns it off; where it is missing nothing is lost.
 */
static void mutex_graph_off(void)
{
    void (*set_mode)(int mode) = NULL;
    *(void **)&set_mode = dlsym(
        RTLD_DEFAULT, "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE");
    if (set_mode != NULL)
        set_mode(0); /* OnDeadlockCycle::kIgnore */
}

void rpc_settings_start(void)
{
    mutex_graph_off();
    gpr_set_log_function(on_grpc_log);
    grpc_init();
}

/* Bounds for what a client may cost us; what is of no use on a Unix socket is off. Few, since gRPC
 * copies them for each connection. Headers have gRPC's own bound of 8 KiB. Not
 * GRPC_ARG_MINIMAL_STACK: it also drops the bound on message size. */
grpc_server *rpc_settings_server(size_t max_request_bytes)
{
    grpc_arg args[] = {
        ARG(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, max_request_bytes),
        ARG(GRPC_ARG_MAX_CONCURRENT_STREAMS, STREAMS_PER_CONNECTION),
        ARG(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, PING_INTERVAL_MS),
        ARG(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        ARG(GRPC_ARG_ENABLE_CHANNELZ, 0),
        ARG(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
        ARG(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
        ARG(GRPC_ARG_ENABLE_DEADLINE_CHECKS, 0),
        ARG(GRPC_ARG_HTTP2_BDP_PROBE, 0),
        ARG(GRPC_ARG_TCP_READ_CHUNK_SIZE, 4096),
    };
    grpc_channel_args list = {.num_args = sizeof args / sizeof *args, .args = args};
    return grpc_server_create(&list, NULL);
}

/* How gRPC core C is set up for rpc_server.c, its only user. Main thread. */
#ifndef SPINDLE_COMMON_RPC_RPC_SETTINGS_H
#define SPINDLE_COMMON_RPC_RPC_SETTINGS_H

#include <stddef.h>

struct grpc_server;

/* grpc_init, its log lines into ours; grpc_shutdown is the caller's. */
void rpc_settings_start(void);
/* A server with bounds for what a client may cost; grpc_server_destroy is the caller's. */
struct grpc_server *rpc_settings_server(size_t max_request_bytes);

#endif

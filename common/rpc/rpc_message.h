/* Encoded bytes, immutable and counted, so that a thousand streams share one message. The count may
 * be touched from any thread. */
#ifndef SPINDLE_COMMON_RPC_RPC_MESSAGE_H
#define SPINDLE_COMMON_RPC_RPC_MESSAGE_H

#include "common/base/slice.h"

struct rpc_message; /* opaque */

struct rpc_message *rpc_message_new(struct slice bytes); /* copies; NULL on no memory */
struct rpc_message *rpc_message_ref(struct rpc_message *m);
void rpc_message_unref(struct rpc_message *m); /* NULL is fine; wipes the bytes at the last one */
struct slice rpc_message_bytes(const struct rpc_message *m);
/* Same bytes; NULL equals NULL alone. */
bool rpc_message_eq(const struct rpc_message *a, const struct rpc_message *b);

#endif

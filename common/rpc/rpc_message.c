#include "common/rpc/rpc_message.h"

#include "common/base/mem.h"
#include "common/base/secret.h"

#include <stdatomic.h>

struct rpc_message {
    atomic_uint refs; /* gRPC lets go of it on a thread of its own */
    size_t len;
    uint8_t bytes[];
};

struct rpc_message *rpc_message_new(struct slice bytes)
{
    struct rpc_message *m = secret_alloc(sizeof *m + bytes.len); /* SVID messages hold keys */
    ;
    if (m == NULL)
        return NULL;
    atomic_init(&m->refs, 1);
    m->len = bytes.len;
    if (bytes.len > 0)
        memcpy(m->bytes, bytes.data, bytes.len);
    return m;
}

struct rpc_message *rpc_message_ref(struct rpc_message *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void rpc_message_unref(struct rpc_message *m)
{
    if (m == NULL || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    secret_free(m);
}

struct slice rpc_message_bytes(const struct rpc_message *m)
{
    return slice_of(m->bytes, m->len);
}

bool rpc_message_eq(const struct rpc_message *a, const struct rpc_message *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return a == b || (a->len == b->len && mem_compare_secret(a->bytes, b->bytes, a->len) == 0);
}

#include "common/rpc/workload_message.h"

#include "common/base/mem.h"
#include "common/base/secret.h"

#include <stdalign.h>
#include <workloadapi.pb-c.h>

/* A message of many tiny fields unpacks to many times its size; this bounds it. */
#define UNPACKED_MAX (16u * 1024u * 1024u)

/* ---- protobuf-c's memory: bounded, and wiped when it goes ---- */

struct block {
    alignas(max_align_t) size_t size; /* of what follows */
};

struct arena {
    size_t left;
    bool no_memory, too_large;
};

static void *arena_alloc(void *arg, size_t size)
{
    struct arena *arena = arg;
    if (size > arena->left) {
        arena->too_large = true;
        return NULL;
    }
    struct block *block = secret_alloc(sizeof *block + size);
    if (block == NULL) {
        arena->no_memory = true;
        return NULL;
    }
    arena->left -= size;
    block->size = size;
    return block + 1;
}

static void arena_free(void *arg, void *ptr)
{
    (void)arg;
    if (ptr == NULL)
        return;
    struct block *block = (struct block *)ptr - 1;
    secret_free(block);
}

static ProtobufCAllocator allocator_of(struct arena *arena)
{
    return (ProtobufCAllocator){arena_alloc, arena_free, arena};
}

static err_t unpack_failed(const struct arena *arena, size_t len, struct why *why)
{
    if (arena->no_memory)
        return why_set(why, ERR_NO_MEMORY, "no memory to unpack an answer of %zu bytes", len);
    if (arena->too_large)
        return why_set(why, ERR_TOO_LARGE, "an answer of %zu bytes unpacks to more than %u", len,
                       UNPACKED_MAX);
    return why_set(why, ERR_PARSE, "an answer of %zu bytes is not a message of the Workload API",
                   len);
}

static struct slice bytes_of(ProtobufCBinaryData data)
{
    return slice_of(data.data, data.len);
}

/* ---- bundles ---- */

/* "spiffe://td" -> roots. An empty value is a redacted one: there is no such bundle (WA-4). */
static err_t put_mapped(struct bundle_set *set, const char *key, ProtobufCBinaryData value,
                        struct why *why)
{
    struct spiffeid id;
    if (value.len == 0)
        return ERR_OK;
    err_t err = spiffeid_parse(slice_str(key), &id, why);
    if (err == ERR_OK && id.path.len > 0)
        err = why_set(why, ERR_SPIFFE_ID, "expected the ID of a trust domain, without a path");
    if (err == ERR_OK)
        err = bundle_set_put_foreign(set, id.trust_domain, bytes_of(value), why);
    return err == ERR_OK ? err : why_add(why, err, "bundle of \"%.300s\"", key);
}

err_t workload_bundles_decode(struct slice message, struct bundle_set *ret, struct why *why)
{
    struct arena arena = {.left = UNPACKED_MAX};
    ProtobufCAllocator allocator = allocator_of(&arena);
    X509BundlesResponse *answer =
        x509_bundles_response__unpack(&allocator, message.len, message.data);
    if (answer == NULL)
        return unpack_failed(&arena, message.len, why);
    struct bundle_set set;
    bundle_set_init(&set);
    err_t err = ERR_OK;
    for (size_t i = 0; i < answer->n_bundles && err == ERR_OK; i++)
        err = put_mapped(&set, answer->bundles[i]->key, answer->bundles[i]->value, why);
    if (err == ERR_OK && set.count == 0)
        err = why_set(why, ERR_PARSE, "bundles is empty; expected at least our own trust domain's");
    if (err == ERR_OK)
        *ret = set;
    else
        bundle_set_done(&set);
    x509_bundles_response__free_unpacked(answer, &allocator);
    return err;
}

/* ---- SVIDs ---- */

void workload_svids_done(struct workload_svids *s)
{
    for (size_t i = 0; i < s->count; i++)
        identity_unref(s->items[i]);
    mem_free(s->items);
    *s = (struct workload_svids){0};
}

static err_t check_fields(const X509SVID *svid, struct why *why)
{
    const char *missing = NULL;
    if (svid->spiffe_id[0] == '\0')
        missing = "spiffe_id";
    else if (svid->x509_svid.len == 0)
        missing = "x509_svid";
    else if (svid->x509_svid_key.len == 0)
        missing = "x509_svid_key";
    else if (svid->bundle.len == 0)
        missing = "bundle";
    if (missing != NULL)
        return why_set(why, ERR_PARSE, "the required field %s is empty", missing);
    return ERR_OK;
}

/* The federated bundles and those of all SVIDs, each under its own trust domain (X5-15). */
static err_t gather_bundles(const X509SVIDResponse *answer, struct bundle_set *set, struct why *why)
{
    for (size_t i = 0; i < answer->n_federated_bundles; i++) {
        err_t err = put_mapped(set, answer->federated_bundles[i]->key,
                               answer->federated_bundles[i]->value, why);
        if (err != ERR_OK)
            return err;
    }
    for (size_t i = 0; i < answer->n_svids; i++) {
        const X509SVID *svid = answer->svids[i];
        struct spiffeid id;
        err_t err = check_fields(svid, why);
        if (err == ERR_OK)
            err = spiffeid_parse(slice_str(svid->spiffe_id), &id, why);
        if (err == ERR_OK)
            err = bundle_set_put(set, id.trust_domain, bytes_of(svid->bundle), why);
        if (err != ERR_OK)
            return why_add(why, err, "svids[%zu] \"%.200s\"", i, svid->spiffe_id);
    }
    return ERR_OK;
}

static err_t make_identity(const X509SVID *svid, const struct bundle_set *bundles,
                           struct identity **ret, struct why *why)
{
    struct bundle_set own;
    err_t err = bundle_set_copy(bundles, &own);
    if (err != ERR_OK)
        return why_set(why, err, "no memory for the bundles");
    struct spiffeid id;
    struct identity *identity = NULL;
    err = spiffeid_parse(slice_str(svid->spiffe_id), &id, why);
    /* Of several SVIDs of one trust domain each keeps the bundle that came with it. */
    if (err == ERR_OK)
        err = bundle_set_put(&own, id.trust_domain, bytes_of(svid->bundle), why);
    if (err == ERR_OK)
        err = identity_new(bytes_of(svid->x509_svid), bytes_of(svid->x509_svid_key), svid->hint,
                           &own, &identity, why);
    if (err != ERR_OK) {
        bundle_set_done(&own);
        return err;
    }
    if (!slice_eq(identity_id(identity)->text, id.text)) {
        why_set(why, ERR_PARSE, "its certificate is for %.*s",
                SLICE_ARG(identity_id(identity)->text));
        identity_unref(identity);
        return ERR_PARSE;
    }
    *ret = identity;
    return ERR_OK;
}

static bool is_hint_taken(const struct workload_svids *s, const char *hint)
{
    for (size_t i = 0; i < s->count; i++)
        if (hint[0] != '\0' && strcmp(identity_hint(s->items[i]), hint) == 0)
            return true;
    return false;
}

static size_t bundle_bytes(const struct bundle_set *set)
{
    size_t total = 0;
    for (size_t i = 0; i < set->count; i++)
        total += set->items[i].der_len;
    return total;
}

static err_t collect(const X509SVIDResponse *answer, const struct bundle_set *bundles,
                     struct workload_svids *out, struct why *why)
{
    if (answer->n_svids == 0)
        return why_set(why, ERR_PARSE, "svids is empty; expected at least one SVID");
    if (answer->n_svids > WORKLOAD_SVIDS_MAX ||
        bundle_bytes(bundles) > WORKLOAD_STATE_MAX / answer->n_svids)
        return why_set(why, ERR_LIMIT, "%zu SVIDs with %zu bytes of bundles are more than we hold",
                       answer->n_svids, bundle_bytes(bundles));
    out->items = mem_array(answer->n_svids, sizeof *out->items);
    if (out->items == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for %zu SVIDs", answer->n_svids);
    for (size_t i = 0; i < answer->n_svids; i++) {
        const X509SVID *svid = answer->svids[i];
        if (is_hint_taken(out, svid->hint))
            continue;
        err_t err = make_identity(svid, bundles, &out->items[out->count], why);
        if (err != ERR_OK)
            return why_add(why, err, "svids[%zu] \"%.200s\"", i, svid->spiffe_id);
        out->count++;
    }
    return ERR_OK;
}

err_t workload_svids_decode(struct slice message, struct workload_svids *ret, struct why *why)
{
    struct arena arena = {.left = UNPACKED_MAX};
    ProtobufCAllocator allocator = allocator_of(&arena);
    X509SVIDResponse *answer = x509_svidresponse__unpack(&allocator, message.len, message.data);
    if (answer == NULL)
        return unpack_failed(&arena, message.len, why);
    struct workload_svids svids = {0};
    struct bundle_set bundles;
    bundle_set_init(&bundles);
    err_t err = gather_bundles(answer, &bundles, why);
    if (err == ERR_OK)
        err = collect(answer, &bundles, &svids, why);
    if (err == ERR_OK)
        *ret = svids;
    else
        workload_svids_done(&svids);
    bundle_set_done(&bundles);
    x509_svidresponse__free_unpacked(answer, &allocator);
    return err;
}

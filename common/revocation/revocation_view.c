#include "common/base/mem.h"
#include "common/revocation/revocation_table.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Without each of these the writer, or another holder of the descriptor, could take the bytes away
 * under us (SIGBUS) or change them. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | F_SEAL_FUTURE_WRITE)

struct revocation_view {
    atomic_uint refs;
    struct table_map map;
    void *mapped; /* ours to unmap; NULL: the bytes are a test's */
    size_t size;
};

static err_t view_new(void *bytes, size_t size, void *mapped, struct revocation_view **ret,
                      struct why *why)
{
    struct table_map map;
    err_t err = table_map_check(bytes, size, &map, why);
    if (err != ERR_OK)
        return err;
    struct revocation_view *v = mem_alloc(sizeof *v);
    if (v == NULL)
        return why_set(why, ERR_NO_MEMORY, "revocation cache: out of memory");
    atomic_init(&v->refs, 1);
    v->map = map;
    v->mapped = mapped;
    v->size = size;
    *ret = v;
    return ERR_OK;
}

err_t revocation_view_of(void *bytes, size_t size, struct revocation_view **ret, struct why *why)
{
    return view_new(bytes, size, NULL, ret, why);
}

err_t revocation_view_open(int fd, struct revocation_view **ret, struct why *why)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS)
        return why_set(why, ERR_PARSE,
                       "revocation cache: the descriptor is not memory sealed against changes");
    if (fstat(fd, &st) != 0)
        return why_errno(why, ERR_IO, "revocation cache: fstat");
    if (st.st_size < (off_t)sizeof(struct table_header))
        return why_set(why, ERR_PARSE, "revocation cache: %lld bytes are no table",
                       (long long)st.st_size);
    size_t size = (size_t)st.st_size;
    void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return why_errno(why, ERR_IO, "revocation cache: mapping %zu bytes", size);
    err_t err = view_new(bytes, size, bytes, ret, why);
    if (err != ERR_OK) {
        munmap(bytes, size);
        return err;
    }
    close(fd); /* the mapping stays */
    return ERR_OK;
}

struct revocation_view *revocation_view_ref(struct revocation_view *v)
{
    unsigned before = atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
    return v;
}

void revocation_view_unref(struct revocation_view *v)
{
    if (v == NULL || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (v->mapped != NULL)
        munmap(v->mapped, v->size);
    mem_free(v);
}

uint64_t revocation_view_generation(const struct revocation_view *v)
{
    return v == NULL ? 0 : atomic_load_explicit(&v->map.header->generation, memory_order_acquire);
}

int64_t revocation_view_alive_at(const struct revocation_view *v)
{
    return v == NULL ? 0 : atomic_load_explicit(&v->map.header->alive_at, memory_order_relaxed);
}

/* The issuer's index and list; false: not known. The word is read before any of its serials are:
 * what a complete list says by silence holds for rows read later. */
static bool find_issuer(const struct revocation_view *v,
                        const uint8_t issuer[static REVOCATION_ISSUER_LEN], uint32_t *ret_index,
                        struct revocation_issuer *ret)
{
    struct table_key key = table_key_issuer(issuer);
    struct table_place place = table_find_issuer(&v->map, &key);
    *ret_index = place.index;
    return table_unpack_issuer(place.word, ret);
}

bool revocation_view_issuer(const struct revocation_view *v,
                            const uint8_t issuer[static REVOCATION_ISSUER_LEN],
                            struct revocation_issuer *ret)
{
    struct revocation_issuer list;
    uint32_t index;
    if (v == NULL || !find_issuer(v, issuer, &index, &list))
        return false;
    list.this_update =
        atomic_load_explicit(&v->map.issuers[index].this_update, memory_order_relaxed);
    *ret = list;
    return true;
}

struct revocation_status
revocation_view_certificate(const struct revocation_view *v,
                            const uint8_t issuer[static REVOCATION_ISSUER_LEN], struct slice serial,
                            int64_t now)
{
    const struct revocation_status unknown = {.state = REVOCATION_UNKNOWN};
    struct revocation_status status;
    struct revocation_issuer list;
    struct table_key key;
    uint32_t index;
    if (v == NULL || !find_issuer(v, issuer, &index, &list) ||
        !table_key_serial(index, serial, &key))
        return unknown;
    uint64_t word = table_find_row(&v->map, &key).word;
    if (word > TABLE_FORGOTTEN) {
        if (!table_unpack_status(word, &status))
            return unknown;
        if (status.state == REVOCATION_REVOKED || now < status.at)
            return status;
    }
    if (list.complete && now < list.next_update)
        return (struct revocation_status){.state = REVOCATION_GOOD, .at = list.next_update};
    return unknown;
}

struct revocation_status revocation_view_id(const struct revocation_view *v,
                                            const struct revocation_id *id)
{
    const struct revocation_status unknown = {.state = REVOCATION_UNKNOWN};
    struct revocation_status status;
    if (v == NULL)
        return unknown;
    struct table_key key = table_key_id(id);
    if (!table_unpack_status(table_find_row(&v->map, &key).word, &status) ||
        status.state != REVOCATION_REVOKED)
        return unknown;
    status.held = true;
    return status;
}

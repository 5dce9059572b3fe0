#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/revocation/revocation_table.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

#define NAME "revocation cache"
#define ISSUERS_MIN 64u
#define ROWS_MIN 64u
/* Rows in use, forgotten ones too, before a new table is made: 3 of 4. The new one is half full, so
 * a million serials lie in 43 to 64 MB, and each is copied less than three times in all. */
#define FULL(capacity) ((capacity) / 4 * 3)

struct revocation_writer {
    struct table_map map;
    void *bytes; /* the one mapping that can be written */
    size_t size;
    int fd;
    size_t rows_used, rows_live, issuers_used, issuers_live;
    size_t grow_from; /* a new table could not be made: not tried before so many rows are in use */
    void (*on_replaced)(void *arg, int fd);
    void *arg;
};

/* A table in the making, and what it takes. */
struct shape {
    uint32_t issuers, rows; /* capacities */
    bool same_places; /* seed and issuers' places as they are: the copy runs straight through */
};

static err_t no_room(struct why *why, const char *what, size_t size)
{
    err_t err = errno == ENOMEM || errno == ENOSPC ? ERR_NO_MEMORY : ERR_IO;
    return why_errno(why, err, NAME ": %s %zu bytes", what, size);
}

/* A memfd of this size with memory behind all of it: writing never meets a page that is not there.
 */
static err_t make_memfd(size_t size, int *ret, struct why *why)
{
    int fd = memfd_create("spindle-revocations", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("spindle-revocations", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return no_room(why, "making memory of", size);
    int rc;
    do
        rc = fallocate(fd, 0, 0, (off_t)size);
    while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        err_t err = no_room(why, "reserving", size);
        close(fd);
        return err;
    }
    *ret = fd;
    return ERR_OK;
}

static void unmap(struct revocation_writer *t)
{
    if (t->bytes != NULL)
        munmap(t->bytes, t->size);
    if (t->fd >= 0)
        close(t->fd);
    t->bytes = NULL;
    t->fd = -1;
}

/* Our mapping first, then the seals: after them no other can be written. */
static err_t map_and_seal(struct revocation_writer *t, struct why *why)
{
    t->bytes = mmap(NULL, t->size, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
    if (t->bytes == MAP_FAILED) {
        t->bytes = NULL;
        return why_errno(why, ERR_IO, NAME ": mapping %zu bytes", t->size);
    }
    if (fcntl(t->fd, F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0)
        return why_errno(why, ERR_IO, NAME ": sealing its memory");
    return ERR_OK;
}

/* An empty table in `t`; on failure nothing is left of it. */
static err_t make_table(struct revocation_writer *t, const struct shape *shape,
                        const uint64_t seed[static 2], struct why *why)
{
    t->size = table_size(shape->issuers, shape->rows);
    t->bytes = NULL;
    err_t err = make_memfd(t->size, &t->fd, why);
    if (err != ERR_OK)
        return err;
    err = map_and_seal(t, why);
    if (err == ERR_OK) {
        struct table_header *h = t->bytes;
        h->magic = TABLE_MAGIC;
        h->version = TABLE_VERSION;
        h->issuer_capacity = shape->issuers;
        h->row_capacity = shape->rows;
        h->seed[0] = seed[0];
        h->seed[1] = seed[1];
        err = table_map_check(t->bytes, t->size, &t->map, why);
    }
    if (err != ERR_OK)
        unmap(t);
    t->rows_used = t->rows_live = t->issuers_used = t->issuers_live = 0;
    return err;
}

static void put_word(struct table_row *row, uint64_t word)
{
    atomic_store_explicit(&row->word, word, memory_order_release);
}

/* The key first, then what lets readers at it. */
static void put_issuer(struct revocation_writer *w, uint32_t index, const struct table_key *key,
                       uint64_t word)
{
    w->map.issuers[index].row.key = *key;
    put_word(&w->map.issuers[index].row, word);
    w->issuers_used++;
}

static void put_row(struct revocation_writer *w, const struct table_place *at,
                    const struct table_key *key, uint64_t word)
{
    w->map.rows[at->index].key = *key;
    put_word(&w->map.rows[at->index], word);
    atomic_store_explicit(&w->map.tags[at->index], at->tag, memory_order_release);
    w->rows_used++;
}

/* Issuers of `from` into the empty `to`; places[i] is where row i went. */
static bool copy_issuers(const struct revocation_writer *from, struct revocation_writer *to,
                         bool same_places, uint16_t *places)
{
    for (uint32_t i = 0; i < from->map.issuer_capacity; i++) {
        const struct table_issuer *old = &from->map.issuers[i];
        uint64_t word = atomic_load_explicit(&old->row.word, memory_order_relaxed);
        int64_t this_update = atomic_load_explicit(&old->this_update, memory_order_relaxed);
        if (word == TABLE_EMPTY || (word == TABLE_FORGOTTEN && !same_places))
            continue;
        uint32_t place = same_places ? i : table_find_issuer(&to->map, &old->row.key).index;
        if (place == TABLE_NOWHERE)
            return false;
        atomic_store_explicit(&to->map.issuers[place].this_update, this_update,
                              memory_order_relaxed);
        put_issuer(to, place, &old->row.key, word);
        places[i] = (uint16_t)place;
        to->issuers_live += word != TABLE_FORGOTTEN;
    }
    return true;
}

static bool copy_rows(const struct revocation_writer *from, struct revocation_writer *to,
                      const uint16_t *places)
{
    for (uint32_t i = 0; i < from->map.row_capacity; i++) {
        const struct table_row *old = &from->map.rows[i];
        uint64_t word = atomic_load_explicit(&old->word, memory_order_relaxed);
        struct table_key key = old->key;
        uint32_t issuer;
        if (word <= TABLE_FORGOTTEN)
            continue;
        if (table_key_has_issuer(&key, &issuer))
            key = table_key_moved(&key, places[issuer]);
        struct table_place place = table_find_row(&to->map, &key);
        if (place.index == TABLE_NOWHERE)
            return false;
        put_row(to, &place, &key, word);
        to->rows_live++;
    }
    return true;
}

static err_t copy_table(const struct revocation_writer *from, struct revocation_writer *to,
                        const struct shape *shape, struct why *why)
{
    uint64_t seed[2] = {from->map.seed[0], from->map.seed[1]};
    if (!shape->same_places)
        rand_bytes(seed, sizeof seed);
    uint16_t *places = mem_array(from->map.issuer_capacity, sizeof *places);
    if (places == NULL)
        return why_set(why, ERR_NO_MEMORY, NAME ": out of memory");
    err_t err = make_table(to, shape, seed, why);
    if (err == ERR_OK &&
        (!copy_issuers(from, to, shape->same_places, places) || !copy_rows(from, to, places))) {
        unmap(to);
        err = why_set(why, ERR_LIMIT, NAME ": no place for each of %zu rows", from->rows_live);
    }
    mem_free(places);
    return err;
}

/* Makes a table of this shape, moves all to it, and tells. On failure all is as it was. */
static err_t replace(struct revocation_writer *w, const struct shape *shape, struct why *why)
{
    struct revocation_writer next = *w;
    err_t err = copy_table(w, &next, shape, why);
    if (err != ERR_OK)
        return err;
    const struct table_header *from = w->map.header;
    struct table_header *to = next.map.header;
    atomic_store(&to->generation, atomic_load(&from->generation));
    atomic_store(&to->alive_at, atomic_load(&from->alive_at));
    struct revocation_writer old = *w;
    *w = next;
    if (w->on_replaced != NULL)
        w->on_replaced(w->arg, w->fd);
    unmap(&old);
    return ERR_OK;
}

static uint32_t clamp(size_t wanted, uint32_t min, uint32_t max)
{
    return wanted < min ? min : wanted > max ? max : (uint32_t)wanted;
}

/* What a new table would be like: twice what lives, so that forgotten rows do not fill it for ever.
 */
static struct shape next_shape(const struct revocation_writer *w)
{
    return (struct shape){
        .issuers = clamp(w->issuers_live * 4, ISSUERS_MIN, TABLE_ISSUERS_MAX),
        .rows = clamp(w->rows_live * 2, ROWS_MIN, TABLE_ROWS_MAX),
    };
}

err_t revocation_writer_new(size_t expected, void (*on_replaced)(void *arg, int fd), void *arg,
                            struct revocation_writer **ret, struct why *why)
{
    struct revocation_writer *w = mem_alloc(sizeof *w);
    if (w == NULL)
        return why_set(why, ERR_NO_MEMORY, NAME ": out of memory");
    uint64_t seed[2];
    rand_bytes(seed, sizeof seed);
    w->on_replaced = on_replaced;
    w->arg = arg;
    /* Half as much again: they do not fill it. */
    struct shape shape = {
        .issuers = ISSUERS_MIN,
        .rows =
            clamp((size_t)clamp(expected, 0, TABLE_ROWS_MAX) / 2 * 3 + 2, ROWS_MIN, TABLE_ROWS_MAX),
    };
    err_t err = make_table(w, &shape, seed, why);
    if (err != ERR_OK) {
        mem_free(w);
        return err;
    }
    *ret = w;
    return ERR_OK;
}

void revocation_writer_free(struct revocation_writer *w)
{
    if (w == NULL)
        return;
    unmap(w);
    mem_free(w);
}

int revocation_writer_fd(const struct revocation_writer *w)
{
    return w->fd;
}

/* Would a new table help? One that cannot be made now lets this one be used beyond its measure. */
static bool is_crowded(size_t used, size_t live, uint32_t capacity, uint32_t wanted)
{
    return used >= FULL(capacity) && (wanted > capacity || used - live >= capacity / 8);
}

static void keep_room(struct revocation_writer *w)
{
    const struct table_map *t = &w->map;
    struct shape shape = next_shape(w);
    struct why why = {0};
    shape.same_places =
        !is_crowded(w->issuers_used, w->issuers_live, t->issuer_capacity, shape.issuers);
    if (shape.same_places)
        shape.issuers = t->issuer_capacity;
    bool is_full =
        !shape.same_places || is_crowded(w->rows_used, w->rows_live, t->row_capacity, shape.rows);
    if (is_full && w->rows_used >= w->grow_from && replace(w, &shape, &why) != ERR_OK)
        w->grow_from = w->rows_used + t->row_capacity / 64 + 1; /* each try reserves all of it */
}

/* What is said of an issuer appears in one step, a new one too. */
static err_t say_issuer(struct revocation_writer *w, const struct table_key *key,
                        const struct revocation_issuer *list, uint32_t *ret_index, struct why *why)
{
    struct table_place place = table_find_issuer(&w->map, key);
    uint64_t word = table_pack_issuer(list);
    bool is_new = place.word <= TABLE_FORGOTTEN;
    if (place.index == TABLE_NOWHERE || (is_new && w->issuers_live >= FULL(TABLE_ISSUERS_MAX)))
        return why_set(why, ERR_LIMIT, NAME ": no room for another issuer beside %zu",
                       w->issuers_live);
    struct table_issuer *issuer = &w->map.issuers[place.index];
    atomic_store_explicit(&issuer->this_update, list->this_update, memory_order_relaxed);
    if (place.word == TABLE_EMPTY)
        put_issuer(w, place.index, key, word);
    else
        put_word(&issuer->row, word);
    w->issuers_live += is_new;
    *ret_index = place.index;
    return ERR_OK;
}

static err_t need_issuer(struct revocation_writer *w, const struct table_key *key,
                         uint32_t *ret_index, struct why *why)
{
    const struct revocation_issuer nothing = {.complete = false};
    struct table_place place = table_find_issuer(&w->map, key);
    if (place.word <= TABLE_FORGOTTEN)
        return say_issuer(w, key, &nothing, ret_index, why);
    *ret_index = place.index;
    return ERR_OK;
}

/* What a row is about. */
struct subject {
    const uint8_t *issuer; /* NULL: an ID */
    struct slice serial;
    struct revocation_id id;
};

static err_t store_once(struct revocation_writer *w, const struct subject *about, uint64_t word,
                        struct why *why)
{
    struct table_key key = table_key_id(&about->id);
    if (about->issuer != NULL) {
        struct table_key issuer = table_key_issuer(about->issuer);
        uint32_t index = 0;
        err_t err = need_issuer(w, &issuer, &index, why);
        if (err != ERR_OK)
            return err;
        if (!table_key_serial(index, about->serial, &key))
            return why_set(why, ERR_TOO_LARGE, NAME ": a serial of %zu bytes; RFC 5280 allows 20",
                           about->serial.len);
    }
    struct table_place place = table_find_row(&w->map, &key);
    bool is_new = place.word <= TABLE_FORGOTTEN;
    if (place.index == TABLE_NOWHERE || (is_new && w->rows_live >= FULL(TABLE_ROWS_MAX)))
        return why_set(why, ERR_LIMIT, NAME ": no room for another row beside %zu", w->rows_live);
    if (place.word == TABLE_EMPTY)
        put_row(w, &place, &key, word);
    else
        put_word(&w->map.rows[place.index], word);
    w->rows_live += is_new;
    return ERR_OK;
}

static err_t store(struct revocation_writer *w, const struct subject *about, uint64_t word,
                   struct why *why)
{
    keep_room(w);
    err_t err = store_once(w, about, word, why);
    if (err != ERR_LIMIT || w->rows_live >= FULL(TABLE_ROWS_MAX) ||
        w->issuers_live >= FULL(TABLE_ISSUERS_MAX))
        return err;
    struct shape shape = next_shape(w); /* too many about one place: another seed spreads them */
    err = replace(w, &shape, why);
    return err == ERR_OK ? store_once(w, about, word, why) : err;
}

static void forget_row(struct revocation_writer *w, uint32_t index)
{
    put_word(&w->map.rows[index], TABLE_FORGOTTEN);
    w->rows_live--;
}

static void forget_key(struct revocation_writer *w, const struct table_key *key)
{
    struct table_place place = table_find_row(&w->map, key);
    if (place.word > TABLE_FORGOTTEN)
        forget_row(w, place.index);
}

err_t revocation_writer_issuer(struct revocation_writer *w,
                               const uint8_t issuer[static REVOCATION_ISSUER_LEN],
                               const struct revocation_issuer *list, struct why *why)
{
    struct table_key key = table_key_issuer(issuer);
    uint32_t index;
    keep_room(w);
    return say_issuer(w, &key, list, &index, why);
}

void revocation_writer_forget_issuer(struct revocation_writer *w,
                                     const uint8_t issuer[static REVOCATION_ISSUER_LEN])
{
    struct table_key key = table_key_issuer(issuer);
    struct table_place place = table_find_issuer(&w->map, &key);
    uint32_t index;
    if (place.word <= TABLE_FORGOTTEN)
        return;
    put_word(&w->map.issuers[place.index].row, TABLE_FORGOTTEN);
    w->issuers_live--;
    for (uint32_t i = 0; i < w->map.row_capacity; i++) {
        const struct table_row *row = &w->map.rows[i];
        if (atomic_load_explicit(&row->word, memory_order_relaxed) > TABLE_FORGOTTEN &&
            table_key_has_issuer(&row->key, &index) && index == place.index)
            forget_row(w, i);
    }
}

err_t revocation_writer_set(struct revocation_writer *w,
                            const uint8_t issuer[static REVOCATION_ISSUER_LEN], struct slice serial,
                            const struct revocation_status *status, struct why *why)
{
    if (status->state != REVOCATION_UNKNOWN)
        return store(w, &(struct subject){.issuer = issuer, .serial = serial},
                     table_pack_status(status), why);
    struct table_key of = table_key_issuer(issuer), key;
    struct table_place place = table_find_issuer(&w->map, &of);
    if (place.word > TABLE_FORGOTTEN && table_key_serial(place.index, serial, &key))
        forget_key(w, &key);
    return ERR_OK;
}

err_t revocation_writer_hold(struct revocation_writer *w, struct slice spiffe_id,
                             const struct revocation_status *status, struct why *why)
{
    struct revocation_id id = revocation_id_of(spiffe_id);
    if (status->state == REVOCATION_REVOKED)
        return store(w, &(struct subject){.id = id}, table_pack_status(status), why);
    struct table_key key = table_key_id(&id);
    forget_key(w, &key);
    return ERR_OK;
}

void revocation_writer_alive(struct revocation_writer *w, int64_t now)
{
    atomic_store_explicit(&w->map.header->alive_at, now, memory_order_relaxed);
}

uint64_t revocation_writer_commit(struct revocation_writer *w)
{
    return atomic_fetch_add_explicit(&w->map.header->generation, 1, memory_order_release) + 1;
}

size_t revocation_writer_count(const struct revocation_writer *w)
{
    return w->rows_live;
}

size_t revocation_writer_bytes(const struct revocation_writer *w)
{
    return w->size;
}

const struct table_map *revocation_writer_map(const struct revocation_writer *w)
{
    return &w->map;
}

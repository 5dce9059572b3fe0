#include "agent/store/record_store.h"

#include "common/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUCKETS_FIRST = 1024 };

uint32_t record_store_position(uint32_t seq, uint32_t row)
{
    return (seq & 0xffff) << 16 | row;
}

struct record_segment *record_store_segment(const struct record_store *st, uint32_t seq)
{
    uint32_t at = (uint16_t)(seq - st->first_seq);
    return at < st->segment_count ? st->segments[at] : NULL;
}

struct record_link *record_store_link(const struct record_store *st, uint32_t position)
{
    struct record_segment *s = record_store_segment(st, position >> 16);
    uint32_t row = position & 0xffff;
    return position != 0 && s != NULL && row < s->rows ? &s->links[row] : NULL;
}

struct record_segment *record_store_last(const struct record_store *st)
{
    uint32_t i = st->segment_count;
    while (i > 0 && st->segments[i - 1] == NULL)
        i--;
    return i > 0 ? st->segments[i - 1] : NULL;
}

/* The index. */

static uint32_t *bucket(const struct record_store *st, uint32_t hash)
{
    return &st->buckets[hash & (st->bucket_count - 1)];
}

uint32_t record_store_first(const struct record_store *st, uint32_t hash)
{
    return *bucket(st, hash);
}

static void rehash(struct record_store *st)
{
    for (uint32_t i = 0; i < st->segment_count; i++) {
        struct record_segment *s = st->segments[i];
        for (uint32_t row = 0; s != NULL && row < s->rows; row++) {
            if (s->links[row].hash == 0)
                continue;
            uint32_t *first = bucket(st, s->links[row].hash);
            s->links[row].next = *first;
            *first = record_store_position(s->seq, row);
        }
    }
}

err_t record_store_reserve(struct record_store *st)
{
    if (st->records < st->bucket_count)
        return ERR_OK;
    uint32_t *buckets = mem_array(2 * (size_t)st->bucket_count, sizeof *buckets);
    if (buckets == NULL)
        return ERR_NO_MEMORY;
    mem_free(st->buckets);
    st->buckets = buckets;
    st->bucket_count *= 2;
    rehash(st);
    return ERR_OK;
}

/* Positions in the order of their segments. */
static uint32_t age(const struct record_store *st, uint32_t position)
{
    return position - (st->first_seq << 16);
}

/* In the order of positions: segments may have come behind the one that was carried into. */
static uint32_t *place_in_chain(const struct record_store *st, uint32_t *newest, uint32_t position)
{
    struct record_link *link;
    while ((link = record_store_link(st, *newest)) != NULL && age(st, *newest) > age(st, position))
        newest = &link->older;
    return newest;
}

void record_store_index(struct record_store *st, struct record_segment *s, uint32_t row,
                        uint32_t number)
{
    struct record_link *link = &s->links[row];
    struct record_local_name *local = &s->names[number];
    struct record_name *name = record_names_at(&st->names, local->name);
    uint32_t position = record_store_position(s->seq, row), *first = bucket(st, link->hash);
    uint32_t *older = place_in_chain(st, &name->newest, position);
    link->next = *first;
    link->older = *older;
    *first = *older = position;
    local->issued++;
    st->records++;
}

static void unlink_row(struct record_store *st, uint32_t position, const struct record_link *link)
{
    uint32_t *at = bucket(st, link->hash);
    while (*at != position)
        at = &record_store_link(st, *at)->next;
    *at = link->next;
    st->records--;
}

/* Reading. */

static err_t read_row(struct record_store *st, const struct record_segment *s, uint32_t row,
                      struct record_row *ret, struct why *why)
{
    bool is_there = st->block.seq == s->seq && row >= st->block.first &&
                    row < st->block.first + st->block.count;
    if (!is_there) {
        uint32_t first = row - row % RECORD_BLOCK_ROWS;
        uint32_t count = s->rows - first < RECORD_BLOCK_ROWS ? s->rows - first : RECORD_BLOCK_ROWS;
        st->block.count = 0;
        err_t err = record_segment_read(s, first, count, st->block.rows, why);
        if (err != ERR_OK)
            return err;
        st->block.seq = s->seq;
        st->block.first = first;
        st->block.count = count;
    }
    if (!record_row_decode(st->block.rows + (row - st->block.first) * RECORD_ROW_LEN, ret) ||
        ret->kind != RECORD_ROW_ISSUED)
        return why_set(why, ERR_PARSE,
                       "segment %08" PRIu32 ": row %" PRIu32 " was damaged meanwhile", s->seq, row);
    return ERR_OK;
}

err_t record_store_item(struct record_store *st, uint32_t position, struct record_item *ret,
                        struct why *why)
{
    const struct record_segment *s = record_store_segment(st, position >> 16);
    struct record_row row;
    err_t err = read_row(st, s, position & 0xffff, &row, why);
    if (err != ERR_OK)
        return err;
    if (row.number >= s->name_count || row.issued.issuer >= s->issuer_count)
        return why_set(why, ERR_PARSE, "segment %08" PRIu32 " was changed meanwhile", s->seq);
    const struct record_name *name = record_names_at(&st->names, s->names[row.number].name);
    *ret = (struct record_item){.spiffe_id = name->spiffe_id,
                                .entry_id = name->entry_id,
                                .not_before = row.issued.not_before,
                                .not_after = row.issued.not_after,
                                .issued_at = row.issued.issued_at,
                                .flags = row.flags};
    memcpy(ret->serial, row.issued.serial, sizeof ret->serial);
    memcpy(ret->issuer, s->issuers[row.issued.issuer], sizeof ret->issuer);
    return ERR_OK;
}

/* Segments come and go. */

err_t record_store_add_place(struct record_store *st, struct why *why)
{
    if (st->segment_count == RECORD_SEGMENTS_MAX)
        return why_set(why, ERR_RECORD, "the record has its %d segments", RECORD_SEGMENTS_MAX);
    struct record_segment **segments =
        mem_resize(st->segments, (st->segment_count + 1) * sizeof(struct record_segment *));
    if (segments == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for a segment");
    st->segments = segments;
    segments[st->segment_count++] = NULL;
    return ERR_OK;
}

err_t record_store_roll(struct record_store *st, struct why *why)
{
    uint32_t at = st->segment_count;
    err_t err = record_store_add_place(st, why);
    if (err != ERR_OK)
        return err;
    err = record_segment_make(st->dir_fd, st->first_seq + at, st->rows_max, st->issued_total,
                              &st->segments[at], why);
    if (err != ERR_OK)
        st->segment_count--;
    else
        st->is_dir_dirty = true;
    return err;
}

void record_store_drop_first(struct record_store *st)
{
    struct record_segment *s = st->segments[0];
    for (uint32_t row = 0; s != NULL && row < s->rows; row++)
        if (s->links[row].hash != 0)
            unlink_row(st, record_store_position(s->seq, row), &s->links[row]);
    for (uint32_t i = 0; s != NULL && i < s->name_count; i++) {
        struct record_name *name = record_names_at(&st->names, s->names[i].name);
        if (name->newest >> 16 == (s->seq & 0xffff))
            name->newest = 0;
        record_names_release(&st->names, s->names[i].name, s->names[i].issued + 1);
    }
    if (s != NULL && st->block.seq == s->seq)
        st->block.count = 0;
    if (s != NULL) {
        s->next = st->gone;
        st->gone = s;
    }
    st->segment_count--;
    st->first_seq++;
    memmove(st->segments, st->segments + 1, st->segment_count * sizeof *st->segments);
    st->is_dir_dirty = true;
}

bool record_store_expire(struct record_store *st, int64_t before)
{
    const struct record_segment *s = st->segment_count > 1 ? st->segments[0] : NULL;
    if (st->segment_count < 2 || (s != NULL && s->last_not_after >= before))
        return false;
    record_store_drop_first(st);
    return true;
}

/* Appending. */

err_t record_store_append(struct record_store *st, const struct record_item *item,
                          uint32_t name_number, struct why *why)
{
    struct record_name *name = record_names_at(&st->names, name_number);
    struct record_segment *s = record_store_last(st);
    err_t err = ERR_OK;
    if (s == NULL || s->rows + record_row_parts(name->id_len, name->entry_len) + 2 > s->rows_max)
        err = record_store_roll(st, why);
    if (err != ERR_OK)
        return err;
    s = record_store_last(st);
    if (record_store_reserve(st) != ERR_OK)
        return why_set(why, ERR_NO_MEMORY, "no memory for the record");
    if (s->rows == 0) /* nothing in it was good */
        err = record_segment_begin(s, st->issued_total, why);
    uint32_t number = name->in_segment == s->seq ? name->local : s->name_count;
    bool is_new = number == s->name_count;
    if (err == ERR_OK)
        err = record_segment_put(s, item, name_number, number, why);
    if (err != ERR_OK)
        return err;
    if (is_new) {
        record_names_use(&st->names, name_number);
        name->in_segment = s->seq;
        name->local = number;
    }
    record_names_use(&st->names, name_number);
    record_store_index(st, s, s->rows - 1, number);
    st->issued_total++;
    return ERR_OK;
}

err_t record_store_make_ready(struct record_store *st, struct why *why)
{
    const struct record_segment *s = record_store_last(st);
    if (s == NULL || s->rows + RECORD_ROWS_MAX > st->rows_max)
        return record_store_roll(st, why);
    return record_segment_reserve_disk(s, RECORD_ROWS_MAX, why);
}

/* Opening and closing. */

static err_t open_dir(const char *dir, int *ret_fd, struct why *why)
{
    struct stat st;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return why_errno(why, ERR_IO, "cannot make the record's folder %s", dir);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return why_errno(why, ERR_IO, "cannot open the record's folder %s", dir);
    if (fstat(fd, &st) != 0 || st.st_uid != geteuid() || (st.st_mode & 022) != 0) {
        close(fd);
        return why_set(why, ERR_FILE_MODE,
                       "%s: expected a folder of user %u that no other may write: chown it, chmod "
                       "700 it",
                       dir, (unsigned)geteuid());
    }
    *ret_fd = fd;
    return ERR_OK;
}

err_t record_store_open(const char *dir, uint64_t records_max, uint32_t rows_max,
                        struct record_store **ret, struct why *why)
{
    struct record_store *st = mem_alloc(sizeof *st);
    if (st == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for the record");
    st->dir_fd = -1;
    st->rows_max = rows_max;
    st->records_max = records_max;
    st->first_seq = 1;
    st->bucket_count = BUCKETS_FIRST;
    st->buckets = mem_array(BUCKETS_FIRST, sizeof *st->buckets);
    err_t err = st->buckets != NULL ? record_names_init(&st->names) : ERR_NO_MEMORY;
    if (err != ERR_OK)
        why_set(why, err, "no memory for the record");
    if (err == ERR_OK)
        err = open_dir(dir, &st->dir_fd, why);
    if (err != ERR_OK) {
        record_store_close(st);
        return err;
    }
    *ret = st;
    return ERR_OK;
}

void record_store_close(struct record_store *st)
{
    if (st == NULL)
        return;
    for (uint32_t i = 0; i < st->segment_count; i++)
        record_segment_close(st->segments[i]);
    record_segment_remove_all(st->gone, st->dir_fd);
    mem_free(st->segments);
    mem_free(st->buckets);
    record_names_done(&st->names);
    if (st->dir_fd >= 0)
        close(st->dir_fd);
    mem_free(st);
}

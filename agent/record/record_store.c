#include "agent/record/record_store.h"

#include "common/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUCKETS_FIRST = 1024,
    FULL_PAUSE_S = 1,
    GO_AT_ONCE = 4,     /* segments */
    WORTH_IT = 16,      /* room is made when at least this part of the records can go */
    ROWS_AT_MOST = 128, /* of one append: texts, issuer, certificate */
};

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

static struct record_segment *last_segment(const struct record_store *st)
{
    return st->segment_count > 0 ? st->segments[st->segment_count - 1] : NULL;
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

uint32_t record_store_hash(const uint8_t serial[static RECORD_SERIAL_LEN])
{
    uint32_t hash = 0; /* a serial is random */
    for (int i = 0; i < 4; i++)
        hash = hash << 8 | serial[i];
    return hash != 0 ? hash : 1;
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

void record_store_index(struct record_store *st, struct record_segment *s, uint32_t row,
                        const struct record_row *issued)
{
    struct record_local_name *local = &s->names[issued->number];
    struct record_name *name = record_names_at(&st->names, local->name);
    int64_t not_after = issued->issued.not_after;
    uint32_t hash = record_store_hash(issued->issued.serial), *first = bucket(st, hash);
    s->links[row] = (struct record_link){
        .hash = hash,
        .next = *first,
        .older = name->newest,
        .not_after = not_after < 0            ? 0
                     : not_after > UINT32_MAX ? UINT32_MAX
                                              : (uint32_t)not_after,
    };
    *first = name->newest = record_store_position(s->seq, row);
    local->issued++;
    st->records++;
    if (not_after > s->last_not_after)
        s->last_not_after = not_after;
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

static err_t roll(struct record_store *st, struct why *why)
{
    struct record_segment *s = NULL;
    if (st->segment_count == RECORD_SEGMENTS_MAX)
        return why_set(why, ERR_RECORD, "the record has its %d segments", RECORD_SEGMENTS_MAX);
    struct record_segment **segments =
        mem_resize(st->segments, (st->segment_count + 1) * sizeof(struct record_segment *));
    if (segments == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for a segment");
    st->segments = segments;
    err_t err = record_segment_make(st->dir_fd, st->first_seq + st->segment_count, st->rows_max,
                                    st->issued_total, &s, why);
    if (err != ERR_OK)
        return err;
    st->segments[st->segment_count++] = s;
    st->is_dir_dirty = true;
    return ERR_OK;
}

/* The first one, with all that is known of its certificates. */
static void drop_first(struct record_store *st)
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
    if (s != NULL)
        record_segment_remove(s, st->dir_fd);
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
    drop_first(st);
    return true;
}

/* Appending. */

static uint32_t put_name(uint32_t number, const struct record_name *name, uint8_t *out)
{
    struct record_row row = {.kind = RECORD_ROW_IDENTITY, .number = number};
    uint8_t text[RECORD_ID_MAX + RECORD_ENTRY_MAX + RECORD_TEXT_PART] = {0};
    uint32_t parts = record_row_parts(name->id_len, name->entry_len);
    memcpy(text, name->spiffe_id, name->id_len);
    memcpy(text + name->id_len, name->entry_id, name->entry_len);
    row.identity.id_len = name->id_len;
    row.identity.entry_len = name->entry_len;
    for (uint32_t i = 0; i < parts; i++) {
        row.identity.part = (uint16_t)i;
        memcpy(row.identity.text, text + i * RECORD_TEXT_PART, RECORD_TEXT_PART);
        record_row_encode(&row, out + i * RECORD_ROW_LEN);
    }
    return parts;
}

/* The segment has room for it, in the file and in memory. */
static err_t append_to(struct record_store *st, struct record_segment *s,
                       const struct record_item *item, uint32_t name_number, struct why *why)
{
    uint8_t rows[ROWS_AT_MOST * RECORD_ROW_LEN];
    uint32_t count = 0;
    struct record_name *name = record_names_at(&st->names, name_number);
    bool is_new_name = name->in_segment != s->seq;
    uint32_t local = is_new_name ? s->name_count : name->local;
    uint32_t issuer = record_segment_find_issuer(s, item->issuer);
    bool is_new_issuer = issuer == s->issuer_count;
    if (is_new_name)
        count = put_name(local, name, rows);
    if (is_new_issuer) {
        struct record_row row = {.kind = RECORD_ROW_ISSUER, .number = issuer};
        memcpy(row.key_id, item->issuer, sizeof row.key_id);
        record_row_encode(&row, rows + count++ * RECORD_ROW_LEN);
    }
    struct record_row row = {.kind = RECORD_ROW_ISSUED, .flags = item->flags, .number = local};
    row.issued.issuer = issuer;
    row.issued.not_before = item->not_before;
    row.issued.not_after = item->not_after;
    row.issued.issued_at = item->issued_at;
    memcpy(row.issued.serial, item->serial, sizeof row.issued.serial);
    record_row_encode(&row, rows + count++ * RECORD_ROW_LEN);
    err_t err = record_segment_append(s, rows, count, why);
    if (err != ERR_OK)
        return err;
    if (is_new_name) {
        record_segment_add_name(s, name_number);
        record_names_use(&st->names, name_number);
        name->in_segment = s->seq;
        name->local = local;
    }
    if (is_new_issuer)
        record_segment_add_issuer(s, item->issuer);
    record_names_use(&st->names, name_number);
    record_store_index(st, s, s->rows - 1, &row);
    st->issued_total += (item->flags & RECORD_CARRIED) == 0;
    return ERR_OK;
}

static err_t append(struct record_store *st, const struct record_item *item, uint32_t name,
                    struct why *why)
{
    const struct record_name *n = record_names_at(&st->names, name);
    struct record_segment *s = last_segment(st);
    err_t err = ERR_OK;
    if (s == NULL || s->rows + record_row_parts(n->id_len, n->entry_len) + 2 > s->rows_max)
        err = roll(st, why);
    if (err != ERR_OK)
        return err;
    s = last_segment(st);
    err = record_store_reserve(st);
    if (err == ERR_OK)
        err = record_segment_reserve(s);
    if (err != ERR_OK)
        return why_set(why, err, "no memory for the record");
    if (s->rows == 0) /* nothing in it was good */
        err = record_segment_begin(s, st->issued_total, why);
    if (err != ERR_OK)
        return err;
    return append_to(st, s, item, name, why);
}

/* Making room. */

static bool is_expired(const struct record_link *link, int64_t now)
{
    return link->hash != 0 && (int64_t)link->not_after < now;
}

static uint64_t count_expired(const struct record_store *st, int64_t now)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < st->segment_count; i++) {
        const struct record_segment *s = st->segments[i];
        for (uint32_t row = 0; s != NULL && row < s->rows; row++)
            count += is_expired(&s->links[row], now);
    }
    return count;
}

/* Unless a try before this one did it. */
static err_t carry_row(struct record_store *st, uint32_t position, struct why *why)
{
    struct record_item item;
    uint32_t newest = 0;
    err_t err = record_store_item(st, position, &item, why);
    if (err == ERR_PARSE) { /* it cannot be kept, and must not keep the others from being */
        st->lost_rows++;
        return ERR_OK;
    }
    if (err == ERR_OK)
        err = record_store_lookup(st, item.serial, &newest, why);
    if (err != ERR_OK || newest != position)
        return err;
    const struct record_segment *s = record_store_segment(st, position >> 16);
    struct record_row row;
    err = read_row(st, s, position & 0xffff, &row, why);
    if (err != ERR_OK)
        return err;
    item.flags |= RECORD_CARRIED;
    return append(st, &item, s->names[row.number].name, why);
}

static err_t carry_first(struct record_store *st, int64_t now, struct why *why)
{
    const struct record_segment *s = st->segments[0];
    err_t err = ERR_OK;
    for (uint32_t row = 0; err == ERR_OK && s != NULL && row < s->rows; row++)
        if (s->links[row].hash != 0 && !is_expired(&s->links[row], now))
            err = carry_row(st, record_store_position(s->seq, row), why);
    return err;
}

static err_t make_room(struct record_store *st, int64_t now, struct why *why)
{
    err_t err = ERR_OK;
    bool is_worth_it = now >= st->full_until && count_expired(st, now) > st->records / WORTH_IT;
    for (int i = 0; is_worth_it && i < GO_AT_ONCE && st->records >= st->records_max; i++) {
        if (st->segment_count == 1)
            err = roll(st, why);
        if (err == ERR_OK)
            err = carry_first(st, now, why);
        if (err != ERR_OK)
            return err;
        drop_first(st);
    }
    if (st->records < st->records_max)
        return ERR_OK;
    if (now >= st->full_until)
        st->full_until = now + FULL_PAUSE_S;
    return why_set(why, ERR_RECORD,
                   "the record holds %" PRIu64 " certificates and hardly one has expired: raise "
                   "record.max_records, or find out who asks for so many",
                   st->records);
}

err_t record_store_append(struct record_store *st, const struct record_item *item, uint32_t name,
                          int64_t now, struct why *why)
{
    err_t err = st->records >= st->records_max ? make_room(st, now, why) : ERR_OK;
    return err == ERR_OK ? append(st, item, name, why) : err;
}

err_t record_store_make_ready(struct record_store *st, int64_t now, struct why *why)
{
    const struct record_segment *s = last_segment(st);
    err_t err = st->records >= st->records_max ? make_room(st, now, why) : ERR_OK;
    if (err == ERR_OK && (s == NULL || s->rows + ROWS_AT_MOST > st->rows_max))
        return roll(st, why);
    return err == ERR_OK ? record_segment_reserve_disk(last_segment(st), ROWS_AT_MOST, why) : err;
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
                        record_damage_fn *on_damage, void *arg, struct record_store **ret,
                        struct why *why)
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
    if (err == ERR_OK)
        err = record_load(st, on_damage, arg, why);
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
    mem_free(st->segments);
    mem_free(st->buckets);
    record_names_done(&st->names);
    if (st->dir_fd >= 0)
        close(st->dir_fd);
    mem_free(st);
}

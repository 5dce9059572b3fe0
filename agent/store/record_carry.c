#include "agent/store/record_carry.h"

#include "common/base/mem.h"

#include <inttypes.h>
#include <unistd.h>

enum {
    WORTH_IT = 16, /* room is made when at least this part of the records can go */
};

struct record_carry {
    struct record_store *st;           /* the loop's alone */
    const struct record_segment *from; /* its first; nothing is added to it */
    struct record_segment *to;         /* owned; NULL when that failed */
    int dir_fd;
    uint32_t seq; /* of `to` */
    uint64_t issued_before;
    uint32_t *rows; /* owned: which of `from` are carried; of each that was, its number in `to` */
    uint32_t count, carried, lost;
    const struct record_name **names; /* owned; those of `from`, whose texts stay as they are */
    uint32_t *numbers;                /* owned; in `to`, by name: from 1 */
    struct record_row block[RECORD_BLOCK_ROWS]; /* read last; kind 0: a bad one */
    uint32_t block_at, block_count;
    err_t err;
    struct why why;
};

/* --- before ----------------------------------------------------------------------------------- */

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

static void carry_free(struct record_carry *c)
{
    mem_free(c->rows);
    mem_free(c->names);
    mem_free(c->numbers);
    mem_free(c);
}

static err_t carry_plan(struct record_carry *c, int64_t now)
{
    const struct record_segment *s = c->from;
    c->rows = mem_array(s->rows, sizeof *c->rows);
    c->names = mem_array(s->name_count, sizeof(const struct record_name *));
    c->numbers = mem_array(c->st->names.count, sizeof *c->numbers);
    if (c->rows == NULL || c->names == NULL || c->numbers == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t row = 0; row < s->rows; row++)
        if (s->links[row].hash != 0 && !is_expired(&s->links[row], now))
            c->rows[c->count++] = row;
    for (uint32_t i = 0; i < s->name_count; i++)
        c->names[i] = record_names_at(&c->st->names, s->names[i].name);
    return ERR_OK;
}

err_t record_carry_begin(struct record_store *st, int64_t now, struct record_carry **ret,
                         struct why *why)
{
    if (count_expired(st, now) <= st->records / WORTH_IT)
        return why_set(why, ERR_RECORD,
                       "the record holds %" PRIu64
                       " certificates and hardly one has expired: raise "
                       "record.max_records, or find out who asks for so many",
                       st->records);
    while (st->segments[0] == NULL) /* its file was missing */
        record_store_drop_first(st);
    err_t err = record_store_last(st) == st->segments[0] ? record_store_roll(st, why) : ERR_OK;
    if (err != ERR_OK)
        return err;
    struct record_carry *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for the record");
    *c = (struct record_carry){.st = st,
                               .from = st->segments[0],
                               .dir_fd = st->dir_fd,
                               .seq = st->first_seq + st->segment_count,
                               .issued_before = st->issued_total};
    err = carry_plan(c, now);
    if (err != ERR_OK)
        why_set(why, err, "no memory for the record");
    else
        err = record_store_add_place(st, why);
    if (err == ERR_OK)
        *ret = c;
    else
        carry_free(c);
    return err;
}

/* --- meanwhile -------------------------------------------------------------------------------- */

static err_t read_block(struct record_carry *c, uint32_t first)
{
    uint8_t bytes[RECORD_BLOCK_ROWS * RECORD_ROW_LEN];
    uint32_t count = c->from->rows - first;
    count = count < RECORD_BLOCK_ROWS ? count : RECORD_BLOCK_ROWS;
    err_t err = record_segment_read(c->from, first, count, bytes, &c->why);
    for (uint32_t i = 0; err == ERR_OK && i < count; i++)
        if (!record_row_decode(bytes + i * RECORD_ROW_LEN, &c->block[i]))
            c->block[i] = (struct record_row){0};
    c->block_at = first;
    c->block_count = err == ERR_OK ? count : 0;
    return err;
}

/* One that was damaged cannot be kept, and must not keep the others from being. */
static err_t carry_row(struct record_carry *c, const struct record_row *row)
{
    const struct record_segment *from = c->from;
    if (row->kind != RECORD_ROW_ISSUED || row->number >= from->name_count ||
        row->issued.issuer >= from->issuer_count) {
        c->lost++;
        return ERR_OK;
    }
    const struct record_name *name = c->names[row->number];
    uint32_t id = from->names[row->number].name, *number = &c->numbers[id];
    struct record_item item = {.spiffe_id = name->spiffe_id,
                               .entry_id = name->entry_id,
                               .not_before = row->issued.not_before,
                               .not_after = row->issued.not_after,
                               .issued_at = row->issued.issued_at,
                               .flags = row->flags | RECORD_CARRIED};
    memcpy(item.serial, row->issued.serial, sizeof item.serial);
    memcpy(item.issuer, from->issuers[row->issued.issuer], sizeof item.issuer);
    if (*number == 0)
        *number = c->to->name_count + 1;
    err_t err = record_segment_put(c->to, &item, id, *number - 1, &c->why);
    if (err == ERR_OK)
        c->rows[c->carried++] = *number - 1;
    return err;
}

static err_t carry_rows(struct record_carry *c)
{
    err_t err = ERR_OK;
    for (uint32_t i = 0; err == ERR_OK && i < c->count; i++) {
        uint32_t row = c->rows[i];
        if (row >= c->block_at + c->block_count)
            err = read_block(c, row);
        if (err == ERR_OK)
            err = carry_row(c, &c->block[row - c->block_at]);
    }
    return err;
}

void record_carry_run(struct record_carry *c)
{
    c->err = record_segment_make(c->dir_fd, c->seq, c->from->rows_max, c->issued_before, &c->to,
                                 &c->why);
    if (c->err != ERR_OK)
        return;
    c->err = carry_rows(c);
    if (c->err == ERR_OK && (fdatasync(c->to->fd) != 0 || fdatasync(c->dir_fd) != 0))
        c->err = why_errno(&c->why, ERR_RECORD, "cannot sync segment %08" PRIu32, c->seq);
    if (c->err == ERR_OK) {
        c->to->is_dirty = false;
        return;
    }
    record_segment_remove_all(c->to, c->dir_fd);
    c->to = NULL;
}

/* --- after ------------------------------------------------------------------------------------ */

static void carry_install(struct record_carry *c)
{
    struct record_store *st = c->st;
    struct record_segment *to = c->to;
    for (uint32_t i = 0; i < to->name_count; i++) /* before the old ones let go of them */
        record_names_use(&st->names, to->names[i].name);
    record_store_drop_first(st);
    st->segments[to->seq - st->first_seq] = to;
    for (uint32_t i = 0; i < to->name_count; i++) {
        struct record_name *name = record_names_at(&st->names, to->names[i].name);
        name->in_segment = to->seq;
        name->local = i;
    }
    for (uint32_t row = 0, i = 0; row < to->rows; row++) {
        if (to->links[row].hash == 0)
            continue;
        uint32_t number = c->rows[i++];
        record_names_use(&st->names, to->names[number].name);
        record_store_index(st, to, row, number);
    }
}

err_t record_carry_end(struct record_carry *c, uint32_t *ret_lost, struct why *why)
{
    err_t err = c->err;
    if (err == ERR_OK) {
        carry_install(c);
        *ret_lost = c->lost;
    } else {
        struct record_store *st = c->st;
        why_set(why, err, "%s", why_text(&c->why));
        if (c->seq + 1 == st->first_seq + st->segment_count)
            st->segment_count--; /* its place, if nothing has come behind it */
    }
    carry_free(c);
    return err;
}

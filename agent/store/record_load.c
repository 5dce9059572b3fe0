#include "agent/store/record_load.h"

#include "agent/store/record_search.h"
#include "common/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum { READ_ROWS = 4096 };

/* The files. */

struct seqs {
    uint32_t *items; /* owned */
    size_t count;
};

static err_t add_seq(struct seqs *l, uint32_t seq)
{
    if (!mem_grow(&l->items, l->count, sizeof *l->items))
        return ERR_NO_MEMORY;
    l->items[l->count++] = seq;
    return ERR_OK;
}

static int compare(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static err_t read_seqs(DIR *dir, struct seqs *ret, struct why *why)
{
    err_t err = ERR_OK;
    for (;;) {
        uint32_t seq = 0;
        errno = 0;
        const struct dirent *e = readdir(dir);
        if (e == NULL && errno != 0)
            return why_errno(why, ERR_IO, "cannot list the record's folder");
        if (e == NULL)
            break;
        if (record_segment_parse_name(e->d_name, &seq))
            err = add_seq(ret, seq);
        if (err != ERR_OK)
            return why_set(why, err, "no memory for the record");
    }
    if (ret->count > 0)
        qsort(ret->items, ret->count, sizeof *ret->items, compare);
    return ERR_OK;
}

static err_t list_files(int dir_fd, struct seqs *ret, struct why *why)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        err_t err = why_errno(why, ERR_IO, "cannot list the record's folder");
        if (fd >= 0)
            close(fd);
        return err;
    }
    err_t err = read_seqs(dir, ret, why);
    closedir(dir);
    return err;
}

/* The rows. */

struct loading {
    struct record_store *st;
    struct record_segment *s;
    uint32_t good_end; /* behind the last certificate, or the header; 0: begin the file anew */
    uint32_t good_names, good_issuers; /* known up to there */
    uint32_t bad_before_end, bad;      /* rows */
    struct record_row text_row;        /* whose texts are being put together */
    uint32_t next_part;                /* 0: none is */
    uint8_t text[RECORD_ID_MAX + RECORD_ENTRY_MAX + RECORD_TEXT_PART];
};

/* Numbers whose rows were lost stand for the unknown identity and issuer. */
static err_t fill_names(struct loading *l, uint32_t count)
{
    for (err_t err; l->s->name_count < count;) {
        err = record_segment_reserve(l->s);
        if (err != ERR_OK)
            return err;
        record_segment_add_name(l->s, 0);
        record_names_use(&l->st->names, 0);
    }
    return ERR_OK;
}

static err_t fill_issuers(struct loading *l, uint32_t count)
{
    static const uint8_t unknown[RECORD_ISSUER_LEN];
    for (err_t err; l->s->issuer_count < count;) {
        err = record_segment_reserve(l->s);
        if (err != ERR_OK)
            return err;
        record_segment_add_issuer(l->s, unknown);
    }
    return ERR_OK;
}

static err_t bad_row(struct loading *l)
{
    l->bad++;
    return ERR_OK;
}

static err_t take_issuer(struct loading *l, const struct record_row *row)
{
    if (row->number < l->s->issuer_count || row->number >= l->s->rows_max)
        return bad_row(l);
    err_t err = fill_issuers(l, row->number);
    if (err == ERR_OK)
        err = record_segment_reserve(l->s);
    if (err == ERR_OK)
        record_segment_add_issuer(l->s, row->key_id);
    return err;
}

static err_t take_texts(struct loading *l)
{
    uint32_t name = 0, number = l->text_row.number;
    size_t id_len = l->text_row.identity.id_len, entry_len = l->text_row.identity.entry_len;
    err_t err = fill_names(l, number);
    if (err == ERR_OK)
        err = record_segment_reserve(l->s);
    if (err == ERR_OK)
        err = record_names_take(&l->st->names, slice_of(l->text, id_len),
                                slice_of(l->text + id_len, entry_len), &name);
    if (err != ERR_OK)
        return err;
    record_segment_add_name(l->s, name);
    record_names_at(&l->st->names, name)->in_segment = l->s->seq;
    record_names_at(&l->st->names, name)->local = number;
    return ERR_OK;
}

static err_t take_text_part(struct loading *l, const struct record_row *row)
{
    uint32_t part = row->identity.part;
    size_t id_len = row->identity.id_len, entry_len = row->identity.entry_len;
    bool goes_on = part > 0 && part == l->next_part && row->number == l->text_row.number &&
                   id_len == l->text_row.identity.id_len &&
                   entry_len == l->text_row.identity.entry_len;
    bool begins = part == 0 && row->number >= l->s->name_count && row->number < l->s->rows_max &&
                  id_len <= RECORD_ID_MAX && entry_len <= RECORD_ENTRY_MAX;
    l->next_part = 0;
    if (!goes_on && !begins)
        return bad_row(l);
    l->text_row = *row;
    memcpy(l->text + part * RECORD_TEXT_PART, row->identity.text, RECORD_TEXT_PART);
    if (part + 1 == record_row_parts(id_len, entry_len))
        return take_texts(l);
    l->next_part = part + 1;
    return ERR_OK;
}

/* From a segment that is still there: a crash came before it went. It will be carried anew. */
static bool was_carried_from(struct record_store *st, const struct record_row *row)
{
    uint32_t at = 0;
    return (row->flags & RECORD_CARRIED) != 0 &&
           record_search_position(st, row->issued.serial, &at, NULL) == ERR_OK && at != 0;
}

static err_t take_issued(struct loading *l, uint32_t at, const struct record_row *row)
{
    if (row->number >= l->s->rows_max || row->issued.issuer >= l->s->rows_max)
        return bad_row(l);
    err_t err = fill_names(l, row->number + 1);
    if (err == ERR_OK)
        err = fill_issuers(l, row->issued.issuer + 1);
    if (err == ERR_OK)
        err = record_store_reserve(l->st);
    if (err != ERR_OK)
        return err;
    if (!was_carried_from(l->st, row)) {
        record_names_use(&l->st->names, l->s->names[row->number].name);
        record_segment_link(l->s, at, row->issued.serial, row->issued.not_after);
        record_store_index(l->st, l->s, at, row->number);
    }
    if ((row->flags & RECORD_CARRIED) == 0)
        l->st->issued_total++;
    l->good_end = at + 1;
    l->good_names = l->s->name_count;
    l->good_issuers = l->s->issuer_count;
    l->bad_before_end = l->bad;
    return ERR_OK;
}

static err_t take_header(struct loading *l, uint32_t at, const struct record_row *row,
                         struct why *why)
{
    if (at != 0 || row->header.segment != l->s->seq)
        return bad_row(l);
    if (row->number != RECORD_VERSION)
        return why_set(why, ERR_UNSUPPORTED,
                       "segment %08" PRIu32 ": expected version %d, found %" PRIu32
                       ": use the program that wrote it, or move the folder away",
                       l->s->seq, RECORD_VERSION, row->number);
    l->good_end = 1;
    if (l->st->issued_total < row->header.issued_before) /* others were counted where they stand */
        l->st->issued_total = row->header.issued_before;
    return ERR_OK;
}

static err_t take_row(struct loading *l, uint32_t at, const uint8_t *bytes, struct why *why)
{
    struct record_row row;
    err_t err = ERR_OK;
    if (!record_row_decode(bytes, &row)) {
        l->next_part = 0;
        return bad_row(l);
    }
    if (row.kind != RECORD_ROW_IDENTITY)
        l->next_part = 0;
    switch (row.kind) {
    case RECORD_ROW_HEADER:
        return take_header(l, at, &row, why);
    case RECORD_ROW_ISSUER:
        err = take_issuer(l, &row);
        break;
    case RECORD_ROW_IDENTITY:
        err = take_text_part(l, &row);
        break;
    case RECORD_ROW_ISSUED:
        err = take_issued(l, at, &row);
        break;
    }
    return err == ERR_OK ? ERR_OK : why_set(why, err, "no memory for the record");
}

static err_t take_rows(struct loading *l, uint8_t *bytes, struct why *why)
{
    err_t err = ERR_OK;
    for (uint32_t first = 0, n; err == ERR_OK && first < l->s->rows; first += n) {
        n = l->s->rows - first < READ_ROWS ? l->s->rows - first : READ_ROWS;
        err = record_segment_read(l->s, first, n, bytes, why);
        for (uint32_t i = 0; err == ERR_OK && i < n; i++)
            err = take_row(l, first + i, bytes + i * RECORD_ROW_LEN, why);
    }
    return err;
}

/* What comes after the last certificate was never answered for. */
static err_t cut_tail(struct loading *l, struct record_damage *damage, struct why *why)
{
    struct record_segment *s = l->s;
    uint32_t end = l->good_end;
    for (uint32_t i = l->good_names; i < s->name_count; i++) {
        struct record_name *name = record_names_at(&l->st->names, s->names[i].name);
        name->in_segment = RECORD_NO_SEGMENT;
        record_names_release(&l->st->names, s->names[i].name, 1);
    }
    s->name_count = l->good_names;
    s->issuer_count = l->good_issuers;
    damage->cut = s->rows - end + s->has_part;
    damage->bad = l->bad_before_end;
    return record_segment_cut(s, end, why);
}

static err_t load_segment(struct record_store *st, struct record_segment *s, bool is_last,
                          struct record_damage *damage, struct why *why)
{
    struct loading *l = mem_alloc(sizeof *l);
    uint8_t *bytes = mem_alloc((size_t)READ_ROWS * RECORD_ROW_LEN);
    err_t err = ERR_OK;
    if (l == NULL || bytes == NULL) {
        err = why_set(why, ERR_NO_MEMORY, "no memory for the record");
    } else {
        *l = (struct loading){.st = st, .s = s};
        err = take_rows(l, bytes, why);
        *damage = (struct record_damage){.seq = s->seq, .bad = l->bad};
        if (err == ERR_OK && is_last)
            err = cut_tail(l, damage, why);
    }
    mem_free(bytes);
    mem_free(l);
    return err;
}

static err_t load_files(struct record_store *st, const struct seqs *seqs,
                        record_damage_fn *on_damage, void *arg, struct why *why)
{
    uint32_t first = seqs->items[0], last = seqs->items[seqs->count - 1];
    err_t err = ERR_OK;
    if (last - first >= RECORD_SEGMENTS_MAX)
        return why_set(why, ERR_TOO_LARGE,
                       "segments %08" PRIu32 " to %08" PRIu32
                       " are more than a record has: move those away that do not belong here",
                       first, last);
    st->segments = mem_array(last - first + 1, sizeof *st->segments);
    if (st->segments == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for the record");
    st->first_seq = first;
    st->segment_count = last - first + 1;
    for (size_t i = 0; err == ERR_OK && i < seqs->count; i++) {
        struct record_segment **s = &st->segments[seqs->items[i] - first];
        struct record_damage damage = {0};
        err = record_segment_open(st->dir_fd, seqs->items[i], st->rows_max, s, why);
        if (err == ERR_OK)
            err = load_segment(st, *s, i + 1 == seqs->count, &damage, why);
        if (err == ERR_OK && (damage.bad > 0 || damage.cut > 0) && on_damage != NULL)
            on_damage(arg, &damage);
    }
    return err;
}

err_t record_load(const char *dir, uint64_t records_max, uint32_t rows_max,
                  record_damage_fn *on_damage, void *arg, struct record_store **ret,
                  struct why *why)
{
    struct record_store *st = NULL;
    struct seqs seqs = {0};
    err_t err = record_store_open(dir, records_max, rows_max, &st, why);
    if (err != ERR_OK)
        return err;
    err = list_files(st->dir_fd, &seqs, why);
    if (err == ERR_OK && seqs.count > 0)
        err = load_files(st, &seqs, on_damage, arg, why);
    mem_free(seqs.items);
    if (err == ERR_OK)
        *ret = st;
    else
        record_store_close(st);
    return err;
}

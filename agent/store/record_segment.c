#include "agent/store/record_segment.h"

#include "common/base/file.h"
#include "common/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char suffix[] = ".seg";
enum { DIGITS = 8 };

static void name_of(uint32_t seq, char out[static RECORD_SEGMENT_NAME_LEN])
{
    snprintf(out, RECORD_SEGMENT_NAME_LEN, "%08" PRIu32 "%s", seq, suffix);
}

bool record_segment_parse_name(const char *name, uint32_t *ret_seq)
{
    uint32_t seq = 0;
    for (int i = 0; i < DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        seq = seq * 10 + (uint32_t)(name[i] - '0');
    }
    if (strcmp(name + DIGITS, suffix) != 0)
        return false;
    *ret_seq = seq;
    return true;
}

static struct record_segment *segment_new(uint32_t seq, uint32_t rows_max, int fd)
{
    struct record_segment *s = mem_alloc(sizeof *s);
    struct record_link *links = mem_array(rows_max, sizeof *links);
    if (s == NULL || links == NULL) {
        mem_free(s);
        mem_free(links);
        return NULL;
    }
    s->seq = seq;
    s->fd = fd;
    s->rows_max = rows_max;
    s->links = links;
    s->last_not_after = INT64_MIN;
    return s;
}

/* All of them or none. */
static err_t segment_append(struct record_segment *s, const uint8_t *rows, uint32_t count,
                            struct why *why)
{
    uint64_t at = (uint64_t)s->rows * RECORD_ROW_LEN;
    if (file_write_at(s->fd, slice_of(rows, (size_t)count * RECORD_ROW_LEN), at) != ERR_OK) {
        err_t err = why_errno(why, ERR_RECORD, "cannot write segment %08" PRIu32, s->seq);
        if (ftruncate(s->fd, (off_t)at) != 0)
            return err; /* the next row is written over what is there */
        return err;
    }
    s->rows += count;
    s->is_dirty = true;
    return ERR_OK;
}

err_t record_segment_begin(struct record_segment *s, uint64_t issued_before, struct why *why)
{
    uint8_t bytes[RECORD_ROW_LEN];
    struct record_row row = {.kind = RECORD_ROW_HEADER, .number = RECORD_VERSION};
    row.header.segment = s->seq;
    row.header.issued_before = issued_before;
    record_row_encode(&row, bytes);
    return segment_append(s, bytes, 1, why);
}

err_t record_segment_make(int dir_fd, uint32_t seq, uint32_t rows_max, uint64_t issued_before,
                          struct record_segment **ret, struct why *why)
{
    char name[RECORD_SEGMENT_NAME_LEN];
    name_of(seq, name);
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return why_errno(why, ERR_RECORD, "cannot make segment %s", name);
    struct record_segment *s = segment_new(seq, rows_max, fd);
    err_t err = s != NULL ? ERR_OK : why_set(why, ERR_NO_MEMORY, "no memory for a segment");
    if (err == ERR_OK)
        err = record_segment_begin(s, issued_before, why);
    if (err != ERR_OK) {
        unlinkat(dir_fd, name, 0);
        if (s != NULL)
            record_segment_close(s);
        else
            close(fd);
        return err;
    }
    *ret = s;
    return ERR_OK;
}

static err_t check_file(int fd, const char *name, uint32_t rows_max, struct stat *ret,
                        struct why *why)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return why_errno(why, ERR_IO, "cannot look at segment %s", name);
    if (!S_ISREG(st.st_mode))
        return why_set(why, ERR_IO, "segment %s: expected a file, found something else", name);
    if (st.st_size > (off_t)rows_max * RECORD_ROW_LEN)
        return why_set(why, ERR_IO,
                       "segment %s has %lld bytes, expected at most %lld: move it away", name,
                       (long long)st.st_size, (long long)rows_max * RECORD_ROW_LEN);
    *ret = st;
    return ERR_OK;
}

err_t record_segment_open(int dir_fd, uint32_t seq, uint32_t rows_max, struct record_segment **ret,
                          struct why *why)
{
    char name[RECORD_SEGMENT_NAME_LEN];
    struct stat st = {0};
    name_of(seq, name);
    int fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return why_errno(why, ERR_IO, "cannot open segment %s", name);
    err_t err = check_file(fd, name, rows_max, &st, why);
    struct record_segment *s = err == ERR_OK ? segment_new(seq, rows_max, fd) : NULL;
    if (s == NULL) {
        close(fd);
        return err != ERR_OK ? err : why_set(why, ERR_NO_MEMORY, "no memory for a segment");
    }
    s->rows = (uint32_t)(st.st_size / RECORD_ROW_LEN);
    s->has_part = st.st_size % RECORD_ROW_LEN != 0;
    *ret = s;
    return ERR_OK;
}

void record_segment_close(struct record_segment *s)
{
    if (s == NULL)
        return;
    close(s->fd);
    mem_free(s->links);
    mem_free(s->names);
    mem_free(s->issuers);
    mem_free(s);
}

void record_segment_remove_all(struct record_segment *first, int dir_fd)
{
    char name[RECORD_SEGMENT_NAME_LEN];
    for (struct record_segment *s = first, *next; s != NULL; s = next) {
        next = s->next;
        name_of(s->seq, name);
        unlinkat(dir_fd, name, 0); /* what stays is read again at the next start, and goes then */
        record_segment_close(s);
    }
}

err_t record_segment_read(const struct record_segment *s, uint32_t first, uint32_t count,
                          uint8_t *out, struct why *why)
{
    size_t want = (size_t)count * RECORD_ROW_LEN, have = 0;
    while (have < want) {
        ssize_t n =
            pread(s->fd, out + have, want - have, (off_t)first * RECORD_ROW_LEN + (off_t)have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return why_errno(why, ERR_IO, "cannot read segment %08" PRIu32, s->seq);
        if (n == 0)
            return why_set(why, ERR_IO, "segment %08" PRIu32 " became shorter", s->seq);
        have += (size_t)n;
    }
    return ERR_OK;
}

err_t record_segment_reserve_disk(const struct record_segment *s, uint32_t count, struct why *why)
{
    if (fallocate(s->fd, FALLOC_FL_KEEP_SIZE, (off_t)s->rows * RECORD_ROW_LEN,
                  (off_t)count * RECORD_ROW_LEN) == 0 ||
        errno == EOPNOTSUPP || errno == ENOSYS)
        return ERR_OK;
    return why_errno(why, ERR_RECORD, "no room in segment %08" PRIu32, s->seq);
}

err_t record_segment_cut(struct record_segment *s, uint32_t rows, struct why *why)
{
    if (ftruncate(s->fd, (off_t)rows * RECORD_ROW_LEN) != 0)
        return why_errno(why, ERR_IO, "cannot cut segment %08" PRIu32, s->seq);
    s->rows = rows;
    s->is_dirty = true;
    return ERR_OK;
}

err_t record_segment_reserve(struct record_segment *s)
{
    return mem_grow(&s->names, s->name_count, sizeof *s->names) &&
                   mem_grow(&s->issuers, s->issuer_count, sizeof *s->issuers)
               ? ERR_OK
               : ERR_NO_MEMORY;
}

void record_segment_add_name(struct record_segment *s, uint32_t name)
{
    s->names[s->name_count++] = (struct record_local_name){.name = name};
}

void record_segment_add_issuer(struct record_segment *s, const uint8_t issuer[RECORD_ISSUER_LEN])
{
    memcpy(s->issuers[s->issuer_count++], issuer, RECORD_ISSUER_LEN);
}

/* --- one certificate -------------------------------------------------------------------------- */

uint32_t record_segment_hash(const uint8_t serial[static RECORD_SERIAL_LEN])
{
    uint32_t hash = 0; /* a serial is random */
    for (int i = 0; i < 4; i++)
        hash = hash << 8 | serial[i];
    return hash != 0 ? hash : 1;
}

void record_segment_link(struct record_segment *s, uint32_t row,
                         const uint8_t serial[static RECORD_SERIAL_LEN], int64_t not_after)
{
    s->links[row].hash = record_segment_hash(serial);
    s->links[row].not_after = not_after < 0            ? 0
                              : not_after > UINT32_MAX ? UINT32_MAX
                                                       : (uint32_t)not_after;
    if (not_after > s->last_not_after)
        s->last_not_after = not_after;
}

/* Its number here; issuer_count when there is none. */
static uint32_t find_issuer(const struct record_segment *s, const uint8_t *issuer)
{
    uint32_t i = s->issuer_count; /* the newest is the likely one */
    while (i > 0 && memcmp(s->issuers[i - 1], issuer, RECORD_ISSUER_LEN) != 0)
        i--;
    return i > 0 ? i - 1 : s->issuer_count;
}

static uint32_t encode_texts(uint32_t number, const struct record_item *item, uint8_t *out)
{
    struct record_row row = {.kind = RECORD_ROW_IDENTITY, .number = number};
    uint8_t text[RECORD_ID_MAX + RECORD_ENTRY_MAX + RECORD_TEXT_PART] = {0};
    size_t id_len = strlen(item->spiffe_id), entry_len = strlen(item->entry_id);
    uint32_t parts = record_row_parts(id_len, entry_len);
    memcpy(text, item->spiffe_id, id_len);
    memcpy(text + id_len, item->entry_id, entry_len);
    row.identity.id_len = (uint16_t)id_len;
    row.identity.entry_len = (uint16_t)entry_len;
    for (uint32_t i = 0; i < parts; i++) {
        row.identity.part = (uint16_t)i;
        memcpy(row.identity.text, text + i * RECORD_TEXT_PART, RECORD_TEXT_PART);
        record_row_encode(&row, out + i * RECORD_ROW_LEN);
    }
    return parts;
}

static void encode_issued(const struct record_item *item, uint32_t number, uint32_t issuer,
                          uint8_t *out)
{
    struct record_row row = {.kind = RECORD_ROW_ISSUED, .flags = item->flags, .number = number};
    row.issued.issuer = issuer;
    row.issued.not_before = item->not_before;
    row.issued.not_after = item->not_after;
    row.issued.issued_at = item->issued_at;
    memcpy(row.issued.serial, item->serial, sizeof row.issued.serial);
    record_row_encode(&row, out);
}

err_t record_segment_put(struct record_segment *s, const struct record_item *item, uint32_t name,
                         uint32_t number, struct why *why)
{
    uint8_t rows[RECORD_ROWS_MAX * RECORD_ROW_LEN];
    uint32_t count = 0, issuer = find_issuer(s, item->issuer);
    bool is_new_name = number == s->name_count, is_new_issuer = issuer == s->issuer_count;
    err_t err = record_segment_reserve(s);
    if (err != ERR_OK)
        return why_set(why, err, "no memory for the record");
    if (is_new_name)
        count = encode_texts(number, item, rows);
    if (is_new_issuer) {
        struct record_row row = {.kind = RECORD_ROW_ISSUER, .number = issuer};
        memcpy(row.key_id, item->issuer, sizeof row.key_id);
        record_row_encode(&row, rows + count++ * RECORD_ROW_LEN);
    }
    encode_issued(item, number, issuer, rows + count++ * RECORD_ROW_LEN);
    if (s->rows + count > s->rows_max) /* of files that name what they do not say */
        return why_set(why, ERR_RECORD, "segment %08" PRIu32 " is full", s->seq);
    err = segment_append(s, rows, count, why);
    if (err != ERR_OK)
        return err;
    if (is_new_name)
        record_segment_add_name(s, name);
    if (is_new_issuer)
        record_segment_add_issuer(s, item->issuer);
    record_segment_link(s, s->rows - 1, item->serial, item->not_after);
    return ERR_OK;
}

#include "agent/store/revocation_journal.h"

#include "common/base/crc32c.h"

#include <assert.h>

/* Header: magic, version u32. Row, little endian: magic, CRC-32C of what follows it u32, length of
 * the whole row u32, kind u8, lift u8, reason u8, 0, at i64, by_uid u32, by_pid u32, length of the
 * target u16, 0 u16, count u32, target, certificates. */
static const uint8_t file_magic[12] = "SPNDLREVOKE\n";
static const uint8_t row_magic[4] = {0xf5, 'R', 'V', 'K'}; /* no text has the first byte */
enum { VERSION = 1, HEADER_LEN = 16, ROW_LEN = 40, CRC_AT = 4, CRC_FROM = 8 };

static void put(uint8_t *out, uint64_t n, size_t len)
{
    for (size_t i = 0; i < len; i++, n >>= 8)
        out[i] = (uint8_t)n;
}

static uint64_t get(const uint8_t *in, size_t len)
{
    uint64_t n = 0;
    while (len-- > 0)
        n = n << 8 | in[len];
    return n;
}

int64_t revoked_not_after(const struct revoked *c)
{
    return (int64_t)get(c->not_after, sizeof c->not_after);
}

void revoked_set_not_after(struct revoked *c, int64_t not_after)
{
    put(c->not_after, (uint64_t)not_after, sizeof c->not_after);
}

/* --- writing ---------------------------------------------------------------------------------- */

err_t revocation_journal_header(struct buf *out)
{
    uint8_t header[HEADER_LEN];
    memcpy(header, file_magic, sizeof file_magic);
    put(header + sizeof file_magic, VERSION, 4);
    return buf_append(out, header, sizeof header);
}

err_t revocation_row_begin(struct buf *out, const struct revocation_change *c)
{
    uint8_t row[ROW_LEN] = {0};
    assert(c->count == 0 && c->target.len <= REVOKED_TARGET_MAX);
    memcpy(row, row_magic, sizeof row_magic);
    row[12] = (uint8_t)c->kind;
    row[13] = c->lift;
    row[14] = (uint8_t)c->reason;
    put(row + 16, (uint64_t)c->at, 8);
    put(row + 24, c->by_uid, 4);
    put(row + 28, c->by_pid, 4);
    put(row + 32, c->target.len, 2);
    err_t err = buf_reserve(out, sizeof row + c->target.len);
    if (err == ERR_OK)
        err = buf_append(out, row, sizeof row);
    return err == ERR_OK ? buf_append(out, c->target.data, c->target.len) : err;
}

void revocation_row_end(struct buf *out, size_t start)
{
    uint8_t *row = out->data + start;
    size_t len = out->len - start, fixed = ROW_LEN + (size_t)get(row + 32, 2);
    assert(len >= fixed && (len - fixed) % sizeof(struct revoked) == 0);
    put(row + 8, len, 4);
    put(row + 36, (len - fixed) / sizeof(struct revoked), 4);
    put(row + CRC_AT, crc32c(0, row + CRC_FROM, len - CRC_FROM), 4);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The whole row that begins here; empty when there is none. */
static struct slice row_at(struct slice in)
{
    const struct slice none = {.data = NULL};
    if (in.len < ROW_LEN || memcmp(in.data, row_magic, sizeof row_magic) != 0)
        return none;
    size_t len = (size_t)get(in.data + 8, 4);
    if (len < ROW_LEN || len > in.len ||
        crc32c(0, in.data + CRC_FROM, len - CRC_FROM) != get(in.data + CRC_AT, 4))
        return none;
    return slice_of(in.data, len);
}

static bool any_row_in(struct slice in)
{
    for (const uint8_t *at; in.len >= ROW_LEN; in = slice_of(at + 1, in.len - 1)) {
        at = memchr(in.data, row_magic[0], in.len);
        if (at == NULL)
            return false;
        in = slice_of(at, in.len - (size_t)(at - in.data));
        if (row_at(in).len > 0)
            return true;
    }
    return false;
}

/* A checksum that holds is no promise that the row makes sense: a later version may know more. */
static bool makes_sense(struct slice row)
{
    size_t target = (size_t)get(row.data + 32, 2), count = (size_t)get(row.data + 36, 4);
    unsigned kind = row.data[12], lift = row.data[13];
    if (kind < REVOKE_ID || kind > REVOKE_SERIAL || lift > 1 || row.data[15] != 0 ||
        !revocation_reason_is_known(row.data[14]) || get(row.data + 34, 2) != 0)
        return false;
    if (target > REVOKED_TARGET_MAX || count > REVOKED_MAX ||
        row.len != ROW_LEN + target + count * sizeof(struct revoked))
        return false;
    if (memchr(row.data + ROW_LEN, '\0', target) != NULL)
        return false;
    return kind == REVOKE_SERIAL ? target == 0 : target > 0 && (lift == 0 || count == 0);
}

void revocation_row_parse(struct slice row, struct revocation_change *ret)
{
    size_t target = (size_t)get(row.data + 32, 2);
    *ret = (struct revocation_change){
        .kind = (enum revoke_kind)row.data[12],
        .lift = row.data[13] != 0,
        .reason = (enum revocation_reason)row.data[14],
        .at = (int64_t)get(row.data + 16, 8),
        .by_uid = (uint32_t)get(row.data + 24, 4),
        .by_pid = (uint32_t)get(row.data + 28, 4),
        .target = slice_of(row.data + ROW_LEN, target),
        .revoked = (const struct revoked *)(row.data + ROW_LEN + target), /* bytes, any alignment */
        .count = (size_t)get(row.data + 36, 4),
    };
}

static err_t check_header(struct slice file, size_t *ret_len, struct why *why)
{
    size_t len = file.len < sizeof file_magic ? file.len : sizeof file_magic;
    if (len > 0 && memcmp(file.data, file_magic, len) != 0)
        return why_set(why, ERR_PARSE, "it does not begin as a journal of revocations does");
    if (file.len < HEADER_LEN) {
        *ret_len = 0;
        return ERR_OK;
    }
    unsigned long version = (unsigned long)get(file.data + sizeof file_magic, 4);
    if (version != VERSION)
        return why_set(why, ERR_UNSUPPORTED, "it is of version %lu, this program knows %d", version,
                       VERSION);
    *ret_len = HEADER_LEN;
    return ERR_OK;
}

err_t revocation_journal_read(struct slice file, revocation_fn *fn, void *arg, size_t *ret_good,
                              struct why *why)
{
    struct revocation_change change;
    size_t at = 0;
    err_t err = check_header(file, &at, why);
    while (err == ERR_OK && at > 0 && at < file.len) {
        struct slice rest = slice_of(file.data + at, file.len - at), row = row_at(rest);
        if (row.len == 0 && !any_row_in(rest))
            break;
        if (row.len == 0)
            return why_set(why, ERR_PARSE, "it is damaged at byte %zu, before its last row", at);
        if (!makes_sense(row))
            return why_set(why, ERR_PARSE, "the row at byte %zu makes no sense", at);
        revocation_row_parse(row, &change);
        err = fn(arg, &change);
        at += row.len;
    }
    if (err == ERR_OK)
        *ret_good = at;
    return err;
}

#include "agent/store/record_row.h"

#include "common/base/crc32c.h"

enum { AT_KIND = 0, AT_FLAGS = 1, AT_PART = 2, AT_NUMBER = 4, AT_BODY = 8, AT_SUM = 60 };
static const uint8_t magic[8] = "spdlrec\n";

static void put(uint8_t *at, uint64_t n, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(n >> (8 * i));
}

static uint64_t get(const uint8_t *at, unsigned bytes)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < bytes; i++)
        n |= (uint64_t)at[i] << (8 * i);
    return n;
}

uint32_t record_row_parts(size_t id_len, size_t entry_len)
{
    size_t len = id_len + entry_len;
    return len == 0 ? 1 : (uint32_t)((len + RECORD_TEXT_PART - 1) / RECORD_TEXT_PART);
}

void record_row_encode(const struct record_row *row, uint8_t out[static RECORD_ROW_LEN])
{
    uint8_t *body = out + AT_BODY;
    memset(out, 0, RECORD_ROW_LEN);
    out[AT_KIND] = (uint8_t)row->kind;
    out[AT_FLAGS] = (uint8_t)row->flags;
    put(out + AT_NUMBER, row->number, 4);
    switch (row->kind) {
    case RECORD_ROW_HEADER:
        memcpy(body, magic, sizeof magic);
        put(body + 8, row->header.segment, 4);
        put(body + 12, row->header.issued_before, 8);
        break;
    case RECORD_ROW_ISSUER:
        memcpy(body, row->key_id, RECORD_ISSUER_LEN);
        break;
    case RECORD_ROW_IDENTITY:
        put(out + AT_PART, row->identity.part, 2);
        put(body, row->identity.id_len, 2);
        put(body + 2, row->identity.entry_len, 2);
        memcpy(body + 4, row->identity.text, RECORD_TEXT_PART);
        break;
    case RECORD_ROW_ISSUED:
        put(body, row->issued.issuer, 4);
        memcpy(body + 4, row->issued.serial, RECORD_SERIAL_LEN);
        put(body + 20, (uint64_t)row->issued.not_before, 8);
        put(body + 28, (uint64_t)row->issued.not_after, 8);
        put(body + 36, (uint64_t)row->issued.issued_at, 8);
        break;
    }
    put(out + AT_SUM, crc32c(0, out, AT_SUM), 4);
}

bool record_row_decode(const uint8_t in[static RECORD_ROW_LEN], struct record_row *ret)
{
    const uint8_t *body = in + AT_BODY;
    struct record_row row = {.kind = (enum record_row_kind)in[AT_KIND],
                             .flags = in[AT_FLAGS],
                             .number = (uint32_t)get(in + AT_NUMBER, 4)};
    if (get(in + AT_SUM, 4) != crc32c(0, in, AT_SUM))
        return false;
    switch (row.kind) {
    case RECORD_ROW_HEADER:
        if (memcmp(body, magic, sizeof magic) != 0)
            return false;
        row.header.segment = (uint32_t)get(body + 8, 4);
        row.header.issued_before = get(body + 12, 8);
        break;
    case RECORD_ROW_ISSUER:
        memcpy(row.key_id, body, RECORD_ISSUER_LEN);
        break;
    case RECORD_ROW_IDENTITY:
        row.identity.part = (uint16_t)get(in + AT_PART, 2);
        row.identity.id_len = (uint16_t)get(body, 2);
        row.identity.entry_len = (uint16_t)get(body + 2, 2);
        memcpy(row.identity.text, body + 4, RECORD_TEXT_PART);
        break;
    case RECORD_ROW_ISSUED:
        row.issued.issuer = (uint32_t)get(body, 4);
        memcpy(row.issued.serial, body + 4, RECORD_SERIAL_LEN);
        row.issued.not_before = (int64_t)get(body + 20, 8);
        row.issued.not_after = (int64_t)get(body + 28, 8);
        row.issued.issued_at = (int64_t)get(body + 36, 8);
        break;
    default:
        return false;
    }
    *ret = row;
    return true;
}

#include "tests/support/hello.h"

#include <check.h>

#define WIRE_MAX (1u << 20)

void hello_bytes(struct buf *b, const void *data, size_t len)
{
    ck_assert_int_eq(buf_append(b, data, len), ERR_OK);
}

void hello_number(struct buf *b, size_t number, unsigned bytes)
{
    while (bytes-- > 0) {
        uint8_t byte = (uint8_t)(number >> (8 * bytes));
        hello_bytes(b, &byte, 1);
    }
}

void hello_fill(struct buf *b, uint8_t fill, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hello_bytes(b, &fill, 1);
}

/* A vector with a length in front, of two bytes. */
static void put_vector(struct buf *b, const struct buf *content)
{
    hello_number(b, content->len, 2);
    hello_bytes(b, content->data, content->len);
}

/* `others` numbers that nobody knows, then ours. */
static void put_list(struct buf *b, size_t others, size_t first, struct slice ours)
{
    for (size_t i = 0; i < others; i++)
        hello_number(b, first + i, 2);
    hello_bytes(b, ours.data, ours.len);
}

static struct slice or_else(struct slice given, const char *bytes, size_t len)
{
    return given.len > 0 ? given : slice_of((const uint8_t *)bytes, len);
}

static void put_extension(struct buf *out, unsigned type, struct buf *content)
{
    hello_number(out, type, 2);
    put_vector(out, content);
    buf_clear(content);
}

/* The base point: on the curve, and nobody minds whose it is. */
static const uint8_t p256_point[] = {
    0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5,
    0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4,
    0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a,
    0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33,
    0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5};

static void put_share(struct buf *b, const struct hello_share *s)
{
    hello_number(b, s->group, 2);
    hello_number(b, s->len, 2);
    if (s->group == HELLO_P256 && s->fill == 0)
        hello_bytes(b, p256_point, sizeof p256_point);
    else if (s->group == HELLO_HYBRID && s->fill == 0) {
        hello_fill(b, 0, s->len - 32);
        hello_fill(b, 9, 32);
    } else
        hello_fill(b, s->fill, s->len);
}

static void put_shares(struct buf *out, const struct hello_odd *o)
{
    static const struct hello_share usual = {.group = HELLO_X25519, .len = 32, .fill = 9};
    struct buf list, content;
    buf_init(&list, WIRE_MAX);
    buf_init(&content, WIRE_MAX);
    for (size_t i = 0; i < o->other_shares; i++)
        put_share(&list,
                  &(struct hello_share){.group = (unsigned)(0x6000 + i), .len = 20, .fill = 1});
    for (size_t i = 0; !o->no_shares && i < 3 && (i == 0 || o->shares[i].len > 0); i++)
        put_share(&list, o->shares[i].len > 0 ? &o->shares[i] : &usual);
    put_vector(&content, &list);
    put_extension(out, HELLO_EXT_SHARES, &content);
    buf_done(&content);
    buf_done(&list);
}

static void put_extra(struct buf *out, const struct hello_odd *o)
{
    struct buf content;
    buf_init(&content, WIRE_MAX);
    for (size_t i = 0; i < 4 && (o->extra[i].type > 0 || o->extra[i].bytes.len > 0); i++) {
        const struct hello_extension *e = &o->extra[i];
        if (e->bytes.len > 0)
            hello_bytes(&content, e->bytes.data, e->bytes.len);
        else
            hello_fill(&content, 0, e->len);
        put_extension(out, e->type, &content);
    }
    for (size_t i = 0; i < o->other_extensions; i++)
        put_extension(out, (unsigned)(0x6000 + i), &content);
    buf_done(&content);
}

static void put_known(struct buf *out, const struct hello_odd *o)
{
    struct buf list, content;
    buf_init(&list, WIRE_MAX);
    buf_init(&content, WIRE_MAX);
    if (!o->no_versions) {
        struct slice versions = or_else(o->versions, "\x03\x04", 2);
        hello_number(&content, versions.len, 1);
        hello_bytes(&content, versions.data, versions.len);
        put_extension(out, HELLO_EXT_VERSIONS, &content);
    }
    if (!o->no_groups) {
        put_list(&list, o->other_groups, 0x6000, or_else(o->groups, "\x00\x1d\x00\x17", 4));
        put_vector(&content, &list);
        put_extension(out, HELLO_EXT_GROUPS, &content);
        buf_clear(&list);
    }
    if (!o->no_algorithms) {
        put_list(&list, o->other_algorithms, 0x6000,
                 or_else(o->algorithms, "\x04\x03\x08\x07\x08\x04", 6));
        put_vector(&content, &list);
        put_extension(out, HELLO_EXT_ALGORITHMS, &content);
    }
    buf_done(&list);
    buf_done(&content);
}

void hello_write(struct buf *out, const struct hello_odd *o)
{
    struct buf body, part;
    struct slice none = slice_of(NULL, 0);
    buf_init(&body, WIRE_MAX);
    buf_init(&part, WIRE_MAX);
    hello_number(&body, o->legacy_version > 0 ? o->legacy_version : 0x0303, 2);
    hello_fill(&body, 0x55, 32);
    hello_number(&body, o->session_id, 1);
    hello_fill(&body, 0x66, o->session_id);
    put_list(&part, o->other_suites, 0x6000,
             o->no_suites ? none : or_else(o->suites, "\x13\x01\x13\x02\x13\x03", 6));
    put_vector(&body, &part);
    buf_clear(&part);
    struct slice compression = or_else(o->compression, "\x01\x00", 2);
    hello_bytes(&body, compression.data, compression.len);
    if (!o->extra_last)
        put_extra(&part, o);
    put_known(&part, o);
    if (!o->no_share_extension)
        put_shares(&part, o);
    if (o->extra_last)
        put_extra(&part, o);
    put_vector(&body, &part);
    hello_bytes(&body, o->trailing.data, o->trailing.len);
    hello_number(out, 1, 1);
    hello_number(out, body.len, 3);
    hello_bytes(out, body.data, body.len);
    buf_done(&part);
    buf_done(&body);
}

void hello_records(struct buf *out, unsigned version, const struct buf *message, size_t size)
{
    for (size_t at = 0; at < message->len; at += size) {
        size_t n = message->len - at < size ? message->len - at : size;
        hello_number(out, 22, 1);
        hello_number(out, version, 2);
        hello_number(out, n, 2);
        hello_bytes(out, message->data + at, n);
    }
}

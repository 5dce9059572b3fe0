#include "common/encode/der.h"

void der_writer_init(struct der_writer *w, struct buf *out)
{
    *w = (struct der_writer){.out = out};
}

/* Bytes after the tag for a length: one, or one and the big-endian length. */
static size_t length_size(size_t len)
{
    if (len < 0x80)
        return 1;
    size_t n = 1;
    for (; len > 0; len >>= 8)
        n++;
    return n;
}

static void write_length(uint8_t *out, size_t len, size_t size)
{
    if (size == 1) {
        out[0] = (uint8_t)len;
        return;
    }
    out[0] = (uint8_t)(0x80u | (size - 1));
    for (size_t i = size - 1; i > 0; i--, len >>= 8)
        out[i] = (uint8_t)len;
}

static void append(struct der_writer *w, const void *data, size_t len)
{
    if (w->err == ERR_OK)
        w->err = buf_append(w->out, data, len);
}

/* One byte is kept for the length; der_close makes room when it needs more. */
size_t der_open(struct der_writer *w, unsigned tag)
{
    const uint8_t head[2] = {(uint8_t)tag, 0};
    append(w, head, sizeof head);
    return w->out->len;
}

void der_close(struct der_writer *w, size_t mark)
{
    if (w->err != ERR_OK)
        return;
    size_t len = w->out->len - mark;
    size_t size = length_size(len);
    w->err = buf_reserve(w->out, size - 1);
    if (w->err != ERR_OK)
        return;
    uint8_t *content = w->out->data + mark;
    if (size > 1)
        memmove(content + size - 1, content, len);
    write_length(content - 1, len, size);
    w->out->len += size - 1;
}

static void put_header(struct der_writer *w, unsigned tag, size_t len)
{
    uint8_t head[1 + 1 + sizeof len];
    size_t size = length_size(len);
    head[0] = (uint8_t)tag;
    write_length(head + 1, len, size);
    append(w, head, 1 + size);
}

void der_put(struct der_writer *w, unsigned tag, struct slice content)
{
    put_header(w, tag, content.len);
    append(w, content.data, content.len);
}

void der_put_raw(struct der_writer *w, struct slice der)
{
    append(w, der.data, der.len);
}

void der_put_bool(struct der_writer *w, bool value)
{
    const uint8_t byte = value ? 0xff : 0x00;
    der_put(w, DER_BOOLEAN, slice_of(&byte, 1));
}

void der_put_uint(struct der_writer *w, uint64_t value)
{
    uint8_t bytes[sizeof value];
    for (size_t i = sizeof bytes; i > 0; i--, value >>= 8)
        bytes[i - 1] = (uint8_t)value;
    der_put_integer(w, slice_of(bytes, sizeof bytes));
}

void der_put_integer(struct der_writer *w, struct slice n)
{
    static const uint8_t zero = 0;
    while (n.len > 0 && n.data[0] == 0)
        n = slice_of(n.data + 1, n.len - 1);
    bool pad = n.len == 0 || (n.data[0] & 0x80u) != 0;
    put_header(w, DER_INTEGER, n.len + (pad ? 1 : 0));
    append(w, &zero, pad ? 1 : 0);
    append(w, n.data, n.len);
}

void der_put_oid(struct der_writer *w, struct slice oid)
{
    der_put(w, DER_OID, oid);
}

void der_put_bits(struct der_writer *w, struct slice bytes, unsigned unused_bits)
{
    const uint8_t unused = (uint8_t)unused_bits;
    put_header(w, DER_BIT_STRING, bytes.len + 1);
    append(w, &unused, 1);
    append(w, bytes.data, bytes.len);
}

/* Civil date from days since 1970-01-01 (H. Hinnant's algorithm), valid for every year here. */
static void civil_of_days(int64_t days, int *year, unsigned *month, unsigned *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned doe = (unsigned)(days - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = (int)(yoe + era * 400) + (*month <= 2 ? 1 : 0);
}

static int64_t days_of_civil(int year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static uint8_t *put_two(uint8_t *at, unsigned n)
{
    at[0] = (uint8_t)('0' + n / 10 % 10);
    at[1] = (uint8_t)('0' + n % 10);
    return at + 2;
}

#define TIME_MIN INT64_C(-631152000)   /* 1950-01-01, the first a UTCTime can say */
#define TIME_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

void der_put_time(struct der_writer *w, int64_t unix_s)
{
    if (unix_s < TIME_MIN || unix_s > TIME_MAX) {
        w->err = w->err != ERR_OK ? w->err : ERR_TOO_LARGE;
        return;
    }
    int64_t days = (unix_s >= 0 ? unix_s : unix_s - 86399) / 86400;
    unsigned second = (unsigned)(unix_s - days * 86400);
    int year;
    unsigned month, day;
    civil_of_days(days, &year, &month, &day);
    uint8_t text[15];
    uint8_t *at = text;
    bool utc = year < 2050;
    if (!utc)
        at = put_two(at, (unsigned)year / 100);
    at = put_two(at, (unsigned)year % 100);
    at = put_two(at, month);
    at = put_two(at, day);
    at = put_two(at, second / 3600);
    at = put_two(at, second / 60 % 60);
    at = put_two(at, second % 60);
    *at++ = 'Z';
    der_put(w, utc ? DER_UTC_TIME : DER_GENERALIZED_TIME, slice_of(text, (size_t)(at - text)));
}

err_t der_writer_end(struct der_writer *w)
{
    return w->err;
}

struct der_reader der_reader_of(struct slice der)
{
    return (struct der_reader){.rest = der};
}

unsigned der_peek(const struct der_reader *r)
{
    return r->bad || r->rest.len == 0 ? 0 : r->rest.data[0];
}

/* Header of the next value: tag numbers below 31, definite lengths in their shortest form. */
static bool read_header(struct slice in, size_t *ret_head, size_t *ret_len)
{
    if (in.len < 2 || in.data[0] == 0 || (in.data[0] & 0x1fu) == 0x1fu)
        return false;
    size_t head = 2;
    size_t len = in.data[1];
    if (len >= 0x80) {
        size_t n = len & 0x7fu;
        if (n == 0 || n > 4 || in.len < 2 + n || in.data[2] == 0)
            return false;
        len = 0;
        for (size_t i = 0; i < n; i++)
            len = len << 8 | in.data[2 + i];
        if (len < 0x80)
            return false;
        head += n;
    }
    if (len > in.len - head)
        return false;
    *ret_head = head;
    *ret_len = len;
    return true;
}

static const struct slice nothing = {.data = (const uint8_t *)"", .len = 0};

static bool take(struct der_reader *r, unsigned tag, struct slice *ret_raw,
                 struct slice *ret_content)
{
    size_t head, len;
    if (r->bad || der_peek(r) != tag || !read_header(r->rest, &head, &len)) {
        r->bad = true;
        return false;
    }
    *ret_raw = slice_of(r->rest.data, head + len);
    *ret_content = slice_of(r->rest.data + head, len);
    r->rest = slice_of(r->rest.data + head + len, r->rest.len - head - len);
    return true;
}

struct slice der_get(struct der_reader *r, unsigned tag)
{
    struct slice raw, content;
    return take(r, tag, &raw, &content) ? content : nothing;
}

struct slice der_get_raw(struct der_reader *r, unsigned tag)
{
    struct slice raw, content;
    return take(r, tag, &raw, &content) ? raw : nothing;
}

struct der_reader der_enter(struct der_reader *r, unsigned tag)
{
    struct der_reader inner = der_reader_of(der_get(r, tag));
    inner.bad = r->bad;
    return inner;
}

bool der_get_optional(struct der_reader *r, unsigned tag, struct slice *ret_content)
{
    struct slice raw, content;
    if (r->bad || der_peek(r) != tag || !take(r, tag, &raw, &content))
        return false;
    *ret_content = content;
    return true;
}

bool der_get_bool(struct der_reader *r)
{
    struct slice v = der_get(r, DER_BOOLEAN);
    if (r->bad || v.len != 1 || (v.data[0] != 0x00 && v.data[0] != 0xff)) {
        r->bad = true;
        return false;
    }
    return v.data[0] == 0xff;
}

uint64_t der_get_uint(struct der_reader *r)
{
    struct slice v = der_get_integer(r);
    if (r->bad || v.len > sizeof(uint64_t)) {
        r->bad = true;
        return 0;
    }
    uint64_t n = 0;
    for (size_t i = 0; i < v.len; i++)
        n = n << 8 | v.data[i];
    return n;
}

struct slice der_get_integer(struct der_reader *r)
{
    struct slice v = der_get(r, DER_INTEGER);
    bool negative = v.len > 0 && (v.data[0] & 0x80u) != 0;
    bool padded = v.len > 1 && v.data[0] == 0 && (v.data[1] & 0x80u) == 0;
    if (r->bad || v.len == 0 || negative || padded) {
        r->bad = true;
        return nothing;
    }
    return v.data[0] == 0 ? slice_of(v.data + 1, v.len - 1) : v;
}

struct slice der_get_octet_bits(struct der_reader *r)
{
    struct slice v = der_get(r, DER_BIT_STRING);
    if (r->bad || v.len == 0 || v.data[0] != 0) {
        r->bad = true;
        return nothing;
    }
    return slice_of(v.data + 1, v.len - 1);
}

static bool two_digits(const uint8_t **at, unsigned low, unsigned high, unsigned *ret)
{
    unsigned tens = (unsigned)(*at)[0] - '0';
    unsigned ones = (unsigned)(*at)[1] - '0';
    if (tens > 9 || ones > 9)
        return false;
    *ret = tens * 10 + ones;
    *at += 2;
    return *ret >= low && *ret <= high;
}

static unsigned days_in_month(int year, unsigned month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

/* [YY]YYMMDDHHMMSSZ, RFC 5280 4.1.2.5: seconds always there, Zulu, no fraction. */
static bool parse_time(struct slice v, bool utc, int64_t *ret)
{
    if (v.len != (utc ? 13u : 15u) || v.data[v.len - 1] != 'Z')
        return false;
    const uint8_t *at = v.data;
    unsigned century = 0, yy, month, day, hour, minute, second;
    if (!utc && !two_digits(&at, 0, 99, &century))
        return false;
    if (!two_digits(&at, 0, 99, &yy) || !two_digits(&at, 1, 12, &month) ||
        !two_digits(&at, 1, 31, &day) || !two_digits(&at, 0, 23, &hour) ||
        !two_digits(&at, 0, 59, &minute) || !two_digits(&at, 0, 59, &second))
        return false;
    if (utc)
        century = yy >= 50 ? 19 : 20;
    int year = (int)(century * 100 + yy);
    if (day > days_in_month(year, month))
        return false;
    *ret = days_of_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

int64_t der_get_time(struct der_reader *r)
{
    bool utc = der_peek(r) == DER_UTC_TIME;
    struct slice v = der_get(r, utc ? DER_UTC_TIME : DER_GENERALIZED_TIME);
    int64_t unix_s = 0;
    if (r->bad || !parse_time(v, utc, &unix_s)) {
        r->bad = true;
        return 0;
    }
    return unix_s;
}

bool der_at_end(const struct der_reader *r)
{
    return !r->bad && r->rest.len == 0;
}

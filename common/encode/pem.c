#include "common/encode/pem.h"

#include "common/base/mem.h"

#include <stdio.h>

#define BEGIN "-----BEGIN "
#define END "-----END "
#define DASHES "-----"
#define LINE_LEN 64

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* Editors write a byte order mark (RFC 3629 section 6) in front of a file, and `cat` puts it in the
 * middle: it says nothing at the start of a line. */
static struct slice skip_marks(struct slice line)
{
    size_t n = 0;
    while (line.len - n >= 3 && memcmp(line.data + n, "\xef\xbb\xbf", 3) == 0)
        n += 3;
    return slice_of(line.data + n, line.len - n);
}

/* Takes one line without its end and the blanks around it; LF, CRLF and CR end lines. */
static struct slice take_line(struct slice *text)
{
    size_t n = 0;
    while (n < text->len && text->data[n] != '\n' && text->data[n] != '\r')
        n++;
    struct slice line = slice_of(text->data, n);
    if (n + 1 < text->len && text->data[n] == '\r' && text->data[n + 1] == '\n')
        n++;
    n += n < text->len ? 1 : 0;
    *text = slice_of(text->data + n, text->len - n);
    line = skip_marks(line);
    while (line.len > 0 && is_blank(line.data[0]))
        line = slice_of(line.data + 1, line.len - 1);
    while (line.len > 0 && is_blank(line.data[line.len - 1]))
        line.len--;
    return line;
}

/* Is `line` the boundary `prefix` LABEL `-----`? */
static bool boundary(struct slice line, const char *prefix, struct slice *ret_label)
{
    size_t head = strlen(prefix), tail = strlen(DASHES);
    if (line.len <= head + tail || memcmp(line.data, prefix, head) != 0 ||
        memcmp(line.data + line.len - tail, DASHES, tail) != 0)
        return false;
    *ret_label = slice_of(line.data + head, line.len - head - tail);
    return true;
}

/* -1 outside of the alphabet (RFC 4648 section 4). */
static int sextet(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base64 over lines: `bits` holds what has not made a whole byte yet. */
struct decoder {
    struct buf *out;
    uint32_t bits;
    unsigned chars, pads;
};

/* ERR_PARSE for a character that cannot stand here; the caller says where. */
static err_t decode_char(struct decoder *d, uint8_t c)
{
    int v = c == '=' ? 0 : sextet(c);
    if (v < 0 || (d->pads > 0 && c != '=') || (c == '=' && d->chars < 2))
        return ERR_PARSE;
    d->pads += c == '=' ? 1 : 0;
    d->bits = d->bits << 6 | (uint32_t)v;
    if (++d->chars < 4)
        return ERR_OK;
    uint8_t bytes[3] = {(uint8_t)(d->bits >> 16), (uint8_t)(d->bits >> 8), (uint8_t)d->bits};
    bool stray = (d->pads == 1 && bytes[2] != 0) || (d->pads == 2 && (bytes[1] | bytes[2]) != 0);
    if (stray || d->pads > 2)
        return ERR_PARSE;
    err_t err = buf_append(d->out, bytes, 3 - d->pads);
    mem_wipe(bytes, sizeof bytes);
    d->bits = 0;
    d->chars = d->pads > 0 ? 4 : 0; /* nothing may follow padding */
    return err;
}

static err_t decode_line(struct decoder *d, struct slice line)
{
    err_t err = ERR_OK;
    for (size_t i = 0; i < line.len && err == ERR_OK; i++) {
        if (!is_blank(line.data[i]))
            err = d->chars == 4 ? ERR_PARSE : decode_char(d, line.data[i]);
    }
    return err;
}

static err_t broken(struct why *why, struct slice label, size_t line, const char *what)
{
    return why_set(why, ERR_PARSE, "PEM block \"%.*s\": line %zu of the block %s",
                   label.len < 64 ? (int)label.len : 64, (const char *)label.data, line, what);
}

static err_t line_failure(struct slice line, err_t err, struct slice label, size_t at,
                          struct why *why)
{
    if (err == ERR_NO_MEMORY)
        return why_set(why, err, "PEM block: out of memory");
    if (err != ERR_PARSE)
        return why_set(why, err, "PEM block \"%.*s\" is larger than its bound of bytes",
                       label.len < 64 ? (int)label.len : 64, (const char *)label.data);
    if (memchr(line.data, ':', line.len) != NULL)
        return broken(why, label, at,
                      "is a header, which an encrypted key has: write it unencrypted");
    return broken(why, label, at, "is not base64");
}

/* From after the BEGIN line up to and with the END line. */
static err_t read_block(struct slice *text, struct slice label, struct buf *der, struct why *why)
{
    struct decoder d = {.out = der};
    for (size_t at = 2; text->len > 0; at++) {
        struct slice line = take_line(text);
        struct slice end;
        if (boundary(line, END, &end)) {
            if (!slice_eq(end, label))
                return broken(why, label, at, "ends another block");
            if (d.chars != 0 && d.chars != 4)
                return broken(why, label, at, "comes before the base64 is complete");
            return ERR_OK;
        }
        err_t err = boundary(line, BEGIN, &end) ? ERR_PARSE : decode_line(&d, line);
        if (err != ERR_OK)
            return line_failure(line, err, label, at, why);
    }
    return why_set(why, ERR_PARSE, "PEM block \"%.*s\" has no END line",
                   label.len < 64 ? (int)label.len : 64, (const char *)label.data);
}

/* Would a reader take it for the start of a block, though it is none? A comment may hold one. */
static bool is_spoiled_begin(struct slice line)
{
    return line.len > 0 && line.data[0] != '#' &&
           memmem(line.data, line.len, BEGIN, strlen(BEGIN)) != NULL;
}

/* Advances *text behind the next BEGIN line. */
static err_t find_begin(struct slice *text, struct slice *ret_label, struct why *why)
{
    bool utf16 = text->len >= 2 &&
                 (memcmp(text->data, "\xff\xfe", 2) == 0 || memcmp(text->data, "\xfe\xff", 2) == 0);
    if (utf16)
        return why_set(why, ERR_PARSE, "it is UTF-16 text: save it as UTF-8 or ASCII");
    while (text->len > 0) {
        struct slice line = take_line(text);
        if (boundary(line, BEGIN, ret_label))
            return ERR_OK;
        if (is_spoiled_begin(line))
            return why_set(why, ERR_PARSE,
                           "a line holds \"-----BEGIN \" with other text around it: expected "
                           "\"-----BEGIN LABEL-----\" alone on the line, found \"%.*s\"",
                           line.len < 64 ? (int)line.len : 64, (const char *)line.data);
    }
    return why_set(why, ERR_NOT_FOUND, "no PEM block (\"-----BEGIN ...\") found");
}

err_t pem_next(struct slice *text, struct slice *ret_label, struct buf *der, struct why *why)
{
    struct slice rest = *text;
    struct slice label;
    err_t err = find_begin(&rest, &label, why);
    if (err != ERR_OK)
        return err;
    size_t before = der->len;
    err = read_block(&rest, label, der, why);
    if (err != ERR_OK) {
        if (der->len > before)
            mem_wipe(der->data + before, der->len - before);
        der->len = before;
        return err;
    }
    *text = rest;
    *ret_label = label;
    return ERR_OK;
}

static err_t write_base64(struct buf *out, struct slice der)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    err_t err = ERR_OK;
    size_t column = 0;
    for (size_t i = 0; i < der.len && err == ERR_OK; i += 3) {
        size_t n = der.len - i < 3 ? der.len - i : 3;
        uint32_t bits = (uint32_t)der.data[i] << 16;
        bits |= n > 1 ? (uint32_t)der.data[i + 1] << 8 : 0;
        bits |= n > 2 ? der.data[i + 2] : 0;
        char four[5] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63],
                        n > 1 ? alphabet[bits >> 6 & 63] : '=', n > 2 ? alphabet[bits & 63] : '=',
                        '\n'};
        column += 4;
        bool full = column == LINE_LEN || n < 3 || i + 3 == der.len;
        err = buf_append(out, four, full ? 5 : 4);
        column = full ? 0 : column;
        mem_wipe(four, sizeof four);
    }
    return err;
}

err_t pem_write(struct buf *out, const char *label, struct slice der)
{
    err_t err = buf_printf(out, BEGIN "%s" DASHES "\n", label);
    if (err == ERR_OK)
        err = write_base64(out, der);
    return err == ERR_OK ? buf_printf(out, END "%s" DASHES "\n", label) : err;
}

void pem_unused_add(struct pem_unused *u, const char *path, struct slice label)
{
    if (u == NULL)
        return;
    size_t len = strlen(u->text);
    snprintf(u->text + len, sizeof u->text - len, "%s%s: %.*s", len > 0 ? ", " : "", path,
             label.len < 64 ? (int)label.len : 64, (const char *)label.data);
    u->count++;
}

#include "common/x509/x509.h"

#include "common/base/clock.h"
#include "common/encode/der.h"

#include <stdio.h>

/* Text into a fixed buffer; what does not fit is dropped. */
struct text {
    char *out;
    size_t size, len;
};

static void put_char(struct text *t, char c)
{
    if (t->len + 1 < t->size)
        t->out[t->len++] = c;
}

static void put_str(struct text *t, const char *s)
{
    for (; *s != '\0'; s++)
        put_char(t, *s);
}

/* Printable ASCII as it is, the rest and the separators of names as \xx: one line, no surprises in
 * a terminal. */
static void put_escaped(struct text *t, struct slice s)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];
        if (c >= 0x20 && c < 0x7f && c != '\\' && c != ',' && c != '"') {
            put_char(t, (char)c);
            continue;
        }
        put_char(t, '\\');
        put_char(t, hex[c >> 4]);
        put_char(t, hex[c & 15]);
    }
}

static const char *end_text(struct text *t)
{
    if (t->size > 0)
        t->out[t->len] = '\0';
    return t->size > 0 ? t->out : "";
}

const char *x509_oid_text(struct slice oid, char *out, size_t size)
{
    struct text t = {.out = out, .size = size};
    uint64_t arc = 0;
    bool fits = true;
    for (size_t i = 0; i < oid.len; i++)
        fits = fits && (i + 1 < 9 || (oid.data[i] & 0x80u) == 0 || (oid.data[i - 8] & 0x80u) == 0);
    for (size_t i = 0; i < oid.len; i++) {
        char number[24];
        arc = arc << 7 | (oid.data[i] & 0x7fu);
        if (fits && (oid.data[i] & 0x80u) != 0)
            continue;
        if (!fits)
            snprintf(number, sizeof number, "%02x", oid.data[i]);
        else if (t.len == 0) /* two arcs in one number, X.690 8.19.4 */
            snprintf(number, sizeof number, "%u.%llu", arc < 80 ? (unsigned)(arc / 40) : 2u,
                     (unsigned long long)(arc < 80 ? arc % 40 : arc - 80));
        else
            snprintf(number, sizeof number, ".%llu", (unsigned long long)arc);
        put_str(&t, number);
        arc = 0;
    }
    return end_text(&t);
}

/* Attribute types of id-at (2.5.4) that people know by a short word. */
static const char *attribute_word(struct slice oid)
{
    if (oid.len != 3 || oid.data[0] != 0x55 || oid.data[1] != 0x04)
        return NULL;
    switch (oid.data[2]) {
    case 3:
        return "CN";
    case 5:
        return "serialNumber";
    case 6:
        return "C";
    case 7:
        return "L";
    case 8:
        return "ST";
    case 10:
        return "O";
    case 11:
        return "OU";
    default:
        return NULL;
    }
}

/* Walks a Name attribute by attribute. */
struct name_walk {
    struct der_reader rdns, set;
};

static struct name_walk walk_name(struct slice name)
{
    struct der_reader whole = der_reader_of(name);
    return (struct name_walk){.rdns = der_enter(&whole, DER_SEQUENCE)};
}

static bool next_attribute(struct name_walk *w, struct slice *ret_oid, struct slice *ret_value)
{
    if (w->set.rest.len == 0)
        w->set = der_enter(&w->rdns, DER_SET);
    struct der_reader attribute = der_enter(&w->set, DER_SEQUENCE);
    struct slice oid = der_get(&attribute, DER_OID);
    struct slice value = der_get(&attribute, der_peek(&attribute));
    if (!der_at_end(&attribute))
        return false;
    *ret_oid = oid;
    *ret_value = value;
    return true;
}

static void put_name(struct text *t, struct slice name)
{
    struct name_walk w = walk_name(name);
    struct slice oid, value;
    for (bool first = true; next_attribute(&w, &oid, &value); first = false) {
        if (!first)
            put_char(t, ',');
        const char *word = attribute_word(oid);
        if (word == NULL) {
            put_str(t, "OID.");
            for (size_t i = 0; i < oid.len; i++) {
                char hex[3];
                snprintf(hex, sizeof hex, "%02x", oid.data[i]);
                put_str(t, hex);
            }
        } else {
            put_str(t, word);
        }
        put_char(t, '=');
        put_escaped(t, value);
    }
}

const char *x509_name_text(struct slice name, char *out, size_t size)
{
    struct text t = {.out = out, .size = size};
    put_name(&t, name);
    if (t.len == 0)
        put_str(&t, "(empty name)");
    return end_text(&t);
}

static void put_serial(struct text *t, struct slice serial)
{
    for (size_t i = 0; i < serial.len; i++) {
        char hex[3];
        snprintf(hex, sizeof hex, "%02x", serial.data[i]);
        put_str(t, hex);
    }
}

const char *x509_serial_text(struct slice serial, char *out, size_t size)
{
    struct text t = {.out = out, .size = size};
    put_serial(&t, serial);
    return end_text(&t);
}

const char *x509_describe(const struct x509 *cert, char *out, size_t size)
{
    char from[CLOCK_TEXT_LEN], to[CLOCK_TEXT_LEN];
    struct text t = {.out = out, .size = size};
    if (cert->uri_count > 0) {
        /* An ID may be 2048 bytes; the start is what tells it apart. */
        struct slice uri = cert->uri[0];
        put_escaped(&t, slice_of(uri.data, uri.len < 128 ? uri.len : 128));
        put_str(&t, uri.len > 128 ? "..." : "");
    } else {
        struct text name = {.out = out, .size = size < 128 ? size : 128};
        put_name(&name, cert->subject);
        t.len = name.len;
        put_str(&t, name.len == 0 ? "(empty name)" : "");
    }
    put_str(&t, ", serial ");
    put_serial(&t, cert->serial);
    put_str(&t, ", valid ");
    put_str(&t, clock_format_s(cert->not_before, from));
    put_str(&t, " to ");
    put_str(&t, clock_format_s(cert->not_after, to));
    return end_text(&t);
}

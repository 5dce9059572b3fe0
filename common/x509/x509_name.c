/* Are two names one (RFC 5280 7.1)? What an authority is called in its own certificate and in those
 * that it issued may be written in two ways. */
#include "common/x509/x509.h"

#include "common/encode/der.h"

/* Names beyond this are compared as bytes alone: a peer may show many of them. */
#define FOLDED_MAX 1024u

static bool is_text(unsigned tag)
{
    return tag == DER_UTF8 || tag == DER_PRINTABLE || tag == DER_IA5;
}

static uint8_t fold(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* The next character: letters in one case, a run of spaces as one, none at either end; -1: no more.
 */
static int next_char(struct slice *s, bool at_start)
{
    size_t spaces = 0;
    while (spaces < s->len && s->data[spaces] == ' ')
        spaces++;
    if (spaces == s->len)
        return -1;
    bool gap = spaces > 0 && !at_start;
    int c = gap ? ' ' : fold(s->data[spaces]);
    size_t used = gap ? spaces : spaces + 1;
    *s = slice_of(s->data + used, s->len - used);
    return c;
}

static bool same_text(struct slice a, struct slice b)
{
    for (bool start = true;; start = false) {
        int x = next_char(&a, start), y = next_char(&b, start);
        if (x != y)
            return false;
        if (x < 0)
            return true;
    }
}

static bool same_attribute(struct der_reader *a, struct der_reader *b)
{
    struct der_reader x = der_enter(a, DER_SEQUENCE), y = der_enter(b, DER_SEQUENCE);
    if (!slice_eq(der_get(&x, DER_OID), der_get(&y, DER_OID)))
        return false;
    unsigned tag_x = der_peek(&x), tag_y = der_peek(&y);
    struct slice value_x = der_get(&x, tag_x), value_y = der_get(&y, tag_y);
    if (x.bad || y.bad)
        return false;
    return is_text(tag_x) && is_text(tag_y) ? same_text(value_x, value_y)
                                            : tag_x == tag_y && slice_eq(value_x, value_y);
}

static bool same_rdns(struct der_reader a, struct der_reader b)
{
    while (a.rest.len > 0 && b.rest.len > 0) {
        struct der_reader x = der_enter(&a, DER_SET), y = der_enter(&b, DER_SET);
        while (x.rest.len > 0 && y.rest.len > 0)
            if (!same_attribute(&x, &y))
                return false;
        if (!der_at_end(&x) || !der_at_end(&y))
            return false;
    }
    return der_at_end(&a) && der_at_end(&b);
}

bool x509_names_match(struct slice a, struct slice b)
{
    if (slice_eq(a, b))
        return true;
    if (a.len > FOLDED_MAX || b.len > FOLDED_MAX)
        return false;
    struct der_reader x = der_reader_of(a), y = der_reader_of(b);
    return same_rdns(der_enter(&x, DER_SEQUENCE), der_enter(&y, DER_SEQUENCE));
}

/* Which exposition a scraper wants: the Accept header, and nothing else. */
#include "common/metric/metric_text.h"

#include <strings.h>

/* One media range of the header. Weights in thousandths. */
struct range {
    struct slice type;
    struct slice version; /* empty when not named */
    int weight;
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct slice trim(struct slice s)
{
    while (s.len > 0 && is_blank(s.data[0]))
        s = slice_of(s.data + 1, s.len - 1);
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

/* Cuts up to `end` off the front of `rest`. */
static struct slice cut(struct slice *rest, char end)
{
    const uint8_t *at = rest->len > 0 ? memchr(rest->data, end, rest->len) : NULL;
    size_t len = at != NULL ? (size_t)(at - rest->data) : rest->len;
    struct slice head = slice_of(rest->data, len);
    size_t used = at != NULL ? len + 1 : len;
    *rest = slice_of(rest->data + used, rest->len - used);
    return trim(head);
}

static bool is_word(struct slice s, const char *word)
{
    return s.len == strlen(word) && strncasecmp((const char *)s.data, word, s.len) == 0;
}

/* "1", "0.25": RFC 9110 section 12.4.2. What is malformed weighs nothing. */
static int weight_of(struct slice s)
{
    if (s.len == 0 || s.len > 5 || (s.data[0] != '0' && s.data[0] != '1'))
        return 0;
    int weight = (s.data[0] - '0') * 1000, digit = 100;
    if (s.len > 1 && s.data[1] != '.')
        return 0;
    for (size_t i = 2; i < s.len; i++, digit /= 10) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return 0;
        weight += (s.data[i] - '0') * digit;
    }
    return weight <= 1000 ? weight : 0;
}

static struct range range_of(struct slice text)
{
    struct range r = {.weight = 1000};
    r.type = cut(&text, ';');
    while (text.len > 0) {
        struct slice value = cut(&text, ';');
        struct slice name = cut(&value, '=');
        value = trim(value);
        if (is_word(name, "q"))
            r.weight = weight_of(value);
        else if (is_word(name, "version"))
            r.version = value;
    }
    return r;
}

static bool has_version(const struct range *r, const char *version)
{
    return r->version.len == 0 || slice_eq_str(r->version, version);
}

enum metric_format metric_format_of(struct slice accept)
{
    int open = 0, text = 0;
    while (accept.len > 0) {
        struct range r = range_of(cut(&accept, ','));
        if (is_word(r.type, "application/openmetrics-text") && has_version(&r, "1.0.0"))
            open = r.weight > open ? r.weight : open;
        else if (is_word(r.type, "text/plain") && has_version(&r, "0.0.4"))
            text = r.weight > text ? r.weight : text;
    }
    return open > 0 && open >= text ? METRIC_OPENMETRICS : METRIC_TEXT;
}

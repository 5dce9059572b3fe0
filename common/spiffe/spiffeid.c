#include "common/spiffe/spiffeid.h"

#define SCHEME "spiffe://"
#define SCHEME_LEN (sizeof SCHEME - 1)

/* A byte as an error text may show it: itself when printable, else its number. */
struct shown {
    char text[8];
};

static struct shown show(uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    struct shown s = {{0}};
    if (c > ' ' && c < 0x7f) {
        s.text[0] = '\'';
        s.text[1] = (char)c;
        s.text[2] = '\'';
    } else {
        s.text[0] = '0';
        s.text[1] = 'x';
        s.text[2] = hex[c >> 4];
        s.text[3] = hex[c & 15];
    }
    return s;
}

static bool is_lower_or_digit(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_mark(uint8_t c)
{
    return c == '.' || c == '-' || c == '_';
}

static bool is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

/* `at` is where the name starts in the text that the user wrote. */
static err_t check_domain(struct slice name, size_t at, struct why *why)
{
    if (name.len == 0)
        return why_set(why, ERR_SPIFFE_ID, "the trust domain is empty");
    if (name.len > TRUST_DOMAIN_MAX)
        return why_set(why, ERR_SPIFFE_ID, "the trust domain has %zu bytes, at most %d are allowed",
                       name.len, TRUST_DOMAIN_MAX);
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        if (is_lower_or_digit(c) || is_mark(c))
            continue;
        if (is_upper(c))
            return why_set(why, ERR_SPIFFE_ID,
                           "byte %zu: %s: the trust domain must be in lower case", at + i + 1,
                           show(c).text);
        if (c == ':')
            return why_set(why, ERR_SPIFFE_ID,
                           "byte %zu: ':': a trust domain has no port and no brackets", at + i + 1);
        return why_set(why, ERR_SPIFFE_ID,
                       "byte %zu: %s is not allowed in a trust domain (a-z 0-9 . - _ are)",
                       at + i + 1, show(c).text);
    }
    return ERR_OK;
}

static err_t check_segment(struct slice segment, size_t at, struct why *why)
{
    if (segment.len == 0)
        return why_set(why, ERR_SPIFFE_ID, "byte %zu: a path segment is empty", at + 1);
    if (slice_eq_str(segment, ".") || slice_eq_str(segment, ".."))
        return why_set(why, ERR_SPIFFE_ID,
                       "byte %zu: '.' and '..' are not allowed as path segments", at + 1);
    for (size_t i = 0; i < segment.len; i++) {
        uint8_t c = segment.data[i];
        if (!is_lower_or_digit(c) && !is_upper(c) && !is_mark(c))
            return why_set(why, ERR_SPIFFE_ID,
                           "byte %zu: %s is not allowed in a path (a-z A-Z 0-9 . - _ are)",
                           at + i + 1, show(c).text);
    }
    return ERR_OK;
}

/* `path` starts with '/'. */
static err_t check_path(struct slice path, size_t at, struct why *why)
{
    if (path.data[path.len - 1] == '/')
        return why_set(why, ERR_SPIFFE_ID, "byte %zu: a slash at the end", at + path.len);
    size_t start = 1;
    for (size_t i = 1; i <= path.len; i++) {
        if (i < path.len && path.data[i] != '/')
            continue;
        err_t err = check_segment(slice_of(path.data + start, i - start), at + start, why);
        if (err != ERR_OK)
            return err;
        start = i + 1;
    }
    return ERR_OK;
}

err_t spiffeid_parse(struct slice text, struct spiffeid *ret_id, struct why *why)
{
    if (text.len > SPIFFEID_MAX)
        return why_set(why, ERR_SPIFFE_ID, "the ID has %zu bytes, at most %d are allowed", text.len,
                       SPIFFEID_MAX);
    if (text.len < SCHEME_LEN || memcmp(text.data, SCHEME, SCHEME_LEN) != 0)
        return why_set(why, ERR_SPIFFE_ID, "it does not start with " SCHEME);
    size_t end = SCHEME_LEN;
    while (end < text.len && text.data[end] != '/')
        end++;
    struct spiffeid id = {
        .text = text,
        .trust_domain = slice_of(text.data + SCHEME_LEN, end - SCHEME_LEN),
        .path = slice_of(text.data + end, text.len - end),
    };
    err_t err = check_domain(id.trust_domain, SCHEME_LEN, why);
    if (err == ERR_OK && id.path.len > 0)
        err = check_path(id.path, end, why);
    if (err == ERR_OK)
        *ret_id = id;
    return err;
}

err_t trust_domain_check(struct slice name, struct why *why)
{
    return check_domain(name, 0, why);
}

err_t spiffeid_rule_parse(struct slice text, struct spiffeid_rule *ret_rule, struct why *why)
{
    struct spiffeid id;
    bool wildcard = text.len > SCHEME_LEN + 1 && memcmp(text.data + text.len - 2, "/*", 2) == 0;
    struct slice plain = wildcard ? slice_of(text.data, text.len - 2) : text;
    if (memchr(plain.data, '*', plain.len) != NULL)
        return why_set(why, ERR_SPIFFE_ID, "'*' may only be the whole last segment of the path");
    err_t err = spiffeid_parse(plain, &id, why);
    if (err != ERR_OK)
        return err;
    if (!wildcard && id.path.len == 0)
        return why_set(why, ERR_SPIFFE_ID,
                       "it names a trust domain and no workload; %.*s/* admits all of them",
                       (int)(text.len > 255 ? 255 : text.len), (const char *)text.data);
    *ret_rule = (struct spiffeid_rule){
        .prefix = wildcard ? slice_of(text.data, text.len - 1) : text,
        .wildcard = wildcard,
    };
    return ERR_OK;
}

bool spiffeid_rule_matches(const struct spiffeid_rule *rule, const struct spiffeid *id)
{
    if (!rule->wildcard)
        return slice_eq(rule->prefix, id->text);
    /* A parsed ID has no empty segment: whatever follows the prefix is one segment or more. */
    return id->text.len > rule->prefix.len &&
           memcmp(id->text.data, rule->prefix.data, rule->prefix.len) == 0;
}

#include "agent/attest/selector.h"

#include "common/base/mem.h"

#include <stdarg.h>
#include <stdio.h>

enum { VALUE_SHOWN_MAX = 80 };

enum value_form { VALUE_ID, VALUE_NAME, VALUE_PATH, VALUE_SHA256 };

struct kind {
    const char *prefix; /* ends in ':' */
    enum value_form form;
    unsigned bits;
};

static const struct kind kinds[] = {
    {"unix:uid:", VALUE_ID, 0},
    {"unix:user:", VALUE_NAME, SELECTOR_KIND_NAMES},
    {"unix:gid:", VALUE_ID, 0},
    {"unix:group:", VALUE_NAME, SELECTOR_KIND_NAMES},
    {"unix:supplementary_gid:", VALUE_ID, SELECTOR_KIND_SUPPLEMENTARY},
    {"unix:supplementary_group:", VALUE_NAME, SELECTOR_KIND_SUPPLEMENTARY | SELECTOR_KIND_NAMES},
    {"unix:path:", VALUE_PATH, SELECTOR_KIND_PATH},
    {"unix:sha256:", VALUE_SHA256, SELECTOR_KIND_SHA256},
};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

static const char *const form_text[] = {
    [VALUE_ID] = "a number from 0 to 4294967294 without leading zeros",
    [VALUE_NAME] = "a name",
    [VALUE_PATH] = "an absolute path",
    [VALUE_SHA256] = "64 lower-case hexadecimal digits",
};

static const struct kind *kind_find(struct slice text)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (slice_starts_with(text, kinds[i].prefix))
            return &kinds[i];
    return NULL;
}

static bool is_id(struct slice v)
{
    if (v.len == 0 || v.len > 10 || (v.len > 1 && v.data[0] == '0'))
        return false;
    uint64_t n = 0;
    for (size_t i = 0; i < v.len; i++) {
        if (v.data[i] < '0' || v.data[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(v.data[i] - '0');
    }
    return n < UINT32_MAX; /* (uid_t)-1 is nobody's */
}

static bool is_sha256(struct slice v)
{
    for (size_t i = 0; i < v.len; i++)
        if (!((v.data[i] >= '0' && v.data[i] <= '9') || (v.data[i] >= 'a' && v.data[i] <= 'f')))
            return false;
    return v.len == 64;
}

static bool has_control(struct slice v)
{
    for (size_t i = 0; i < v.len; i++)
        if (v.data[i] < ' ' || v.data[i] == 0x7f)
            return true;
    return false;
}

static bool value_ok(enum value_form form, struct slice v)
{
    if (v.len == 0 || has_control(v))
        return false;
    switch (form) {
    case VALUE_ID:
        return is_id(v);
    case VALUE_NAME:
        return true;
    case VALUE_PATH:
        return v.data[0] == '/';
    case VALUE_SHA256:
        return is_sha256(v);
    }
    return false;
}

/* The text for an error line: cut, without bytes that could break the line. */
static void selector_shown(struct slice text, char out[static VALUE_SHOWN_MAX + 4])
{
    size_t n = text.len < VALUE_SHOWN_MAX ? text.len : VALUE_SHOWN_MAX;
    for (size_t i = 0; i < n; i++)
        out[i] = text.data[i] < ' ' || text.data[i] == 0x7f ? '?' : (char)text.data[i];
    memcpy(out + n, n < text.len ? "..." : "", n < text.len ? 4 : 1);
}

err_t selector_check(struct slice text, struct why *why)
{
    char found[VALUE_SHOWN_MAX + 4];
    selector_shown(text, found);
    const struct kind *k = kind_find(text);
    if (k == NULL)
        return why_set(why, ERR_CONFIG,
                       "expected a selector of a known kind (unix:uid, unix:user, unix:gid, "
                       "unix:group, unix:supplementary_gid, unix:supplementary_group, unix:path, "
                       "unix:sha256) followed by ':' and a value, found \"%s\"",
                       found);
    if (text.len > SELECTOR_MAX)
        return why_set(why, ERR_CONFIG, "expected at most %d bytes, found %zu", SELECTOR_MAX,
                       text.len);
    size_t head = strlen(k->prefix);
    if (!value_ok(k->form, slice_of(text.data + head, text.len - head)))
        return why_set(why, ERR_CONFIG, "expected %s after \"%s\", found \"%s\"",
                       form_text[k->form], k->prefix, found);
    return ERR_OK;
}

unsigned selector_kind_bits(struct slice text)
{
    const struct kind *k = kind_find(text);
    return k != NULL ? k->bits : 0;
}

void selector_set_init(struct selector_set *s)
{
    *s = (struct selector_set){0};
}

void selector_set_done(struct selector_set *s)
{
    for (size_t i = 0; i < s->count; i++)
        mem_free(s->items[i]);
    mem_free(s->items);
    selector_set_init(s);
}

static int selector_compare(struct slice text, const char *item)
{
    size_t len = strlen(item);
    int order = memcmp(text.data, item, text.len < len ? text.len : len);
    if (order != 0)
        return order;
    return text.len < len ? -1 : text.len > len;
}

/* Where the text is, or where it belongs. */
static size_t selector_set_find(const struct selector_set *s, struct slice text, bool *ret_found)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = selector_compare(text, s->items[mid]);
        if (order == 0) {
            *ret_found = true;
            return mid;
        }
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    *ret_found = false;
    return low;
}

static err_t selector_set_insert(struct selector_set *s, const char *text, size_t len)
{
    bool found;
    size_t at = selector_set_find(s, slice_of(text, len), &found);
    if (found)
        return ERR_OK;
    if (s->count >= SELECTOR_SET_MAX)
        return ERR_LIMIT;
    char *copy = mem_grow(&s->items, s->count, sizeof *s->items) ? mem_dup(text, len + 1) : NULL;
    if (copy == NULL)
        return ERR_NO_MEMORY;
    memmove(s->items + at + 1, s->items + at, (s->count - at) * sizeof *s->items);
    s->items[at] = copy;
    s->count++;
    return ERR_OK;
}

err_t selector_set_add(struct selector_set *s, const char *fmt, ...)
{
    char text[SELECTOR_MAX + 1];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof text)
        return ERR_TOO_LARGE;
    return selector_set_insert(s, text, (size_t)len);
}

bool selector_set_has(const struct selector_set *s, struct slice text)
{
    bool found;
    selector_set_find(s, text, &found);
    return found;
}

bool selector_set_contains(const struct selector_set *whole, const struct selector_set *part)
{
    if (part->count > whole->count)
        return false;
    for (size_t i = 0; i < part->count; i++)
        if (!selector_set_has(whole, slice_str(part->items[i])))
            return false;
    return true;
}

bool selector_set_eq(const struct selector_set *a, const struct selector_set *b)
{
    return a->count == b->count && selector_set_contains(a, b);
}

/* Borrowed bytes: valid as long as their owner says. Never owns, never ends in NUL by itself. */
#ifndef SPINDLE_COMMON_BASE_SLICE_H
#define SPINDLE_COMMON_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data;
    size_t len;
};

static inline struct slice slice_of(const void *data, size_t len)
{
    return (struct slice){.data = data, .len = len};
}
static inline struct slice slice_str(const char *text)
{
    return slice_of(text, strlen(text));
}
static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
static inline bool slice_eq_str(struct slice a, const char *text)
{
    return slice_eq(a, slice_str(text));
}
static inline bool slice_starts_with(struct slice a, const char *text)
{
    size_t len = strlen(text);
    return a.len >= len && memcmp(a.data, text, len) == 0;
}

/* For printf("%.*s", SLICE_ARG(s)). */
#define SLICE_ARG(s) (int)(s).len, (const char *)(s).data

#endif

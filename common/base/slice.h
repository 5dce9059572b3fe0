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
/* The next of words separated by spaces, empty at the end; *text moves past it. */
static inline struct slice slice_next_word(const char **text)
{
    const char *at = *text + strspn(*text, " ");
    *text = at + strcspn(at, " ");
    return slice_of(at, (size_t)(*text - at));
}
static inline bool slice_is_word_of(const char *words, struct slice word)
{
    struct slice w;
    while ((w = slice_next_word(&words)).len > 0 && !slice_eq(w, word))
        ;
    return w.len > 0;
}
/* Either case; -1: no hexadecimal digit. */
static inline int slice_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* For printf("%.*s", SLICE_ARG(s)). */
#define SLICE_ARG(s) (int)(s).len, (const char *)(s).data

#endif

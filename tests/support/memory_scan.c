#include "tests/support/memory_scan.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define MASK 0xa5u

void memory_pattern_of(struct slice bytes, struct memory_pattern *ret)
{
    ck_assert_uint_le(bytes.len, sizeof ret->masked);
    ret->len = bytes.len;
    for (size_t i = 0; i < bytes.len; i++)
        ret->masked[i] = bytes.data[i] ^ MASK;
}

void memory_pattern_turn(struct memory_pattern *p)
{
    for (size_t i = 0; i < p->len / 2; i++) {
        uint8_t first = p->masked[i];
        p->masked[i] = p->masked[p->len - 1 - i];
        p->masked[p->len - 1 - i] = first;
    }
}

static bool stands_at(const struct memory_pattern *p, const uint8_t *at)
{
    for (size_t i = 0; i < p->len; i++) {
        if ((at[i] ^ MASK) != p->masked[i])
            return false;
    }
    return true;
}

static size_t count_in(const struct memory_pattern *p, const uint8_t *from, const uint8_t *to)
{
    size_t found = 0;
    uint8_t first = p->masked[0] ^ MASK;
    for (const uint8_t *at = from; (size_t)(to - at) >= p->len; at++) {
        at = memchr(at, first, (size_t)(to - at) - p->len + 1);
        if (at == NULL)
            break;
        found += stands_at(p, at);
    }
    return found;
}

struct region {
    uintptr_t from, to;
    char access[8];
    char flags[256];
};

/* The next region of smaps, with its flags. */
static bool next_region(FILE *smaps, struct region *ret)
{
    char line[512];
    bool begun = false;
    while (fgets(line, sizeof line, smaps) != NULL) {
        uintptr_t from, to;
        char access[8];
        if (sscanf(line, "%lx-%lx %7s", &from, &to, access) == 3) {
            *ret = (struct region){.from = from, .to = to};
            memcpy(ret->access, access, sizeof access);
            begun = true;
        } else if (begun && strncmp(line, "VmFlags:", 8) == 0) {
            snprintf(ret->flags, sizeof ret->flags, "%.250s", line + 8);
            return true;
        }
    }
    return false;
}

static bool has_flag(const struct region *r, const char *flag)
{
    char word[8];
    snprintf(word, sizeof word, " %s ", flag);
    return strstr(r->flags, word) != NULL;
}

size_t memory_count(const struct memory_pattern *p)
{
    struct region r;
    size_t found = 0;
    FILE *smaps = fopen("/proc/self/smaps", "re");
    ck_assert_ptr_nonnull(smaps);
    while (next_region(smaps, &r)) {
        if (strncmp(r.access, "rw", 2) == 0 && !has_flag(&r, "dd"))
            found += count_in(p, (const uint8_t *)r.from, (const uint8_t *)r.to);
    }
    fclose(smaps);
    return found;
}

bool memory_has_flag(const void *ptr, const char *flag)
{
    struct region r;
    bool has = false;
    FILE *smaps = fopen("/proc/self/smaps", "re");
    ck_assert_ptr_nonnull(smaps);
    while (next_region(smaps, &r))
        has = has || ((uintptr_t)ptr >= r.from && (uintptr_t)ptr < r.to && has_flag(&r, flag));
    fclose(smaps);
    return has;
}

#include "agent/store/record_item.h"

bool record_search_is_like(const char *text, const char *pattern)
{
    size_t len = strlen(pattern);
    if (len > 0 && pattern[len - 1] == '*')
        return strncmp(text, pattern, len - 1) == 0;
    return strcmp(text, pattern) == 0;
}

bool record_search_in_time(const struct record_search *s, int64_t not_after)
{
    return (s->state != RECORD_VALID || not_after >= s->now) &&
           (s->state != RECORD_EXPIRED || not_after < s->now) &&
           (s->expires_before == 0 || not_after < s->expires_before) &&
           (s->expires_after == 0 || not_after > s->expires_after);
}

static bool has_digits(const uint8_t *serial, const uint8_t *want, unsigned digits)
{
    return memcmp(serial, want, digits / 2) == 0 &&
           (digits % 2 == 0 || serial[digits / 2] >> 4 == want[digits / 2] >> 4);
}

bool record_search_wants(const struct record_search *s, const struct record_item *item)
{
    return record_search_in_time(s, item->not_after) &&
           (s->spiffe_id == NULL || record_search_is_like(item->spiffe_id, s->spiffe_id)) &&
           (s->entry_id == NULL || strcmp(item->entry_id, s->entry_id) == 0) &&
           has_digits(item->serial, s->serial, s->serial_digits);
}

/* Questions to the record. */
#include "agent/record_store.h"

#include <string.h>

err_t record_store_lookup(struct record_store *st, const uint8_t serial[static RECORD_SERIAL_LEN],
                          uint32_t *ret, struct why *why)
{
    struct record_item item;
    uint32_t hash = record_store_hash(serial);
    uint32_t at = record_store_first(st, hash);
    for (const struct record_link *link; (link = record_store_link(st, at)) != NULL;
         at = link->next) {
        if (link->hash != hash)
            continue;
        err_t err = record_store_item(st, at, &item, why);
        if (err != ERR_OK)
            return err;
        if (memcmp(item.serial, serial, RECORD_SERIAL_LEN) == 0)
            break;
    }
    *ret = at;
    return ERR_OK;
}

err_t record_store_find(struct record_store *st, const uint8_t serial[static RECORD_SERIAL_LEN],
                        struct record_item *ret, struct why *why)
{
    uint32_t at = 0;
    err_t err = record_store_lookup(st, serial, &at, why);
    if (err == ERR_OK && at == 0)
        return why_set(why, ERR_NOT_FOUND, "the record has no certificate with this serial");
    return err == ERR_OK ? record_store_item(st, at, ret, why) : err;
}

/* Goes on after rows that cannot be read; the first such error is the answer. */
static bool each_of_name(struct record_store *st, uint32_t name, int64_t now, record_fn *fn,
                         void *arg, err_t *err, struct why *why)
{
    struct record_item item;
    uint32_t at = record_names_at(&st->names, name)->newest;
    for (const struct record_link *link; (link = record_store_link(st, at)) != NULL;
         at = link->older) {
        if ((int64_t)link->not_after < now)
            continue;
        err_t one = record_store_item(st, at, &item, *err == ERR_OK ? why : NULL);
        if (one != ERR_OK)
            *err = *err == ERR_OK ? one : *err;
        else if (!fn(arg, &item))
            return false;
    }
    return true;
}

err_t record_store_each(struct record_store *st, const struct record_query *query, record_fn *fn,
                        void *arg, struct why *why)
{
    err_t err = ERR_OK;
    bool goes_on = true;
    const struct record_names *names = &st->names;
    struct slice id = query->spiffe_id != NULL ? slice_str(query->spiffe_id) : slice_of(NULL, 0);
    if (query->spiffe_id != NULL) {
        for (uint32_t n = 0; goes_on && (n = record_names_find(names, id, n)) != 0;)
            if (query->entry_id == NULL || strcmp(names->items[n]->entry_id, query->entry_id) == 0)
                goes_on = each_of_name(st, n, query->now, fn, arg, &err, why);
        return err;
    }
    for (uint32_t n = 1; goes_on && n < names->count; n++)
        if (names->items[n] != NULL && strcmp(names->items[n]->entry_id, query->entry_id) == 0)
            goes_on = each_of_name(st, n, query->now, fn, arg, &err, why);
    return err;
}

static bool is_like(const char *text, const char *pattern)
{
    size_t len = strlen(pattern);
    if (len > 0 && pattern[len - 1] == '*')
        return strncmp(text, pattern, len - 1) == 0;
    return strcmp(text, pattern) == 0;
}

static bool has_digits(const uint8_t *serial, const uint8_t *want, unsigned digits)
{
    return memcmp(serial, want, digits / 2) == 0 &&
           (digits % 2 == 0 || serial[digits / 2] >> 4 == want[digits / 2] >> 4);
}

static bool is_in_time(const struct record_search *s, int64_t not_after)
{
    return (s->state != RECORD_VALID || not_after >= s->now) &&
           (s->state != RECORD_EXPIRED || not_after < s->now) &&
           (s->expires_before == 0 || not_after < s->expires_before) &&
           (s->expires_after == 0 || not_after > s->expires_after);
}

bool record_search_wants(const struct record_search *s, const struct record_item *item)
{
    return is_in_time(s, item->not_after) &&
           (s->spiffe_id == NULL || is_like(item->spiffe_id, s->spiffe_id)) &&
           (s->entry_id == NULL || strcmp(item->entry_id, s->entry_id) == 0) &&
           has_digits(item->serial, s->serial, s->serial_digits);
}

err_t record_store_search(struct record_store *st, const struct record_search *search,
                          record_fn *fn, void *arg, uint64_t *ret_next, struct why *why)
{
    uint64_t end = (uint64_t)st->first_seq << 16;
    uint64_t at =
        search->from > 0 ? search->from : (uint64_t)(st->first_seq + st->segment_count) << 16;
    size_t found = 0, looked = 0;
    struct record_item item;
    if (at > (uint64_t)(st->first_seq + st->segment_count) << 16)
        return why_set(why, ERR_USAGE, "no such page");
    while (at > end && looked < RECORD_SEARCH_ROWS) {
        at--;
        const struct record_segment *s = record_store_segment(st, (uint32_t)(at >> 16));
        uint32_t row = at & 0xffff;
        if (s == NULL || s->rows == 0)
            at &= ~UINT64_C(0xffff);
        else if (row >= s->rows)
            at = (at & ~UINT64_C(0xffff)) + s->rows;
        if (s == NULL || row >= s->rows)
            continue;
        looked++;
        if (s->links[row].hash == 0 || !is_in_time(search, s->links[row].not_after))
            continue;
        err_t err = record_store_item(st, record_store_position(s->seq, row), &item, why);
        if (err != ERR_OK)
            return err;
        if (!record_search_wants(search, &item))
            continue;
        if (found == search->limit) { /* the next page begins with it */
            at++;
            break;
        }
        found += fn(arg, &item);
    }
    *ret_next = at > end ? at : 0;
    return ERR_OK;
}

#include "agent/store/record_search.h"

err_t record_search_position(struct record_store *st,
                             const uint8_t serial[static RECORD_SERIAL_LEN], uint32_t *ret,
                             struct why *why)
{
    struct record_item item;
    uint32_t hash = record_segment_hash(serial);
    uint32_t at = record_store_first(st, hash);
    err_t damaged = ERR_OK; /* of one that may have been it */
    for (const struct record_link *link; (link = record_store_link(st, at)) != NULL;
         at = link->next) {
        if (link->hash != hash)
            continue;
        err_t err = record_store_item(st, at, &item, why);
        if (err != ERR_OK && err != ERR_PARSE)
            return err;
        if (err == ERR_OK && memcmp(item.serial, serial, RECORD_SERIAL_LEN) == 0) {
            *ret = at;
            return ERR_OK;
        }
        damaged = err != ERR_OK ? err : damaged;
    }
    if (damaged == ERR_OK)
        *ret = 0;
    return damaged;
}

err_t record_search_serial(struct record_store *st, const uint8_t serial[static RECORD_SERIAL_LEN],
                           struct record_item *ret, struct why *why)
{
    uint32_t at = 0;
    err_t err = record_search_position(st, serial, &at, why);
    if (err == ERR_OK && at == 0)
        return why_set(why, ERR_NOT_FOUND, "the record has no certificate with this serial");
    return err == ERR_OK ? record_store_item(st, at, ret, why) : err;
}

/* Goes on after rows that cannot be read; the first such error is the answer. */
static bool each_of_name(struct record_store *st, uint32_t name, const struct record_query *query,
                         record_fn *fn, void *arg, err_t *err, struct why *why)
{
    struct record_item item;
    uint32_t at = record_names_at(&st->names, name)->newest;
    for (const struct record_link *link; (link = record_store_link(st, at)) != NULL;
         at = link->older) {
        if ((int64_t)link->not_after < query->now ||
            (query->expires_before != 0 && (int64_t)link->not_after >= query->expires_before))
            continue;
        err_t one = record_store_item(st, at, &item, *err == ERR_OK ? why : NULL);
        if (one != ERR_OK)
            *err = *err == ERR_OK ? one : *err;
        else if (!fn(arg, &item))
            return false;
    }
    return true;
}

err_t record_search_unexpired(struct record_store *st, const struct record_query *query,
                              record_fn *fn, void *arg, struct why *why)
{
    err_t err = ERR_OK;
    bool goes_on = true;
    const struct record_names *names = &st->names;
    struct slice id = query->spiffe_id != NULL ? slice_str(query->spiffe_id) : slice_of(NULL, 0);
    if (query->spiffe_id != NULL) {
        for (uint32_t n = 0; goes_on && (n = record_names_find(names, id, n)) != 0;)
            if (query->entry_id == NULL || strcmp(names->items[n]->entry_id, query->entry_id) == 0)
                goes_on = each_of_name(st, n, query, fn, arg, &err, why);
        return err;
    }
    for (uint32_t n = 1; goes_on && n < names->count; n++)
        if (names->items[n] != NULL && strcmp(names->items[n]->entry_id, query->entry_id) == 0)
            goes_on = each_of_name(st, n, query, fn, arg, &err, why);
    return err;
}

/* What the index alone can say: false means no. */
static bool may_have_digits(uint32_t hash, const struct record_search *s)
{
    unsigned digits = s->serial_digits < 8 ? s->serial_digits : 8;
    uint32_t mask = digits > 0 ? UINT32_MAX << (32 - 4 * digits) : 0;
    return hash == 1 || ((hash ^ record_segment_hash(s->serial)) & mask) == 0;
}

/* How to go through what a search may find, newest first: all rows, or the chains of few
 * identities, or one row. A place is a segment's number with the row in the low 16 bits. */

enum { CHAINS_MAX = 64 };
struct walk {
    enum { WALK_ALL, WALK_CHAINS, WALK_ONE } kind;
    uint64_t at;                   /* what is above was seen; the last place given */
    size_t looked;                 /* at rows, of all */
    uint32_t position[CHAINS_MAX]; /* the next one of each chain, or the one row */
    size_t count;
};

static uint64_t first_place(const struct record_store *st)
{
    return (uint64_t)st->first_seq << 16;
}

static uint64_t place_of(const struct record_store *st, uint32_t position)
{
    uint16_t at = (uint16_t)((position >> 16) - st->first_seq);
    return first_place(st) + ((uint64_t)at << 16) + (position & 0xffff);
}

static bool is_named(const struct record_search *s, const struct record_name *name)
{
    return (s->spiffe_id == NULL || record_search_is_like(name->spiffe_id, s->spiffe_id)) &&
           (s->entry_id == NULL || strcmp(name->entry_id, s->entry_id) == 0);
}

/* false: too many for it to be worth while. */
static bool find_chains(const struct record_store *st, const struct record_search *s,
                        struct walk *w)
{
    uint64_t rows = 0;
    for (uint32_t n = 1; n < st->names.count; n++) {
        const struct record_name *name = st->names.items[n];
        if (name == NULL || name->newest == 0 || !is_named(s, name))
            continue;
        rows += name->uses;
        if (w->count == CHAINS_MAX || rows > RECORD_SEARCH_ROWS)
            return false;
        w->position[w->count++] = name->newest;
    }
    return true;
}

static err_t choose_walk(struct record_store *st, const struct record_search *s, struct walk *w,
                         struct why *why)
{
    if (s->serial_digits == 2 * RECORD_SERIAL_LEN) {
        w->kind = WALK_ONE;
        return record_search_position(st, s->serial, &w->position[0], why);
    }
    bool has_name = s->spiffe_id != NULL || s->entry_id != NULL;
    w->kind = has_name && find_chains(st, s, w) ? WALK_CHAINS : WALK_ALL;
    return ERR_OK;
}

static bool next_of_chains(const struct record_store *st, struct walk *w)
{
    uint64_t best = 0;
    for (size_t i = 0; i < w->count; i++) {
        const struct record_link *link;
        uint32_t *at = &w->position[i];
        while ((link = record_store_link(st, *at)) != NULL && place_of(st, *at) >= w->at)
            *at = link->older;
        if (link != NULL && place_of(st, *at) > best)
            best = place_of(st, *at);
    }
    w->at = best;
    return best != 0;
}

static bool next_of_all(const struct record_store *st, struct walk *w)
{
    while (w->at > first_place(st) && w->looked < RECORD_SEARCH_ROWS) {
        uint64_t at = w->at - 1, base = at & ~UINT64_C(0xffff);
        const struct record_segment *s = record_store_segment(st, (uint32_t)(at >> 16));
        uint32_t rows = s != NULL ? s->rows : 0;
        bool is_row = at - base < rows;
        w->at = is_row ? at : base + rows;
        w->looked += is_row;
        if (is_row && s->links[at - base].hash != 0)
            return true;
    }
    return false;
}

/* false: that was all, or (of all rows) as much as one page may look at; w->at says which. */
static bool next_row(const struct record_store *st, struct walk *w)
{
    uint64_t one = 0;
    switch (w->kind) {
    case WALK_ONE:
        one = w->position[0] != 0 ? place_of(st, w->position[0]) : 0;
        w->at = one < w->at ? one : 0;
        return w->at != 0;
    case WALK_CHAINS:
        return next_of_chains(st, w);
    case WALK_ALL:
        break;
    }
    return next_of_all(st, w);
}

err_t record_search_page(struct record_store *st, const struct record_search *search, record_fn *fn,
                         void *arg, uint64_t *ret_next, struct why *why)
{
    uint64_t top = first_place(st) + ((uint64_t)st->segment_count << 16);
    struct walk w = {.at = search->from > 0 ? search->from : top};
    struct record_item item;
    size_t found = 0;
    if (w.at > top)
        return why_set(why, ERR_USAGE, "no such page");
    err_t err = choose_walk(st, search, &w, why);
    if (err != ERR_OK)
        return err;
    while (next_row(st, &w)) {
        uint32_t position = record_store_position((uint32_t)(w.at >> 16), w.at & 0xffff);
        const struct record_link *link = record_store_link(st, position);
        if (!record_search_in_time(search, link->not_after) || !may_have_digits(link->hash, search))
            continue;
        err = record_store_item(st, position, &item, why);
        if (err != ERR_OK && err != ERR_PARSE)
            return err;
        if (err == ERR_PARSE || !record_search_wants(search, &item))
            continue;
        if (found == search->limit) { /* the next page begins with it */
            w.at++;
            break;
        }
        found += fn(arg, &item);
    }
    *ret_next = w.at > first_place(st) ? w.at : 0;
    return ERR_OK;
}

#include "agent/entry/entry_index.h"

#include "common/base/mem.h"

#include <stdlib.h>

struct filed {
    const char *selector; /* borrowed from the entry */
    const struct entry *entry;
};

struct entry_index {
    struct filed *by_selector;  /* owned; one an entry, sorted by selector */
    const struct entry **by_id; /* owned; sorted by id */
    size_t count;
};

static int filed_order(const void *a, const void *b)
{
    const struct filed *x = a, *y = b;
    int order = strcmp(x->selector, y->selector);
    if (order != 0)
        return order;
    return x->entry < y->entry ? -1 : x->entry > y->entry;
}

static int id_order(const void *a, const void *b)
{
    const struct entry *const *x = a, *const *y = b;
    int order = strcmp((*x)->id, (*y)->id);
    if (order != 0)
        return order;
    return *x < *y ? -1 : *x > *y;
}

/* Every selector of every entry, sorted. */
static struct filed *all_selectors(const struct entry *items, size_t count, size_t *ret_total)
{
    size_t total = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        total += items[i].selectors.count;
    struct filed *all = mem_array(total, sizeof *all);
    if (all == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < items[i].selectors.count; k++)
            all[at++] = (struct filed){.selector = items[i].selectors.items[k], .entry = &items[i]};
    qsort(all, total, sizeof *all, filed_order);
    *ret_total = total;
    return all;
}

/* Files each entry under that selector of its own which the fewest others have. */
static err_t file_entries(struct entry_index *x, const struct entry *items)
{
    size_t total = 0, *users = mem_array(x->count, sizeof *users);
    struct filed *all = all_selectors(items, x->count, &total);
    err_t err = users != NULL && all != NULL ? ERR_OK : ERR_NO_MEMORY;
    for (size_t from = 0, to; err == ERR_OK && from < total; from = to) {
        for (to = from + 1; to < total && strcmp(all[from].selector, all[to].selector) == 0;)
            to++;
        for (size_t i = from; i < to; i++) {
            size_t n = (size_t)(all[i].entry - items);
            if (users[n] != 0 && users[n] <= to - from)
                continue;
            users[n] = to - from;
            x->by_selector[n] = all[i];
        }
    }
    if (err == ERR_OK)
        qsort(x->by_selector, x->count, sizeof *x->by_selector, filed_order);
    mem_free(all);
    mem_free(users);
    return err;
}

err_t entry_index_new(const struct entry *items, size_t count, struct entry_index **ret)
{
    struct entry_index *x = mem_alloc(sizeof *x);
    if (x == NULL)
        return ERR_NO_MEMORY;
    x->count = count;
    x->by_selector = mem_array(count, sizeof *x->by_selector);
    x->by_id = mem_array(count, sizeof *x->by_id);
    err_t err = x->by_selector != NULL && x->by_id != NULL ? ERR_OK : ERR_NO_MEMORY;
    if (err == ERR_OK)
        err = file_entries(x, items);
    if (err != ERR_OK) {
        entry_index_free(x);
        return err;
    }
    for (size_t i = 0; i < count; i++)
        x->by_id[i] = &items[i];
    qsort(x->by_id, count, sizeof *x->by_id, id_order);
    *ret = x;
    return ERR_OK;
}

void entry_index_free(struct entry_index *x)
{
    if (x == NULL)
        return;
    mem_free(x->by_selector);
    mem_free(x->by_id);
    mem_free(x);
}

static size_t first_with(const struct entry_index *x, const char *selector)
{
    size_t low = 0, high = x->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(x->by_selector[mid].selector, selector) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Puts `e` where it belongs among the first `max` matches. */
static void put_in_order(const struct entry **out, size_t found, size_t max, const struct entry *e)
{
    size_t at = found < max ? found : max;
    while (at > 0 && out[at - 1] > e) {
        if (at < max)
            out[at] = out[at - 1];
        at--;
    }
    if (at < max)
        out[at] = e;
}

size_t entry_index_match(const struct entry_index *x, const struct selector_set *caller,
                         const struct entry **out, size_t max)
{
    size_t found = 0;
    for (size_t s = 0; s < caller->count; s++) {
        const char *selector = caller->items[s];
        for (size_t i = first_with(x, selector); i < x->count; i++) {
            const struct filed *f = &x->by_selector[i];
            if (strcmp(f->selector, selector) != 0)
                break;
            if (selector_set_contains(caller, &f->entry->selectors))
                put_in_order(out, found++, max, f->entry);
        }
    }
    return found;
}

const struct entry *entry_index_find(const struct entry_index *x, const char *id)
{
    size_t low = 0, high = x->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(x->by_id[mid]->id, id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    bool found = low < x->count && strcmp(x->by_id[low]->id, id) == 0;
    return found ? x->by_id[low] : NULL;
}

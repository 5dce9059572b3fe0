#include "common/base/mem.h"
#include "common/metric/metric_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NS_PER_S 1e9
#define FNV_START UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

size_t metric_label_count(const struct metric_family *f)
{
    size_t n = 0;
    while (n < METRIC_LABELS_MAX && f->label[n].name != NULL)
        n++;
    return n;
}

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
    const uint8_t *byte = data;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ byte[i]) * FNV_PRIME;
    return hash;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    return mix(hash, text, strlen(text) + 1);
}

static uint64_t mix_label(uint64_t hash, const struct metric_label *l)
{
    const uint64_t shape[] = {l->count, l->tied, l->errors != NULL};
    hash = mix_text(hash, l->name);
    hash = mix(hash, shape, sizeof shape);
    bool is_constant = l->values != NULL && l->count == 1;
    for (size_t i = 0; l->values != NULL && !is_constant && i < l->count; i++)
        hash = mix_text(hash, l->values[i]);
    for (size_t i = 0; l->errors != NULL && i + 1 < l->count; i++)
        hash = mix_text(hash, err_name(l->errors[i]));
    return hash;
}

uint64_t metric_fingerprint(const struct metric_family *f)
{
    const uint64_t type = (uint64_t)f->type;
    uint64_t hash = mix_text(FNV_START, f->name);
    hash = mix(hash, &type, sizeof type);
    hash = mix_text(hash, f->unit);
    hash = mix(hash, f->buckets, f->bucket_count * sizeof *f->buckets);
    for (size_t i = 0; i < metric_label_count(f); i++)
        hash = mix_label(hash, &f->label[i]);
    return hash;
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* A gauge's slot goes up or down. */
static void slot_move(metric_slot_t *slot, double delta)
{
    uint64_t old = atomic_load_explicit(slot, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(slot, &old, bits_of(double_of(old) + delta),
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

static bool is_open(const struct metric_label *l)
{
    return l->count == 0;
}

static size_t series_width(const struct metric_family *f)
{
    return f->type == METRIC_HISTOGRAM ? f->bucket_count + 2 : 1;
}

/* Fills the sizes; returns how many slots the family needs. Asserts what only a wrong row breaks.
 */
static size_t lay_out(const struct metric_family *f, size_t first, struct metric_layout *l)
{
    size_t dimension = 0;
    *l = (struct metric_layout){.fingerprint = metric_fingerprint(f),
                                .first = first,
                                .size = {1, 1, 1},
                                .width = series_width(f)};
    for (size_t i = 0; i < metric_label_count(f); i++) {
        const struct metric_label *label = &f->label[i];
        assert(!is_open(label) || i == 0);
        assert(!label->tied || (i > 0 && label->count == f->label[i - 1].count));
        if (label->tied)
            continue;
        size_t values = is_open(label) ? METRIC_DYNAMIC_MAX + 1 : label->count;
        assert(dimension < METRIC_DIMENSIONS || values == 1);
        if (dimension < METRIC_DIMENSIONS)
            l->size[dimension++] = values;
    }
    assert((f->type == METRIC_HISTOGRAM) == (f->bucket_count > 0));
    return metric_family_slots(l);
}

static bool has_open_label(const struct metric_family *f)
{
    return metric_label_count(f) > 0 && is_open(&f->label[0]);
}

static err_t lay_out_all(struct metrics *m)
{
    m->dropped_family = m->build_family = m->count;
    for (size_t i = 0; i < m->count; i++) {
        m->slot_count += lay_out(&m->table[i], m->slot_count, &m->layout[i]);
        if (strcmp(m->table[i].name, "metrics_series_dropped_total") == 0)
            m->dropped_family = i;
        if (strcmp(m->table[i].name, "build_info") == 0)
            m->build_family = i;
        if (!has_open_label(&m->table[i]))
            continue;
        struct metric_open *open = m->layout[i].open = mem_alloc(sizeof *open);
        if (open == NULL)
            return ERR_NO_MEMORY;
        open->cell = m->cell_count;
        m->cell_count += METRIC_DYNAMIC_MAX;
    }
    return ERR_OK;
}

static err_t build(struct metrics *m, const char *prefix)
{
    m->layout = mem_array(m->count, sizeof *m->layout);
    m->prefix = mem_strdup(prefix);
    err_t err = m->layout != NULL && m->prefix != NULL ? lay_out_all(m) : ERR_NO_MEMORY;
    if (err != ERR_OK)
        return err;
    metric_slot_t *slots = mem_array(m->slot_count, sizeof *slots);
    m->mirrored = mem_array(m->slot_count, sizeof *m->mirrored);
    atomic_store_explicit(&m->slots, slots, memory_order_relaxed);
    return slots != NULL && m->mirrored != NULL ? ERR_OK : ERR_NO_MEMORY;
}

err_t metrics_new(const struct metric_family *table, size_t count, const char *prefix,
                  struct metrics **ret, struct why *why)
{
    struct metrics *m = mem_alloc(sizeof *m);
    if (m == NULL)
        return why_set(why, ERR_NO_MEMORY, "metrics");
    m->table = table;
    m->count = count;
    m->page_fd = -1;
    err_t err = build(m, prefix);
    if (err != ERR_OK) {
        metrics_free(m);
        return why_set(why, err, "metrics: %zu families", count);
    }
    *ret = m;
    return ERR_OK;
}

static void forget_texts(struct metric_open *open)
{
    for (size_t i = 0; i < open->count; i++)
        mem_free(open->text[i]);
    open->count = 0;
    open->overflowed = false;
}

/* --- where the slots lie: on the heap or in a page, and those that were left -------------------
 */

void metric_fold_slot(const struct metrics *m, size_t family, metric_slot_t *from,
                      metric_slot_t *to)
{
    if (atomic_load_explicit(from, memory_order_relaxed) == 0)
        return;
    uint64_t value = atomic_exchange_explicit(from, 0, memory_order_relaxed);
    if (m->table[family].type == METRIC_GAUGE)
        slot_move(to, double_of(value));
    else
        atomic_fetch_add_explicit(to, value, memory_order_relaxed);
}

void metric_fold_family(const struct metrics *m, size_t family, metric_slot_t *from)
{
    size_t first = m->layout[family].first;
    for (size_t i = first; i < first + metric_family_slots(&m->layout[family]); i++)
        metric_fold_slot(m, family, &from[i], &metric_slots_of(m)[i]);
}

/* What threads still counted in slots that were left goes where it belongs. */
static void fold_left(const struct metrics *m)
{
    for (size_t i = 0; i < m->retired_count; i++) {
        for (size_t family = 0; family < m->count; family++)
            metric_fold_family(m, family, m->retired[i].slots);
    }
}

static void free_slots(metric_slot_t *slots, struct metric_page *page)
{
    if (page != NULL)
        munmap(page, sizeof *page);
    else
        mem_free((void *)slots);
}

static void leave_slots(struct metrics *m)
{
    fold_left(m);
    free_slots(metric_slots_of(m), m->page);
    for (size_t i = 0; i < m->retired_count; i++)
        free_slots(m->retired[i].slots, m->retired[i].page);
    if (m->page_fd >= 0)
        close(m->page_fd);
}

/* Tells the page, if there is one, which texts a family's open label has by now. */
static void put_texts(struct metrics *m, size_t family)
{
    const struct metric_open *open = m->layout[family].open;
    if (m->page == NULL || open == NULL)
        return;
    for (size_t i = 0; i < open->count; i++)
        snprintf(m->page->cell[open->cell + i], METRIC_PAGE_CELL, "%s", open->text[i]);
    atomic_store_explicit(&m->page->family[family].texts,
                          (uint32_t)open->count | (open->overflowed ? METRIC_PAGE_OVERFLOWED : 0),
                          memory_order_release);
}

void metrics_use_page(struct metrics *m, struct metric_page *page, int fd)
{
    metric_slot_t *old = atomic_exchange_explicit(&m->slots, page->slot, memory_order_acq_rel);
    m->retired[m->retired_count++] = (struct metric_retired){.slots = old, .page = m->page};
    m->page = page;
    for (size_t i = 0; i < m->count; i++)
        put_texts(m, i);
    fold_left(m);
    if (m->page_fd >= 0)
        close(m->page_fd);
    m->page_fd = fd;
}

void metrics_free(struct metrics *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; m->layout != NULL && i < m->count; i++) {
        if (m->layout[i].open != NULL)
            forget_texts(m->layout[i].open);
        mem_free(m->layout[i].open);
    }
    leave_slots(m);
    mem_free(m->layout);
    mem_free(m->mirrored);
    mem_free(m->prefix);
    mem_free(m);
}

void metrics_reset(struct metrics *m)
{
    metric_slot_t *slots = metric_slots_of(m);
    for (size_t i = 0; i < m->slot_count; i++)
        atomic_store_explicit(&slots[i], 0, memory_order_relaxed);
    for (size_t i = 0; i < m->count; i++) {
        if (m->layout[i].open != NULL)
            forget_texts(m->layout[i].open);
    }
}

static size_t series_at(const struct metrics *m, size_t family, size_t a, size_t b, size_t c)
{
    assert(family < m->count);
    const struct metric_layout *l = &m->layout[family];
    assert(a < l->size[0] && b < l->size[1] && c < l->size[2]);
    return l->first + ((a * l->size[1] + b) * l->size[2] + c) * l->width;
}

static metric_slot_t *series_of(const struct metrics *m, size_t family, size_t a, size_t b,
                                size_t c)
{
    return atomic_load_explicit(&m->slots, memory_order_acquire) + series_at(m, family, a, b, c);
}

void metric_add(struct metrics *m, size_t family, size_t a, size_t b, size_t c, uint64_t n)
{
    if (m == NULL)
        return;
    assert(m->table[family].type == METRIC_COUNTER);
    atomic_fetch_add_explicit(series_of(m, family, a, b, c), n, memory_order_relaxed);
}

void metric_mirror(struct metrics *m, size_t family, size_t a, size_t b, size_t c, uint64_t total)
{
    if (m == NULL)
        return;
    uint64_t *seen = &m->mirrored[series_at(m, family, a, b, c)];
    metric_add(m, family, a, b, c, total >= *seen ? total - *seen : total);
    *seen = total;
}

void metric_set(struct metrics *m, size_t family, size_t a, size_t b, size_t c, double value)
{
    if (m == NULL)
        return;
    assert(m->table[family].type == METRIC_GAUGE);
    atomic_store_explicit(series_of(m, family, a, b, c), bits_of(value), memory_order_relaxed);
}

void metric_move(struct metrics *m, size_t family, size_t a, size_t b, size_t c, int64_t delta)
{
    if (m == NULL)
        return;
    assert(m->table[family].type == METRIC_GAUGE);
    slot_move(series_of(m, family, a, b, c), (double)delta);
}

void metric_observe_ns(struct metrics *m, size_t family, size_t a, size_t b, size_t c, uint64_t ns)
{
    if (m == NULL)
        return;
    const struct metric_family *f = &m->table[family];
    assert(f->type == METRIC_HISTOGRAM);
    metric_slot_t *slot = series_of(m, family, a, b, c);
    size_t bucket = 0;
    while (bucket < f->bucket_count && ns > (uint64_t)(f->buckets[bucket] * NS_PER_S + 0.5))
        bucket++;
    atomic_fetch_add_explicit(&slot[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&slot[f->bucket_count + 1], ns, memory_order_relaxed);
}

uint64_t metric_read(const struct metrics *m, size_t family, size_t a, size_t b, size_t c)
{
    if (m == NULL)
        return 0;
    const struct metric_family *f = &m->table[family];
    const metric_slot_t *slot = series_of(m, family, a, b, c);
    uint64_t first = atomic_load_explicit(slot, memory_order_relaxed);
    if (f->type == METRIC_GAUGE)
        return (uint64_t)double_of(first);
    for (size_t i = 1; f->type == METRIC_HISTOGRAM && i <= f->bucket_count; i++)
        first += atomic_load_explicit(&slot[i], memory_order_relaxed);
    return first;
}

size_t metric_reason(const struct metrics *m, size_t family, err_t err)
{
    if (m == NULL)
        return 0;
    const struct metric_label *label = m->table[family].label;
    const struct metric_label *end = label + metric_label_count(&m->table[family]);
    while (label < end && label->errors == NULL)
        label++;
    assert(label < end);
    size_t i = 0;
    while (i + 1 < label->count && label->errors[i] != err)
        i++;
    return i;
}

size_t metric_other(struct metrics *m, size_t family)
{
    if (m == NULL)
        return 0;
    assert(m->layout[family].open != NULL);
    m->layout[family].open->overflowed = true;
    put_texts(m, family);
    return METRIC_DYNAMIC_MAX;
}

static size_t too_many(struct metrics *m, size_t family)
{
    if (m->dropped_family < m->count)
        metric_add(m, m->dropped_family, 0, 0, 0, 1);
    return metric_other(m, family);
}

size_t metric_dynamic(struct metrics *m, size_t family, const char *value)
{
    if (m == NULL)
        return 0;
    struct metric_open *open = m->layout[family].open;
    assert(open != NULL);
    for (size_t i = 0; i < open->count; i++) {
        if (strcmp(open->text[i], value) == 0)
            return i;
    }
    bool fits = open->count < METRIC_DYNAMIC_MAX && strlen(value) < METRIC_PAGE_CELL;
    char *copy = fits ? mem_strdup(value) : NULL;
    if (copy == NULL)
        return too_many(m, family);
    open->text[open->count] = copy;
    open->count++;
    put_texts(m, family);
    return open->count - 1;
}

void metric_forget_values(struct metrics *m, size_t family)
{
    if (m == NULL)
        return;
    const struct metric_layout *l = &m->layout[family];
    metric_slot_t *slots = metric_slots_of(m);
    assert(l->open != NULL);
    for (size_t i = 0; i < metric_family_slots(l); i++)
        atomic_store_explicit(&slots[l->first + i], 0, memory_order_relaxed);
    forget_texts(l->open);
    put_texts(m, family);
}

err_t metrics_on_scrape(struct metrics *m, void (*fn)(void *arg), void *arg, struct why *why)
{
    if (m->hook_count == METRIC_HOOKS_MAX)
        return why_set(why, ERR_LIMIT, "too many scrape hooks");
    m->hook[m->hook_count].fn = fn;
    m->hook[m->hook_count++].arg = arg;
    return ERR_OK;
}

void metrics_scrape(const struct metrics *m)
{
    fold_left(m);
    for (size_t i = 0; i < m->hook_count; i++)
        m->hook[i].fn(m->hook[i].arg);
}

size_t metrics_count(const struct metrics *m)
{
    return m->count;
}

const struct metric_family *metrics_family(const struct metrics *m, size_t family)
{
    return &m->table[family];
}

const char *metrics_prefix(const struct metrics *m)
{
    return m->prefix;
}

size_t metric_label_values(const struct metrics *m, size_t family, size_t label)
{
    const struct metric_open *open = m->layout[family].open;
    if (label > 0 || open == NULL)
        return m->table[family].label[label].count;
    return open->overflowed ? METRIC_DYNAMIC_MAX + 1 : open->count;
}

const char *metric_label_text(const struct metrics *m, size_t family, size_t label, size_t index)
{
    const struct metric_label *l = &m->table[family].label[label];
    const struct metric_open *open = m->layout[family].open;
    if (is_open(l) && index == METRIC_DYNAMIC_MAX)
        return METRIC_OTHER;
    if (is_open(l))
        return index < open->count ? open->text[index] : NULL;
    if (family == m->build_family && m->build[label][0] != '\0')
        return m->build[label];
    if (l->errors != NULL)
        return index + 1 < l->count ? err_name(l->errors[index]) : METRIC_OTHER;
    return l->values[index];
}

double metric_slot(const struct metrics *m, size_t family, const size_t index[static 3],
                   size_t slot)
{
    const struct metric_family *f = &m->table[family];
    assert(slot < m->layout[family].width);
    const metric_slot_t *series = series_of(m, family, index[0], index[1], index[2]);
    uint64_t raw = atomic_load_explicit(&series[slot], memory_order_relaxed);
    if (f->type == METRIC_GAUGE)
        return double_of(raw);
    bool is_time =
        f->type == METRIC_HISTOGRAM ? slot == f->bucket_count + 1 : strcmp(f->unit, "seconds") == 0;
    return is_time ? (double)raw / NS_PER_S : (double)raw;
}

/* The sidecar's end of a metrics page: counting moves into it while threads count. */
#include "common/base/mem.h"
#include "common/metric/metric_internal.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- numbers from one place to another ---------------------------------------------------------
 */

static void fold_slot(const struct metrics *m, size_t family, metric_slot_t *from,
                      metric_slot_t *to)
{
    if (atomic_load_explicit(from, memory_order_relaxed) == 0)
        return;
    uint64_t value = atomic_exchange_explicit(from, 0, memory_order_relaxed);
    if (m->table[family].type == METRIC_GAUGE)
        metric_slot_move(to, metric_double_of(value));
    else
        atomic_fetch_add_explicit(to, value, memory_order_relaxed);
}

static metric_slot_t *slots_of(const struct metrics *m)
{
    return atomic_load_explicit(&m->slots, memory_order_relaxed);
}

/* From slots laid out as m's are. */
static void fold_family(const struct metrics *m, size_t family, metric_slot_t *from)
{
    size_t first = m->layout[family].first;
    for (size_t i = first; i < first + metric_family_slots(&m->layout[family]); i++)
        fold_slot(m, family, &from[i], &slots_of(m)[i]);
}

void metrics_fold(const struct metrics *m)
{
    for (size_t i = 0; i < m->retired_count; i++) {
        for (size_t family = 0; family < m->count; family++)
            fold_family(m, family, m->retired[i].slots);
    }
}

/* Counters of a family with an open label: the same text may have another index. */
static void fold_by_text(struct metrics *m, const struct metrics *before, size_t family)
{
    const struct metric_layout *l = &m->layout[family];
    size_t series = l->size[1] * l->size[2] * l->width;
    for (size_t i = 0; i < metric_label_values(before, family, 0); i++) {
        const char *text = metric_label_text(before, family, 0, i);
        if (text == NULL)
            continue;
        size_t index =
            i == METRIC_DYNAMIC_MAX ? metric_other(m, family) : metric_dynamic(m, family, text);
        metric_slot_t *from = slots_of(before) + l->first + i * series;
        metric_slot_t *to = slots_of(m) + l->first + index * series;
        for (size_t at = 0; at < series; at++)
            fold_slot(m, family, &from[at], &to[at]);
    }
}

/* --- layout ------------------------------------------------------------------------------------
 */

/* Whether the family's numbers stay where they lie: counters of closed labels. */
static bool stays(const struct metrics *m, size_t family)
{
    return m->table[family].type != METRIC_GAUGE && m->layout[family].open == NULL;
}

static bool is_same_layout(const struct metrics *m, const struct metric_page *page)
{
    if (page->family_count != m->count || page->slot_count != m->slot_count)
        return false;
    for (size_t i = 0; i < m->count; i++) {
        const struct metric_page_family *f = &page->family[i];
        const struct metric_layout *l = &m->layout[i];
        if (f->fingerprint != l->fingerprint || f->first != l->first ||
            f->slots != metric_family_slots(l))
            return false;
    }
    return true;
}

static void clear_slots(const struct metrics *m, struct metric_page *page, size_t family)
{
    const struct metric_layout *l = &m->layout[family];
    for (size_t i = 0; i < metric_family_slots(l); i++)
        atomic_store_explicit(&page->slot[l->first + i], 0, memory_order_relaxed);
}

static void write_build(const struct metrics *m, struct metric_page *page)
{
    size_t labels = m->build_family < m->count ? metric_label_count(&m->table[m->build_family]) : 0;
    for (size_t i = 0; i < labels; i++)
        snprintf(page->build[i], sizeof page->build[i], "%s",
                 metric_label_text(m, m->build_family, i, 0));
}

/* Everything but the numbers that stay. */
static void lay_out_page(const struct metrics *m, struct metric_page *page, bool keep)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct metric_layout *l = &m->layout[i];
        struct metric_page_family *f = &page->family[i];
        f->fingerprint = l->fingerprint;
        f->first = (uint32_t)l->first;
        f->slots = (uint32_t)metric_family_slots(l);
        f->cell = l->open != NULL ? (uint32_t)l->open->cell : 0;
        atomic_store_explicit(&f->texts, 0, memory_order_relaxed);
        if (!keep || !stays(m, i))
            clear_slots(m, page, i);
    }
    memcpy(page->magic, METRIC_PAGE_MAGIC, sizeof page->magic);
    page->version = METRIC_PAGE_VERSION;
    page->family_count = (uint32_t)m->count;
    page->slot_count = (uint32_t)m->slot_count;
    write_build(m, page);
}

void metric_page_put_texts(struct metrics *m, size_t family)
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

static void set_state(struct metric_page *page, enum metric_page_state state)
{
    uint64_t old = atomic_load_explicit(&page->state, memory_order_relaxed);
    uint64_t times = (old & ~METRIC_PAGE_STATE_MASK) + METRIC_PAGE_STATE_MASK + 1;
    atomic_store_explicit(&page->state, times | (uint64_t)state, memory_order_release);
}

/* --- adopting ----------------------------------------------------------------------------------
 */

static void retire(struct metrics *m, metric_slot_t *slots)
{
    m->retired[m->retired_count++] = (struct metric_retired){.slots = slots, .page = m->page};
}

/* Counters go on from what the page held; `keep`: those that stay are there already. */
static void fold_before(struct metrics *m, const struct metrics *before, bool keep)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->table[i].type == METRIC_GAUGE)
            continue;
        if (m->layout[i].open != NULL)
            fold_by_text(m, before, i);
        else if (!keep)
            fold_family(m, i, slots_of(before));
    }
}

/* From here on nothing can fail. A reader is told to come later until the page is whole; a crash in
 * between costs what was counted before it. */
static void move_in(struct metrics *m, struct metric_page *page, const struct metrics *before,
                    bool keep)
{
    set_state(page, METRIC_PAGE_BUSY);
    lay_out_page(m, page, keep);
    retire(m, atomic_exchange_explicit(&m->slots, page->slot, memory_order_acq_rel));
    m->page = page;
    for (size_t i = 0; i < m->count; i++)
        metric_page_put_texts(m, i);
    metrics_fold(m);
    fold_before(m, before, keep);
    set_state(page, METRIC_PAGE_USED);
}

static bool is_same_file(int a, int b)
{
    struct stat x, y;
    return a >= 0 && fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

static err_t check_room(const struct metrics *m, struct why *why)
{
    if (m->count > METRIC_PAGE_FAMILIES || m->slot_count > METRIC_PAGE_SLOTS ||
        m->cell_count > METRIC_PAGE_CELLS)
        return why_set(why, ERR_LIMIT, "%zu families with %zu numbers are more than a page holds",
                       m->count, m->slot_count);
    if (m->retired_count == METRIC_RETIRED_MAX)
        return why_set(why, ERR_LIMIT, "%d metrics pages were left for another, no more",
                       METRIC_RETIRED_MAX);
    return ERR_OK;
}

/* What the page held, by this table; nothing when it was bad. */
static err_t read_before(const struct metrics *m, int fd, struct metrics **ret, bool *ret_good,
                         struct why *why)
{
    struct metrics *before = NULL;
    err_t err = metrics_new(m->table, m->count, "", &before, why);
    if (err != ERR_OK)
        return err;
    err = metric_page_read(fd, before, why);
    if (err == ERR_NO_MEMORY) {
        metrics_free(before);
        return err;
    }
    *ret_good = err == ERR_OK;
    *ret = before;
    return ERR_OK;
}

err_t metrics_adopt_page(struct metrics *m, int fd, struct why *why)
{
    struct metrics *before = NULL;
    bool good = false;
    if (is_same_file(m->page_fd, fd)) {
        close(fd);
        return ERR_OK;
    }
    err_t err = metric_page_check(fd, why);
    if (err == ERR_OK)
        err = check_room(m, why);
    if (err == ERR_OK)
        err = read_before(m, fd, &before, &good, why);
    if (err != ERR_OK)
        return err;
    struct metric_page *page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        metrics_free(before);
        return why_errno(why, ERR_IO, "cannot map the metrics page");
    }
    move_in(m, page, before, good && is_same_layout(m, page));
    if (m->page_fd >= 0)
        close(m->page_fd);
    m->page_fd = fd;
    metrics_free(before);
    return ERR_OK;
}

int metrics_page_fd(const struct metrics *m)
{
    return m->page_fd;
}

static void free_slots(metric_slot_t *slots, struct metric_page *page)
{
    if (page != NULL)
        munmap(page, sizeof *page);
    else
        mem_free((void *)slots);
}

void metrics_leave_pages(struct metrics *m)
{
    metrics_fold(m);
    free_slots(slots_of(m), m->page);
    for (size_t i = 0; i < m->retired_count; i++)
        free_slots(m->retired[i].slots, m->retired[i].page);
    if (m->page_fd >= 0)
        close(m->page_fd);
}

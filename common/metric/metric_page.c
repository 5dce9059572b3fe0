#include "common/metric/metric_page.h"

#include "common/base/mem.h"
#include "common/metric/metric_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE sizeof(struct metric_page)
#define NUMBERS offsetof(struct metric_page, cell)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static_assert(SIZE == 128u << 10 && NUMBERS == 16u << 10, "version 1 of the layout");

/* --- made and checked ------------------------------------------------------------------------- */

err_t metric_page_create(uint32_t instance, int *ret_fd, struct why *why)
{
    const struct metric_page head = {
        .magic = METRIC_PAGE_MAGIC, .version = METRIC_PAGE_VERSION, .instance = instance};
    int fd = memfd_create("spindle-metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool ok = fd >= 0 && ftruncate(fd, SIZE) == 0 &&
              pwrite(fd, &head, offsetof(struct metric_page, family), 0) ==
                  (ssize_t)offsetof(struct metric_page, family) &&
              fcntl(fd, F_ADD_SEALS, SEALS) == 0;
    if (!ok) {
        err_t err = errno == ENOMEM ? ERR_NO_MEMORY : ERR_IO;
        (void)why_errno(why, err, "cannot make a metrics page");
        if (fd >= 0)
            close(fd);
        return err;
    }
    *ret_fd = fd;
    return ERR_OK;
}

err_t metric_page_check(int fd, struct why *why)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || (seals & F_SEAL_WRITE) != 0)
        return why_set(why, ERR_UNSUPPORTED, "metrics page is no memory of sealed size");
    if (fstat(fd, &st) != 0 || st.st_size != (off_t)SIZE)
        return why_set(why, ERR_UNSUPPORTED, "metrics page has %lld bytes, expected %zu",
                       (long long)st.st_size, SIZE);
    return ERR_OK;
}

uint32_t metric_page_instance(int fd)
{
    uint32_t instance = 0;
    ssize_t n = pread(fd, &instance, sizeof instance, offsetof(struct metric_page, instance));
    return n == (ssize_t)sizeof instance ? instance : 0;
}

/* --- read: what was read once is all that is looked at ---------------------------------------- */

/* One read of a page: its bytes are in `page`, which nobody else writes. */
struct reading {
    int fd;
    const struct metric_page *page;
    struct metrics *copy;
    struct why *why;
};

static err_t bad(const struct reading *r, const char *what)
{
    return why_set(r->why, ERR_PARSE, "metrics page: %s", what);
}

static err_t read_bytes(const struct reading *r, void *out, size_t len, size_t at)
{
    ssize_t n = pread(r->fd, out, len, (off_t)at);
    if (n < 0)
        return why_errno(r->why, ERR_IO, "metrics page");
    return (size_t)n == len ? ERR_OK : bad(r, "too short");
}

static uint64_t state_of(const struct metric_page *page)
{
    return atomic_load_explicit(&page->state, memory_order_relaxed);
}

static uint32_t texts_of(const struct metric_page_family *f)
{
    return atomic_load_explicit(&f->texts, memory_order_relaxed);
}

static err_t check_family(const struct reading *r, const struct metric_page_family *f)
{
    uint32_t texts = texts_of(f) & ~METRIC_PAGE_OVERFLOWED;
    if (f->first > r->page->slot_count || f->slots > r->page->slot_count - f->first)
        return bad(r, "a family outside of it");
    if (texts > METRIC_DYNAMIC_MAX || f->cell > METRIC_PAGE_CELLS - METRIC_DYNAMIC_MAX)
        return bad(r, "texts outside of it");
    return ERR_OK;
}

static err_t check_head(const struct reading *r)
{
    const struct metric_page *page = r->page;
    if (memcmp(page->magic, METRIC_PAGE_MAGIC, sizeof page->magic) != 0)
        return bad(r, "does not begin as one");
    if (page->version != METRIC_PAGE_VERSION)
        return why_set(r->why, ERR_UNSUPPORTED, "metrics page has version %u, expected %u",
                       page->version, METRIC_PAGE_VERSION);
    uint64_t state = state_of(page) & METRIC_PAGE_STATE_MASK;
    if (state == METRIC_PAGE_EMPTY || state == METRIC_PAGE_BUSY)
        return why_set(r->why, ERR_NOT_FOUND, "metrics page: nobody counts in it yet");
    if (state != METRIC_PAGE_USED)
        return bad(r, "in no known state");
    if (page->family_count > METRIC_PAGE_FAMILIES || page->slot_count > METRIC_PAGE_SLOTS)
        return bad(r, "more families than it can hold");
    err_t err = ERR_OK;
    for (size_t i = 0; i < page->family_count && err == ERR_OK; i++)
        err = check_family(r, &page->family[i]);
    return err;
}

/* The page's family with this fingerprint, most often in the same place. */
static const struct metric_page_family *find(const struct metric_page *page, uint64_t fingerprint,
                                             size_t guess)
{
    if (guess < page->family_count && page->family[guess].fingerprint == fingerprint)
        return &page->family[guess];
    for (size_t i = 0; i < page->family_count; i++) {
        if (page->family[i].fingerprint == fingerprint)
            return &page->family[i];
    }
    return NULL;
}

static bool is_text(const char *text, size_t size)
{
    size_t len = strnlen(text, size);
    for (size_t i = 0; i < len; i++) {
        if (text[i] < ' ' || text[i] > '~')
            return false;
    }
    return len > 0 && len < size;
}

/* Two series of one name and labels would spoil the whole scrape. */
static bool is_known(const struct metric_open *open, const char *text)
{
    for (size_t i = 0; i < open->count; i++) {
        if (strcmp(open->text[i], text) == 0)
            return true;
    }
    return strcmp(text, METRIC_OTHER) == 0;
}

static err_t copy_texts(const struct reading *r, const struct metric_page_family *f,
                        struct metric_open *open)
{
    char text[METRIC_PAGE_CELL];
    uint32_t count = texts_of(f) & ~METRIC_PAGE_OVERFLOWED;
    for (uint32_t i = 0; i < count; i++) {
        size_t at = NUMBERS + (f->cell + i) * sizeof text;
        err_t err = read_bytes(r, text, sizeof text, at);
        if (err != ERR_OK)
            return err;
        if (!is_text(text, sizeof text) || is_known(open, text))
            return bad(r, "a label value that none can be");
        char *copy = mem_strdup(text);
        if (copy == NULL)
            return why_set(r->why, ERR_NO_MEMORY, "metrics page");
        open->text[open->count++] = copy;
    }
    open->overflowed = (texts_of(f) & METRIC_PAGE_OVERFLOWED) != 0;
    return ERR_OK;
}

static err_t copy_family(const struct reading *r, size_t family)
{
    const struct metric_layout *l = &r->copy->layout[family];
    const struct metric_page_family *f = find(r->page, l->fingerprint, family);
    if (f == NULL)
        return ERR_OK;
    if (f->slots != metric_family_slots(l))
        return bad(r, "a family of another size");
    metric_slot_t *to = metric_slots_of(r->copy) + l->first;
    for (uint32_t i = 0; i < f->slots; i++) {
        uint64_t value = atomic_load_explicit(&r->page->slot[f->first + i], memory_order_relaxed);
        atomic_store_explicit(&to[i], value, memory_order_relaxed);
    }
    return l->open != NULL ? copy_texts(r, f, l->open) : ERR_OK;
}

static err_t copy_build(const struct reading *r)
{
    struct metrics *m = r->copy;
    if (m->build_family == m->count)
        return ERR_OK;
    size_t labels = metric_label_count(&m->table[m->build_family]);
    for (size_t i = 0; i < labels; i++) {
        if (!is_text(r->page->build[i], METRIC_PAGE_BUILD_LEN))
            return bad(r, "a version that is none");
        memcpy(m->build[i], r->page->build[i], METRIC_PAGE_BUILD_LEN);
    }
    return ERR_OK;
}

static err_t copy_page(const struct reading *r)
{
    uint64_t state = 0;
    err_t err = check_head(r);
    if (err == ERR_OK)
        err = copy_build(r);
    for (size_t i = 0; i < r->copy->count && err == ERR_OK; i++)
        err = copy_family(r, i);
    if (err == ERR_OK)
        err = read_bytes(r, &state, sizeof state, offsetof(struct metric_page, state));
    if (err == ERR_OK && state != state_of(r->page))
        err = why_set(r->why, ERR_NOT_FOUND, "metrics page: taken by a sidecar while it was read");
    return err;
}

err_t metric_page_read(int fd, struct metrics *copy, struct why *why)
{
    struct metric_page *page = mem_alloc(NUMBERS);
    struct reading r = {.fd = fd, .page = page, .copy = copy, .why = why};
    metrics_reset(copy);
    err_t err = page != NULL ? read_bytes(&r, page, NUMBERS, 0)
                             : why_set(why, ERR_NO_MEMORY, "metrics page");
    if (err == ERR_OK)
        err = copy_page(&r);
    if (err != ERR_OK)
        metrics_reset(copy);
    mem_free(page);
    return err;
}

/* --- numbers from one place to another -------------------------------------------------------- */

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
        metric_slot_t *from = metric_slots_of(before) + l->first + i * series;
        metric_slot_t *to = metric_slots_of(m) + l->first + index * series;
        for (size_t at = 0; at < series; at++)
            metric_fold_slot(m, family, &from[at], &to[at]);
    }
}

/* --- layout ----------------------------------------------------------------------------------- */

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

static void set_state(struct metric_page *page, enum metric_page_state state)
{
    uint64_t old = atomic_load_explicit(&page->state, memory_order_relaxed);
    uint64_t times = (old & ~METRIC_PAGE_STATE_MASK) + METRIC_PAGE_STATE_MASK + 1;
    atomic_store_explicit(&page->state, times | (uint64_t)state, memory_order_release);
}

/* --- adopting --------------------------------------------------------------------------------- */

/* Counters go on from what the page held; `keep`: those that stay are there already. */
static void fold_before(struct metrics *m, const struct metrics *before, bool keep)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->table[i].type == METRIC_GAUGE)
            continue;
        if (m->layout[i].open != NULL)
            fold_by_text(m, before, i);
        else if (!keep)
            metric_fold_family(m, i, metric_slots_of(before));
    }
}

/* From here on nothing can fail. A reader is told to come later until the page is whole; a crash in
 * between costs what was counted before it. */
static void move_in(struct metrics *m, struct metric_page *page, int fd,
                    const struct metrics *before, bool keep)
{
    set_state(page, METRIC_PAGE_BUSY);
    lay_out_page(m, page, keep);
    metrics_use_page(m, page, fd);
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
    move_in(m, page, fd, before, good && is_same_layout(m, page));
    metrics_free(before);
    return ERR_OK;
}

int metrics_page_fd(const struct metrics *m)
{
    return m->page_fd;
}

#include "common/metric/metric_page.h"

#include "common/base/mem.h"
#include "common/metric/metric_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE sizeof(struct metric_page)
#define NUMBERS offsetof(struct metric_page, cell)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define FNV_START UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static_assert(SIZE == 128u << 10 && NUMBERS == 16u << 10, "version 1 of the layout");

/* --- fingerprint ------------------------------------------------------------------------------ */

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

/* --- read: what was read once is all that is looked at -----------------------------------------
 */

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
    metric_slot_t *to = atomic_load_explicit(&r->copy->slots, memory_order_relaxed) + l->first;
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

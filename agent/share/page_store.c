#include "agent/share/page_store.h"

#include "agent/telemetry/metrics.h"
#include "common/base/mem.h"
#include "common/metric/metric_page.h"
#include "common/metric/metric_text.h"
#include "common/share/sidecar_families.h"

#include <assert.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LABELS_MAX 8192

struct page_store {
    struct metrics *metrics; /* borrowed */
    struct page **pages;     /* owned; sorted by ID, name, instance */
    size_t count, max;
};

err_t page_store_new(struct metrics *metrics, size_t max, struct page_store **ret, struct why *why)
{
    struct page_store *s = mem_alloc(sizeof *s);
    struct page **pages = mem_array(max > 0 ? max : 1, sizeof *pages);
    if (s == NULL || pages == NULL) {
        mem_free(s);
        mem_free(pages);
        return why_set(why, ERR_NO_MEMORY, "metrics pages");
    }
    *s = (struct page_store){.metrics = metrics, .pages = pages, .max = max};
    *ret = s;
    return ERR_OK;
}

void page_unref(struct page *p)
{
    if (p == NULL || --p->refs > 0)
        return;
    if (p->fd >= 0)
        close(p->fd);
    metrics_free(p->copy);
    mem_free(p->spiffe_id);
    mem_free(p->name);
    mem_free(p->labels);
    mem_free(p);
}

void page_store_free(struct page_store *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->count; i++)
        page_unref(s->pages[i]);
    mem_free(s->pages);
    mem_free(s);
}

/* --- one page --------------------------------------------------------------------------------- */

static int compare(const struct page *p, const char *spiffe_id, const char *name, uint32_t instance)
{
    int order = strcmp(p->spiffe_id, spiffe_id);
    if (order == 0)
        order = strcmp(p->name, name);
    if (order == 0)
        order = p->instance < instance ? -1 : p->instance > instance;
    return order;
}

static err_t build_labels(struct page *p, struct buf *out)
{
    err_t err = buf_append_str(out, "spiffe_id=\"");
    if (err == ERR_OK)
        err = metric_text_value(p->spiffe_id, out);
    if (err == ERR_OK)
        err = buf_append_str(out, "\",name=\"");
    if (err == ERR_OK)
        err = metric_text_value(p->name, out);
    if (err == ERR_OK && p->instance > 1)
        err = buf_printf(out, "#%u", p->instance);
    if (err == ERR_OK)
        err = buf_append(out, "\"", 2); /* with the NUL */
    return err;
}

static err_t build_page(const struct page_store *s, struct page *p)
{
    struct buf labels;
    buf_init(&labels, LABELS_MAX);
    err_t err = p->spiffe_id != NULL && p->name != NULL ? build_labels(p, &labels) : ERR_NO_MEMORY;
    p->labels = (char *)labels.data;
    if (err == ERR_OK)
        err = metrics_new(sidecar_families, sidecar_families_count(), metrics_prefix(s->metrics),
                          &p->copy, NULL);
    if (err == ERR_OK && p->fd < 0)
        err = metric_page_create(p->instance, &p->fd, NULL);
    return err;
}

/* Takes fd, -1: makes a page. NULL: no memory. */
static struct page *page_new(const struct page_store *s, const char *spiffe_id, const char *name,
                             uint32_t instance, int fd)
{
    struct page *p = mem_alloc(sizeof *p);
    if (p == NULL) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    p->refs = 1;
    p->fd = fd;
    p->instance = instance;
    p->spiffe_id = mem_strdup(spiffe_id);
    p->name = mem_strdup(name);
    if (build_page(s, p) != ERR_OK) {
        page_unref(p);
        return NULL;
    }
    return p;
}

/* --- the list --------------------------------------------------------------------------------- */

/* Where this page is, or would be. */
static size_t place_of(const struct page_store *s, const char *spiffe_id, const char *name,
                       uint32_t instance, bool *ret_found)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(s->pages[middle], spiffe_id, name, instance) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < s->count && compare(s->pages[low], spiffe_id, name, instance) == 0;
    return low;
}

static void drop(struct page_store *s, size_t at)
{
    page_unref(s->pages[at]);
    s->count--;
    memmove(&s->pages[at], &s->pages[at + 1], (s->count - at) * sizeof *s->pages);
}

static void drop_old(struct page_store *s, uint64_t now_ns)
{
    for (size_t i = s->count; i-- > 0;) {
        const struct page *p = s->pages[i];
        if (p->users == 0 && now_ns >= p->left_ns + PAGE_STORE_KEEP_NS)
            drop(s, i);
    }
}

/* The longest left of this ID, or of all when it is NULL, makes room. */
static bool drop_one(struct page_store *s, const char *spiffe_id)
{
    size_t oldest = s->count;
    for (size_t i = 0; i < s->count; i++) {
        const struct page *p = s->pages[i];
        bool may_go = p->users == 0 && (spiffe_id == NULL || strcmp(p->spiffe_id, spiffe_id) == 0);
        if (may_go && (oldest == s->count || p->left_ns < s->pages[oldest]->left_ns))
            oldest = i;
    }
    if (oldest == s->count)
        return false;
    drop(s, oldest);
    return true;
}

static size_t count_of(const struct page_store *s, const char *spiffe_id)
{
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++)
        n += strcmp(s->pages[i]->spiffe_id, spiffe_id) == 0;
    return n;
}

static bool make_room(struct page_store *s, const char *spiffe_id)
{
    if (count_of(s, spiffe_id) >= (s->max + 1) / 2 && !drop_one(s, spiffe_id))
        return false;
    return s->count < s->max || (s->max > 0 && drop_one(s, NULL));
}

/* --- giving ----------------------------------------------------------------------------------- */

static bool is_same_file(int a, int b)
{
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static struct page *find_file(const struct page_store *s, int fd)
{
    for (size_t i = 0; i < s->count; i++) {
        if (is_same_file(s->pages[i]->fd, fd))
            return s->pages[i];
    }
    return NULL;
}

/* The first instance that nobody counts in, and its page if there is one. */
static uint32_t free_instance(const struct page_store *s, const char *spiffe_id, const char *name,
                              struct page **ret_left)
{
    *ret_left = NULL;
    for (uint32_t instance = 1;; instance++) {
        bool found = false;
        size_t at = place_of(s, spiffe_id, name, instance, &found);
        if (found && s->pages[at]->users > 0)
            continue;
        *ret_left = found ? s->pages[at] : NULL;
        return instance;
    }
}

/* Takes fd as page_new does. */
static struct page *add(struct page_store *s, const char *spiffe_id, const char *name,
                        uint32_t instance, int fd)
{
    bool found = false;
    struct page *p = page_new(s, spiffe_id, name, instance, fd);
    if (p == NULL)
        return NULL;
    size_t at = place_of(s, spiffe_id, name, instance, &found);
    assert(!found && s->count < s->max);
    memmove(&s->pages[at + 1], &s->pages[at], (s->count - at) * sizeof *s->pages);
    s->pages[at] = p;
    s->count++;
    return p;
}

/* The number that the page had under the agent before this one, or the first that no page has. */
static uint32_t instance_for(const struct page_store *s, const char *spiffe_id, const char *name,
                             int offered)
{
    bool found = true;
    uint32_t wanted = metric_page_instance(offered);
    if (wanted > 0 && wanted <= s->max)
        (void)place_of(s, spiffe_id, name, wanted, &found);
    for (uint32_t instance = 1; found; instance++) {
        wanted = instance;
        (void)place_of(s, spiffe_id, name, wanted, &found);
    }
    return wanted;
}

static struct page *take_over(struct page_store *s, const char *spiffe_id, const char *name,
                              int offered)
{
    if (!make_room(s, spiffe_id)) {
        close(offered);
        return NULL;
    }
    return add(s, spiffe_id, name, instance_for(s, spiffe_id, name, offered), offered);
}

static struct page *give_own(struct page_store *s, const char *spiffe_id, const char *name)
{
    struct page *left = NULL;
    (void)free_instance(s, spiffe_id, name, &left);
    if (left != NULL)
        return left;
    if (!make_room(s, spiffe_id))
        return NULL;
    uint32_t instance = free_instance(s, spiffe_id, name, &left);
    return left != NULL ? left : add(s, spiffe_id, name, instance, -1);
}

/* What a label shows as it is: so that two names never look the same but for their instance. */
static char *plain_name(const char *name)
{
    char *plain = mem_strdup(name);
    for (char *at = plain; plain != NULL && *at != '\0'; at++) {
        if (*at < ' ' || *at > '~' || *at == '#')
            *at = '?';
    }
    if (plain != NULL && strlen(plain) > PAGE_NAME_MAX)
        plain[PAGE_NAME_MAX] = '\0';
    return plain;
}

static struct page *choose(struct page_store *s, const char *spiffe_id, const char *name,
                           int offered)
{
    if (offered >= 0 && metric_page_check(offered, NULL) != ERR_OK) {
        close(offered); /* asked nothing else: it may be a file of a slow or hostile system */
        offered = -1;
    }
    struct page *known = offered >= 0 ? find_file(s, offered) : NULL;
    if (offered >= 0 && known == NULL)
        return take_over(s, spiffe_id, name, offered);
    if (offered >= 0)
        close(offered);
    bool is_its_own =
        known != NULL && strcmp(known->spiffe_id, spiffe_id) == 0 && strcmp(known->name, name) == 0;
    return is_its_own ? known : give_own(s, spiffe_id, name);
}

int page_store_give(struct page_store *s, const char *spiffe_id, const char *name, int offered,
                    uint64_t now_ns)
{
    drop_old(s, now_ns);
    char *plain = plain_name(name);
    struct page *p = plain != NULL ? choose(s, spiffe_id, plain, offered) : NULL;
    if (plain == NULL && offered >= 0)
        close(offered);
    mem_free(plain);
    if (p == NULL) {
        metric_add(s->metrics, M_METRICS_SERIES_DROPPED, 0, 0, 0, 1);
        return -1;
    }
    p->users++;
    return p->fd;
}

void page_store_left(struct page_store *s, int page, uint64_t now_ns)
{
    for (size_t i = 0; i < s->count; i++) {
        struct page *p = s->pages[i];
        if (p->fd != page || p->users == 0)
            continue;
        p->users--;
        p->left_ns = now_ns;
    }
}

err_t page_store_hold(struct page_store *s, uint64_t now_ns, struct page ***ret, size_t *ret_count,
                      struct why *why)
{
    drop_old(s, now_ns);
    struct page **held = mem_array(s->count > 0 ? s->count : 1, sizeof *held);
    if (held == NULL)
        return why_set(why, ERR_NO_MEMORY, "%zu metrics pages", s->count);
    for (size_t i = 0; i < s->count; i++) {
        held[i] = s->pages[i];
        held[i]->refs++;
    }
    *ret = held;
    *ret_count = s->count;
    return ERR_OK;
}

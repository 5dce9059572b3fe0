/* What metric_page.c knows of metric.c, which knows where its slots lie but calls nothing there.
 * Nobody else includes it. */
#ifndef SPINDLE_COMMON_METRIC_METRIC_INTERNAL_H
#define SPINDLE_COMMON_METRIC_METRIC_INTERNAL_H

#include "common/metric/metric_page.h"

#include <stdatomic.h>

#define METRIC_DIMENSIONS 3
#define METRIC_HOOKS_MAX 8
#define METRIC_RETIRED_MAX 32 /* pages a process may leave for another */
#define METRIC_OTHER "other"

/* Texts of one open label. Index METRIC_DYNAMIC_MAX is "other", shown once it was needed. */
struct metric_open {
    char *text[METRIC_DYNAMIC_MAX]; /* owned */
    size_t count;
    bool overflowed;
    size_t cell; /* its first cell in a page */
};

struct metric_layout {
    uint64_t fingerprint;           /* of the row: see metric_page.h */
    size_t first;                   /* slot of the family's first series */
    size_t size[METRIC_DIMENSIONS]; /* values of each index, 1 where there is none */
    size_t width;                   /* slots of one series */
    struct metric_open *open;       /* owned; NULL when all labels are closed */
};

typedef _Atomic uint64_t metric_slot_t;

/* Slots that are counted in no more, but for a thread that was about to when they were left. */
struct metric_retired {
    metric_slot_t *slots;
    struct metric_page *page; /* owned mapping that holds them; NULL: they are on the heap */
};

struct metrics {
    const struct metric_family *table; /* borrowed */
    size_t count;
    struct metric_layout *layout; /* owned, one a family */
    size_t slot_count, cell_count;
    _Atomic(metric_slot_t *) slots; /* on the heap, or in the page */
    uint64_t *mirrored;             /* owned, one a slot: what metric_mirror was last told */
    struct metric_page *page;       /* owned mapping; NULL: none adopted */
    int page_fd;                    /* owned; -1 */
    struct metric_retired retired[METRIC_RETIRED_MAX];
    size_t retired_count;
    char *prefix;          /* owned */
    size_t dropped_family; /* metrics_series_dropped_total, or `count` */
    size_t build_family;   /* build_info, or `count` */
    /* Of a copy of a page: the values of build_info's labels. Empty: those of the table. */
    char build[METRIC_LABELS_MAX][METRIC_PAGE_BUILD_LEN];
    struct {
        void (*fn)(void *arg);
        void *arg;
    } hook[METRIC_HOOKS_MAX];
    size_t hook_count;
};

static inline size_t metric_family_slots(const struct metric_layout *l)
{
    return l->size[0] * l->size[1] * l->size[2] * l->width;
}

static inline metric_slot_t *metric_slots_of(const struct metrics *m)
{
    return atomic_load_explicit(&m->slots, memory_order_relaxed);
}

/* Counts in this page from now on, as wide as m's slots and laid out for them; takes page and fd.
 * The slots so far are left, what they hold and what threads still count in them comes over. At
 * most METRIC_RETIRED_MAX times. */
void metrics_use_page(struct metrics *m, struct metric_page *page, int fd);
/* Forgets the open labels' texts and sets all slots to 0. */
void metrics_reset(struct metrics *m);
/* What was counted in a slot goes to another one of the same family. */
void metric_fold_slot(const struct metrics *m, size_t family, metric_slot_t *from,
                      metric_slot_t *to);
/* What was counted in other slots, laid out as m's are, goes to m's. */
void metric_fold_family(const struct metrics *m, size_t family, metric_slot_t *from);

#endif

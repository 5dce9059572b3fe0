/* A sidecar's counters in memory that the agent reads: a memfd of fixed size, sealed so that nobody
 * can make it smaller or larger. The agent makes it and keeps it; the sidecar counts in it, and one
 * that comes after a crash goes on from it. The reader uses pread alone and believes nothing.
 *
 * Layout, version 1, in the byte order of the machine: header | directory, one entry a family |
 * slots of 64 bits, as metric.h lays them out | cells of text, for the values of open labels. Both
 * ends know the families from the same table (sidecar_families.def), perhaps of another release: a
 * family is known by the fingerprint of its name, type, unit, buckets and label values, so that the
 * ends agree on each family alone, wherever it lies. The value of a label that has only one (a
 * version) is no part of that; those of build_info are told in the header. */
#ifndef SPINDLE_COMMON_METRIC_METRIC_PAGE_H
#define SPINDLE_COMMON_METRIC_METRIC_PAGE_H

#include "common/metric/metric.h"

#define METRIC_PAGE_MAGIC "SPMETRIC"
#define METRIC_PAGE_VERSION 1u
#define METRIC_PAGE_FAMILIES 128
#define METRIC_PAGE_SLOTS 1632
#define METRIC_PAGE_CELLS 448
#define METRIC_PAGE_CELL 256 /* bytes of a text, with its NUL */
#define METRIC_PAGE_BUILD_LEN 48

/* The low bits of `state`; the others count how often a sidecar took the page. */
enum metric_page_state { METRIC_PAGE_EMPTY, METRIC_PAGE_BUSY, METRIC_PAGE_USED };
#define METRIC_PAGE_STATE_MASK UINT64_C(3)
#define METRIC_PAGE_OVERFLOWED 0x80000000u /* in `texts`: the value "other" is in use */

struct metric_page {
    char magic[8]; /* METRIC_PAGE_MAGIC */
    uint32_t version, family_count, slot_count;
    uint32_t instance; /* the agent's: which of several with one name (agent/share/page_store.h) */
    _Atomic uint64_t state;
    char build[METRIC_LABELS_MAX][METRIC_PAGE_BUILD_LEN]; /* label values of build_info */
    uint8_t spare[32];
    struct metric_page_family {
        uint64_t fingerprint;
        uint32_t first, slots;
        uint32_t cell;          /* of an open label: where its texts begin */
        _Atomic uint32_t texts; /* and how many there are now */
    } family[METRIC_PAGE_FAMILIES];
    _Atomic uint64_t slot[METRIC_PAGE_SLOTS];
    char cell[METRIC_PAGE_CELLS][METRIC_PAGE_CELL];
};

/* Agent: a new page, nobody's yet. ERR_NO_MEMORY, ERR_IO. */
err_t metric_page_create(uint32_t instance, int *ret_fd, struct why *why) MUST_CHECK;
/* A descriptor that somebody offers: sealed memory of the right size, or ERR_UNSUPPORTED. */
err_t metric_page_check(int fd, struct why *why) MUST_CHECK;
/* What the agent once wrote there; the sidecar may have changed it. 0 when it cannot be read. */
uint32_t metric_page_instance(int fd);
/* Replaces what `copy` holds by the page's numbers; `copy` is of the sidecar's table and for
 * nothing else. Any thread, one at a time a copy. Families that are not in the page are 0.
 * ERR_NOT_FOUND: nobody counts in it yet. ERR_PARSE, ERR_UNSUPPORTED, ERR_IO: a bad page; the copy
 * is then 0. ERR_NO_MEMORY. */
err_t metric_page_read(int fd, struct metrics *copy, struct why *why) MUST_CHECK;

/* Sidecar: counts in the page from now on. Counters go on from the page's, with what was counted
 * here added; gauges stay what they are here. Takes fd on success. The page it has already is left
 * as it is. What a bad page holds is thrown away. While threads count: none of their counts is
 * lost, the last arrive with metrics_scrape. Loop thread only, like metric_set, metric_mirror and
 * metric_dynamic of this `m`. ERR_UNSUPPORTED (metric_page_check), ERR_LIMIT (a table too large for
 * a page; too many pages one after the other), ERR_NO_MEMORY, ERR_IO: nothing has changed. */
err_t metrics_adopt_page(struct metrics *m, int fd, struct why *why) MUST_CHECK;
/* The page it counts in, borrowed; -1 when there is none. */
int metrics_page_fd(const struct metrics *m);

#endif

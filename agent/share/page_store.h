/* The metrics pages of this node's sidecars (common/metric/metric_page.h), by SPIFFE ID and name. A
 * page is made for a sidecar that comes, kept when it goes, and given to the next one with the same
 * ID and name: its counters go on. After a restart of the agent the sidecars bring theirs. Two that
 * are here at once with one ID and name get a page each; the second one's name ends in "#2".
 * Bounded: at most `max` pages, half of them for one SPIFFE ID; one whose sidecar has gone makes
 * room, and is dropped after an hour. Loop thread only. */
#ifndef SPINDLE_AGENT_SHARE_PAGE_STORE_H
#define SPINDLE_AGENT_SHARE_PAGE_STORE_H

#include "common/metric/metric.h"

#define PAGE_NAME_MAX 128 /* bytes of a name that are shown: nobody fills the answer with it */
#define PAGE_STORE_KEEP_NS (UINT64_C(3600) * 1000000000)

struct page {
    char *spiffe_id, *name; /* owned; the name as it came, but for what no label shows well */
    uint32_t instance;      /* of those with this ID and name, from 1 */
    char *labels;           /* owned: spiffe_id="…",name="…", for metric_text_series */
    int fd;                 /* owned */
    struct metrics *copy;   /* owned; what was read last. Whoever holds the page reads into it */
    bool is_bad;            /* could not be read the last time */
    size_t users;           /* connections of the sidecar; 0: it has gone */
    uint64_t left_ns;       /* since when */
    unsigned refs;          /* of the store and of who holds it */
};

struct page_store; /* opaque */

/* metrics: counts what was dropped; its prefix is the pages'. Borrowed. */
err_t page_store_new(struct metrics *metrics, size_t max, struct page_store **ret,
                     struct why *why) MUST_CHECK;
void page_store_free(struct page_store *s);

/* The page of a sidecar that has come, a borrowed descriptor; -1 when there is none for it.
 * offered: the page that it counts in already, taken; or -1. */
int page_store_give(struct page_store *s, const char *spiffe_id, const char *name, int offered,
                    uint64_t now_ns);
/* The sidecar that was given this page has gone. */
void page_store_left(struct page_store *s, int page, uint64_t now_ns);

/* All pages, sorted by ID and name, each held until page_unref: an owned array, to be freed with
 * mem_free. Those that have been left for too long are dropped first. */
err_t page_store_hold(struct page_store *s, uint64_t now_ns, struct page ***ret, size_t *ret_count,
                      struct why *why) MUST_CHECK;
void page_unref(struct page *p);

#endif

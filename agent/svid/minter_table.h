/* The minter's entries that have subscribers: found by entry id, and by who is due first. Theirs is
 * the memory of what they hold; the table's are its two arrays. Loop thread only. */
#ifndef SPINDLE_AGENT_SVID_MINTER_TABLE_H
#define SPINDLE_AGENT_SVID_MINTER_TABLE_H

#include "agent/svid/svid.h"
#include "common/base/backoff.h"

/* An entry with subscribers. */
struct live {
    struct live *next; /* of the same bucket */
    size_t heap_at;
    struct entry entry; /* own copy: id, SPIFFE ID, TTL, DNS names, hint */
    unsigned subscribers;
    struct svid *svid; /* owned reference; NULL while there is none to serve */
    int64_t due_ms;    /* renewal, retry or expiry */
    struct backoff backoff;
    bool is_untold;   /* the subscribers have not heard of what svid is now */
    bool is_gone;     /* the entry is no longer there */
    bool is_held;     /* it may have no SVID */
    bool has_run_out; /* svid is NULL because it expired and no new one could be had */
};

struct minter_table {
    struct live **buckets; /* owned, by hash of the entry id */
    size_t bucket_count, count;
    struct live **heap; /* owned, the earliest due first; as many as count */
    size_t heap_cap;
};

err_t minter_table_init(struct minter_table *t) MUST_CHECK;
void minter_table_done(struct minter_table *t); /* it is empty */
/* NULL: there is none. */
struct live *minter_table_find(const struct minter_table *t, const char *entry_id);
/* Due never. ERR_NO_MEMORY; no entry of this id is there. */
err_t minter_table_add(struct minter_table *t, struct live *l) MUST_CHECK;
/* The caller frees it. */
void minter_table_remove(struct minter_table *t, struct live *l);
void minter_table_set_due(struct minter_table *t, struct live *l, int64_t due_ms);
/* After many due_ms were changed. */
void minter_table_rebuild(struct minter_table *t);

#endif

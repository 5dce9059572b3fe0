/* One SVID per entry that has a live subscriber: minted on demand, renewed by rotation.h, forgotten
 * when the last subscriber leaves (users.md: never sign what nobody uses). A failed renewal keeps
 * the old SVID until it expires and retries with backoff; an expired one is never served (AG-15).
 * Loop thread only. */
#ifndef SPINDLE_AGENT_MINTER_H
#define SPINDLE_AGENT_MINTER_H

#include "agent/authority.h"
#include "agent/entries.h"

#include <uv.h>

/* Immutable, counted. */
struct svid {
    unsigned refs;
    char *entry_id, *spiffe_id, *hint;
    uint8_t *chain; size_t chain_len; /* leaf first, concatenated DER */
    uint8_t *key;   size_t key_len;   /* PKCS#8, wiped on free */
    int64_t issued_at, not_before, not_after, renew_at;
    uint8_t serial[16];
};
struct svid *svid_ref(struct svid *s);
void svid_unref(struct svid *s);

struct minter; /* opaque */
struct metrics;

struct minter_options {
    struct authority *authority; /* borrowed */
    int64_t x509_ttl_s;          /* for entries that name none */
    /* An entry's SVID was replaced (new != NULL) or could not be renewed and ran out (NULL). */
    void (*on_change)(void *arg, const char *entry_id, struct svid *svid);
    void *arg;
    struct metrics *metrics;
};
err_t minter_open(uv_loop_t *loop, const struct minter_options *opt, struct minter **ret,
                  struct why *why) MUST_CHECK;
void minter_close(struct minter *m, void (*done)(void *arg), void *arg);

/* One more subscriber for the entry: its current SVID (borrowed: svid_ref keeps it), minted now if
 * need be, in which case on_change is not called. Release once for each success; a release for an
 * entry that minter_entries_changed dropped is ignored. */
err_t minter_acquire(struct minter *m, const struct entry *e, struct svid **ret,
                     struct why *why) MUST_CHECK;
void minter_release(struct minter *m, const char *entry_id);
/* The entries were reloaded: those that changed are minted anew (on_change), gone ones dropped. */
void minter_entries_changed(struct minter *m, const struct entry_set *entries);
/* For listings: calls fn for each live SVID. */
void minter_each(struct minter *m, void (*fn)(void *arg, const struct svid *s, unsigned subscribers),
                 void *arg);

#endif

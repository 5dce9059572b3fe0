/* One SVID per entry that has a live subscriber: minted on demand, renewed by rotation.h, forgotten
 * when the last subscriber leaves (never sign what nobody uses). A failed renewal keeps the old
 * SVID until it expires and retries with backoff; an expired one is never served (AG-15). Renewals
 * go by the wall clock, looked at least once a minute, so that sleep and clock jumps are noticed.
 * Loop thread only. */
#ifndef SPINDLE_AGENT_SVID_MINTER_H
#define SPINDLE_AGENT_SVID_MINTER_H

#include "agent/svid/svid.h"
#include "common/base/list.h"

#include <uv.h>

#define MINTER_BATCH 128 /* renewals in one turn of the loop; more follow in the next ones */

struct minter; /* opaque */
struct metrics;

struct minter_options {
    const struct authority *authority; /* borrowed */
    int64_t x509_ttl_s;                /* for entries that name none */
    /* May this entry have a new SVID? Asked before one is signed, and again before it leaves.
     * ERR_REVOKED: not until minter_holds_changed; its subscribers have none. Any other error:
     * tried again like one to sign. May be NULL. */
    err_t (*may_issue)(void *arg, const struct entry *e, struct why *why);
    /* One was signed and is about to leave; an error keeps it here. May be NULL. */
    err_t (*on_issued)(void *arg, const struct svid *svid, enum svid_why because, struct why *why);
    /* An entry's SVID was replaced (svid != NULL), or could not be renewed and ran out, or it may
     * have none any more, or who waits gets none yet (NULL). From the loop, the authority's late
     * answer, and minter_check, _retry, _renew, _discard, _entries_changed and _holds_changed; may
     * acquire, release and close. svid is borrowed. */
    void (*on_change)(void *arg, const char *entry_id, struct svid *svid);
    void (*on_settled)(void *arg); /* after the on_changes of one round, and when late answers are
                                    * in; may be NULL */
    void *arg;
    struct metrics *metrics;  /* may be NULL */
    int64_t (*wall_ms)(void); /* the wall clock; NULL: clock_wall_ms */
};
err_t minter_open(uv_loop_t *loop, const struct minter_options *opt, struct minter **ret,
                  struct why *why) MUST_CHECK;
/* Cancels what is being signed, answers renewals, frees in the close callback, then calls done.
 * on_change is not called any more. */
void minter_close(struct minter *m, void (*done)(void *arg), void *arg);

/* One more subscriber for the entry: its current SVID (borrowed: svid_ref keeps it), minted now if
 * need be; NULL when may_issue says ERR_REVOKED, and while the authority has not answered, which
 * on_change tells the end of. on_change tells the other subscribers of a new one, if any, later.
 * Release once for each success, also when minter_entries_changed has dropped the entry meanwhile.
 */
err_t minter_acquire(struct minter *m, const struct entry *e, struct svid **ret,
                     struct why *why) MUST_CHECK;
void minter_release(struct minter *m, const char *entry_id);
/* The entries were reloaded: those whose SVID would differ are minted anew, a new hint gives the
 * same SVID anew (on_change, soon). Gone ones are dropped without a call; their subscribers still
 * release them. */
void minter_entries_changed(struct minter *m, const struct entry_set *entries);
/* may_issue has other answers now: SVIDs that it forbids are dropped, those it allows are minted.
 */
void minter_holds_changed(struct minter *m);
/* Is it without an SVID because may_issue said ERR_REVOKED? */
bool minter_is_held(const struct minter *m, const char *entry_id);
/* Is there none to serve, and on_change soon tells of the next one, or that there is none? */
bool minter_is_awaited(const struct minter *m, const char *entry_id);
/* The SVID with this serial, if it is one of ours, is not served any more: another is minted. */
void minter_discard(struct minter *m, const uint8_t serial[static 16]);
/* x509_ttl_s for SVIDs minted from now on. */
void minter_set_ttl(struct minter *m, int64_t x509_ttl_s);
/* Does what is due; the timer calls it. Call it when the clock may have jumped. */
void minter_check(struct minter *m);
/* The authority signs again: what waits for its next try is tried now. */
void minter_retry(struct minter *m);
/* An operator asks: new SVIDs now for the live entries of a SPIFFE ID or entry id (the other is
 * NULL), at most MINTER_BATCH; the old ones stay valid, and what fails at once is as before.
 * Embedded by who asks, who sets these three. */
struct minter_renewal {
    const char *spiffe_id, *entry_id; /* borrowed until the answer */
    /* All were signed or have failed: called once, perhaps before minter_renew returns, at the
     * latest by minter_close (ERR_CANCELED). ERR_NOT_FOUND: no workload uses one now. May free the
     * renewal; changes nothing of the minter. */
    void (*done)(struct minter_renewal *r, err_t err, const struct why *why);
    size_t count;      /* that were renewed, also when an error says why another one was not */
    struct why failed; /* the minter's, as what follows */
    LIST_ENTRY(minter_renewal) in_renewals;
};
void minter_renew(struct minter *m, struct minter_renewal *r);
/* The live SVID of an entry; NULL: there is none. Borrowed. */
const struct svid *minter_find(const struct minter *m, const char *entry_id,
                               unsigned *ret_subscribers);
/* For listings: calls fn for each live SVID; fn changes nothing. */
void minter_each(const struct minter *m,
                 void (*fn)(void *arg, const struct svid *s, unsigned subscribers), void *arg);
/* Entries with subscribers whose SVID ran out and could not be replaced. */
size_t minter_run_out(const struct minter *m);
/* When the first of the live SVIDs expires (unix s); 0: there is none. */
int64_t minter_min_not_after(const struct minter *m);

#endif

/* Who is this? The selectors of one caller: what all attestors find, together. Everybody who must
 * know a caller asks here: the Workload API, share.sock, an operator's explain. Loop thread only.
 *
 * attestation_start checks that the pinned process is still there and itself, asks each attestor
 * (attestor.h), begins anew when more kinds of selectors are asked for by the end than at the
 * start, and checks the process once more: what was read is its own. Then `done`: before
 * attestation_start returns when nothing costly is asked for, else from the loop.
 * What may fail: ERR_ATTESTATION, ERR_LIMIT (no room now: try later), ERR_NO_MEMORY. */
#ifndef SPINDLE_AGENT_ATTEST_ATTESTATION_H
#define SPINDLE_AGENT_ATTEST_ATTESTATION_H

#include "agent/attest/attestor.h"
#include "agent/caller/peer.h"

struct attestation; /* opaque: one that is under way */

struct attestation_question {
    const struct attestors *attestors; /* borrowed until the end, both */
    const struct peer *peer;
    struct metrics *metrics;      /* attestors' times go there; NULL: nowhere */
    unsigned (*kinds)(void *arg); /* SELECTOR_KIND_* bits that are asked for now; NULL: all */
    /* `selectors` as in attestor.h. May start another attestation. */
    attestor_answer_fn *done;
    /* A part that could not be found out and is left out; may be NULL. */
    void (*on_problem)(void *arg, const char *part, err_t err, const struct why *why);
    void *arg;
};

/* *slot is set while it is under way, and NULL again before `done` is called. On an error nothing
 * was started and `done` is not called: ERR_ATTESTATION when the peer is not who it was, and
 * ERR_NO_MEMORY. */
err_t attestation_start(const struct attestation_question *q, struct attestation **slot,
                        struct why *why) MUST_CHECK;
/* `done` is not called any more; *slot is NULL. NULL is fine. */
void attestation_cancel(struct attestation **slot);

#endif

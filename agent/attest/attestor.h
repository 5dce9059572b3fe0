/* The seam to those who know something of a process: each finds out the selectors of one family
 * ("unix:", its name) and knows nothing of the others. attestation.c alone calls it, on the loop
 * thread; what may block runs on the thread pool.
 *
 *   start(self, who, kinds, done, arg)   answers through `done` exactly once: before it returns, or
 *                                        later from the loop
 *   cancel(self, id)                     `done` and on_problem are not called any more
 *
 * `who` is borrowed for the call. `kinds` are SELECTOR_KIND_* bits that somebody asks for; those of
 * other attestors mean nothing to it. start returns an id that is not 0, or 0 when `done` has been
 * called already. `selectors` (NULL on failure) are the callee's to take, with a plain copy and
 * selector_set_init, during the call. `done` may start and cancel others.
 * What may fail: attestor_is_fatal (the process has ended, or is not what it says; no memory, no
 * room) fails the whole attestation, whatever others have found. With any other error, as with a
 * part that it tells on_problem of, a caller merely goes without these selectors: an entry that
 * asks for one does not match then. Opening and closing is the kind's own; it is closed when
 * nothing is under way, and outlives the table. */
#ifndef SPINDLE_AGENT_ATTEST_ATTESTOR_H
#define SPINDLE_AGENT_ATTEST_ATTESTOR_H

#include "agent/attest/selector.h"
#include "agent/telemetry/metrics.h"

#include <sys/types.h>

#define ATTESTORS_MAX 4

typedef void attestor_answer_fn(void *arg, err_t err, struct selector_set *selectors,
                                const struct why *why);

struct attest_subject {
    pid_t pid;
    uid_t uid;
    gid_t gid;
    /* A part whose selectors were dropped, with `arg`, before done; NULL: nobody is told. */
    void (*on_problem)(void *arg, const char *part, err_t err, const struct why *why);
};

struct attestor {
    const char *name;          /* "unix" */
    enum attestor_label label; /* of the metrics */
    void *self;
    uint64_t (*start)(void *self, const struct attest_subject *who, unsigned kinds,
                      attestor_answer_fn *done, void *arg);
    void (*cancel)(void *self, uint64_t id);
};

static inline bool attestor_is_fatal(err_t err)
{
    return err == ERR_ATTESTATION || err == ERR_NO_MEMORY || err == ERR_LIMIT;
}

/* All of an agent; they answer for each caller. */
struct attestors {
    struct attestor items[ATTESTORS_MAX];
    size_t count;
};

#endif

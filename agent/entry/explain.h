/* Why a process gets an identity or none: which entries match its selectors, and if none does,
 * which come nearest and what they lack. Pure. */
#ifndef SPINDLE_AGENT_ENTRY_EXPLAIN_H
#define SPINDLE_AGENT_ENTRY_EXPLAIN_H

#include "agent/entry/entries.h"

#define EXPLAIN_MATCHES_MAX 64
#define EXPLAIN_NEAREST_MAX 3
#define EXPLAIN_ALIKE_MAX 4

enum explain_verdict {
    EXPLAIN_ENTITLED,     /* to something that is not revoked */
    EXPLAIN_HELD,         /* all that it is entitled to is revoked */
    EXPLAIN_NO_ENTRY,     /* no entry matches */
    EXPLAIN_NO_ENTRIES,   /* there are none at all */
    EXPLAIN_NO_PROCESS,   /* it has ended, or is not seen from here */
    EXPLAIN_NOT_ATTESTED, /* what it is could not be found out */
};
const char *explain_verdict_name(enum explain_verdict v); /* "no_entry" */

struct explain_near {
    const struct entry *entry; /* borrowed */
    size_t missing, present;   /* of its selectors */
    size_t distance;           /* of the text of those that are missing; SIZE_MAX: not alike */
};
struct explanation {
    const struct entry *matches[EXPLAIN_MATCHES_MAX]; /* the first ones, borrowed */
    size_t match_count;                               /* of all */
    struct explain_near nearest[EXPLAIN_NEAREST_MAX]; /* best first; when none matches */
    size_t nearest_count;
};

/* Fewest missing selectors first, then most that hold, then the text most alike, then the order of
 * the set. */
void explain_entries(const struct entry_set *set, const struct selector_set *found,
                     struct explanation *ret);
/* The selectors found of the same kind ("unix:uid:"), the first `max`; returns how many. */
size_t explain_alike(const struct selector_set *found, const char *wanted, const char **out,
                     size_t max);

/* What to do now, in words; `found` may be empty. */
struct explain_case {
    enum explain_verdict verdict;
    const struct explanation *what;
    const struct selector_set *found;
    const char *held; /* what to lift: a SPIFFE ID or "entry:ID"; NULL: nothing is held */
    int pid;
    err_t err; /* of the attestation */
};
err_t explain_next(const struct explain_case *c, struct buf *out) MUST_CHECK;

#endif

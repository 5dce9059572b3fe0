/* The record of issuance: every certificate issued is in the store before its SVID leaves. When it
 * cannot be (a full disk, a full record): `stop` refuses to issue, ERR_RECORD; `continue` issues,
 * counts, and keeps the row in memory (at most RECORD_WAITING_MAX) until it can. Either way it
 * recovers by itself, and says once that it began and once that it ended. Loop thread only.
 *
 * "Newest first" is by place: one that was carried forward (docs/record.md) is among those that
 * were issued about then, whenever it was itself; when that happens between two pages of a search,
 * it may be on neither. */
#ifndef SPINDLE_AGENT_RECORD_RECORD_H
#define SPINDLE_AGENT_RECORD_RECORD_H

#include "agent/config/config.h"
#include "agent/store/store.h"
#include "common/base/why.h"

#include <uv.h>

#define RECORD_WAITING_MAX 65536

struct record; /* opaque */
struct metrics;

struct record_options {
    struct store *store; /* borrowed; closed after it */
    enum record_on_failure on_failure;
    struct metrics *metrics; /* may be NULL */
};
/* Loads it, too. */
err_t record_open(uv_loop_t *loop, const struct record_options *opt, struct record **ret,
                  struct why *why) MUST_CHECK;
/* Tries once more to write what waits, frees, calls done. */
void record_close(struct record *r, void (*done)(void *arg), void *arg);
/* keep_s and on_failure from now on. */
void record_set_policy(struct record *r, int64_t keep_s, enum record_on_failure on_failure);

/* A certificate is about to leave. ERR_RECORD: it must not. */
err_t record_issued(struct record *r, const struct record_item *item, struct why *why) MUST_CHECK;

/* The newest with this serial; its texts are borrowed until the next change. ERR_NOT_FOUND, ERR_IO.
 */
err_t record_find_serial(struct record *r, const uint8_t serial[static RECORD_SERIAL_LEN],
                         struct record_item *ret, struct why *why) MUST_CHECK;
/* Those of an identity or entry (NULL: any; not both) that expire after `now`, and before
 * expires_before when that is given, newest first within an entry, waiting ones too, until fn says
 * false. fn changes nothing. ERR_IO when some could not be read. */
err_t record_each_unexpired(struct record *r, const struct record_query *query, record_fn *fn,
                            void *arg, struct why *why) MUST_CHECK;
/* The key identifier of each issuer that signed something here; some come more than once. */
void record_each_issuer(struct record *r,
                        void (*fn)(void *arg, const uint8_t issuer[RECORD_ISSUER_LEN]), void *arg);
/* One page, newest first. fn says whether it takes the item (false: it does not count towards the
 * limit). Looks at RECORD_SEARCH_ROWS rows at most: a page may be empty and not the last. */
err_t record_search(struct record *r, const struct record_search *search, record_fn *fn, void *arg,
                    uint64_t *ret_next, struct why *why) MUST_CHECK;

/* Since the record began, also those that went. */
uint64_t record_issued_total(const struct record *r);
/* For /ready, borrowed: what is wrong; NULL while all is well. */
const char *record_problem(const struct record *r);

#endif

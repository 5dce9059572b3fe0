/* A revoker on a real record and journal, in a folder of their own with a clock of the test's
 * (record_case_now), and how its cache looks to a sidecar. Failures abort the test. */
#ifndef SPINDLE_TESTS_REVOKER_CASE_H
#define SPINDLE_TESTS_REVOKER_CASE_H

#include "agent/revoke/revoker.h"
#include "common/revocation/revocation_cache.h"
#include "tests/support/record_case.h"

#include <sys/types.h>

enum { ENTRIES = 4 }; /* e0 to e3 of record_case, not in the entries file; "mine" is */
#define E1 "spiffe://example.org/e1"
#define E2 "spiffe://example.org/e2"

struct revoker_end {
    unsigned calls;
    err_t err;
    struct revoker_result res;
    struct why why;
};

extern struct record_case c;
extern struct revoker *revoker;      /* NULL while it is closed */
extern struct revocation_view *view; /* of its cache */
extern char journal[128];            /* path */
extern char last_log[2048];
extern unsigned told, changed; /* calls of on_cache_changed, on_change */
extern struct revoker_end end; /* of the last request */

void revoker_case_setup(void); /* open, and nothing recorded yet */
void revoker_case_teardown(void);
err_t open_revoker(struct why *why);
void must_open(void);
void close_revoker(void);
void restart(void);

/* Asks; `ask` waits for the end, `must` for a good one. */
void start(const char *target, const char *reason, bool lift);
err_t ask(const char *target, const char *reason, bool lift);
void must(const char *target, const char *reason, bool lift);

/* Of certificate `number` of record_case. */
enum revocation_state in_cache(uint32_t number);
const char *serial_of(uint32_t number); /* "serial:..." */
bool id_in_cache(const char *id);
err_t may_issue(const char *id, const char *entry);
off_t journal_len(void);

#endif

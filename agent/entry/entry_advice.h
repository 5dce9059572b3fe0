/* What is odd about entries that are valid: selectors that no process can have together, users and
 * groups that this machine does not know, a TTL that will be cut, federation that is not built.
 * Each is one line, "FILE:LINE: warning: entries[2]: ...". */
#ifndef SPINDLE_AGENT_ENTRY_ENTRY_ADVICE_H
#define SPINDLE_AGENT_ENTRY_ENTRY_ADVICE_H

#include "agent/entry/entries.h"

#define ENTRY_ADVICE_MAX 100  /* lines; a last one says that there is more */
#define ENTRY_LOOKUPS_MAX 256 /* names asked of NSS, which may be slow */

struct entry_advice {
    /* Of a user or group: 1 and its id, 0 when there is none of this name, -1 when nobody can say.
     * Tests put their own here; NULL: getpwnam_r, getgrnam_r, which may block. */
    int (*lookup)(bool is_group, const char *name, uint32_t *ret_id);
    int64_t issuer_ttl_s; /* of the issuing intermediate, which is renewed at half of it */
};

/* Appends the lines to `report`; a full report is cut. Any thread. */
void entry_advise(const struct entry_set *set, const struct entry_advice *advice,
                  struct buf *report);

#endif

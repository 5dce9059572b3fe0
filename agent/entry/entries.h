/* Registration entries: which selectors get which SPIFFE ID. Loaded whole from a file or a folder
 * (*.yaml, *.yml by name), validated whole, swapped whole. Order: file name, then position (WA-13).
 * Immutable once loaded, one owner. Loading touches nothing shared and may run on any thread. */
#ifndef SPINDLE_AGENT_ENTRY_ENTRIES_H
#define SPINDLE_AGENT_ENTRY_ENTRIES_H

#include "agent/entry/entry.h"
#include "common/base/buf.h"

struct entry_index;
struct entry_set {
    struct entry *items;          /* owned */
    struct entry_origin *origins; /* owned, one an entry */
    char **files;                 /* owned; NULL-terminated */
    size_t count;
    unsigned kinds_used;       /* SELECTOR_KIND_* of costly kinds that some entry uses */
    struct entry_index *index; /* owned */
};

/* Every problem is one line in `report`, "FILE:LINE: entries[2].hint: expected ..., found ...";
 * ERR_CONFIG then. What is only odd has "warning: " after the line number and fails nothing. A
 * missing path is an error; an existing empty folder is an empty set, as is no path (NULL). The
 * report may be cut at its cap. */
err_t entries_load(const char *path, const char *trust_domain, struct buf *report,
                   struct entry_set **ret, struct why *why) MUST_CHECK;
/* The same from one text; `name` is what the report calls it. */
err_t entries_parse(const char *name, struct slice text, const char *trust_domain,
                    struct buf *report, struct entry_set **ret, struct why *why) MUST_CHECK;
void entries_free(struct entry_set *set); /* NULL is fine */

/* The entries whose selectors are a subset of the caller's, in order; out borrows the set.
 * Writes at most max, the first ones; returns how many match. */
size_t entries_match(const struct entry_set *set, const struct selector_set *caller,
                     const struct entry **out, size_t max);
/* Does an entry that matches the caller give this SPIFFE ID? ERR_NO_ENTRY naming it, ERR_NO_MEMORY.
 */
err_t entries_check_gives(const struct entry_set *set, const struct selector_set *caller,
                          struct slice spiffe_id, struct why *why) MUST_CHECK;
/* The longest validity that any of them asks for; default_s for those that do not say. */
int64_t entries_longest_x509_ttl(const struct entry_set *set, int64_t default_s);
/* Borrowed, or NULL. */
const struct entry *entries_find(const struct entry_set *set, const char *id);

#endif

/* Look-ups in a set of entries: by selectors without walking all of them, and by id. Each entry is
 * filed under the rarest of its selectors. Borrows the entries it was made from. Immutable. */
#ifndef SPINDLE_AGENT_ENTRY_ENTRY_INDEX_H
#define SPINDLE_AGENT_ENTRY_ENTRY_INDEX_H

#include "agent/entry/entry.h"

struct entry_index; /* opaque */

/* Every entry has at least one selector and an id. ERR_NO_MEMORY. */
err_t entry_index_new(const struct entry *items, size_t count, struct entry_index **ret) MUST_CHECK;
void entry_index_free(struct entry_index *x); /* NULL is fine */

/* As entries_match. */
size_t entry_index_match(const struct entry_index *x, const struct selector_set *caller,
                         const struct entry **out, size_t max);
/* Borrowed, or NULL; the first of several with the same id. */
const struct entry *entry_index_find(const struct entry_index *x, const char *id);

#endif

/* Memory for private keys: wiped when given back, left out of core files and of what gcore writes
 * (MADV_DONTDUMP), kept from the swap as far as RLIMIT_MEMLOCK allows, with a page that faults on
 * both sides. Keys, and messages that carry them, live here and nowhere else; what passes through
 * other memory on its way is wiped there at once.
 *
 * Counts as mem_alloc for the failures that tests make. Builds with sanitizers take plain memory,
 * so that overruns are seen. Any thread. */
#ifndef SPINDLE_COMMON_BASE_SECRET_H
#define SPINDLE_COMMON_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed memory, aligned for any type, or NULL. size 0 gives a valid pointer. */
void *secret_alloc(size_t size) __attribute__((malloc, warn_unused_result));
/* Wipes all of the block. NULL is fine. */
void secret_free(void *ptr);
/* Does this build keep secrets apart? Not with sanitizers. */
bool secret_is_apart(void);

#endif

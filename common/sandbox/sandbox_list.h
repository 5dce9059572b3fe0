/* The list of paths that a program builds for its sandbox_rules from its configuration. */
#ifndef SPINDLE_COMMON_SANDBOX_SANDBOX_LIST_H
#define SPINDLE_COMMON_SANDBOX_SANDBOX_LIST_H

#include "common/sandbox/sandbox.h"

#define SANDBOX_LIST_MAX 4096

struct sandbox_list {
    struct sandbox_path *items; /* owned, as are the paths; ended by NULL */
    size_t count;
    err_t err; /* the first failure; the list is not to be used then */
};

/* With what libc, its name services and the resolver read: /etc, /usr/lib and the like. */
void sandbox_list_init(struct sandbox_list *l);
void sandbox_list_done(struct sandbox_list *l);
/* A path, copied; NULL and "" add nothing. Doubles are added once. */
void sandbox_list_add(struct sandbox_list *l, const char *path, bool write);
/* The folder that holds the file, for a file that is replaced by renaming; where it is a link, the
 * folder of what it leads to as well. */
void sandbox_list_add_parent(struct sandbox_list *l, const char *file, bool write);

#endif

/* Selectors: "unix:uid:1000", SPIRE's names. A set is sorted, unique text; subset is the match. */
#ifndef SPINDLE_AGENT_SELECTOR_H
#define SPINDLE_AGENT_SELECTOR_H

#include "common/slice.h"
#include "common/why.h"

#define SELECTOR_MAX 4096      /* bytes of one selector (a path fits) */
#define SELECTOR_SET_MAX 1024  /* selectors of one caller (supplementary groups) */

struct selector_set {
    char **items; /* owned, sorted, unique */
    size_t count;
};

/* Known kind and well-formed value? ERR_CONFIG naming the known kinds otherwise. */
err_t selector_check(struct slice text, struct why *why) MUST_CHECK;
void selector_set_init(struct selector_set *s);
void selector_set_done(struct selector_set *s);
err_t selector_set_add(struct selector_set *s, const char *fmt, ...) MUST_CHECK
    __attribute__((format(printf, 2, 3)));
bool selector_set_has(const struct selector_set *s, struct slice text);
/* Is every selector of `part` in `whole`? */
bool selector_set_contains(const struct selector_set *whole, const struct selector_set *part);
bool selector_set_eq(const struct selector_set *a, const struct selector_set *b);

#endif

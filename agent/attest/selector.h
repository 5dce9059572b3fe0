/* Selectors: "unix:uid:1000", SPIRE's names. A set is sorted, unique text; subset is the match. */
#ifndef SPINDLE_AGENT_ATTEST_SELECTOR_H
#define SPINDLE_AGENT_ATTEST_SELECTOR_H

#include "common/base/slice.h"
#include "common/base/why.h"

#define SELECTOR_MAX 4096     /* bytes of one selector (a path fits) */
#define SELECTOR_SET_MAX 1024 /* selectors of one caller (supplementary groups) */

/* Kinds that cost something to find out; they are looked up only when an entry uses them. */
enum {
    SELECTOR_KIND_PATH = 1u << 0,          /* unix:path */
    SELECTOR_KIND_SHA256 = 1u << 1,        /* unix:sha256 */
    SELECTOR_KIND_NAMES = 1u << 2,         /* unix:user, group, supplementary_group */
    SELECTOR_KIND_SUPPLEMENTARY = 1u << 3, /* unix:supplementary_gid, supplementary_group */
    SELECTOR_KINDS_ALL = (1u << 4) - 1,
};

struct selector_set {
    char **items; /* owned, sorted, unique */
    size_t count;
};

/* Known kind and well-formed value? ERR_CONFIG naming the known kinds otherwise. */
err_t selector_check(struct slice text, struct why *why) MUST_CHECK;
/* The SELECTOR_KIND_* bits that finding this selector out needs; 0 for the free ones. */
unsigned selector_kind_bits(struct slice text);

void selector_set_init(struct selector_set *s);
void selector_set_done(struct selector_set *s);
/* Adding what is there already is fine. ERR_TOO_LARGE past SELECTOR_MAX, ERR_LIMIT past
 * SELECTOR_SET_MAX, ERR_NO_MEMORY; the set is as before then. */
err_t selector_set_add(struct selector_set *s, const char *fmt, ...) MUST_CHECK
    __attribute__((format(printf, 2, 3)));
bool selector_set_has(const struct selector_set *s, struct slice text);
/* Is every selector of `part` in `whole`? */
bool selector_set_contains(const struct selector_set *whole, const struct selector_set *part);
bool selector_set_eq(const struct selector_set *a, const struct selector_set *b);

#endif

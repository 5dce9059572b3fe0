/* SPIFFE IDs (SPIFFE-ID sections 2.1 to 2.3): parse, compare, match. Pure, allocates nothing.
 * A parsed ID borrows the text it was parsed from. Strict: lower-case scheme and trust domain,
 * no percent escapes, no port, no empty or dot segments, no trailing slash. */
#ifndef SPINDLE_COMMON_SPIFFE_SPIFFEID_H
#define SPINDLE_COMMON_SPIFFE_SPIFFEID_H

#include "common/base/slice.h"
#include "common/base/why.h"

#define SPIFFEID_MAX 2048    /* bytes of a whole ID, "spiffe://" included (section 2.3) */
#define TRUST_DOMAIN_MAX 255 /* bytes of a trust domain name */

struct spiffeid {
    struct slice text;         /* spiffe://example.org/web */
    struct slice trust_domain; /* example.org */
    struct slice path;         /* /web; empty for the ID of a trust domain itself */
};

/* ERR_SPIFFE_ID with the rule that was broken and the byte where. */
err_t spiffeid_parse(struct slice text, struct spiffeid *ret_id, struct why *why) MUST_CHECK;
/* A trust domain name without scheme: "example.org". */
err_t trust_domain_check(struct slice name, struct why *why) MUST_CHECK;

/* A rule of an allow list: an exact ID, or one whose last segment is `*`, which matches one or
 * more segments ("spiffe://td/ns/shop/" + anything). `spiffe://td/` + `*` matches every workload
 * of td; `spiffe://td` alone is refused, since no workload has it. Borrows its text. */
struct spiffeid_rule {
    struct slice prefix; /* exact: the whole ID; wildcard: up to and including the last '/' */
    bool wildcard;
};
err_t spiffeid_rule_parse(struct slice text, struct spiffeid_rule *ret_rule,
                          struct why *why) MUST_CHECK;
bool spiffeid_rule_matches(const struct spiffeid_rule *rule, const struct spiffeid *id);

#endif

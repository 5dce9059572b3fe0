/* Rules about names that need no name server. Pure. */
#ifndef SPINDLE_COMMON_RESOLVE_DNS_NAME_H
#define SPINDLE_COMMON_RESOLVE_DNS_NAME_H

#include <stdbool.h>
#include <stddef.h>

#define DNS_NAME_SIZE 256 /* 253 bytes, a final dot, the end of the string */

/* localhost and whatever ends in .localhost, a final dot or not: both loopbacks and nobody's to say
 * otherwise (RFC 6761 section 6.3). */
bool dns_name_is_localhost(const char *name);
/* In lower case, cut to fit: names differ by more than that. */
void dns_name_fold(const char *name, char out[static DNS_NAME_SIZE]);

/* How a host makes whole names of short ones: resolv.conf's `search` and `options ndots:`. */
struct dns_search {
    const char *const *domains;
    size_t count;
    int ndots;
};
/* The whole name to ask for as the index-th, without a final dot; false: there are no more. With
 * at least ndots dots in it the name itself comes first, with fewer last; one that ends in a dot is
 * the only one. Those that would be too long are skipped: *index moves past them and past the one
 * told. */
bool dns_name_next(const char *name, const struct dns_search *search, size_t *index,
                   char out[static DNS_NAME_SIZE]);

#endif

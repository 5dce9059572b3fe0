/* One registration entry: who gets which SPIFFE ID. Plain data, owned by whoever holds it. */
#ifndef SPINDLE_AGENT_ENTRY_ENTRY_H
#define SPINDLE_AGENT_ENTRY_ENTRY_H

#include "agent/attest/selector.h"

#define ENTRY_HINT_MAX 1024
#define ENTRY_ID_MAX 255
#define ENTRY_NAMES_MAX 256 /* DNS names, and trust domains to federate with, of one entry */
#define ENTRY_TTL_MIN_S 2
#define ENTRY_TTL_MAX_S (7 * 24 * 3600)
#define ENTRIES_MAX 100000 /* in all */

struct entry {
    char *id; /* as written, or a hash of spiffe_id and selectors */
    char *spiffe_id;
    struct selector_set selectors;
    int64_t x509_ttl_s, jwt_ttl_s; /* 0: the agent's default */
    char **dns_names;              /* NULL-terminated, may be NULL */
    char *hint;                    /* "" when none */
    char **federates_with;         /* NULL-terminated, may be NULL */
};
/* Where an entry was written. */
struct entry_origin {
    const char *file; /* borrowed from the set's files */
    unsigned line;
    size_t position; /* in its file */
};

/* Would an SVID of both be the same (id, SPIFFE ID, TTL, DNS names)? */
bool entry_same_svid(const struct entry *a, const struct entry *b);
/* A copy of what stands in an SVID, and of the hint. ERR_NO_MEMORY. */
err_t entry_copy_for_svid(const struct entry *from, struct entry *ret) MUST_CHECK;
/* Frees what the entry owns. */
void entry_done(struct entry *e);
/* Frees a NULL-terminated list and its texts; NULL is fine. */
void entry_list_free(char **list);

#endif

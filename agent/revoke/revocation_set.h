/* What is held and what is revoked, in memory: the sum of a journal's changes. Holds last until
 * they are lifted, certificates until they have expired. Pure; changed on the loop thread alone,
 * read by another while nothing changes it. */
#ifndef SPINDLE_AGENT_REVOKE_REVOCATION_SET_H
#define SPINDLE_AGENT_REVOKE_REVOCATION_SET_H

#include "agent/store/revocation_journal.h"

#define REVOCATION_HOLDS_MAX 100000

struct revocation_set; /* opaque */

struct revocation_hold {
    enum revoke_kind kind; /* REVOKE_ID or REVOKE_ENTRY */
    const char *target;
    enum revocation_reason reason;
    int64_t at;
    uint32_t by_uid;
};

struct revocation_certificate {
    const uint8_t *issuer, *serial; /* 20 and 16 bytes, borrowed until the next change */
    enum revocation_reason reason;
    int64_t at, not_after;
};
/* All zero: the record lost who signed it, so that it may be any issuer of ours. */
bool revocation_issuer_is_lost(const uint8_t issuer[static 20]);

err_t revocation_set_new(struct revocation_set **ret) MUST_CHECK;
void revocation_set_free(struct revocation_set *s); /* NULL is fine */

/* Room for a change, so that revocation_set_apply of it cannot fail. ERR_LIMIT names the bound;
 * ERR_NO_MEMORY. */
err_t revocation_set_reserve(struct revocation_set *s, const struct revocation_change *change,
                             struct why *why) MUST_CHECK;
/* What was held or revoked before keeps its time and takes the new reason. */
void revocation_set_apply(struct revocation_set *s, const struct revocation_change *change);

/* False, ret untouched: it is not held. */
bool revocation_set_held(const struct revocation_set *s, enum revoke_kind kind, struct slice target,
                         struct revocation_hold *ret);
bool revocation_set_find(const struct revocation_set *s,
                         const uint8_t serial[static REVOKED_SERIAL_LEN],
                         struct revocation_certificate *ret);
size_t revocation_set_holds(const struct revocation_set *s, enum revoke_kind kind);
size_t revocation_set_certificates(const struct revocation_set *s);
/* By position, for lists and for a whole walk. */
struct revocation_hold revocation_set_hold_at(const struct revocation_set *s, size_t index);
struct revocation_certificate revocation_set_certificate_at(const struct revocation_set *s,
                                                            size_t index);

/* Looks at `some` certificates, going on where it was; calls fn for each that expired before `now`,
 * then forgets it. */
void revocation_set_expire(struct revocation_set *s, int64_t now, size_t some,
                           void (*fn)(void *arg, const struct revocation_certificate *c),
                           void *arg);
/* The shortest journal that says all this; ERR_TOO_LARGE, ERR_NO_MEMORY. */
err_t revocation_set_write(const struct revocation_set *s, struct buf *out) MUST_CHECK;
/* Its length at least: without the heads of rows of certificates, which those revoked together
 * share. */
size_t revocation_set_written_len(const struct revocation_set *s);

#endif

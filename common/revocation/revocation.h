/* What is known about a certificate's revocation, and why (RFC 5280 section 5.3.1). Pure data. */
#ifndef SPINDLE_COMMON_REVOCATION_REVOCATION_H
#define SPINDLE_COMMON_REVOCATION_REVOCATION_H

#include "common/base/slice.h"

enum revocation_state { REVOCATION_UNKNOWN, REVOCATION_GOOD, REVOCATION_REVOKED };

enum revocation_reason {
#define X(name, number, text) REVOCATION_##name = (number),
#include "common/revocation/revocation_reasons.def"
#undef X
};

struct revocation_status {
    enum revocation_state state;
    enum revocation_reason reason; /* of REVOKED */
    int64_t at;                    /* unix s: REVOKED since, GOOD until */
    bool held;                     /* the SPIFFE ID is held, not this one serial */
};

/* Which table of a revocation cache a fact came from. */
enum revocation_source {
    REVOCATION_SOURCE_AGENT, /* this node's agent revoked it */
    REVOCATION_SOURCE_CRL,
    REVOCATION_SOURCE_OCSP,
};

/* A SPIFFE ID as the cache keeps it: the first bytes of its SHA-256. Make it once a connection. */
#define REVOCATION_ID_LEN 20
struct revocation_id {
    uint8_t hash[REVOCATION_ID_LEN];
};
struct revocation_id revocation_id_of(struct slice spiffe_id);

/* The names of RFC 5280, e.g. "keyCompromise"; case counts. False, ret untouched: no such name. */
bool revocation_reason_parse(const char *name, enum revocation_reason *ret);
/* "unspecified" for a number that is no reason. */
const char *revocation_reason_name(enum revocation_reason reason);
bool revocation_reason_is_known(unsigned number);
/* The table by position, for help and docs: revocation_reason_at(i), i < revocation_reason_count().
 */
size_t revocation_reason_count(void);
enum revocation_reason revocation_reason_at(size_t index);

#endif

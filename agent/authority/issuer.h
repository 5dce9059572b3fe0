/* The issuing authority, kept able to sign: opens it, renews its intermediate when that is due or
 * when the clock has left its validity, and tells when it can sign anew. Loop thread only. */
#ifndef SPINDLE_AGENT_AUTHORITY_ISSUER_H
#define SPINDLE_AGENT_AUTHORITY_ISSUER_H

#include "agent/authority/authority.h"

#include <uv.h>

struct issuer; /* opaque */
struct metrics;
struct audit;

struct issuer_options {
    const char *data_dir; /* the authority is in its folder "authority" */
    const char *trust_domain;
    int64_t ttl_s;                 /* of an intermediate */
    struct metrics *metrics;       /* borrowed; may be NULL */
    struct audit *audit;           /* the same */
    void (*on_renewed)(void *arg); /* by the timer: who waited for a signature may try again */
    void *arg;
};

/* As authority_open. */
err_t issuer_open(uv_loop_t *loop, const struct issuer_options *opt, struct issuer **ret,
                  struct why *why) MUST_CHECK;
/* Borrowed until issuer_close. */
struct authority *issuer_authority(const struct issuer *i);
/* It cannot sign now: renews it, unless that failed moments ago. True when it can sign again; does
 * not call on_renewed. */
bool issuer_renew_now(struct issuer *i);
/* Frees itself and the authority in the last close callback, then calls done. */
void issuer_close(struct issuer *i, void (*done)(void *arg), void *arg);

#endif

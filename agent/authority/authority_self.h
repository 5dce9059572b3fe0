/* The authority that is embedded (authority: {kind: self}), behind authority.h: a ca, kept able to
 * sign. Answers at once; when the clock has left the issuer's validity, once another one has been
 * made, or with ERR_SIGNER when that failed moments ago. Renewals are written on the thread pool: a
 * new issuer signs when it is on the disk, until then the old one does. Loop thread only. */
#ifndef SPINDLE_AGENT_AUTHORITY_AUTHORITY_SELF_H
#define SPINDLE_AGENT_AUTHORITY_AUTHORITY_SELF_H

#include "agent/authority/authority.h"

#include <uv.h>

struct authority_self; /* opaque */
struct metrics;
struct audit;

struct authority_self_options {
    const char *data_dir; /* the authority is in its folder "authority" */
    const char *trust_domain;
    int64_t ttl_s;                  /* of an intermediate */
    struct metrics *metrics;        /* borrowed; may be NULL */
    struct audit *audit;            /* the same */
    struct authority_events events; /* on_bundle never comes: the root lasts */
    int64_t (*wall_s)(void);        /* the wall clock; NULL: clock_wall_s */
};

/* As ca_open: blocks. *ret_table is the seam, its self the whole. */
err_t authority_self_open(uv_loop_t *loop, const struct authority_self_options *opt,
                          struct authority_self **ret, struct authority *ret_table,
                          struct why *why) MUST_CHECK;
/* Waits for a renewal under way, frees in the last callback, then calls done. */
void authority_self_close(struct authority_self *s, void (*done)(void *arg), void *arg);

#endif

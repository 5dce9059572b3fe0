/* The seam to who signs SVIDs. Whoever needs a signature, the roots or the times asks through this
 * table and knows nothing of the kind behind it. Loop thread only; what blocks, the kind does on
 * the thread pool.
 *
 *   sign(self, job)     answers job->done exactly once: before it returns, or later from the loop
 *   cancel(self, job)   of a job that is not answered yet: `done` is not called any more
 *   bundle(self)        the roots, concatenated DER; borrowed until on_bundle or the close
 *   times(self)         of what signs now
 *
 * What may fail: ERR_SIGNER (it cannot sign now; the asker tries again when it likes, and after
 * on_renewed), ERR_TOO_LARGE (too many DNS names), ERR_NO_MEMORY. A kind bounds its own waiting: no
 * job stays unanswered for ever. Jobs are answered in any order, several may be under way.
 * Opening and closing is the kind's own; when it is closed no job is under way. */
#ifndef SPINDLE_AGENT_AUTHORITY_AUTHORITY_H
#define SPINDLE_AGENT_AUTHORITY_AUTHORITY_H

#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/base/why.h"
#include "common/x509/x509.h"

#define AUTHORITY_BACKDATE_S 10
#define AUTHORITY_DNS_MAX 256 /* DNS names of one leaf */

struct authority_request {
    const char *spiffe_id;
    const char *const *dns_names; /* NULL-terminated or NULL */
    struct slice spki;
    int64_t now, ttl_s; /* notBefore = now - 10 s; notAfter <= the issuer's */
};
struct authority_answer {
    struct slice chain; /* leaf first, concatenated DER; borrowed for the call */
    int64_t not_before, not_after;
    uint8_t serial[16];
    uint8_t issuer[X509_KEY_ID_LEN]; /* key identifier of who signed */
};

/* One signature; embedded by who asks, who sets request and done. What the request points to lives
 * until the answer. */
struct authority_job {
    struct authority_request request;
    /* answer: NULL on failure. May ask for others, and free the job. */
    void (*done)(struct authority_job *job, err_t err, const struct authority_answer *answer,
                 const struct why *why);
    TAILQ_ENTRY(authority_job) in_waiting; /* the kind's */
};

struct authority_times {
    int64_t issuer_not_before, issuer_not_after, root_not_after;
};

struct authority {
    void *self;
    void (*sign)(void *self, struct authority_job *job);
    void (*cancel)(void *self, struct authority_job *job);
    struct slice (*bundle)(void *self);
    struct authority_times (*times)(void *self);
};

/* Given to a kind when it is opened; from the loop, never from within a call of the table. */
struct authority_events {
    void (*on_renewed)(void *arg); /* it signs anew: who waits for another try may try now */
    void (*on_bundle)(void *arg);  /* the roots are others now */
    void *arg;
};

#endif

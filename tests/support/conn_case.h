/* A worker on this thread's loop with one inbound route, a peer that connects to it, and the app,
 * all in the test's own hands and moved on a step at a time. Failures abort the test. */
#ifndef SPINDLE_TESTS_CONN_CASE_H
#define SPINDLE_TESTS_CONN_CASE_H

#include "sidecar/conn/conn_facts.h"
#include "sidecar/telemetry/metrics.h"
#include "sidecar/telemetry/notes.h"
#include "sidecar/worker/worker.h"
#include "tests/support/certs.h"

#define HOUR INT64_C(3600)

enum who { ME, A, B, OTHER, WHO };
extern const char *const ids[WHO];                      /* SPIFFE IDs; OTHER's is of other.test */
extern struct cert *root, *spare, *issuer, *leafs[WHO]; /* by issuer, for an hour; spare: a root */
extern struct identity *me;                             /* trusts root for example.org */
extern struct metrics *metrics;
extern struct worker worker;
extern int app; /* its connection; -1: nobody has come */
extern struct why why;

/* The peer under test: it says "hi" behind its handshake. */
extern struct tls *peer_tls;
extern int peer;
extern struct buf sent;
extern bool peer_ended;

void conn_case_setup(void);
void conn_case_teardown(void);
struct cert *leaf_of(enum who who, int64_t life);
/* `too`: trusted as well, or NULL. */
struct identity *identity_of(const struct cert *leaf, const struct cert *trusted,
                             const struct cert *too);
/* `route` and `rest` are lines of the configuration. */
struct sidecar_config *config_of(const char *route, const char *rest);
void open_worker(struct sidecar_config *config); /* takes it */

/* Loop, peer and app: one step each. */
void step(void);
void flush(void); /* what the peer's TLS wants to send */
void forget_peer(void);

/* Connects with this certificate, until the app has what the peer said first. */
void must_be_admitted(const struct cert *leaf);
/* ... and is refused for this reason; the app has heard nothing. */
void must_be_refused(const struct cert *leaf, err_t reason);
/* Until the worker has no connection any more; the peer saw a reset, or an orderly end. */
void must_be_cut(err_t reason, bool with_reset);
void must_live(void);
size_t cuts(err_t reason);

#endif

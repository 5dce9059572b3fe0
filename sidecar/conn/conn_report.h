/* What a connection says: log lines, counters, and what it keeps of its peer for them. For the
 * files of the connection alone (conn_internal.h). */
#ifndef SPINDLE_SIDECAR_CONN_CONN_REPORT_H
#define SPINDLE_SIDECAR_CONN_CONN_REPORT_H

#include "common/log/log.h"
#include "common/spiffe/svid_verify.h"
#include "sidecar/conn/conn.h"
#include "sidecar/peer/peer_path.h"

/* What the log line of a refusal shows of a certificate. */
struct conn_shown {
    char serial[48], issuer[256];
};
/* What the verifier saw of the peer. */
struct conn_peer {
    _Atomic(char *) id;            /* owned; set once, so other threads may read it */
    struct conn_shown *shown;      /* owned; until the handshake is done */
    struct peer_path *path;        /* owned; NULL: not verified */
    int64_t not_before, not_after; /* 0: no certificate seen */
};

void conn_peer_note(struct conn_peer *p, const struct svid_peer *seen);
/* For as long as it lives; false: no memory. */
bool conn_peer_keep(struct conn_peer *p, const struct svid_peer *seen);
void conn_peer_done(struct conn_peer *p);

/* One line, and the counters. */
/* Before it enters `next`. */
void conn_report_state(struct conn *c, enum conn_state next);
void conn_report_handshake(struct conn *c);
void conn_report_dialed(struct conn *c);
void conn_report_handshake_failure(struct conn *c, err_t err, const struct why *why);
void conn_report_connect_failure(struct conn *c, err_t err, const struct why *why);
void conn_report_open(struct conn *c);
/* Adds what moved since the last call to the metric. */
void conn_count_bytes(struct conn *c);
/* Before conn_cut. */
void conn_report_cut(struct conn *c, const struct why *why, enum log_level level);
/* The peer's FIN without close_notify. */
void conn_report_truncated(struct conn *c);
/* `queued` bytes were not taken in time. */
void conn_report_untaken(struct conn *c, uint64_t queued);
void conn_report_closed(struct conn *c, err_t err, const struct why *why);

#endif

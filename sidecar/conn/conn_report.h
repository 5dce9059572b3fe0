/* What is told of a connection: log lines, counters, audit lines. conn.c says when. */
#ifndef SPINDLE_SIDECAR_CONN_CONN_REPORT_H
#define SPINDLE_SIDECAR_CONN_CONN_REPORT_H

#include "common/log/log.h"
#include "sidecar/conn/conn_view.h"

struct conn;
struct conn_home;

/* Each is one line, and the counters. This one comes before it enters `next`. */
void conn_report_state(struct conn *c, enum conn_state next);
void conn_report_handshake(struct conn *c);
void conn_report_dialed(struct conn *c);
void conn_report_handshake_failure(struct conn *c, err_t err, const struct why *why);
void conn_report_connect_failure(struct conn *c, err_t err, const struct why *why);
void conn_report_open(struct conn *c);
/* Adds what moved since the last call to the metric. */
void conn_count_bytes(struct conn *c);
/* Before it is cut: it made room for a newer one; its peer is welcome no longer. */
void conn_report_newcomer_cut(const struct conn *c, const struct why *why);
void conn_report_cut(struct conn *c, const struct why *why, enum log_level level);
/* The peer's FIN without close_notify. */
void conn_report_truncated(struct conn *c);
/* `queued` bytes were not taken in time. */
void conn_report_untaken(struct conn *c, uint64_t queued);
/* Before it was anything but accepted, or not even that. */
void conn_report_refused(const struct conn_home *h, enum route_direction direction,
                         const char *listen, err_t err, const char *detail);
void conn_report_closed(struct conn *c, err_t err, const struct why *why);

#endif

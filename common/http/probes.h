/* What a program tells the machine around it over HTTP: /metrics for Prometheus, /live and /ready
 * for whoever restarts it or sends it traffic. Loop thread only. */
#ifndef SPINDLE_COMMON_HTTP_PROBES_H
#define SPINDLE_COMMON_HTTP_PROBES_H

#include "common/http/http_server.h"
#include "common/metric/metric.h"

struct probes_options {
    struct metrics *metrics; /* borrowed */
    /* Answers /ready: 200 or 503. May append lines to `text` that say why. */
    bool (*is_ready)(void *arg, struct buf *text);
    void *arg;
    /* Answers /metrics; NULL: with `metrics` alone. */
    http_handler on_metrics;
    void *metrics_arg;
    char *const
        *hosts;    /* names that a request may be for besides addresses and localhost, or NULL */
    size_t places; /* connections at once; 0: as http_server.h says */
};
struct probes; /* opaque */

/* Logs where it listens. ERR_IO and ERR_CONFIG as http_server_open. */
err_t probes_open(uv_loop_t *loop, const struct address *listen_on,
                  const struct probes_options *opt, struct probes **ret,
                  struct why *why) MUST_CHECK;
/* With the port the kernel picked. */
void probes_address(const struct probes *p, struct address *ret);
/* Frees itself when the sockets are closed, then calls done (may be NULL). */
void probes_close(struct probes *p, void (*done)(void *arg), void *arg);

#endif

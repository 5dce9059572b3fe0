/* A small HTTP/1.1 server on libuv: metrics, probes, admin. TCP or Unix socket; keep-alive, HEAD.
 * Bounded: connections, header and body size (431, 413), time for a request (408) and for taking
 * the answer, bytes of answers not taken. Whoever comes gets a place: one between requests makes
 * room, else the one that takes longest to send its request, else to take its answer; out of
 * descriptors it has one kept back. Answers 404 and 405 itself. Loop thread only. */
#ifndef SPINDLE_COMMON_HTTP_HTTP_SERVER_H
#define SPINDLE_COMMON_HTTP_HTTP_SERVER_H

#include "common/http/http_message.h"
#include "common/loop/address.h"

#include <uv.h>

/* Fills the response or defers it; a handler that fails sets status and a one-line body. */
typedef void (*http_handler)(void *arg, const struct http_request *req, struct http_response *res);
struct http_route {
    const char *method;
    const char *path;
    http_handler handler;
};
struct metrics;
struct http_server_options {
    const struct http_route *routes; /* borrowed for life; GET answers HEAD too */
    size_t route_count;
    void *arg;
    unsigned socket_mode; /* Unix sockets: 0600 for admin */
    bool owner_only;      /* Unix sockets: refuse peers that are neither root nor our own uid */
    bool check_host;      /* on a loopback address: refuse a foreign Host with 421 (http_host.h) */
    char *const *hosts;   /* names that are not foreign, borrowed for life, or NULL */
    const char *const
        *bare_paths;        /* where a Host of one label is not either (http_host.h), or NULL */
    size_t max_connections; /* 0: 64 */
    /* Milliseconds, 0 for the default: between requests (75 s); for the head of one, from its first
     * byte, of the first one from accept (2 s); for its body (10 s); for a deferred answer to come,
     * and for the peer to take an answer (30 s each). */
    uint64_t idle_ms, head_ms, body_ms, answer_ms;
    struct metrics *metrics; /* borrowed; counts who is cut off; may be NULL */
};

struct http_server;   /* opaque */
struct http_deferred; /* opaque */

/* An answer that comes later, for work off the loop: called in a handler with its response, which
 * is not used any more then. NULL: no memory. Finish once for each, in the handler or later,
 * whether or not client and server are still there. Without it the client gets 503 after answer_ms.
 */
struct http_deferred *http_defer(struct http_response *res) MUST_CHECK;
/* To be filled before the finish; presets as in a handler. */
struct http_response *http_deferred_response(struct http_deferred *d);
/* Sends the answer, if there is still somebody to take it, and frees `d`. */
void http_deferred_finish(struct http_deferred *d);

/* Removes a stale Unix socket, binds, listens. ERR_IO with address and cause (port taken, ...).
 * Closing removes the socket's file. */
err_t http_server_open(uv_loop_t *loop, const struct address *listen_on,
                       const struct http_server_options *opt, struct http_server **ret,
                       struct why *why) MUST_CHECK;
/* The address it is bound to (the port the kernel picked). */
void http_server_address(const struct http_server *s, struct address *ret);
/* Closes listener and connections, frees itself in the last close callback, then calls done. A
 * handler may call it: its own answer still goes out, unless it was deferred. */
void http_server_close(struct http_server *s, void (*done)(void *arg), void *arg);

#endif

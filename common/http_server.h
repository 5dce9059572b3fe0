/* A small HTTP/1.1 server on llhttp and libuv: metrics, probes, admin. TCP or Unix socket.
 * Bounded: connections, header and body size, time for a request. Loop thread only. */
#ifndef SPINDLE_COMMON_HTTP_SERVER_H
#define SPINDLE_COMMON_HTTP_SERVER_H

#include "common/address.h"
#include "common/buf.h"

#include <uv.h>

struct http_request {
    const char *method;  /* "GET", "POST", ... */
    struct slice path;   /* without query */
    struct slice query;  /* without '?' */
    struct slice accept; /* Accept header, or empty */
    struct slice body;
};
struct http_response {
    int status;
    const char *content_type; /* static text */
    struct buf body;
};
/* Fills the response, synchronously; a handler that fails sets status and a one-line body. */
typedef void (*http_handler)(void *arg, const struct http_request *req, struct http_response *res);
struct http_route {
    const char *method;
    const char *path;
    http_handler handler;
};
struct http_server_options {
    const struct http_route *routes; /* borrowed for life */
    size_t route_count;
    void *arg;
    unsigned socket_mode;   /* Unix sockets: 0600 for admin */
    bool owner_only;        /* Unix sockets: refuse peers that are neither root nor our own uid */
    size_t max_connections; /* 0: 64 */
};

struct http_server; /* opaque */

/* Removes a stale Unix socket, binds, listens. ERR_IO with address and cause (port taken, ...). */
err_t http_server_open(uv_loop_t *loop, const struct address *listen,
                       const struct http_server_options *opt, struct http_server **ret,
                       struct why *why) MUST_CHECK;
/* The address it is bound to (the port the kernel picked). */
void http_server_address(const struct http_server *s, struct address *ret);
/* Closes listener and connections, frees itself in the last close callback, then calls done. */
void http_server_close(struct http_server *s, void (*done)(void *arg), void *arg);

#endif

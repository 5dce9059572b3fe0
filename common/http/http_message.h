/* A request as http_parser.h reads it, an answer as http_server.h sends it. Pure but for the Date.
 */
#ifndef SPINDLE_COMMON_HTTP_HTTP_MESSAGE_H
#define SPINDLE_COMMON_HTTP_HTTP_MESSAGE_H

#include "common/base/buf.h"
#include "common/loop/unix_socket.h"

struct http_request {
    const char *method;  /* "GET", "POST", ... */
    struct slice path;   /* without query */
    struct slice query;  /* without '?' */
    struct slice accept; /* Accept header, or empty */
    struct slice host;   /* whom it asks for, port included; empty when it names nobody */
    struct slice body;
    struct unix_peer caller; /* who asks by a Unix socket */
};
struct http_response {
    int status;               /* preset to 200 */
    const char *content_type; /* static text; preset to text/plain */
    struct buf body;          /* preset to empty, at most HTTP_RESPONSE_MAX */
};
#define HTTP_RESPONSE_MAX (8u << 20)

/* An empty text/plain body with its bound. */
void http_response_init(struct http_response *res, int status);
/* Status line and headers; `more` are header lines of this answer alone, each with its line end.
 * The length as snprintf gives it. */
int http_response_head(const struct http_response *res, bool keep_alive, const char *more,
                       char *ret, size_t size);
/* The reason phrase, never NULL. */
const char *http_status_text(int status);

#endif

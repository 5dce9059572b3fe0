/* Bytes to HTTP/1.x requests, one at a time, bounded; no sockets, no clock. The only user of
 * llhttp.
 *
 *   feed until HTTP_PARSER_REQUEST, answer it, reset, feed the rest (pipelining). */
#ifndef SPINDLE_COMMON_HTTP_HTTP_PARSER_H
#define SPINDLE_COMMON_HTTP_HTTP_PARSER_H

#include "common/http/http_message.h"

#define HTTP_HEAD_MAX (16u * 1024) /* request line and headers */
#define HTTP_BODY_MAX (64u * 1024)

struct http_parser; /* opaque */

enum http_progress {
    HTTP_PARSER_MORE,    /* all taken, the request is not complete */
    HTTP_PARSER_REQUEST, /* complete; bytes past ret_used belong to the next one */
    HTTP_PARSER_BAD,     /* cannot be read on; answer http_parser_status and close */
};

err_t http_parser_new(struct http_parser **ret) MUST_CHECK;
void http_parser_free(struct http_parser *p);

enum http_progress http_parser_feed(struct http_parser *p, struct slice in, size_t *ret_used);
/* After HTTP_PARSER_REQUEST; borrowed until reset. */
void http_parser_request(const struct http_parser *p, struct http_request *ret);
bool http_parser_keep_alive(const struct http_parser *p);
/* After HTTP_PARSER_BAD: 400, 413, 431, 500 (no memory) or 505. */
int http_parser_status(const struct http_parser *p);
/* Some bytes of the request have come. */
bool http_parser_started(const struct http_parser *p);
/* Request line and headers have come. */
bool http_parser_has_head(const struct http_parser *p);
void http_parser_reset(struct http_parser *p);

#endif

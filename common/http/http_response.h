/* What http_server says at the head of an answer. Pure but for the Date. */
#ifndef SPINDLE_COMMON_HTTP_HTTP_RESPONSE_H
#define SPINDLE_COMMON_HTTP_HTTP_RESPONSE_H

#include "common/http/http_server.h"

/* An empty text/plain body with its bound. */
void http_response_init(struct http_response *res, int status);
/* Status line and headers; `more` are header lines of this answer alone, each with its line end.
 * The length as snprintf gives it. */
int http_response_head(const struct http_response *res, bool keep_alive, const char *more,
                       char *ret, size_t size);
/* The reason phrase, never NULL. */
const char *http_status_text(int status);

#endif

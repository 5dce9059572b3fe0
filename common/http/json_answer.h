/* Answers of admin sockets: JSON, or one line of text that says what was wrong. */
#ifndef SPINDLE_COMMON_HTTP_JSON_ANSWER_H
#define SPINDLE_COMMON_HTTP_JSON_ANSWER_H

#include "common/base/why.h"
#include "common/http/http_server.h"

#include <jansson.h>

/* Takes `json`; NULL (no memory), or what is longer than a body may be: status 500. */
void json_answer(struct http_response *res, json_t *json);
/* The text of `why`, with status 400 (ERR_USAGE), 404 (ERR_NOT_FOUND), 500 (ERR_NO_MEMORY) or 409.
 */
void json_answer_error(struct http_response *res, err_t err, const struct why *why);
/* `name` of an object becomes a time (unix s), in words. */
void json_answer_time(json_t *row, const char *name, int64_t s);

#endif

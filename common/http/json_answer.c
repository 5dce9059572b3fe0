#include "common/http/json_answer.h"

#include "common/base/clock.h"

#include <stdlib.h>

void json_answer(struct http_response *res, json_t *json)
{
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    res->content_type = "application/json";
    res->status = 200;
    if (text == NULL || buf_append_str(&res->body, text) != ERR_OK ||
        buf_append_str(&res->body, "\n") != ERR_OK) {
        buf_clear(&res->body);
        res->content_type = "text/plain";
        res->status = 500; /* says enough alone */
    }
    free(text); /* jansson's own allocation */
}

void json_answer_error(struct http_response *res, err_t err, const struct why *why)
{
    res->status = err == ERR_USAGE       ? 400
                  : err == ERR_NOT_FOUND ? 404
                  : err == ERR_NO_MEMORY ? 500
                                         : 409;
    if (buf_printf(&res->body, "%s\n", why_text(why)) != ERR_OK)
        buf_clear(&res->body);
}

void json_answer_time(json_t *row, const char *name, int64_t s)
{
    char text[CLOCK_TEXT_LEN];
    json_object_set_new(row, name, json_string(clock_format_s(s, text)));
}

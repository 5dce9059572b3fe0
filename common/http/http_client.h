/* One HTTP/1.1 request and its answer, blocking, for commands that ask a program's admin socket.
 * Never used on a loop. */
#ifndef SPINDLE_COMMON_HTTP_HTTP_CLIENT_H
#define SPINDLE_COMMON_HTTP_HTTP_CLIENT_H

#include "common/base/buf.h"
#include "common/loop/address.h"

#define HTTP_ANSWER_MAX (64u * 1024u * 1024u) /* bytes of a body: listings can be long */

struct http_answer {
    int status;
    struct buf body; /* buf_done by the caller after success */
};

/* No body is sent. ERR_CONNECT, ERR_TIMEOUT, ERR_PARSE, ERR_PEER_CLOSED name the address; any HTTP
 * status is a success. */
err_t http_client_call(const struct address *server, const char *method, const char *path,
                       int timeout_ms, struct http_answer *ret, struct why *why) MUST_CHECK;

#endif

/* What http_server.c (listens, gives places) and http_server_conn.c (one connection) share. Nobody
 * else.
 */
#ifndef SPINDLE_COMMON_HTTP_HTTP_SERVER_INTERNAL_H
#define SPINDLE_COMMON_HTTP_HTTP_SERVER_INTERNAL_H

#include "common/base/list.h"
#include "common/http/http_parser.h"
#include "common/http/http_server.h"
#include "common/log/log_limit.h"
#include "common/loop/acceptor.h"
#include "common/loop/closing.h"
#include "common/metric/process_metrics.h"

#define HTTP_READ_SIZE (16u * 1024)
#define HTTP_HEAD_SIZE 512
/* Bodies that clients have not taken yet, of all together: past that the oldest answer goes. */
#define HTTP_ANSWERS_MAX (4 * HTTP_RESPONSE_MAX)

/* In this order they make room for others. */
enum http_conn_state {
    HTTP_CONN_CLOSING,
    HTTP_CONN_LINGERING, /* answered; throws away what still comes */
    HTTP_CONN_IDLE,      /* between requests */
    HTTP_CONN_READING,   /* a request, from the first byte; the first one from accept */
    HTTP_CONN_ANSWERING, /* the client takes the answer */
    HTTP_CONN_WAITING,   /* for a deferred answer */
};

union http_stream {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct http_conn {
    struct http_server *server;
    LIST_ENTRY(http_conn) in_conns;
    union http_stream peer;
    uv_timer_t timer;
    struct closing closing;
    enum http_conn_state state;
    uint64_t since;    /* entered its state; counted by the server, the lower the older */
    uint64_t since_ms; /* loop time of the same */
    struct unix_peer caller;
    bool keep_alive, has_head;
    struct http_parser *parser; /* owned */
    struct buf rest;            /* bytes that came behind the request being answered */
    struct http_response response;
    struct http_deferred *deferred; /* whose answer is waited for; it frees itself */
    bool with_body;
    char head[HTTP_HEAD_SIZE];
    uv_write_t write;
    uv_shutdown_t shutdown;
};

struct http_server {
    struct http_server_options opt;
    uv_loop_t *loop;
    struct acceptor *acceptor;
    bool is_unix;
    struct unix_socket file; /* of a Unix listener */
    struct address address;
    LIST_HEAD(, http_conn) conns; /* newest first */
    struct http_conn *in_handler; /* whose handler runs now: it may close the server */
    uint64_t clock;               /* of `since` */
    struct log_limit lines, foreign;
    struct closing closing;
    char input[HTTP_READ_SIZE]; /* every read is consumed or copied before the next */
};

/* http_server.c */
void http_server_conn_gone(struct http_server *s);
/* Is the request for somebody else? Counts it and says so. */
bool http_server_is_foreign(struct http_server *s, const struct http_request *req);
void http_server_count_cut(struct http_server *s, enum http_cut why);
/* Closes the oldest answers while all together are over HTTP_ANSWERS_MAX, but not `newest`. */
void http_server_bound_answers(struct http_server *s, const struct http_conn *newest);

/* http_server_conn.c. Takes fd on success: it is read from the next turn on. ERR_NO_MEMORY, ERR_IO
 */
err_t http_conn_open(struct http_server *s, int fd, struct http_conn **ret) MUST_CHECK;
void http_conn_close(struct http_conn *c);
/* An error after which the connection ends: the rest of the peer's bytes cannot be understood, or
 * the answer to them does not come. */
void http_conn_fail(struct http_conn *c, int status);

#endif

/* Tests of http_server: a server and its clients over real sockets on one loop. One case at a time;
 * what waits aborts the test when nothing happens for 20 s. */
#ifndef SPINDLE_TESTS_SUPPORT_HTTP_CASE_H
#define SPINDLE_TESTS_SUPPORT_HTTP_CASE_H

#include "common/http/http_server.h"

struct http_case {
    uv_loop_t loop;
    uv_timer_t guard;
    struct http_server *server; /* the test opens it */
    bool closed;
};
extern struct http_case http_case;

void http_case_begin(void);
/* Closes the server if there is one. */
void http_case_end(void);
void http_case_closed(void *arg); /* for http_server_close */
/* 127.0.0.1, a port of the kernel's. */
struct address tcp_any(void);

struct client {
    int fd;
    uv_poll_t poll;
    struct buf got;
    bool eof;
};
void client_take(struct client *c, int fd);
void client_open(struct client *c);
/* What came so far, NUL-terminated. */
const char *text_of(struct client *c);
void client_send(struct client *c, const char *text);
void client_close(struct client *c);
size_t times_in(struct client *c, const char *word);
/* Runs the loop until `word` came `count` times. */
void wait_for(struct client *c, const char *word, size_t count);
void wait_eof(struct client *c);
void on_readable(uv_poll_t *poll, int status, int events);

#endif

/* A scripted HTTP/2 server without sockets, for tests of gRPC clients: answers each request as its
 * script says. Bytes go through h2_server_receive and h2_server_output. */
#ifndef SPINDLE_TESTS_H2_SERVER_H
#define SPINDLE_TESTS_H2_SERVER_H

#include "common/base/buf.h"

#define H2_STREAMS_MAX 8

enum h2_ending {
    H2_TRAILERS,      /* headers, body, trailers */
    H2_TRAILERS_ONLY, /* one header block with everything */
    H2_NO_TRAILERS,   /* the body's end is the end */
    H2_HOLD,          /* headers, body, then open until h2_server_finish */
    H2_RESET,         /* headers, then RST_STREAM with reset_code */
    H2_REFUSE,        /* RST_STREAM at once */
    H2_SILENT,        /* nothing at all */
    H2_GOAWAY,        /* GOAWAY that excludes the request */
};

struct h2_script {
    enum h2_ending ending;
    const char *status;       /* NULL: 200 */
    const char *content_type; /* NULL: application/grpc */
    struct slice body;        /* raw DATA, prefixes included */
    const char *grpc_status;  /* NULL: none */
    const char *grpc_message; /* NULL: none */
    unsigned reset_code;
    bool informational; /* a 103 comes first */
};

struct h2_stream {
    int id; /* 0: free */
    struct h2_script script;
    struct buf out;
    bool eof;
};

struct h2_server {
    struct nghttp2_session *h2;
    /* Which answer a request gets; borrowed for the stream's life. */
    const struct h2_script *(*choose)(void *arg, const char *path);
    void *arg;
    struct h2_stream streams[H2_STREAMS_MAX];
    char path[128];
    char headers[1024]; /* of the last request, "name: value\n" each */
    unsigned requests, resets;
    size_t request_len; /* bytes of the last request's DATA */
    uint8_t request[256];
};

void h2_server_init(struct h2_server *s,
                    const struct h2_script *(*choose)(void *arg, const char *path), void *arg);
void h2_server_done(struct h2_server *s);
/* False when the client broke the protocol. */
bool h2_server_receive(struct h2_server *s, struct slice bytes);
/* Appends what is to be sent. */
void h2_server_output(struct h2_server *s, struct buf *out);
/* On held streams, all of them: one more message; the end. */
void h2_server_push(struct h2_server *s, struct slice message);
void h2_server_finish(struct h2_server *s, const char *grpc_status, const char *grpc_message);
/* Appends prefix and message. */
void h2_put_message(struct buf *out, struct slice message);

#endif

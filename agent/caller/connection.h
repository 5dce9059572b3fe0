/* The attested side of each Workload API connection, found by its descriptor's number, which is all
 * that gRPC tells about where a call came from (docs/adr/0004). A connection is put in before its
 * number is handed to gRPC, is pinned (counted) by each of its calls, and is identified by the
 * socket's cookie: the kernel reuses numbers at once, never cookies. gRPC does not say when it
 * closes one, so those that are gone are swept. Loop thread only. */
#ifndef SPINDLE_AGENT_CALLER_CONNECTION_H
#define SPINDLE_AGENT_CALLER_CONNECTION_H

#include "agent/caller/peer.h"
#include "common/base/list.h"

#include <uv.h>

struct connections; /* opaque */
struct call;

struct connection {
    struct connections *table;
    struct peer peer;
    int fd;                         /* the number; ours only while peer.cookie is its cookie */
    unsigned pins;                  /* the table's and the calls' */
    unsigned streams;               /* live calls */
    LIST_HEAD(, call) calls;        /* live ones, kept by call.c */
    struct user *user;              /* how much this uid has */
    void *owner;                    /* of who closes the descriptor itself; for on_exit */
    bool watched;                   /* the process's end is watched for */
    bool doomed;                    /* shut it down when its last call has ended */
    LIST_ENTRY(connection) in_idle; /* without calls: swept */
};

struct connection_limits {
    size_t per_user; /* connections of one uid, and streams of one uid */
    size_t total;
};
struct connection_options {
    struct connection_limits limits;
    enum peer_mode mode;
    /* The process of a connection with live calls has ended. */
    void (*on_exit)(void *arg, struct connection *c);
    void *arg;
};

err_t connections_open(uv_loop_t *loop, const struct connection_options *opt,
                       struct connections **ret, struct why *why) MUST_CHECK;
/* No calls may be left. Frees itself in the last close callback, then calls done. */
void connections_close(struct connections *t, void (*done)(void *arg), void *arg);

/* Pins the process behind `fd` and remembers it. ERR_ATTESTATION, ERR_LIMIT, ERR_NO_MEMORY, ERR_IO:
 * the caller closes `fd`. */
err_t connections_add(struct connections *t, int fd, struct why *why) MUST_CHECK;
/* For who closes the descriptor itself: forgets the connection at once. Calls still pin it. */
void connections_remove(struct connections *t, struct connection *c);
/* The connection that has the number now; borrowed. NULL when there is none. */
struct connection *connections_find(struct connections *t, int fd);
void connections_each(struct connections *t, void (*fn)(void *arg, struct connection *c),
                      void *arg);
size_t connections_count(struct connections *t); /* open now */

/* One more live call: ERR_LIMIT when its user has too many, ERR_IO, ERR_NO_MEMORY. Each one is
 * given back with connection_leave, which may free the connection. */
err_t connection_enter(struct connection *c, struct why *why) MUST_CHECK;
void connection_leave(struct connection *c);
/* Shuts the socket down, if the number is still its own, once its last call has left. */
void connection_doom(struct connection *c);

#endif

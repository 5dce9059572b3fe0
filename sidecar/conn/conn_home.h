/* What a connection needs of whoever runs it: what it works with, and who is told of it. A worker
 * has one, embedded, for all connections of its thread; they borrow it until the last of them has
 * closed its handles. Of that thread alone. The data is its owner's to set; a connection reads it
 * whenever it needs it, so that it goes by what is true now. */
#ifndef SPINDLE_SIDECAR_CONN_CONN_HOME_H
#define SPINDLE_SIDECAR_CONN_CONN_HOME_H

#include "common/base/crowd.h"
#include "common/base/list.h"
#include "common/metric/metric.h"
#include "common/resolve/resolver.h"
#include "sidecar/config/config.h"
#include "sidecar/conn/expiry.h"
#include "sidecar/conn/stream.h"
#include "sidecar/peer/revocation_check.h"
#include "sidecar/peer/verify_cache.h"

struct conn;
struct conn_home;
struct notes;

/* Called by the connection, on its thread, in the midst of a step. None may fail, and none but
 * `doomed` may end a connection. */
struct conn_home_calls {
    void (*answered)(struct conn_home *h, struct conn *c); /* it was, so it has said enough */
    void (*known)(struct conn_home *h, struct conn *c);    /* it has shown who it is */
    /* It has ended: nothing may be asked of it any more. Its memory goes with its last handle. */
    void (*gone)(struct conn_home *h, struct conn *c);
    /* One that conn_recheck doomed stirs: conn_cut_doomed, and what the owner has to note of it.
     * False: it is welcome again. */
    bool (*doomed)(struct conn_home *h, struct conn *c);
};

struct conn_home {
    const struct conn_home_calls *calls;
    uv_loop_t *loop;
    struct sidecar_config *config; /* shared; the newest: for new connections, and to judge by */
    struct tls_context *server_tls, *client_tls; /* both, or none: connections wait then */
    uint64_t bare_ns;                            /* monotonic: since when there are none, if so */
    bool hold;                    /* new ones wait all the same: what is revoked is not known */
    struct verify_cache verified; /* under the bundles of those contexts */
    struct revocation_view *view; /* counted; NULL: none */
    struct revocation_self self;  /* of the last identity; zero before the first */
    int64_t life_limit_s;         /* of peers of the own trust domain; 0: none */
    struct expiry expiry;         /* tells conn_on_expiry */
    struct resolver_desk desk;
    struct scratch scratch;
    struct metrics *metrics; /* borrowed, as are notes */
    struct notes *notes;
    unsigned index;   /* of this home in the process: what tells its connections from others */
    uint64_t next_id; /* from 1 */
};

/* What its owner keeps in a connection; zeroed at first. conn_of_seat tells whose it is. */
struct conn_seat {
    LIST_ENTRY(conn_seat) link;
    struct crowd_member newcomer;
};
LIST_HEAD(conn_list, conn_seat);

#endif

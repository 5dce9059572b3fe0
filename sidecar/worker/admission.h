/* Is there a place for one more connection, and who makes room for it? Those whose peer has hung up
 * and whose app is silent, and those who have not shown who they are. Worker thread only. */
#ifndef SPINDLE_SIDECAR_WORKER_ADMISSION_H
#define SPINDLE_SIDECAR_WORKER_ADMISSION_H

#include "sidecar/config/places.h"
#include "sidecar/conn/conn.h"

struct admission {
    const struct conn_home *home;  /* borrowed, as all but the newcomers */
    const struct conn_list *conns; /* all of the home's */
    struct places *places;         /* the process's */
    struct place_limits limits;    /* of the configuration of now */
    struct crowd *newcomers;       /* owned; one a route, of inbound ones */
    size_t route_count;
    size_t newcomer_count; /* in all of them */
};

/* Home, conns and places are set. ERR_NO_MEMORY: admission_done all the same. */
err_t admission_open(struct admission *a, size_t routes, struct why *why) MUST_CHECK;
void admission_done(struct admission *a);
/* After the home's configuration changed. */
void admission_set_limits(struct admission *a);

/* The source of a connection that was accepted on `fd`. */
struct crowd_source admission_source(int fd, const struct sockaddr_storage *from);
/* ERR_LIMIT naming the limit: all places are taken, and nobody here can make room. */
err_t admission_make_room(struct admission *a, size_t route, const struct crowd_source *source,
                          struct why *why) MUST_CHECK;
/* One has come, is answered (conn_home.h), has shown who it is, has gone. Of outbound connections
 * none is a newcomer. */
void admission_add(struct admission *a, struct conn *c, const struct crowd_source *source);
void admission_answered(struct admission *a, struct conn *c);
void admission_known(struct admission *a, struct conn *c);
void admission_remove(struct admission *a, struct conn *c);

#endif

/* Is there a place for one more connection, and who makes room for it? Those whose peer has hung up
 * and whose app is silent, and those who have not shown who they are. Worker thread only. */
#ifndef SPINDLE_SIDECAR_WORKER_ADMISSION_H
#define SPINDLE_SIDECAR_WORKER_ADMISSION_H

#include "common/base/crowd.h"
#include "sidecar/worker/worker.h"

/* The source of a connection that was accepted on `fd`. */
struct crowd_source admission_source(int fd, const struct sockaddr_storage *from);
/* ERR_LIMIT naming the limit: all places are taken, and nobody here can make room. */
err_t admission_make_room(struct worker *w, size_t route, const struct crowd_source *source,
                          struct why *why) MUST_CHECK;
/* For worker.c and conn.c; of outbound connections none is a newcomer. It has come; it was
 * answered; it has shown who it is, or has gone. */
void admission_add(struct worker *w, struct conn *c);
void admission_answered(struct worker *w, struct conn *c);
void admission_remove(struct worker *w, struct conn *c);

#endif

/* A crowd at one door, by source and by age: who makes room when there are too many. Pure:
 * addresses in, an order out. Memory for those that are in it, no more. One thread.
 *
 * The order: first the source with the most. Some of these have said enough to be answered, others
 * have not: the oldest of those that are more. Where several sources have as many, the oldest of
 * these. So a source that floods the door puts out its own, never those of others; a flood that
 * only sits there does not put out who works behind the same address, nor does a flood of hellos
 * put out who just came; and among thousands of sources with one each whoever has taken longest
 * goes. */
#ifndef SPINDLE_COMMON_BASE_CROWD_H
#define SPINDLE_COMMON_BASE_CROWD_H

#include "common/base/heap.h"
#include "common/base/list.h"
#include "common/base/map.h"

#include <sys/socket.h>
#include <sys/types.h>

/* What counts as one source: an IPv4 address (mapped into IPv6 or translated by 64:ff9b::/96, too),
 * the first 64 bits of an IPv6 address, the user at a Unix socket. */
struct crowd_source {
    uint64_t value;
    uint8_t kind;
};
/* uid: at a Unix socket. */
struct crowd_source crowd_source_of(const struct sockaddr_storage *from, uid_t uid);
struct crowd_source crowd_user(uid_t uid);

struct crowd_group;
/* Lies in whatever it stands for. Zeroed: in no table. */
struct crowd_member {
    TAILQ_ENTRY(crowd_member) in_age; /* the next one is younger */
    struct crowd_group *group;
    uint64_t number;
    bool answered;
};

struct crowd {
    struct map groups; /* owned; one a source */
    struct heap order; /* the same, who makes room first */
    size_t count;
    uint64_t next_number;
};

void crowd_init(struct crowd *t);
/* Nobody may be in it. */
void crowd_done(struct crowd *t);
/* The youngest from now on. ERR_NO_MEMORY: it is not in it, all else is as before. */
err_t crowd_add(struct crowd *t, const struct crowd_source *source,
                struct crowd_member *n) MUST_CHECK;
/* It has said enough to be answered. Neither of these does anything to one that is in no table. */
void crowd_answered(struct crowd *t, struct crowd_member *n);
void crowd_remove(struct crowd *t, struct crowd_member *n);
size_t crowd_count_of(const struct crowd *t, const struct crowd_source *source);
/* NULL: none of this source. */
struct crowd_member *crowd_first_of(const struct crowd *t, const struct crowd_source *source);
/* NULL: none at all. */
struct crowd_member *crowd_first_to_go(const struct crowd *t);

#endif

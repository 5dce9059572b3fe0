/* The process behind a connection, pinned at accept: SO_PEERCRED, then SO_PEERPIDFD where the
 * kernel has it, else pidfd_open plus the start time of /proc/PID/stat (field 22, after the last
 * ')'). peer_check tells whether that very process still lives and still is that user. Loop thread
 * only. AG-1 to AG-3. */
#ifndef SPINDLE_AGENT_CALLER_PEER_H
#define SPINDLE_AGENT_CALLER_PEER_H

#include "common/base/why.h"

#include <stdint.h>
#include <sys/types.h>

struct peer {
    pid_t pid;
    uid_t uid;
    gid_t gid;
    int pidfd;           /* owned */
    uint64_t start_time; /* of the fallback; 0 with SO_PEERPIDFD */
    uint64_t cookie;     /* SO_COOKIE of the connection */
};

enum peer_mode { PEER_AUTO, PEER_FORCE_FALLBACK };

/* From a connected Unix socket. ERR_ATTESTATION: pid 0 (foreign pid namespace), already gone. */
err_t peer_pin(int socket_fd, enum peer_mode mode, struct peer *ret, struct why *why) MUST_CHECK;
/* A process that did not connect, by its number in the agent's pid namespace; cookie is 0.
 * ERR_ATTESTATION: there is none. */
err_t peer_of_pid(pid_t pid, struct peer *ret, struct why *why) MUST_CHECK;
void peer_done(struct peer *p);
/* ERR_ATTESTATION when the pinned process has ended or has other effective ids now. */
err_t peer_check(const struct peer *p, struct why *why) MUST_CHECK;
/* SO_COOKIE: never the same for two sockets while the machine runs. 0: not a socket. */
uint64_t peer_cookie(int socket_fd);

#endif

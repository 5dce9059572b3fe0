/* Listening Unix sockets as files: made with the right mode from the first moment, left-overs of a
 * dead process removed, what somebody else uses left alone. */
#ifndef SPINDLE_COMMON_LOOP_UNIX_SOCKET_H
#define SPINDLE_COMMON_LOOP_UNIX_SOCKET_H

#include "common/base/why.h"

#include <sys/types.h>

struct unix_socket {
    int fd; /* owned until somebody takes it; close-on-exec, non-blocking */
    char path[108];
    dev_t device; /* of the file we made, so that only that one is removed */
    ino_t inode;
};

/* What the file is like. */
struct unix_socket_file {
    mode_t mode;
    uid_t owner; /* -1: who makes it */
    gid_t group; /* -1: that of who makes it */
};

/* Binds and listens; `type` SOCK_STREAM or SOCK_SEQPACKET. A socket file that nobody answers on is
 * removed first. ERR_LOCKED: another process answers there; ERR_IO with path and cause: not a
 * socket, no such folder, no permission, others may write the folder (socket_folder.h). Any
 * thread. */
err_t unix_socket_open_as(const char *path, int type, const struct unix_socket_file *as,
                          struct unix_socket *ret, struct why *why) MUST_CHECK;
/* The same for a file of our own user. */
err_t unix_socket_open(const char *path, int type, mode_t mode, struct unix_socket *ret,
                       struct why *why) MUST_CHECK;
/* The file that fd, bound and listening, was given: for who kept the descriptor alone. */
void unix_socket_adopt(int fd, struct unix_socket *ret);
/* Who connects to a socket made here cannot pass descriptors: one that blocks whoever closes it (a
 * TCP socket that lingers) would hold up a thread for as long as its sender likes. These change it
 * for one connection. Linux before 6.16 cannot refuse them. */
void unix_socket_take_descriptors(int fd);
void unix_socket_refuse_descriptors(int fd);
/* Removes the file if it is still the one we made. Leaves fd alone. */
void unix_socket_unlink(const struct unix_socket *s);

/* Who is at the other end of a connected one. */
struct unix_peer {
    pid_t pid; /* 0: not known, as for one in a foreign pid namespace */
    uid_t uid;
};
/* False, and all zero, for another kind of socket. */
bool unix_socket_peer(int fd, struct unix_peer *ret);

#endif

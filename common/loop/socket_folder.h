/* May others put a socket of their own in the place of ours? Who may write the folder of a socket,
 * or one above it, may rename, remove and make what lies there: whoever connects then talks to
 * somebody else, and hands over secrets or believes an identity that is none. */
#ifndef SPINDLE_COMMON_LOOP_SOCKET_FOLDER_H
#define SPINDLE_COMMON_LOOP_SOCKET_FOLDER_H

#include "common/base/why.h"

#include <sys/types.h>

/* Looks at every folder on the way to the socket's path, by the way that the path goes and by the
 * way it leads to through links. Each belongs to `user` or to root, and no other may write there;
 * those that are sticky, as /tmp is, may be written by all, as nobody removes there what is not
 * his. A group may write where it is root's or ours (`group`). Folders that are not there yet are
 * passed over. ERR_IO: folder, what was found, what to do. */
err_t socket_folder_check(const char *socket, uid_t user, gid_t group, struct why *why) MUST_CHECK;
/* The same without a user: the modes alone, for who only looks at a configuration. */
err_t socket_folder_check_modes(const char *socket, struct why *why) MUST_CHECK;

#endif

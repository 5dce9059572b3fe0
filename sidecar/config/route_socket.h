/* Who may use a route that listens on a Unix socket: mode, owner and the list of users. The file's
 * mode is the first wall (0600: the sidecar's own user alone); `uids` is asked at each connection,
 * by what the kernel says of the caller, whatever the mode. Pure, but for the look-up of names. */
#ifndef SPINDLE_SIDECAR_CONFIG_ROUTE_SOCKET_H
#define SPINDLE_SIDECAR_CONFIG_ROUTE_SOCKET_H

#include "common/base/slice.h"
#include "common/base/why.h"

#include <sys/types.h>

#define ROUTE_SOCKET_MODE 0600u /* where none is given */

struct route_uids {
    uid_t *uids; /* owned */
    size_t count;
    bool given; /* else whoever may open the file */
};

/* "0660": octal, read and write only, and the owner's write bit is in it. ERR_CONFIG. */
err_t route_socket_mode(const char *text, mode_t *ret, struct why *why) MUST_CHECK;
/* User ids in decimal; NULL: not given. ERR_CONFIG names the one that is none. */
err_t route_socket_uids(char *const *texts, struct route_uids *ret, struct why *why) MUST_CHECK;
void route_uids_done(struct route_uids *u);
bool route_uids_admit(const struct route_uids *u, uid_t uid);

/* "user", "user:group" or ":group", names or numbers; what is not named stays (-1). Reads the user
 * database: at start and in config check, not while the program runs. ERR_CONFIG with the name. */
err_t route_socket_owner(const char *text, uid_t *ret_user, gid_t *ret_group,
                         struct why *why) MUST_CHECK;
/* The form alone. */
err_t route_socket_owner_form(const char *text, struct why *why) MUST_CHECK;

#endif

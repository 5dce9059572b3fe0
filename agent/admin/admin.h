/* The agent's admin socket, for operators (Unix, 0600, same user or root): JSON, never a key.
 * Routes are in admin_<topic>.c, the table is in admin.c. An error is one line of text with status
 * 400, 404, 409 or 500. Loop thread only. */
#ifndef SPINDLE_AGENT_ADMIN_ADMIN_H
#define SPINDLE_AGENT_ADMIN_ADMIN_H

#include "agent/admin/admin_sources.h"

struct admin; /* opaque */

/* ERR_IO naming the socket. `sources` is copied. */
err_t admin_open(uv_loop_t *loop, const char *socket_path, const struct admin_sources *sources,
                 struct admin **ret, struct why *why) MUST_CHECK;
/* Frees itself in the last close callback, then calls done (may be NULL). */
void admin_close(struct admin *a, void (*done)(void *arg), void *arg);

#endif

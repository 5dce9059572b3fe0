/* The sidecar's admin routes, for operators by its Unix socket (0600, same user or root):
 * GET /v1/conns and /v1/explain, POST /v1/drain, POST /v1/quit. Loop thread only. */
#ifndef SPINDLE_SIDECAR_ADMIN_ADMIN_H
#define SPINDLE_SIDECAR_ADMIN_ADMIN_H

#include "common/http/http_server.h"
#include "sidecar/sidecar.h"

/* places: connections at once. ERR_CONFIG naming key, socket and cause. */
err_t sidecar_admin_open(uv_loop_t *loop, const char *socket_path, size_t places, struct sidecar *s,
                         struct http_server **ret, struct why *why) MUST_CHECK;

#endif

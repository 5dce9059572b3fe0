/* GET /v1/explain?peer=ID: would this peer be accepted, by which rule, is it revoked, and how was
 * it refused lately; without a peer the last refusals of all. Loop thread only. */
#ifndef SPINDLE_SIDECAR_ADMIN_ADMIN_EXPLAIN_H
#define SPINDLE_SIDECAR_ADMIN_ADMIN_EXPLAIN_H

#include "common/http/http_server.h"

void sidecar_admin_explain(void *arg, const struct http_request *req, struct http_response *res);

#endif

/* Admin routes of revocation: POST /v1/revoke?target=...[&reason=...][&lift=true], answered when it
 * is on the disk, and GET /v1/revocations[?limit=N][&from=N], holds first. */
#ifndef SPINDLE_AGENT_ADMIN_ADMIN_REVOKE_H
#define SPINDLE_AGENT_ADMIN_ADMIN_REVOKE_H

#include "common/http/http_server.h"

#define ADMIN_REVOCATIONS_PAGE 10000

void admin_revoke(void *arg, const struct http_request *req, struct http_response *res);
void admin_revocations(void *arg, const struct http_request *req, struct http_response *res);

#endif

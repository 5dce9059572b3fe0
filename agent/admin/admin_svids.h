/* Admin routes about SVIDs: those in use, and all that the record of issuance holds. Rows are
 * objects with "spiffe_id", "entry", "serial", "issuer", the times, "state" (valid, expired,
 * revoked: then "reason" and "revoked_at" too) and "in_use". Loop thread only. */
#ifndef SPINDLE_AGENT_ADMIN_ADMIN_SVIDS_H
#define SPINDLE_AGENT_ADMIN_ADMIN_SVIDS_H

#include "common/http/http_server.h"

#define ADMIN_SVIDS_PAGE 1000 /* rows of one answer at most */

/* GET /v1/svids?after=ENTRY&limit=N: {"svids": [...], "next": ENTRY}, by entry id; with "hint",
 * "renew_at", "subscribers". No "next": that was the last page. */
void admin_svids_list(void *arg, const struct http_request *req, struct http_response *res);
/* GET /v1/svids/search?id=&entry=&serial=&state=&expires_before=&expires_after=&from=&limit=N:
 * {"svids": [...], "next": N}, newest first. id may end in "*", serial is the first digits, times
 * are Unix seconds. A page may be empty and not the last. */
void admin_svids_search(void *arg, const struct http_request *req, struct http_response *res);
/* POST /v1/svids/renew?target=SPIFFE-ID|serial:HEX|entry:ID: {"svids": [...]}, the new ones. 404:
 * nobody uses it now; 409: it could not be renewed. */
void admin_svids_renew(void *arg, const struct http_request *req, struct http_response *res);

#endif

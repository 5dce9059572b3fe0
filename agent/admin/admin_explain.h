/* GET /v1/explain?pid=N: what the agent finds out about a process and what it would give it. The
 * answer comes when the process has been attested. Loop thread only. */
#ifndef SPINDLE_AGENT_ADMIN_ADMIN_EXPLAIN_H
#define SPINDLE_AGENT_ADMIN_ADMIN_EXPLAIN_H

#include "common/http/http_server.h"

struct explain_jobs; /* opaque: those under way */
struct attestors;

/* Borrowed; NULL: no memory. */
struct explain_jobs *explain_jobs_new(const struct attestors *attestors);
/* Answers those under way with 503. */
void explain_jobs_free(struct explain_jobs *all);

void admin_explain(void *arg, const struct http_request *req, struct http_response *res);

#endif

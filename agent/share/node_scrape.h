/* /metrics of the agent: its own families, and those of all sidecars of the node with the labels
 * spiffe_id and name, read from their pages (page_store.h). One block a family, as the format wants
 * it. What takes time runs on the thread pool, one scrape after the other; own numbers are written
 * on the loop. A bad page is left out, counted and logged once. Causes of failure and histograms
 * that never counted have no series here, and a sidecar that has gone no gauges but sidecar_up.
 * Loop thread only. */
#ifndef SPINDLE_AGENT_SHARE_NODE_SCRAPE_H
#define SPINDLE_AGENT_SHARE_NODE_SCRAPE_H

#include "agent/share/page_store.h"
#include "common/http/http_server.h"

#define NODE_SCRAPE_MAX (48u << 20) /* bytes; sidecars for which there is no room are left out */
#define NODE_SCRAPES_WAITING 8      /* more are answered 503 */

struct node_scrape; /* opaque */

/* Both borrowed. */
err_t node_scrape_new(uv_loop_t *loop, struct metrics *metrics, struct page_store *pages,
                      struct node_scrape **ret, struct why *why) MUST_CHECK;
/* A handler of GET /metrics, `arg` the struct node_scrape. */
void node_scrape_answer(void *arg, const struct http_request *req, struct http_response *res);
/* Frees itself when the last scrape has ended, then calls done. No answer may be asked for then. */
void node_scrape_close(struct node_scrape *s, void (*done)(void *arg), void *arg);

#endif

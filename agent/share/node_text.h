/* What a scrape of the node says, put together: the agent's own text, family by family, and the
 * series of its sidecars. Pure but for reading the pages; any thread, one at a time a page. */
#ifndef SPINDLE_AGENT_SHARE_NODE_TEXT_H
#define SPINDLE_AGENT_SHARE_NODE_TEXT_H

#include "agent/share/page_store.h"
#include "common/metric/metric_text.h"

struct node_page {
    struct page *page; /* shared; its copy is read into */
    bool is_here;      /* its sidecar is connected */
    err_t err;         /* of reading it; what cannot be read is left out */
};

struct node_text {
    const struct metrics *metrics; /* borrowed: the agent's families, their names and heads */
    enum metric_format format;
    struct buf own;         /* the agent's blocks, one behind the other */
    size_t *own_end;        /* owned; where each ends */
    struct node_page *page; /* owned */
    size_t page_count;
    size_t dropped; /* pages that there was no room for */
};

/* Loop thread: runs the hooks of metrics_on_scrape and writes the agent's own blocks. Takes the
 * pages, which are freed by node_text_done but not unreferenced. */
err_t node_text_start(struct node_text *t, const struct metrics *m, enum metric_format format,
                      struct node_page *pages, size_t count, struct why *why) MUST_CHECK;
/* Reads the pages, appends the whole text. ERR_NO_MEMORY, ERR_TOO_LARGE. */
err_t node_text_write(struct node_text *t, struct buf *out) MUST_CHECK;
void node_text_done(struct node_text *t);

#endif

/* A listing of the agent's admin socket that comes in pages. Blocking, main thread. */
#ifndef SPINDLE_AGENT_CLI_LISTING_H
#define SPINDLE_AGENT_CLI_LISTING_H

#include "common/cli/admin_client.h"

struct listing {
    const struct command_line *line;
    const char *name; /* of the rows, in the answer and for people */
    const char *more; /* what stands behind their number when there are more */
    size_t limit;     /* rows, of all pages */
    bool whole;       /* a paragraph for each row, and no number of them */
    bool as_json, has_more;
    struct address socket;
    json_t *rows; /* owned */
};

/* From --output and --admin. ERR_USAGE. */
err_t listing_begin(struct listing *l, struct why *why) MUST_CHECK;
/* Gets the rows, page after page, up to the limit. The question is without "limit", and without
 * `place`: the parameter that takes what the server said comes next. l->rows is NULL, or the
 * caller's to release, after a failure too. */
err_t listing_fetch(struct listing *l, const struct admin_question *q, const char *place,
                    struct why *why) MUST_CHECK;
void listing_print(const struct listing *l, void (*print)(FILE *out, const json_t *row));

#endif

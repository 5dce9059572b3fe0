/* PEM (RFC 7468): walk the blocks of a text, write one. Pure. */
#ifndef SPINDLE_COMMON_ENCODE_PEM_H
#define SPINDLE_COMMON_ENCODE_PEM_H

#include "common/base/buf.h"
#include "common/base/why.h"

/* Takes the next block from *text (advancing it): its label, borrowed, and its bytes appended to
 * `der`. ERR_NOT_FOUND when no block is left; ERR_PARSE for a broken one, with its line counted
 * from its BEGIN; ERR_TOO_LARGE past der->max. Text between blocks is skipped, so are blanks and
 * byte order marks at the start of a line; but a BEGIN with other text around it is ERR_PARSE,
 * unless the line is a # comment: a block is never lost without a word. What was decoded of a
 * broken block is wiped. */
err_t pem_next(struct slice *text, struct slice *ret_label, struct buf *der,
               struct why *why) MUST_CHECK;
err_t pem_write(struct buf *out, const char *label, struct slice der) MUST_CHECK;

/* Blocks that a reader of a file passed over, to be told once to who wrote it. Zeroed before. */
struct pem_unused {
    unsigned count;
    char text[400]; /* "/etc/tls.crt: PRIVATE KEY, /etc/tls.key: EC PARAMETERS", cut where it is
                       full */
};
/* `u` may be NULL. */
void pem_unused_add(struct pem_unused *u, const char *path, struct slice label);

#endif

/* Makes room in a full record: what is still valid in its oldest segment is written into a segment
 * more, on the thread pool, then the oldest one goes. One at a time; meanwhile the store is used as
 * ever, but nothing of it expires. When it fails, all is as before. */
#ifndef SPINDLE_AGENT_STORE_RECORD_CARRY_H
#define SPINDLE_AGENT_STORE_RECORD_CARRY_H

#include "agent/store/record_store.h"

struct record_carry; /* opaque */

/* Loop thread. ERR_RECORD: hardly any has expired, so that it is not worth it, or the disk is full;
 * ERR_NO_MEMORY. */
err_t record_carry_begin(struct record_store *st, int64_t now, struct record_carry **ret,
                         struct why *why) MUST_CHECK;
/* Any thread: does what takes time. What it has written is on the disk then. */
void record_carry_run(struct record_carry *c);
/* Loop thread: the store has the new segment instead of the old one. Frees. *ret_lost: rows that
 * could not be carried, damaged since they were read at start. ERR_RECORD, ERR_IO, ERR_NO_MEMORY.
 */
err_t record_carry_end(struct record_carry *c, uint32_t *ret_lost, struct why *why) MUST_CHECK;

#endif

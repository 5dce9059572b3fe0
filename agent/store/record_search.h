/* Questions to the record's store, as in record.h, without what waits. They read its files. */
#ifndef SPINDLE_AGENT_STORE_RECORD_SEARCH_H
#define SPINDLE_AGENT_STORE_RECORD_SEARCH_H

#include "agent/store/record_store.h"

/* Where the newest with this serial stands; 0: not there. ERR_IO; ERR_PARSE: of one that may have
 * been it. */
err_t record_search_position(struct record_store *st,
                             const uint8_t serial[static RECORD_SERIAL_LEN], uint32_t *ret,
                             struct why *why) MUST_CHECK;
err_t record_search_serial(struct record_store *st, const uint8_t serial[static RECORD_SERIAL_LEN],
                           struct record_item *ret, struct why *why) MUST_CHECK;
err_t record_search_unexpired(struct record_store *st, const struct record_query *query,
                              record_fn *fn, void *arg, struct why *why) MUST_CHECK;
err_t record_search_page(struct record_store *st, const struct record_search *search, record_fn *fn,
                         void *arg, uint64_t *ret_next, struct why *why) MUST_CHECK;

#endif

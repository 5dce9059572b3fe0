/* Reads the record at start: every row of every segment, once; cuts a torn tail off. */
#ifndef SPINDLE_AGENT_STORE_RECORD_LOAD_H
#define SPINDLE_AGENT_STORE_RECORD_LOAD_H

#include "agent/store/record_store.h"

/* What was wrong in one segment; rows are counted. */
struct record_damage {
    uint32_t seq, bad, cut;
};
typedef void record_damage_fn(void *arg, const struct record_damage *damage);

/* As record_store_open, with what is there. ERR_UNSUPPORTED: a newer version's; ERR_TOO_LARGE. */
err_t record_load(const char *dir, uint64_t records_max, uint32_t rows_max,
                  record_damage_fn *on_damage, void *arg, struct record_store **ret,
                  struct why *why) MUST_CHECK;

#endif

/* How a connection ends, docs/connection-ends.md. Here and nowhere else one is closed. For the
 * files of the connection alone (conn_internal.h). */
#ifndef SPINDLE_SIDECAR_CONN_CONN_END_H
#define SPINDLE_SIDECAR_CONN_CONN_END_H

#include "sidecar/conn/conn.h"

struct conn_input;

/* How it ends, from the first that is wrong on. */
struct conn_end {
    err_t err;              /* the cause; ERR_OK: nothing is wrong */
    bool begun;             /* it is over for both; what is queued is still taken, in ENDING */
    bool orderly;           /* nothing was under way: nobody is reset */
    uint64_t moved, queued; /* at the last look */
    uint64_t changed_ns;    /* when one of them last changed */
    uint64_t until_ns;      /* 0, or when patience ends in any case: this program leaves */
};

/* At once. `reset`: the stream whose peer shall see a reset instead of an orderly end, or NULL. */
void conn_close(struct conn *c, err_t err, const struct why *why, struct stream *reset);
void conn_end_cut(struct conn *c, const struct why *why, enum conn_cut how);
/* Notes why it ends; the first cause counts, but for what explains it better. */
void conn_end_note(struct conn *c, const struct why *why);
/* One direction has failed: from now on what is under way is brought home, in ENDING. */
void conn_end_begin(struct conn *c);
/* Nothing is under way, or nobody takes it: the ends follow what has arrived. */
void conn_end_orderly(struct conn *c, const struct why *why);
/* After each step in ENDING: closes what has taken all. */
void conn_ending_look(struct conn *c);
uint64_t conn_ending_look_ms(const struct conn *c);
void conn_step_ending(struct conn *c, const struct conn_input *in);
/* For stream_close: frees the connection with the last handle. */
void conn_handle_closed(void *arg);

#endif

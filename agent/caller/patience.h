/* A wait in the kernel can last as long as somebody else likes where no flag prevents it: the last
 * close of a TCP socket that lingers, which a workload may pass to us. Between patience_begin and
 * patience_end a signal cuts such waits of the loop's thread short, after PATIENCE_MS. Calls that
 * can go on do (SA_RESTART). Loop thread only. */
#ifndef SPINDLE_AGENT_CALLER_PATIENCE_H
#define SPINDLE_AGENT_CALLER_PATIENCE_H

#include <stdbool.h>
#include <time.h>

#define PATIENCE_MS 20

struct patience {
    timer_t timer;
    bool has_timer;
};

/* On the thread whose waits are cut short. Where there is no timer to be had none is; false then.
 */
bool patience_init(struct patience *p);
void patience_done(struct patience *p);
void patience_begin(const struct patience *p);
void patience_end(const struct patience *p);

#endif

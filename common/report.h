/* Reports of configuration and entries: text, one problem or warning a line. */
#ifndef SPINDLE_COMMON_REPORT_H
#define SPINDLE_COMMON_REPORT_H

#include "common/slice.h"

/* The first line of `text`, without its end; `text` moves past it. */
struct slice report_next_line(struct slice *text);
bool report_is_warning(struct slice line);
/* A line of the log for each line. */
void report_log(struct slice report);

#endif

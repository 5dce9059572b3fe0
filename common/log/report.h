/* Reports of configuration and entries: text, one problem or warning a line. */
#ifndef SPINDLE_COMMON_LOG_REPORT_H
#define SPINDLE_COMMON_LOG_REPORT_H

#include "common/log/log.h"

/* The first line of `text`, without its end; `text` moves past it. */
struct slice report_next_line(struct slice *text);
bool report_is_warning(struct slice line);
/* A line of the log for each line. */
void report_log(struct slice report);
/* The same, all of one level and event. */
void report_log_as(struct slice report, enum log_level level, const char *event);

#endif

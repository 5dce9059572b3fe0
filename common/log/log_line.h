/* One line of the log or the audit file under construction, in text or JSON. What does not fit is
 * cut, and the line stays well-formed; peers' bytes are escaped. Pure but for the clock. */
#ifndef SPINDLE_COMMON_LOG_LOG_LINE_H
#define SPINDLE_COMMON_LOG_LOG_LINE_H

#include "common/log/log.h"

#define LOG_LINE_MAX 4096

struct log_line { /* len 0 before */
    char text[LOG_LINE_MAX];
    size_t len; /* at most LOG_LINE_MAX - 2: the end of the line and a NUL always fit */
};

/* 2026-11-21T08:00:00.123Z WARN handshake_failed peer=10.0.0.7:4410 */
void log_line_text(struct log_line *l, const char *level, const char *event,
                   const struct log_field *fields);
/* {"time":"...","level":"warn","event":"..."}; a NULL level is left out. */
void log_line_json(struct log_line *l, const char *level, const char *event,
                   const struct log_field *fields);

#endif

/* One line of the log or the audit file under construction, in text or JSON. What does not fit is
 * cut, and the line stays well-formed; peers' bytes are escaped. Pure but for the clock. */
#ifndef SPINDLE_COMMON_LOG_LOG_LINE_H
#define SPINDLE_COMMON_LOG_LOG_LINE_H

#include "common/base/err.h"
#include "common/base/slice.h"

#include <stdint.h>

enum log_format { LOG_TEXT, LOG_JSON };

struct log_field {
    const char *key; /* NULL ends the list */
    enum { LOG_F_STR, LOG_F_SLICE, LOG_F_INT, LOG_F_ERR, LOG_F_TIME, LOG_F_BOOL, LOG_F_NONE } kind;
    union {
        const char *str; /* NULL is printed as - */
        struct slice slice;
        int64_t num;
        err_t err;
        bool flag;
    } v;
};

#define log_str(k, s) ((struct log_field){.key = (k), .kind = LOG_F_STR, .v.str = (s)})
#define log_slice(k, s) ((struct log_field){.key = (k), .kind = LOG_F_SLICE, .v.slice = (s)})
#define log_int(k, n) ((struct log_field){.key = (k), .kind = LOG_F_INT, .v.num = (int64_t)(n)})
#define log_err(k, e) ((struct log_field){.key = (k), .kind = LOG_F_ERR, .v.err = (e)})
#define log_time(k, t) ((struct log_field){.key = (k), .kind = LOG_F_TIME, .v.num = (t)})
#define log_bool(k, b) ((struct log_field){.key = (k), .kind = LOG_F_BOOL, .v.flag = (b)})

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

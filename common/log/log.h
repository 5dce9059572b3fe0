/* Logging: one event, one line, on stderr; text or JSON. Thread-safe. Never blocks: when stderr
 * cannot take a line it is dropped and counted (log_dropped()). Never pass keys or tokens.
 * Peer-chosen bytes are escaped. Libraries return `why`; the few in common that log above
 * debug (audit, report, file_watch) have nobody to return it to.
 *
 *   log_warn("handshake_failed", log_str("peer", addr), log_err("reason", err), log_int("n", 3));
 *   2026-11-21T08:00:00.123Z WARN handshake_failed peer=10.0.0.7:4410 reason=cert_expired n=3 */
#ifndef SPINDLE_COMMON_LOG_LOG_H
#define SPINDLE_COMMON_LOG_LOG_H

#include "common/log/log_line.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_setup(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_field *fields);
/* Lines dropped since start, those past a limit (log_limit.h) among them. */
uint64_t log_dropped(void);
void log_count_dropped(void);
/* Tests: lines go to `sink` instead of stderr; NULL restores. */
void log_capture(void (*sink)(void *arg, const char *line), void *arg);

#define LOG_EVENT(level, event, ...)                                                               \
    do {                                                                                           \
        if (log_enabled(level))                                                                    \
            log_write(level, event,                                                                \
                      (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}});        \
    } while (0)
#define log_error(event, ...) LOG_EVENT(LOG_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...) LOG_EVENT(LOG_WARN, event, __VA_ARGS__)
#define log_info(event, ...) LOG_EVENT(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) LOG_EVENT(LOG_DEBUG, event, __VA_ARGS__)

#endif

#include "common/log/log.h"

#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic int threshold = LOG_INFO;
static _Atomic int line_format = LOG_TEXT;
static _Atomic uint64_t dropped;
static void (*capture)(void *arg, const char *line); /* tests, single-threaded */
static void *capture_arg;

static void emit(struct log_line *l)
{
    if (capture != NULL) {
        l->text[l->len] = '\0';
        capture(capture_arg, l->text);
        return;
    }
    l->text[l->len++] = '\n';
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0 ||
        write(STDERR_FILENO, l->text, l->len) != (ssize_t)l->len)
        log_count_dropped();
}

void log_setup(enum log_level level, enum log_format format)
{
    threshold = (int)level;
    line_format = (int)format;
}

bool log_enabled(enum log_level level)
{
    return (int)level <= threshold;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    static const char *const upper[] = {"ERROR", "WARN", "INFO", "DEBUG"};
    static const char *const lower[] = {"error", "warn", "info", "debug"};
    struct log_line l;
    l.len = 0;
    if (line_format == LOG_JSON)
        log_line_json(&l, lower[level], event, fields);
    else
        log_line_text(&l, upper[level], event, fields);
    emit(&l);
}

uint64_t log_dropped(void)
{
    return atomic_load(&dropped);
}

void log_count_dropped(void)
{
    atomic_fetch_add(&dropped, 1);
}

void log_capture(void (*sink)(void *arg, const char *line), void *arg)
{
    capture = sink;
    capture_arg = arg;
}

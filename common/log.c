#include "common/log.h"

#include "common/clock.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_LEN 4096

static _Atomic int threshold = LOG_INFO;
static _Atomic int line_format = LOG_TEXT;
static _Atomic uint64_t dropped;
static void (*capture)(void *arg, const char *line); /* tests, single-threaded */
static void *capture_arg;

/* A line under construction; what does not fit is cut, the line stays well-formed. */
struct line {
    char text[LINE_MAX_LEN];
    size_t len;
};

static void put(struct line *l, const char *text, size_t len)
{
    size_t room = sizeof l->text - 4 - l->len; /* "}\n" and NUL always fit */
    if (len > room)
        len = room;
    memcpy(l->text + l->len, text, len);
    l->len += len;
}

static void put_str(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

static bool is_plain(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=')
            return false;
    }
    return s.len > 0;
}

/* Quoted, every byte outside printable ASCII escaped: peers choose some of these bytes. */
static void put_quoted(struct line *l, struct slice s)
{
    put(l, "\"", 1);
    for (size_t i = 0; i < s.len && l->len + 16 < sizeof l->text; i++) {
        uint8_t c = s.data[i];
        char escape[8];
        if (c == '"' || c == '\\') {
            escape[0] = '\\';
            escape[1] = (char)c;
            put(l, escape, 2);
        } else if (c < ' ' || c >= 0x7f) {
            put(l, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", c));
        } else {
            put(l, (const char *)&s.data[i], 1);
        }
    }
    put(l, "\"", 1);
}

static void put_text(struct line *l, struct slice s)
{
    if (line_format == LOG_TEXT && is_plain(s))
        put(l, (const char *)s.data, s.len);
    else
        put_quoted(l, s);
}

static void put_value(struct line *l, const struct log_field *f)
{
    char text[CLOCK_TEXT_LEN];
    switch (f->kind) {
    case LOG_F_STR:
        put_text(l, slice_str(f->v.str != NULL ? f->v.str : "-"));
        break;
    case LOG_F_SLICE:
        put_text(l, f->v.slice);
        break;
    case LOG_F_INT:
        put(l, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)f->v.num));
        break;
    case LOG_F_ERR:
        put_text(l, slice_str(err_name(f->v.err)));
        break;
    case LOG_F_TIME:
        put_text(l, slice_str(clock_format_s(f->v.num, text)));
        break;
    case LOG_F_BOOL:
        put_str(l, f->v.flag ? "true" : "false");
        break;
    }
}

static void put_stamp(struct line *l)
{
    char stamp[CLOCK_TEXT_LEN], millis[8];
    int64_t now = clock_wall_ms();
    clock_format_s(now / 1000, stamp);
    put(l, stamp, strlen(stamp) - 1);
    put(l, millis, (size_t)snprintf(millis, sizeof millis, ".%03dZ", (int)(now % 1000)));
}

static void build_text(struct line *l, const char *level, const char *event,
                       const struct log_field *f)
{
    put_stamp(l);
    put_str(l, " ");
    put_str(l, level);
    put_str(l, " ");
    put_str(l, event);
    for (; f->key != NULL; f++) {
        put_str(l, " ");
        put_str(l, f->key);
        put_str(l, "=");
        put_value(l, f);
    }
}

static void build_json(struct line *l, const char *level, const char *event,
                       const struct log_field *f)
{
    put_str(l, "{\"time\":\"");
    put_stamp(l);
    put_str(l, "\",\"level\":\"");
    put_str(l, level);
    put_str(l, "\",\"event\":\"");
    put_str(l, event);
    put_str(l, "\"");
    for (; f->key != NULL && l->len + 512 < sizeof l->text; f++) {
        put_str(l, ",\"");
        put_str(l, f->key);
        put_str(l, "\":");
        put_value(l, f);
    }
    put_str(l, "}");
}

static void emit(struct line *l)
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
        atomic_fetch_add(&dropped, 1);
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
    struct line l;
    l.len = 0;
    if (line_format == LOG_JSON)
        build_json(&l, lower[level], event, fields);
    else
        build_text(&l, upper[level], event, fields);
    emit(&l);
}

uint64_t log_dropped(void)
{
    return atomic_load(&dropped);
}

void log_capture(void (*sink)(void *arg, const char *line), void *arg)
{
    capture = sink;
    capture_arg = arg;
}

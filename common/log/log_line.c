#include "common/log/log_line.h"

#include "common/base/clock.h"

#include <stdio.h>

static void put(struct log_line *l, const char *text, size_t len)
{
    size_t room = sizeof l->text - 4 - l->len; /* "}\n" and NUL always fit */
    if (len > room)
        len = room;
    memcpy(l->text + l->len, text, len);
    l->len += len;
}

static void put_str(struct log_line *l, const char *text)
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
static void put_quoted(struct log_line *l, struct slice s)
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

static void put_text(struct log_line *l, enum log_format format, struct slice s)
{
    if (format == LOG_TEXT && is_plain(s))
        put(l, (const char *)s.data, s.len);
    else
        put_quoted(l, s);
}

static void put_value(struct log_line *l, enum log_format format, const struct log_field *f)
{
    char text[CLOCK_TEXT_LEN];
    switch (f->kind) {
    case LOG_F_STR:
        put_text(l, format, slice_str(f->v.str != NULL ? f->v.str : "-"));
        break;
    case LOG_F_SLICE:
        put_text(l, format, f->v.slice);
        break;
    case LOG_F_INT:
        put(l, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)f->v.num));
        break;
    case LOG_F_ERR:
        put_text(l, format, slice_str(err_name(f->v.err)));
        break;
    case LOG_F_TIME:
        put_text(l, format, slice_str(clock_format_s(f->v.num, text)));
        break;
    case LOG_F_BOOL:
        put_str(l, f->v.flag ? "true" : "false");
        break;
    case LOG_F_NONE:
        break;
    }
}

static void put_stamp(struct log_line *l)
{
    char stamp[CLOCK_TEXT_LEN], millis[8];
    int64_t now = clock_wall_ms();
    clock_format_s(now / 1000, stamp);
    put(l, stamp, strlen(stamp) - 1);
    put(l, millis, (size_t)snprintf(millis, sizeof millis, ".%03dZ", (int)(now % 1000)));
}

void log_line_text(struct log_line *l, const char *level, const char *event,
                   const struct log_field *f)
{
    put_stamp(l);
    put_str(l, " ");
    put_str(l, level);
    put_str(l, " ");
    put_str(l, event);
    for (; f->key != NULL; f++) {
        if (f->kind == LOG_F_NONE)
            continue;
        put_str(l, " ");
        put_str(l, f->key);
        put_str(l, "=");
        put_value(l, LOG_TEXT, f);
    }
}

void log_line_json(struct log_line *l, const char *level, const char *event,
                   const struct log_field *f)
{
    put_str(l, "{\"time\":\"");
    put_stamp(l);
    if (level != NULL) {
        put_str(l, "\",\"level\":\"");
        put_str(l, level);
    }
    put_str(l, "\",\"event\":\"");
    put_str(l, event);
    put_str(l, "\"");
    for (; f->key != NULL && l->len + 512 < sizeof l->text; f++) {
        if (f->kind == LOG_F_NONE)
            continue;
        put_str(l, ",\"");
        put_str(l, f->key);
        put_str(l, "\":");
        put_value(l, LOG_JSON, f);
    }
    put_str(l, "}");
}

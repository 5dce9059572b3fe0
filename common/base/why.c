#include "common/base/why.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Marks a text that did not fit. */
static void mark_cut(char *text, size_t size, int wanted)
{
    if (wanted >= (int)size)
        memcpy(text + size - 4, "...", 4);
}

err_t why_set(struct why *why, err_t err, const char *fmt, ...)
{
    if (why == NULL)
        return err;
    va_list args;
    va_start(args, fmt);
    why->err = err;
    mark_cut(why->text, sizeof why->text, vsnprintf(why->text, sizeof why->text, fmt, args));
    va_end(args);
    return err;
}

err_t why_add(struct why *why, err_t err, const char *fmt, ...)
{
    if (why == NULL)
        return err;
    char old[sizeof why->text];
    memcpy(old, why->text, sizeof old);
    old[sizeof old - 1] = '\0';
    va_list args;
    va_start(args, fmt);
    int head = vsnprintf(why->text, sizeof why->text, fmt, args);
    va_end(args);
    if (head >= 0 && head < (int)sizeof why->text) {
        size_t room = sizeof why->text - (size_t)head;
        const char *tail = old[0] != '\0' ? old : err_text(err);
        mark_cut(why->text + head, room, snprintf(why->text + head, room, ": %s", tail));
    }
    why->err = err;
    return err;
}

err_t why_errno(struct why *why, err_t err, const char *fmt, ...)
{
    int saved = errno;
    if (why == NULL)
        return err;
    va_list args;
    va_start(args, fmt);
    int head = vsnprintf(why->text, sizeof why->text, fmt, args);
    va_end(args);
    if (head >= 0 && head < (int)sizeof why->text) {
        size_t room = sizeof why->text - (size_t)head;
        char text[128];
        mark_cut(why->text + head, room,
                 snprintf(why->text + head, room, ": %s", strerror_r(saved, text, sizeof text)));
    }
    why->err = err;
    return err;
}

const char *why_text(const struct why *why)
{
    if (why == NULL)
        return "no cause given";
    return why->text[0] != '\0' ? why->text : err_text(why->err);
}

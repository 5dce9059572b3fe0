/* The lines that a load reports, and where each key was written. */
#include "common/config/option_report.h"

#include "common/base/mem.h"

#include <stdarg.h>
#include <stdio.h>

#define KEY_LEN 256
#define ORIGINS_MAX 65536

struct origin {
    char *key;   /* owned */
    bool by_set; /* written by --set */
    unsigned line;
};

struct option_origins {
    char *file; /* owned; what error lines call the file */
    struct origin *items;
    size_t count;
};

struct option_origins *option_origins_new(const char *file)
{
    struct option_origins *o = mem_alloc(sizeof *o);
    char *copy = mem_strdup(file);
    if (o == NULL || copy == NULL) {
        mem_free(o);
        mem_free(copy);
        return NULL;
    }
    o->file = copy;
    return o;
}

const char *option_origins_file(const struct option_origins *o)
{
    return o->file;
}

void option_set_err(err_t *err, err_t next)
{
    if (next != ERR_OK && (*err == ERR_OK || *err == ERR_CONFIG))
        *err = next;
}

void option_report_line(struct buf *report, err_t *err, const char *where, const char *text)
{
    char line[OPTION_WHERE_LEN * 3];
    snprintf(line, sizeof line, "%s%s%s", where, where[0] != '\0' ? ": " : "", text);
    for (char *c = line; *c != '\0'; c++)
        *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
    err_t put = buf_printf(report, "%s\n", line);
    if (put != ERR_OK && put != ERR_TOO_LARGE)
        option_set_err(err, put);
}

err_t option_note(struct option_origins *o, const char *key, bool by_set, unsigned line)
{
    if (o->count == ORIGINS_MAX)
        return ERR_TOO_LARGE;
    char *copy = mem_grow(&o->items, o->count, sizeof *o->items) ? mem_strdup(key) : NULL;
    if (copy == NULL)
        return ERR_NO_MEMORY;
    o->items[o->count++] = (struct origin){.key = copy, .by_set = by_set, .line = line};
    return ERR_OK;
}

static const struct origin *find_origin(const struct option_origins *o, const char *key)
{
    for (size_t i = o->count; i > 0; i--) {
        if (strcmp(o->items[i - 1].key, key) == 0)
            return &o->items[i - 1];
    }
    return NULL;
}

const char *option_below(const char *key, const char *section, size_t len)
{
    return strncmp(key, section, len) == 0 && key[len] == '.' ? key + len + 1 : NULL;
}

void option_origins_free(struct option_origins *o)
{
    if (o == NULL)
        return;
    for (size_t i = 0; i < o->count; i++)
        mem_free(o->items[i].key);
    mem_free(o->items);
    mem_free(o->file);
    mem_free(o);
}

const char *option_where(const struct option_origins *o, const char *key,
                         char out[static OPTION_WHERE_LEN])
{
    char near[KEY_LEN];
    const struct origin *from = find_origin(o, key);
    snprintf(near, sizeof near, "%s", key);
    for (size_t n = strlen(near); from == NULL && n > 0; n--) {
        if (near[n] != '.' && near[n] != '[')
            continue;
        near[n] = '\0';
        from = find_origin(o, near);
    }
    if (from == NULL)
        snprintf(out, OPTION_WHERE_LEN, "%.250s: %.250s", o->file, key);
    else if (from->by_set)
        snprintf(out, OPTION_WHERE_LEN, "--set: %.250s", key);
    else
        snprintf(out, OPTION_WHERE_LEN, "%.240s:%u: %.240s", o->file, from->line, key);
    return out;
}

err_t option_blame(const struct option_origins *o, const char *key, err_t err, struct why *why)
{
    char where[OPTION_WHERE_LEN];
    if (err != ERR_IO)
        return err;
    return why_add(why, ERR_CONFIG, "%s", option_where(o, key, where));
}

bool option_given(const struct option_origins *o, const char *key)
{
    size_t len = strlen(key);
    for (size_t i = 0; i < o->count; i++) {
        if (strcmp(o->items[i].key, key) == 0 || option_below(o->items[i].key, key, len) != NULL)
            return true;
    }
    return false;
}

static void add_line(const struct option_origins *o, struct buf *report, err_t *err,
                     const char *key, const char *prefix, const char *fmt, va_list args)
{
    char text[512], where[OPTION_WHERE_LEN];
    size_t n = (size_t)snprintf(text, sizeof text, "%s", prefix);
    vsnprintf(text + n, sizeof text - n, fmt, args);
    option_report_line(report, err, option_where(o, key, where), text);
}

void option_problem(const struct option_origins *o, struct buf *report, err_t *err, const char *key,
                    const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    option_set_err(err, ERR_CONFIG);
    add_line(o, report, err, key, "", fmt, args);
    va_end(args);
}

void option_warning(const struct option_origins *o, struct buf *report, err_t *err, const char *key,
                    const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add_line(o, report, err, key, "warning: ", fmt, args);
    va_end(args);
}

#include "tests/support/audit_case.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOON_MS 20000

struct temp_dir audit_dir;
char audit_path[TEMP_PATH_MAX];

void audit_case_begin(void)
{
    temp_dir_make(&audit_dir);
    temp_path(&audit_dir, "audit.log", audit_path);
}

void audit_case_end(void)
{
    temp_dir_remove(&audit_dir);
}

struct audit *audit_case_open(int64_t max_size, int64_t keep)
{
    struct audit_options opt = {.path = audit_path, .max_size = max_size, .keep = keep};
    struct audit *a = NULL;
    struct why why = {.err = ERR_OK};
    ck_assert_msg(audit_open(&opt, &a, &why) == ERR_OK, "%s", why_text(&why));
    ck_assert_int_eq(audit_start(a, &why), ERR_OK);
    return a;
}

char *audit_read(const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    struct stat st = {0};
    if (fd >= 0)
        ck_assert_int_eq(fstat(fd, &st), 0);
    char *text = calloc(1, (size_t)st.st_size + 1);
    ck_assert_ptr_nonnull(text);
    if (fd >= 0) {
        ck_assert_int_eq(read(fd, text, (size_t)st.st_size), st.st_size);
        close(fd);
    }
    return text;
}

void audit_each_line(const char *text, void (*fn)(void *arg, const json_t *line), void *arg)
{
    while (*text != '\0') {
        const char *end = strchr(text, '\n');
        json_error_t error;
        ck_assert_msg(end != NULL, "no end of line: %s", text);
        json_t *line = json_loadb(text, (size_t)(end - text), JSON_REJECT_DUPLICATES, &error);
        ck_assert_msg(line != NULL, "%s: %.*s", error.text, (int)(end - text), text);
        ck_assert_ptr_nonnull(json_string_value(json_object_get(line, "time")));
        ck_assert_ptr_nonnull(json_string_value(json_object_get(line, "event")));
        fn(arg, line);
        json_decref(line);
        text = end + 1;
    }
}

void audit_tally_line(void *arg, const json_t *line)
{
    struct audit_tally *t = arg;
    if (strcmp(json_string_value(json_object_get(line, "event")), "lost") == 0) {
        int64_t count = json_integer_value(json_object_get(line, "count"));
        ck_assert_int_gt(count, 0);
        t->lost += count;
        t->next += count;
        t->gaps++;
        return;
    }
    ck_assert_int_eq(json_integer_value(json_object_get(line, "n")), t->next);
    t->next++;
    t->seen++;
}

struct audit_tally audit_tally_text(const char *text)
{
    struct audit_tally t = {0};
    audit_each_line(text, audit_tally_line, &t);
    return t;
}

void audit_numbers(struct audit *a, int from, int to)
{
    for (int i = from; i < to; i++)
        audit_event(a, "number", log_int("n", i), log_str("text", "0123456789012345678901234567"));
}

void audit_wait_for(const char *name, const char *wanted)
{
    int watch = inotify_init1(IN_CLOEXEC);
    struct pollfd p = {.fd = watch, .events = POLLIN};
    ck_assert_int_ge(inotify_add_watch(watch, audit_dir.path, IN_MODIFY | IN_CREATE | IN_MOVED_TO),
                     0);
    for (;;) {
        char events[4096], *text = audit_read(name);
        bool there = strstr(text, wanted) != NULL;
        free(text);
        if (there)
            break;
        ck_assert_msg(poll(&p, 1, SOON_MS) == 1, "no %s in %s", wanted, name);
        ck_assert_int_gt(read(watch, events, sizeof events), 0);
    }
    close(watch);
}

const char *audit_old_name(int i, char out[static TEMP_PATH_MAX])
{
    int len = i == 0 ? snprintf(out, TEMP_PATH_MAX, "%s", audit_path)
                     : snprintf(out, TEMP_PATH_MAX, "%s.%d", audit_path, i);
    ck_assert_int_lt(len, TEMP_PATH_MAX);
    return out;
}

/* --- every event as its table says ------------------------------------------------------------ */

struct golden {
    const struct audit_table *table;
    unsigned seen[64]; /* of each row */
};

static void check_line(void *arg, const json_t *line)
{
    struct golden *g = arg;
    char names[1024] = "";
    const char *key;
    json_t *value;
    size_t row = 0;
    const char *event = json_string_value(json_object_get(line, "event"));
    while (row < g->table->count && strcmp(g->table->rows[row].name, event) != 0)
        row++;
    ck_assert_msg(row < g->table->count, "no row for %s", event);
    json_object_foreach((json_t *)line, key, value)
    {
        ck_assert(!json_is_null(value));
        if (strcmp(key, "time") != 0 && strcmp(key, "event") != 0)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
                     names[0] != '\0' ? " " : "", key);
    }
    ck_assert_msg(strcmp(names, g->table->rows[row].fields) == 0, "%s has \"%s\", its row \"%s\"",
                  event, names, g->table->rows[row].fields);
    g->seen[row]++;
}

static bool is_field(const char *name, size_t len)
{
    static const char *const names[] = {
#define FIELD(name, type, help) name,
#include "common/audit/audit_fields.def"
#undef FIELD
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
            return true;
    return false;
}

static void check_rows(const struct golden *g)
{
    for (size_t i = 0; i < g->table->count; i++) {
        const struct audit_event_row *row = &g->table->rows[i];
        ck_assert_msg(g->seen[i] > 0, "%s was never written", row->name);
        for (const char *at = row->fields; *at != '\0';) {
            size_t len = strcspn(at, " ");
            ck_assert_msg(is_field(at, len), "%s: field %.*s has no row", row->name, (int)len, at);
            at += len + (at[len] != '\0');
        }
        size_t len = strlen(row->help);
        ck_assert_msg(len > 10 && row->help[len - 1] == '.', "%s: help is no sentence", row->name);
    }
}

void audit_check_golden(struct audit *a, const struct audit_table *table)
{
    struct golden g = {.table = table};
    audit_close(a);
    char *text = audit_read(audit_path);
    audit_each_line(text, check_line, &g);
    free(text);
    check_rows(&g);
}

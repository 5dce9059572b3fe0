#include "tests/support/record_case.h"

#include "common/log/log.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int64_t record_case_now;
char record_case_log[16384];

static int64_t fake_clock(void)
{
    return record_case_now;
}

static void keep_line(void *arg, const char *line)
{
    size_t len = strlen(record_case_log);
    (void)arg;
    snprintf(record_case_log + len, sizeof record_case_log - len, "%s\n", line);
}

void record_case_keep_log(void)
{
    record_case_log[0] = '\0';
    log_capture(keep_line, NULL);
}

bool record_case_said(const char *text)
{
    return strstr(record_case_log, text) != NULL;
}

void record_case_setup(struct record_case *c)
{
    bool memory = access("/dev/shm", W_OK) == 0;
    snprintf(c->dir, sizeof c->dir, "%s/spindle-record-XXXXXX", memory ? "/dev/shm" : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(c->dir));
    snprintf(c->folder, sizeof c->folder, "%s/record", c->dir);
    ck_assert_int_eq(uv_loop_init(&c->loop), 0);
    record_case_now = RECORD_CASE_START;
    c->record = NULL;
    c->opt = (struct store_file_options){.data_dir = c->dir,
                                         .max_records = 1000000,
                                         .keep_s = 24 * 3600,
                                         .wall_s = fake_clock,
                                         .segment_rows = 128};
}

/* True: some files were there. A folder that is changed while it is read may hide some. */
static bool remove_files(const char *folder)
{
    char path[512];
    bool found = false;
    DIR *d = opendir(folder);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        found |= unlink(path) == 0;
    }
    if (d != NULL)
        closedir(d);
    return found;
}

static void remove_folder(const char *folder)
{
    while (remove_files(folder))
        ;
    rmdir(folder);
}

void record_case_teardown(struct record_case *c)
{
    record_case_close(c);
    ck_assert_int_eq(uv_loop_close(&c->loop), 0);
    remove_folder(c->folder);
    ck_assert_int_eq(rmdir(c->dir), 0);
}

err_t record_case_open(struct record_case *c)
{
    c->why = (struct why){0};
    err_t err = store_file_open(&c->loop, &c->opt, &c->store, &c->why);
    if (err != ERR_OK)
        return err;
    struct record_options opt = {.store = c->store, .metrics = c->opt.metrics};
    err = record_open(&c->loop, &opt, &c->record, &c->why);
    if (err != ERR_OK) {
        c->store->kind->close(c->store, NULL, NULL);
        uv_run(&c->loop, UV_RUN_DEFAULT);
    }
    return err;
}

void record_case_must_open(struct record_case *c)
{
    err_t err = record_case_open(c);
    ck_assert_msg(err == ERR_OK, "%s", why_text(&c->why));
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

void record_case_close(struct record_case *c)
{
    bool closed = false;
    if (c->record == NULL)
        return;
    record_close(c->record, on_closed, &closed);
    while (!closed)
        uv_run(&c->loop, UV_RUN_ONCE);
    closed = false;
    c->store->kind->close(c->store, on_closed, &closed);
    uv_run(&c->loop, UV_RUN_DEFAULT);
    ck_assert(closed);
    c->record = NULL;
}

void record_case_reopen(struct record_case *c)
{
    record_case_close(c);
    record_case_must_open(c);
}

struct record_item record_case_item(uint32_t number, uint32_t entries)
{
    static char id[64], entry[32];
    struct record_item item = {.spiffe_id = id,
                               .entry_id = entry,
                               .not_before = record_case_now - 10,
                               .not_after = record_case_now + RECORD_CASE_LIFE,
                               .issued_at = record_case_now,
                               .flags = number % 2 == 0 ? RECORD_RENEWAL : 0};
    snprintf(entry, sizeof entry, "e%u", number % entries);
    snprintf(id, sizeof id, "spiffe://example.org/e%u", number % entries);
    memset(item.serial, 0x41, sizeof item.serial);
    for (int i = 0; i < 4; i++)
        item.serial[i] = (uint8_t)(number >> (8 * (3 - i)));
    memset(item.issuer, (int)(1 + number / 100 % 200), sizeof item.issuer); /* zero: lost */
    return item;
}

err_t record_case_put(struct record_case *c, uint32_t number, uint32_t entries)
{
    struct record_item item = record_case_item(number, entries);
    c->why = (struct why){0};
    return record_issued(c->record, &item, &c->why);
}

void record_case_must_put(struct record_case *c, uint32_t first, uint32_t count, uint32_t entries)
{
    for (uint32_t i = first; i < first + count; i++) {
        err_t err = record_case_put(c, i, entries);
        ck_assert_msg(err == ERR_OK, "%u: %s", i, why_text(&c->why));
    }
}

bool record_case_has(struct record_case *c, uint32_t number, uint32_t entries)
{
    struct record_item want = record_case_item(number, entries), got;
    err_t err = record_find_serial(c->record, want.serial, &got, &c->why);
    if (err == ERR_NOT_FOUND)
        return false;
    ck_assert_msg(err == ERR_OK, "%s", why_text(&c->why));
    ck_assert_mem_eq(got.serial, want.serial, sizeof got.serial);
    ck_assert_mem_eq(got.issuer, want.issuer, sizeof got.issuer);
    ck_assert_str_eq(got.spiffe_id, want.spiffe_id);
    ck_assert_str_eq(got.entry_id, want.entry_id);
    ck_assert_uint_eq(got.flags & ~(unsigned)RECORD_CARRIED, want.flags);
    ck_assert_int_eq(got.not_after - got.not_before, RECORD_CASE_LIFE + 10);
    ck_assert_int_eq(got.issued_at - got.not_before, 10);
    return true;
}

static bool count_one(void *arg, const struct record_item *item)
{
    ck_assert_ptr_nonnull(item);
    ++*(size_t *)arg;
    return true;
}

size_t record_case_count(struct record_case *c, uint32_t entry)
{
    char id[64];
    size_t count = 0;
    snprintf(id, sizeof id, "spiffe://example.org/e%u", entry);
    struct record_query query = {.spiffe_id = id, .now = record_case_now};
    ck_assert_int_eq(record_each_unexpired(c->record, &query, count_one, &count, &c->why), ERR_OK);
    return count;
}

void record_case_path(const struct record_case *c, uint32_t seq, char out[static 128])
{
    snprintf(out, 128, "%s/%08u.seg", c->folder, seq);
}

long record_case_length(const struct record_case *c, uint32_t seq)
{
    char path[128];
    struct stat st;
    record_case_path(c, seq, path);
    return stat(path, &st) == 0 ? (long)st.st_size : -1;
}

void record_case_poke(const struct record_case *c, uint32_t seq, long at, const void *data,
                      size_t len)
{
    char path[128];
    record_case_path(c, seq, path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, data, len, at), (ssize_t)len);
    close(fd);
}

void record_case_truncate(const struct record_case *c, uint32_t seq, long len)
{
    char path[128];
    record_case_path(c, seq, path);
    ck_assert_int_eq(truncate(path, len), 0);
}

/* The audit log: every event is a line of JSON, nothing is lost unsaid, and nobody waits for it. */
#include "common/audit/audit.h"
#include "common/base/clock.h"
#include "common/metric/process_metrics.h"
#include "tests/support/audit_case.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- lines ------------------------------------------------------------------------------------ */

START_TEST(test_an_event_is_one_object_with_its_fields)
{
    struct audit *a = audit_case_open(AUDIT_BIG, 1);
    audit_event(a, "refused", log_str("reason", "no_entry"), log_int("pid", -7),
                log_time("not_after", 0), log_bool("first", true), log_err("err", ERR_IO),
                log_str("nothing", NULL));
    audit_close(a);
    char *text = audit_read(audit_path);
    static const char want[] = "\",\"event\":\"refused\",\"reason\":\"no_entry\",\"pid\":-7,"
                               "\"not_after\":\"1970-01-01T00:00:00Z\",\"first\":true,"
                               "\"err\":\"io\"}\n";
    ck_assert_int_eq(strncmp(text, "{\"time\":\"20", 11), 0);
    ck_assert_str_eq(text + strlen("{\"time\":\"2026-11-21T08:00:00.123Z"), want);
    struct stat st;
    ck_assert_int_eq(stat(audit_path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    free(text);
}
END_TEST

static void check_hostile(void *arg, const json_t *line)
{
    (void)arg;
    const char *id = json_string_value(json_object_get(line, "id"));
    ck_assert_ptr_nonnull(id);
    ck_assert_ptr_nonnull(strstr(id, "\"}\n{\"event\":\"revoked"));
    ck_assert_ptr_null(json_object_get(line, "revoked"));
}

START_TEST(test_what_a_peer_chooses_cannot_make_a_line_of_its_own)
{
    struct audit *a = audit_case_open(AUDIT_BIG, 1);
    audit_event(a, "peer_refused", log_str("id", "\"}\n{\"event\":\"revoked\x01\xff\"\\"));
    audit_close(a);
    char *text = audit_read(audit_path);
    audit_each_line(text, check_hostile, NULL);
    free(text);
}
END_TEST

static void check_long(void *arg, const json_t *line)
{
    int *lines = arg;
    (*lines)++;
    ck_assert_str_eq(json_string_value(json_object_get(line, "first")), "kept");
}

START_TEST(test_a_line_longer_than_its_room_is_cut_and_stays_json)
{
    static char longest[100000];
    static const char bytes[] = {'a', '"', '\n', '\\'};
    struct audit *a = audit_case_open(AUDIT_BIG, 1);
    for (size_t i = 0; i < sizeof bytes; i++) {
        memset(longest, bytes[i], sizeof longest - 1);
        for (int off = 0; off < 40; off++)
            audit_event(a, "cut", log_str("first", "kept"), log_str("x", longest + 97000 - off),
                        log_str("y", longest));
    }
    audit_close(a);
    char *text = audit_read(audit_path);
    int lines = 0;
    audit_each_line(text, check_long, &lines);
    ck_assert_int_eq(lines, 160);
    free(text);
}
END_TEST

START_TEST(test_without_a_log_an_event_is_nothing)
{
    audit_event(NULL, "nothing");
    audit_reopen(NULL);
    audit_close(NULL);
}
END_TEST

START_TEST(test_events_before_the_start_are_written_after_it)
{
    struct audit_options opt = {.path = audit_path, .max_size = AUDIT_BIG, .keep = 1};
    struct audit *a = NULL;
    struct why why = {.err = ERR_OK};
    ck_assert_int_eq(audit_open(&opt, &a, &why), ERR_OK);
    audit_numbers(a, 0, 10);
    ck_assert_int_eq(audit_start(a, &why), ERR_OK);
    audit_close(a);
    char *text = audit_read(audit_path);
    ck_assert_int_eq(audit_tally_text(text).seen, 10);
    free(text);
}
END_TEST

START_TEST(test_a_second_run_goes_on_at_the_end)
{
    struct audit *a = audit_case_open(AUDIT_BIG, 1);
    audit_numbers(a, 0, 5);
    audit_close(a);
    a = audit_case_open(AUDIT_BIG, 1);
    audit_numbers(a, 5, 9);
    audit_close(a);
    char *text = audit_read(audit_path);
    ck_assert_int_eq(audit_tally_text(text).seen, 9);
    free(text);
}
END_TEST

/* --- slow, full, gone ------------------------------------------------------------------------- */

#define METRICS_COMPONENT "test"
#include "common/metric/metrics_table.h"
static const struct metric_family families[] = {
#include "common/metric/metrics.def"
};

/* Everything that a pipe has, until its writer has closed it. */
struct drain {
    int fd;
    char *text;
    size_t len;
};

static void *drain_pipe(void *arg)
{
    struct drain *d = arg;
    size_t cap = 64u << 20;
    d->text = calloc(1, cap);
    ssize_t n = 1;
    while (n > 0 && d->len < cap - 1) {
        n = read(d->fd, d->text + d->len, cap - 1 - d->len);
        d->len += n > 0 ? (size_t)n : 0;
    }
    return NULL;
}

struct lines_of_log {
    pthread_mutex_t lock;
    pthread_cond_t change;
    int failed, recovered, lost;
};

static void count_line(void *arg, const char *line)
{
    struct lines_of_log *c = arg;
    pthread_mutex_lock(&c->lock);
    c->failed += strstr(line, "audit_write_failed") != NULL;
    c->lost += strstr(line, "audit_lost") != NULL;
    c->recovered += strstr(line, "audit_recovered") != NULL;
    pthread_cond_broadcast(&c->change);
    pthread_mutex_unlock(&c->lock);
}

/* Lines of many lengths: a short one must not slip in where a longer one did not fit. */
static void write_unlike(struct audit *a, int from, int to)
{
    char text[900];
    memset(text, 'x', sizeof text);
    for (int i = from; i < to; i++)
        audit_event(a, "number", log_int("n", i),
                    log_slice("text", slice_of(text, (size_t)i * 37 % sizeof text)));
}

/* Until the log takes events again; returns how many it was given. */
static int write_until_taken(struct audit *a, int next)
{
    uint64_t deadline = clock_mono_ns() + UINT64_C(30000000000);
    for (int i = next;; i++) {
        uint64_t lost = audit_lost(a);
        write_unlike(a, i, i + 1);
        if (audit_lost(a) == lost)
            return i + 1;
        ck_assert_uint_lt(clock_mono_ns(), deadline);
        sched_yield();
    }
}

START_TEST(test_a_reader_that_stalls_blocks_nobody_and_what_is_lost_is_told)
{
    enum { EVENTS = 40000 };
    struct metrics *m = NULL;
    struct why why = {.err = ERR_OK};
    struct audit *a = NULL;
    pthread_t thread;
    ck_assert_int_eq(mkfifo(audit_path, 0600), 0);
    ck_assert_int_eq(metrics_new(families, METRIC_COUNT_OF(families), "", &m, &why), ERR_OK);
    struct lines_of_log c = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};
    log_capture(count_line, &c);
    struct audit_options opt = {.path = audit_path, .max_size = 1, .keep = 1, .metrics = m};
    ck_assert_int_eq(audit_open(&opt, &a, &why), ERR_OK);
    ck_assert_int_eq(audit_start(a, &why), ERR_OK);
    struct drain d = {.fd = open(audit_path, O_RDONLY | O_CLOEXEC)};
    ck_assert_int_ge(d.fd, 0);
    write_unlike(a, 0, EVENTS); /* nobody reads: this returns all the same */
    uint64_t lost = audit_lost(a);
    ck_assert_uint_gt(lost, 0);
    ck_assert_uint_lt(lost, EVENTS);
    ck_assert_uint_eq(metric_read(m, M_AUDIT_LOST, 0, 0, 0), lost);
    ck_assert_int_eq(pthread_create(&thread, NULL, drain_pipe, &d), 0);
    int events = write_until_taken(a, EVENTS);
    lost = audit_lost(a);
    audit_close(a);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    struct audit_tally t = audit_tally_text(d.text);
    ck_assert_int_eq(t.lost, (int64_t)lost);
    ck_assert_int_eq(t.seen + t.lost, events);
    ck_assert_int_ge(t.gaps, 1); /* more when the writer comes late */
    log_capture(NULL, NULL);
    ck_assert_int_eq(c.lost, t.gaps);
    close(d.fd);
    free(d.text);
    metrics_free(m);
}
END_TEST

static void keep_line(void *arg, const char *line)
{
    snprintf(arg, 512, "%s", line);
}

START_TEST(test_closing_does_not_wait_for_a_reader_that_never_reads)
{
    static char line[512]; /* the writer may outlive this test */
    uint64_t start = clock_mono_ns();
    ck_assert_int_eq(mkfifo(audit_path, 0600), 0);
    struct audit *a = audit_case_open(1, 1);
    audit_numbers(a, 0, 5000);
    log_capture(keep_line, line);
    audit_close(a);
    log_capture(NULL, NULL);
    ck_assert_uint_lt(clock_mono_ns() - start, UINT64_C(10000000000));
    ck_assert_msg(strstr(line, "audit_lost") != NULL, "%s", line);
}
END_TEST

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

#define OLD_LINES (1 << 20)

/* The limit holds for all files of this process, libcheck's too: ours is the largest by far. */
static void put_old_lines(void)
{
    temp_put(&audit_dir, "audit.log", slice_str(""), 0600);
    int fd = open(audit_path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, "\n", 1, OLD_LINES - 1), 1);
    close(fd);
}

/* A disk that takes no more in the middle of a line: no half line stays, all is there once it has
 * room again, and the log says both, once. */
START_TEST(test_a_full_disk_is_waited_for)
{
    struct lines_of_log c = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};
    log_capture(count_line, &c);
    put_old_lines();
    limit_files(OLD_LINES + AUDIT_NUMBER_LINE * 10 + 40);
    struct audit *a = audit_case_open(AUDIT_BIG, 1);
    audit_numbers(a, 1000, 1030);
    pthread_mutex_lock(&c.lock);
    while (c.failed == 0)
        pthread_cond_wait(&c.change, &c.lock);
    pthread_mutex_unlock(&c.lock);
    char *text = audit_read(audit_path);
    struct audit_tally t = {.next = 1000};
    audit_each_line(text + OLD_LINES, audit_tally_line, &t);
    ck_assert_int_eq(t.seen, 10);
    free(text);
    limit_files(RLIM_INFINITY);
    pthread_mutex_lock(&c.lock);
    while (c.recovered == 0)
        pthread_cond_wait(&c.change, &c.lock);
    pthread_mutex_unlock(&c.lock);
    audit_numbers(a, 1030, 1040);
    audit_close(a);
    log_capture(NULL, NULL);
    ck_assert_int_eq(c.failed, 1);
    ck_assert_int_eq(c.recovered, 1);
    text = audit_read(audit_path);
    t = (struct audit_tally){.next = 1000};
    audit_each_line(text + OLD_LINES, audit_tally_line, &t);
    ck_assert_int_eq(t.next, 1040);
    ck_assert_int_eq(t.lost, 0);
    free(text);
}
END_TEST

/* --- threads ---------------------------------------------------------------------------------- */

enum { THREADS = 8, EACH = 4000 };

static void *write_many(void *arg)
{
    for (int i = 0; i < EACH; i++) {
        audit_event(arg, "number", log_int("n", i));
        if (i % 1000 == 0)
            audit_reopen(arg);
    }
    return NULL;
}

static void count_any(void *arg, const json_t *line)
{
    int64_t *events = arg;
    bool lost = strcmp(json_string_value(json_object_get(line, "event")), "lost") == 0;
    *events += lost ? json_integer_value(json_object_get(line, "count")) : 1;
}

START_TEST(test_every_event_of_many_threads_is_a_line_or_counted)
{
    pthread_t threads[THREADS];
    char name[TEMP_PATH_MAX];
    struct audit *a = audit_case_open(200000, 100);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_many, a), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    audit_close(a);
    int64_t events = 0;
    for (int i = 0; i <= 100; i++) {
        char *text = audit_read(audit_old_name(i, name));
        ck_assert_int_le((int64_t)strlen(text), 200000);
        audit_each_line(text, count_any, &events);
        free(text);
    }
    ck_assert_int_eq(events, THREADS * EACH);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("audit");
    TCase *t = tcase_create("audit");
    tcase_add_checked_fixture(t, audit_case_begin, audit_case_end);
    tcase_add_test(t, test_an_event_is_one_object_with_its_fields);
    tcase_add_test(t, test_what_a_peer_chooses_cannot_make_a_line_of_its_own);
    tcase_add_test(t, test_a_line_longer_than_its_room_is_cut_and_stays_json);
    tcase_add_test(t, test_without_a_log_an_event_is_nothing);
    tcase_add_test(t, test_events_before_the_start_are_written_after_it);
    tcase_add_test(t, test_a_second_run_goes_on_at_the_end);
    tcase_add_test(t, test_a_reader_that_stalls_blocks_nobody_and_what_is_lost_is_told);
    tcase_add_test(t, test_a_full_disk_is_waited_for);
    tcase_add_test(t, test_every_event_of_many_threads_is_a_line_or_counted);
    tcase_add_test(t, test_closing_does_not_wait_for_a_reader_that_never_reads);
    suite_add_tcase(s, t);
    return run_suite(s);
}

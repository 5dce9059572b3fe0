/* One writer that never rests and eight readers who know which answers can be right: in threads
 * that share the writer's own mapping (there the thread sanitizer sees every access), in threads
 * and processes that are handed each new table, and with a writer that is killed in the middle. */
#include "tests/support/revocation_rule.h"
#include "tests/support/runner.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define READERS 8

static struct rule_shared *shared;
static struct rule_writer w;
static struct rule_reader readers[READERS];
static struct rule_options opt;

static void setup(void)
{
    shared = rule_shared_new();
}

static void teardown(void)
{
    rule_shared_free(shared);
}

static void start(size_t capacity, uint64_t issuers, size_t count)
{
    int sockets[RULE_READERS_MAX];
    opt = (struct rule_options){.capacity = capacity,
                                .fixed = 1000,
                                .window = 2000,
                                .per_issuer = 32,
                                .issuers = issuers,
                                .readers = count};
    rule_writer_open(&w, shared, &opt, sockets);
    for (size_t i = 0; i < count; i++) {
        memset(&readers[i], 0, sizeof readers[i]);
        readers[i].shared = shared;
        readers[i].opt = &opt;
        readers[i].number = readers[i].random = i;
        readers[i].socket = sockets[i];
    }
}

/* No answer was wrong, and each reader had some. */
static void finish(size_t count)
{
    ck_assert_uint_eq(rule_sum(shared->wrong), 0);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_gt(atomic_load(&shared->asked[i]), 0);
    for (size_t i = 0; i < count; i++)
        rule_reader_close(&readers[i]);
    rule_writer_close(&w);
}

static void *run(void *arg)
{
    rule_reader_run(arg);
    return NULL;
}

/* Until so many changes were made and every reader has looked at some of them; never so many that
 * the table of the first test would fill. */
static void write_for(uint64_t changes)
{
    bool all_asked = false;
    while (w.changes < changes || !all_asked) {
        if (w.changes < changes * 6)
            rule_writer_step(&w);
        else
            sched_yield();
        all_asked = true;
        for (size_t i = 0; i < READERS; i++)
            all_asked &= atomic_load(&shared->asked[i]) > 5000;
    }
    atomic_store(&shared->stop, true);
}

static void run_threads(uint64_t changes)
{
    pthread_t threads[READERS];
    for (size_t i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run, &readers[i]), 0);
    write_for(changes);
    for (size_t i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
}

/* Whether accesses are ordered is visible only where reader and writer use the same addresses. The
 * table is too large to be replaced meanwhile. */
START_TEST(test_threads_on_the_writers_mapping_see_only_what_was_written)
{
    struct why why;
    start(1 << 18, 40, READERS);
    uint64_t tables = atomic_load(&shared->tables);
    for (size_t i = 0; i < READERS; i++) {
        close(readers[i].socket);
        readers[i].socket = -1;
        ck_assert_int_eq(revocation_view_of(revocation_writer_map(w.cache)->header,
                                            revocation_writer_bytes(w.cache), &readers[i].view,
                                            &why),
                         ERR_OK);
    }
    run_threads(20000);
    ck_assert_uint_eq(atomic_load(&shared->tables), tables);
    finish(READERS);
}
END_TEST

START_TEST(test_threads_follow_each_new_table)
{
    start(0, UINT64_MAX, READERS);
    run_threads(20000);
    ck_assert_uint_gt(atomic_load(&shared->tables), 3);
    finish(READERS);
}
END_TEST

START_TEST(test_processes_follow_each_new_table)
{
    pid_t children[READERS];
    start(0, UINT64_MAX, READERS);
    for (size_t i = 0; i < READERS; i++) {
        children[i] = fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0) {
            rule_reader_run(&readers[i]);
            _exit(0);
        }
    }
    write_for(20000);
    for (size_t i = 0; i < READERS; i++) {
        int status;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_uint_gt(atomic_load(&shared->tables), 3);
    finish(READERS);
}
END_TEST

static pid_t start_writer(void)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        for (;;)
            rule_writer_step(&w);
    }
    return pid;
}

/* The writer dies after some more of our look-ups each time: wherever it was, what it had told
 * stands. */
START_TEST(test_a_writer_killed_anywhere_leaves_right_answers)
{
    for (int round = 0; round < 20; round++) {
        start(round % 2 ? 0 : 1 << 14, UINT64_MAX, 1);
        pid_t pid = start_writer();
        uint64_t begun = atomic_load(&shared->high);
        while (atomic_load(&shared->high) < begun + 100 + 37 * (uint64_t)round)
            rule_reader_step(&readers[0]);
        kill(pid, SIGKILL);
        rule_reader_step(&readers[0]);
        waitpid(pid, NULL, 0);
        for (int i = 0; i < 100; i++)
            rule_reader_step(&readers[0]);
        finish(1);
        rule_shared_free(shared);
        shared = rule_shared_new();
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("revocation_race");
    TCase *tc = tcase_create("revocation_race");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_threads_on_the_writers_mapping_see_only_what_was_written);
    tcase_add_test(tc, test_threads_follow_each_new_table);
    tcase_add_test(tc, test_processes_follow_each_new_table);
    tcase_add_test(tc, test_a_writer_killed_anywhere_leaves_right_answers);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

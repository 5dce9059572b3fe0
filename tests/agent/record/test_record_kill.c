/* kill -9 at random moments: no certificate that was answered for is lost, and none is there that
 * was never issued. RECORD_ROUNDS=200 for more rounds than the few of every build. */
#include "common/base/rand.h"
#include "common/log/log.h"
#include "tests/support/record_case.h"
#include "tests/support/runner.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 10, ENTRIES = 50, ALIVE_US_MAX = 30000 };

static struct record_case c;
static unsigned damaged;

static void note_line(void *arg, const char *line)
{
    (void)arg;
    damaged += strstr(line, "record_damaged") != NULL;
}

static void setup(void)
{
    damaged = 0;
    log_capture(note_line, NULL);
    record_case_setup(&c);
    c.opt.max_records = 3000; /* segments come and go, and rows are carried forward */
    c.opt.segment_rows = 512;
}

static void teardown(void)
{
    record_case_teardown(&c);
    log_capture(NULL, NULL);
}

/* Issues from `first` on, and says each number once it is recorded; until it is killed. The time
 * goes on so that what is old expires. */
static void issue_for_ever(uint32_t first, int out)
{
    if (uv_loop_fork(&c.loop) != 0 || record_case_open(&c) != ERR_OK)
        abort();
    for (uint32_t i = first;; i++) {
        record_case_now = RECORD_CASE_START + 2 * (int64_t)i; /* 1,800 are valid at a time */
        if (record_case_put(&c, i, ENTRIES) != ERR_OK || write(out, &i, sizeof i) != sizeof i)
            abort();
        uv_run(&c.loop, UV_RUN_NOWAIT); /* syncs go on */
    }
}

/* The number behind the last one that was answered for. */
static uint32_t run_and_kill(uint32_t first)
{
    int ends[2];
    uint32_t next = first, number;
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(ends[0]);
        issue_for_ever(first, ends[1]);
    }
    close(ends[1]);
    struct pollfd ready = {.fd = ends[0], .events = POLLIN};
    ck_assert_int_eq(poll(&ready, 1, 20000), 1); /* it has begun */
    struct timespec wait = {.tv_nsec = (long)rand_below(ALIVE_US_MAX) * 1000};
    ck_assert_int_eq(ppoll(NULL, 0, &wait, NULL), 0);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    for (ssize_t n; (n = read(ends[0], &number, sizeof number)) > 0; next = number + 1)
        ck_assert_int_eq(n, sizeof number);
    close(ends[0]);
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return next;
}

static bool check_item(void *arg, const struct record_item *item)
{
    uint32_t number = 0, *highest = arg;
    for (int i = 0; i < 4; i++)
        number = number << 8 | item->serial[i];
    record_case_now = RECORD_CASE_START + 2 * (int64_t)number;
    struct record_item want = record_case_item(number, ENTRIES);
    ck_assert_mem_eq(item->serial, want.serial, sizeof want.serial);
    ck_assert_mem_eq(item->issuer, want.issuer, sizeof want.issuer);
    ck_assert_str_eq(item->spiffe_id, want.spiffe_id);
    ck_assert_str_eq(item->entry_id, want.entry_id);
    ck_assert_int_eq(item->not_after, want.not_after);
    *highest = number > *highest ? number : *highest;
    return true;
}

START_TEST(test_nothing_answered_for_is_lost_by_kill)
{
    const char *more = getenv("RECORD_ROUNDS");
    int rounds = more != NULL ? (int)strtol(more, NULL, 10) : ROUNDS;
    uint32_t next = 0;
    for (int round = 0; round < rounds; round++) {
        struct record_search search = {.limit = SIZE_MAX};
        uint64_t from = 0;
        uint32_t highest = 0, answered = run_and_kill(next);
        record_case_must_open(&c);
        for (uint32_t i = answered > 1500 ? answered - 1500 : 0; i < answered; i++) {
            record_case_now = RECORD_CASE_START + 2 * (int64_t)i;
            ck_assert_msg(record_case_has(&c, i, ENTRIES), "round %d: %u of %u", round, i,
                          answered);
        }
        do {
            search.from = from;
            ck_assert_int_eq(record_search(c.record, &search, check_item, &highest, &from, &c.why),
                             ERR_OK);
        } while (from != 0);
        ck_assert_uint_le(highest, answered); /* one may have been written and not told */
        record_case_close(&c);
        next = highest + 1;
    }
    ck_assert_uint_eq(damaged, 0);
    if (more != NULL)
        printf("%d rounds, %u certificates\n", rounds, next);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("record_kill");
    TCase *t = tcase_create("record_kill");
    tcase_set_timeout(t, 600);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_nothing_answered_for_is_lost_by_kill);
    suite_add_tcase(s, t);
    return run_suite(s);
}

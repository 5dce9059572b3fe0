/* The embedded authority on a loop: renewals are written by the thread pool, and who asks while the
 * issuer cannot sign waits for one. */
#include "agent/authority/authority_self.h"
#include "agent/authority/ca.h"
#include "common/crypto/key.h"
#include "common/log/log.h"
#include "tests/support/authority_case.h"
#include "tests/support/runner.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

enum { DAY = 24 * 3600, HOUR = 3600 };
static const int64_t START = 1800000000;

int __real_fsync(int fd);
int __wrap_fsync(int fd);

static int64_t now;
static uv_loop_t loop;
static struct authority_case c; /* its folder alone */
static struct authority_self *self;
static struct authority a;
static struct key *key;
static pthread_t loop_thread;
static unsigned syncs_on_loop, syncs_elsewhere, renewed, answers;
static bool disk_fails;
static err_t last_err;
static int64_t last_not_after;

int __wrap_fsync(int fd)
{
    if (pthread_equal(pthread_self(), loop_thread))
        syncs_on_loop++;
    else
        syncs_elsewhere++;
    if (!disk_fails)
        return __real_fsync(fd);
    errno = EIO;
    return -1;
}

static int64_t fake_clock(void)
{
    return now;
}

static void on_renewed(void *arg)
{
    (void)arg;
    renewed++;
}

static void on_signed(struct authority_job *job, err_t err, const struct authority_answer *answer,
                      const struct why *why)
{
    (void)job;
    (void)why;
    ck_assert((err == ERR_OK) == (answer != NULL));
    answers++;
    last_err = err;
    last_not_after = answer != NULL ? answer->not_after : 0;
}

static struct authority_job ask(void)
{
    return (struct authority_job){.done = on_signed,
                                  .request = {.spiffe_id = "spiffe://example.org/web",
                                              .spki = key_spki(key),
                                              .now = now,
                                              .ttl_s = HOUR}};
}

static void drop_line(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

static void setup(void)
{
    authority_case_setup(&c);
    log_capture(drop_line, NULL);
    now = START;
    disk_fails = false; /* the test before may have left it so, where none is forked */
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(key_generate(KEY_EC_P256, &key, NULL), ERR_OK);
    const struct authority_self_options opt = {.data_dir = c.base,
                                               .trust_domain = "example.org",
                                               .ttl_s = DAY,
                                               .events = {.on_renewed = on_renewed},
                                               .wall_s = fake_clock};
    ck_assert_int_eq(authority_self_open(&loop, &opt, &self, &a, NULL), ERR_OK);
    loop_thread = pthread_self();
    syncs_on_loop = syncs_elsewhere = renewed = answers = 0;
}

static void teardown(void)
{
    authority_self_close(self, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    key_free(key);
    authority_case_teardown(&c);
    log_capture(NULL, NULL);
}

static void run_until_answered(unsigned count)
{
    while (answers < count)
        uv_run(&loop, UV_RUN_ONCE);
}

START_TEST(test_who_asks_a_good_issuer_is_answered_at_once)
{
    struct authority_job job = ask();
    a.sign(a.self, &job);
    ck_assert_uint_eq(answers, 1);
    ck_assert_int_eq(last_not_after, START + HOUR);
}
END_TEST

static const int64_t jumps[] = {30 * HOUR, 3 * DAY, -HOUR};

/* AG-15: nobody goes without because the clock jumped. */
START_TEST(test_who_asks_when_the_clock_has_left_the_issuer_waits_for_the_next_one)
{
    char path[128];
    struct stat st;
    now += jumps[_i];
    struct authority_job first = ask(), second = ask(), canceled = ask();
    a.sign(a.self, &first);
    a.sign(a.self, &canceled);
    a.sign(a.self, &second);
    a.cancel(a.self, &canceled);
    ck_assert_uint_eq(answers, 0);
    ck_assert_int_eq(a.times(a.self).issuer_not_after, START + DAY); /* until it is on the disk */
    run_until_answered(2);
    ck_assert_uint_eq(answers, 2);
    ck_assert_int_eq(last_err, ERR_OK);
    ck_assert_int_eq(last_not_after, now + HOUR);
    ck_assert_int_eq(a.times(a.self).issuer_not_after, now + DAY);
    ck_assert_uint_eq(renewed, 1);
    ck_assert_uint_eq(syncs_on_loop, 0);
    ck_assert_uint_eq(syncs_elsewhere, 2); /* the file, the folder */
    authority_case_path(&c, "issuer", path);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
}
END_TEST

START_TEST(test_a_renewal_that_cannot_be_written_keeps_the_old_issuer_and_waits_to_try_again)
{
    now += 30 * HOUR;
    disk_fails = true;
    struct authority_job job = ask();
    a.sign(a.self, &job);
    run_until_answered(1);
    ck_assert_int_eq(last_err, ERR_SIGNER);
    ck_assert_int_eq(a.times(a.self).issuer_not_after, START + DAY);
    ck_assert_uint_eq(renewed, 0);
    unsigned tries = syncs_elsewhere;
    a.sign(a.self, &job); /* moments later: no try for everyone who asks */
    ck_assert_uint_eq(answers, 2);
    ck_assert_int_eq(last_err, ERR_SIGNER);
    ck_assert_uint_eq(syncs_elsewhere, tries);
    ck_assert_uint_eq(syncs_on_loop, 0);
    authority_case_must_open(&c, START); /* what is on the disk is the old one */
    ck_assert_int_eq(ca_times(c.ca).issuer_not_after, START + DAY);
}
END_TEST

static void on_signed_late(struct authority_job *job, err_t err,
                           const struct authority_answer *answer, const struct why *why)
{
    on_signed(job, err, answer, why);
    now += 3 * DAY; /* the new issuer is past, too */
    *job = ask();
    a.sign(a.self, job);
}

/* The next one is already being written when the first one's end is told. */
START_TEST(test_a_renewal_that_begins_while_another_ends_is_announced_at_its_own_end)
{
    now += 3 * DAY;
    struct authority_job job = ask();
    job.done = on_signed_late;
    a.sign(a.self, &job);
    run_until_answered(1);
    ck_assert_uint_eq(renewed, 0);
    run_until_answered(2);
    ck_assert_uint_eq(renewed, 1);
    ck_assert_int_eq(last_err, ERR_OK);
    ck_assert_int_eq(last_not_after, now + HOUR);
}
END_TEST

START_TEST(test_a_close_waits_for_the_renewal_under_way)
{
    now += DAY;
    struct authority_job job = ask();
    a.sign(a.self, &job);
    a.cancel(a.self, &job);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("authority_self");
    TCase *t = tcase_create("authority_self");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_who_asks_a_good_issuer_is_answered_at_once);
    tcase_add_loop_test(t, test_who_asks_when_the_clock_has_left_the_issuer_waits_for_the_next_one,
                        0, sizeof jumps / sizeof jumps[0]);
    tcase_add_test(
        t, test_a_renewal_that_cannot_be_written_keeps_the_old_issuer_and_waits_to_try_again);
    tcase_add_test(t, test_a_renewal_that_begins_while_another_ends_is_announced_at_its_own_end);
    tcase_add_test(t, test_a_close_waits_for_the_renewal_under_way);
    suite_add_tcase(s, t);
    return run_suite(s);
}

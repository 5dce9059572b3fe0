/* A minter whose authority answers later: what is served meanwhile, and what ends the wait. */
#include "agent/svid/minter.h"
#include "common/log/log.h"
#include "tests/support/authority_case.h"
#include "tests/support/runner.h"

static const int64_t START = 1800000000;
enum { HOUR = 3600, JOBS_MAX = 4 };

static int64_t now_s;
static uv_loop_t loop;
static struct authority_case c;
static struct authority later;
static struct authority_job *jobs[JOBS_MAX]; /* not answered yet; NULL: no job */
static bool is_prompt;                       /* the authority answers at once */
static bool has_many;                        /* entries, not "a" alone */
static unsigned asked, canceled, changes, issued, lines;
static struct svid *told; /* borrowed */
static struct minter *m;
static err_t verdict;
static char web_id[] = "spiffe://example.org/web", db_id[] = "spiffe://example.org/db", none[] = "";
static char id[] = "a";
static struct entry web = {.id = id, .spiffe_id = web_id, .hint = none};

static int64_t fake_clock(void)
{
    return now_s * 1000;
}

static void sign(void *self, struct authority_job *job)
{
    (void)self;
    if (is_prompt) {
        c.authority.sign(c.authority.self, job);
        return;
    }
    ck_assert_uint_lt(asked, JOBS_MAX);
    jobs[asked++] = job;
}

static void cancel(void *self, struct authority_job *job)
{
    (void)self;
    canceled++;
    for (size_t i = 0; i < asked; i++)
        jobs[i] = jobs[i] == job ? NULL : jobs[i];
}

/* The one asked for last of those not answered. */
static void answer(bool is_good)
{
    size_t last = asked;
    struct why why = {0};
    while (last > 0 && jobs[last - 1] == NULL)
        last--;
    ck_assert_uint_gt(last, 0);
    struct authority_job *job = jobs[last - 1];
    jobs[last - 1] = NULL;
    if (is_good)
        c.authority.sign(c.authority.self, job);
    else
        job->done(job, why_set(&why, ERR_SIGNER, "not now"), NULL, &why);
}

static void on_change(void *arg, const char *entry_id, struct svid *svid)
{
    (void)arg;
    if (!has_many)
        ck_assert_str_eq(entry_id, "a");
    changes++;
    told = svid;
}

static err_t may_issue(void *arg, const struct entry *e, struct why *why)
{
    (void)arg;
    (void)e;
    return verdict == ERR_OK ? ERR_OK : why_set(why, verdict, "held");
}

static err_t on_issued(void *arg, const struct svid *svid, enum svid_why because, struct why *why)
{
    (void)arg;
    (void)svid;
    (void)because;
    (void)why;
    issued++;
    return ERR_OK;
}

static void count_line(void *arg, const char *line)
{
    (void)arg;
    lines += strstr(line, "svid_renewal_failed") != NULL && strstr(line, "entries=2") != NULL;
}

static void setup(void)
{
    authority_case_setup(&c);
    now_s = START;
    asked = canceled = changes = issued = lines = 0;
    is_prompt = has_many = false;
    told = NULL;
    verdict = ERR_OK;
    log_capture(count_line, NULL);
    authority_case_must_open(&c, now_s);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    later = c.authority;
    later.sign = sign;
    later.cancel = cancel;
    struct minter_options opt = {.authority = &later,
                                 .x509_ttl_s = HOUR,
                                 .may_issue = may_issue,
                                 .on_issued = on_issued,
                                 .on_change = on_change,
                                 .wall_ms = fake_clock};
    ck_assert_int_eq(minter_open(&loop, &opt, &m, NULL), ERR_OK);
}

static void teardown(void)
{
    minter_close(m, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    authority_case_teardown(&c);
    log_capture(NULL, NULL);
}

static struct renewal {
    struct minter_renewal r;
    unsigned answers;
    err_t err;
    struct why why;
} wish, other_wish;

static void on_renewed(struct minter_renewal *r, err_t err, const struct why *why)
{
    struct renewal *renewal = (struct renewal *)r;
    renewal->answers++;
    renewal->err = err;
    renewal->why = *why;
}

static void renew(struct renewal *renewal)
{
    *renewal = (struct renewal){.r = {.spiffe_id = web_id, .done = on_renewed}};
    minter_renew(m, &renewal->r);
}

static struct svid *acquire(void)
{
    struct svid *s = NULL;
    ck_assert_int_eq(minter_acquire(m, &web, &s, NULL), ERR_OK);
    return s;
}

static struct svid *acquire_and_answer(void)
{
    ck_assert_ptr_null(acquire());
    answer(true);
    ck_assert_ptr_nonnull(told);
    changes = 0;
    return told;
}

START_TEST(test_subscribers_wait_together_for_the_first_one)
{
    ck_assert_ptr_null(acquire());
    ck_assert(minter_is_awaited(m, "a"));
    ck_assert_ptr_null(acquire());
    minter_check(m);
    ck_assert_uint_eq(asked, 1); /* once for both */
    ck_assert_uint_eq(changes, 0);
    answer(true);
    ck_assert_uint_eq(changes, 1);
    ck_assert_ptr_nonnull(told);
    ck_assert(!minter_is_awaited(m, "a"));
    ck_assert_ptr_eq(acquire(), told);
}
END_TEST

START_TEST(test_who_waits_hears_that_there_is_none)
{
    acquire_and_answer();
    minter_release(m, "a");
    ck_assert_ptr_null(acquire());
    answer(false);
    ck_assert_uint_eq(changes, 1);
    ck_assert_ptr_null(told);
    now_s += 2; /* and it is tried again */
    minter_check(m);
    answer(true);
    ck_assert_uint_eq(changes, 2);
    ck_assert_ptr_nonnull(told);
}
END_TEST

START_TEST(test_the_old_one_is_served_while_the_next_is_signed_and_never_past_its_end)
{
    struct svid *first = acquire_and_answer();
    unsigned subscribers = 0;
    now_s = first->renew_at;
    minter_check(m);
    ck_assert_uint_eq(asked, 2);
    ck_assert_ptr_eq(minter_find(m, "a", &subscribers), first);
    now_s = first->not_after - 1;
    minter_check(m);
    ck_assert_uint_eq(changes, 0);
    now_s++;
    minter_check(m);
    ck_assert_uint_eq(changes, 1);
    ck_assert_ptr_null(told);
    minter_check(m);
    ck_assert_uint_eq(changes, 1); /* told once */
    answer(false);
    ck_assert_uint_eq(minter_run_out(m), 1);
    now_s += 61;
    minter_check(m);
    answer(true);
    ck_assert_uint_eq(minter_run_out(m), 0);
    ck_assert_ptr_nonnull(told);
}
END_TEST

/* AG-15: one that the clock has made invalid is not served while another is signed. */
START_TEST(test_a_clock_set_back_takes_what_is_not_valid_yet)
{
    acquire_and_answer();
    now_s -= HOUR;
    minter_check(m);
    ck_assert(minter_is_awaited(m, "a"));
    ck_assert_uint_eq(changes, 1);
    ck_assert_ptr_null(told);
    ck_assert_ptr_null(acquire());
    minter_check(m);
    ck_assert_uint_eq(changes, 1);
    ck_assert_uint_eq(asked, 2);
}
END_TEST

/* What the answer would be for is no more, or is another now. */
START_TEST(test_what_ends_the_wait_cancels_it)
{
    ck_assert_ptr_null(acquire());
    switch (_i) {
    case 0:
        minter_release(m, "a");
        break;
    case 1:
        verdict = ERR_REVOKED;
        minter_holds_changed(m);
        ck_assert(minter_is_held(m, "a"));
        ck_assert_ptr_null(told);
        break;
    case 2: { /* another ID: asked for anew */
        struct entry other = web;
        struct svid *s = NULL;
        other.spiffe_id = db_id;
        ck_assert_int_eq(minter_acquire(m, &other, &s, NULL), ERR_OK);
        ck_assert_uint_eq(asked, 2);
        answer(true);
        ck_assert_str_eq(told->spiffe_id, db_id);
        break;
    }
    }
    ck_assert_uint_eq(canceled, 1);
    ck_assert(!minter_is_awaited(m, "a"));
}
END_TEST

START_TEST(test_a_renewal_that_an_operator_asks_for_is_told_when_it_is_there)
{
    struct svid *first = acquire_and_answer();
    renew(&wish);
    ck_assert_uint_eq(changes, 0);
    ck_assert_uint_eq(wish.answers, 0);
    answer(true);
    ck_assert_uint_eq(changes, 1);
    ck_assert_ptr_ne(told, first);
    uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(wish.answers, 1);
    ck_assert_int_eq(wish.err, ERR_OK);
    ck_assert_uint_eq(wish.r.count, 1);
}
END_TEST

START_TEST(test_an_operator_hears_why_a_renewal_has_failed)
{
    acquire_and_answer();
    renew(&wish);
    renew(&other_wish);
    ck_assert_uint_eq(asked, 2); /* once for both */
    answer(false);
    uv_run(&loop, UV_RUN_NOWAIT);
    for (struct renewal *w = &wish; w != NULL; w = w == &wish ? &other_wish : NULL) {
        ck_assert_uint_eq(w->answers, 1);
        ck_assert_int_eq(w->err, ERR_SIGNER);
        ck_assert_str_eq(why_text(&w->why), "not now");
        ck_assert_uint_eq(w->r.count, 0);
    }
}
END_TEST

/* Both are signed before there is an answer, and what another SPIFFE ID does is no matter. */
START_TEST(test_an_operator_hears_of_all_that_was_meant_at_once)
{
    struct entry more = {.id = (char *)"b", .spiffe_id = web_id, .hint = none};
    struct entry db = {.id = (char *)"c", .spiffe_id = db_id, .hint = none};
    struct svid *s = NULL;
    is_prompt = has_many = true;
    ck_assert_ptr_nonnull(acquire());
    ck_assert_int_eq(minter_acquire(m, &more, &s, NULL), ERR_OK);
    is_prompt = false;
    ck_assert_int_eq(minter_acquire(m, &db, &s, NULL), ERR_OK);
    renew(&wish);
    ck_assert_uint_eq(asked, 3);
    answer(_i == 0);
    uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(wish.answers, 0);
    answer(true);
    uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(wish.answers, 1);
    ck_assert_int_eq(wish.err, _i == 0 ? ERR_OK : ERR_SIGNER);
    ck_assert_uint_eq(wish.r.count, _i == 0 ? 2 : 1);
}
END_TEST

/* What is waited for is no more: it is not said to be renewed. */
START_TEST(test_an_operator_hears_of_a_renewal_that_was_canceled)
{
    static const err_t errors[] = {ERR_NOT_FOUND, ERR_REVOKED, ERR_CANCELED, ERR_CANCELED};
    struct buf report;
    struct entry_set *set = NULL;
    acquire_and_answer();
    renew(&wish);
    switch (_i) {
    case 0:
        minter_release(m, "a");
        break;
    case 1:
        verdict = ERR_REVOKED;
        minter_holds_changed(m);
        break;
    case 2:
        buf_init(&report, 4096);
        ck_assert_int_eq(entries_parse("e",
                                       slice_str("entries: [{id: a, selectors: [\"unix:uid:1\"], "
                                                 "hint: new, "
                                                 "spiffe_id: \"spiffe://example.org/web\"}]\n"),
                                       "example.org", &report, &set, NULL),
                         ERR_OK);
        minter_entries_changed(m, set);
        entries_free(set);
        buf_done(&report);
        break;
    case 3:
        minter_close(m, NULL, NULL);
        break;
    }
    ck_assert_uint_eq(canceled, 1);
    if (_i != 3) /* which answers at once, and would be over then */
        uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(wish.answers, 1);
    ck_assert_int_eq(wish.err, errors[_i]);
    ck_assert_uint_eq(wish.r.count, 0);
}
END_TEST

/* `revoke` has counted its certificates: one that is signed now would be in no row. */
START_TEST(test_what_is_revoked_while_it_is_signed_does_not_leave)
{
    unsigned subscribers = 0;
    ck_assert_ptr_null(acquire());
    verdict = ERR_CANCELED;
    answer(true);
    ck_assert_uint_eq(issued, 0);
    ck_assert_ptr_null(minter_find(m, "a", &subscribers));
    ck_assert_uint_eq(changes, 1); /* who waits hears of it */
    ck_assert_ptr_null(told);
    verdict = ERR_OK; /* the disk was full: nothing was revoked */
    now_s += 2;
    minter_check(m);
    answer(true);
    ck_assert_uint_eq(issued, 1);
    ck_assert_ptr_nonnull(told);
}
END_TEST

START_TEST(test_who_has_an_older_one_hears_of_the_newer_when_the_next_fails)
{
    char *names[] = {(char *)"x.example.org", NULL};
    struct entry named = web;
    struct svid *newer = NULL;
    named.dns_names = names;
    acquire_and_answer();
    is_prompt = true;
    ck_assert_int_eq(minter_acquire(m, &named, &newer, NULL), ERR_OK);
    is_prompt = false;
    renew(&wish);
    ck_assert_uint_eq(changes, 0);
    answer(false);
    ck_assert_uint_eq(changes, 1);
    ck_assert_ptr_eq(told, newer);
}
END_TEST

/* One turn of the loop has no time for all: the others are no good to serve until their turn. */
START_TEST(test_what_is_to_be_replaced_is_awaited_until_its_turn)
{
    enum { MORE = 3 };
    char names[MINTER_BATCH + MORE][8];
    struct svid *s = NULL;
    is_prompt = has_many = true;
    for (size_t i = 0; i < MINTER_BATCH + MORE; i++) {
        snprintf(names[i], sizeof names[i], "n%zu", i);
        struct entry e = {.id = names[i], .spiffe_id = web_id, .hint = none};
        ck_assert_int_eq(minter_acquire(m, &e, &s, NULL), ERR_OK);
        ck_assert(!minter_is_awaited(m, names[i]));
    }
    if (_i == 0) {
        now_s += HOUR;
        minter_check(m);
    } else {
        verdict = ERR_REVOKED;
        minter_holds_changed(m);
    }
    for (size_t turn = 0; turn < 2; turn++, minter_check(m)) {
        size_t awaited = 0;
        for (size_t i = 0; i < MINTER_BATCH + MORE; i++)
            awaited += minter_is_awaited(m, names[i]);
        ck_assert_uint_eq(awaited, turn == 0 ? MORE : 0);
    }
}
END_TEST

START_TEST(test_what_fails_together_is_one_line_of_the_log)
{
    struct entry db = {.id = (char *)"b", .spiffe_id = db_id, .hint = none};
    struct svid *s = NULL;
    has_many = true;
    ck_assert_ptr_null(acquire());
    ck_assert_int_eq(minter_acquire(m, &db, &s, NULL), ERR_OK);
    answer(false);
    answer(false);
    ck_assert_uint_eq(lines, 0);
    uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(lines, 1);
}
END_TEST

START_TEST(test_a_close_cancels_what_is_being_signed)
{
    ck_assert_ptr_null(acquire());
    minter_close(m, NULL, NULL); /* the test's end waits for it */
    ck_assert_uint_eq(canceled, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("minter_signing");
    TCase *t = tcase_create("minter_signing");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_subscribers_wait_together_for_the_first_one);
    tcase_add_test(t, test_who_waits_hears_that_there_is_none);
    tcase_add_test(t, test_the_old_one_is_served_while_the_next_is_signed_and_never_past_its_end);
    tcase_add_test(t, test_a_clock_set_back_takes_what_is_not_valid_yet);
    tcase_add_loop_test(t, test_what_ends_the_wait_cancels_it, 0, 3);
    tcase_add_test(t, test_a_renewal_that_an_operator_asks_for_is_told_when_it_is_there);
    tcase_add_test(t, test_an_operator_hears_why_a_renewal_has_failed);
    tcase_add_loop_test(t, test_an_operator_hears_of_all_that_was_meant_at_once, 0, 2);
    tcase_add_loop_test(t, test_an_operator_hears_of_a_renewal_that_was_canceled, 0, 4);
    tcase_add_test(t, test_what_is_revoked_while_it_is_signed_does_not_leave);
    tcase_add_test(t, test_who_has_an_older_one_hears_of_the_newer_when_the_next_fails);
    tcase_add_loop_test(t, test_what_is_to_be_replaced_is_awaited_until_its_turn, 0, 2);
    tcase_add_test(t, test_what_fails_together_is_one_line_of_the_log);
    tcase_add_test(t, test_a_close_cancels_what_is_being_signed);
    suite_add_tcase(s, t);
    return run_suite(s);
}

/* What callers get while some of their SVIDs are being signed, and how long those that nobody wants
 * are kept: by a clock that nobody sets. */
#include "agent/api/entitlement.h"
#include "tests/support/authority_case.h"
#include "tests/support/runner.h"

static const int64_t START = 1800000000;
enum { HOUR = 3600, ENTRIES = 3, JOBS_MAX = 16 };

int64_t __wrap_clock_wall_s(void);
uint64_t __wrap_clock_mono_ns(void);

static int64_t wall_s;
static uint64_t mono_s;
static uv_loop_t loop;
static struct authority_case c;
static struct minter *m;
static struct entry_set *entries;
static struct entitlements *all;
static struct authority later;
static bool is_late;                         /* the authority answers when it is told to */
static struct authority_job *jobs[JOBS_MAX]; /* not answered yet */
static size_t asked;
static struct entitlement_holder stream;
static size_t pushed[JOBS_MAX], pushes; /* bytes of what the stream was given; 0: refused */

int64_t __wrap_clock_wall_s(void)
{
    return wall_s;
}

uint64_t __wrap_clock_mono_ns(void)
{
    return mono_s * UINT64_C(1000000000);
}

static int64_t wall_ms(void)
{
    return wall_s * 1000;
}

static void sign(void *self, struct authority_job *job)
{
    (void)self;
    if (!is_late) {
        c.authority.sign(c.authority.self, job);
        return;
    }
    ck_assert_uint_lt(asked, JOBS_MAX);
    jobs[asked++] = job;
}

static void cancel(void *self, struct authority_job *job)
{
    (void)self;
    for (size_t i = 0; i < asked; i++)
        jobs[i] = jobs[i] == job ? NULL : jobs[i];
}

static void answer(size_t which, bool is_good)
{
    struct why why = {0};
    ck_assert_ptr_nonnull(jobs[which]);
    if (is_good)
        c.authority.sign(c.authority.self, jobs[which]);
    else
        jobs[which]->done(jobs[which], why_set(&why, ERR_SIGNER, "not now"), NULL, &why);
}

static void turn(void)
{
    uv_run(&loop, UV_RUN_NOWAIT);
    uv_run(&loop, UV_RUN_NOWAIT);
}

static void on_change(void *arg, const char *entry_id, struct svid *svid)
{
    (void)arg;
    entitlements_svid_changed(all, entry_id, svid);
}

static void on_settled(void *arg)
{
    (void)arg;
    entitlements_settled(all);
}

static void push(void *arg, struct entitlement_holder *h)
{
    struct rpc_message *message = NULL;
    (void)arg;
    err_t err = entitlement_svids(h->entitlement, &message, NULL);
    if (err == ERR_OK && message == NULL)
        return;
    ck_assert_uint_lt(pushes, JOBS_MAX);
    pushed[pushes++] = err == ERR_OK ? rpc_message_bytes(message).len : 0;
}

static void setup(void)
{
    struct buf report;
    wall_s = START;
    mono_s = 1000;
    authority_case_setup(&c);
    authority_case_must_open(&c, wall_s);
    wall_s += HOUR * 2; /* it may be set back */
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    later = c.authority;
    later.sign = sign;
    later.cancel = cancel;
    is_late = false;
    asked = pushes = 0;
    struct minter_options minter = {.authority = &later,
                                    .x509_ttl_s = HOUR,
                                    .on_change = on_change,
                                    .on_settled = on_settled,
                                    .wall_ms = wall_ms};
    ck_assert_int_eq(minter_open(&loop, &minter, &m, NULL), ERR_OK);
    struct entitlement_options opt = {
        .minter = m, .authority = &c.authority, .trust_domain = "example.org", .on_change = push};
    ck_assert_int_eq(entitlements_new(&opt, &all, NULL), ERR_OK);
    buf_init(&report, 4096);
    ck_assert_int_eq(entries_parse("e",
                                   slice_str("entries: [{id: a, selectors: [\"unix:uid:1\"], "
                                             "spiffe_id: \"spiffe://example.org/a\"},"
                                             "{id: b, selectors: [\"unix:uid:2\"], "
                                             "spiffe_id: \"spiffe://example.org/b\"},"
                                             "{id: c, selectors: [\"unix:uid:2\"], "
                                             "spiffe_id: \"spiffe://example.org/c\"},"
                                             "{id: d, selectors: [\"unix:uid:2\"], "
                                             "spiffe_id: \"spiffe://example.org/d\"}]\n"),
                                   "example.org", &report, &entries, NULL),
                     ERR_OK);
    buf_done(&report);
    entitlements_set_entries(all, entries);
}

static void teardown(void)
{
    entitlements_free(all);
    minter_close(m, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    entries_free(entries);
    authority_case_teardown(&c);
}

static bool is_kept(void)
{
    unsigned subscribers;
    entitlements_tick(all);
    return minter_find(m, "a", &subscribers) != NULL;
}

static void hold(struct entitlement_holder *h, const char *selector)
{
    struct selector_set selectors;
    selector_set_init(&selectors);
    *h = (struct entitlement_holder){.entitlement = NULL};
    ck_assert_int_eq(selector_set_add(&selectors, selector), ERR_OK);
    ck_assert_int_eq(entitlement_hold(all, &selectors, h, NULL), ERR_OK);
}

static const int64_t jumps[] = {0, -HOUR, HOUR / 4};

START_TEST(test_what_nobody_wants_is_kept_for_a_minute_whatever_the_wall_clock_says)
{
    struct entitlement_holder h;
    struct rpc_message *message = NULL;
    hold(&h, "unix:uid:1");
    ck_assert_int_eq(entitlement_svids(h.entitlement, &message, NULL), ERR_OK);
    ck_assert_ptr_nonnull(message);
    entitlement_leave(&h);
    wall_s += jumps[_i];
    ck_assert(is_kept());
    mono_s += ENTITLEMENT_LINGER_S - 1;
    ck_assert(is_kept());
    mono_s++;
    ck_assert(!is_kept());
}
END_TEST

/* What ends the SVIDs that a stream has while the authority answers late. */
enum ending { RAN_OUT, NOT_VALID_YET, WITHDRAWN, ENDINGS };

static void end_svids(enum ending ending)
{
    unsigned subscribers = 0;
    uint8_t serials[ENTRIES][sizeof((struct svid *)0)->serial];
    static const char *const ids[ENTRIES] = {"b", "c", "d"};
    for (size_t i = 0; i < ENTRIES; i++)
        memcpy(serials[i], minter_find(m, ids[i], &subscribers)->serial, sizeof serials[i]);
    is_late = true;
    wall_s += ending == RAN_OUT ? HOUR : ending == NOT_VALID_YET ? -HOUR : 0;
    for (size_t i = 0; i < ENTRIES && ending == WITHDRAWN; i++)
        minter_discard(m, serials[i]);
    minter_check(m);
}

/* A first message with some of them would be all that who fetches once ever gets. */
START_TEST(test_nothing_is_sent_until_all_that_are_being_signed_are_there)
{
    struct entitlement_holder newcomer;
    size_t whole;
    hold(&stream, "unix:uid:2");
    push(NULL, &stream);
    whole = pushed[0];
    end_svids((enum ending)_i);
    ck_assert_uint_eq(asked, ENTRIES);
    hold(&newcomer, "unix:uid:2");
    push(NULL, &newcomer);
    ck_assert_uint_eq(asked, ENTRIES); /* once for both */
    for (size_t i = 0; i < ENTRIES; i++) {
        ck_assert_uint_eq(pushes, 1);
        answer(i, true);
        turn();
    }
    ck_assert_uint_eq(pushes, 3); /* one for each of the two */
    ck_assert_uint_gt(pushed[1], whole * 9 / 10);
    ck_assert_uint_eq(pushed[2], pushed[1]);
    entitlement_leave(&newcomer);
    entitlement_leave(&stream);
}
END_TEST

START_TEST(test_one_that_could_not_be_signed_is_left_out)
{
    size_t whole;
    hold(&stream, "unix:uid:2");
    push(NULL, &stream);
    whole = pushed[0];
    end_svids((enum ending)_i);
    answer(0, false);
    turn();
    answer(1, true);
    turn();
    ck_assert_uint_eq(pushes, 1);
    answer(2, true);
    turn();
    ck_assert_uint_eq(pushes, 2);
    ck_assert_uint_gt(pushed[1], whole / 2);
    ck_assert_uint_lt(pushed[1], whole * 9 / 10);
    entitlement_leave(&stream);
}
END_TEST

START_TEST(test_who_waits_is_refused_when_none_could_be_signed)
{
    is_late = true;
    hold(&stream, "unix:uid:2");
    push(NULL, &stream);
    for (size_t i = 0; i < ENTRIES; i++) {
        ck_assert_uint_eq(pushes, 0);
        answer(i, false);
        turn();
    }
    ck_assert_uint_eq(pushes, 1);
    ck_assert_uint_eq(pushed[0], 0);
    entitlement_leave(&stream);
}
END_TEST

START_TEST(test_what_is_valid_is_served_while_the_next_is_being_signed)
{
    struct entitlement_holder newcomer;
    hold(&stream, "unix:uid:2");
    push(NULL, &stream);
    is_late = true;
    wall_s += HOUR * 3 / 4;
    minter_check(m);
    ck_assert_uint_eq(asked, ENTRIES);
    hold(&newcomer, "unix:uid:2");
    push(NULL, &newcomer);
    ck_assert_uint_eq(pushes, 2);
    ck_assert_uint_eq(pushed[1], pushed[0]);
    for (size_t i = 0; i < ENTRIES; i++)
        answer(i, true);
    turn();
    ck_assert_uint_eq(pushes, 4); /* once for all that are answered in a turn of the loop */
    entitlement_leave(&newcomer);
    entitlement_leave(&stream);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("entitlement");
    TCase *t = tcase_create("entitlement");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_what_nobody_wants_is_kept_for_a_minute_whatever_the_wall_clock_says,
                        0, sizeof jumps / sizeof jumps[0]);
    tcase_add_loop_test(t, test_nothing_is_sent_until_all_that_are_being_signed_are_there, 0,
                        ENDINGS);
    tcase_add_loop_test(t, test_one_that_could_not_be_signed_is_left_out, 0, ENDINGS);
    tcase_add_test(t, test_who_waits_is_refused_when_none_could_be_signed);
    tcase_add_test(t, test_what_is_valid_is_served_while_the_next_is_being_signed);
    suite_add_tcase(s, t);
    return run_suite(s);
}

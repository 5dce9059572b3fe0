/* A minter that sees a clock jump before anybody else: nobody goes without for that. AG-15 */
#include "agent/svid/minter.h"
#include "tests/support/authority_case.h"
#include "tests/support/runner.h"

static const int64_t START = 1800000000;
enum { DAY = 24 * 3600, HOUR = 3600 };

static int64_t now_s;
static uv_loop_t loop;
static struct authority_case c;
static struct authority authority;
static struct minter *m;
static struct svid *told; /* a reference of ours */
static unsigned asked, changes;

static int64_t fake_clock(void)
{
    return now_s * 1000;
}

static void on_change(void *arg, const char *entry_id, struct svid *svid)
{
    (void)arg;
    (void)entry_id;
    changes++;
    told = svid != NULL ? svid_ref(svid) : NULL;
}

/* An authority that makes another issuer when the clock has left that one's validity. */
static void sign(void *arg, struct authority_job *job)
{
    struct authority_times t = ca_times(c.ca);
    bool renewed = false;
    (void)arg;
    if (now_s < t.issuer_not_before || now_s >= t.issuer_not_after) {
        asked++;
        ck_assert_int_eq(authority_case_tick(&c, now_s, &renewed), ERR_OK);
        ck_assert(renewed);
    }
    c.authority.sign(c.authority.self, job);
}

static void setup(void)
{
    authority_case_setup(&c);
    now_s = START;
    asked = changes = 0;
    told = NULL;
    authority_case_must_open(&c, now_s);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    authority = c.authority;
    authority.sign = sign;
    struct minter_options opt = {
        .authority = &authority, .x509_ttl_s = HOUR, .on_change = on_change, .wall_ms = fake_clock};
    ck_assert_int_eq(minter_open(&loop, &opt, &m, NULL), ERR_OK);
}

static void on_closed(void *arg)
{
    (void)arg;
}

static void teardown(void)
{
    svid_unref(told);
    minter_close(m, on_closed, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    authority_case_teardown(&c);
}

static const int64_t jumps[] = {30 * HOUR, 3 * DAY, -HOUR};

START_TEST(test_an_issuer_that_the_clock_left_is_renewed_before_minting)
{
    struct entry e = {.id = "a", .spiffe_id = "spiffe://example.org/a", .hint = ""};
    struct svid *first = NULL;
    ck_assert_int_eq(minter_acquire(m, &e, &first, NULL), ERR_OK);
    now_s += jumps[_i];
    minter_check(m);
    ck_assert_uint_eq(changes, 1);
    ck_assert_ptr_nonnull(told);
    ck_assert_int_eq(told->issued_at, now_s);
    ck_assert_uint_eq(asked, 1);
    minter_release(m, "a");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("minter_clock");
    TCase *t = tcase_create("clock jumps");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_an_issuer_that_the_clock_left_is_renewed_before_minting, 0, 3);
    suite_add_tcase(s, t);
    return run_suite(s);
}

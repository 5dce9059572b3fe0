/* How long callers' SVIDs are kept when nobody wants them: by a clock that nobody sets. */
#include "agent/api/entitlement.h"
#include "tests/support/authority_case.h"
#include "tests/support/runner.h"

static const int64_t START = 1800000000;
enum { HOUR = 3600 };

int64_t __wrap_clock_wall_s(void);
uint64_t __wrap_clock_mono_ns(void);

static int64_t wall_s;
static uint64_t mono_s;
static uv_loop_t loop;
static struct authority_case c;
static struct minter *m;
static struct entry_set *entries;
static struct entitlements *all;

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

static void on_change(void *arg, const char *entry_id, struct svid *svid)
{
    (void)arg;
    entitlements_svid_changed(all, entry_id, svid);
}

static void setup(void)
{
    struct buf report;
    wall_s = START;
    mono_s = 1000;
    authority_case_setup(&c);
    authority_case_must_open(&c, wall_s);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    struct minter_options minter = {
        .authority = &c.authority, .x509_ttl_s = HOUR, .on_change = on_change, .wall_ms = wall_ms};
    ck_assert_int_eq(minter_open(&loop, &minter, &m, NULL), ERR_OK);
    struct entitlement_options opt = {
        .minter = m, .authority = &c.authority, .trust_domain = "example.org"};
    ck_assert_int_eq(entitlements_new(&opt, &all, NULL), ERR_OK);
    buf_init(&report, 4096);
    ck_assert_int_eq(entries_parse("e",
                                   slice_str("entries: [{id: a, selectors: [\"unix:uid:1\"], "
                                             "spiffe_id: \"spiffe://example.org/a\"}]\n"),
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

static const int64_t jumps[] = {0, -HOUR, HOUR / 4};

START_TEST(test_what_nobody_wants_is_kept_for_a_minute_whatever_the_wall_clock_says)
{
    struct entitlement_holder h = {.entitlement = NULL};
    struct selector_set selectors;
    struct rpc_message *message = NULL;
    selector_set_init(&selectors);
    ck_assert_int_eq(selector_set_add(&selectors, "unix:uid:1"), ERR_OK);
    ck_assert_int_eq(entitlement_hold(all, &selectors, &h, NULL), ERR_OK);
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

int main(void)
{
    Suite *s = suite_create("entitlement");
    TCase *t = tcase_create("entitlement");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_what_nobody_wants_is_kept_for_a_minute_whatever_the_wall_clock_says,
                        0, sizeof jumps / sizeof jumps[0]);
    suite_add_tcase(s, t);
    return run_suite(s);
}

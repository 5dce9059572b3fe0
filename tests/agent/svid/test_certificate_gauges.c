/* What the gauges say of the certificates in use: how many are near their end, and whose. */
#include "agent/svid/certificate_gauges.h"
#include "common/base/mem.h"
#include "common/log/log.h"
#include "common/metric/metric_text.h"
#include "tests/support/authority_case.h"
#include "tests/support/runner.h"

#include <stdio.h>

static const int64_t START = 1800000000;
enum { DAY = 24 * 3600, HOUR = 3600 };

static int64_t now;
static bool may_issue;
static uv_loop_t loop;
static struct authority_case c;
static struct minter *m;
static struct metrics *metrics;

static int64_t fake_clock(void)
{
    return now * 1000;
}

static void on_change(void *arg, const char *entry_id, struct svid *svid)
{
    (void)arg;
    (void)entry_id;
    (void)svid;
}

static err_t on_issued(void *arg, const struct svid *svid, enum svid_why because, struct why *why)
{
    (void)arg;
    (void)svid;
    (void)because;
    return may_issue ? ERR_OK : why_set(why, ERR_RECORD, "not now");
}

static void drop_line(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

static void setup(void)
{
    log_capture(drop_line, NULL);
    authority_case_setup(&c);
    now = START;
    may_issue = true;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(ca_open(c.dir, "example.org", 365 * DAY, &key_store_memory, now, &c.ca, NULL),
                     ERR_OK);
    ck_assert_int_eq(metrics_new(agent_metrics, AGENT_METRIC_COUNT, "", &metrics, NULL), ERR_OK);
    struct minter_options opt = {.authority = &c.authority,
                                 .x509_ttl_s = HOUR,
                                 .on_issued = on_issued,
                                 .on_change = on_change,
                                 .wall_ms = fake_clock};
    ck_assert_int_eq(minter_open(&loop, &opt, &m, NULL), ERR_OK);
}

static void on_closed(void *arg)
{
    (void)arg;
}

static void teardown(void)
{
    minter_close(m, on_closed, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    metrics_free(metrics);
    authority_case_teardown(&c);
    log_capture(NULL, NULL);
}

/* An entry with a subscriber. */
static void use(const char *id, const char *spiffe_id, int64_t ttl)
{
    struct entry e = {
        .id = (char *)id, .spiffe_id = (char *)spiffe_id, .hint = (char *)"", .x509_ttl_s = ttl};
    struct svid *s = NULL;
    ck_assert_int_eq(minter_acquire(m, &e, &s, NULL), ERR_OK);
}

static uint64_t gauge(size_t family, size_t index)
{
    certificate_gauges_set(metrics, m, now);
    return metric_read(metrics, family, index, 0, 0);
}

static void check_text(const char *want, bool is_there)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    certificate_gauges_set_days(metrics, m, now);
    ck_assert_int_eq(metric_text_write(metrics, METRIC_TEXT, &text), ERR_OK);
    ck_assert_int_eq(buf_append(&text, "", 1), ERR_OK);
    ck_assert_msg((strstr((const char *)text.data, want) != NULL) == is_there, "%s", want);
    buf_done(&text);
}

START_TEST(test_certificates_near_their_end_are_counted)
{
    use("hour", "spiffe://example.org/hour", HOUR);
    use("week", "spiffe://example.org/week", 6 * DAY);
    use("month", "spiffe://example.org/month", 29 * DAY);
    use("quarter", "spiffe://example.org/quarter", 90 * DAY);
    ck_assert_uint_eq(gauge(M_CERTIFICATES_EXPIRING_30D, 0), 3);
    ck_assert_uint_eq(gauge(M_CERTIFICATES_EXPIRING_7D, 0), 2);
    ck_assert_uint_eq(gauge(M_CERTIFICATES_EXPIRED, 0), 0);
    minter_release(m, "week"); /* what nobody uses may expire */
    ck_assert_uint_eq(gauge(M_CERTIFICATES_EXPIRING_7D, 0), 1);
}
END_TEST

START_TEST(test_short_ones_are_counted_by_what_is_left_of_their_life)
{
    use("a", "spiffe://example.org/a", HOUR);
    may_issue = false;
    for (int i = 0; i < 4; i++) {
        static const struct {
            int64_t at;
            uint64_t half, quarter, tenth;
        } looks[] = {{0, 0, 0, 0},
                     {HOUR / 2 + 10, 1, 0, 0},
                     {HOUR * 3 / 4 + 10, 1, 1, 0},
                     {HOUR * 9 / 10 + 10, 1, 1, 1}};
        now = START + looks[i].at;
        ck_assert_uint_eq(gauge(M_CERTIFICATES_EXPIRING_LIFE, LIFE_HALF), looks[i].half);
        ck_assert_uint_eq(gauge(M_CERTIFICATES_EXPIRING_LIFE, LIFE_QUARTER), looks[i].quarter);
        ck_assert_uint_eq(gauge(M_CERTIFICATES_EXPIRING_LIFE, LIFE_TENTH), looks[i].tenth);
    }
}
END_TEST

START_TEST(test_what_ran_out_counts_until_it_is_replaced)
{
    use("a", "spiffe://example.org/a", HOUR);
    use("b", "spiffe://example.org/b", 2 * HOUR);
    may_issue = false;
    now = START + HOUR + 1;
    ck_assert_uint_eq(gauge(M_CERTIFICATES_EXPIRED, 0), 1); /* not noticed yet */
    minter_check(m);
    ck_assert_uint_eq(gauge(M_CERTIFICATES_EXPIRED, 0), 1);
    ck_assert_uint_eq(gauge(M_CERTIFICATES_EXPIRING_LIFE, LIFE_TENTH), 0); /* it is not in use */
    may_issue = true;
    minter_retry(m);
    ck_assert_uint_eq(gauge(M_CERTIFICATES_EXPIRED, 0), 0);
    now += 100 * DAY;
    may_issue = false;
    minter_check(m);
    ck_assert_uint_eq(gauge(M_CERTIFICATES_EXPIRED, 0), 2);
    minter_release(m, "a");
    ck_assert_uint_eq(gauge(M_CERTIFICATES_EXPIRED, 0), 1);
}
END_TEST

START_TEST(test_each_service_says_the_days_it_has_left)
{
    use("a1", "spiffe://example.org/a", 4 * DAY);
    use("a2", "spiffe://example.org/a", 2 * DAY);
    use("a3", "spiffe://example.org/a", 3 * DAY);
    use("b", "spiffe://example.org/b", DAY);
    check_text("\ncert_expiry_days{service=\"spiffe://example.org/a\"} 2\n", true);
    check_text("\ncert_expiry_days{service=\"spiffe://example.org/b\"} 1\n", true);
    check_text("service=\"other\"", false);
    now += 12 * HOUR;
    check_text("\ncert_expiry_days{service=\"spiffe://example.org/a\"} 1.5\n", true);
    minter_release(m, "b");
    check_text("example.org/b", false); /* nothing stays of what went */
}
END_TEST

START_TEST(test_services_nearest_to_their_end_have_a_series)
{
    char id[64];
    static char longest[300];
    for (int i = 0; i < 200; i++) { /* in no order */
        int days = (i * 77) % 200 + 1;
        snprintf(id, sizeof id, "spiffe://example.org/s%d", days);
        use(id, id, (int64_t)days * DAY);
    }
    check_text("\ncert_expiry_days{service=\"spiffe://example.org/s1\"} 1\n", true);
    check_text("\ncert_expiry_days{service=\"spiffe://example.org/s63\"} 63\n", true);
    check_text("\ncert_expiry_days{service=\"spiffe://example.org/s64\"}", false);
    check_text("\ncert_expiry_days{service=\"other\"} 64\n", true);
    memset(longest, 'x', sizeof longest - 1); /* longer than a label may be */
    memcpy(longest, "spiffe://example.org/", 21);
    use("longest", longest, DAY / 2);
    check_text("\ncert_expiry_days{service=\"other\"} 0.5\n", true);
    check_text("metrics_series_dropped_total 0\n", true);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("certificate_gauges");
    TCase *t = tcase_create("certificate_gauges");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_certificates_near_their_end_are_counted);
    tcase_add_test(t, test_short_ones_are_counted_by_what_is_left_of_their_life);
    tcase_add_test(t, test_what_ran_out_counts_until_it_is_replaced);
    tcase_add_test(t, test_each_service_says_the_days_it_has_left);
    tcase_add_test(t, test_services_nearest_to_their_end_have_a_series);
    suite_add_tcase(s, t);
    return run_suite(s);
}

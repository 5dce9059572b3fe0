/* Which page a sidecar gets: its own again after a crash, one of its own beside another of its
 * name, none past the bounds. */
#include "agent/share/page_store.h"
#include "agent/telemetry/metrics.h"
#include "common/base/mem.h"
#include "common/metric/metric_page.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WEB "spiffe://example.org/web"
#define API "spiffe://example.org/api"
#define S UINT64_C(1000000000)
enum { MAX = 8 };

static struct metrics *m;
static struct page_store *s;

static void setup(void)
{
    ck_assert_int_eq(metrics_new(agent_metrics, AGENT_METRIC_COUNT, "spindle_", &m, NULL), ERR_OK);
    ck_assert_int_eq(page_store_new(m, MAX, &s, NULL), ERR_OK);
}

static void teardown(void)
{
    page_store_free(s);
    metrics_free(m);
}

static int give(const char *spiffe_id, const char *name)
{
    return page_store_give(s, spiffe_id, name, -1, 0);
}

/* As the agent does after a restart: knows nothing, is offered what the sidecar has. */
static void restart(void)
{
    page_store_free(s);
    ck_assert_int_eq(page_store_new(m, MAX, &s, NULL), ERR_OK);
}

static void check_labels(const char *want)
{
    char all[1024] = "";
    struct page **held = NULL;
    size_t count = 0;
    ck_assert_int_eq(page_store_hold(s, 0, &held, &count, NULL), ERR_OK);
    for (size_t i = 0; i < count; i++) {
        strcat(strcat(all, held[i]->labels), held[i]->users > 0 ? "; " : " gone; ");
        page_unref(held[i]);
    }
    mem_free(held);
    ck_assert_str_eq(all, want);
}

static size_t count_pages(struct page_store *of)
{
    struct page **pages = NULL;
    size_t count = 0;
    ck_assert_int_eq(page_store_hold(of, 0, &pages, &count, NULL), ERR_OK);
    for (size_t i = 0; i < count; i++)
        page_unref(pages[i]);
    mem_free(pages);
    return count;
}

START_TEST(test_the_next_of_its_id_and_name_gets_the_page_again)
{
    int page = give(WEB, "web");
    ck_assert_int_ge(page, 0);
    ck_assert_int_ne(give(WEB, "other"), page);
    ck_assert_int_ne(give(API, "web"), page);
    page_store_left(s, page, 1 * S);
    check_labels("spiffe_id=\"" API "\",name=\"web\"; spiffe_id=\"" WEB
                 "\",name=\"other\"; spiffe_id=\"" WEB "\",name=\"web\" gone; ");
    ck_assert_int_eq(give(WEB, "web"), page);
}
END_TEST

START_TEST(test_two_of_one_name_count_in_two_pages)
{
    int first = give(WEB, "web"), second = give(WEB, "web");
    ck_assert_int_ne(first, second);
    check_labels("spiffe_id=\"" WEB "\",name=\"web\"; spiffe_id=\"" WEB "\",name=\"web#2\"; ");
    page_store_left(s, first, 1 * S);
    ck_assert_int_eq(give(WEB, "web"), first);
    page_store_left(s, second, 1 * S);
    ck_assert_int_eq(give(WEB, "web"), second);
}
END_TEST

/* A name that looks like another's second instance, and names that no label shows. */
START_TEST(test_no_two_pages_have_the_same_labels)
{
    (void)give(WEB, "web");
    (void)give(WEB, "web");
    (void)give(WEB, "web#2");
    (void)give(WEB, "w\xc3\xa9");
    (void)give(API, "w\"\\");
    (void)give(API, "w\n?");
    check_labels("spiffe_id=\"" API "\",name=\"w\\\"\\\\\"; spiffe_id=\"" API
                 "\",name=\"w??\"; spiffe_id=\"" WEB "\",name=\"w??\"; spiffe_id=\"" WEB
                 "\",name=\"web\"; spiffe_id=\"" WEB "\",name=\"web#2\"; spiffe_id=\"" WEB
                 "\",name=\"web?2\"; ");
}
END_TEST

START_TEST(test_a_long_name_is_cut)
{
    char name[300], want[400];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    (void)give(WEB, name);
    (void)give(WEB, name);
    snprintf(want, sizeof want,
             "spiffe_id=\"" WEB "\",name=\"%.128s\"; spiffe_id=\"" WEB "\",name=\"%.128s#2\"; ",
             name, name);
    check_labels(want);
}
END_TEST

START_TEST(test_a_page_that_was_left_an_hour_ago_is_dropped)
{
    int page = give(WEB, "web"), other = give(API, "api");
    page_store_left(s, page, 5 * S);
    (void)page_store_give(s, API, "x", -1, 5 * S + PAGE_STORE_KEEP_NS - 1);
    ck_assert_uint_eq(count_pages(s), 3);
    (void)page_store_give(s, API, "x", -1, 5 * S + PAGE_STORE_KEEP_NS);
    ck_assert_uint_eq(count_pages(s), 3); /* and one more came */
    check_labels("spiffe_id=\"" API "\",name=\"api\"; spiffe_id=\"" API
                 "\",name=\"x\"; spiffe_id=\"" API "\",name=\"x#2\"; ");
    (void)other;
}
END_TEST

START_TEST(test_what_a_sidecar_brings_after_a_restart_is_taken_over)
{
    int page = give(WEB, "web"), second = give(WEB, "web");
    int brought = fcntl(page, F_DUPFD_CLOEXEC, 0),
        brought_second = fcntl(second, F_DUPFD_CLOEXEC, 0);
    restart();
    /* the second one is quicker, and stays the second */
    ck_assert_int_eq(page_store_give(s, WEB, "web", brought_second, 0), brought_second);
    ck_assert_int_eq(page_store_give(s, WEB, "web", brought, 0), brought);
    check_labels("spiffe_id=\"" WEB "\",name=\"web\"; spiffe_id=\"" WEB "\",name=\"web#2\"; ");
}
END_TEST

START_TEST(test_the_page_that_the_agent_knows_is_given_again)
{
    int page = give(WEB, "web");
    int brought = fcntl(page, F_DUPFD_CLOEXEC, 0);
    page_store_left(s, page, 0);
    ck_assert_int_eq(page_store_give(s, WEB, "web", brought, 0), page);
    ck_assert_int_eq(fcntl(brought, F_GETFD), -1); /* closed: it was taken */
    /* under another name or ID it is not believed */
    brought = fcntl(page, F_DUPFD_CLOEXEC, 0);
    ck_assert_int_ne(page_store_give(s, API, "web", brought, 0), page);
    ck_assert_uint_eq(count_pages(s), 2);
}
END_TEST

START_TEST(test_what_is_no_page_is_not_taken_over)
{
    int brought = memfd_create("test", MFD_CLOEXEC);
    int page = page_store_give(s, WEB, "web", brought, 0);
    ck_assert_int_ge(page, 0);
    ck_assert_int_eq(metric_page_check(page, NULL), ERR_OK);
    check_labels("spiffe_id=\"" WEB "\",name=\"web\"; ");
}
END_TEST

START_TEST(test_one_id_gets_half_and_all_get_no_more_than_the_bound)
{
    char name[16];
    for (int i = 0; i < MAX / 2; i++) {
        snprintf(name, sizeof name, "n%d", i);
        ck_assert_int_ge(give(WEB, name), 0);
    }
    ck_assert_int_eq(give(WEB, "more"), -1);
    ck_assert_uint_eq(metric_read(m, M_METRICS_SERIES_DROPPED, 0, 0, 0), 1);
    int api = give(API, "a");
    for (int i = 0; i < MAX / 2 - 1; i++)
        ck_assert_int_ge(give(API, "a"), 0);
    ck_assert_int_eq(give("spiffe://example.org/c", ""), -1);
    ck_assert_uint_eq(count_pages(s), MAX);
    ck_assert_uint_eq(metric_read(m, M_METRICS_SERIES_DROPPED, 0, 0, 0), 2);
    /* one that has gone makes room */
    page_store_left(s, api, 1 * S);
    ck_assert_int_ge(give("spiffe://example.org/c", ""), 0);
    ck_assert_uint_eq(count_pages(s), MAX);
}
END_TEST

START_TEST(test_without_room_for_any_there_is_no_page)
{
    struct page_store *none = NULL;
    int brought = memfd_create("test", MFD_CLOEXEC);
    ck_assert_int_eq(page_store_new(m, 0, &none, NULL), ERR_OK);
    ck_assert_int_eq(page_store_give(none, WEB, "web", -1, 0), -1);
    ck_assert_int_eq(page_store_give(none, WEB, "web", brought, 0), -1);
    ck_assert_int_eq(fcntl(brought, F_GETFD), -1);
    page_store_free(none);
}
END_TEST

START_TEST(test_a_page_that_is_held_outlives_its_place)
{
    struct page **held = NULL;
    size_t count = 0;
    page_store_left(s, give(WEB, "web"), 0);
    ck_assert_int_eq(page_store_hold(s, 0, &held, &count, NULL), ERR_OK);
    ck_assert_uint_eq(count, 1);
    (void)page_store_give(s, API, "x", -1, PAGE_STORE_KEEP_NS);
    check_labels("spiffe_id=\"" API "\",name=\"x\"; ");
    ck_assert_int_eq(metric_page_read(held[0]->fd, held[0]->copy, NULL), ERR_NOT_FOUND);
    page_unref(held[0]);
    mem_free(held);
}
END_TEST

START_TEST(test_without_memory_there_is_no_page_and_nothing_is_lost)
{
    int page = -1;
    for (long n = 0; page < 0; n++) {
        int brought = -1;
        ck_assert_int_eq(metric_page_create(1, &brought, NULL), ERR_OK);
        mem_fail_after(n);
        page = page_store_give(s, WEB, "web", brought, 0);
        bool failed = mem_did_fail() != 0;
        mem_fail_after(-1);
        ck_assert_int_eq(failed, page < 0);
        ck_assert_uint_eq(count_pages(s), page >= 0);
        if (page < 0)
            ck_assert_int_eq(fcntl(brought, F_GETFD), -1);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page_store");
    TCase *t = tcase_create("page_store");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_the_next_of_its_id_and_name_gets_the_page_again);
    tcase_add_test(t, test_two_of_one_name_count_in_two_pages);
    tcase_add_test(t, test_no_two_pages_have_the_same_labels);
    tcase_add_test(t, test_a_long_name_is_cut);
    tcase_add_test(t, test_a_page_that_was_left_an_hour_ago_is_dropped);
    tcase_add_test(t, test_what_a_sidecar_brings_after_a_restart_is_taken_over);
    tcase_add_test(t, test_the_page_that_the_agent_knows_is_given_again);
    tcase_add_test(t, test_what_is_no_page_is_not_taken_over);
    tcase_add_test(t, test_one_id_gets_half_and_all_get_no_more_than_the_bound);
    tcase_add_test(t, test_without_room_for_any_there_is_no_page);
    tcase_add_test(t, test_a_page_that_is_held_outlives_its_place);
    tcase_add_test(t, test_without_memory_there_is_no_page_and_nothing_is_lost);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}

/* Connections by peer: some have a series of their own, the others share one. */
#include "common/base/mem.h"
#include "common/metric/metric_page.h"
#include "common/metric/metric_text.h"
#include "sidecar/telemetry/peer_tally.h"
#include "tests/support/runner.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static struct metrics *m;
static struct peer_tally *t;

static void open_all(void)
{
    ck_assert_int_eq(metrics_new(sidecar_families, SIDECAR_METRIC_COUNT, "", &m, NULL), ERR_OK);
    ck_assert_int_eq(peer_tally_new(m, &t, NULL), ERR_OK);
}

static void close_all(void)
{
    metrics_free(m);
    peer_tally_free(t);
}

static void count(int peer, enum route_direction direction)
{
    char id[64];
    snprintf(id, sizeof id, "spiffe://example.org/p%d", peer);
    peer_tally_count(t, direction, id);
}

static uint64_t count_of(const char *id, enum route_direction direction)
{
    metrics_scrape(m);
    size_t at = id != NULL ? metric_dynamic(m, M_PEERS, id) : METRIC_DYNAMIC_MAX;
    return metric_read(m, M_PEERS, at, direction, 0);
}

START_TEST(test_each_peer_counts_by_direction)
{
    count(1, ROUTE_INBOUND);
    count(1, ROUTE_INBOUND);
    count(1, ROUTE_OUTBOUND);
    count(2, ROUTE_OUTBOUND);
    ck_assert_uint_eq(count_of("spiffe://example.org/p1", ROUTE_INBOUND), 2);
    count(1, ROUTE_INBOUND);
    ck_assert_uint_eq(count_of("spiffe://example.org/p1", ROUTE_INBOUND), 3);
    ck_assert_uint_eq(count_of("spiffe://example.org/p1", ROUTE_OUTBOUND), 1);
    ck_assert_uint_eq(count_of("spiffe://example.org/p2", ROUTE_INBOUND), 0);
    ck_assert_uint_eq(metric_label_values(m, M_PEERS, 0), 2); /* no "other" */
    peer_tally_count(NULL, ROUTE_INBOUND, "spiffe://example.org/p1");
    peer_tally_count(t, ROUTE_INBOUND, NULL);
}
END_TEST

/* Of 10,000 peers, no more than 400 series. */
START_TEST(test_ten_thousand_peers_make_few_series)
{
    struct buf text;
    size_t lines = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 10000; i++)
            count(i, (enum route_direction)(i % 2));
        metrics_scrape(m);
    }
    ck_assert_uint_eq(count_of("spiffe://example.org/p15", ROUTE_OUTBOUND), 2);
    ck_assert_uint_eq(count_of(NULL, ROUTE_INBOUND), 2 * (5000 - PEER_TALLY_MAX / 2));
    ck_assert_uint_eq(count_of(NULL, ROUTE_OUTBOUND), 2 * (5000 - PEER_TALLY_MAX / 2));
    ck_assert_uint_eq(metric_read(m, M_METRICS_SERIES_DROPPED, 0, 0, 0),
                      2 * (10000 - PEER_TALLY_MAX));
    buf_init(&text, METRIC_TEXT_MAX);
    ck_assert_int_eq(metric_text_write(m, METRIC_TEXT, &text), ERR_OK);
    for (size_t i = 1; i + 1 < text.len; i++)
        lines += text.data[i] == '\n' && text.data[i + 1] != '#';
    ck_assert_uint_le(lines, 450);
    buf_done(&text);
}
END_TEST

START_TEST(test_counts_go_on_in_the_page)
{
    struct metrics *copy = NULL;
    int mine = -1;
    ck_assert_int_eq(metric_page_create(1, &mine, NULL), ERR_OK);
    ck_assert_int_eq(metrics_adopt_page(m, dup(mine), NULL), ERR_OK);
    for (int i = 0; i < 40; i++)
        count(i, ROUTE_INBOUND);
    metrics_scrape(m);
    close_all();
    open_all();
    count(3, ROUTE_INBOUND);
    count(50, ROUTE_INBOUND);
    metrics_scrape(m);
    ck_assert_int_eq(metrics_adopt_page(m, dup(mine), NULL), ERR_OK);
    ck_assert_uint_eq(count_of("spiffe://example.org/p3", ROUTE_INBOUND), 2);
    ck_assert_uint_eq(count_of("spiffe://example.org/p4", ROUTE_INBOUND), 1);
    ck_assert_uint_eq(count_of("spiffe://example.org/p50", ROUTE_INBOUND), 1);
    ck_assert_uint_eq(count_of(NULL, ROUTE_INBOUND), 40 - PEER_TALLY_MAX);
    ck_assert_int_eq(metrics_new(sidecar_families, SIDECAR_METRIC_COUNT, "", &copy, NULL), ERR_OK);
    ck_assert_int_eq(metric_page_read(mine, copy, NULL), ERR_OK);
    ck_assert_uint_eq(metric_read(copy, M_PEERS, METRIC_DYNAMIC_MAX, ROUTE_INBOUND, 0),
                      40 - PEER_TALLY_MAX);
    metrics_free(copy);
    close(mine);
}
END_TEST

static void *count_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3000; i++)
        count(i % 20, ROUTE_INBOUND);
    return NULL;
}

START_TEST(test_workers_that_count_together_lose_nothing)
{
    pthread_t thread[3];
    uint64_t sum = 0;
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, count_many, NULL), 0);
    for (size_t i = 0; i < 20; i++)
        metrics_scrape(m);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    metrics_scrape(m);
    for (size_t i = 0; i < PEER_TALLY_MAX; i++)
        sum += metric_read(m, M_PEERS, i, ROUTE_INBOUND, 0);
    ck_assert_uint_eq(sum + count_of(NULL, ROUTE_INBOUND), 9000);
}
END_TEST

START_TEST(test_without_memory_a_peer_is_one_of_the_others)
{
    mem_fail_after(0);
    count(1, ROUTE_INBOUND);
    mem_fail_after(-1);
    count(2, ROUTE_INBOUND);
    ck_assert_uint_eq(count_of(NULL, ROUTE_INBOUND), 1);
    ck_assert_uint_eq(count_of("spiffe://example.org/p2", ROUTE_INBOUND), 1);
    struct peer_tally *none = NULL;
    mem_fail_after(0);
    ck_assert_int_eq(peer_tally_new(m, &none, NULL), ERR_NO_MEMORY);
    mem_fail_after(-1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("peer_tally");
    TCase *c = tcase_create("peer_tally");
    tcase_add_checked_fixture(c, open_all, close_all);
    tcase_add_test(c, test_each_peer_counts_by_direction);
    tcase_add_test(c, test_ten_thousand_peers_make_few_series);
    tcase_add_test(c, test_counts_go_on_in_the_page);
    tcase_add_test(c, test_workers_that_count_together_lose_nothing);
    tcase_add_test(c, test_without_memory_a_peer_is_one_of_the_others);
    suite_add_tcase(s, c);
    return run_suite(s);
}

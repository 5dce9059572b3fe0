/* The record of issuance: what was put is found, after a restart too; what is old goes, what is
 * valid never does. */
#include "common/log/log.h"
#include "tests/support/record_case.h"
#include "tests/support/runner.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct record_case c;

static void setup(void)
{
    record_case_keep_log();
    record_case_setup(&c);
    record_case_must_open(&c);
}

static void teardown(void)
{
    record_case_teardown(&c);
    log_capture(NULL, NULL);
}

START_TEST(test_what_was_put_is_found_by_its_serial)
{
    record_case_must_put(&c, 0, 500, 7);
    for (uint32_t i = 0; i < 500; i++)
        ck_assert(record_case_has(&c, i, 7));
    ck_assert(!record_case_has(&c, 500, 7));
    ck_assert_uint_eq(record_issued_total(c.record), 500);
}
END_TEST

START_TEST(test_what_was_put_is_there_after_a_restart)
{
    record_case_must_put(&c, 0, 500, 7);
    record_case_reopen(&c);
    for (uint32_t i = 0; i < 500; i++)
        ck_assert(record_case_has(&c, i, 7));
    ck_assert_uint_eq(record_issued_total(c.record), 500);
    record_case_must_put(&c, 500, 1, 7);
    record_case_reopen(&c);
    ck_assert(record_case_has(&c, 500, 7));
    ck_assert(record_case_has(&c, 0, 7));
    ck_assert_str_eq(record_case_log, "");
}
END_TEST

struct order {
    uint32_t numbers[64];
    size_t count, stop_at;
};

static bool note(void *arg, const struct record_item *item)
{
    struct order *o = arg;
    ck_assert_uint_lt(o->count, 64);
    o->numbers[o->count++] = (uint32_t)item->serial[2] << 8 | item->serial[3];
    return o->count != o->stop_at;
}

START_TEST(test_unexpired_ones_of_an_identity_come_newest_first)
{
    record_case_must_put(&c, 0, 100, 10);
    record_case_now += RECORD_CASE_LIFE + 1; /* all of them expired */
    record_case_must_put(&c, 100, 200, 10);
    struct record_query query = {.spiffe_id = "spiffe://example.org/e3", .now = record_case_now};
    for (int round = 0; round < 2; round++) {
        struct order order = {0};
        ck_assert_int_eq(record_each_unexpired(c.record, &query, note, &order, &c.why), ERR_OK);
        ck_assert_uint_eq(order.count, 20);
        for (size_t i = 0; i < order.count; i++)
            ck_assert_uint_eq(order.numbers[i], 293 - 10 * i);
        record_case_reopen(&c);
    }
}
END_TEST

START_TEST(test_walk_ends_when_told_to)
{
    struct order order = {.stop_at = 3};
    record_case_must_put(&c, 0, 100, 10);
    struct record_query query = {.entry_id = "e3", .now = record_case_now};
    ck_assert_int_eq(record_each_unexpired(c.record, &query, note, &order, &c.why), ERR_OK);
    ck_assert_uint_eq(order.count, 3);
}
END_TEST

START_TEST(test_entries_of_one_identity_are_told_apart)
{
    struct record_item item = record_case_item(1, 10);
    struct order order = {0};
    record_case_must_put(&c, 1, 1, 10);
    item.entry_id = "other";
    item.serial[3] = 2;
    ck_assert_int_eq(record_issued(c.record, &item, &c.why), ERR_OK);
    ck_assert_uint_eq(record_case_count(&c, 1), 2);
    struct record_query query = {
        .spiffe_id = "spiffe://example.org/e1", .entry_id = "other", .now = record_case_now};
    ck_assert_int_eq(record_each_unexpired(c.record, &query, note, &order, &c.why), ERR_OK);
    ck_assert_uint_eq(order.count, 1);
    ck_assert_uint_eq(order.numbers[0], 2);
    query.spiffe_id = NULL;
    ck_assert_int_eq(record_each_unexpired(c.record, &query, note, &order, &c.why), ERR_OK);
    ck_assert_uint_eq(order.count, 2);
}
END_TEST

static void note_issuer(void *arg, const uint8_t issuer[RECORD_ISSUER_LEN])
{
    for (int i = 1; i < RECORD_ISSUER_LEN; i++)
        ck_assert_uint_eq(issuer[i], issuer[0]);
    *(unsigned *)arg |= 1u << issuer[0];
}

START_TEST(test_each_issuer_is_told)
{
    unsigned issuers = 0;
    record_case_must_put(&c, 0, 500, 7);
    record_each_issuer(c.record, note_issuer, &issuers);
    ck_assert_uint_eq(issuers, 0x3e);
    record_case_reopen(&c);
    issuers = 0;
    record_each_issuer(c.record, note_issuer, &issuers);
    ck_assert_uint_eq(issuers, 0x3e);
}
END_TEST

START_TEST(test_longest_texts_fit)
{
    static char id[2048 + 1], entry[255 + 1];
    struct record_item item = record_case_item(1, 10), got;
    memset(id, 'a', 2048);
    memset(entry, 'b', 255);
    item.spiffe_id = id;
    item.entry_id = entry;
    ck_assert_int_eq(record_issued(c.record, &item, &c.why), ERR_OK);
    record_case_reopen(&c);
    ck_assert_int_eq(record_find_serial(c.record, item.serial, &got, &c.why), ERR_OK);
    ck_assert_str_eq(got.spiffe_id, id);
    ck_assert_str_eq(got.entry_id, entry);
}
END_TEST

START_TEST(test_segments_go_when_all_in_them_expired_long_ago)
{
    record_case_must_put(&c, 0, 500, 7);
    ck_assert_int_gt(record_case_length(&c, 1), 0);
    record_case_now += RECORD_CASE_LIFE + c.opt.keep_s + 1;
    record_case_must_put(&c, 500, 1, 7);
    record_case_reopen(&c); /* looks on its first tick */
    while (record_case_length(&c, 1) >= 0)
        uv_run(&c.loop, UV_RUN_ONCE);
    ck_assert(!record_case_has(&c, 0, 7));
    ck_assert(record_case_has(&c, 500, 7));
    record_case_must_put(&c, 501, 500, 7);
    record_case_reopen(&c);
    for (uint32_t i = 501; i < 1001; i++)
        ck_assert(record_case_has(&c, i, 7));
    ck_assert_uint_eq(record_issued_total(c.record), 1001);
}
END_TEST

START_TEST(test_full_record_forgets_the_expired_and_carries_the_rest_forward)
{
    record_case_close(&c);
    c.opt.max_records = 1000;
    record_case_must_open(&c);
    record_case_must_put(&c, 0, 500, 7);
    record_case_now += RECORD_CASE_LIFE + 1;
    record_case_must_put(&c, 500, 900, 7);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 500; i < 1400; i++)
            ck_assert_msg(record_case_has(&c, i, 7), "%u", i);
        for (uint32_t e = 0, sum = 0; e < 7; e++) {
            sum += (uint32_t)record_case_count(&c, e);
            ck_assert(e < 6 || sum == 900);
        }
        ck_assert(!record_case_has(&c, 0, 7));
        ck_assert_uint_eq(record_issued_total(c.record), 1400);
        record_case_reopen(&c);
    }
}
END_TEST

START_TEST(test_record_full_of_valid_certificates_refuses_more)
{
    record_case_close(&c);
    c.opt.max_records = 1000;
    record_case_must_open(&c);
    record_case_must_put(&c, 0, 1000, 7);
    ck_assert_int_eq(record_case_put(&c, 1000, 7), ERR_RECORD);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "record.max_records"));
    ck_assert_ptr_nonnull(record_problem(c.record));
    ck_assert(record_case_said("record_failed"));
    record_case_now += RECORD_CASE_LIFE + 1;
    record_case_must_put(&c, 1000, 1, 7);
    ck_assert_ptr_null(record_problem(c.record));
    ck_assert(record_case_said("record_recovered"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("record");
    TCase *t = tcase_create("record");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_what_was_put_is_found_by_its_serial);
    tcase_add_test(t, test_what_was_put_is_there_after_a_restart);
    tcase_add_test(t, test_unexpired_ones_of_an_identity_come_newest_first);
    tcase_add_test(t, test_walk_ends_when_told_to);
    tcase_add_test(t, test_entries_of_one_identity_are_told_apart);
    tcase_add_test(t, test_each_issuer_is_told);
    tcase_add_test(t, test_longest_texts_fit);
    tcase_add_test(t, test_segments_go_when_all_in_them_expired_long_ago);
    tcase_add_test(t, test_full_record_forgets_the_expired_and_carries_the_rest_forward);
    tcase_add_test(t, test_record_full_of_valid_certificates_refuses_more);
    suite_add_tcase(s, t);
    return run_suite(s);
}

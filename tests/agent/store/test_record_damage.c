/* The record of issuance when its files are not as they should be: nothing that was answered for is
 * lost, nothing that was cut short is believed. */
#include "agent/store/record_row.h"
#include "common/log/log.h"
#include "tests/support/record_case.h"
#include "tests/support/runner.h"

#include <fcntl.h>
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

/* The first certificate takes four rows: header, identity, issuer, certificate. */
START_TEST(test_tail_torn_at_any_byte_is_cut_off)
{
    record_case_must_put(&c, 0, 3, 1);
    long whole = record_case_length(&c, 1);
    ck_assert_int_eq(whole, 6 * RECORD_ROW_LEN);
    record_case_close(&c);
    for (long len = whole - 1; len >= 0; len--) {
        record_case_keep_log();
        record_case_truncate(&c, 1, len);
        record_case_must_open(&c);
        for (uint32_t i = 0; i < 3; i++)
            ck_assert_int_eq(record_case_has(&c, i, 1), len >= (4 + (long)i) * RECORD_ROW_LEN);
        record_case_close(&c);
        bool was_torn =
            len % RECORD_ROW_LEN != 0 || (len > RECORD_ROW_LEN && len < 4 * RECORD_ROW_LEN);
        ck_assert_msg(record_case_said("record_cut") == was_torn, "%ld: %s", len, record_case_log);
    }
    record_case_must_open(&c); /* nothing is left of it */
    record_case_must_put(&c, 3, 2, 1);
    record_case_reopen(&c);
    ck_assert(record_case_has(&c, 3, 1) && record_case_has(&c, 4, 1) && !record_case_has(&c, 0, 1));
}
END_TEST

START_TEST(test_rubbish_behind_the_last_certificate_is_cut_off)
{
    uint8_t rubbish[5 * RECORD_ROW_LEN + 7];
    record_case_must_put(&c, 0, 3, 1);
    long whole = record_case_length(&c, 1);
    record_case_close(&c);
    memset(rubbish, _i, sizeof rubbish); /* a file system may leave zeros */
    record_case_poke(&c, 1, whole, rubbish, sizeof rubbish);
    record_case_must_open(&c);
    ck_assert(record_case_said("record_cut"));
    ck_assert_int_eq(record_case_length(&c, 1), whole);
    record_case_must_put(&c, 3, 1, 2);
    record_case_reopen(&c);
    ck_assert(record_case_has(&c, 2, 1) && record_case_has(&c, 3, 2));
}
END_TEST

START_TEST(test_bad_row_in_the_middle_costs_that_row_alone)
{
    record_case_must_put(&c, 0, 20, 1);
    record_case_close(&c);
    for (long at = 3 * RECORD_ROW_LEN; at < 4 * RECORD_ROW_LEN; at++) { /* of the first one */
        uint8_t byte = 0;
        char path[128];
        record_case_keep_log();
        record_case_path(&c, 1, path);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
        close(fd);
        record_case_poke(&c, 1, at, &(uint8_t){(uint8_t)(byte ^ 0x10)}, 1);
        record_case_must_open(&c);
        ck_assert(record_case_said("record_damaged") && record_case_said("rows=1") &&
                  !record_case_said("record_cut"));
        for (uint32_t i = 0; i < 20; i++)
            ck_assert_int_eq(record_case_has(&c, i, 1), i != 0);
        record_case_close(&c);
        record_case_poke(&c, 1, at, &byte, 1);
    }
    record_case_must_open(&c);
    ck_assert(record_case_has(&c, 0, 1));
}
END_TEST

/* Row 1 says the identity, row 2 the issuer. */
START_TEST(test_lost_texts_leave_serials_that_can_be_found)
{
    struct record_item want, got;
    record_case_must_put(&c, 0, 20, 1);
    record_case_close(&c);
    record_case_poke(&c, 1, (1 + _i) * RECORD_ROW_LEN + 20, "\xff", 1);
    record_case_must_open(&c);
    ck_assert(record_case_said("record_damaged"));
    for (uint32_t i = 0; i < 20; i++) {
        want = record_case_item(i, 1);
        ck_assert_int_eq(record_find_serial(c.record, want.serial, &got, &c.why), ERR_OK);
        ck_assert_str_eq(got.spiffe_id, _i == 0 ? "" : want.spiffe_id);
        ck_assert_int_eq(got.not_after, want.not_after);
    }
    record_case_must_put(&c, 20, 1, 1);
    record_case_reopen(&c);
    ck_assert(record_case_has(&c, 20, 1));
}
END_TEST

START_TEST(test_damaged_header_costs_no_certificate)
{
    record_case_must_put(&c, 0, 20, 1);
    record_case_close(&c);
    record_case_poke(&c, 1, 3, "\xff\xff", 2);
    record_case_must_open(&c);
    ck_assert(record_case_said("record_damaged"));
    for (uint32_t i = 0; i < 20; i++)
        ck_assert(record_case_has(&c, i, 1));
}
END_TEST

static bool count_one(void *arg, const struct record_item *item)
{
    ck_assert_ptr_nonnull(item);
    ++*(size_t *)arg;
    return true;
}

START_TEST(test_row_that_rots_meanwhile_costs_that_row_alone)
{
    struct record_item item = record_case_item(10, 1), got;
    struct record_search search = {.limit = 1000};
    size_t count = 0;
    uint64_t next = 0;
    record_case_close(&c);
    c.opt.max_records = 1000;
    record_case_must_open(&c);
    record_case_now += RECORD_CASE_LIFE; /* the first ones live longer */
    record_case_must_put(&c, 0, 100, 1);
    record_case_poke(&c, 1, (3 + 10) * RECORD_ROW_LEN + 9, "\xff\xff", 2);
    ck_assert_int_eq(record_find_serial(c.record, item.serial, &got, &c.why), ERR_PARSE);
    ck_assert_int_eq(record_search(c.record, &search, count_one, &count, &next, &c.why), ERR_OK);
    ck_assert_uint_eq(count, 99);
    record_case_now -= RECORD_CASE_LIFE;
    record_case_must_put(&c, 100, 900, 1);
    record_case_now += RECORD_CASE_LIFE + 1;
    record_case_must_put(&c, 1000, 1, 1); /* carries the first ones forward */
    while (record_case_length(&c, 1) >= 0)
        uv_run(&c.loop, UV_RUN_ONCE);
    ck_assert(record_case_said("record_damaged") && record_case_said("rows=1"));
    for (uint32_t i = 0; i < 100; i++)
        ck_assert_int_eq(record_case_has(&c, i, 1), i != 10);
}
END_TEST

START_TEST(test_missing_segment_costs_its_certificates_alone)
{
    char path[128];
    size_t found = 0;
    record_case_must_put(&c, 0, 400, 3);
    record_case_close(&c);
    record_case_path(&c, 2, path);
    ck_assert_int_eq(unlink(path), 0);
    record_case_must_open(&c);
    for (uint32_t i = 0; i < 400; i++)
        found += record_case_has(&c, i, 3);
    ck_assert_uint_gt(found, 200);
    ck_assert_uint_lt(found, 300);
    record_case_must_put(&c, 400, 100, 3);
    ck_assert_uint_eq(record_issued_total(c.record), 500);
    record_case_now += RECORD_CASE_LIFE + c.opt.keep_s + 1; /* the gap goes with the others */
    record_case_reopen(&c);
    while (record_case_length(&c, 1) >= 0)
        uv_run(&c.loop, UV_RUN_ONCE);
}
END_TEST

START_TEST(test_record_of_a_newer_version_is_refused)
{
    uint8_t bytes[RECORD_ROW_LEN];
    struct record_row row = {.kind = RECORD_ROW_HEADER, .number = RECORD_VERSION + 1};
    record_case_must_put(&c, 0, 20, 1);
    record_case_close(&c);
    row.header.segment = 1;
    record_row_encode(&row, bytes);
    record_case_poke(&c, 1, 0, bytes, sizeof bytes);
    ck_assert_int_eq(record_case_open(&c), ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "expected version 1, found 2"));
    ck_assert_int_eq(record_case_length(&c, 1), 23 * RECORD_ROW_LEN);
}
END_TEST

START_TEST(test_folder_that_others_may_write_is_refused)
{
    record_case_close(&c);
    ck_assert_int_eq(chmod(c.folder, 0777), 0);
    ck_assert_int_eq(record_case_open(&c), ERR_FILE_MODE);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "chmod 700"));
    ck_assert_int_eq(chmod(c.folder, 0700), 0);
}
END_TEST

START_TEST(test_segment_that_is_no_file_or_too_long_is_refused)
{
    char path[128];
    record_case_must_put(&c, 0, 1, 1);
    record_case_close(&c);
    record_case_truncate(&c, 1, 128 * RECORD_ROW_LEN + 1);
    ck_assert_int_eq(record_case_open(&c), ERR_IO);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "expected at most 8192"));
    record_case_path(&c, 1, path);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(record_case_open(&c), ERR_IO);
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

START_TEST(test_strange_files_are_left_alone)
{
    static const char *const names[] = {"1.seg", "00000001.seg.bak", "0000000a.seg", "notes"};
    char path[160];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", c.folder, names[i]);
        close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    }
    record_case_must_put(&c, 0, 1, 1);
    record_case_reopen(&c);
    ck_assert(record_case_has(&c, 0, 1));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", c.folder, names[i]);
        ck_assert_int_eq(access(path, F_OK), 0);
    }
    ck_assert_str_eq(record_case_log, "");
}
END_TEST

/* Allocations. */

START_TEST(test_failed_allocations_lose_nothing)
{
    uint32_t put = 0;
    for (long n = 0;; n++) { /* a new identity each time, so that all tables grow */
        mem_fail_after(n % 7);
        err_t err = record_case_put(&c, put, UINT32_MAX);
        bool failed = mem_did_fail() != 0;
        mem_fail_after(-1);
        ck_assert_msg(err == ERR_OK || (failed && err == ERR_RECORD), "%s", why_text(&c.why));
        put += err == ERR_OK;
        if (put == 600)
            break;
        ck_assert_int_lt(n, 100000);
    }
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < put; i++)
            ck_assert(record_case_has(&c, i, UINT32_MAX));
        record_case_reopen(&c);
    }
    ck_assert_uint_eq(record_issued_total(c.record), put);
}
END_TEST

START_TEST(test_failed_allocations_at_open_leave_the_files_alone)
{
    record_case_must_put(&c, 0, 300, 100);
    record_case_close(&c);
    long length = record_case_length(&c, 3);
    for (long n = 0;; n++) {
        mem_fail_after(n);
        err_t err = record_case_open(&c);
        bool failed = mem_did_fail() != 0;
        mem_fail_after(-1);
        ck_assert_int_eq(record_case_length(&c, 3), length);
        if (!failed) {
            ck_assert_int_eq(err, ERR_OK);
            break;
        }
        ck_assert_int_eq(err, ERR_NO_MEMORY);
        ck_assert_ptr_null(c.record);
    }
    for (uint32_t i = 0; i < 300; i++)
        ck_assert(record_case_has(&c, i, 100));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("record_damage");
    TCase *t = tcase_create("files");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_tail_torn_at_any_byte_is_cut_off);
    tcase_add_loop_test(t, test_rubbish_behind_the_last_certificate_is_cut_off, 0, 256);
    tcase_add_test(t, test_bad_row_in_the_middle_costs_that_row_alone);
    tcase_add_loop_test(t, test_lost_texts_leave_serials_that_can_be_found, 0, 2);
    tcase_add_test(t, test_damaged_header_costs_no_certificate);
    tcase_add_test(t, test_row_that_rots_meanwhile_costs_that_row_alone);
    tcase_add_test(t, test_missing_segment_costs_its_certificates_alone);
    tcase_add_test(t, test_record_of_a_newer_version_is_refused);
    tcase_add_test(t, test_folder_that_others_may_write_is_refused);
    tcase_add_test(t, test_segment_that_is_no_file_or_too_long_is_refused);
    tcase_add_test(t, test_strange_files_are_left_alone);
    suite_add_tcase(s, t);
    TCase *memory = tcase_create("memory");
    tcase_add_checked_fixture(memory, setup, teardown);
    tcase_add_test(memory, test_failed_allocations_lose_nothing);
    tcase_add_test(memory, test_failed_allocations_at_open_leave_the_files_alone);
    suite_add_tcase(s, memory);
    return run_suite(s);
}

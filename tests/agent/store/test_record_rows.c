/* Rows of the record whose checksum is right and which say what cannot be: each is counted as
 * damaged, and changes nothing that the others say. */
#include "agent/store/record_row.h"
#include "common/log/log.h"
#include "tests/support/descriptors.h"
#include "tests/support/record_case.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS_MAX = 128, ID_MAX = 2048, ENTRY_MAX = 255 };

static struct record_case c;
static uint32_t seq_now, row_count; /* that rows are written to, and how many it has */

static void setup(void)
{
    record_case_keep_log();
    record_case_setup(&c);
    record_case_must_open(&c);
    record_case_close(&c);
    seq_now = 1;
    row_count = 0;
}

static void teardown(void)
{
    record_case_teardown(&c);
    log_capture(NULL, NULL);
}

static void write_row(const struct record_row *row)
{
    uint8_t bytes[RECORD_ROW_LEN];
    char path[128];
    record_case_path(&c, seq_now, path);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    record_row_encode(row, bytes);
    record_case_poke(&c, seq_now, row_count++ * RECORD_ROW_LEN, bytes, sizeof bytes);
}

static struct record_row header(uint32_t version, uint32_t segment)
{
    struct record_row row = {.kind = RECORD_ROW_HEADER, .number = version};
    row.header.segment = segment;
    row.header.issued_before = 70;
    return row;
}

static struct record_row issuer(uint32_t number, int byte)
{
    struct record_row row = {.kind = RECORD_ROW_ISSUER, .number = number};
    memset(row.key_id, byte, sizeof row.key_id);
    return row;
}

static struct record_row identity(uint32_t number, uint32_t part, size_t id_len, size_t entry_len)
{
    struct record_row row = {.kind = RECORD_ROW_IDENTITY, .number = number};
    row.identity.part = (uint16_t)part;
    row.identity.id_len = (uint16_t)id_len;
    row.identity.entry_len = (uint16_t)entry_len;
    memset(row.identity.text, 'a' + (int)part % 26, sizeof row.identity.text);
    return row;
}

/* Of record_case_item(n, 100), which is entry e<n>. */
static struct record_row identity_of(uint32_t number, uint32_t n)
{
    struct record_item item = record_case_item(n, 100);
    struct record_row row = identity(number, 0, strlen(item.spiffe_id), strlen(item.entry_id));
    memcpy(row.identity.text, item.spiffe_id, row.identity.id_len);
    memcpy(row.identity.text + row.identity.id_len, item.entry_id, row.identity.entry_len);
    return row;
}

static struct record_row issued(uint32_t n, uint32_t name, uint32_t issuer)
{
    struct record_item item = record_case_item(n, 100);
    struct record_row row = {.kind = RECORD_ROW_ISSUED, .number = name, .flags = item.flags};
    row.issued.issuer = issuer;
    row.issued.not_before = item.not_before;
    row.issued.not_after = item.not_after;
    row.issued.issued_at = item.issued_at;
    memcpy(row.issued.serial, item.serial, sizeof row.issued.serial);
    return row;
}

/* Certificates e0 and e1, as the program writes them: five rows and the header. */
static void write_two(void)
{
    struct record_row rows[] = {header(RECORD_VERSION, 1), identity_of(0, 0), issuer(0, 1),
                                issued(0, 0, 0),           identity_of(1, 1), issued(1, 1, 0)};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        write_row(&rows[i]);
}

/* Opens what was written, with certificate e2 behind it, and finds the three as they were put. */
static void must_cost(uint32_t bad)
{
    char said[32];
    struct record_row last[] = {identity_of(2, 2), issued(2, 2, 0)};
    write_row(&last[0]);
    write_row(&last[1]);
    record_case_must_open(&c);
    snprintf(said, sizeof said, " rows=%u", bad);
    ck_assert_msg(bad == 0 || record_case_said(said), "%s", record_case_log);
    ck_assert_msg(record_case_said("record_damaged") == (bad > 0), "%s", record_case_log);
    ck_assert(!record_case_said("record_cut"));
    for (uint32_t n = 0; n < 3; n++)
        ck_assert_msg(record_case_has(&c, n, 100), "certificate %u", n);
}

START_TEST(test_rows_as_we_write_them_are_taken)
{
    write_two();
    must_cost(0);
    ck_assert_uint_eq(record_issued_total(c.record), 73);
}
END_TEST

/* Any row that cannot be, alone among good ones. */
START_TEST(test_a_wrong_row_is_counted_and_changes_nothing)
{
    struct record_row unknown = {.kind = (enum record_row_kind)9}, none = {0};
    struct record_row wrong[] = {
        header(RECORD_VERSION, 1),
        header(RECORD_VERSION + 1, 1),
        issuer(0, 9),
        issuer(ROWS_MAX, 9),
        issuer(UINT32_MAX, 9),
        identity_of(0, 9),
        identity_of(1, 9),
        identity_of(ROWS_MAX, 9),
        identity_of(UINT32_MAX, 9),
        identity(2, 0, ID_MAX + 1, 3),
        identity(2, 0, 3, ENTRY_MAX + 1),
        identity(2, 1, 50, 3),
        identity(2, 1, 30, 3),
        identity(2, 40, 50, 3),
        identity(2, UINT16_MAX, 50, 3),
        issued(9, ROWS_MAX, 0),
        issued(9, 0, ROWS_MAX),
        issued(9, UINT32_MAX, 0),
        issued(9, 0, UINT32_MAX),
        unknown,
        none,
    };
    ck_assert_uint_eq(sizeof wrong / sizeof wrong[0], 21);
    write_two();
    write_row(&wrong[_i]);
    must_cost(1);
    ck_assert(!record_case_has(&c, 9, 100));
    ck_assert_uint_eq(record_issued_total(c.record), 73);
}
END_TEST

/* The second half of a text that is no more the first one's. */
START_TEST(test_halves_that_do_not_belong_together_are_no_text)
{
    struct record_row second[] = {
        identity(3, 1, 50, 3),                        /* another identity */
        identity(2, 1, 51, 3),                        /* another length */
        identity(2, 1, 50, 4), identity(2, 2, 50, 3), /* the half after it */
    };
    struct record_row first = identity(2, 0, 50, 3);
    write_two();
    write_row(&first);
    write_row(&second[_i]);
    must_cost(1);
}
END_TEST

START_TEST(test_halves_with_another_row_between_them_are_no_text)
{
    struct record_row between[] = {issuer(1, 9), issued(3, 1, 0), issuer(0, 9), {0}};
    struct record_row first = identity(2, 0, 50, 3), second = identity(2, 1, 50, 3);
    write_two();
    write_row(&first);
    write_row(&between[_i]);
    write_row(&second);
    must_cost(_i < 2 ? 1 : 2);
    ck_assert_int_eq(record_case_has(&c, 9, 100), false);
}
END_TEST

/* The longest texts that there are, of an identity with the highest number, and of none. */
START_TEST(test_the_longest_texts_are_taken)
{
    struct record_item want = record_case_item(2, 100), got;
    struct record_row last = issued(2, 2, 0);
    uint32_t parts = record_row_parts(ID_MAX, ENTRY_MAX);
    write_two();
    for (uint32_t i = 0; i < parts; i++) {
        struct record_row row = identity(2, i, ID_MAX, ENTRY_MAX);
        write_row(&row);
    }
    write_row(&last);
    record_case_must_open(&c);
    ck_assert_str_eq(record_case_log, "");
    ck_assert_int_eq(record_find_serial(c.record, want.serial, &got, &c.why), ERR_OK);
    ck_assert_uint_eq(strlen(got.spiffe_id), ID_MAX);
    ck_assert_uint_eq(strlen(got.entry_id), ENTRY_MAX);
    for (uint32_t i = 0; i < ID_MAX; i++)
        ck_assert_int_eq(got.spiffe_id[i], 'a' + (int)(i / RECORD_TEXT_PART) % 26);
}
END_TEST

/* Numbers may leave gaps: their rows were lost. Their certificates have no texts then. */
START_TEST(test_the_highest_numbers_are_taken)
{
    static const uint8_t unknown[RECORD_ISSUER_LEN];
    struct record_item want = record_case_item(3, 100), got;
    struct record_row rows[] = {header(RECORD_VERSION, 1), identity_of(ROWS_MAX - 1, 4),
                                issuer(ROWS_MAX - 1, 1), issued(4, ROWS_MAX - 1, ROWS_MAX - 1),
                                issued(3, ROWS_MAX - 2, ROWS_MAX - 2)};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        write_row(&rows[i]);
    record_case_must_open(&c);
    ck_assert_str_eq(record_case_log, "");
    ck_assert(record_case_has(&c, 4, 100));
    ck_assert_int_eq(record_find_serial(c.record, want.serial, &got, &c.why), ERR_OK);
    ck_assert_str_eq(got.spiffe_id, "");
    ck_assert_str_eq(got.entry_id, "");
    ck_assert_mem_eq(got.issuer, unknown, sizeof unknown);
}
END_TEST

START_TEST(test_a_certificate_may_name_what_no_row_says)
{
    struct record_item want = record_case_item(3, 100), got;
    struct record_row rows[] = {header(RECORD_VERSION, 1), issued(3, ROWS_MAX - 1, ROWS_MAX - 1)};
    write_row(&rows[0]);
    write_row(&rows[1]);
    record_case_must_open(&c);
    ck_assert_int_eq(record_find_serial(c.record, want.serial, &got, &c.why), ERR_OK);
    ck_assert_str_eq(got.spiffe_id, "");
    ck_assert_int_eq(got.not_after, want.not_after);
}
END_TEST

START_TEST(test_the_header_of_another_segment_is_no_header)
{
    struct record_row rows[] = {header(RECORD_VERSION + 1, 2), identity_of(0, 0), issuer(0, 1),
                                issued(0, 0, 0)};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        write_row(&rows[i]);
    record_case_must_open(&c);
    ck_assert(record_case_said("record_damaged") && record_case_said(" rows=1"));
    ck_assert(record_case_has(&c, 0, 100));
    ck_assert_uint_eq(record_issued_total(c.record), 1);
}
END_TEST

/* What was carried forward was counted when it was issued. */
START_TEST(test_a_carried_certificate_is_not_issued_again)
{
    struct record_row carried = issued(3, 1, 0);
    carried.flags |= RECORD_CARRIED;
    write_two();
    write_row(&carried);
    must_cost(0);
    ck_assert_uint_eq(record_issued_total(c.record), 73);
}
END_TEST

/* Behind the last certificate there are texts and an issuer: they go with the torn tail, and are
 * written again when they are needed. */
START_TEST(test_texts_that_were_cut_off_are_written_again)
{
    struct record_row tail[] = {identity_of(2, 2), issuer(1, 2), identity_of(3, 3), {0}};
    struct record_item item, got;
    write_two();
    for (size_t i = 0; i < 4; i++)
        write_row(&tail[i]);
    record_case_must_open(&c);
    ck_assert_msg(record_case_said("record_cut") && !record_case_said("record_damaged"), "%s",
                  record_case_log);
    ck_assert_int_eq(record_case_length(&c, 1), 6 * RECORD_ROW_LEN);
    item = record_case_item(2, 100);
    memset(item.issuer, 2, sizeof item.issuer);
    ck_assert_int_eq(record_issued(c.record, &item, &c.why), ERR_OK);
    ck_assert_int_eq(record_case_length(&c, 1), 9 * RECORD_ROW_LEN);
    record_case_must_put(&c, 3, 1, 100);
    ck_assert_int_eq(record_case_length(&c, 1), 11 * RECORD_ROW_LEN);
    record_case_reopen(&c);
    ck_assert(record_case_has(&c, 3, 100));
    ck_assert_int_eq(record_find_serial(c.record, item.serial, &got, &c.why), ERR_OK);
    ck_assert_str_eq(got.spiffe_id, "spiffe://example.org/e2");
    ck_assert_mem_eq(got.issuer, item.issuer, sizeof got.issuer);
}
END_TEST

/* The texts stand in two segments, and in the second one no certificate came behind them. */
START_TEST(test_texts_that_another_segment_has_too_are_written_again_where_they_were_cut)
{
    struct record_row header_2 = header(RECORD_VERSION, 2), again = identity_of(0, 1);
    write_two();
    seq_now = 2;
    row_count = 0;
    write_row(&header_2);
    write_row(&again);
    record_case_must_open(&c);
    ck_assert_int_eq(record_case_length(&c, 2), RECORD_ROW_LEN);
    record_case_must_put(&c, 101, 1, 100); /* of e1, behind the header of segment 2 */
    ck_assert_int_eq(record_case_length(&c, 2), 4 * RECORD_ROW_LEN);
    record_case_reopen(&c);
    for (uint32_t n = 0; n < 2; n++)
        ck_assert(record_case_has(&c, n, 100));
    ck_assert(record_case_has(&c, 101, 100));
    ck_assert_uint_eq(record_case_count(&c, 1), 2);
}
END_TEST

/* Of a folder with many files each is read, in order, and the folder is let go of. */
START_TEST(test_a_folder_of_many_segments_is_read_whole)
{
    enum { MANY = 300 };
    char path[128];
    write_two();
    for (uint32_t seq = MANY - 1; seq > 1; seq--) { /* each empty: a crash may leave one */
        record_case_path(&c, seq, path);
        close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    }
    struct record_row rows[] = {header(RECORD_VERSION, MANY), identity_of(0, 2), issuer(0, 1),
                                issued(2, 0, 0)};
    seq_now = MANY;
    row_count = 0;
    for (size_t i = 0; i < 4; i++)
        write_row(&rows[i]);
    record_case_must_open(&c);
    for (uint32_t n = 0; n < 3; n++)
        ck_assert(record_case_has(&c, n, 100));
    record_case_must_put(&c, 3, 1, 100);
    record_case_close(&c); /* now the thread pool has begun */
    size_t open = open_descriptors();
    record_case_must_open(&c);
    ck_assert_int_eq(record_case_length(&c, MANY), 6 * RECORD_ROW_LEN);
    ck_assert_uint_ge(open_descriptors(), open + MANY);
    record_case_close(&c);
    ck_assert_uint_eq(open_descriptors(), open);
}
END_TEST

/* Numbers with gaps need memory for what lies between. */
START_TEST(test_without_memory_for_lost_rows_the_record_does_not_open)
{
    struct record_row rows[] = {header(RECORD_VERSION, 1), issued(3, ROWS_MAX - 1, ROWS_MAX - 1),
                                identity_of(ROWS_MAX, 4)};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        write_row(&rows[i]);
    for (long n = 0;; n++) {
        mem_fail_after(n);
        err_t err = record_case_open(&c);
        bool failed = mem_did_fail() != 0;
        mem_fail_after(-1);
        ck_assert_int_eq(err, failed ? ERR_NO_MEMORY : ERR_OK);
        if (!failed)
            break;
        ck_assert_int_lt(n, 1000);
    }
}
END_TEST

static void rename_segment(uint32_t from, uint32_t to)
{
    char old[128], new[128];
    record_case_path(&c, from, old);
    record_case_path(&c, to, new);
    ck_assert_int_eq(rename(old, new), 0);
}

START_TEST(test_segments_too_far_apart_are_refused)
{
    char path[128];
    write_two();
    record_case_path(&c, 4097, path); /* 1 to 4097: one too many */
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ck_assert_int_eq(record_case_open(&c), ERR_TOO_LARGE);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "segments 00000001 to 00004097"));
    rename_segment(4097, 4096);
    record_case_must_open(&c);
    ck_assert(record_case_has(&c, 0, 100) && record_case_has(&c, 1, 100));
    ck_assert_uint_eq(record_issued_total(c.record), 72);
    ck_assert_int_eq(record_case_put(&c, 2, 100), ERR_OK); /* into the last one */
    record_case_reopen(&c);
    ck_assert(record_case_has(&c, 2, 100));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("record_rows");
    TCase *t = tcase_create("rows");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_rows_as_we_write_them_are_taken);
    tcase_add_loop_test(t, test_a_wrong_row_is_counted_and_changes_nothing, 0, 21);
    tcase_add_loop_test(t, test_halves_that_do_not_belong_together_are_no_text, 0, 4);
    tcase_add_loop_test(t, test_halves_with_another_row_between_them_are_no_text, 0, 4);
    tcase_add_test(t, test_the_longest_texts_are_taken);
    tcase_add_test(t, test_the_highest_numbers_are_taken);
    tcase_add_test(t, test_a_certificate_may_name_what_no_row_says);
    tcase_add_test(t, test_the_header_of_another_segment_is_no_header);
    tcase_add_test(t, test_a_carried_certificate_is_not_issued_again);
    tcase_add_test(t, test_texts_that_were_cut_off_are_written_again);
    tcase_add_test(t,
                   test_texts_that_another_segment_has_too_are_written_again_where_they_were_cut);
    tcase_add_test(t, test_a_folder_of_many_segments_is_read_whole);
    tcase_add_test(t, test_without_memory_for_lost_rows_the_record_does_not_open);
    tcase_add_test(t, test_segments_too_far_apart_are_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}

/* Records of a peer counted by their headers, and what those without data cost it. */
#include "common/tls/tls_records.h"
#include "tests/support/runner.h"

#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define START (100 * SECOND)

static struct tls_records r;

static void start(void)
{
    tls_records_init(&r, START, false);
    tls_records_start(&r);
}

/* One record of `len` bytes of body, in pieces of `piece` bytes. */
static void record(size_t len, size_t piece)
{
    static uint8_t bytes[5 + 20000];
    memset(bytes, 0x17, sizeof bytes);
    bytes[3] = (uint8_t)(len >> 8);
    bytes[4] = (uint8_t)len;
    for (size_t at = 0; at < len + 5; at += piece)
        tls_records_saw(&r, bytes + at, len + 5 - at < piece ? len + 5 - at : piece);
}

static const size_t lengths[] = {0, 1, 17, 255, 256, 16640};
static const size_t pieces[] = {1, 3, 5, 6, 100, 30000};

START_TEST(test_a_record_is_counted_once_however_it_is_cut)
{
    for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
        start();
        for (int i = 0; i < 3; i++)
            record(lengths[_i], pieces[p]);
        ck_assert_uint_eq(r.records, 3);
        ck_assert_uint_eq(r.whole, 3);
        ck_assert_uint_eq(r.taken, 3 * (lengths[_i] + 5));
    }
}
END_TEST

/* How many records without data go through at `now`. */
static unsigned silent_until_refused(uint64_t now)
{
    unsigned n = 0;
    for (; n < 10000; n++) {
        record(22, 27);
        if (!tls_records_pay(&r, now))
            break;
    }
    return n;
}

START_TEST(test_records_without_data_run_out)
{
    ck_assert_uint_eq(silent_until_refused(START), TLS_SILENT_BURST);
}
END_TEST

START_TEST(test_many_at_once_are_too_many_as_well)
{
    for (unsigned i = 0; i <= TLS_SILENT_BURST; i++)
        record(22, 27);
    ck_assert(!tls_records_pay(&r, START));
}
END_TEST

START_TEST(test_one_comes_back_each_second_up_to_the_burst)
{
    ck_assert_uint_eq(silent_until_refused(START), TLS_SILENT_BURST);
    ck_assert_uint_eq(silent_until_refused(START + SECOND - 1), 0);
    ck_assert_uint_eq(silent_until_refused(START + SECOND), 1);
    ck_assert_uint_eq(silent_until_refused(START + SECOND * 5 / 2), 1); /* the half is kept */
    ck_assert_uint_eq(silent_until_refused(START + 3 * SECOND), 1);
    ck_assert_uint_eq(silent_until_refused(START + 3600 * SECOND), TLS_SILENT_BURST);
    ck_assert_uint_eq(silent_until_refused(START), 0); /* a clock that goes back brings none */
}
END_TEST

START_TEST(test_data_brings_one_back_for_each_so_many_bytes)
{
    ck_assert_uint_eq(silent_until_refused(START), TLS_SILENT_BURST);
    for (size_t sent = 0; sent + 16384 < TLS_SILENT_BYTES; sent += 16384) {
        record(16401, 16406);
        tls_records_data(&r, 16384);
    }
    ck_assert_uint_eq(silent_until_refused(START), 0);
    record(16401, 16406);
    tls_records_data(&r, 16384);
    ck_assert_uint_eq(silent_until_refused(START), 1);
}
END_TEST

START_TEST(test_records_with_data_cost_nothing_however_small)
{
    for (int i = 0; i < 100000; i++) {
        record(18, 23);
        tls_records_data(&r, 1);
        ck_assert(tls_records_pay(&r, START));
    }
    ck_assert_uint_eq(silent_until_refused(START), TLS_SILENT_BURST);
}
END_TEST

START_TEST(test_a_record_without_data_among_those_with_data_is_paid_for)
{
    unsigned updates = 0;
    for (; updates < 1000; updates++) {
        record(22, 27);
        record(18, 23);
        tls_records_data(&r, 1);
        if (!tls_records_pay(&r, START))
            break;
    }
    ck_assert_uint_eq(updates, TLS_SILENT_BURST);
}
END_TEST

START_TEST(test_less_is_read_after_small_records)
{
    ck_assert_uint_eq(tls_records_room(&r), SIZE_MAX);
    for (int i = 0; i < 10; i++)
        record(TLS_SMALL_RECORD - 6, 10000);
    ck_assert_uint_eq(tls_records_room(&r), TLS_SMALL_READ);
    tls_records_start(&r);
    for (int i = 0; i < 10; i++)
        record(TLS_SMALL_RECORD - 5, 10000);
    ck_assert_uint_eq(tls_records_room(&r), SIZE_MAX);
    tls_records_start(&r);
    record(1, 10); /* one alone is no flood */
    ck_assert_uint_eq(tls_records_room(&r), SIZE_MAX);
}
END_TEST

START_TEST(test_a_server_may_send_its_tickets_in_pieces_once)
{
    tls_records_init(&r, START, true);
    ck_assert_uint_eq(silent_until_refused(START), TLS_SILENT_BURST + TLS_TICKET_PIECES);
    uint64_t later =
        START + UINT64_C(3600) * 1000000000u; /* time gives back no more than the burst */
    ck_assert_uint_eq(silent_until_refused(later), TLS_SILENT_BURST);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tls_records");
    TCase *t = tcase_create("tls_records");
    tcase_add_checked_fixture(t, start, NULL);
    tcase_add_test(t, test_a_server_may_send_its_tickets_in_pieces_once);
    tcase_add_loop_test(t, test_a_record_is_counted_once_however_it_is_cut, 0,
                        (int)(sizeof lengths / sizeof lengths[0]));
    tcase_add_test(t, test_records_without_data_run_out);
    tcase_add_test(t, test_many_at_once_are_too_many_as_well);
    tcase_add_test(t, test_one_comes_back_each_second_up_to_the_burst);
    tcase_add_test(t, test_data_brings_one_back_for_each_so_many_bytes);
    tcase_add_test(t, test_records_with_data_cost_nothing_however_small);
    tcase_add_test(t, test_a_record_without_data_among_those_with_data_is_paid_for);
    tcase_add_test(t, test_less_is_read_after_small_records);
    suite_add_tcase(s, t);
    return run_suite(s);
}

/* The journal of revocations as bytes: what is written comes back, a torn end is cut, damage before
 * the end is told. */
#include "agent/store/revocation_journal.h"
#include "common/base/crc32c.h"
#include "tests/support/runner.h"

enum { ROWS = 4, ROW_FIXED = 40 };

static struct buf journal;
static size_t ends[ROWS + 1]; /* of the header and of each row */

static struct revoked certificate(uint8_t number)
{
    struct revoked c;
    memset(c.issuer, 0xa0 + number % 3, sizeof c.issuer);
    memset(c.serial, number, sizeof c.serial);
    revoked_set_not_after(&c, 1800000000 + number);
    return c;
}

static struct revocation_change change_at(size_t i)
{
    static const struct {
        enum revoke_kind kind;
        bool lift;
        enum revocation_reason reason;
        const char *target;
        size_t count;
    } rows[ROWS] = {
        {REVOKE_ID, false, REVOCATION_KEY_COMPROMISE, "spiffe://example.org/web", 3},
        {REVOKE_SERIAL, false, REVOCATION_AA_COMPROMISE, "", 1},
        {REVOKE_ID, true, REVOCATION_KEY_COMPROMISE, "spiffe://example.org/web", 0},
        {REVOKE_ENTRY, false, REVOCATION_UNSPECIFIED, "e", 200},
    };
    return (struct revocation_change){.kind = rows[i].kind,
                                      .lift = rows[i].lift,
                                      .reason = rows[i].reason,
                                      .at = 1800000000 + (int64_t)i,
                                      .by_uid = 1000,
                                      .by_pid = 77,
                                      .target = slice_str(rows[i].target),
                                      .count = rows[i].count};
}

static void setup(void)
{
    buf_init(&journal, 1 << 20);
    ck_assert_int_eq(revocation_journal_header(&journal), ERR_OK);
    ends[0] = journal.len;
    for (size_t i = 0; i < ROWS; i++) {
        struct revocation_change change = change_at(i);
        size_t start = journal.len, count = change.count;
        change.count = 0;
        ck_assert_int_eq(revocation_row_begin(&journal, &change), ERR_OK);
        for (size_t n = 0; n < count; n++) {
            struct revoked c = certificate((uint8_t)n);
            ck_assert_int_eq(buf_append(&journal, &c, sizeof c), ERR_OK);
        }
        revocation_row_end(&journal, start);
        ends[i + 1] = journal.len;
    }
}

static void teardown(void)
{
    buf_done(&journal);
}

static err_t check_row(void *arg, const struct revocation_change *got)
{
    size_t *seen = arg;
    struct revocation_change want = change_at((*seen)++);
    ck_assert_int_eq(got->kind, want.kind);
    ck_assert_int_eq(got->lift, want.lift);
    ck_assert_int_eq(got->reason, want.reason);
    ck_assert_int_eq(got->at, want.at);
    ck_assert_uint_eq(got->by_uid, want.by_uid);
    ck_assert_uint_eq(got->by_pid, want.by_pid);
    ck_assert(slice_eq(got->target, want.target));
    ck_assert_uint_eq(got->count, want.count);
    for (size_t n = 0; n < got->count; n++) {
        struct revoked c = certificate((uint8_t)n);
        ck_assert_mem_eq(&got->revoked[n], &c, sizeof c);
        ck_assert_int_eq(revoked_not_after(&got->revoked[n]), 1800000000 + (int64_t)n);
    }
    return ERR_OK;
}

/* How many rows came, or -1 - err. */
static int read_rows(struct slice file, size_t *ret_good)
{
    struct why why = {.err = ERR_OK};
    size_t seen = 0;
    err_t err = revocation_journal_read(file, check_row, &seen, ret_good, &why);
    if (err == ERR_OK)
        return (int)seen;
    ck_assert_int_ne(why.text[0], '\0');
    return -1 - (int)err;
}

START_TEST(test_what_was_written_comes_back)
{
    size_t good = 0;
    ck_assert_int_eq(read_rows(buf_slice(&journal), &good), ROWS);
    ck_assert_uint_eq(good, journal.len);
}
END_TEST

START_TEST(test_a_journal_cut_anywhere_gives_its_whole_rows)
{
    for (size_t len = 0; len <= journal.len; len++) {
        /* A block of its own: reading past it is seen. */
        struct buf cut;
        size_t good = 1, rows = 0;
        buf_init(&cut, 1 << 20);
        ck_assert_int_eq(buf_append(&cut, journal.data, len), ERR_OK);
        while (rows < ROWS && ends[rows + 1] <= len)
            rows++;
        ck_assert_int_eq(read_rows(buf_slice(&cut), &good), (int)rows);
        ck_assert_uint_eq(good, len < ends[0] ? 0 : ends[rows]);
        buf_done(&cut);
    }
}
END_TEST

START_TEST(test_a_tail_of_zeros_is_cut)
{
    size_t good = 0, len = journal.len;
    ck_assert_int_eq(buf_reserve(&journal, 4096), ERR_OK); /* as a power loss leaves it */
    memset(journal.data + len, 0, 4096);
    ck_assert_int_eq(read_rows(slice_of(journal.data, len + 4096), &good), ROWS);
    ck_assert_uint_eq(good, len);
}
END_TEST

START_TEST(test_a_changed_byte_is_seen)
{
    for (size_t at = 0; at < journal.len; at++) {
        size_t good = 0;
        journal.data[at] ^= 0x10;
        int got = read_rows(buf_slice(&journal), &good);
        journal.data[at] ^= 0x10;
        if (at < 12)
            ck_assert_int_eq(got, -1 - ERR_PARSE);
        else if (at < ends[0])
            ck_assert_int_eq(got, -1 - ERR_UNSUPPORTED);
        else if (at < ends[ROWS - 1]) /* a whole row is behind it */
            ck_assert_int_eq(got, -1 - ERR_PARSE);
        else
            ck_assert_int_eq(got, ROWS - 1); /* as if the last one was torn */
    }
}
END_TEST

/* Rows of a later version, or of a bug: never guessed at. */
static const struct {
    size_t at;
    uint8_t value;
} senseless[] = {
    {12, 0},    {12, 4},
    {13, 2},    {14, 7},
    {15, 1},    {34, 1},
    {36, 0xff}, {32, 23},
    {32, 25},   {12, REVOKE_SERIAL},
    {13, 1},    {ROW_FIXED + 3, 0},
};

START_TEST(test_a_row_that_makes_no_sense_is_refused)
{
    uint8_t *row = journal.data + ends[0];
    size_t len = ends[1] - ends[0], good = 0;
    row[senseless[_i].at] = senseless[_i].value;
    uint32_t sum = crc32c(0, row + 8, len - 8);
    memcpy(row + 4, &sum, sizeof sum); /* little endian, as this machine */
    ck_assert_int_eq(read_rows(buf_slice(&journal), &good), -1 - ERR_PARSE);
}
END_TEST

static err_t stop(void *arg, const struct revocation_change *change)
{
    (void)change;
    ++*(int *)arg;
    return ERR_NO_MEMORY;
}

START_TEST(test_a_reader_that_fails_ends_the_walk)
{
    int calls = 0;
    size_t good = 7;
    ck_assert_int_eq(revocation_journal_read(buf_slice(&journal), stop, &calls, &good, NULL),
                     ERR_NO_MEMORY);
    ck_assert_int_eq(calls, 1);
    ck_assert_uint_eq(good, 7);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("revocation_journal");
    TCase *t = tcase_create("revocation_journal");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_what_was_written_comes_back);
    tcase_add_test(t, test_a_journal_cut_anywhere_gives_its_whole_rows);
    tcase_add_test(t, test_a_tail_of_zeros_is_cut);
    tcase_add_test(t, test_a_changed_byte_is_seen);
    tcase_add_loop_test(t, test_a_row_that_makes_no_sense_is_refused, 0,
                        sizeof senseless / sizeof senseless[0]);
    tcase_add_test(t, test_a_reader_that_fails_ends_the_walk);
    suite_add_tcase(s, t);
    return run_suite(s);
}

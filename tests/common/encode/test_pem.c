/* PEM: blocks out of a text, a block into one, and broken ones told apart. */
#include "common/base/mem.h"
#include "common/encode/pem.h"
#include "tests/support/runner.h"

static struct buf der;
static struct why why;

static void start(void)
{
    buf_init(&der, 1 << 16);
    why = (struct why){0};
}

static void stop(void)
{
    buf_wipe(&der);
}

#define MARK "\xef\xbb\xbf"

static const struct {
    const char *text, *bytes;
} good[] = {
    {"-----BEGIN X-----\nSGVsbG8=\n-----END X-----\n", "Hello"},
    {"-----BEGIN X-----\r\nSGVs\r\nbG8=\r\n-----END X-----", "Hello"},
    {"-----BEGIN X-----\rSGVs bG8=\r-----END X-----\r", "Hello"},
    {"subject=web\n\n-----BEGIN X-----  \n S G V s b G 8 = \n-----END X-----\t\n", "Hello"},
    {"-----BEGIN X-----\nSGVsbA==\n-----END X-----\n", "Hell"},
    {"-----BEGIN X-----\nSGVsbA=\n=\n-----END X-----\n", "Hell"},
    {"-----BEGIN X-----\n-----END X-----\n", ""},
    {MARK "-----BEGIN X-----\nSGVsbG8=\n-----END X-----\n", "Hello"},
    {"text\n" MARK MARK "  -----BEGIN X-----\nSGVsbG8=\n-----END X-----\n", "Hello"},
    {"  -----BEGIN X-----\n  SGVsbG8=\n  -----END X-----\n", "Hello"},
    {"\t-----BEGIN X-----\r\n\tSGVs\r\n bG8=\r\n\t -----END X-----\r\n", "Hello"},
    {"# -----BEGIN Y-----\n# QQ==\n# -----END Y-----\n"
     "-----BEGIN X-----\nSGVsbG8=\n-----END X-----\n",
     "Hello"},
};

START_TEST(test_a_block_is_read_in_every_common_layout)
{
    struct slice text = slice_str(good[_i].text), label;
    ck_assert_int_eq(pem_next(&text, &label, &der, &why), ERR_OK);
    ck_assert(slice_eq_str(label, "X"));
    ck_assert(slice_eq_str(buf_slice(&der), good[_i].bytes));
    ck_assert_int_eq(pem_next(&text, &label, &der, &why), ERR_NOT_FOUND);
}
END_TEST

static const struct {
    const char *text, *says;
} bad[] = {
    {"-----BEGIN X-----\nSGVsbG8=\n", "no END"},
    {"-----BEGIN X-----\nSGVsbG8=\n-----END Y-----\n", "line 3"},
    {"-----BEGIN X-----\nSGVsb\n-----END X-----\n", "complete"},
    {"-----BEGIN X-----\nSGVsbG9=\n-----END X-----\n", "not base64"},
    {"-----BEGIN X-----\nSGVsbA=\n-----END X-----\n", "complete"},
    {"-----BEGIN X-----\nSGVsbG8\n-----END X-----\n", "complete"},
    {"-----BEGIN X-----\nSGVsbG8=SGVs\n-----END X-----\n", "not base64"},
    {"-----BEGIN X-----\nS=Vs\n-----END X-----\n", "not base64"},
    {"-----BEGIN X-----\nSGVs\n====\n-----END X-----\n", "not base64"},
    {"-----BEGIN X-----\nSGVs\nSG-s\n-----END X-----\n", "line 3"},
    {"-----BEGIN X-----\nSGVs\n-----BEGIN X-----\nSGVs\n-----END X-----\n", "line 3"},
    {"x -----BEGIN X-----\nSGVs\n-----END X-----\n", "found \"x -----BEGIN X-----\""},
    {"-----BEGIN X----\nSGVs\n-----END X-----\n", "alone on the line"},
    {"-----BEGIN X----- y\nSGVs\n-----END X-----\n", "alone on the line"},
    {"\xc2\xa0-----BEGIN X-----\nSGVs\n-----END X-----\n", "alone on the line"},
    {"-----BEGIN -----\nSGVs\n-----END X-----\n", "alone on the line"},
    {"-----BEGIN X-----\nSG" MARK "Vs\n-----END X-----\n", "not base64"},
    {"\xff\xfe-", "UTF-16"},
    {"\xfe\xff-", "UTF-16"},
    {"-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\n\nSGVs\n-----END X-----\n", "encrypted"},
};

START_TEST(test_a_broken_block_is_refused_with_its_line)
{
    struct slice text = slice_str(bad[_i].text), label = {0};
    ck_assert_int_eq(buf_append_str(&der, "kept"), ERR_OK);
    ck_assert_int_eq(pem_next(&text, &label, &der, &why), ERR_PARSE);
    ck_assert_msg(strstr(why.text, bad[_i].says) != NULL, "%s", why.text);
    ck_assert(text.data == (const uint8_t *)bad[_i].text);
    ck_assert(slice_eq_str(buf_slice(&der), "kept"));
}
END_TEST

START_TEST(test_blocks_come_one_by_one_with_their_labels)
{
    struct slice text = slice_str("-----BEGIN A-----\nQQ==\n-----END A-----\n"
                                  "-----BEGIN B C-----\nQg==\n-----END B C-----\n");
    struct slice label;
    ck_assert_int_eq(pem_next(&text, &label, &der, &why), ERR_OK);
    ck_assert(slice_eq_str(label, "A"));
    ck_assert_int_eq(pem_next(&text, &label, &der, &why), ERR_OK);
    ck_assert(slice_eq_str(label, "B C"));
    ck_assert(slice_eq_str(buf_slice(&der), "AB"));
}
END_TEST

START_TEST(test_what_is_written_reads_back)
{
    uint8_t bytes[200];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    struct buf text;
    buf_init(&text, 4096);
    ck_assert_int_eq(pem_write(&text, "CERTIFICATE", slice_of(bytes, (size_t)_i)), ERR_OK);
    struct slice rest = buf_slice(&text), label;
    for (size_t i = 0, column = 0; i < text.len; i++, column++) {
        ck_assert_uint_le(column, 64);
        column = text.data[i] == '\n' ? (size_t)-1 : column;
    }
    ck_assert_int_eq(pem_next(&rest, &label, &der, &why), ERR_OK);
    ck_assert(slice_eq(buf_slice(&der), slice_of(bytes, (size_t)_i)));
    ck_assert_uint_eq(rest.len, 0);
    buf_done(&text);
}
END_TEST

START_TEST(test_a_block_past_the_bound_is_refused)
{
    struct buf small;
    buf_init(&small, 4);
    struct slice text = slice_str(good[0].text), label;
    ck_assert_int_eq(pem_next(&text, &label, &small, &why), ERR_TOO_LARGE);
    ck_assert_uint_eq(small.len, 0);
    buf_done(&small);
}
END_TEST

START_TEST(test_every_failed_allocation_is_an_error)
{
    uint8_t bytes[300] = {1};
    err_t err = ERR_NO_MEMORY;
    for (long n = 0; err != ERR_OK; n++) {
        struct buf text, back;
        buf_init(&text, 4096);
        buf_init(&back, 4096);
        mem_fail_after(n);
        err = pem_write(&text, "X", slice_of(bytes, sizeof bytes));
        struct slice rest = buf_slice(&text), label;
        err = err == ERR_OK ? pem_next(&rest, &label, &back, &why) : err;
        ck_assert(err == ERR_OK ? !mem_did_fail() : err == ERR_NO_MEMORY);
        mem_fail_after(-1);
        buf_done(&text);
        buf_done(&back);
    }
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *s = suite_create("pem");
    TCase *t = tcase_create("pem");
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_loop_test(t, test_a_block_is_read_in_every_common_layout, 0, COUNT(good));
    tcase_add_loop_test(t, test_a_broken_block_is_refused_with_its_line, 0, COUNT(bad));
    tcase_add_test(t, test_blocks_come_one_by_one_with_their_labels);
    tcase_add_loop_test(t, test_what_is_written_reads_back, 0, 200);
    tcase_add_test(t, test_a_block_past_the_bound_is_refused);
    tcase_add_test(t, test_every_failed_allocation_is_an_error);
    suite_add_tcase(s, t);
    return run_suite(s);
}

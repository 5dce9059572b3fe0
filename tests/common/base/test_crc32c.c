/* RFC 3720, appendix B.4: the examples of CRC-32C. */
#include "common/base/crc32c.h"
#include "tests/support/runner.h"

#include <string.h>

static void check(const uint8_t *data, size_t len, uint32_t want)
{
    ck_assert_uint_eq(crc32c(0, data, len), want);
    ck_assert_uint_eq(crc32c_portable(0, data, len), want);
}

START_TEST(test_examples_of_the_rfc_give_their_sums)
{
    uint8_t data[32];
    memset(data, 0, sizeof data);
    check(data, sizeof data, 0x8a9136aa);
    memset(data, 0xff, sizeof data);
    check(data, sizeof data, 0x62a8ab43);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)i;
    check(data, sizeof data, 0x46dd794e);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(31 - i);
    check(data, sizeof data, 0x113fdb5c);
    check((const uint8_t *)"123456789", 9, 0xe3069283);
    check(data, 0, 0);
}
END_TEST

START_TEST(test_parts_give_the_sum_of_the_whole)
{
    const char *text = "every length that is not a multiple of eight";
    size_t len = strlen(text);
    for (size_t cut = 0; cut <= len; cut++) {
        uint32_t whole = crc32c_portable(0, text, len);
        ck_assert_uint_eq(crc32c(crc32c(0, text, cut), text + cut, len - cut), whole);
        ck_assert_uint_eq(crc32c_portable(crc32c_portable(0, text, cut), text + cut, len - cut),
                          whole);
    }
}
END_TEST

static Suite *crc32c_suite(void)
{
    Suite *s = suite_create("crc32c");
    TCase *t = tcase_create("crc32c");
    tcase_add_test(t, test_examples_of_the_rfc_give_their_sums);
    tcase_add_test(t, test_parts_give_the_sum_of_the_whole);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_suite(crc32c_suite());
}

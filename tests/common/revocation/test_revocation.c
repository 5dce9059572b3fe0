/* Reasons and their names (RFC 5280 section 5.3.1), and IDs as the cache keeps them. */
#include "common/revocation/revocation.h"

#include "common/x509/x509.h"
#include "tests/support/runner.h"

static const struct {
    const char *name;
    int number;
} rows[] = {
    {"unspecified", 0},        {"keyCompromise", 1},      {"cACompromise", 2},
    {"affiliationChanged", 3}, {"superseded", 4},         {"cessationOfOperation", 5},
    {"certificateHold", 6},    {"privilegeWithdrawn", 9}, {"aACompromise", 10},
};
#define ROWS (sizeof rows / sizeof rows[0])

START_TEST(test_a_reason_has_the_name_and_number_of_the_standard)
{
    enum revocation_reason reason = REVOCATION_SUPERSEDED;
    ck_assert(revocation_reason_parse(rows[_i].name, &reason));
    ck_assert_int_eq(reason, rows[_i].number);
    ck_assert_str_eq(revocation_reason_name(reason), rows[_i].name);
    ck_assert(revocation_reason_is_known((unsigned)rows[_i].number));
    ck_assert_int_eq(revocation_reason_at((size_t)_i), rows[_i].number);
    ck_assert_uint_eq(revocation_reason_count(), ROWS);
}
END_TEST

START_TEST(test_other_words_and_numbers_are_no_reason)
{
    static const char *const words[] = {"", "keycompromise", "keyCompromise ", "removeFromCRL",
                                        "1"};
    static const unsigned numbers[] = {7, 8, 11, 63, 1u << 31};
    enum revocation_reason reason = REVOCATION_SUPERSEDED;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        ck_assert(!revocation_reason_parse(words[i], &reason));
    ck_assert_int_eq(reason, REVOCATION_SUPERSEDED);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        ck_assert(!revocation_reason_is_known(numbers[i]));
    ck_assert_str_eq(revocation_reason_name((enum revocation_reason)7), "unspecified");
}
END_TEST

START_TEST(test_an_id_is_the_start_of_its_sha256)
{
    struct slice text = slice_str("spiffe://example.org/web");
    struct revocation_id id = revocation_id_of(text);
    uint8_t digest[SHA256_LEN];
    sha256_of(text, digest);
    ck_assert_mem_eq(id.hash, digest, sizeof id.hash);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("revocation");
    TCase *tc = tcase_create("revocation");
    tcase_add_loop_test(tc, test_a_reason_has_the_name_and_number_of_the_standard, 0, (int)ROWS);
    tcase_add_test(tc, test_other_words_and_numbers_are_no_reason);
    tcase_add_test(tc, test_an_id_is_the_start_of_its_sha256);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

/* Codes of wolfSSL and what they are in our words: no code is blamed on the peer that is not its
 * fault, and what nobody foresaw is a bug, not the peer's. */
#include "common/tls/tls_internal.h"
#include "common/tls/tls_limits.h"
#include "tests/support/runner.h"

#include <string.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

static const struct reason_case {
    int code;
    err_t err;
} cases[] = {
    {MEMORY_E, ERR_NO_MEMORY},
    {MEMORY_ERROR, ERR_NO_MEMORY},
    {MP_MEM, ERR_NO_MEMORY},
    {HANDSHAKE_SIZE_ERROR, ERR_TLS_LIMIT},
    {EMPTY_RECORD_LIMIT_E, ERR_TLS_LIMIT},
    {ALERT_COUNT_E, ERR_TLS_LIMIT},
    {MAX_CHAIN_ERROR, ERR_CHAIN_TOO_LONG},
    {MATCH_SUITE_ERROR, ERR_TLS_NO_COMMON},
    {ECC_CURVE_ERROR, ERR_TLS_NO_COMMON},
    {VERSION_ERROR, ERR_TLS_VERSION},
    {NO_PEER_CERT, ERR_PEER_NO_CERT},
    {SIG_VERIFY_E, ERR_PEER_PROOF},
    {PEER_KEY_ERROR, ERR_TLS_PROTOCOL},
    {ECC_PEERKEY_ERROR, ERR_TLS_PROTOCOL},
    /* the peer's faults */
    {BUFFER_ERROR, ERR_TLS_PROTOCOL},
    {INVALID_PARAMETER, ERR_TLS_PROTOCOL},
    {BAD_KEY_SHARE_DATA, ERR_TLS_PROTOCOL},
    {OUT_OF_ORDER_E, ERR_TLS_PROTOCOL},
    {AES_GCM_AUTH_E, ERR_TLS_PROTOCOL},
    {MAC_CMP_FAILED_E, ERR_TLS_PROTOCOL},
    {VERIFY_FINISHED_ERROR, ERR_TLS_PROTOCOL},
    {UNKNOWN_RECORD_TYPE, ERR_TLS_PROTOCOL},
    {SOCKET_PEER_CLOSED_E, ERR_PEER_CLOSED},
    /* ours: a bug, whatever the peer did */
    {BAD_FUNC_ARG, ERR_INTERNAL},
    {BAD_STATE_E, ERR_INTERNAL},
    {NOT_COMPILED_IN, ERR_INTERNAL},
    {NO_PRIVATE_KEY, ERR_INTERNAL},
    {RSA_SIGN_FAULT, ERR_INTERNAL},
    {RNG_FAILURE_E, ERR_INTERNAL},
    {BUILD_MSG_ERROR, ERR_INTERNAL},
    {SUITES_ERROR, ERR_INTERNAL},
    {SOCKET_ERROR_E, ERR_INTERNAL},
    {ASN_PARSE_E, ERR_INTERNAL}, /* it reads no certificates */
};

START_TEST(test_a_code_has_the_reason_of_its_row)
{
    const struct reason_case *c = &cases[_i];
    ck_assert_str_eq(err_name(tls_reason_err(c->code)), err_name(c->err));
}
END_TEST

/* Each row of the table, once, with reasons that say whose fault it was. */
static const int rows[] = {
#define X(code, err, text) code,
#include "common/tls/tls_reason.def"
#undef X
};
#define ROWS (sizeof rows / sizeof rows[0])

static size_t rows_of(int code)
{
    size_t n = 0;
    for (size_t i = 0; i < ROWS; i++)
        n += rows[i] == code;
    return n;
}

START_TEST(test_every_code_of_wolfssl_has_one_row_or_is_a_bug)
{
    static const int spans[][2] = {{-1, -1},
                                   {WC_SPAN1_MIN_CODE_E, WC_SPAN1_FIRST_E},
                                   {WOLFSSL_LAST_E, WOLFSSL_FIRST_E},
                                   {WC_SPAN2_LAST_E, WC_SPAN2_FIRST_E}};
    size_t found = 0;
    for (size_t s = 0; s < sizeof spans / sizeof spans[0]; s++) {
        for (int code = spans[s][0]; code <= spans[s][1]; code++) {
            size_t n = rows_of(code);
            ck_assert_msg(n <= 1, "%d has %zu rows", code, n);
            ck_assert_msg((n == 0) == (tls_reason_err(code) == ERR_INTERNAL), "%d", code);
            found += n;
        }
    }
    /* WOLFSSL_ERROR_ZERO_RETURN is a positive one. */
    ck_assert_uint_eq(found + rows_of(WOLFSSL_ERROR_ZERO_RETURN), ROWS);
}
END_TEST

START_TEST(test_a_limit_is_named_with_its_number_and_the_peer_is_not_blamed)
{
    static const struct {
        int code;
        const char *number;
    } limits[] = {{HANDSHAKE_SIZE_ERROR, "524332"},
                  {HANDSHAKE_SIZE_ERROR, "131396"},
                  {EMPTY_RECORD_LIMIT_E, "32"},
                  {TOO_MUCH_EARLY_DATA, "65536"},
                  {ALERT_COUNT_E, "5"}};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct why why = {0};
        ck_assert_int_eq(tls_reason_set(&why, limits[i].code), ERR_TLS_LIMIT);
        ck_assert_msg(strstr(why.text, limits[i].number) != NULL, "%s", why.text);
        ck_assert_msg(strstr(why.text, "broke") == NULL, "%s", why.text);
    }
}
END_TEST

START_TEST(test_what_nobody_foresaw_is_named_with_its_code)
{
    struct why why = {0};
    ck_assert_int_eq(tls_reason_set(&why, BAD_STATE_E), ERR_INTERNAL);
    ck_assert_msg(strstr(why.text, "-192") != NULL, "%s", why.text);
}
END_TEST

START_TEST(test_alerts_have_the_names_of_the_standard)
{
    ck_assert_str_eq(tls_alert_name(40), "handshake_failure");
    ck_assert_str_eq(tls_alert_name(116), "certificate_required");
    ck_assert_str_eq(tls_alert_name(255), "unnamed");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tls_reason");
    TCase *t = tcase_create("tls_reason");
    tcase_add_loop_test(t, test_a_code_has_the_reason_of_its_row, 0,
                        sizeof cases / sizeof cases[0]);
    tcase_add_test(t, test_every_code_of_wolfssl_has_one_row_or_is_a_bug);
    tcase_add_test(t, test_a_limit_is_named_with_its_number_and_the_peer_is_not_blamed);
    tcase_add_test(t, test_what_nobody_foresaw_is_named_with_its_code);
    tcase_add_test(t, test_alerts_have_the_names_of_the_standard);
    suite_add_tcase(s, t);
    return run_suite(s);
}

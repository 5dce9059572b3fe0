/* The embedded authority: what it issues (X5-1 to X5-9) and when its issuer is renewed. */
#include "common/base/mem.h"
#include "common/x509/sigverify.h"
#include "common/x509/x509.h"
#include "tests/support/authority_case.h"
#include "tests/support/runner.h"

#include <stdio.h>

enum { NOW = 1800000000, DAY = 24 * 3600, HOUR = 3600 };

static struct authority_case c;

static void setup(void)
{
    authority_case_setup(&c);
}

static void teardown(void)
{
    authority_case_teardown(&c);
}

/* What one issuance gave. */
struct issued {
    struct buf chain;
    struct slice der[4];
    size_t count;
    struct x509 leaf, issuer, root;
    struct authority_answer answer;
    struct key *key;
};

static err_t issue(const char *id, const char *const *dns, int64_t now, int64_t ttl,
                   struct issued *ret)
{
    *ret = (struct issued){0};
    buf_init(&ret->chain, 16 * 1024);
    ck_assert_int_eq(key_generate(KEY_EC_P256, &ret->key, &c.why), ERR_OK);
    struct authority_request req = {
        .spiffe_id = id, .dns_names = dns, .spki = key_spki(ret->key), .now = now, .ttl_s = ttl};
    err_t err = ca_issue(c.ca, &req, &ret->chain, &ret->answer, &c.why);
    if (err != ERR_OK)
        return err;
    ck_assert_int_eq(x509_split(buf_slice(&ret->chain), ret->der, 4, &ret->count, &c.why), ERR_OK);
    ck_assert_uint_eq(ret->count, 2);
    ck_assert_int_eq(x509_parse(ret->der[0], &ret->leaf, &c.why), ERR_OK);
    ck_assert_int_eq(x509_parse(ret->der[1], &ret->issuer, &c.why), ERR_OK);
    ck_assert_int_eq(x509_parse(ca_bundle(c.ca), &ret->root, &c.why), ERR_OK);
    return ERR_OK;
}

static void issued_done(struct issued *i)
{
    buf_done(&i->chain);
    key_free(i->key);
}

static const char web[] = "spiffe://example.org/web";

START_TEST(test_a_leaf_is_an_x509_svid)
{
    authority_case_must_open(&c, NOW);
    struct issued i;
    ck_assert_int_eq(issue(web, NULL, NOW + 5, HOUR, &i), ERR_OK);
    ck_assert_uint_eq(i.leaf.uri_count, 1); /* X5-1 */
    ck_assert(slice_eq_str(i.leaf.uri[0], web));
    ck_assert(!i.leaf.is_ca && !i.leaf.has_path_len);                                     /* X5-4 */
    ck_assert(i.leaf.has_key_usage && i.leaf.key_usage_critical);                         /* X5-5 */
    ck_assert_uint_eq(i.leaf.key_usage, X509_KU_DIGITAL_SIGNATURE);                       /* X5-6 */
    ck_assert_uint_eq(i.leaf.ext_key_usage, X509_EKU_SERVER_AUTH | X509_EKU_CLIENT_AUTH); /* X5-8 */
    ck_assert(slice_eq(i.leaf.spki, key_spki(i.key)));
    ck_assert_int_eq(i.leaf.not_before, NOW + 5 - 10); /* AG-12 */
    ck_assert_int_eq(i.leaf.not_after, NOW + 5 + HOUR);
    ck_assert_int_eq(i.answer.not_before, i.leaf.not_before);
    ck_assert_int_eq(i.answer.not_after, i.leaf.not_after);
    ck_assert(slice_eq(i.leaf.serial, slice_of(i.answer.serial, 16)));
    ck_assert_uint_eq(i.leaf.subject_key_id.len, X509_KEY_ID_LEN);
    ck_assert(!i.leaf.has_unknown_critical);
    issued_done(&i);
}
END_TEST

/* X5-3: the subject is never empty, so the names need not be critical. */
START_TEST(test_a_leaf_without_dns_names_still_has_a_subject)
{
    authority_case_must_open(&c, NOW);
    struct issued i;
    char name[128];
    ck_assert_int_eq(issue(web, NULL, NOW, HOUR, &i), ERR_OK);
    ck_assert_str_eq(x509_name_text(i.leaf.subject, name, sizeof name), "O=SPIFFE");
    ck_assert(!i.leaf.san_critical);
    issued_done(&i);
}
END_TEST

START_TEST(test_dns_names_stand_behind_the_one_uri)
{
    static const char *const dns[] = {"web.example.internal", "*.example.internal", NULL};
    authority_case_must_open(&c, NOW);
    char subject[200];
    struct issued i;
    ck_assert_int_eq(issue(web, dns, NOW, HOUR, &i), ERR_OK);
    ck_assert_uint_eq(i.leaf.uri_count, 1); /* X5-1 */
    ck_assert_ptr_nonnull(
        strstr(x509_name_text(i.leaf.subject, subject, sizeof subject), "CN=web.example.internal"));
    struct slice san = i.leaf.san;
    ck_assert_uint_eq(san.data[0], 0x86); /* the URI comes first */
    ck_assert_ptr_nonnull(memmem(san.data, san.len, "*.example.internal", 18));
    issued_done(&i);
}
END_TEST

START_TEST(test_a_dns_name_too_long_for_a_common_name_is_left_out_there)
{
    static const char *const dns[] = {
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.internal", NULL};
    authority_case_must_open(&c, NOW);
    char subject[200];
    struct issued i;
    ck_assert_int_eq(issue(web, dns, NOW, HOUR, &i), ERR_OK);
    ck_assert_ptr_null(strstr(x509_name_text(i.leaf.subject, subject, sizeof subject), "CN="));
    issued_done(&i);
}
END_TEST

/* X5-4, X5-5, X5-7, X5-9, ID-9 */
START_TEST(test_signers_are_authorities_of_their_trust_domain_without_a_path)
{
    authority_case_must_open(&c, NOW);
    struct issued i;
    ck_assert_int_eq(issue(web, NULL, NOW, HOUR, &i), ERR_OK);
    const struct x509 *signers[] = {&i.issuer, &i.root};
    for (size_t n = 0; n < 2; n++) {
        const struct x509 *ca = signers[n];
        ck_assert(ca->has_basic_constraints && ca->is_ca);
        ck_assert_uint_eq(ca->path_len, n);
        ck_assert(ca->has_key_usage && ca->key_usage_critical);
        ck_assert_uint_eq(ca->key_usage, X509_KU_CERT_SIGN | X509_KU_CRL_SIGN);
        ck_assert_uint_eq(ca->uri_count, 1);
        ck_assert(slice_eq_str(ca->uri[0], "spiffe://example.org"));
        ck_assert_uint_eq(ca->serial.len, 16);
    }
    ck_assert_int_eq(i.issuer.not_after - NOW, DAY);
    ck_assert_int_eq(i.root.not_after - NOW, CA_ROOT_TTL_S);
    issued_done(&i);
}
END_TEST

START_TEST(test_the_chain_leads_from_leaf_to_root)
{
    authority_case_must_open(&c, NOW);
    struct issued i;
    ck_assert_int_eq(issue(web, NULL, NOW, HOUR, &i), ERR_OK);
    ck_assert_int_eq(x509_check_signature(&i.leaf, i.issuer.spki, &c.why), ERR_OK);
    ck_assert_int_eq(x509_check_signature(&i.issuer, i.root.spki, &c.why), ERR_OK);
    ck_assert_int_eq(x509_check_signature(&i.root, i.root.spki, &c.why), ERR_OK);
    ck_assert(slice_eq(i.leaf.issuer, i.issuer.subject));
    ck_assert(slice_eq(i.issuer.issuer, i.root.subject));
    ck_assert(slice_eq(i.leaf.authority_key_id, i.issuer.subject_key_id));
    ck_assert(slice_eq(i.issuer.authority_key_id, i.root.subject_key_id));
    ck_assert(!slice_eq(i.issuer.subject, i.root.subject));
    issued_done(&i);
}
END_TEST

START_TEST(test_serials_and_answers_differ_each_time)
{
    authority_case_must_open(&c, NOW);
    struct issued i, k;
    ck_assert_int_eq(issue(web, NULL, NOW, HOUR, &i), ERR_OK);
    ck_assert_int_eq(issue(web, NULL, NOW, HOUR, &k), ERR_OK);
    ck_assert_int_ne(memcmp(i.answer.serial, k.answer.serial, 16), 0);
    issued_done(&i);
    issued_done(&k);
}
END_TEST

/* AG-12: never beyond the issuer's end. */
START_TEST(test_a_leaf_never_outlives_its_issuer)
{
    authority_case_must_open(&c, NOW);
    struct issued i;
    ck_assert_int_eq(issue(web, NULL, NOW + DAY - 100, HOUR, &i), ERR_OK);
    ck_assert_int_eq(i.leaf.not_after, NOW + DAY);
    issued_done(&i);
}
END_TEST

START_TEST(test_a_failed_issuance_leaves_the_chain_as_it_was)
{
    authority_case_must_open(&c, NOW);
    struct issued i;
    ck_assert_int_eq(issue(web, NULL, NOW + DAY, HOUR, &i), ERR_SIGNER);
    ck_assert_uint_eq(i.chain.len, 0);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "valid from"));
    issued_done(&i);
    ck_assert_int_eq(issue(web, NULL, NOW - HOUR, HOUR, &i), ERR_SIGNER);
    issued_done(&i);
    ck_assert_int_eq(issue(web, NULL, NOW + DAY - 1, HOUR, &i), ERR_SIGNER);
    issued_done(&i);
}
END_TEST

/* Renewal. */

START_TEST(test_the_issuer_is_renewed_at_half_its_life)
{
    authority_case_must_open(&c, NOW);
    int64_t half = NOW - 10 + (DAY + 10) / 2;
    bool renewed = true;
    ck_assert_int_eq(ca_next_at(c.ca), half);
    ck_assert_int_eq(authority_case_tick(&c, half - 1, &renewed), ERR_OK);
    ck_assert(!renewed);
    ck_assert_int_eq(authority_case_tick(&c, half, &renewed), ERR_OK);
    ck_assert(renewed);
    ck_assert_int_eq(ca_times(c.ca).issuer_not_after, half + DAY);
    ck_assert_int_eq(ca_times(c.ca).issuer_not_before, half - 10);
    ck_assert_int_gt(ca_next_at(c.ca), half);
}
END_TEST

START_TEST(test_a_jump_of_the_clock_makes_a_new_issuer_at_once)
{
    authority_case_must_open(&c, NOW);
    bool renewed = false;
    ck_assert_int_eq(authority_case_tick(&c, NOW + 30 * DAY, &renewed), ERR_OK);
    ck_assert(renewed);
    struct issued i;
    ck_assert_int_eq(issue(web, NULL, NOW + 30 * DAY, HOUR, &i), ERR_OK);
    issued_done(&i);
    /* and back */
    ck_assert_int_eq(authority_case_tick(&c, NOW + DAY, &renewed), ERR_OK);
    ck_assert(renewed);
    ck_assert_int_eq(issue(web, NULL, NOW + DAY, HOUR, &i), ERR_OK);
    issued_done(&i);
}
END_TEST

START_TEST(test_an_issuer_that_ran_out_while_the_agent_was_off_is_replaced)
{
    authority_case_must_open(&c, NOW);
    authority_case_reopen(&c, NOW + 7 * DAY);
    ck_assert_int_eq(ca_times(c.ca).issuer_not_after, NOW + 8 * DAY);
}
END_TEST

START_TEST(test_a_renewal_that_cannot_be_written_keeps_the_old_issuer)
{
    authority_case_must_open(&c, NOW);
    char away[128];
    snprintf(away, sizeof away, "%s/away", c.base);
    ck_assert_int_eq(rename(c.dir, away), 0);
    bool renewed = false;
    ck_assert_int_eq(authority_case_tick(&c, NOW + DAY - 100, &renewed), ERR_IO);
    ck_assert(!renewed);
    ck_assert_int_eq(ca_times(c.ca).issuer_not_after, NOW + DAY);
    ck_assert_int_eq(ca_next_at(c.ca), NOW + DAY - 90);
    ck_assert_int_eq(rename(away, c.dir), 0);
    ck_assert_int_eq(authority_case_tick(&c, NOW + DAY - 90, &renewed), ERR_OK);
    ck_assert(renewed);
}
END_TEST

START_TEST(test_the_issuer_never_outlives_the_root)
{
    authority_case_must_open(&c, NOW);
    int64_t end = ca_times(c.ca).root_not_after;
    authority_case_reopen(&c, end - HOUR);
    ck_assert_int_eq(ca_times(c.ca).issuer_not_after, end);
    bool renewed = true;
    ck_assert_int_eq(authority_case_tick(&c, end - 10, &renewed), ERR_OK);
    ck_assert(!renewed); /* a new one could not last longer */
    ck_assert_int_ge(ca_next_at(c.ca), end);
    authority_case_close(&c);
    ck_assert_int_eq(authority_case_open(&c, end), ERR_CERT_EXPIRED);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "to begin with a new root"));
}
END_TEST

START_TEST(test_a_clock_before_the_root_is_an_error)
{
    authority_case_must_open(&c, NOW);
    authority_case_close(&c);
    ck_assert_int_eq(authority_case_open(&c, NOW - DAY), ERR_CERT_NOT_YET_VALID);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "clock"));
}
END_TEST

START_TEST(test_failed_allocations_read_nothing_and_leak_nothing)
{
    authority_case_must_open(&c, NOW);
    err_t err;
    long n = 0;
    do {
        authority_case_close(&c);
        mem_fail_after(n++);
        err = authority_case_open(&c, NOW);
        bool failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert(!failed || err != ERR_OK);
    } while (err != ERR_OK);
    struct issued i;
    do {
        ck_assert_int_eq(key_generate(KEY_EC_P256, &i.key, &c.why), ERR_OK);
        buf_init(&i.chain, 16 * 1024);
        mem_fail_after(n++ % 20);
        struct authority_request req = {
            .spiffe_id = web, .spki = key_spki(i.key), .now = NOW, .ttl_s = HOUR};
        err = ca_issue(c.ca, &req, &i.chain, &i.answer, &c.why);
        bool failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert(!failed || err != ERR_OK);
        ck_assert(err == ERR_OK || i.chain.len == 0);
        issued_done(&i);
    } while (err != ERR_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ca");
    TCase *t = tcase_create("ca");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_a_leaf_is_an_x509_svid);
    tcase_add_test(t, test_a_leaf_without_dns_names_still_has_a_subject);
    tcase_add_test(t, test_dns_names_stand_behind_the_one_uri);
    tcase_add_test(t, test_a_dns_name_too_long_for_a_common_name_is_left_out_there);
    tcase_add_test(t, test_signers_are_authorities_of_their_trust_domain_without_a_path);
    tcase_add_test(t, test_the_chain_leads_from_leaf_to_root);
    tcase_add_test(t, test_serials_and_answers_differ_each_time);
    tcase_add_test(t, test_a_leaf_never_outlives_its_issuer);
    tcase_add_test(t, test_a_failed_issuance_leaves_the_chain_as_it_was);
    tcase_add_test(t, test_the_issuer_is_renewed_at_half_its_life);
    tcase_add_test(t, test_a_jump_of_the_clock_makes_a_new_issuer_at_once);
    tcase_add_test(t, test_an_issuer_that_ran_out_while_the_agent_was_off_is_replaced);
    tcase_add_test(t, test_a_renewal_that_cannot_be_written_keeps_the_old_issuer);
    tcase_add_test(t, test_the_issuer_never_outlives_the_root);
    tcase_add_test(t, test_a_clock_before_the_root_is_an_error);
    tcase_add_test(t, test_failed_allocations_read_nothing_and_leak_nothing);
    suite_add_tcase(s, t);
    return run_suite(s);
}

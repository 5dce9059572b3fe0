/* Answers of the Workload API: what is taken, what is discarded and why. */
#include "common/base/mem.h"
#include "common/rpc/workload_message.h"
#include "tests/support/runner.h"
#include "tests/support/workload_answer.h"

#define WEB "spiffe://example.org/web"
#define DB "spiffe://example.org/db"

static struct cert *root, *web, *db, *partner;

static void setup(void)
{
    root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    partner = cert_make(&(struct cert_knobs){.ca = true, .cn = "partner"}, NULL);
    web = cert_make(&(struct cert_knobs){.uri = WEB}, root);
    db = cert_make(&(struct cert_knobs){.uri = DB}, root);
}

static void teardown(void)
{
    cert_free(db);
    cert_free(web);
    cert_free(partner);
    cert_free(root);
}

static struct answer good_answer(void)
{
    return (struct answer){.svids = {answer_svid_of(WEB, web, root), answer_svid_of(DB, db, root)},
                           .bundles = {{"spiffe://partner.test", cert_der(partner)}}};
}

static err_t decode(const struct answer *a, struct workload_svids *ret, struct why *why)
{
    struct buf bytes;
    buf_init(&bytes, 1u << 20);
    answer_put_svids(a, &bytes);
    err_t err = workload_svids_decode(buf_slice(&bytes), ret, why);
    buf_done(&bytes);
    return err;
}

START_TEST(test_a_good_answer_becomes_identities_in_its_order)
{
    struct answer a = good_answer();
    struct workload_svids svids = {0};
    a.svids[0].hint = "internal";
    ck_assert_int_eq(decode(&a, &svids, NULL), ERR_OK);
    ck_assert_uint_eq(svids.count, 2);
    ck_assert(slice_eq_str(identity_id(svids.items[0])->text, WEB)); /* WA-13 */
    ck_assert(slice_eq_str(identity_id(svids.items[1])->text, DB));
    ck_assert_str_eq(identity_hint(svids.items[0]), "internal");
    ck_assert(slice_eq(identity_chain(svids.items[0]), cert_der(web)));
    for (size_t i = 0; i < 2; i++) {
        const struct bundle_set *set = identity_bundles(svids.items[i]);
        ck_assert_uint_eq(set->count, 2);
        ck_assert_ptr_nonnull(bundle_set_find(set, slice_str("example.org")));
        ck_assert_ptr_nonnull(bundle_set_find(set, slice_str("partner.test")));
    }
    workload_svids_done(&svids);
}
END_TEST

/* WA-4 */
START_TEST(test_a_redacted_bundle_is_not_in_the_result)
{
    struct answer a = good_answer();
    struct workload_svids svids = {0};
    a.bundles[0].roots = slice_of(NULL, 0);
    ck_assert_int_eq(decode(&a, &svids, NULL), ERR_OK);
    ck_assert_ptr_null(
        bundle_set_find(identity_bundles(svids.items[0]), slice_str("partner.test")));
    workload_svids_done(&svids);
}
END_TEST

/* Odd roots are left out; of our own trust domain one must be left, another's costs us nothing. */
START_TEST(test_roots_of_no_use_void_no_bundle)
{
    struct cert *useless = cert_make(
        &(struct cert_knobs){.ca = true,
                             .cn = "old",
                             .spki = BYTES("\x30\x0a\x30\x05\x06\x03\x2b\x65\x71\x03\x01\x00")},
        NULL);
    struct answer a = good_answer();
    struct workload_svids svids = {0};
    struct why cause = {0};
    struct buf both;
    buf_init(&both, 1 << 16);
    ck_assert_int_eq(buf_append(&both, useless->der.data, useless->der.len), ERR_OK);
    a.svids[0].bundle = buf_slice(&both);
    ck_assert_int_eq(decode(&a, &svids, &cause), ERR_CERT_ALGORITHM);
    ck_assert_ptr_nonnull(strstr(cause.text, "svids[0]"));
    ck_assert_ptr_nonnull(strstr(cause.text, "root 1 of 1"));
    ck_assert_int_eq(buf_append(&both, root->der.data, root->der.len), ERR_OK);
    a.svids[0].bundle = buf_slice(&both);
    a.bundles[0].roots = cert_der(useless);
    ck_assert_msg(decode(&a, &svids, &cause) == ERR_OK, "%s", cause.text);
    const struct bundle_set *set = identity_bundles(svids.items[0]);
    const struct bundle *own = bundle_set_find(set, slice_str("example.org"));
    const struct bundle *foreign = bundle_set_find(set, slice_str("partner.test"));
    ck_assert_uint_eq(own->root_count, 1);
    ck_assert_uint_eq(own->skip_count, 1);
    ck_assert_uint_eq(foreign->root_count, 0);
    ck_assert_uint_eq(foreign->skip_count, 1);
    workload_svids_done(&svids);
    buf_done(&both);
    cert_free(useless);
}
END_TEST

/* WA-14: of a doubled hint the first counts. WA-15: empty ones may stand side by side. */
START_TEST(test_of_two_equal_hints_the_first_counts)
{
    struct answer a = good_answer();
    struct workload_svids svids = {0};
    a.svids[2] = answer_svid_of(WEB, web, root);
    a.svids[0].hint = a.svids[1].hint = "same";
    ck_assert_int_eq(decode(&a, &svids, NULL), ERR_OK);
    ck_assert_uint_eq(svids.count, 2);
    ck_assert(slice_eq_str(identity_id(svids.items[0])->text, WEB));
    ck_assert_str_eq(identity_hint(svids.items[1]), "");
    workload_svids_done(&svids);
}
END_TEST

static void no_svids(struct answer *a)
{
    a->svids[0].spiffe_id = NULL;
}
static void no_id(struct answer *a)
{
    a->svids[1].spiffe_id = "";
}
static void no_chain(struct answer *a)
{
    a->svids[1].chain.len = 0;
}
static void no_key(struct answer *a)
{
    a->svids[1].key.len = 0;
}
static void no_bundle(struct answer *a)
{
    a->svids[1].bundle.len = 0;
}
static void other_id(struct answer *a)
{
    a->svids[1].spiffe_id = "spiffe://example.org/other";
}
static void bad_id(struct answer *a)
{
    a->svids[1].spiffe_id = "https://example.org/db";
}
static void other_key(struct answer *a)
{
    a->svids[1].key = a->svids[0].key;
}
static void cut_chain(struct answer *a)
{
    a->svids[1].chain.len--;
}
static void cut_bundle(struct answer *a)
{
    a->svids[1].bundle.len--;
}
static void garbled_key(struct answer *a)
{
    a->svids[1].key = slice_str("not a key");
}
static void authority_as_leaf(struct answer *a)
{
    a->svids[1].chain = cert_der(root);
    a->svids[1].key = key_pkcs8(root->key);
}
static void bundle_key_with_path(struct answer *a)
{
    a->bundles[0].trust_domain = "spiffe://partner.test/x";
}
static void bundle_key_no_id(struct answer *a)
{
    a->bundles[0].trust_domain = "Partner Test";
}

/* WA-5, WA-10, WA-11: discarded whole, saying where. */
static const struct {
    void (*spoil)(struct answer *a);
    err_t err; /* ERR_OK: any */
    const char *text;
} bad[] = {
    {no_svids, ERR_PARSE, "svids is empty"},
    {no_id, ERR_PARSE, "svids[1] \"\": the required field spiffe_id"},
    {no_chain, ERR_PARSE, "svids[1] \"" DB "\": the required field x509_svid is"},
    {no_key, ERR_PARSE, "the required field x509_svid_key"},
    {no_bundle, ERR_PARSE, "the required field bundle"},
    {other_id, ERR_PARSE, "its certificate is for " DB},
    {bad_id, ERR_SPIFFE_ID, "svids[1]"},
    {other_key, ERR_KEY_MISMATCH, "svids[1]"},
    {cut_chain, ERR_CERT_MALFORMED, "svids[1]"},
    {cut_bundle, ERR_CERT_MALFORMED, "svids[1]"},
    {garbled_key, ERR_KEY, "svids[1]"},
    {authority_as_leaf, ERR_OK, "svids[1]"},
    {bundle_key_with_path, ERR_SPIFFE_ID, "spiffe://partner.test/x"},
    {bundle_key_no_id, ERR_SPIFFE_ID, "Partner Test"},
};

START_TEST(test_a_bad_answer_is_discarded_whole)
{
    struct answer a = good_answer();
    struct workload_svids svids = {0};
    struct why why = {0};
    bad[_i].spoil(&a);
    err_t err = decode(&a, &svids, &why);
    ck_assert_msg(err != ERR_OK && (bad[_i].err == ERR_OK || err == bad[_i].err), "%s: %s",
                  err_name(err), why.text);
    ck_assert_msg(strstr(why.text, bad[_i].text) != NULL, "%s", why.text);
    ck_assert_ptr_null(svids.items);
}
END_TEST

START_TEST(test_bytes_that_are_no_message_are_refused)
{
    struct workload_svids svids = {0};
    struct bundle_set set;
    struct slice junk = slice_of("\x0a\xff\xff\xff\xff\x0f", 6);
    ck_assert_int_eq(workload_svids_decode(junk, &svids, NULL), ERR_PARSE);
    ck_assert_int_eq(workload_bundles_decode(junk, &set, NULL), ERR_PARSE);
}
END_TEST

/* Two bytes of wire make an SVID of a hundred in memory. */
START_TEST(test_a_message_that_unpacks_too_large_is_refused)
{
    struct workload_svids svids = {0};
    struct buf bytes;
    struct why why = {0};
    buf_init(&bytes, 4u << 20);
    ck_assert_int_eq(buf_reserve(&bytes, 2u << 20), ERR_OK);
    err_t err = ERR_OK; /* a million asserts would take libcheck seconds */
    for (size_t i = 0; i < 1u << 20 && err == ERR_OK; i++)
        err = buf_append(&bytes, "\x0a\x00", 2);
    ck_assert_int_eq(err, ERR_OK);
    ck_assert_int_eq(workload_svids_decode(buf_slice(&bytes), &svids, &why), ERR_TOO_LARGE);
    buf_done(&bytes);
}
END_TEST

/* WA-20 */
START_TEST(test_bundles_are_taken_by_trust_domain)
{
    struct answer a = {.bundles = {{"spiffe://example.org", cert_der(root)},
                                   {"spiffe://partner.test", cert_der(partner)}}};
    struct bundle_set set;
    struct buf bytes;
    buf_init(&bytes, 1u << 20);
    answer_put_bundles(&a, &bytes);
    ck_assert_int_eq(workload_bundles_decode(buf_slice(&bytes), &set, NULL), ERR_OK);
    ck_assert_uint_eq(set.count, 2);
    const struct bundle *b = bundle_set_find(&set, slice_str("partner.test"));
    ck_assert_ptr_nonnull(b);
    ck_assert(slice_eq(slice_of(b->der, b->der_len), cert_der(partner)));
    bundle_set_done(&set);
    ck_assert_int_eq(workload_bundles_decode(slice_of(NULL, 0), &set, NULL), ERR_PARSE);
    buf_done(&bytes);
}
END_TEST

START_TEST(test_every_failed_allocation_is_an_error)
{
    struct answer a = good_answer();
    struct buf bytes;
    buf_init(&bytes, 1u << 20);
    answer_put_svids(&a, &bytes);
    for (long n = 0;; n++) {
        struct workload_svids svids = {0};
        mem_fail_after(n);
        err_t err = workload_svids_decode(buf_slice(&bytes), &svids, NULL);
        int failed = mem_did_fail();
        mem_fail_after(-1);
        workload_svids_done(&svids);
        ck_assert_int_eq(err, failed ? ERR_NO_MEMORY : ERR_OK);
        if (!failed)
            break;
    }
    buf_done(&bytes);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("workload_message");
    TCase *t = tcase_create("workload_message");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_a_good_answer_becomes_identities_in_its_order);
    tcase_add_test(t, test_a_redacted_bundle_is_not_in_the_result);
    tcase_add_test(t, test_roots_of_no_use_void_no_bundle);
    tcase_add_test(t, test_of_two_equal_hints_the_first_counts);
    tcase_add_loop_test(t, test_a_bad_answer_is_discarded_whole, 0, sizeof bad / sizeof bad[0]);
    tcase_add_test(t, test_bytes_that_are_no_message_are_refused);
    tcase_add_test(t, test_a_message_that_unpacks_too_large_is_refused);
    tcase_add_test(t, test_bundles_are_taken_by_trust_domain);
    tcase_add_test(t, test_every_failed_allocation_is_an_error);
    suite_add_tcase(s, t);
    return run_suite(s);
}

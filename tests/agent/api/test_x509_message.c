/* The messages of the Workload API's X.509 profile. */
#include "agent/api/x509_message.h"
#include "common/base/mem.h"
#include "tests/support/runner.h"
#include "workloadapi.pb-c.h"

#define ENTRY(id_, hint_)                                                                          \
    {                                                                                              \
        .id = (char *)(id_), .spiffe_id = (char *)"spiffe://td/" id_, .hint = (char *)(hint_)      \
    }

static const struct entry entries[] = {ENTRY("a", "x"), ENTRY("b", ""),  ENTRY("c", "x"),
                                       ENTRY("d", ""),  ENTRY("e", "y"), ENTRY("f", "x")};
enum { COUNT = 6 };
static uint8_t chain[] = {1, 2, 3}, key[] = {4, 5};
static struct svid svid = {.chain = chain, .chain_len = 3, .key = key, .key_len = 2};
static const uint8_t roots[] = {9, 9, 9, 9};

/* WA-14, WA-15 */
START_TEST(test_the_first_of_a_hint_stays_and_all_without_one)
{
    const struct entry *list[COUNT];
    for (int i = 0; i < COUNT; i++)
        list[i] = &entries[i];
    ck_assert_uint_eq(entries_drop_same_hints(list, COUNT), 4);
    ck_assert_ptr_eq(list[0], &entries[0]);
    ck_assert_ptr_eq(list[1], &entries[1]);
    ck_assert_ptr_eq(list[2], &entries[3]);
    ck_assert_ptr_eq(list[3], &entries[4]);
    ck_assert_uint_eq(entries_drop_same_hints(list, 0), 0);
}
END_TEST

/* WA-11, WA-12, WA-13 */
START_TEST(test_a_response_holds_every_svid_in_order_and_skips_what_is_not_there)
{
    const struct entry *list[] = {&entries[1], &entries[0], &entries[4]};
    struct svid *svids[] = {&svid, NULL, &svid};
    struct rpc_message *m = x509_svid_message(list, svids, 3, slice_of(roots, sizeof roots));
    struct slice bytes = rpc_message_bytes(m);
    X509SVIDResponse *r = x509_svidresponse__unpack(NULL, bytes.len, bytes.data);
    ck_assert_ptr_nonnull(r);
    ck_assert_uint_eq(r->n_svids, 2);
    ck_assert_str_eq(r->svids[0]->spiffe_id, "spiffe://td/b");
    ck_assert_str_eq(r->svids[0]->hint, "");
    ck_assert_str_eq(r->svids[1]->spiffe_id, "spiffe://td/e");
    ck_assert_str_eq(r->svids[1]->hint, "y");
    ck_assert_mem_eq(r->svids[1]->x509_svid.data, chain, sizeof chain);
    ck_assert_uint_eq(r->svids[1]->x509_svid_key.len, sizeof key);
    ck_assert_mem_eq(r->svids[1]->bundle.data, roots, sizeof roots);
    ck_assert_uint_eq(r->n_federated_bundles, 0);
    ck_assert_uint_eq(r->n_crl, 0);
    x509_svidresponse__free_unpacked(r, NULL);
    rpc_message_unref(m);
}
END_TEST

/* WA-20 */
START_TEST(test_the_bundles_hold_the_own_trust_domain)
{
    struct rpc_message *m = x509_bundles_message("example.org", slice_of(roots, sizeof roots));
    struct slice bytes = rpc_message_bytes(m);
    X509BundlesResponse *r = x509_bundles_response__unpack(NULL, bytes.len, bytes.data);
    ck_assert_ptr_nonnull(r);
    ck_assert_uint_eq(r->n_bundles, 1);
    ck_assert_str_eq(r->bundles[0]->key, "spiffe://example.org");
    ck_assert_mem_eq(r->bundles[0]->value.data, roots, sizeof roots);
    x509_bundles_response__free_unpacked(r, NULL);
    rpc_message_unref(m);
}
END_TEST

/* WA-3: what decides whether a client is sent it again. */
START_TEST(test_messages_are_equal_when_their_bytes_are)
{
    struct rpc_message *a = rpc_message_new(slice_str("same"));
    struct rpc_message *b = rpc_message_new(slice_str("same"));
    struct rpc_message *c = rpc_message_new(slice_str("sames"));
    ck_assert(rpc_message_eq(a, a) && rpc_message_eq(a, b) && rpc_message_eq(NULL, NULL));
    ck_assert(!rpc_message_eq(a, c) && !rpc_message_eq(a, NULL) && !rpc_message_eq(NULL, a));
    rpc_message_unref(rpc_message_ref(a));
    rpc_message_unref(a);
    rpc_message_unref(b);
    rpc_message_unref(c);
    rpc_message_unref(NULL);
}
END_TEST

START_TEST(test_no_memory_is_no_message_and_no_leak)
{
    const struct entry *list[] = {&entries[0]};
    struct svid *svids[] = {&svid};
    struct rpc_message *m = NULL;
    for (long n = 0; m == NULL; n++) {
        mem_fail_after(n);
        m = x509_svid_message(list, svids, 1, slice_of(roots, sizeof roots));
        ck_assert(m != NULL || mem_did_fail());
        mem_fail_after(-1);
    }
    rpc_message_unref(m);
    m = NULL;
    for (long n = 0; m == NULL; n++) {
        mem_fail_after(n);
        m = x509_bundles_message("td", slice_of(roots, sizeof roots));
        ck_assert(m != NULL || mem_did_fail());
        mem_fail_after(-1);
    }
    rpc_message_unref(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("x509_message");
    TCase *t = tcase_create("x509_message");
    tcase_add_test(t, test_the_first_of_a_hint_stays_and_all_without_one);
    tcase_add_test(t, test_a_response_holds_every_svid_in_order_and_skips_what_is_not_there);
    tcase_add_test(t, test_the_bundles_hold_the_own_trust_domain);
    tcase_add_test(t, test_messages_are_equal_when_their_bytes_are);
    tcase_add_test(t, test_no_memory_is_no_message_and_no_leak);
    suite_add_tcase(s, t);
    return run_suite(s);
}

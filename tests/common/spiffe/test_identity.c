/* Identities: chain, key and bundles that belong together, shared by reference; bundles alone. */
#include "common/base/mem.h"
#include "common/encode/oid.h"
#include "common/spiffe/identity.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#include <pthread.h>
#include <stdio.h>

#define WEB "spiffe://example.org/web"

static struct why why;
static struct bundle_set bundles;
static struct cert *root, *issuer, *leaf;
static struct buf chain;

static void start(void)
{
    why = (struct why){0};
    bundle_set_init(&bundles);
    root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    issuer = cert_make(&(struct cert_knobs){.ca = true, .cn = "issuer"}, root);
    leaf = cert_make(&(struct cert_knobs){.uri = WEB}, issuer);
    buf_init(&chain, 1 << 16);
    ck_assert_int_eq(buf_append(&chain, leaf->der.data, leaf->der.len), ERR_OK);
    ck_assert_int_eq(buf_append(&chain, issuer->der.data, issuer->der.len), ERR_OK);
    cert_trust(&bundles, "example.org", root);
}

static void stop(void)
{
    cert_free(leaf);
    cert_free(issuer);
    cert_free(root);
    buf_done(&chain);
    bundle_set_done(&bundles);
}

static struct identity *make(void)
{
    struct identity *id = NULL;
    struct bundle_set taken;
    ck_assert_int_eq(bundle_set_copy(&bundles, &taken), ERR_OK);
    err_t err =
        identity_new(buf_slice(&chain), key_pkcs8(leaf->key), "internal", &taken, &id, &why);
    ck_assert_msg(err == ERR_OK, "%s", why.text);
    ck_assert_uint_eq(taken.count, 0); /* taken over */
    return id;
}

START_TEST(test_an_identity_says_what_it_was_made_of)
{
    struct identity *id = make();
    ck_assert(slice_eq_str(identity_id(id)->text, WEB));
    ck_assert(slice_eq_str(identity_id(id)->trust_domain, "example.org"));
    ck_assert(slice_eq(identity_leaf(id)->der, cert_der(leaf)));
    ck_assert(slice_eq(identity_chain(id), buf_slice(&chain)));
    ck_assert(identity_chain(id).data != chain.data);
    ck_assert_uint_eq(identity_cert_count(id), 2);
    ck_assert(slice_eq(identity_cert(id, 1)->der, cert_der(issuer)));
    ck_assert(slice_eq(identity_key_pkcs8(id), key_pkcs8(leaf->key)));
    ck_assert_str_eq(identity_hint(id), "internal");
    ck_assert(bundle_set_eq(identity_bundles(id), &bundles));
    identity_unref(id);
    identity_unref(NULL);
}
END_TEST

START_TEST(test_a_key_that_is_not_the_certificates_is_refused)
{
    struct identity *id = NULL;
    ck_assert_int_eq(
        identity_new(buf_slice(&chain), key_pkcs8(issuer->key), NULL, &bundles, &id, &why),
        ERR_KEY_MISMATCH);
    ck_assert_ptr_nonnull(strstr(why.text, WEB));
    ck_assert_ptr_null(id);
    ck_assert_uint_eq(bundles.count, 1); /* still the caller's */
}
END_TEST

START_TEST(test_a_chain_that_is_no_svid_is_refused)
{
    static const struct {
        struct cert_knobs knobs;
        err_t want;
    } bad[] = {
        {{.cn = "x"}, ERR_LEAF_NO_URI},
        {{.uri = "https://example.org/web"}, ERR_LEAF_ID_INVALID},
        {{.uri = "spiffe://example.org"}, ERR_LEAF_ID_ROOT_PATH},
        {{.uri = WEB, .ca = true, .cn = "x"}, ERR_LEAF_IS_CA},
    };
    struct cert *c = cert_make(&bad[_i].knobs, issuer);
    struct identity *id = NULL;
    ck_assert_int_eq(identity_new(cert_der(c), key_pkcs8(c->key), NULL, &bundles, &id, &why),
                     bad[_i].want);
    cert_free(c);
}
END_TEST

START_TEST(test_an_empty_or_long_or_broken_chain_is_refused)
{
    struct identity *id = NULL;
    ck_assert_int_eq(identity_new(OID(""), key_pkcs8(leaf->key), NULL, &bundles, &id, &why),
                     ERR_CERT_MALFORMED);
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(buf_append(&chain, issuer->der.data, issuer->der.len), ERR_OK);
    ck_assert_int_eq(
        identity_new(buf_slice(&chain), key_pkcs8(leaf->key), NULL, &bundles, &id, &why),
        ERR_CHAIN_TOO_LONG);
    chain.len = leaf->der.len;
    ck_assert_int_eq(buf_append(&chain, "\x30\x00", 2), ERR_OK);
    ck_assert_int_eq(
        identity_new(buf_slice(&chain), key_pkcs8(leaf->key), NULL, &bundles, &id, &why),
        ERR_CERT_MALFORMED);
    ck_assert_ptr_nonnull(strstr(why.text, "certificate 2 of 2"));
    ck_assert_int_eq(identity_new(cert_der(leaf), OID("no key"), NULL, &bundles, &id, &why),
                     ERR_KEY);
}
END_TEST

START_TEST(test_identities_are_equal_by_chain_key_and_bundles)
{
    struct identity *a = make(), *b = make();
    ck_assert(identity_eq(a, b));
    identity_unref(b);
    cert_trust(&bundles, "other.test", root);
    b = make();
    ck_assert(!identity_eq(a, b));
    identity_unref(b);
    bundle_set_done(&bundles);
    cert_trust(&bundles, "example.org", root);
    chain.len = leaf->der.len;
    b = make();
    ck_assert(!identity_eq(a, b));
    identity_unref(b);
    identity_unref(a);
}
END_TEST

static void *use(void *arg)
{
    for (int i = 0; i < 10000; i++)
        identity_unref(identity_ref(arg));
    identity_unref(arg);
    return NULL;
}

START_TEST(test_an_identity_is_shared_between_threads)
{
    struct identity *id = make();
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use, identity_ref(id)), 0);
    identity_unref(id);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

START_TEST(test_identity_survives_every_failed_allocation)
{
    err_t err = ERR_NO_MEMORY;
    for (long n = 0; err != ERR_OK; n++) {
        struct identity *id = NULL;
        struct bundle_set copy = {0};
        mem_fail_after(n);
        err = bundle_set_copy(&bundles, &copy);
        if (err == ERR_OK)
            err = bundle_set_put(&copy, slice_str("other.test"), cert_der(root), &why);
        if (err == ERR_OK)
            err = identity_new(buf_slice(&chain), key_pkcs8(leaf->key), "h", &copy, &id, &why);
        ck_assert(err == ERR_OK ? !mem_did_fail() : err == ERR_NO_MEMORY);
        mem_fail_after(-1);
        bundle_set_done(&copy);
        identity_unref(id);
    }
}
END_TEST

/* FD-13: apart, in order, found by exact name. */
START_TEST(test_bundles_are_kept_apart_and_found)
{
    static const char *const names[] = {"b.test", "a.test", "c.test", "a", "a.test.x"};
    for (size_t i = 0; i < 5; i++)
        cert_trust(&bundles, names[i], i % 2 == 0 ? root : issuer);
    ck_assert_uint_eq(bundles.count, 6);
    for (size_t i = 1; i < bundles.count; i++)
        ck_assert_int_lt(strcmp(bundles.items[i - 1].trust_domain, bundles.items[i].trust_domain),
                         0);
    for (size_t i = 0; i < 5; i++) {
        const struct bundle *b = bundle_set_find(&bundles, slice_str(names[i]));
        ck_assert_ptr_nonnull(b);
        ck_assert_str_eq(b->trust_domain, names[i]);
        ck_assert_uint_eq(b->root_count, 1);
        ck_assert(slice_eq(b->roots[0].der, cert_der(i % 2 == 0 ? root : issuer)));
    }
    ck_assert_ptr_null(bundle_set_find(&bundles, slice_str("a.tes")));
    ck_assert_ptr_null(bundle_set_find(&bundles, slice_str("")));
    ck_assert_ptr_null(bundle_set_find(&bundles, slice_str("zzz")));
}
END_TEST

/* BN-2: an empty bundle is known and trusts nothing. */
START_TEST(test_a_bundle_is_replaced_whole)
{
    struct slice domain = slice_str("example.org");
    ck_assert_int_eq(bundle_set_put(&bundles, domain, cert_der(issuer), &why), ERR_OK);
    ck_assert_uint_eq(bundles.count, 1);
    ck_assert(slice_eq(bundles.items[0].roots[0].der, cert_der(issuer)));
    ck_assert_int_eq(bundle_set_put(&bundles, domain, OID(""), &why), ERR_OK);
    ck_assert_uint_eq(bundle_set_find(&bundles, domain)->root_count, 0);
}
END_TEST

START_TEST(test_a_bad_bundle_changes_nothing)
{
    struct slice domain = slice_str("example.org");
    ck_assert_int_eq(bundle_set_put(&bundles, domain, OID("\x30\x00"), &why), ERR_CERT_MALFORMED);
    ck_assert_ptr_nonnull(strstr(why.text, "root 1 of 1"));
    ck_assert_int_eq(bundle_set_put(&bundles, domain, OID("-----BEGIN"), &why), ERR_CERT_MALFORMED);
    struct buf many;
    buf_init(&many, 1 << 20);
    for (int i = 0; i <= BUNDLE_ROOTS_MAX; i++)
        ck_assert_int_eq(buf_append(&many, root->der.data, root->der.len), ERR_OK);
    ck_assert_int_eq(bundle_set_put(&bundles, domain, buf_slice(&many), &why), ERR_LIMIT);
    many.len -= root->der.len;
    ck_assert(slice_eq(bundles.items[0].roots[0].der, cert_der(root)));
    ck_assert_int_eq(bundle_set_put(&bundles, domain, buf_slice(&many), &why), ERR_OK);
    ck_assert_uint_eq(bundles.items[0].root_count, BUNDLE_ROOTS_MAX);
    ck_assert_int_eq(bundle_set_put(&bundles, slice_str("Example.org"), OID(""), &why),
                     ERR_SPIFFE_ID);
    buf_done(&many);
}
END_TEST

START_TEST(test_trust_domains_have_a_cap)
{
    char name[32];
    for (int i = 1; i < BUNDLE_DOMAINS_MAX; i++) {
        snprintf(name, sizeof name, "td%d", i);
        ck_assert_int_eq(bundle_set_put(&bundles, slice_str(name), OID(""), &why), ERR_OK);
    }
    ck_assert_int_eq(bundle_set_put(&bundles, slice_str("one.more"), OID(""), &why), ERR_LIMIT);
    ck_assert_int_eq(bundle_set_put(&bundles, slice_str("td7"), cert_der(root), &why), ERR_OK);
    struct bundle_set copy;
    ck_assert_int_eq(bundle_set_copy(&bundles, &copy), ERR_OK);
    ck_assert(bundle_set_eq(&bundles, &copy));
    bundle_set_done(&copy);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("identity");
    TCase *t = tcase_create("identity");
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, test_an_identity_says_what_it_was_made_of);
    tcase_add_test(t, test_a_key_that_is_not_the_certificates_is_refused);
    tcase_add_loop_test(t, test_a_chain_that_is_no_svid_is_refused, 0, 4);
    tcase_add_test(t, test_an_empty_or_long_or_broken_chain_is_refused);
    tcase_add_test(t, test_identities_are_equal_by_chain_key_and_bundles);
    tcase_add_test(t, test_an_identity_is_shared_between_threads);
    tcase_add_test(t, test_identity_survives_every_failed_allocation);
    tcase_add_test(t, test_bundles_are_kept_apart_and_found);
    tcase_add_test(t, test_a_bundle_is_replaced_whole);
    tcase_add_test(t, test_a_bad_bundle_changes_nothing);
    tcase_add_test(t, test_trust_domains_have_a_cap);
    suite_add_tcase(s, t);
    return run_suite(s);
}

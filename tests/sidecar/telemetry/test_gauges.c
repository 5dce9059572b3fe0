/* What the sidecar's metrics say of its identity: rotations, ages, ends. */
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/metric/metric_page.h"
#include "sidecar/telemetry/gauges.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#include <string.h>

#define WEB "spiffe://example.org/web"

static uv_loop_t loop;
static struct metrics *m;
static struct gauges *g;
static struct cert *root, *late_root, *issuer;
static int64_t now;

static void open_gauges(void)
{
    ck_assert_int_eq(metrics_new(sidecar_families, SIDECAR_METRIC_COUNT, "t_", &m, NULL), ERR_OK);
    ck_assert_int_eq(gauges_open(&loop, m, &g, NULL), ERR_OK);
}

static void setup(void)
{
    now = clock_wall_s();
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root", .not_after = now + 9000}, NULL);
    late_root =
        cert_make(&(struct cert_knobs){.ca = true, .cn = "late", .not_after = now + 99000}, NULL);
    issuer =
        cert_make(&(struct cert_knobs){.ca = true, .cn = "issuer", .not_after = now + 7000}, root);
    open_gauges();
}

static void teardown(void)
{
    gauges_stop(g);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    gauges_free(g);
    metrics_free(m);
    cert_free(issuer);
    cert_free(late_root);
    cert_free(root);
}

/* In use with these roots; both or the first. */
static void use(const struct cert *leaf, size_t roots)
{
    struct identity *id = NULL;
    struct bundle_set bundles;
    struct buf chain;
    buf_init(&chain, 1 << 16);
    bundle_set_init(&bundles);
    ck_assert_int_eq(buf_append(&chain, leaf->der.data, leaf->der.len), ERR_OK);
    ck_assert_int_eq(buf_append(&chain, issuer->der.data, issuer->der.len), ERR_OK);
    struct buf anchors;
    buf_init(&anchors, 1 << 16);
    ck_assert_int_eq(buf_append(&anchors, root->der.data, root->der.len), ERR_OK);
    if (roots > 1)
        ck_assert_int_eq(buf_append(&anchors, late_root->der.data, late_root->der.len), ERR_OK);
    ck_assert_int_eq(bundle_set_put(&bundles, slice_str("example.org"), buf_slice(&anchors), NULL),
                     ERR_OK);
    if (roots > 1)
        cert_trust(&bundles, "partner.test", late_root);
    ck_assert_int_eq(
        identity_new(buf_slice(&chain), key_pkcs8(leaf->key), NULL, &bundles, &id, NULL), ERR_OK);
    gauges_set_identity(g, id);
    identity_unref(id);
    buf_done(&chain);
    buf_done(&anchors);
}

static struct cert *leaf_of(const char *uri)
{
    return cert_make(
        &(struct cert_knobs){.uri = uri, .not_before = now - 100, .not_after = now + 3500}, issuer);
}

static uint64_t rotations(void)
{
    return metric_read(m, M_MTLS_CERTIFICATE_ROTATIONS, 0, 0, 0);
}

/* A renewal within one second has the same times. */
START_TEST(test_each_new_certificate_is_a_rotation_but_the_first)
{
    struct cert *first = leaf_of(WEB), *second = leaf_of(WEB);
    use(first, 1);
    ck_assert_uint_eq(rotations(), 0);
    use(first, 2); /* new bundles alone */
    ck_assert_uint_eq(rotations(), 0);
    use(second, 2);
    ck_assert_uint_eq(rotations(), 1);
    use(second, 2);
    use(first, 2);
    ck_assert_uint_eq(rotations(), 2);
    ck_assert_uint_eq(metric_read(m, M_SVID_ROTATIONS, RESULT_SUCCESS, 0, 0), 3);
    cert_free(first);
    cert_free(second);
}
END_TEST

START_TEST(test_ages_follow_the_clock_at_each_scrape)
{
    struct cert *leaf = leaf_of(WEB);
    metrics_scrape(m);
    ck_assert_uint_eq(metric_read(m, M_MTLS_CERTIFICATE_AGE, 0, 0, 0), 0);
    use(leaf, 1);
    metrics_scrape(m);
    uint64_t age = metric_read(m, M_MTLS_CERTIFICATE_AGE, 0, 0, 0);
    ck_assert_uint_ge(age, 100);
    ck_assert_uint_le(age, 200);
    uint64_t left = metric_read(m, M_MTLS_CERTIFICATE_EXPIRY, 0, 0, 0);
    ck_assert_uint_eq(left + age, 3600);
    cert_free(leaf);
}
END_TEST

START_TEST(test_ends_of_leaf_authority_and_bundles_are_absolute)
{
    struct cert *leaf = leaf_of(WEB);
    use(leaf, 2);
    ck_assert_uint_eq(metric_read(m, M_SVID_NOT_BEFORE, 0, 0, 0), (uint64_t)now - 100);
    ck_assert_uint_eq(metric_read(m, M_SVID_NOT_AFTER, 0, 0, 0), (uint64_t)now + 3500);
    ck_assert_uint_eq(metric_read(m, M_ISSUER_NOT_AFTER, 0, 0, 0), (uint64_t)now + 7000);
    size_t own = metric_dynamic(m, M_BUNDLE_NOT_AFTER, "example.org");
    size_t partner = metric_dynamic(m, M_BUNDLE_NOT_AFTER, "partner.test");
    ck_assert_uint_eq(metric_read(m, M_BUNDLE_NOT_AFTER, own, ROOT_FIRST, 0), (uint64_t)now + 9000);
    ck_assert_uint_eq(metric_read(m, M_BUNDLE_NOT_AFTER, own, ROOT_LAST, 0), (uint64_t)now + 99000);
    ck_assert_uint_eq(metric_read(m, M_BUNDLE_NOT_AFTER, partner, ROOT_FIRST, 0),
                      (uint64_t)now + 99000);
    use(leaf, 1); /* one root and one domain less */
    ck_assert_uint_eq(metric_read(m, M_BUNDLE_NOT_AFTER, own, ROOT_LAST, 0), (uint64_t)now + 9000);
    ck_assert_uint_eq(metric_label_values(m, M_BUNDLE_NOT_AFTER, 0), 1);
    cert_free(leaf);
}
END_TEST

/* A bundle with a root of no use is told of once, whatever else changes about the identity. */
START_TEST(test_roots_of_no_use_are_counted_once_for_each_new_bundle)
{
    struct cert *first = leaf_of(WEB), *second = leaf_of(WEB), *good = late_root;
    struct cert *useless = cert_make(
        &(struct cert_knobs){.ca = true,
                             .cn = "old",
                             .spki = BYTES("\x30\x0a\x30\x05\x06\x03\x2b\x65\x71\x03\x01\x00")},
        NULL);
    use(first, 2);
    ck_assert_uint_eq(metric_read(m, M_ROOTS_SKIPPED, 0, 0, 0), 0);
    struct buf both;
    buf_init(&both, 1 << 16);
    ck_assert_int_eq(buf_append(&both, good->der.data, good->der.len), ERR_OK);
    ck_assert_int_eq(buf_append(&both, useless->der.data, useless->der.len), ERR_OK);
    struct buf kept = late_root->der;
    late_root->der = both; /* two roots where there was one, in two bundles */
    use(first, 2);
    ck_assert_uint_eq(metric_read(m, M_ROOTS_SKIPPED, 0, 0, 0), 2);
    use(second, 2);
    ck_assert_uint_eq(metric_read(m, M_ROOTS_SKIPPED, 0, 0, 0), 2);
    late_root->der = kept;
    use(second, 2);
    late_root->der = both;
    use(second, 2);
    ck_assert_uint_eq(metric_read(m, M_ROOTS_SKIPPED, 0, 0, 0), 4);
    late_root->der = kept;
    buf_done(&both);
    cert_free(useless);
    cert_free(first);
    cert_free(second);
}
END_TEST

/* Nobody scrapes the sidecar itself. */
START_TEST(test_the_page_is_kept_fresh_by_a_timer)
{
    struct cert *leaf = leaf_of(WEB);
    int page = -1;
    use(leaf, 1);
    ck_assert_int_eq(metric_page_create(1, &page, NULL), ERR_OK);
    ck_assert_int_eq(metrics_adopt_page(m, page, NULL), ERR_OK);
    metric_set(m, M_MTLS_CERTIFICATE_AGE, 0, 0, 0, 0);
    uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_ge(metric_read(m, M_MTLS_CERTIFICATE_AGE, 0, 0, 0), 100);
    cert_free(leaf);
}
END_TEST

START_TEST(test_every_failed_allocation_is_an_error)
{
    for (long n = 0;; n++) {
        struct gauges *one = NULL;
        mem_fail_after(n);
        err_t err = gauges_open(&loop, m, &one, NULL);
        bool failed = mem_did_fail() != 0;
        mem_fail_after(-1);
        ck_assert_int_eq(err, failed ? ERR_NO_MEMORY : ERR_OK);
        if (!failed) {
            gauges_stop(one);
            uv_run(&loop, UV_RUN_NOWAIT);
            gauges_free(one);
            break;
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gauges");
    TCase *t = tcase_create("gauges");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_each_new_certificate_is_a_rotation_but_the_first);
    tcase_add_test(t, test_ages_follow_the_clock_at_each_scrape);
    tcase_add_test(t, test_ends_of_leaf_authority_and_bundles_are_absolute);
    tcase_add_test(t, test_roots_of_no_use_are_counted_once_for_each_new_bundle);
    tcase_add_test(t, test_the_page_is_kept_fresh_by_a_timer);
    tcase_add_test(t, test_every_failed_allocation_is_an_error);
    suite_add_tcase(s, t);
    return run_suite(s);
}

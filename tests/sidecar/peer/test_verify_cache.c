/* A hit of the cache is as good as a new verification: it tells the same path, and what changes
 * between two handshakes of one chain still counts. */
#include "sidecar/peer/verify_cache.h"

#include "common/base/mem.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#define WEB "spiffe://example.org/web"

static struct verify_cache *cache;
static struct bundle_set bundles;
static struct cert *root, *middle, *issuer, *leaf;
static struct slice chain[3];
static struct svid_verify_options opt;
static struct svid_peer peer;
static struct why why;

static void start(void)
{
    cache = mem_alloc(sizeof *cache);
    bundle_set_init(&bundles);
    root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    middle = cert_make(&(struct cert_knobs){.ca = true, .cn = "middle"}, root);
    issuer = cert_make(&(struct cert_knobs){.ca = true, .cn = "issuer"}, middle);
    leaf = cert_make(&(struct cert_knobs){.uri = WEB}, issuer);
    cert_trust(&bundles, "example.org", root);
    chain[0] = cert_der(leaf);
    chain[1] = cert_der(middle); /* not in the order of the path */
    chain[2] = cert_der(issuer);
    opt = (struct svid_verify_options){
        .bundles = &bundles, .peer_role = SVID_ROLE_CLIENT, .now = CERTS_NOW};
}

static void stop(void)
{
    bundle_set_done(&bundles);
    cert_free(leaf);
    cert_free(issuer);
    cert_free(middle);
    cert_free(root);
    mem_free(cache);
}

static err_t check(void)
{
    why = (struct why){0};
    return verify_cache_check(cache, chain, 3, &opt, &peer, &why);
}

/* A hit does not look at the bundles: without them only a hit is admitted. */
static void expect_hit(bool hit)
{
    struct bundle_set none;
    bundle_set_init(&none);
    opt.bundles = &none;
    ck_assert_int_eq(check(), hit ? ERR_OK : ERR_TRUST_DOMAIN_UNKNOWN);
    opt.bundles = &bundles;
}

START_TEST(test_a_hit_tells_the_path_that_was_verified)
{
    expect_hit(false);
    ck_assert_msg(check() == ERR_OK, "%s", why.text);
    struct svid_peer first = peer;
    peer = (struct svid_peer){0};
    expect_hit(true);
    ck_assert_uint_eq(peer.path_len, 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert(slice_eq(peer.path[i].serial, first.path[i].serial));
        ck_assert_uint_eq(peer.path[i].at, first.path[i].at);
        ck_assert_mem_eq(peer.path[i].issuer, first.path[i].issuer, X509_KEY_ID_LEN);
    }
    ck_assert_mem_eq(peer.anchor, first.anchor, X509_KEY_ID_LEN);
    ck_assert(slice_eq_str(peer.id.text, WEB) && peer.id_parsed && peer.leaf_parsed);
}
END_TEST

START_TEST(test_a_limit_of_life_counts_for_hits_too)
{
    opt.max_lifetime_s = 3610;
    ck_assert_int_eq(check(), ERR_OK);
    expect_hit(true);
    opt.max_lifetime_s = 3609;
    ck_assert_int_eq(check(), ERR_LIFETIME_TOO_LONG);
    ck_assert_ptr_nonnull(strstr(why.text, WEB));
    opt.lifetime_domain = slice_str("partner.test");
    ck_assert_int_eq(check(), ERR_OK);
    expect_hit(true);
}
END_TEST

START_TEST(test_a_hit_ends_with_the_first_certificate_that_runs_out)
{
    ck_assert_int_eq(check(), ERR_OK);
    opt.now = leaf->x509.not_after;
    expect_hit(false);
    opt.now = leaf->x509.not_after + 1;
    ck_assert_int_eq(check(), ERR_CERT_EXPIRED);
}
END_TEST

/* The root runs out before the leaf: in the hour's midst, and in the very second of the handshake.
 */
START_TEST(test_a_hit_ends_with_the_root_that_runs_out_before_its_leaf)
{
    int64_t end = CERTS_NOW + (_i == 0 ? 100 : 0);
    struct cert *brief =
        cert_make(&(struct cert_knobs){.ca = true, .cn = "brief", .not_after = end}, NULL);
    struct cert *web = cert_make(&(struct cert_knobs){.uri = WEB}, brief);
    struct slice shown[] = {cert_der(web)};
    cert_trust(&bundles, "example.org", brief);
    ck_assert_int_gt(web->x509.not_after, end);
    ck_assert_msg(verify_cache_check(cache, shown, 1, &opt, &peer, &why) == ERR_OK, "%s", why.text);
    opt.now = end;
    ck_assert_int_eq(verify_cache_check(cache, shown, 1, &opt, &peer, &why), ERR_OK);
    opt.now = end + 1;
    ck_assert_int_eq(verify_cache_check(cache, shown, 1, &opt, &peer, &why), ERR_CERT_EXPIRED);
    cert_free(web);
    cert_free(brief);
}
END_TEST

/* One that ran out before the verdict has no say in when that ends. */
START_TEST(test_a_root_that_had_run_out_does_not_end_the_hits_of_another)
{
    struct cert *old =
        cert_make(&(struct cert_knobs){.ca = true, .cn = "old", .not_after = CERTS_NOW - 1}, NULL);
    struct slice roots[] = {cert_der(old), cert_der(root)};
    bundle_set_done(&bundles);
    bundle_set_init(&bundles);
    struct buf both;
    buf_init(&both, 1 << 16);
    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(buf_append(&both, roots[i].data, roots[i].len), ERR_OK);
    ck_assert_int_eq(bundle_set_put(&bundles, slice_str("example.org"), buf_slice(&both), &why),
                     ERR_OK);
    ck_assert_int_eq(check(), ERR_OK);
    expect_hit(true);
    buf_done(&both);
    cert_free(old);
}
END_TEST

START_TEST(test_a_refusal_is_not_kept)
{
    opt.now = leaf->x509.not_before - 1;
    ck_assert_int_eq(check(), ERR_CERT_NOT_YET_VALID);
    opt.now = CERTS_NOW;
    ck_assert_int_eq(check(), ERR_OK);
    verify_cache_clear(cache);
    expect_hit(false);
}
END_TEST

START_TEST(test_a_chain_is_verified_anew_for_the_other_role)
{
    ck_assert_int_eq(check(), ERR_OK);
    opt.peer_role = SVID_ROLE_SERVER;
    expect_hit(false);
}
END_TEST

static err_t check_chain(const struct slice *shown, size_t count, bool with_roots)
{
    struct bundle_set none;
    bundle_set_init(&none);
    opt.bundles = with_roots ? &bundles : &none;
    err_t err = verify_cache_check(cache, shown, count, &opt, &peer, &why);
    opt.bundles = &bundles;
    return err;
}

/* Whoever comes second must not profit from who came first: each byte of each certificate counts,
 * their number, and where one ends and the next begins. */
START_TEST(test_another_chain_is_no_hit)
{
    struct cert *other = cert_make(&(struct cert_knobs){.uri = WEB}, issuer);
    uint8_t joined[8192];
    ck_assert_int_eq(check(), ERR_OK);
    expect_hit(true);
    struct slice swapped[] = {chain[0], chain[2], chain[1]};
    struct slice shorter[] = {chain[0], chain[1]};
    struct slice another[] = {cert_der(other), chain[1], chain[2]};
    ck_assert_int_eq(check_chain(swapped, 3, false), ERR_TRUST_DOMAIN_UNKNOWN);
    ck_assert_int_eq(check_chain(shorter, 2, false), ERR_TRUST_DOMAIN_UNKNOWN);
    ck_assert_int_eq(check_chain(another, 3, false), ERR_TRUST_DOMAIN_UNKNOWN);
    memcpy(joined, chain[0].data, chain[0].len);
    memcpy(joined + chain[0].len, chain[1].data, chain[1].len);
    memcpy(joined + chain[0].len + chain[1].len, chain[2].data, chain[2].len);
    struct slice moved[] = {slice_of(joined, chain[0].len),
                            slice_of(joined + chain[0].len, chain[1].len + 1),
                            slice_of(joined + chain[0].len + chain[1].len + 1, chain[2].len - 1)};
    ck_assert_int_ne(check_chain(moved, 3, false), ERR_OK);
    for (size_t i = 0; i < 3; i++)
        for (size_t at = 0; at < chain[i].len; at += i == 0 ? 1 : chain[i].len - 1) {
            uint8_t changed[4096];
            struct slice shown[] = {chain[0], chain[1], chain[2]};
            memcpy(changed, chain[i].data, chain[i].len);
            changed[at] ^= 1;
            shown[i] = slice_of(changed, chain[i].len);
            ck_assert_int_ne(check_chain(shown, 3, false), ERR_OK);
        }
    expect_hit(true);
    cert_free(other);
}
END_TEST

/* A forger shows the real name under a root of its own, right after the real one was admitted. */
START_TEST(test_a_forged_chain_is_refused_behind_the_real_one)
{
    struct cert *forger = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    struct cert *forged = cert_make(&(struct cert_knobs){.uri = WEB}, forger);
    struct slice shown[] = {cert_der(forged), cert_der(forger), cert_der(issuer)};
    ck_assert_int_eq(check(), ERR_OK);
    ck_assert_int_ne(check_chain(shown, 1, true), ERR_OK);
    ck_assert_int_ne(check_chain(shown, 2, true), ERR_OK);
    ck_assert_int_ne(check_chain(shown, 3, true), ERR_OK);
    cert_free(forged);
    cert_free(forger);
}
END_TEST

/* The authorities in between have their times too. */
START_TEST(test_a_hit_stays_within_the_times_of_the_intermediates)
{
    struct cert *brief = cert_make(
        &(struct cert_knobs){
            .ca = true, .cn = "brief", .not_before = CERTS_NOW - 5, .not_after = CERTS_NOW + 5},
        root);
    struct cert *web = cert_make(&(struct cert_knobs){.uri = WEB}, brief);
    struct slice shown[] = {cert_der(web), cert_der(brief)};
    ck_assert_int_eq(check_chain(shown, 2, true), ERR_OK);
    opt.now = CERTS_NOW - 5;
    ck_assert_int_eq(check_chain(shown, 2, false), ERR_OK);
    opt.now = CERTS_NOW - 6; /* the leaf is valid, its issuer is not yet */
    ck_assert_int_eq(check_chain(shown, 2, true), ERR_CERT_NOT_YET_VALID);
    opt.now = CERTS_NOW + 4;
    ck_assert_int_eq(check_chain(shown, 2, false), ERR_OK);
    opt.now = CERTS_NOW + 6;
    ck_assert_int_eq(check_chain(shown, 2, true), ERR_CERT_EXPIRED);
    cert_free(web);
    cert_free(brief);
}
END_TEST

/* The longest chain that is kept has 16,384 bytes with the role and the lengths; a longer one is
 * verified each time. */
START_TEST(test_a_chain_of_16_kib_is_kept_and_no_longer_one)
{
    static const size_t lengths[] = {0, 16378, 16379, 16380, 16381, 16384, 16388, 16389};
    static uint8_t filler[20000];
    size_t size = 15000, first = 0;
    struct cert *fixed =
        cert_make(/* signatures of one length */
                  &(struct cert_knobs){.ca = true, .cn = "fixed", .key_kind = KEY_ED25519}, NULL);
    cert_trust(&bundles, "example.org", fixed);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct cert_knobs knobs = {.uri = WEB};
        knobs.extra[0].oid = slice_of("\x2a\x03\x04", 3);
        knobs.extra[0].value = slice_of(filler, i == 0 ? size : size + lengths[i] - first);
        struct cert *large = cert_make(&knobs, fixed);
        struct slice shown[] = {cert_der(large)};
        if (i == 0)
            first = shown[0].len; /* the measure for the others */
        ck_assert_uint_eq(shown[0].len, i == 0 ? first : lengths[i]);
        ck_assert_int_eq(check_chain(shown, 1, true), ERR_OK);
        ck_assert_int_eq(check_chain(shown, 1, false),
                         shown[0].len <= 16379 ? ERR_OK : ERR_TRUST_DOMAIN_UNKNOWN);
        cert_free(large);
    }
    cert_free(fixed);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("verify_cache");
    TCase *t = tcase_create("verify_cache");
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, test_a_hit_tells_the_path_that_was_verified);
    tcase_add_test(t, test_a_limit_of_life_counts_for_hits_too);
    tcase_add_test(t, test_a_hit_ends_with_the_first_certificate_that_runs_out);
    tcase_add_loop_test(t, test_a_hit_ends_with_the_root_that_runs_out_before_its_leaf, 0, 2);
    tcase_add_test(t, test_a_root_that_had_run_out_does_not_end_the_hits_of_another);
    tcase_add_test(t, test_a_refusal_is_not_kept);
    tcase_add_test(t, test_a_chain_is_verified_anew_for_the_other_role);
    tcase_add_test(t, test_another_chain_is_no_hit);
    tcase_add_test(t, test_a_forged_chain_is_refused_behind_the_real_one);
    tcase_add_test(t, test_a_hit_stays_within_the_times_of_the_intermediates);
    tcase_add_test(t, test_a_chain_of_16_kib_is_kept_and_no_longer_one);
    suite_add_tcase(s, t);
    return run_suite(s);
}

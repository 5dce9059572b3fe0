/* The search for a path: which candidates are tried, in which order, and how long (X5-11). */
#include "common/spiffe/svid_verify.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#define WEB "spiffe://example.org/web"

static struct bundle_set bundles;
static struct why why;
static struct svid_peer peer;

static void start(void)
{
    bundle_set_init(&bundles);
    why = (struct why){0};
}

static void stop(void)
{
    bundle_set_done(&bundles);
}

static err_t verify(struct cert *const *shown, size_t count)
{
    struct slice chain[SVID_CHAIN_MAX + 1];
    struct svid_verify_options opt = {
        .bundles = &bundles, .peer_role = SVID_ROLE_CLIENT, .now = CERTS_NOW};
    for (size_t i = 0; i < count; i++)
        chain[i] = cert_der(shown[i]);
    why = (struct why){0};
    return svid_verify(chain, count, &opt, &peer, &why);
}

static struct cert *make_ca(const char *cn, const struct cert *issuer)
{
    return cert_make(&(struct cert_knobs){.ca = true, .cn = cn}, issuer);
}

static struct cert *make_leaf(const struct cert *issuer)
{
    return cert_make(&(struct cert_knobs){.uri = WEB}, issuer);
}

#define LONG_CHAIN 9

/* root <- ca 8 <- ... <- ca 1 <- leaf at [0]; the first below the root has the path length. */
static void make_long(struct cert **out, struct cert **ret_root, size_t cas, int path_len)
{
    struct cert *above = make_ca("root", NULL);
    *ret_root = above;
    for (size_t i = cas; i > 0; i--) {
        char cn[16] = "ca 0";
        cn[3] = (char)('0' + i);
        out[i] = cert_make(
            &(struct cert_knobs){.ca = true, .cn = cn, .path_len = i == cas ? path_len : 0}, above);
        above = out[i];
    }
    out[0] = make_leaf(above);
}

START_TEST(test_a_chain_may_have_eight_certificates_in_any_order)
{
    struct cert *chain[LONG_CHAIN], *root;
    make_long(chain, &root, 7, 0);
    cert_trust(&bundles, "example.org", root);
    ck_assert_int_eq(verify(chain, 8), ERR_OK);
    for (size_t i = 1; i < 4; i++) {
        struct cert *swap = chain[i];
        chain[i] = chain[8 - i];
        chain[8 - i] = swap;
    }
    ck_assert_int_eq(verify(chain, 8), ERR_OK);
    for (size_t i = 0; i < 8; i++)
        cert_free(chain[i]);
    cert_free(root);
}
END_TEST

START_TEST(test_a_chain_too_long_is_refused_unread)
{
    struct cert *chain[LONG_CHAIN], *root;
    make_long(chain, &root, 8, 0);
    cert_trust(&bundles, "example.org", root);
    ck_assert_int_eq(verify(chain, 9), ERR_CHAIN_TOO_LONG);
    for (size_t i = 0; i < 9; i++)
        cert_free(chain[i]);
    cert_free(root);
}
END_TEST

START_TEST(test_path_length_counts_the_authorities_between)
{
    struct cert *chain[LONG_CHAIN], *root;
    make_long(chain, &root, 4, _i + 1);
    cert_trust(&bundles, "example.org", root);
    ck_assert_int_eq(verify(chain, 5), _i >= 3 ? ERR_OK : ERR_CHAIN_PATH_LENGTH);
    for (size_t i = 0; i < 5; i++)
        cert_free(chain[i]);
    cert_free(root);
}
END_TEST

/* RFC 5280 4.2.1.9: a key roll-over certificate does not count. */
START_TEST(test_self_issued_authorities_do_not_count_for_path_length)
{
    struct cert *root = make_ca("root", NULL);
    struct cert *top =
        cert_make(&(struct cert_knobs){.ca = true, .cn = "top", .path_len = 1}, root);
    struct cert *rolled = make_ca("top", top);
    cert_trust(&bundles, "example.org", root);
    struct cert *shown[] = {make_leaf(rolled), rolled, top};
    ck_assert_int_eq(verify(shown, 3), ERR_OK);
    cert_free(shown[0]);
    cert_free(rolled);
    cert_free(top);
    cert_free(root);
}
END_TEST

/* A cross-signed issuer: one path leads to a stranger, the other to us. */
START_TEST(test_a_path_is_found_beside_dead_ends)
{
    struct cert *root = make_ca("root", NULL), *stranger = make_ca("stranger", NULL);
    cert_trust(&bundles, "example.org", root);
    struct cert *issuer = make_ca("issuer", root);
    struct cert_knobs cross = {.ca = true, .cn = "issuer", .spki = key_spki(issuer->key)};
    struct cert *crossed = cert_make(&cross, stranger);
    struct cert *shown[] = {make_leaf(issuer), crossed, stranger, issuer};
    ck_assert_msg(verify(shown, 4) == ERR_OK, "%s", why.text);
    ck_assert_int_eq(verify(shown, 3), ERR_CHAIN_INCOMPLETE);
    cert_free(shown[0]);
    cert_free(crossed);
    cert_free(issuer);
    cert_free(stranger);
    cert_free(root);
}
END_TEST

/* Seven authorities that all could be each other's issuer, none of them ours. */
START_TEST(test_a_maze_of_issuers_is_given_up)
{
    struct cert *root = make_ca("maze", NULL), *shown[SVID_CHAIN_MAX];
    for (size_t i = 1; i < SVID_CHAIN_MAX; i++)
        shown[i] = cert_make(
            &(struct cert_knobs){.ca = true, .cn = "maze", .omit = CERT_OMIT_KEY_IDS}, NULL);
    shown[0] = make_leaf(shown[1]);
    cert_trust(&bundles, _i == 0 ? "example.org" : "other.test", root);
    if (_i == 1) {
        struct cert *other = make_ca("ours", NULL);
        cert_trust(&bundles, "example.org", other);
        cert_free(other);
    }
    ck_assert_int_eq(verify(shown, SVID_CHAIN_MAX),
                     _i == 0 ? ERR_CERT_SIGNATURE : ERR_CHAIN_INCOMPLETE);
    for (size_t i = 0; i < SVID_CHAIN_MAX; i++)
        cert_free(shown[i]);
    cert_free(root);
}
END_TEST

/* Of two roots with one name the leaf's key id says which it means: that one's fault is told. */
START_TEST(test_the_anchor_that_the_key_id_names_gives_the_reason)
{
    struct cert *fresh = make_ca("root", NULL);
    struct cert *old = cert_make(
        &(struct cert_knobs){
            .ca = true, .cn = "root", .not_before = CERTS_NOW - 100, .not_after = CERTS_NOW - 1},
        NULL);
    struct cert *leaf = make_leaf(old);
    cert_trust(&bundles, "example.org", fresh);
    cert_trust(&bundles, "example.org", old);
    ck_assert_int_eq(verify(&leaf, 1), ERR_CERT_EXPIRED);
    cert_free(leaf);
    cert_free(old);
    cert_free(fresh);
}
END_TEST

/* leaf <- issuer <- middle <- root, and a broken issuer beside it that leads through middle too. */
START_TEST(test_a_certificate_of_a_failed_path_is_free_for_the_next)
{
    struct cert *root = make_ca("root", NULL), *middle = make_ca("middle", root);
    struct cert *issuer = make_ca("issuer", middle);
    struct cert *broken = cert_make(
        &(struct cert_knobs){
            .ca = true, .cn = "issuer", .spki = key_spki(issuer->key), .sign = CERT_BROKEN},
        middle);
    struct cert *shown[] = {make_leaf(issuer), broken, middle, issuer};
    cert_trust(&bundles, "example.org", root);
    ck_assert_msg(verify(shown, 4) == ERR_OK, "%s", why.text);
    ck_assert_int_eq(verify(shown, 3), ERR_CERT_SIGNATURE);
    cert_free(shown[0]);
    cert_free(broken);
    cert_free(issuer);
    cert_free(middle);
    cert_free(root);
}
END_TEST

/* Roots of one name and no key id, of which the last has signed. */
static struct cert *trust_many(size_t others, int64_t not_after)
{
    struct cert_knobs knobs = {
        .ca = true, .cn = "root", .omit = CERT_OMIT_KEY_IDS, .not_after = not_after};
    for (size_t i = 0; i < others; i++) {
        struct cert *other = cert_make(&knobs, NULL);
        cert_trust(&bundles, "example.org", other);
        cert_free(other);
    }
    knobs.not_after = 0;
    struct cert *root = cert_make(&knobs, NULL);
    cert_trust(&bundles, "example.org", root);
    return root;
}

START_TEST(test_at_most_sixteen_signatures_are_checked)
{
    struct cert *root = trust_many(_i == 0 ? 15 : 16, 0);
    struct cert *leaf =
        cert_make(&(struct cert_knobs){.uri = WEB, .omit = CERT_OMIT_KEY_IDS}, root);
    ck_assert_int_eq(verify(&leaf, 1), _i == 0 ? ERR_OK : ERR_CERT_SIGNATURE);
    cert_free(leaf);
    cert_free(root);
}
END_TEST

/* Expired roots cost a step and no signature: each is a candidate for the leaf and again for the
 * issuer between, which has their name too. */
START_TEST(test_at_most_128_candidates_are_tried)
{
    struct cert *root = trust_many(_i == 0 ? 62 : 63, CERTS_NOW - 1);
    struct cert *issuer =
        cert_make(&(struct cert_knobs){.ca = true, .cn = "root", .omit = CERT_OMIT_KEY_IDS}, root);
    struct cert *shown[] = {make_leaf(issuer), issuer};
    err_t err = verify(shown, 2);
    ck_assert_msg(err == (_i == 0 ? ERR_OK : ERR_CERT_EXPIRED), "%s", why.text);
    cert_free(shown[0]);
    cert_free(issuer);
    cert_free(root);
}
END_TEST

/* RFC 5280 6.1.3 (b): constraints pass by self-issued authorities, but not the leaf. */
START_TEST(test_name_constraints_pass_by_self_issued_authorities)
{
    struct cert *root = cert_make(
        &(struct cert_knobs){.ca = true,
                             .cn = "root",
                             .subtrees = {{.base = {0x82, BYTES("evil.test")}, .excluded = true}}},
        NULL);
    struct cert_knobs knobs = {.ca = true, .cn = "root", .names = {{0x82, BYTES("evil.test")}}};
    struct cert *rolled = cert_make(&knobs, root);
    struct cert *shown[] = {make_leaf(rolled), rolled};
    cert_trust(&bundles, "example.org", root);
    ck_assert_msg(verify(shown, 2) == ERR_OK, "%s", why.text);
    cert_free(shown[0]);
    shown[0] =
        cert_make(&(struct cert_knobs){.uri = WEB, .names = {{0x82, BYTES("evil.test")}}}, rolled);
    ck_assert_int_eq(verify(shown, 2), ERR_CERT_NAME_CONSTRAINTS);
    cert_free(shown[0]);
    cert_free(rolled);
    cert_free(root);
}
END_TEST

static void check_link(size_t i, const struct cert *cert, size_t at, const struct cert *issuer)
{
    uint8_t key[X509_KEY_ID_LEN];
    ck_assert_int_eq(x509_key_id(issuer->x509.spki, key), ERR_OK);
    ck_assert(slice_eq(peer.path[i].serial, cert->x509.serial));
    ck_assert_uint_eq(peer.path[i].at, at);
    ck_assert_mem_eq(peer.path[i].issuer, key, sizeof key);
}

/* Revocation asks by the key that really signed: names, key ids and order are the peer's own. */
START_TEST(test_the_verified_path_is_told_by_the_keys_that_signed)
{
    struct cert *root = make_ca("root", NULL), *old_root = make_ca("root", NULL);
    struct cert *middle = make_ca("middle", root), *other = make_ca("issuer", middle);
    struct cert *issuer = make_ca("issuer", middle);
    struct cert *leaf = cert_make(
        &(struct cert_knobs){.uri = WEB, .authority_key_id = other->x509.subject_key_id}, issuer);
    struct cert *shown[] = {leaf, other, middle, issuer};
    uint8_t key[X509_KEY_ID_LEN];
    cert_trust(&bundles, "example.org", old_root);
    cert_trust(&bundles, "example.org", root);
    ck_assert_msg(verify(shown, 4) == ERR_OK, "%s", why.text);
    ck_assert_uint_eq(peer.path_len, 3);
    check_link(0, leaf, 0, issuer);
    check_link(1, issuer, 3, middle);
    check_link(2, middle, 2, root);
    ck_assert_int_eq(x509_key_id(root->x509.spki, key), ERR_OK);
    ck_assert_mem_eq(peer.anchor, key, sizeof key);
    const struct bundle *bundle = bundle_set_find(&bundles, slice_str("example.org"));
    ck_assert(bundle_has_key(bundle, key));
    ck_assert(!bundle_has_key(bundle, peer.path[0].issuer));
    ck_assert_int_ne(verify(shown, 3), ERR_OK);
    ck_assert_uint_eq(peer.path_len, 0);
    struct cert *all[] = {root, old_root, middle, other, issuer, leaf};
    for (size_t i = 0; i < 6; i++)
        cert_free(all[i]);
}
END_TEST

/* S3.3: the limit of the own authority says nothing about another domain's. */
START_TEST(test_a_limit_of_life_may_bind_one_trust_domain_only)
{
    struct cert *root = make_ca("root", NULL), *leaf = make_leaf(root); /* 3610 s */
    cert_trust(&bundles, "example.org", root);
    struct slice chain = cert_der(leaf);
    struct svid_verify_options opt = {.bundles = &bundles,
                                      .peer_role = SVID_ROLE_CLIENT,
                                      .now = CERTS_NOW,
                                      .max_lifetime_s = 600,
                                      .lifetime_domain = slice_str("partner.test")};
    ck_assert_int_eq(svid_verify(&chain, 1, &opt, &peer, &why), ERR_OK);
    opt.lifetime_domain = slice_str("example.org");
    ck_assert_int_eq(svid_verify(&chain, 1, &opt, &peer, &why), ERR_LIFETIME_TOO_LONG);
    cert_free(leaf);
    cert_free(root);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("svid_path");
    TCase *t = tcase_create("svid_path");
    tcase_add_checked_fixture(t, start, stop);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_a_chain_may_have_eight_certificates_in_any_order);
    tcase_add_test(t, test_a_chain_too_long_is_refused_unread);
    tcase_add_loop_test(t, test_path_length_counts_the_authorities_between, 0, 5);
    tcase_add_test(t, test_self_issued_authorities_do_not_count_for_path_length);
    tcase_add_test(t, test_a_path_is_found_beside_dead_ends);
    tcase_add_loop_test(t, test_a_maze_of_issuers_is_given_up, 0, 2);
    tcase_add_test(t, test_the_anchor_that_the_key_id_names_gives_the_reason);
    tcase_add_test(t, test_a_certificate_of_a_failed_path_is_free_for_the_next);
    tcase_add_loop_test(t, test_at_most_sixteen_signatures_are_checked, 0, 2);
    tcase_add_loop_test(t, test_at_most_128_candidates_are_tried, 0, 2);
    tcase_add_test(t, test_name_constraints_pass_by_self_issued_authorities);
    tcase_add_test(t, test_the_verified_path_is_told_by_the_keys_that_signed);
    tcase_add_test(t, test_a_limit_of_life_may_bind_one_trust_domain_only);
    suite_add_tcase(s, t);
    return run_suite(s);
}

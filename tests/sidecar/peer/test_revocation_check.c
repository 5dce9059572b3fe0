/* What the revocation cache says against a verified peer, under each policy. */
#include "sidecar/peer/revocation_check.h"

#include "common/base/mem.h"
#include "tests/support/runner.h"

#include <fcntl.h>

#define NOW INT64_C(1790000000)
#define WEB "spiffe://example.org/web"

static const uint8_t issuer_key[20] = "the issuer's key id", root_key[20] = "the root's key id..";
static const uint8_t leaf_serial[16] = {0x5a, 1}, issuer_serial[16] = {0x5b, 2};

static struct revocation_writer *writer;
static struct revocation_view *view;
static struct peer_path *path;
static struct why why;
static bool unknown;

static void complete(const uint8_t key[20], int64_t next_update)
{
    struct revocation_issuer list = {
        .complete = true, .this_update = NOW - 10, .next_update = next_update};
    ck_assert_int_eq(revocation_writer_issuer(writer, key, &list, NULL), ERR_OK);
}

static void start(void)
{
    struct svid_peer seen = {.path_len = 2};
    seen.id.text = slice_str(WEB);
    seen.path[0].serial = slice_of(leaf_serial, sizeof leaf_serial);
    seen.path[1].serial = slice_of(issuer_serial, sizeof issuer_serial);
    memcpy(seen.path[0].issuer, issuer_key, 20);
    memcpy(seen.path[1].issuer, root_key, 20);
    path = peer_path_new(&seen);
    ck_assert_int_eq(revocation_writer_new(8, NULL, NULL, &writer, &why), ERR_OK);
    complete(issuer_key, NOW + 100);
    complete(root_key, NOW + 100);
    int fd = fcntl(revocation_writer_fd(writer), F_DUPFD_CLOEXEC, 3);
    ck_assert_int_eq(revocation_view_open(fd, &view, &why), ERR_OK);
}

static void stop(void)
{
    revocation_view_unref(view);
    revocation_writer_free(writer);
    peer_path_free(path);
}

static err_t check(enum revocation_policy policy)
{
    why = (struct why){0};
    return revocation_check(view, policy, path, NOW, &unknown, &why);
}

static void revoke(const uint8_t key[20], const uint8_t serial[16])
{
    struct revocation_status status = {
        .state = REVOCATION_REVOKED, .reason = REVOCATION_KEY_COMPROMISE, .at = NOW - 5};
    ck_assert_int_eq(revocation_writer_set(writer, key, slice_of(serial, 16), &status, NULL),
                     ERR_OK);
}

START_TEST(test_who_is_known_to_be_good_passes_every_policy)
{
    for (int policy = REVOCATION_OFF; policy <= REVOCATION_HARD; policy++) {
        ck_assert_int_eq(check((enum revocation_policy)policy), ERR_OK);
        ck_assert(!unknown);
    }
}
END_TEST

START_TEST(test_a_revoked_certificate_anywhere_in_the_path_is_refused)
{
    if (_i == 0)
        revoke(issuer_key, leaf_serial);
    else
        revoke(root_key, issuer_serial);
    ck_assert_int_eq(check(REVOCATION_SOFT), ERR_CERT_REVOKED);
    ck_assert_ptr_nonnull(strstr(why.text, _i == 0 ? "certificate with serial 5a01"
                                                   : "intermediate with serial 5b02"));
    ck_assert_ptr_nonnull(strstr(why.text, "keyCompromise"));
    ck_assert_ptr_nonnull(strstr(why.text, "2026-09-21T14:13:15Z"));
    ck_assert_int_eq(check(REVOCATION_HARD), ERR_CERT_REVOKED);
    ck_assert_int_eq(check(REVOCATION_OFF), ERR_OK);
}
END_TEST

START_TEST(test_a_serial_is_another_issuers_business)
{
    revoke(root_key, leaf_serial);
    revoke(issuer_key, issuer_serial);
    ck_assert_int_eq(check(REVOCATION_HARD), ERR_OK);
}
END_TEST

START_TEST(test_a_held_spiffe_id_is_refused_whatever_the_certificate)
{
    struct revocation_status status = {
        .state = REVOCATION_REVOKED, .reason = REVOCATION_CESSATION_OF_OPERATION, .at = NOW};
    ck_assert_int_eq(revocation_writer_hold(writer, slice_str(WEB "2"), &status, NULL), ERR_OK);
    ck_assert_int_eq(check(REVOCATION_SOFT), ERR_OK);
    ck_assert_int_eq(revocation_writer_hold(writer, slice_str(WEB), &status, NULL), ERR_OK);
    ck_assert_int_eq(check(REVOCATION_SOFT), ERR_CERT_REVOKED);
    ck_assert_ptr_nonnull(strstr(why.text, "SPIFFE ID"));
    ck_assert_ptr_nonnull(strstr(why.text, "cessationOfOperation"));
    ck_assert_int_eq(check(REVOCATION_OFF), ERR_OK);
}
END_TEST

/* What nobody knows: a stale list, of the leaf's issuer or of the intermediate's, or no cache. */
START_TEST(test_an_unknown_status_is_for_the_policy_to_decide)
{
    if (_i < 2)
        complete(_i == 0 ? issuer_key : root_key, NOW);
    else
        revocation_view_unref(view);
    view = _i < 2 ? view : NULL;
    ck_assert_int_eq(check(REVOCATION_SOFT), ERR_OK);
    ck_assert(unknown);
    ck_assert_int_eq(check(REVOCATION_HARD), ERR_REVOCATION_UNKNOWN);
    ck_assert_ptr_nonnull(
        strstr(why.text, _i == 2 ? "there is no revocation cache" : "no fresh list"));
    ck_assert_ptr_nonnull(strstr(why.text, _i == 1 ? "5b02" : "5a01"));
    ck_assert_int_eq(check(REVOCATION_OFF), ERR_OK);
    ck_assert(!unknown);
}
END_TEST

START_TEST(test_revoked_outranks_unknown)
{
    complete(root_key, NOW);
    revoke(issuer_key, leaf_serial);
    ck_assert_int_eq(check(REVOCATION_SOFT), ERR_CERT_REVOKED);
    ck_assert_int_eq(check(REVOCATION_HARD), ERR_CERT_REVOKED);
}
END_TEST

/* --- ourselves -------------------------------------------------------------------------------- */

static struct revocation_self self_of(uint8_t serial_len)
{
    struct revocation_self self = {.id = revocation_id_of(slice_str(WEB))};
    memcpy(self.leaf.issuer, issuer_key, sizeof self.leaf.issuer);
    memcpy(self.leaf.serial, leaf_serial, sizeof leaf_serial);
    self.leaf.serial_len = serial_len;
    return self;
}

static err_t check_self(enum revocation_policy policy, uint8_t serial_len)
{
    struct revocation_self self = self_of(serial_len);
    why = (struct why){0};
    return revocation_check_self(view, policy, &self, NOW, &why);
}

static const enum revocation_policy strict[] = {REVOCATION_SOFT, REVOCATION_HARD};

START_TEST(test_who_is_revoked_itself_speaks_to_nobody)
{
    ck_assert_int_eq(check_self(strict[_i], sizeof leaf_serial), ERR_OK);
    revoke(root_key, leaf_serial); /* another's */
    ck_assert_int_eq(check_self(strict[_i], sizeof leaf_serial), ERR_OK);
    revoke(issuer_key, leaf_serial);
    ck_assert_int_eq(check_self(strict[_i], sizeof leaf_serial), ERR_CERT_REVOKED);
    ck_assert_msg(strstr(why.text, "our own certificate with serial 5a01") != NULL, "%s", why.text);
    ck_assert_int_eq(check_self(REVOCATION_OFF, sizeof leaf_serial), ERR_OK);
    ck_assert_int_eq(check_self(strict[_i], 0), ERR_OK); /* we have none yet */
}
END_TEST

START_TEST(test_whose_spiffe_id_is_held_speaks_to_nobody)
{
    struct revocation_status status = {
        .state = REVOCATION_REVOKED, .reason = REVOCATION_KEY_COMPROMISE, .at = NOW - 5};
    ck_assert_int_eq(revocation_writer_hold(writer, slice_str(WEB), &status, NULL), ERR_OK);
    ck_assert_int_eq(check_self(strict[_i], sizeof leaf_serial), ERR_CERT_REVOKED);
    ck_assert_msg(strstr(why.text, "our own SPIFFE ID is revoked since ") != NULL, "%s", why.text);
    ck_assert_int_eq(check_self(strict[_i], 0), ERR_CERT_REVOKED);
    ck_assert_int_eq(check_self(REVOCATION_OFF, sizeof leaf_serial), ERR_OK);
}
END_TEST

/* Nobody knows of us: that is for the peers to judge. */
START_TEST(test_without_a_cache_we_are_not_revoked)
{
    revocation_view_unref(view);
    view = NULL;
    ck_assert_int_eq(check_self(strict[_i], sizeof leaf_serial), ERR_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("revocation_check");
    TCase *t = tcase_create("revocation_check");
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, test_who_is_known_to_be_good_passes_every_policy);
    tcase_add_loop_test(t, test_a_revoked_certificate_anywhere_in_the_path_is_refused, 0, 2);
    tcase_add_test(t, test_a_serial_is_another_issuers_business);
    tcase_add_test(t, test_a_held_spiffe_id_is_refused_whatever_the_certificate);
    tcase_add_loop_test(t, test_an_unknown_status_is_for_the_policy_to_decide, 0, 3);
    tcase_add_test(t, test_revoked_outranks_unknown);
    tcase_add_loop_test(t, test_who_is_revoked_itself_speaks_to_nobody, 0, 2);
    tcase_add_loop_test(t, test_whose_spiffe_id_is_held_speaks_to_nobody, 0, 2);
    tcase_add_loop_test(t, test_without_a_cache_we_are_not_revoked, 0, 2);
    suite_add_tcase(s, t);
    return run_suite(s);
}

/* What ends a connection while it lives, and what does not: its peer's certificate, a shorter list,
 * roots that are trusted no longer, revocation. */
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/revocation/revocation_cache.h"
#include "tests/support/conn_case.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Waits for the real clock, as the certificate does: a second or two. */
START_TEST(test_a_connection_is_closed_when_its_peers_certificate_ends)
{
    struct cert *brief = leaf_of(A, 1);
    open_worker(config_of("allow: ['spiffe://example.org/a'], peer_expiry: close", ""));
    must_be_admitted(brief);
    ck_assert_uint_eq(worker.home.expiry.heap.count, 1);
    ck_assert_int_eq(conn_of_seat(LIST_FIRST(&worker.conns))->expiry.due_ms,
                     (brief->x509.not_after + 1) * 1000);
    must_be_cut(ERR_CERT_EXPIRED, true);
    ck_assert_int_ge(clock_wall_ms(), (brief->x509.not_after + 1) * 1000);
    cert_free(brief);
}
END_TEST

/* Its place among those to close goes with it: the clock would reach for what is freed. */
START_TEST(test_a_connection_that_ends_before_its_peers_certificate_is_forgotten)
{
    open_worker(config_of(_i == 0 ? "allow: ['spiffe://example.org/a'], peer_expiry: close"
                                  : "allow: ['spiffe://example.org/a'], peer_expiry: drain",
                          ""));
    must_be_admitted(leafs[A]);
    ck_assert_uint_eq(worker.home.expiry.heap.count, 1);
    close(peer);
    close(app);
    peer = app = -1;
    while (worker.conn_count > 0)
        step();
    ck_assert_uint_eq(worker.home.expiry.heap.count, 0);
    ck_assert_uint_eq(cuts(ERR_CERT_EXPIRED), 0);
}
END_TEST

START_TEST(test_an_idle_connection_is_drained_in_order_when_its_peers_certificate_ended)
{
    struct cert *brief = leaf_of(A, 1);
    open_worker(config_of("allow: ['spiffe://example.org/a'], peer_expiry: drain", ""));
    must_be_admitted(brief);
    must_be_cut(ERR_CERT_EXPIRED, false);
    ck_assert_int_ge(clock_wall_ms(), (brief->x509.not_after + 2) * 1000); /* a look later */
    cert_free(brief);
}
END_TEST

/* Two seconds of life make the limit a second behind the end, without chance. */
START_TEST(test_a_busy_connection_is_cut_at_the_limit_of_draining)
{
    int64_t now = clock_wall_s();
    struct cert *brief = cert_make(
        &(struct cert_knobs){.uri = ids[A], .not_before = now - 1, .not_after = now + 1}, issuer);
    char got[64];
    open_worker(config_of("allow: ['spiffe://example.org/a'], peer_expiry: drain", ""));
    must_be_admitted(brief);
    while (!peer_ended) {
        if (tls_put(peer_tls, slice_str("x"), &sent, &why) == TLS_PROGRESS_DONE)
            flush();
        step();
        (void)!recv(app, got, sizeof got, 0);
    }
    ck_assert_int_ge(clock_wall_ms(), (brief->x509.not_after + 2) * 1000);
    must_be_cut(ERR_CERT_EXPIRED, true);
    cert_free(brief);
}
END_TEST

static void list_of(struct revocation_writer *w, const struct cert *ca, bool complete)
{
    uint8_t key[X509_KEY_ID_LEN];
    struct revocation_issuer list = {.complete = complete,
                                     .this_update = clock_wall_s() - 10,
                                     .next_update = clock_wall_s() + HOUR};
    ck_assert_int_eq(x509_key_id(ca->x509.spki, key), ERR_OK);
    ck_assert_int_eq(revocation_writer_issuer(w, key, &list, NULL), ERR_OK);
}

/* hard is for those who come: an agent that is away cuts nobody. */
START_TEST(test_what_is_known_no_longer_keeps_newcomers_out_and_cuts_nobody)
{
    struct revocation_writer *writer = NULL;
    struct revocation_view *view = NULL;
    ck_assert_int_eq(revocation_writer_new(8, NULL, NULL, &writer, &why), ERR_OK);
    list_of(writer, issuer, true);
    list_of(writer, root, true);
    int fd = fcntl(revocation_writer_fd(writer), F_DUPFD_CLOEXEC, 3);
    ck_assert_int_eq(revocation_view_open(fd, &view, &why), ERR_OK);
    open_worker(config_of("allow: ['spiffe://example.org/a']", "revocation: {policy: hard}"));
    worker_post_view(&worker, view);
    must_be_admitted(leafs[A]);
    list_of(writer, issuer, false);
    revocation_writer_commit(writer);
    worker_post_changed(&worker);
    step();
    must_live();
    worker_post_view(&worker, NULL);
    step();
    must_live();
    forget_peer();
    close(app);
    app = -1;
    while (worker.conn_count > 0)
        step();
    must_be_refused(leafs[A], ERR_REVOCATION_UNKNOWN);
    revocation_view_unref(view);
    revocation_writer_free(writer);
}
END_TEST

/* A peer of another node cannot know: who is revoked itself speaks to nobody. */
START_TEST(test_where_we_are_revoked_nobody_is_let_in)
{
    struct revocation_writer *writer = NULL;
    struct revocation_view *view = NULL;
    struct revocation_status status = {.state = REVOCATION_REVOKED, .at = clock_wall_s()};
    ck_assert_int_eq(revocation_writer_new(8, NULL, NULL, &writer, &why), ERR_OK);
    ck_assert_int_eq(revocation_writer_hold(writer, slice_str(ids[ME]), &status, &why), ERR_OK);
    int fd = fcntl(revocation_writer_fd(writer), F_DUPFD_CLOEXEC, 3);
    ck_assert_int_eq(revocation_view_open(fd, &view, &why), ERR_OK);
    open_worker(config_of("allow: ['spiffe://example.org/a']", "revocation: {policy: soft}"));
    worker_post_view(&worker, view);
    must_be_refused(leafs[A], ERR_CERT_REVOKED);
    ck_assert_uint_eq(metric_read(metrics, M_REVOCATION_UNKNOWN, ROUTE_INBOUND, 0, 0), 0);
    revocation_view_unref(view);
    revocation_writer_free(writer);
}
END_TEST

START_TEST(test_a_reload_changes_what_a_peers_expiry_means)
{
    struct sidecar_config *keep =
        config_of("allow: ['spiffe://example.org/a'], peer_expiry: keep", "");
    struct sidecar_config *close_it =
        config_of("allow: ['spiffe://example.org/a'], peer_expiry: close", "");
    open_worker(config_of("allow: ['spiffe://example.org/a'], peer_expiry: keep", ""));
    must_be_admitted(leafs[A]);
    ck_assert_uint_eq(worker.home.expiry.heap.count, 0);
    worker_post_config(&worker, close_it);
    while (worker.home.expiry.heap.count == 0)
        step();
    worker_post_config(&worker, keep);
    while (worker.home.expiry.heap.count > 0)
        step();
    must_live();
    sidecar_config_unref(keep);
    sidecar_config_unref(close_it);
}
END_TEST

/* Who is revoked and who runs out are looked for in one walk: the one does not undo the other. */
START_TEST(test_a_reload_of_all_at_once_cuts_the_revoked)
{
    struct revocation_writer *writer = NULL;
    struct revocation_view *view = NULL;
    uint8_t key[X509_KEY_ID_LEN];
    struct revocation_status status = {.state = REVOCATION_REVOKED, .at = clock_wall_s()};
    struct sidecar_config *soft = config_of("allow: ['spiffe://example.org/a'], peer_expiry: close",
                                            "revocation: {policy: soft}");
    ck_assert_int_eq(x509_key_id(issuer->x509.spki, key), ERR_OK);
    ck_assert_int_eq(revocation_writer_new(8, NULL, NULL, &writer, &why), ERR_OK);
    ck_assert_int_eq(revocation_writer_set(writer, key, leafs[A]->x509.serial, &status, &why),
                     ERR_OK);
    int fd = fcntl(revocation_writer_fd(writer), F_DUPFD_CLOEXEC, 3);
    ck_assert_int_eq(revocation_view_open(fd, &view, &why), ERR_OK);
    open_worker(config_of("allow: ['spiffe://example.org/a']", "revocation: {policy: off}"));
    worker_post_view(&worker, view);
    must_be_admitted(leafs[A]);
    worker_post_config(&worker, soft);
    must_be_cut(ERR_CERT_REVOKED, true);
    sidecar_config_unref(soft);
    revocation_view_unref(view);
    revocation_writer_free(writer);
}
END_TEST

START_TEST(test_a_connection_whose_end_cannot_be_noted_is_cut)
{
    struct sidecar_config *close_it =
        config_of("allow: ['spiffe://example.org/a'], peer_expiry: close", "");
    open_worker(config_of("allow: ['spiffe://example.org/a'], peer_expiry: keep", ""));
    must_be_admitted(leafs[A]);
    worker_post_config(&worker, close_it);
    mem_fail_after(0);
    while (!peer_ended)
        step();
    mem_fail_after(-1);
    must_be_cut(ERR_NO_MEMORY, true);
    sidecar_config_unref(close_it);
}
END_TEST

START_TEST(test_a_shorter_list_cuts_who_is_not_on_it_any_more)
{
    struct sidecar_config *both =
        config_of("allow: ['spiffe://example.org/a', 'spiffe://example.org/b']", "");
    struct sidecar_config *less = config_of("allow: ['spiffe://example.org/b']", "");
    open_worker(config_of("allow: ['spiffe://example.org/a']", ""));
    must_be_admitted(leafs[A]);
    worker_post_config(&worker, both);
    step();
    must_live();
    worker_post_config(&worker, less);
    must_be_cut(ERR_PEER_NOT_ALLOWED, true);
    sidecar_config_unref(both);
    sidecar_config_unref(less);
}
END_TEST

START_TEST(test_a_root_that_is_trusted_no_longer_cuts_whom_it_vouched_for)
{
    struct identity *more = identity_of(leafs[ME], spare, root);
    struct identity *other = identity_of(leafs[ME], spare, NULL);
    open_worker(config_of("allow: ['spiffe://example.org/a']", ""));
    must_be_admitted(leafs[A]);
    worker_post_identity(&worker, more);
    step();
    must_live();
    worker_post_identity(&worker, other);
    must_be_cut(ERR_TRUST_REMOVED, true);
    identity_unref(more);
    identity_unref(other);
}
END_TEST

/* Without an identity there is nothing to judge by. */
START_TEST(test_a_connection_outlives_our_own_identity)
{
    open_worker(config_of("allow: ['spiffe://example.org/a']", ""));
    must_be_admitted(leafs[A]);
    worker_post_identity(&worker, NULL);
    step();
    must_live();
    worker_post_identity(&worker, me);
    step();
    must_live();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("conn_life");
    TCase *t = tcase_create("conn_life");
    tcase_add_checked_fixture(t, conn_case_setup, conn_case_teardown);
    tcase_add_test(t, test_a_connection_is_closed_when_its_peers_certificate_ends);
    tcase_add_loop_test(t, test_a_connection_that_ends_before_its_peers_certificate_is_forgotten, 0,
                        2);
    tcase_add_test(t, test_an_idle_connection_is_drained_in_order_when_its_peers_certificate_ended);
    tcase_add_test(t, test_a_busy_connection_is_cut_at_the_limit_of_draining);
    tcase_add_test(t, test_what_is_known_no_longer_keeps_newcomers_out_and_cuts_nobody);
    tcase_add_test(t, test_where_we_are_revoked_nobody_is_let_in);
    tcase_add_test(t, test_a_reload_changes_what_a_peers_expiry_means);
    tcase_add_test(t, test_a_reload_of_all_at_once_cuts_the_revoked);
    tcase_add_test(t, test_a_connection_whose_end_cannot_be_noted_is_cut);
    tcase_add_test(t, test_a_shorter_list_cuts_who_is_not_on_it_any_more);
    tcase_add_test(t, test_a_root_that_is_trusted_no_longer_cuts_whom_it_vouched_for);
    tcase_add_test(t, test_a_connection_outlives_our_own_identity);
    suite_add_tcase(s, t);
    return run_suite(s);
}

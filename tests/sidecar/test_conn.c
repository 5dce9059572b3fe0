/* A connection's peer before a worker that runs on this thread's loop: who is let in and who is
 * not, and what ends a connection while it lives. The app is in the test's own hands: it hears
 * nothing of a peer that was refused. */
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/revocation_cache.h"
#include "sidecar/conn_internal.h"
#include "sidecar/metrics.h"
#include "sidecar/notes.h"
#include "sidecar/worker.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOUR INT64_C(3600)

static const char *const ids[] = {"spiffe://example.org/me", "spiffe://example.org/a",
                                  "spiffe://example.org/b", "spiffe://other.test/a"};
enum who { ME, A, B, OTHER, WHO };

static struct cert *root, *spare, *issuer, *leafs[WHO];
static struct identity *me;
static struct temp_dir dir;
static struct metrics *metrics;
static struct worker worker;
static _Atomic size_t open_per_route[1];
static struct notes notes;
static uv_loop_t loop;
static int port, app_listen, app_port, app; /* -1: nobody has come */
static struct why why;

/* The peer under test. */
static struct tls_context *peer_ctx;
static struct tls *peer_tls;
static int peer;
static struct buf sent, plain;
static bool peer_done, peer_ended, peer_reset, peer_notified;

static int listen_on_loopback(int *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, len), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static struct cert *leaf_of(enum who who, int64_t life)
{
    int64_t now = clock_wall_s();
    return cert_make(
        &(struct cert_knobs){.uri = ids[who], .not_before = now - 60, .not_after = now + life},
        issuer);
}

static struct identity *identity_of(const struct cert *leaf, const struct cert *trusted,
                                    const struct cert *too)
{
    struct bundle_set bundles;
    struct buf chain, roots;
    struct identity *made = NULL;
    bundle_set_init(&bundles);
    buf_init(&chain, 1 << 16);
    buf_init(&roots, 1 << 16);
    ck_assert_int_eq(buf_append(&roots, trusted->der.data, trusted->der.len), ERR_OK);
    if (too != NULL)
        ck_assert_int_eq(buf_append(&roots, too->der.data, too->der.len), ERR_OK);
    ck_assert_int_eq(bundle_set_put(&bundles, slice_str("example.org"), buf_slice(&roots), &why),
                     ERR_OK);
    ck_assert_int_eq(buf_append(&chain, leaf->der.data, leaf->der.len), ERR_OK);
    ck_assert_int_eq(buf_append(&chain, issuer->der.data, issuer->der.len), ERR_OK);
    err_t err = identity_new(buf_slice(&chain), key_pkcs8(leaf->key), "", &bundles, &made, &why);
    ck_assert_msg(err == ERR_OK, "%s", why_text(&why));
    buf_done(&chain);
    buf_done(&roots);
    return made;
}

/* `route` and `rest` are lines of the configuration. */
static struct sidecar_config *config_of(const char *route, const char *rest)
{
    char text[512], path[TEMP_PATH_MAX];
    struct sidecar_config *loaded = NULL;
    struct buf report;
    buf_init(&report, 1 << 14);
    int len = snprintf(text, sizeof text,
                       "identity: {workload_api: 'unix:///a'}\n"
                       "inbound: [{listen: 127.0.0.1:0, forward: '127.0.0.1:%d', %s}]\n%s\n",
                       app_port, route, rest);
    temp_put(&dir, "x.yaml", slice_of(text, (size_t)len), 0600);
    err_t err = sidecar_config_load(temp_path(&dir, "x.yaml", path), NULL, &report, &loaded, &why);
    ck_assert_msg(err == ERR_OK, "%.*s", (int)report.len, (char *)report.data);
    buf_done(&report);
    return loaded;
}

static void drop_line(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

static void setup(void)
{
    log_capture(drop_line, NULL);
    root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    spare = cert_make(&(struct cert_knobs){.ca = true, .cn = "spare"}, NULL);
    issuer = cert_make(&(struct cert_knobs){.ca = true, .cn = "issuer"}, root);
    for (int i = 0; i < WHO; i++)
        leafs[i] = leaf_of((enum who)i, HOUR);
    me = identity_of(leafs[ME], root, NULL);
    temp_dir_make(&dir);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(metrics_new(sidecar_families, SIDECAR_METRIC_COUNT, "", &metrics, &why), 0);
    app_listen = listen_on_loopback(&app_port);
    app = peer = -1;
    peer_tls = NULL;
    peer_ctx = NULL;
}

/* Takes the configuration. */
static void open_worker(struct sidecar_config *config)
{
    struct worker_shared shared = {
        .metrics = metrics, .open_per_route = open_per_route, .notes = &notes};
    int fd = listen_on_loopback(&port);
    open_per_route[0] = 0;
    err_t err = worker_open(&worker, 0, &loop, config, &shared, &fd, &why);
    ck_assert_msg(err == ERR_OK, "%s", why_text(&why));
    worker_post_identity(&worker, me);
    sidecar_config_unref(config);
}

static void forget_peer(void)
{
    if (peer >= 0)
        close(peer);
    tls_free(peer_tls);
    tls_context_unref(peer_ctx);
    buf_done(&sent);
    buf_done(&plain);
    peer = -1;
    peer_tls = NULL;
    peer_ctx = NULL;
}

static void teardown(void)
{
    forget_peer();
    worker_post_close(&worker);
    uv_run(&loop, UV_RUN_DEFAULT);
    worker_done(&worker);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    if (app >= 0)
        close(app);
    close(app_listen);
    metrics_free(metrics);
    identity_unref(me);
    temp_dir_remove(&dir);
    for (int i = 0; i < WHO; i++)
        cert_free(leafs[i]);
    cert_free(issuer);
    cert_free(spare);
    cert_free(root);
    log_capture(NULL, NULL);
}

/* --- the loop, the peer and the app, a step at a time ------------------------------------------
 */

static err_t trust_all(void *arg, const struct slice *chain, size_t count, struct why *ret_why)
{
    (void)arg;
    (void)chain;
    (void)count;
    (void)ret_why;
    return ERR_OK;
}

static void flush(void)
{
    if (sent.len > 0 && send(peer, sent.data, sent.len, MSG_NOSIGNAL) == (ssize_t)sent.len)
        buf_clear(&sent);
}

/* What a broken peer's own TLS says is not under test: an alert ends it. */
static void peer_takes(struct slice in)
{
    enum tls_progress p = TLS_PROGRESS_DONE;
    if (!peer_done)
        p = tls_handshake(peer_tls, in, &sent, &why);
    else
        p = tls_get(peer_tls, in, &plain, &sent, &why);
    if (!peer_done && p == TLS_PROGRESS_DONE) {
        peer_done = true;
        ck_assert_int_eq(tls_put(peer_tls, slice_str("hi"), &sent, &why), TLS_PROGRESS_DONE);
    }
    peer_notified |= p == TLS_PROGRESS_EOF;
    peer_ended |= p == TLS_PROGRESS_ERROR;
    flush();
}

static void peer_steps(void)
{
    uint8_t bytes[16384];
    ssize_t n = recv(peer, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n > 0) {
        peer_takes(slice_of(bytes, (size_t)n));
        return;
    }
    peer_reset |= n < 0 && errno == ECONNRESET;
    peer_ended |= n == 0 || peer_reset;
}

static void step(void)
{
    int timeout = uv_backend_timeout(&loop);
    struct pollfd fds[] = {{uv_backend_fd(&loop), POLLIN, 0},
                           {app_listen, POLLIN, 0},
                           {peer_ended ? -1 : peer, POLLIN, 0}};
    poll(fds, 3, timeout);
    uv_run(&loop, UV_RUN_NOWAIT);
    if (app < 0)
        app = accept4(app_listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (peer >= 0 && !peer_ended)
        peer_steps();
}

/* The peer connects with this certificate. */
static void connect_as(const struct cert *leaf)
{
    struct tls_events events = {.verify = trust_all};
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct identity *id = identity_of(leaf, root, NULL);
    buf_init(&sent, 1 << 16);
    buf_init(&plain, 1 << 16);
    peer_done = peer_ended = peer_reset = peer_notified = false;
    ck_assert_int_eq(tls_context_new(TLS_CLIENT, TLS_CLIENT_REQUIRED, id, &peer_ctx, &why), 0);
    ck_assert_int_eq(tls_new(peer_ctx, &events, &peer_tls, &why), ERR_OK);
    identity_unref(id);
    peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(peer, (struct sockaddr *)&at, sizeof at), 0);
    peer_takes(slice_of(NULL, 0));
}

static size_t failures(err_t reason)
{
    return metric_read(metrics, M_TLS_HANDSHAKE_FAILURES, SIDE_SERVER,
                       metric_reason(metrics, M_TLS_HANDSHAKE_FAILURES, reason), 0);
}

static size_t cuts(err_t reason)
{
    return metric_read(metrics, M_CONNECTIONS_CUT, ROUTE_INBOUND,
                       metric_reason(metrics, M_CONNECTIONS_CUT, reason), 0);
}

/* Until the app has the two bytes that the peer said first. */
static void must_be_admitted(const struct cert *leaf)
{
    char got[3] = {0};
    connect_as(leaf);
    while (app < 0 || recv(app, got, 2, 0) != 2) {
        ck_assert_msg(!peer_ended, "refused: %s", why_text(&why));
        step();
    }
    ck_assert_str_eq(got, "hi");
}

static void must_be_refused(const struct cert *leaf, err_t reason)
{
    size_t before = failures(reason);
    connect_as(leaf);
    while (!peer_ended)
        step();
    ck_assert_msg(failures(reason) == before + 1, "not for %s", err_name(reason));
    ck_assert_uint_eq(plain.len, 0);
    forget_peer();
    while (worker.conn_count > 0)
        step();
    ck_assert_int_lt(app, 0);
    ck_assert_uint_eq(worker.expiry.count, 0);
}

/* Until the worker has no connection any more; the peer saw a reset, or an orderly end. */
static void must_be_cut(err_t reason, bool with_reset)
{
    while (!peer_ended || worker.conn_count > 0)
        step();
    ck_assert_uint_eq(cuts(reason), 1);
    ck_assert(peer_reset == with_reset && peer_notified == !with_reset);
    ck_assert_uint_eq(worker.expiry.count, 0);
}

static void must_live(void)
{
    char got[3] = {0};
    ck_assert_int_eq(tls_put(peer_tls, slice_str("yo"), &sent, &why), TLS_PROGRESS_DONE);
    flush();
    while (recv(app, got, 2, 0) != 2) {
        ck_assert(!peer_ended);
        step();
    }
    ck_assert_str_eq(got, "yo");
}

/* --- who is let in ---------------------------------------------------------------------------- */

static const struct {
    const char *allow;
    enum who who;
    err_t want;
} guests[] = {
    {"'spiffe://example.org/a'", A, ERR_OK},
    {"'spiffe://example.org/a'", B, ERR_PEER_NOT_ALLOWED},
    {"'spiffe://example.org/a'", ME, ERR_PEER_NOT_ALLOWED},
    {"'spiffe://example.org/b', 'spiffe://example.org/a'", A, ERR_OK},
    {"'spiffe://example.org/b', 'spiffe://example.org/c'", A, ERR_PEER_NOT_ALLOWED},
    {"'spiffe://example.org/*'", B, ERR_OK},
    {"'spiffe://example.org/*'", OTHER, ERR_TRUST_DOMAIN_UNKNOWN},
    {"'spiffe://other.test/a'", A, ERR_PEER_NOT_ALLOWED},
};

static void open_with(const char *allow)
{
    char route[256];
    snprintf(route, sizeof route, "allow: [%s]", allow);
    open_worker(config_of(route, ""));
}

START_TEST(test_only_listed_peers_reach_the_app)
{
    open_with(guests[_i].allow);
    if (guests[_i].want == ERR_OK)
        must_be_admitted(leafs[guests[_i].who]);
    else
        must_be_refused(leafs[guests[_i].who], guests[_i].want);
    ck_assert_uint_eq(metric_read(metrics, M_AUTHZ_DECISIONS, ROUTE_INBOUND, DECISION_ALLOW, 0),
                      guests[_i].want == ERR_OK);
    ck_assert_uint_eq(metric_read(metrics, M_AUTHZ_DECISIONS, ROUTE_INBOUND, DECISION_DENY, 0),
                      guests[_i].want == ERR_PEER_NOT_ALLOWED);
}
END_TEST

START_TEST(test_an_expired_or_foreign_peer_does_not_reach_the_app)
{
    struct cert *late = leaf_of(A, -1),
                *early = cert_make(&(struct cert_knobs){.uri = ids[A],
                                                        .not_before = clock_wall_s() + HOUR,
                                                        .not_after = clock_wall_s() + 2 * HOUR},
                                   issuer);
    open_with("'spiffe://example.org/a'");
    must_be_refused(late, ERR_CERT_EXPIRED);
    must_be_refused(early, ERR_CERT_NOT_YET_VALID);
    worker_post_life_limit(&worker, HOUR);
    must_be_refused(leafs[A], ERR_LIFETIME_TOO_LONG); /* a minute too long */
    worker_post_life_limit(&worker, HOUR + 60);
    must_be_admitted(leafs[A]);
    cert_free(late);
    cert_free(early);
}
END_TEST

/* soft: a peer of which nobody knows is let in and counted; hard: it is not. */
START_TEST(test_a_peer_of_which_nobody_knows_is_let_in_as_the_policy_says)
{
    static const char *const policies[] = {"off", "soft", "hard"};
    char rest[64];
    snprintf(rest, sizeof rest, "revocation: {policy: %s}", policies[_i]);
    open_worker(config_of("allow: ['spiffe://example.org/a']", rest));
    if (_i == 2)
        must_be_refused(leafs[A], ERR_REVOCATION_UNKNOWN);
    else
        must_be_admitted(leafs[A]);
    ck_assert_uint_eq(metric_read(metrics, M_REVOCATION_UNKNOWN, ROUTE_INBOUND, 0, 0), _i == 1);
}
END_TEST

/* --- what ends it ----------------------------------------------------------------------------- */

/* Waits for the real clock, as the certificate does: a second or two. */
START_TEST(test_a_connection_is_closed_when_its_peers_certificate_ends)
{
    struct cert *brief = leaf_of(A, 1);
    open_worker(config_of("allow: ['spiffe://example.org/a'], peer_expiry: close", ""));
    must_be_admitted(brief);
    ck_assert_uint_eq(worker.expiry.count, 1);
    ck_assert_int_eq(worker.conns->expiry.due_ms, (brief->x509.not_after + 1) * 1000);
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
    ck_assert_uint_eq(worker.expiry.count, 1);
    close(peer);
    close(app);
    peer = app = -1;
    while (worker.conn_count > 0)
        step();
    ck_assert_uint_eq(worker.expiry.count, 0);
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

START_TEST(test_a_reload_changes_what_a_peers_expiry_means)
{
    struct sidecar_config *keep =
        config_of("allow: ['spiffe://example.org/a'], peer_expiry: keep", "");
    struct sidecar_config *close_it =
        config_of("allow: ['spiffe://example.org/a'], peer_expiry: close", "");
    open_worker(config_of("allow: ['spiffe://example.org/a'], peer_expiry: keep", ""));
    must_be_admitted(leafs[A]);
    ck_assert_uint_eq(worker.expiry.count, 0);
    worker_post_config(&worker, close_it);
    while (worker.expiry.count == 0)
        step();
    worker_post_config(&worker, keep);
    while (worker.expiry.count > 0)
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
    open_with("'spiffe://example.org/a'");
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
    open_with("'spiffe://example.org/a'");
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
    Suite *s = suite_create("conn");
    TCase *t = tcase_create("conn");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_only_listed_peers_reach_the_app, 0,
                        (int)(sizeof guests / sizeof guests[0]));
    tcase_add_test(t, test_an_expired_or_foreign_peer_does_not_reach_the_app);
    tcase_add_loop_test(t, test_a_peer_of_which_nobody_knows_is_let_in_as_the_policy_says, 0, 3);
    tcase_add_test(t, test_a_connection_is_closed_when_its_peers_certificate_ends);
    tcase_add_loop_test(t, test_a_connection_that_ends_before_its_peers_certificate_is_forgotten, 0,
                        2);
    tcase_add_test(t, test_an_idle_connection_is_drained_in_order_when_its_peers_certificate_ended);
    tcase_add_test(t, test_a_busy_connection_is_cut_at_the_limit_of_draining);
    tcase_add_test(t, test_what_is_known_no_longer_keeps_newcomers_out_and_cuts_nobody);
    tcase_add_test(t, test_a_reload_changes_what_a_peers_expiry_means);
    tcase_add_test(t, test_a_reload_of_all_at_once_cuts_the_revoked);
    tcase_add_test(t, test_a_connection_whose_end_cannot_be_noted_is_cut);
    tcase_add_test(t, test_a_shorter_list_cuts_who_is_not_on_it_any_more);
    tcase_add_test(t, test_a_root_that_is_trusted_no_longer_cuts_whom_it_vouched_for);
    tcase_add_test(t, test_a_connection_outlives_our_own_identity);
    suite_add_tcase(s, t);
    return run_suite(s);
}

/* Two workers on threads of their own, real sockets and TLS: who is revoked is cut in every state
 * of its connection, nobody else is, whatever else is posted meanwhile. */
#include "sidecar/worker/worker.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "sidecar/telemetry/metrics.h"
#include "sidecar/telemetry/notes.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORKERS 2
#define PEERS_MAX 16 /* of each kind, a worker */
#define DEADLINE_MS 20000

static const char *const ids[] = {"spiffe://example.org/me", "spiffe://example.org/a",
                                  "spiffe://example.org/b"};
enum who { ME, A, B };

static struct cert *root, *issuer, *leafs[3];
static struct identity *identities[3];
static struct tls_context *client_tls[3];
static struct temp_dir dir;
static struct sidecar_config *config;
static struct metrics *metrics;
static struct revocation_writer *writer;
static struct revocation_view *view;
static struct worker workers[WORKERS];
static _Atomic size_t per_listener[1];
static struct places places = {.descriptors = 20000, .per_listener = per_listener};
static uv_loop_t first_loop;
static uv_async_t first_bell;
static void (*_Atomic first_errand)(void);
static pthread_t first_thread, app_thread;
static int ports[WORKERS], app_listen, app_stop[2], app_filler[2];
static struct why why;

/* --- the app: echoes what it gets ------------------------------------------------------------- */

static bool echo(int fd)
{
    char bytes[64];
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    return n > 0 && send(fd, bytes, (size_t)n, MSG_NOSIGNAL) == n;
}

static void *app_main(void *arg)
{
    struct pollfd fds[2 + 4 * PEERS_MAX * WORKERS] = {{app_stop[0], POLLIN, 0},
                                                      {app_listen, POLLIN, 0}};
    nfds_t count = 2;
    (void)arg;
    while (poll(fds, count, -1) > 0 && fds[0].revents == 0) {
        for (nfds_t i = count; i-- > 2;) {
            if (fds[i].revents != 0 && !echo(fds[i].fd)) {
                close(fds[i].fd);
                fds[i] = fds[--count];
            }
        }
        if (fds[1].revents != 0) {
            int fd = accept4(app_listen, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0)
                fds[count++] = (struct pollfd){fd, POLLIN, 0};
        }
    }
    while (count > 2)
        close(fds[--count].fd);
    return NULL;
}

static int listen_on_loopback(int backlog, int *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, len), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static int connect_to(int port, int flags)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = DEADLINE_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    int code = connect(fd, (struct sockaddr *)&at, sizeof at);
    ck_assert(code == 0 || (flags & SOCK_NONBLOCK) != 0);
    return fd;
}

/* --- a peer ----------------------------------------------------------------------------------- */

struct peer {
    int fd;
    struct tls *tls;
    struct buf out, plain;
};

static err_t trust_all(void *arg, const struct slice *chain, size_t count, struct why *ret_why)
{
    (void)arg;
    (void)chain;
    (void)count;
    (void)ret_why;
    return ERR_OK;
}

static bool send_all(struct peer *p, size_t len)
{
    bool sent = send(p->fd, p->out.data, len, MSG_NOSIGNAL) == (ssize_t)len;
    buf_consume(&p->out, len);
    return sent;
}

/* Takes what comes next; 0 at the end, -1 for a reset. */
static ssize_t take(struct peer *p, uint8_t *bytes, size_t size)
{
    ssize_t n = recv(p->fd, bytes, size, 0);
    ck_assert_msg(n >= 0 || errno == ECONNRESET, "%s", strerror(errno));
    return n;
}

/* Up to where our last flight is ready in p->out: certificate, proof, Finished. */
static void peer_start(struct peer *p, enum who who, unsigned worker)
{
    struct tls_events events = {.verify = trust_all};
    uint8_t bytes[16384];
    struct slice in = {NULL, 0};
    *p = (struct peer){.fd = connect_to(ports[worker], 0)};
    buf_init(&p->out, 1 << 16);
    buf_init(&p->plain, 1 << 16);
    ck_assert_int_eq(tls_new(client_tls[who], &events, &p->tls, &why), ERR_OK);
    while (tls_handshake(p->tls, in, &p->out, &why) == TLS_PROGRESS_WANT) {
        if (p->out.len > 0)
            ck_assert(send_all(p, p->out.len));
        ssize_t n = take(p, bytes, sizeof bytes);
        ck_assert_int_gt(n, 0);
        in = slice_of(bytes, (size_t)n);
    }
    ck_assert_uint_gt(p->out.len, 0);
}

/* "hi" goes to the app and comes back. */
static bool peer_lives(struct peer *p)
{
    uint8_t bytes[4096];
    buf_clear(&p->plain);
    ck_assert_int_eq(tls_put(p->tls, slice_str("hi"), &p->out, &why), TLS_PROGRESS_DONE);
    if (!send_all(p, p->out.len))
        return false;
    while (p->plain.len < 2) {
        ssize_t n = take(p, bytes, sizeof bytes);
        if (n <= 0 || tls_get(p->tls, slice_of(bytes, (size_t)n), &p->plain, &p->out, &why) ==
                          TLS_PROGRESS_ERROR)
            return false;
    }
    return true;
}

static void peer_open(struct peer *p, enum who who, unsigned worker)
{
    peer_start(p, who, worker);
    ck_assert(peer_lives(p)); /* with the last flight in front */
}

/* Ended by a reset and nothing else: no alert, no close_notify, no FIN. */
static void check_reset(struct peer *p)
{
    uint8_t bytes[64];
    ck_assert_int_eq(take(p, bytes, sizeof bytes), -1);
}

static void peer_close(struct peer *p)
{
    close(p->fd);
    tls_free(p->tls);
    buf_done(&p->out);
    buf_done(&p->plain);
}

/* --- the site --------------------------------------------------------------------------------- */

static struct identity *make_identity(enum who who, const struct cert *more_trust)
{
    struct bundle_set bundles;
    struct buf chain;
    struct identity *made = NULL;
    bundle_set_init(&bundles);
    buf_init(&chain, 1 << 16);
    cert_trust(&bundles, "example.org", root);
    if (more_trust != NULL)
        cert_trust(&bundles, "example.org", more_trust);
    ck_assert_int_eq(buf_append(&chain, leafs[who]->der.data, leafs[who]->der.len), ERR_OK);
    ck_assert_int_eq(buf_append(&chain, issuer->der.data, issuer->der.len), ERR_OK);
    err_t err =
        identity_new(buf_slice(&chain), key_pkcs8(leafs[who]->key), "", &bundles, &made, &why);
    ck_assert_msg(err == ERR_OK, "%s", why_text(&why));
    buf_done(&chain);
    return made;
}

static struct sidecar_config *load_config(int app_port)
{
    char text[512], path[TEMP_PATH_MAX];
    struct sidecar_config *loaded = NULL;
    struct buf report;
    buf_init(&report, 1 << 14);
    int len = snprintf(text, sizeof text,
                       "identity: {workload_api: 'unix:///a'}\n"
                       "inbound: [{listen: 127.0.0.1:0, forward: '127.0.0.1:%d', "
                       "allow: ['spiffe://example.org/*']}]\nrevocation: {policy: soft}\n",
                       app_port);
    temp_put(&dir, "x.yaml", slice_of(text, (size_t)len), 0600);
    err_t err = sidecar_config_load(temp_path(&dir, "x.yaml", path), NULL, &report, &loaded, &why);
    ck_assert_msg(err == ERR_OK, "%.*s", (int)report.len, (char *)report.data);
    buf_done(&report);
    return loaded;
}

/* Runs on the first worker's thread; NULL closes the way there. */
static void on_errand(uv_async_t *bell)
{
    void (*errand)(void) = atomic_load(&first_errand);
    if (errand == NULL)
        uv_close((uv_handle_t *)bell, NULL);
    else
        errand();
}

static void send_first(void (*errand)(void))
{
    atomic_store(&first_errand, errand);
    uv_async_send(&first_bell);
}

static void *first_main(void *arg)
{
    uv_run(arg, UV_RUN_DEFAULT);
    return NULL;
}

static void make_certs(void)
{
    int64_t now = clock_wall_s();
    root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    issuer = cert_make(&(struct cert_knobs){.ca = true, .cn = "issuer"}, root);
    for (size_t i = 0; i < 3; i++) {
        leafs[i] = cert_make(
            &(struct cert_knobs){.uri = ids[i], .not_before = now - 60, .not_after = now + 3600},
            issuer);
        identities[i] = make_identity((enum who)i, NULL);
        ck_assert_int_eq(
            tls_context_new(TLS_CLIENT, TLS_CLIENT_REQUIRED, identities[i], &client_tls[i], &why),
            ERR_OK);
    }
}

static void open_workers(void)
{
    static struct notes notes; /* outlives the workers */
    struct worker_shared shared = {.metrics = metrics, .places = &places, .notes = &notes};
    per_listener[0] = places.open = 0;
    ck_assert_int_eq(uv_loop_init(&first_loop), 0);
    ck_assert_int_eq(uv_async_init(&first_loop, &first_bell, on_errand), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        int fd = listen_on_loopback(64, &ports[i]);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        ck_assert_int_eq(worker_open(&workers[i], i, &first_loop, config, &shared, &fd, &why),
                         ERR_OK);
        worker_post_identity(&workers[i], identities[ME]);
        worker_post_view(&workers[i], view);
    }
    ck_assert_int_eq(pthread_create(&first_thread, NULL, first_main, &first_loop), 0);
}

/* A backlog of 0: the app answers as many connections as it accepts, and one more. */
static void start_site(int backlog)
{
    int app_port;
    make_certs();
    temp_dir_make(&dir);
    app_listen = listen_on_loopback(backlog, &app_port);
    for (int i = 0; i < 2; i++) /* fill the backlog of the one that accepts nothing */
        app_filler[i] = backlog == 0 ? connect_to(app_port, SOCK_NONBLOCK) : -1;
    ck_assert_int_eq(pipe2(app_stop, O_CLOEXEC), 0);
    config = load_config(app_port);
    ck_assert_int_eq(metrics_new(sidecar_families, SIDECAR_METRIC_COUNT, "", &metrics, &why),
                     ERR_OK);
    ck_assert_int_eq(revocation_writer_new(8, NULL, NULL, &writer, &why), ERR_OK);
    int fd = fcntl(revocation_writer_fd(writer), F_DUPFD_CLOEXEC, 3);
    ck_assert_int_eq(revocation_view_open(fd, &view, &why), ERR_OK);
    open_workers();
    if (backlog > 0)
        ck_assert_int_eq(pthread_create(&app_thread, NULL, app_main, NULL), 0);
}

static void stop_site(bool with_app)
{
    for (unsigned i = 0; i < WORKERS; i++)
        worker_post_close(&workers[i]);
    send_first(NULL);
    pthread_join(first_thread, NULL);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_done(&workers[i]);
    ck_assert_int_eq(uv_loop_close(&first_loop), 0);
    close(app_stop[1]);
    if (with_app)
        pthread_join(app_thread, NULL);
    close(app_stop[0]);
    close(app_listen);
    for (int i = 0; i < 2; i++)
        if (app_filler[i] >= 0)
            close(app_filler[i]);
    revocation_view_unref(view);
    revocation_writer_free(writer);
    sidecar_config_unref(config);
    metrics_free(metrics);
    temp_dir_remove(&dir);
    for (size_t i = 0; i < 3; i++) {
        tls_context_unref(client_tls[i]);
        identity_unref(identities[i]);
        cert_free(leafs[i]);
    }
    cert_free(issuer);
    cert_free(root);
}

static void set_revoked(enum who who)
{
    uint8_t key[X509_KEY_ID_LEN];
    struct revocation_status status = {.state = REVOCATION_REVOKED, .at = clock_wall_s()};
    ck_assert_int_eq(x509_key_id(issuer->x509.spki, key), ERR_OK);
    ck_assert_int_eq(revocation_writer_set(writer, key, leafs[who]->x509.serial, &status, &why),
                     ERR_OK);
}

static void revoke_leaf(enum who who)
{
    set_revoked(who);
    revocation_writer_commit(writer);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_post_changed(&workers[i]);
}

static size_t cuts(err_t reason)
{
    return metric_read(metrics, M_CONNECTIONS_CUT, ROUTE_INBOUND,
                       metric_reason(metrics, M_CONNECTIONS_CUT, reason), 0);
}

/* --- tests ------------------------------------------------------------------------------------ */

static struct peer peers[WORKERS][2][PEERS_MAX];

static void open_peers(void)
{
    for (unsigned w = 0; w < WORKERS; w++)
        for (size_t i = 0; i < PEERS_MAX; i++) {
            peer_open(&peers[w][0][i], A, w);
            peer_open(&peers[w][1][i], B, w);
        }
}

static void close_peers(void)
{
    for (unsigned w = 0; w < WORKERS; w++)
        for (size_t i = 0; i < PEERS_MAX; i++) {
            peer_close(&peers[w][0][i]);
            peer_close(&peers[w][1][i]);
        }
}

START_TEST(test_who_is_revoked_is_cut_by_every_worker_and_nobody_else)
{
    start_site(64);
    open_peers();
    revoke_leaf(A);
    for (unsigned w = 0; w < WORKERS; w++)
        for (size_t i = 0; i < PEERS_MAX; i++)
            check_reset(&peers[w][0][i]);
    for (unsigned w = 0; w < WORKERS; w++)
        for (size_t i = 0; i < PEERS_MAX; i++)
            ck_assert(peer_lives(&peers[w][1][i]));
    ck_assert_uint_eq(cuts(ERR_CERT_REVOKED), (size_t)WORKERS * PEERS_MAX);
    struct peer late; /* its chain is in the cache of verified ones: that helps it nothing */
    peer_start(&late, A, 0);
    ck_assert(!peer_lives(&late));
    peer_close(&late);
    close_peers();
    stop_site(true);
}
END_TEST

static _Atomic size_t doomed_count;

static void doom_all(void)
{
    struct conn_seat *seat;
    LIST_FOREACH(seat, &workers[0].conns, link)
        doomed_count += conn_recheck(conn_of_seat(seat), RECHECK_REVOCATION, clock_wall_s());
}

/* Closing thousands takes the kernel a while: those that wait for it carry nothing. */
START_TEST(test_not_a_byte_passes_a_doomed_connection_before_it_is_cut)
{
    struct peer mine, other;
    uint64_t end = clock_mono_ns() + DEADLINE_MS * UINT64_C(1000000);
    start_site(64);
    doomed_count = 0;
    peer_open(&mine, A, 0);
    peer_open(&other, B, 0);
    set_revoked(A); /* and no word of it: no walk */
    send_first(doom_all);
    while (doomed_count == 0 && clock_mono_ns() < end)
        sched_yield();
    ck_assert_uint_eq(cuts(ERR_CERT_REVOKED), 0);
    ck_assert(!peer_lives(&mine));
    ck_assert(peer_lives(&other));
    ck_assert_uint_eq(doomed_count, 1);
    ck_assert_uint_eq(cuts(ERR_CERT_REVOKED), 1);
    peer_close(&mine);
    peer_close(&other);
    stop_site(true);
}
END_TEST

struct seen {
    enum conn_state state;
    bool known;
};

static void on_conn(void *arg, const struct conn_view *c)
{
    struct seen *seen = arg;
    seen->known = c->peer_id[0] != '\0';
    seen->state = c->state;
}

static void wait_for(enum conn_state state)
{
    uint64_t end = clock_mono_ns() + DEADLINE_MS * UINT64_C(1000000);
    struct seen seen = {0};
    while (!seen.known || seen.state != state) {
        ck_assert(clock_mono_ns() < end);
        sched_yield();
        worker_each(&workers[0], 1, on_conn, &seen);
    }
    bool unread = true; /* the worker comes to its mail when it has judged: the ID shows before */
    for (worker_post_changed(&workers[0]); unread; pthread_mutex_unlock(&workers[0].box.lock)) {
        pthread_mutex_lock(&workers[0].box.lock);
        unread = workers[0].box.mail.changed;
    }
}

/* Bytes of the first encrypted record of a flight, with what stands in plain before it. */
static size_t first_sealed(const struct buf *flight)
{
    size_t at = 0;
    uint8_t type;
    do {
        type = flight->data[at];
        at += 5 + (size_t)(flight->data[at + 3] << 8 | flight->data[at + 4]);
    } while (type != 23);
    ck_assert_uint_lt(at, flight->len);
    return at;
}

/* The peer was judged, but its proof has not come, or the app does not answer. */
START_TEST(test_a_connection_is_cut_in_the_midst_of_its_making)
{
    struct peer p;
    start_site(0);
    peer_start(&p, A, 0);
    ck_assert(send_all(&p, _i == 0 ? first_sealed(&p.out) : p.out.len));
    wait_for(_i == 0 ? CONN_ACCEPT_TLS : CONN_DIAL);
    revoke_leaf(B);
    revoke_leaf(A);
    check_reset(&p);
    ck_assert_uint_eq(cuts(ERR_CERT_REVOKED), 1);
    peer_close(&p);
    stop_site(false);
}
END_TEST

static void post_everything(unsigned round, struct identity *const *trust)
{
    struct revocation_status held = {
        .state = round % 2 == 0 ? REVOCATION_REVOKED : REVOCATION_UNKNOWN, .at = clock_wall_s()};
    ck_assert_int_eq(
        revocation_writer_hold(writer, slice_str("spiffe://example.org/c"), &held, &why), ERR_OK);
    revocation_writer_commit(writer);
    for (unsigned w = 0; w < WORKERS; w++) {
        worker_post_changed(&workers[w]);
        worker_post_view(&workers[w], round % 7 == 0 ? NULL : view);
        worker_post_identity(&workers[w], trust[round % 2]);
        worker_post_config(&workers[w], config);
        worker_post_life_limit(&workers[w], round % 3 == 0 ? 0 : 7200);
    }
}

START_TEST(test_changes_that_concern_nobody_here_cut_nobody)
{
    start_site(64);
    struct cert *next = cert_make(&(struct cert_knobs){.ca = true, .cn = "next"}, NULL);
    struct identity *trust[2] = {identities[ME], make_identity(ME, next)};
    open_peers();
    for (unsigned round = 0; round < 40; round++) {
        struct peer passing;
        post_everything(round, trust);
        peer_open(&passing, round % 2 == 0 ? A : B, round % WORKERS);
        peer_close(&passing);
    }
    for (unsigned w = 0; w < WORKERS; w++)
        for (size_t i = 0; i < PEERS_MAX; i++)
            ck_assert(peer_lives(&peers[w][0][i]) && peer_lives(&peers[w][1][i]));
    ck_assert_uint_eq(cuts(ERR_CERT_REVOKED) + cuts(ERR_TRUST_REMOVED) + cuts(ERR_PEER_NOT_ALLOWED),
                      0);
    close_peers();
    identity_unref(trust[1]);
    cert_free(next);
    stop_site(true);
}
END_TEST

/* A peer of another node does not know that our own ID is revoked, or our certificate. */
START_TEST(test_where_we_are_revoked_all_connections_are_cut_and_none_begins)
{
    struct revocation_status held = {.state = REVOCATION_REVOKED, .at = clock_wall_s()};
    struct peer p, late;
    start_site(64);
    peer_open(&p, A, 0);
    if (_i < 2)
        ck_assert_int_eq(revocation_writer_hold(writer, slice_str(ids[ME]), &held, &why), ERR_OK);
    else
        set_revoked(ME);
    revocation_writer_commit(writer);
    if (_i % 2 == 1) /* the agent takes the identity away as well; else nobody says a word */
        worker_post_identity(&workers[0], NULL);
    check_reset(&p);
    worker_post_identity(&workers[0], identities[ME]);
    peer_start(&late, B, 0);
    ck_assert(!peer_lives(&late));
    ck_assert_uint_eq(cuts(ERR_CERT_REVOKED), 1);
    peer_close(&late);
    peer_close(&p);
    stop_site(true);
}
END_TEST

/* S3.3: the agent says how long its SVIDs live; who shows one that lives longer is refused. */
START_TEST(test_the_limit_of_life_that_was_told_binds_handshakes)
{
    struct peer p;
    start_site(64);
    peer_open(&p, A, 0);
    worker_post_life_limit(&workers[0], 3659);
    struct peer late;
    peer_start(&late, A, 0);
    ck_assert(!peer_lives(&late));
    ck_assert(peer_lives(&p));
    worker_post_life_limit(&workers[0], 3660);
    peer_close(&late);
    peer_open(&late, A, 0);
    peer_close(&late);
    peer_close(&p);
    stop_site(true);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("worker");
    TCase *t = tcase_create("worker");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_who_is_revoked_is_cut_by_every_worker_and_nobody_else);
    tcase_add_test(t, test_not_a_byte_passes_a_doomed_connection_before_it_is_cut);
    tcase_add_loop_test(t, test_a_connection_is_cut_in_the_midst_of_its_making, 0, 2);
    tcase_add_test(t, test_changes_that_concern_nobody_here_cut_nobody);
    tcase_add_loop_test(t, test_where_we_are_revoked_all_connections_are_cut_and_none_begins, 0, 4);
    tcase_add_test(t, test_the_limit_of_life_that_was_told_binds_handshakes);
    suite_add_tcase(s, t);
    return run_suite(s);
}

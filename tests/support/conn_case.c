#include "tests/support/conn_case.h"

#include "common/base/clock.h"
#include "common/log/log.h"
#include "tests/support/temp_dir.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

const char *const ids[WHO] = {"spiffe://example.org/me", "spiffe://example.org/a",
                              "spiffe://example.org/b", "spiffe://other.test/a"};
struct cert *root, *spare, *issuer, *leafs[WHO];
struct identity *me;
struct metrics *metrics;
struct worker worker;
int app;
struct why why;
struct tls *peer_tls;
int peer;
struct buf sent;
bool peer_ended;

static struct temp_dir dir;
static _Atomic size_t per_listener[1];
static struct places places = {.descriptors = 20000, .per_listener = per_listener};
static struct notes notes;
static uv_loop_t loop;
static int port, app_listen, app_port;
static struct tls_context *peer_ctx;
static struct buf plain;
static bool peer_done, peer_reset, peer_notified;

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

struct cert *leaf_of(enum who who, int64_t life)
{
    int64_t now = clock_wall_s();
    return cert_make(
        &(struct cert_knobs){.uri = ids[who], .not_before = now - 60, .not_after = now + life},
        issuer);
}

struct identity *identity_of(const struct cert *leaf, const struct cert *trusted,
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
struct sidecar_config *config_of(const char *route, const char *rest)
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

void conn_case_setup(void)
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
void open_worker(struct sidecar_config *config)
{
    struct worker_shared shared = {.metrics = metrics, .places = &places, .notes = &notes};
    int fd = listen_on_loopback(&port);
    per_listener[0] = places.open = 0;
    err_t err = worker_open(&worker, 0, &loop, config, &shared, &fd, &why);
    ck_assert_msg(err == ERR_OK, "%s", why_text(&why));
    worker_post_identity(&worker, me);
    sidecar_config_unref(config);
}

void forget_peer(void)
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

void conn_case_teardown(void)
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

void flush(void)
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

void step(void)
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

size_t cuts(err_t reason)
{
    return metric_read(metrics, M_CONNECTIONS_CUT, ROUTE_INBOUND,
                       metric_reason(metrics, M_CONNECTIONS_CUT, reason), 0);
}

/* Until the app has the two bytes that the peer said first. */
void must_be_admitted(const struct cert *leaf)
{
    char got[3] = {0};
    connect_as(leaf);
    while (app < 0 || recv(app, got, 2, 0) != 2) {
        ck_assert_msg(!peer_ended, "refused: %s", why_text(&why));
        step();
    }
    ck_assert_str_eq(got, "hi");
}

void must_be_refused(const struct cert *leaf, err_t reason)
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
    ck_assert_uint_eq(worker.home.expiry.heap.count, 0);
}

/* Until the worker has no connection any more; the peer saw a reset, or an orderly end. */
void must_be_cut(err_t reason, bool with_reset)
{
    while (!peer_ended || worker.conn_count > 0)
        step();
    ck_assert_uint_eq(cuts(reason), 1);
    ck_assert(peer_reset == with_reset && peer_notified == !with_reset);
    ck_assert_uint_eq(worker.home.expiry.heap.count, 0);
}

void must_live(void)
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

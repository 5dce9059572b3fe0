#include "sidecar/worker/worker.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/loop/unix_socket.h"
#include "sidecar/conn/conn_report.h"
#include "sidecar/telemetry/metrics.h"
#include "sidecar/worker/listener.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <unistd.h>

/* --- for its connections ---------------------------------------------------------------------- */

static struct worker *worker_of(struct conn_home *h)
{
    return (struct worker *)((char *)h - offsetof(struct worker, home));
}

static void on_answered(struct conn_home *h, struct conn *c)
{
    admission_answered(&worker_of(h)->admission, c);
}

static void on_known(struct conn_home *h, struct conn *c)
{
    admission_known(&worker_of(h)->admission, c);
}

static void on_gone(struct conn_home *h, struct conn *c)
{
    struct worker *w = worker_of(h);
    recheck_forget(&w->recheck, c);
    admission_remove(&w->admission, c);
    pthread_mutex_lock(&w->lock);
    LIST_REMOVE(conn_seat(c), link);
    pthread_mutex_unlock(&w->lock);
    w->conn_count--;
}

static bool on_doomed(struct conn_home *h, struct conn *c)
{
    return recheck_cut(&worker_of(h)->recheck, c);
}

static const struct conn_home_calls calls = {
    .answered = on_answered, .known = on_known, .gone = on_gone, .doomed = on_doomed};

void worker_each(struct worker *w, size_t max, void (*fn)(void *arg, const struct conn_view *view),
                 void *arg)
{
    struct conn_view view;
    struct conn_seat *seat;
    pthread_mutex_lock(&w->lock);
    LIST_FOREACH(seat, &w->conns, link) {
        if (max-- == 0)
            break;
        conn_describe(conn_of_seat(seat), &view);
        fn(arg, &view);
    }
    pthread_mutex_unlock(&w->lock);
}

/* --- who comes -------------------------------------------------------------------------------- */

static void take_in(struct worker *w, struct conn *c, const struct crowd_source *source)
{
    pthread_mutex_lock(&w->lock);
    LIST_INSERT_HEAD(&w->conns, conn_seat(c), link);
    pthread_mutex_unlock(&w->lock);
    w->conn_count++;
    admission_add(&w->admission, c, source);
}

static void say_refused(void *arg, size_t route_index, err_t err, const char *detail)
{
    const struct worker *w = arg;
    const struct route_config *route = &w->home.config->routes[route_index];
    char text[ADDRESS_TEXT_LEN];
    conn_report_refused(&w->home, route->direction, address_text(&route->listen, text), err,
                        detail);
}

/* The route's list of users. What the kernel says is who connected, or who made the connection. */
static bool may_use(struct worker *w, size_t route_index, int fd)
{
    const struct route_config *route = &w->home.config->routes[route_index];
    struct unix_peer caller;
    struct why why = {0};
    bool known = unix_socket_peer(fd, &caller);
    if (!route->uids.given || (known && route_uids_admit(&route->uids, caller.uid)))
        return true;
    close(fd);
    if (known)
        why_set(&why, ERR_CALLER_NOT_ALLOWED, "uid %u (pid %d) is not in uids: closed at accept",
                (unsigned)caller.uid, (int)caller.pid);
    else
        why_set(&why, ERR_CALLER_NOT_ALLOWED, "the caller's uid is not known: closed at accept");
    say_refused(w, route_index, ERR_CALLER_NOT_ALLOWED, why_text(&why));
    return false;
}

static void on_accept(void *arg, size_t route, int fd, const struct sockaddr_storage *from)
{
    struct worker *w = arg;
    struct conn *c = NULL;
    struct why why = {0};
    int one = 1;
    struct crowd_source source = admission_source(fd, from);
    err_t err = admission_make_room(&w->admission, route, &source, &why);
    if (err == ERR_OK && from->ss_family == AF_UNIX && !may_use(w, route, fd))
        return;
    if (err == ERR_OK && from->ss_family != AF_UNIX) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* latency only */
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    }
    if (err == ERR_OK)
        err = conn_open(&w->home, route, fd, from, &c, &why);
    if (err != ERR_OK) {
        close(fd);
        say_refused(w, route, err, why_text(&why));
        return;
    }
    take_in(w, c, &source);
    conn_start(c);
}

/* --- what the mailbox brings ------------------------------------------------------------------ */

static void drop_contexts(struct worker *w)
{
    tls_context_unref(w->home.server_tls);
    tls_context_unref(w->home.client_tls);
    w->home.server_tls = w->home.client_tls = NULL;
    w->home.bare_ns = clock_mono_ns();
    verify_cache_clear(&w->home.verified);
}

static void go_on(struct worker *w)
{
    struct conn_seat *seat, *next;
    LIST_FOREACH_SAFE(seat, &w->conns, link, next)
        conn_identity_ready(conn_of_seat(seat));
}

static void take_hold(struct worker *w, bool hold)
{
    w->home.hold = hold;
    if (!hold)
        go_on(w);
}

static bool trusts_the_same(const struct worker *w, const struct identity *next)
{
    return w->home.server_tls != NULL &&
           bundle_set_eq(identity_bundles(tls_context_identity(w->home.server_tls)),
                         identity_bundles(next));
}

/* Who signed our leaf is known once our own chain is verified. */
static struct revocation_self self_of(const struct identity *me)
{
    struct revocation_self self = {.id = revocation_id_of(identity_id(me)->text)};
    struct slice chain[SVID_CHAIN_MAX];
    struct svid_peer seen = {.path_len = 0};
    size_t count = identity_cert_count(me);
    struct svid_verify_options options = {
        .bundles = identity_bundles(me), .peer_role = SVID_ROLE_CLIENT, .now = clock_wall_s()};
    for (size_t i = 0; i < count; i++)
        chain[i] = identity_cert(me, i)->der;
    if (svid_verify(chain, count, &options, &seen, NULL) == ERR_OK)
        peer_link_set(&self.leaf, &seen.path[0]);
    return self;
}

static void note_refusal(struct worker *w, const struct why *why)
{
    pthread_mutex_lock(&w->lock);
    w->refused = *why;
    w->serves = w->home.server_tls != NULL;
    pthread_mutex_unlock(&w->lock);
}

bool worker_refused_identity(struct worker *w, struct worker_refusal *ret)
{
    pthread_mutex_lock(&w->lock);
    *ret = (struct worker_refusal){.why = w->refused, .serves = w->serves};
    pthread_mutex_unlock(&w->lock);
    return ret->why.err != ERR_OK;
}

/* Both contexts or none; connections that waited go on. */
static void take_identity(struct worker *w, struct identity *identity)
{
    struct tls_context *server = NULL, *client = NULL;
    struct why why = {0};
    if (identity == NULL) {
        drop_contexts(w);
        note_refusal(w, &why);        /* none */
        recheck_changed(&w->recheck); /* it may be ours that was revoked */
        return;
    }
    err_t err = tls_context_new(TLS_SERVER, TLS_CLIENT_REQUIRED, identity, &server, &why);
    if (err == ERR_OK)
        err = tls_context_new(TLS_CLIENT, TLS_CLIENT_REQUIRED, identity, &client, &why);
    if (err != ERR_OK) {
        tls_context_unref(server);
        note_refusal(w, &why);
        sidecar_count_identity_failure(w->home.metrics, err);
        log_error(
            "identity_unusable", log_err("reason", err), log_str("detail", why_text(&why)),
            log_str("next", w->home.server_tls != NULL ? "keeping the one in use" : "waiting"));
        return;
    }
    bool same_trust = trusts_the_same(w, identity);
    drop_contexts(w);
    w->home.server_tls = server;
    w->home.client_tls = client;
    note_refusal(w, &why);
    w->home.self = self_of(identity);
    if (!same_trust)
        recheck_start(&w->recheck, RECHECK_TRUST);
    go_on(w);
}

static void take_config(struct worker *w, struct sidecar_config *config)
{
    assert(config->route_count == w->route_count);
    sidecar_config_unref(w->home.config);
    w->home.config = sidecar_config_ref(config);
    admission_set_limits(&w->admission);
    recheck_start(&w->recheck, RECHECK_REVOCATION | RECHECK_ROUTE | RECHECK_EXPIRY);
}

static void take_view(struct worker *w, struct revocation_view *view)
{
    revocation_view_unref(w->home.view);
    w->home.view = view != NULL ? revocation_view_ref(view) : NULL;
    recheck_cache(&w->recheck);
}

static void stop_accepting(struct worker *w)
{
    for (size_t i = 0; i < w->route_count; i++) {
        listener_close(w->listeners[i]);
        w->listeners[i] = NULL;
    }
}

static void close_all(struct worker *w)
{
    if (w->closing)
        return;
    struct conn_seat *seat, *next;
    struct why why = {0};
    w->closing = true;
    why_set(&why, ERR_DRAINING, "%s", err_text(ERR_DRAINING));
    stop_accepting(w);
    recheck_close(&w->recheck);
    LIST_FOREACH_SAFE(seat, &w->conns, link, next)
        conn_cut(conn_of_seat(seat), &why, CONN_CUT_LEAVE);
    expiry_close(&w->home.expiry);
    resolver_desk_close(&w->home.desk);
    uv_close((uv_handle_t *)&w->box.bell, NULL);
}

static struct mail empty_out(struct mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    struct mail mail = m->mail;
    m->mail = (struct mail){.stop = mail.stop, .close = mail.close};
    pthread_mutex_unlock(&m->lock);
    return mail;
}

static void on_bell(uv_async_t *bell)
{
    struct worker *w = bell->data;
    struct mail mail = empty_out(&w->box);
    if (mail.has_life_limit)
        w->home.life_limit_s = mail.life_limit_s;
    if (mail.has_view)
        take_view(w, mail.view);
    if (mail.config != NULL)
        take_config(w, mail.config);
    if (mail.has_hold)
        take_hold(w, mail.hold);
    if (mail.has_identity)
        take_identity(w, mail.identity);
    if (mail.changed)
        recheck_changed(&w->recheck);
    if (mail.stop)
        stop_accepting(w);
    if (mail.close)
        close_all(w);
    identity_unref(mail.identity);
    sidecar_config_unref(mail.config);
    revocation_view_unref(mail.view);
}

static struct mail *open_box(struct worker *w)
{
    pthread_mutex_lock(&w->box.lock);
    return &w->box.mail;
}

static void close_box(struct worker *w)
{
    pthread_mutex_unlock(&w->box.lock);
    uv_async_send(&w->box.bell);
}

void worker_post_identity(struct worker *w, struct identity *identity)
{
    struct mail *mail = open_box(w);
    identity_unref(mail->identity);
    mail->identity = identity != NULL ? identity_ref(identity) : NULL;
    mail->has_identity = true;
    close_box(w);
}

void worker_post_config(struct worker *w, struct sidecar_config *config)
{
    struct mail *mail = open_box(w);
    sidecar_config_unref(mail->config);
    mail->config = sidecar_config_ref(config);
    close_box(w);
}

void worker_post_view(struct worker *w, struct revocation_view *view)
{
    struct mail *mail = open_box(w);
    revocation_view_unref(mail->view);
    mail->view = view != NULL ? revocation_view_ref(view) : NULL;
    mail->has_view = true;
    close_box(w);
}

void worker_post_changed(struct worker *w)
{
    open_box(w)->changed = true;
    close_box(w);
}

void worker_post_life_limit(struct worker *w, int64_t seconds)
{
    struct mail *mail = open_box(w);
    mail->life_limit_s = seconds;
    mail->has_life_limit = true;
    close_box(w);
}

void worker_post_hold(struct worker *w, bool hold)
{
    struct mail *mail = open_box(w);
    mail->hold = hold;
    mail->has_hold = true;
    close_box(w);
}

void worker_post_stop(struct worker *w)
{
    open_box(w)->stop = true;
    close_box(w);
}

void worker_post_close(struct worker *w)
{
    open_box(w)->close = true;
    close_box(w);
}

/* --- life ------------------------------------------------------------------------------------- */

static void *thread_main(void *arg)
{
    struct worker *w = arg;
    uv_run(w->home.loop, UV_RUN_DEFAULT);
    return NULL;
}

static err_t open_listeners(struct worker *w, int *fds, struct why *why)
{
    const struct listener_events events = {
        .on_accept = on_accept, .on_refused = say_refused, .arg = w};
    err_t err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < w->route_count; i++) {
        if (fds[i] < 0)
            continue; /* a Unix socket of the first worker */
        err = listener_open(w->home.loop, i, fds[i], &events, &w->listeners[i], why);
        if (err == ERR_OK)
            fds[i] = -1;
    }
    return err;
}

static err_t allocate(struct worker *w, struct why *why)
{
    w->listeners = mem_array(w->route_count, sizeof(struct listener *));
    if (w->listeners == NULL || scratch_init(&w->home.scratch) != ERR_OK)
        return why_set(why, ERR_NO_MEMORY, "worker %u", w->home.index);
    return admission_open(&w->admission, w->route_count, why);
}

static void release(struct worker *w)
{
    drop_contexts(w);
    scratch_done(&w->home.scratch);
    mem_free(w->listeners);
    admission_done(&w->admission);
    identity_unref(w->box.mail.identity);
    sidecar_config_unref(w->box.mail.config);
    revocation_view_unref(w->box.mail.view);
    revocation_view_unref(w->home.view);
    expiry_done(&w->home.expiry);
    sidecar_config_unref(w->home.config);
    pthread_mutex_destroy(&w->lock);
    pthread_mutex_destroy(&w->box.lock);
}

static void attach(struct worker *w)
{
    w->box.bell.data = w;
    recheck_open(&w->recheck, &w->home, &w->conns);
    expiry_open(&w->home.expiry, w->home.loop, conn_on_expiry);
}

/* Nothing runs yet; handles opened so far close when the loop runs. */
static void open_failed(struct worker *w)
{
    if (w->listeners != NULL)
        stop_accepting(w);
    if (w->box.bell.data != NULL) {
        uv_close((uv_handle_t *)&w->box.bell, NULL);
        recheck_close(&w->recheck);
        expiry_close(&w->home.expiry);
        resolver_desk_close(&w->home.desk);
    }
    uv_run(w->home.loop, UV_RUN_NOWAIT);
    if (w->home.loop == &w->own_loop)
        uv_loop_close(w->home.loop);
    release(w);
}

err_t worker_open(struct worker *w, unsigned index, uv_loop_t *loop, struct sidecar_config *config,
                  const struct worker_shared *shared, int *listen_fds, struct why *why)
{
    *w = (struct worker){.route_count = config->route_count};
    w->home = (struct conn_home){.calls = &calls,
                                 .loop = index == 0 ? loop : &w->own_loop,
                                 .config = sidecar_config_ref(config),
                                 .metrics = shared->metrics,
                                 .notes = shared->notes,
                                 .bare_ns = clock_mono_ns(),
                                 .index = index,
                                 .next_id = 1};
    w->admission =
        (struct admission){.home = &w->home, .conns = &w->conns, .places = shared->places};
    pthread_mutex_init(&w->lock, NULL);
    pthread_mutex_init(&w->box.lock, NULL);
    if (index > 0 && uv_loop_init(w->home.loop) != 0) {
        release(w);
        return why_set(why, ERR_NO_MEMORY, "loop of worker %u", index);
    }
    err_t err = allocate(w, why);
    if (err == ERR_OK && uv_async_init(w->home.loop, &w->box.bell, on_bell) != 0)
        err = why_set(why, ERR_NO_MEMORY, "mailbox of worker %u", index);
    else if (err == ERR_OK)
        attach(w);
    if (err == ERR_OK)
        err = resolver_desk_open(&w->home.desk, shared->resolver, w->home.loop, why);
    if (err == ERR_OK)
        err = open_listeners(w, listen_fds, why);
    if (err == ERR_OK && index > 0 && pthread_create(&w->thread, NULL, thread_main, w) != 0)
        err = why_set(why, ERR_LIMIT, "no thread for worker %u", index);
    if (err != ERR_OK)
        open_failed(w);
    return err;
}

void worker_done(struct worker *w)
{
    if (w->home.index > 0) {
        pthread_join(w->thread, NULL);
        int code = uv_loop_close(w->home.loop);
        assert(code == 0);
        (void)code;
    }
    release(w);
}

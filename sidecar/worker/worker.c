#include "sidecar/worker/worker.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "sidecar/conn/conn_internal.h"
#include "sidecar/telemetry/metrics.h"
#include "sidecar/worker/admission.h"
#include "sidecar/worker/listener.h"

#include <assert.h>
#include <unistd.h>

/* --- the list --------------------------------------------------------------------------------- */

void worker_add(struct worker *w, struct conn *c)
{
    pthread_mutex_lock(&w->lock);
    c->id = w->next_id++ * 64 + w->index;
    c->next = w->conns;
    if (w->conns != NULL)
        w->conns->prev = c;
    w->conns = c;
    pthread_mutex_unlock(&w->lock);
    w->conn_count++;
    w->places->open++;
    w->places->per_listener[c->route_index]++;
    admission_add(w, c);
    metric_move(w->metrics, M_CONNECTIONS, c->route->direction, 0, 0, 1);
}

void worker_remove(struct worker *w, struct conn *c)
{
    recheck_forget(&w->recheck, c);
    admission_remove(w, c);
    pthread_mutex_lock(&w->lock);
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        w->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    pthread_mutex_unlock(&w->lock);
    w->conn_count--;
    w->places->open--;
    w->places->per_listener[c->route_index]--;
    metric_move(w->metrics, M_CONNECTIONS, c->route->direction, 0, 0, -1);
}

void worker_each(struct worker *w, size_t max, void (*fn)(void *arg, const struct conn_view *view),
                 void *arg)
{
    struct conn_view view;
    pthread_mutex_lock(&w->lock);
    for (const struct conn *c = w->conns; c != NULL && max > 0; c = c->next, max--) {
        conn_describe(c, &view);
        fn(arg, &view);
    }
    pthread_mutex_unlock(&w->lock);
}

/* --- what the mailbox brings ------------------------------------------------------------------ */

static void drop_contexts(struct worker *w)
{
    tls_context_unref(w->server_tls);
    tls_context_unref(w->client_tls);
    w->server_tls = w->client_tls = NULL;
    w->bare_ns = clock_mono_ns();
    verify_cache_clear(&w->verified);
}

bool worker_identity_overdue(const struct worker *w)
{
    uint64_t bound_ns = (uint64_t)w->config->connect_timeout_ms * 1000000u;
    return w->server_tls == NULL && clock_mono_ns() - w->bare_ns > bound_ns;
}

bool worker_holds(const struct worker *w)
{
    return w->server_tls == NULL || w->hold;
}

err_t worker_why_held(const struct worker *w, struct why *why)
{
    if (w->server_tls == NULL)
        return why_set(why, ERR_NO_IDENTITY_YET, "no identity within the connect timeout");
    return why_set(why, ERR_REVOCATION_UNKNOWN,
                   "the agent gave no revocation cache within the connect timeout (newcomers_held "
                   "says why)");
}

static void go_on(struct worker *w)
{
    for (struct conn *c = w->conns, *next; c != NULL; c = next) {
        next = c->next;
        conn_identity_ready(c);
    }
}

static void take_hold(struct worker *w, bool hold)
{
    w->hold = hold;
    if (!hold)
        go_on(w);
}

static bool trusts_the_same(const struct worker *w, const struct identity *next)
{
    return w->server_tls != NULL &&
           bundle_set_eq(identity_bundles(tls_context_identity(w->server_tls)),
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
    w->serves = w->server_tls != NULL;
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
        sidecar_count_identity_failure(w->metrics, err);
        log_error("identity_unusable", log_err("reason", err), log_str("detail", why_text(&why)),
                  log_str("next", w->server_tls != NULL ? "keeping the one in use" : "waiting"));
        return;
    }
    bool same_trust = trusts_the_same(w, identity);
    drop_contexts(w);
    w->server_tls = server;
    w->client_tls = client;
    note_refusal(w, &why);
    w->self = self_of(identity);
    if (!same_trust)
        recheck_start(&w->recheck, RECHECK_TRUST);
    go_on(w);
}

static void take_config(struct worker *w, struct sidecar_config *config)
{
    assert(config->route_count == w->route_count);
    sidecar_config_unref(w->config);
    w->config = sidecar_config_ref(config);
    w->limits = place_limits_of(config, w->places->descriptors);
    recheck_start(&w->recheck, RECHECK_REVOCATION | RECHECK_ROUTE | RECHECK_EXPIRY);
}

static void take_view(struct worker *w, struct revocation_view *view)
{
    revocation_view_unref(w->view);
    w->view = view != NULL ? revocation_view_ref(view) : NULL;
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
    struct why why = {0};
    w->closing = true;
    why_set(&why, ERR_DRAINING, "%s", err_text(ERR_DRAINING));
    stop_accepting(w);
    recheck_close(&w->recheck);
    for (struct conn *c = w->conns, *next; c != NULL; c = next) {
        next = c->next;
        conn_cut(c, &why, CONN_CUT_LEAVE);
    }
    expiry_close(&w->expiry);
    resolver_desk_close(&w->desk);
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
        w->life_limit_s = mail.life_limit_s;
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
    uv_run(w->loop, UV_RUN_DEFAULT);
    return NULL;
}

static err_t open_listeners(struct worker *w, int *fds, struct why *why)
{
    err_t err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < w->route_count; i++) {
        if (fds[i] < 0)
            continue; /* a Unix socket of the first worker */
        err = listener_open(w, i, fds[i], &w->listeners[i], why);
        if (err == ERR_OK)
            fds[i] = -1;
    }
    return err;
}

static err_t allocate(struct worker *w, struct why *why)
{
    w->listeners = mem_array(w->route_count, sizeof(struct listener *));
    w->newcomers = mem_array(w->route_count, sizeof *w->newcomers);
    for (size_t i = 0; w->newcomers != NULL && i < w->route_count; i++)
        rand_bytes(&w->newcomers[i].seed, sizeof w->newcomers[i].seed);
    if (w->listeners == NULL || w->newcomers == NULL || scratch_init(&w->scratch) != ERR_OK)
        return why_set(why, ERR_NO_MEMORY, "worker %u", w->index);
    return ERR_OK;
}

static void release(struct worker *w)
{
    drop_contexts(w);
    scratch_done(&w->scratch);
    mem_free(w->listeners);
    for (size_t i = 0; w->newcomers != NULL && i < w->route_count; i++)
        crowd_done(&w->newcomers[i]);
    mem_free(w->newcomers);
    identity_unref(w->box.mail.identity);
    sidecar_config_unref(w->box.mail.config);
    revocation_view_unref(w->box.mail.view);
    revocation_view_unref(w->view);
    expiry_done(&w->expiry);
    sidecar_config_unref(w->config);
    pthread_mutex_destroy(&w->lock);
    pthread_mutex_destroy(&w->box.lock);
}

static void attach(struct worker *w)
{
    w->box.bell.data = w;
    recheck_open(&w->recheck, w);
    expiry_open(&w->expiry, w->loop, conn_on_expiry);
}

/* Nothing runs yet; handles opened so far close when the loop runs. */
static void open_failed(struct worker *w)
{
    if (w->listeners != NULL)
        stop_accepting(w);
    if (w->box.bell.data != NULL) {
        uv_close((uv_handle_t *)&w->box.bell, NULL);
        recheck_close(&w->recheck);
        expiry_close(&w->expiry);
        resolver_desk_close(&w->desk);
    }
    uv_run(w->loop, UV_RUN_NOWAIT);
    if (w->loop == &w->own_loop)
        uv_loop_close(w->loop);
    release(w);
}

err_t worker_open(struct worker *w, unsigned index, uv_loop_t *loop, struct sidecar_config *config,
                  const struct worker_shared *shared, int *listen_fds, struct why *why)
{
    *w = (struct worker){.index = index, .route_count = config->route_count};
    w->metrics = shared->metrics;
    w->notes = shared->notes;
    w->places = shared->places;
    w->config = sidecar_config_ref(config);
    w->limits = place_limits_of(config, w->places->descriptors);
    w->next_id = 1;
    w->bare_ns = clock_mono_ns();
    pthread_mutex_init(&w->lock, NULL);
    pthread_mutex_init(&w->box.lock, NULL);
    w->loop = index == 0 ? loop : &w->own_loop;
    if (index > 0 && uv_loop_init(w->loop) != 0) {
        release(w);
        return why_set(why, ERR_NO_MEMORY, "loop of worker %u", index);
    }
    err_t err = allocate(w, why);
    if (err == ERR_OK && uv_async_init(w->loop, &w->box.bell, on_bell) != 0)
        err = why_set(why, ERR_NO_MEMORY, "mailbox of worker %u", index);
    else if (err == ERR_OK)
        attach(w);
    if (err == ERR_OK)
        err = resolver_desk_open(&w->desk, shared->resolver, w->loop, why);
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
    if (w->index > 0) {
        pthread_join(w->thread, NULL);
        int code = uv_loop_close(w->loop);
        assert(code == 0);
        (void)code;
    }
    release(w);
}

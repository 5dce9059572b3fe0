#include "sidecar/sidecar_internal.h"

#include "common/base/mem.h"
#include "common/log/report.h"
#include "common/loop/descriptors.h"
#include "sidecar/admin/admin.h"
#include "sidecar/admin/readiness.h"
#include "sidecar/privileges.h"
#include "sidecar/telemetry/metrics.h"
#include "sidecar/worker/sockets.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define DRAIN_LOOK_MS 20 /* between looks at what is left */

/* --- identity --------------------------------------------------------------------------------- */

static void on_identity(void *arg, struct identity *id, const struct why *why)
{
    struct sidecar *s = arg;
    identity_unref(s->identity);
    s->identity = id != NULL ? identity_ref(id) : NULL;
    sidecar_post_identity(s);
    if (s->share != NULL)
        share_link_set_identity(s->share, id != NULL ? identity_id(id)->text : slice_of(NULL, 0));
    if (id == NULL) {
        s->identity_problem = *why;
        sidecar_count_identity_failure(s->metrics, why->err);
        log_error("identity_lost", log_err("reason", why->err), log_str("detail", why_text(why)),
                  log_str("next", "new connections wait until there is an identity again"));
        audit_identity_lost(s->notes.audit, why->err, why_text(why));
        return;
    }
    const struct x509 *leaf = identity_leaf(id);
    gauges_set_identity(s->gauges, id);
    log_info(s->ever_had_identity ? "identity_rotated" : "identity_ready",
             log_slice("spiffe_id", identity_id(id)->text),
             log_time("not_before", leaf->not_before), log_time("not_after", leaf->not_after));
    audit_identity(s->notes.audit, id);
    s->ever_had_identity = true;
}

static void on_identity_problem(void *arg, const struct why *why)
{
    struct sidecar *s = arg;
    s->identity_problem = *why;
    sidecar_count_identity_failure(s->metrics, why->err);
}

static void on_workload_api(void *arg, bool connected)
{
    struct sidecar *s = arg;
    metric_set(s->metrics, M_WORKLOAD_API_CONNECTED, 0, 0, 0, connected);
    if (connected && s->share != NULL)
        share_link_retry(s->share);
}

static err_t open_identity(struct sidecar *s, struct why *why)
{
    const struct sidecar_config *c = s->source_config;
    struct identity_source_options options = {
        .workload_api = c->workload_api,
        .certificate = c->file_certificate,
        .key = c->file_key,
        .bundle = c->file_bundle,
        .hint = c->identity_hint,
        .spiffe_id = c->identity_spiffe_id,
        .on_change = on_identity,
        .on_problem = on_identity_problem,
        .on_connected = on_workload_api,
        .arg = s,
    };
    return identity_source_open(&s->loop, &options, &s->source, why);
}

/* --- drain and close -------------------------------------------------------------------------- */

static size_t connections_left(const struct sidecar *s)
{
    size_t left = 0;
    for (unsigned i = 0; i < s->worker_count; i++)
        left += s->workers[i].conn_count;
    return left;
}

static void close_parts(struct sidecar *s)
{
    if (s->phase == PHASE_CLOSING)
        return;
    s->phase = PHASE_CLOSING;
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_post_close(&s->workers[i]);
    if (s->source != NULL)
        identity_source_close(s->source, NULL, NULL);
    if (s->share != NULL)
        share_link_close(s->share, NULL, NULL);
    s->share = NULL;
    name_notes_close(s->names);
    if (s->probes != NULL)
        probes_close(s->probes, NULL, NULL);
    if (s->admin != NULL)
        http_server_close(s->admin, NULL, NULL);
    if (s->watch != NULL)
        file_watch_close(s->watch, NULL, NULL);
    if (s->loop_handles) {
        for (size_t i = 0; i < sizeof s->signals / sizeof s->signals[0]; i++)
            uv_close((uv_handle_t *)&s->signals[i], NULL);
        uv_close((uv_handle_t *)&s->drain, NULL);
        gauges_stop(s->gauges);
    }
}

/* As it was told to: within a limit. */
static void leave(struct sidecar *s)
{
    last_call_begin(&s->last_call, LAST_CALL_MS);
    close_parts(s);
}

static void on_drain_tick(uv_timer_t *timer)
{
    struct sidecar *s = timer->data;
    size_t left = connections_left(s);
    if (s->phase == PHASE_LEAVING) {
        s->phase = PHASE_DRAINING;
        s->drain_until_ms = uv_now(&s->loop) + (uint64_t)s->config->drain_limit_ms;
        for (unsigned i = 0; i < s->worker_count; i++)
            worker_post_stop(&s->workers[i]);
        log_info("draining", log_int("connections", left));
    } else if (left == 0) {
        log_info("drained");
        leave(s);
        return;
    } else if (uv_now(&s->loop) >= s->drain_until_ms) {
        metric_add(s->metrics, M_DRAIN_CUT, 0, 0, 0, left);
        log_warn("drain_limit_reached", log_int("connections", left),
                 log_int("drain_limit_ms", s->config->drain_limit_ms),
                 log_str("next", "cutting them"));
        leave(s);
        return;
    }
    uv_timer_start(timer, on_drain_tick, DRAIN_LOOK_MS, 0);
}

void sidecar_drain(struct sidecar *s, const struct audit_order *order)
{
    if (s->phase != PHASE_RUNNING)
        return;
    s->phase = PHASE_LEAVING;
    metric_set(s->metrics, M_DRAINING, 0, 0, 0, 1);
    log_info("leaving", log_int("drain_delay_ms", s->config->drain_delay_ms));
    audit_drain(s->notes.audit, order, connections_left(s));
    uv_timer_start(&s->drain, on_drain_tick, (uint64_t)s->config->drain_delay_ms, 0);
}

static void on_quit_tick(uv_timer_t *timer)
{
    leave(timer->data);
}

void sidecar_quit(struct sidecar *s, const struct audit_order *order)
{
    if (s->phase == PHASE_CLOSING)
        return;
    log_info("quitting", log_int("connections", connections_left(s)));
    audit_quit(s->notes.audit, order, connections_left(s));
    uv_timer_start(&s->drain, on_quit_tick, DRAIN_LOOK_MS, 0); /* the answer leaves first */
}

void sidecar_each_conn(struct sidecar *s, size_t max,
                       void (*fn)(void *arg, const struct conn_view *view), void *arg)
{
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_each(&s->workers[i], max, fn, arg);
}

struct sidecar_facts sidecar_facts(const struct sidecar *s)
{
    return (struct sidecar_facts){.config = s->config,
                                  .identity = s->identity,
                                  .view = s->view,
                                  .refusals = s->notes.refusals,
                                  .metrics = s->metrics};
}

/* --- reload ----------------------------------------------------------------------------------- */

static void show_limit(struct sidecar *s)
{
    struct place_limits limits = place_limits_of(s->config, s->places.descriptors);
    metric_set(s->metrics, M_CONNECTIONS_LIMIT, 0, 0, 0, (double)limits.total);
}

/* All or nothing: a configuration with an error, or with a change that needs a restart, changes
 * nothing. */
static void reload(struct sidecar *s)
{
    struct sidecar_config *next = NULL;
    struct why why = {0};
    struct buf report;
    buf_init(&report, 1u << 16);
    err_t err = sidecar_config_load(s->config_path, s->sets, &report, &next, &why);
    if (err == ERR_OK)
        err = sidecar_config_check_reload(s->config, next, &report, &why);
    if (err != ERR_OK) {
        report_log_as(buf_slice(&report), LOG_ERROR, "config_error");
        log_error("reload_failed",
                  log_str("detail", report.len > 0 ? "see config_error" : why_text(&why)),
                  log_str("next", "keeping the configuration in use"));
        struct slice lines = buf_slice(&report);
        struct slice first = report_next_line(&lines);
        audit_reload_failed(s->notes.audit, first.len > 0 ? first : slice_str(why_text(&why)));
    } else {
        log_setup(next->log_level, next->log_format);
        for (unsigned i = 0; i < s->worker_count; i++)
            worker_post_config(&s->workers[i], next);
        sidecar_config_unref(s->config);
        s->config = sidecar_config_ref(next);
        show_limit(s);
        sidecar_apply_hold(s);
        log_info("reloaded");
        audit_reloaded(s->notes.audit);
    }
    metric_set(s->metrics, M_CONFIG_RELOADED, 0, 0, 0, err == ERR_OK);
    sidecar_config_unref(next);
    buf_done(&report);
}

static void on_config_hint(void *arg)
{
    struct sidecar *s = arg;
    if (file_stamp_renew(&s->stamp, s->config_path))
        reload(s);
}

/* --- loop glue -------------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *handle, int number)
{
    struct sidecar *s = handle->data;
    struct audit_order order = {.signal = number == SIGINT ? "SIGINT" : "SIGTERM"};
    if (number == SIGHUP) {
        audit_reopen(s->notes.audit); /* logrotate may have moved it */
        reload(s);
        if (s->source != NULL) /* not while a failed start winds down */
            identity_source_reload(s->source);
    } else if (s->phase == PHASE_RUNNING) {
        sidecar_drain(s, &order);
    } else if (number == SIGINT) {
        sidecar_quit(s, &order); /* a second ^C has no patience */
    }
}

static bool on_ready_probe(void *arg, struct buf *words)
{
    const struct sidecar *s = arg;
    struct readiness r = {.config = s->config,
                          .workers = s->workers,
                          .worker_count = s->worker_count,
                          .places = &s->places,
                          .leaving = s->phase != PHASE_RUNNING,
                          .has_identity = s->identity != NULL,
                          .has_view = s->view != NULL,
                          .problem = &s->identity_problem,
                          .is_denied = s->share_denied};
    return readiness_tell(&r, words);
}

static void open_loop_handles(struct sidecar *s)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uv_signal_init(&s->loop, &s->signals[i]);
        s->signals[i].data = s;
        uv_signal_start(&s->signals[i], on_signal, numbers[i]);
    }
    uv_timer_init(&s->loop, &s->drain);
    s->drain.data = s;
    s->loop_handles = true;
}

/* --- start ------------------------------------------------------------------------------------ */

static err_t open_places(struct sidecar *s, struct why *why)
{
    if (places_within(s->config, s->places.descriptors) == 0)
        return why_set(why, ERR_CONFIG,
                       "%zu descriptors are left of the limit (RLIMIT_NOFILE): this configuration "
                       "needs at least %zu; raise it (ulimit -n, LimitNOFILE=)",
                       s->places.descriptors, places_need(s->config, 0));
    s->places.per_listener = mem_array(s->config->route_count, sizeof *s->places.per_listener);
    return s->places.per_listener != NULL ? ERR_OK : why_set(why, ERR_NO_MEMORY, "workers");
}

/* Everything that may need a privilege is open; from here on there is none. Threads come after. */
static err_t enter_sandbox(struct sidecar *s, struct why *why)
{
    struct buf notes;
    buf_init(&notes, 1u << 14);
    err_t err = sidecar_privileges_enter(s->config, s->config_path, &notes, why);
    report_log_as(buf_slice(&notes), LOG_WARN, "sandbox");
    buf_done(&notes);
    return err;
}

static err_t open_workers(struct sidecar *s, struct sockets *sockets, struct why *why)
{
    s->workers = mem_array(sockets->workers, sizeof *s->workers);
    struct worker_shared shared = {.metrics = s->metrics,
                                   .notes = &s->notes,
                                   .resolver = name_notes_resolver(s->names),
                                   .places = &s->places};
    err_t err = s->workers != NULL ? ERR_OK : why_set(why, ERR_NO_MEMORY, "workers");
    for (unsigned i = 0; err == ERR_OK && i < sockets->workers; i++) {
        err = worker_open(&s->workers[i], i, &s->loop, s->config, &shared, sockets_of(sockets, i),
                          why);
        if (err == ERR_OK)
            s->worker_count++;
    }
    return err;
}

static err_t open_probes(struct sidecar *s, struct why *why)
{
    struct probes_options options = {.metrics = s->metrics,
                                     .is_ready = on_ready_probe,
                                     .arg = s,
                                     .places = descriptors_http_places(s->places.descriptors),
                                     .hosts = s->config->metrics_hosts};
    struct address bound;
    char text[ADDRESS_TEXT_LEN];
    err_t err = probes_open(&s->loop, &s->config->metrics_listen, &options, &s->probes, why);
    if (err != ERR_OK)
        return option_blame(s->config->origins, "metrics.listen", err, why);
    probes_address(s->probes, &bound);
    log_info("listening", log_str("kind", "metrics"),
             log_str("address", address_text(&bound, text)));
    return ERR_OK;
}

static err_t open_metrics(struct sidecar *s, struct why *why)
{
    err_t err = metrics_new(sidecar_families, SIDECAR_METRIC_COUNT, s->config->metrics_prefix,
                            &s->metrics, why);
    if (err == ERR_OK)
        err = gauges_open(&s->loop, s->metrics, &s->gauges, why);
    if (err == ERR_OK && metrics_on_scrape(s->metrics, sidecar_on_share_scrape, s) != ERR_OK)
        err = why_set(why, ERR_INTERNAL, "too many scrape hooks");
    if (err == ERR_OK && s->config->metrics_peers)
        err = peer_tally_new(s->metrics, &s->notes.peers, why);
    if (err == ERR_OK && s->config->metrics_on)
        err = open_probes(s, why);
    return err;
}

/* Before the sandbox, so that a mistake is told as what it is; it is started inside. */
static err_t open_audit(struct sidecar *s, struct why *why)
{
    struct audit_options options = {.path = s->config->audit_file,
                                    .max_size = s->config->audit_max_size,
                                    .keep = s->config->audit_keep,
                                    .metrics = s->metrics};
    s->notes.refusals = refusals_new();
    if (s->notes.refusals == NULL)
        return why_set(why, ERR_NO_MEMORY, "list of refusals");
    if (options.path == NULL)
        return ERR_OK;
    err_t err = audit_open(&options, &s->notes.audit, why);
    return option_blame(s->config->origins, "audit.file", err, why);
}

static err_t start(struct sidecar *s, struct why *why)
{
    struct sockets sockets = {.fds = NULL};
    open_loop_handles(s);
    err_t err = open_places(s, why);
    if (err == ERR_OK)
        err = open_metrics(s, why);
    if (err == ERR_OK)
        err = open_audit(s, why);
    if (err == ERR_OK)
        err = sockets_open(s->config, &sockets, why);
    if (err == ERR_OK && s->config->admin_socket != NULL) {
        err = sidecar_admin_open(&s->loop, s->config->admin_socket,
                                 descriptors_http_places(s->places.descriptors), s, &s->admin, why);
        err = option_blame(s->config->origins, "admin.socket", err, why);
    }
    if (err == ERR_OK && s->config_path != NULL) {
        (void)file_stamp_renew(&s->stamp, s->config_path);
        err = file_watch_open(&s->loop, &s->config_path, 1, on_config_hint, s, &s->watch, why);
    }
    if (err == ERR_OK)
        err = enter_sandbox(s, why);
    if (err == ERR_OK && s->notes.audit != NULL)
        err = audit_start(s->notes.audit, why);
    if (err == ERR_OK)
        err = name_notes_new(&s->loop, s->metrics, &s->notes, &s->names, why);
    if (err == ERR_OK)
        err = open_workers(s, &sockets, why);
    if (err == ERR_OK)
        show_limit(s);
    s->source_config = sidecar_config_ref(s->config);
    if (err == ERR_OK)
        err = sidecar_open_share(s, why);
    if (err == ERR_OK)
        err = open_identity(s, why);
    sockets_done(&sockets);
    return err;
}

static void finish(struct sidecar *s)
{
    close_parts(s);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_done(&s->workers[i]);
    int code = uv_loop_close(&s->loop);
    assert(code == 0);
    (void)code;
    audit_stopped(s->notes.audit);
    audit_close(s->notes.audit);
    last_call_end(&s->last_call);
    name_notes_free(s->names);
    gauges_free(s->gauges);
    peer_tally_free(s->notes.peers);
    metrics_free(s->metrics);
    mem_free(s->workers);
    mem_free(s->places.per_listener);
    refusals_free(s->notes.refusals);
    identity_unref(s->identity);
    revocation_view_unref(s->view);
    sidecar_config_unref(s->source_config);
    sidecar_config_unref(s->config);
}

err_t sidecar_run(const char *config_path, const char *const *sets, struct why *why)
{
    struct sidecar s = {.config_path = config_path, .sets = sets};
    struct buf report;
    buf_init(&report, 1u << 16);
    err_t err = sidecar_config_load(config_path, sets, &report, &s.config, why);
    if (err == ERR_OK)
        err = sidecar_config_check_files(s.config, clock_wall_s(), &report);
    if (report.len > 0)
        (void)fwrite(report.data, 1, report.len, stderr);
    buf_done(&report);
    if (err != ERR_OK) {
        sidecar_config_unref(s.config);
        return err;
    }
    log_setup(s.config->log_level, s.config->log_format);
    s.places.descriptors = descriptors_raise();
    mem_reuse_large_blocks();
    if (uv_loop_init(&s.loop) != 0) {
        sidecar_config_unref(s.config);
        return why_set(why, ERR_NO_MEMORY, "event loop");
    }
    err = start(&s, why);
    if (err == ERR_OK) {
        log_info("started", log_str("version", SPINDLE_VERSION), log_str("name", s.config->name),
                 log_int("workers", s.worker_count));
        audit_started(s.notes.audit, s.config->name);
        uv_run(&s.loop, UV_RUN_DEFAULT);
    }
    finish(&s);
    return err;
}

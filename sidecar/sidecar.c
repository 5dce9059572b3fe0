#include "sidecar/sidecar.h"

#include "common/base/mem.h"
#include "common/http/probes.h"
#include "common/log/report.h"
#include "common/loop/descriptors.h"
#include "common/metric/metric_page.h"
#include "sidecar/admin/admin.h"
#include "sidecar/admin/readiness.h"
#include "sidecar/config/config_watch.h"
#include "sidecar/identity/identity_source.h"
#include "sidecar/identity/share_link.h"
#include "sidecar/last_call.h"
#include "sidecar/privileges.h"
#include "sidecar/telemetry/gauges.h"
#include "sidecar/telemetry/metrics.h"
#include "sidecar/telemetry/name_notes.h"
#include "sidecar/telemetry/notes.h"
#include "sidecar/worker/sockets.h"
#include "sidecar/worker/worker.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define DRAIN_LOOK_MS 20 /* between looks at what is left */

enum phase { PHASE_RUNNING, PHASE_LEAVING, PHASE_DRAINING, PHASE_CLOSING };

struct sidecar {
    uv_loop_t loop;
    struct sidecar_config *config; /* shared */
    struct metrics *metrics;
    struct gauges *gauges;
    struct notes notes;       /* owns what is in it */
    struct name_notes *names; /* owns the resolver */
    struct worker *workers;
    struct places places;  /* the workers count in it */
    unsigned worker_count; /* opened */
    struct identity_source *source;
    struct sidecar_config *source_config; /* shared; whose strings source and share borrow */
    struct identity *identity;            /* shared; NULL: none now */
    struct why identity_problem;          /* why there is none, when somebody said */
    bool ever_had_identity;
    struct share_link *share;     /* NULL: there can be none */
    bool awaits_share;            /* the first newcomers wait for what is revoked */
    bool share_denied;            /* the agent is there and does not tell it */
    struct revocation_view *view; /* counted; NULL before the first */
    struct probes *probes;
    struct http_server *admin;
    struct admin_source asked; /* by admin */
    struct config_watch *watch;
    uv_signal_t signals[3];
    uv_timer_t drain;
    bool loop_handles; /* signals and timer are initialised */
    enum phase phase;
    uint64_t drain_until_ms; /* loop time at which patience ends */
    struct last_call last_call;
};

/* --- identity --------------------------------------------------------------------------------- */

static void on_identity(void *arg, struct identity *id, const struct why *why)
{
    struct sidecar *s = arg;
    identity_unref(s->identity);
    s->identity = id != NULL ? identity_ref(id) : NULL;
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_post_identity(&s->workers[i], s->identity);
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

/* --- what the agent shares -------------------------------------------------------------------- */

static void on_share_connected(void *arg, bool connected)
{
    struct sidecar *s = arg;
    metric_set(s->metrics, M_SHARE_CONNECTED, 0, 0, 0, connected);
    if (connected)
        metric_add(s->metrics, M_SHARE_CONNECTS, 0, 0, 0, 1);
}

static void on_share_welcome(void *arg, int64_t longest_life_s)
{
    struct sidecar *s = arg;
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_post_life_limit(&s->workers[i], longest_life_s);
    log_debug("longest_life_told", log_int("seconds", longest_life_s));
}

static void on_share_cache(void *arg, struct revocation_view *view)
{
    struct sidecar *s = arg;
    revocation_view_unref(s->view);
    s->view = revocation_view_ref(view);
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_post_view(&s->workers[i], view);
    log_debug("revocation_cache_taken", log_int("generation", revocation_view_generation(view)));
}

static void on_share_changed(void *arg, uint64_t generation)
{
    struct sidecar *s = arg;
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_post_changed(&s->workers[i]);
    log_debug("revocation_cache_changed", log_int("generation", generation));
}

static void on_share_page(void *arg, int fd)
{
    struct sidecar *s = arg;
    struct why why = {0};
    if (metrics_adopt_page(s->metrics, fd, &why) != ERR_OK) {
        close(fd);
        log_warn("metrics_page_refused", log_err("reason", why.err),
                 log_str("cause", why_text(&why)));
    }
    metrics_scrape(s->metrics); /* what is due now, not at the next tick */
    share_link_set_page(s->share, metrics_page_fd(s->metrics));
}

static void on_share_scrape(void *arg)
{
    const struct sidecar *s = arg;
    metric_set(s->metrics, M_REVOCATION_ALIVE, 0, 0, 0, (double)revocation_view_alive_at(s->view));
}

/* Do newcomers wait for what is revoked? Also after the configuration changed. */
static void apply_hold(struct sidecar *s)
{
    bool hold = (s->awaits_share || s->share_denied) && s->config->revocation != REVOCATION_OFF;
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_post_hold(&s->workers[i], hold);
    metric_set(s->metrics, M_NEWCOMERS_HELD, 0, 0, 0, hold && s->share_denied);
}

static void on_share_settled(void *arg)
{
    struct sidecar *s = arg;
    s->awaits_share = false;
    apply_hold(s);
}

/* Soft means: go on where nobody can know. Here somebody knows. */
static void on_share_denied(void *arg, const struct why *why)
{
    struct sidecar *s = arg;
    s->share_denied = why != NULL;
    if (why == NULL)
        log_info("newcomers_go_on");
    else if (s->config->revocation != REVOCATION_OFF)
        log_warn("newcomers_held", log_err("reason", why->err), log_str("cause", why_text(why)),
                 log_str("next", "new connections wait up to timeouts.connect for the agent to say "
                                 "what is revoked; live ones go on"));
    apply_hold(s);
}

/* Beside a Workload API of this machine; identities from elsewhere have no agent here. */
static err_t open_share(struct sidecar *s, struct why *why)
{
    struct address endpoint;
    if (s->config->workload_api == NULL)
        return ERR_OK;
    err_t err = address_parse_endpoint(slice_str(s->config->workload_api), &endpoint, why);
    if (err != ERR_OK || endpoint.kind != ADDRESS_UNIX)
        return err;
    struct share_link_options options = {
        .api_socket = endpoint.host,
        .name = s->config->name,
        .on_connected = on_share_connected,
        .on_welcome = on_share_welcome,
        .on_cache = on_share_cache,
        .on_changed = on_share_changed,
        .on_page = on_share_page,
        .on_settled = on_share_settled,
        .on_denied = on_share_denied,
        .arg = s,
    };
    struct why no = {0};
    err = share_link_open(&s->loop, &options, &s->share, &no);
    if (err == ERR_CONFIG) { /* another agent's socket may have any path */
        log_info("share_absent", log_err("reason", err), log_str("cause", why_text(&no)));
        return ERR_OK;
    }
    s->awaits_share = err == ERR_OK;
    apply_hold(s);
    return err == ERR_OK ? err : why_set(why, err, "%s", why_text(&no));
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
        config_watch_close(s->watch, NULL, NULL);
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

static void sidecar_drain(void *arg, const struct audit_order *order)
{
    struct sidecar *s = arg;
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

static void sidecar_quit(void *arg, const struct audit_order *order)
{
    struct sidecar *s = arg;
    if (s->phase == PHASE_CLOSING)
        return;
    log_info("quitting", log_int("connections", connections_left(s)));
    audit_quit(s->notes.audit, order, connections_left(s));
    uv_timer_start(&s->drain, on_quit_tick, DRAIN_LOOK_MS, 0); /* the answer leaves first */
}

static void each_conn(void *arg, size_t max, void (*fn)(void *fn_arg, const struct conn_view *view),
                      void *fn_arg)
{
    struct sidecar *s = arg;
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_each(&s->workers[i], max, fn, fn_arg);
}

static struct admin_facts facts(const void *arg)
{
    const struct sidecar *s = arg;
    return (struct admin_facts){.config = s->config,
                                .identity = s->identity,
                                .view = s->view,
                                .refusals = s->notes.refusals};
}

/* --- reload ----------------------------------------------------------------------------------- */

static void show_limit(struct sidecar *s)
{
    struct place_limits limits =
        place_limits_of(sidecar_config_places(s->config), s->places.descriptors);
    metric_set(s->metrics, M_CONNECTIONS_LIMIT, 0, 0, 0, (double)limits.total);
}

static void on_config_read(void *arg, const struct config_read *read)
{
    struct sidecar *s = arg;
    metric_set(s->metrics, M_CONFIG_RELOADED, 0, 0, 0, read->err == ERR_OK);
    if (read->err != ERR_OK) {
        struct slice lines = read->report;
        report_log_as(lines, LOG_ERROR, "config_error");
        log_error("reload_failed",
                  log_str("detail", lines.len > 0 ? "see config_error" : why_text(read->why)),
                  log_str("next", "keeping the configuration in use"));
        struct slice first = report_next_line(&lines);
        audit_reload_failed(s->notes.audit, first.len > 0 ? first : slice_str(why_text(read->why)));
        return;
    }
    log_setup(read->config->log_level, read->config->log_format);
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_post_config(&s->workers[i], read->config);
    sidecar_config_unref(s->config);
    s->config = sidecar_config_ref(read->config);
    show_limit(s);
    apply_hold(s);
    log_info("reloaded");
    audit_reloaded(s->notes.audit);
}

/* --- loop glue -------------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *handle, int number)
{
    struct sidecar *s = handle->data;
    struct audit_order order = {.signal = number == SIGINT ? "SIGINT" : "SIGTERM"};
    if (number == SIGHUP) {
        audit_reopen(s->notes.audit); /* logrotate may have moved it */
        config_watch_read(s->watch);
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
    struct place_wishes wishes = sidecar_config_places(s->config);
    if (places_within(wishes, s->places.descriptors) == 0)
        return why_set(why, ERR_CONFIG,
                       "%zu descriptors are left of the limit (RLIMIT_NOFILE): this configuration "
                       "needs at least %zu; raise it (ulimit -n, LimitNOFILE=)",
                       s->places.descriptors, places_need(wishes, 0));
    s->places.per_listener = mem_array(s->config->route_count, sizeof *s->places.per_listener);
    return s->places.per_listener != NULL ? ERR_OK : why_set(why, ERR_NO_MEMORY, "workers");
}

/* Everything that may need a privilege is open; from here on there is none. Threads come after. */
static err_t enter_sandbox(struct sidecar *s, const char *config_path, struct why *why)
{
    struct buf notes;
    buf_init(&notes, 1u << 14);
    err_t err = sidecar_privileges_enter(s->config, config_path, &notes, why);
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
    err_t err = probes_open(&s->loop, &s->config->metrics_listen, &options, &s->probes, why);
    return option_blame(s->config->origins, "metrics.listen", err, why);
}

static err_t open_metrics(struct sidecar *s, struct why *why)
{
    err_t err = metrics_new(sidecar_families, SIDECAR_METRIC_COUNT, s->config->metrics_prefix,
                            &s->metrics, why);
    if (err == ERR_OK)
        err = gauges_open(&s->loop, s->metrics, &s->gauges, why);
    if (err == ERR_OK)
        err = metrics_on_scrape(s->metrics, on_share_scrape, s, why);
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

static err_t open_admin(struct sidecar *s, struct why *why)
{
    s->asked = (struct admin_source){.facts = facts,
                                     .each_conn = each_conn,
                                     .drain = sidecar_drain,
                                     .quit = sidecar_quit,
                                     .arg = s};
    err_t err = sidecar_admin_open(&s->loop, s->config->admin_socket,
                                   descriptors_http_places(s->places.descriptors), &s->asked,
                                   s->metrics, &s->admin, why);
    return option_blame(s->config->origins, "admin.socket", err, why);
}

static err_t start(struct sidecar *s, const struct config_watch_options *watch, struct why *why)
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
    if (err == ERR_OK && s->config->admin_socket != NULL)
        err = open_admin(s, why);
    if (err == ERR_OK)
        err = config_watch_open(&s->loop, watch, &s->watch, why);
    if (err == ERR_OK)
        err = enter_sandbox(s, watch->path, why);
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
        err = open_share(s, why);
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
    struct sidecar s = {.phase = PHASE_RUNNING};
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
    struct config_watch_options watch = {
        .path = config_path, .sets = sets, .now = s.config, .on_read = on_config_read, .arg = &s};
    err = start(&s, &watch, why);
    if (err == ERR_OK) {
        log_info("started", log_str("version", SPINDLE_VERSION), log_str("name", s.config->name),
                 log_int("workers", s.worker_count));
        audit_started(s.notes.audit, s.config->name);
        uv_run(&s.loop, UV_RUN_DEFAULT);
    }
    finish(&s);
    return err;
}

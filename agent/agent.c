#include "agent/agent.h"

#include "agent/admin/admin.h"
#include "agent/agent_gauges.h"
#include "agent/api/descriptors.h"
#include "agent/api/endpoint.h"
#include "agent/api/health.h"
#include "agent/api/workload_api.h"
#include "agent/attest/attest_unix.h"
#include "agent/authority/authority_self.h"
#include "agent/caller/listener.h"
#include "agent/config/reload.h"
#include "agent/entry/entry_advice.h"
#include "agent/privileges.h"
#include "agent/record/record.h"
#include "agent/revoke/revoker.h"
#include "agent/share/node_scrape.h"
#include "agent/share/share.h"
#include "agent/store/data_lock.h"
#include "agent/store/store_file.h"
#include "agent/telemetry/audit_events.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/http/probes.h"
#include "common/log/log.h"
#include "common/log/report.h"
#include "common/spiffe/bundle.h"

#include <assert.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPORT_MAX (64 * 1024)
enum { SIGNALS = 3 };

struct agent {
    uv_loop_t loop;
    const char *config_path;           /* borrowed */
    const char *const *sets;           /* borrowed */
    struct agent_config *started_with; /* parts borrow its strings for life */
    struct agent_config *config;       /* in use now: the same, or a reloaded one */
    int lock_fd;
    struct descriptor_limits limits;
    struct metrics *metrics;
    struct agent_gauges *gauges;
    struct audit *audit; /* NULL: off */
    struct authority_self *authority_self;
    struct authority authority; /* the one there is */
    struct store *store;
    struct record *record;
    struct revoker *revoker;
    struct reload *reload;
    struct entry_set *entries;
    struct attest_unix *attest;
    struct attestors attestors; /* all of them */
    struct minter *minter;
    struct workload_api *api;
    struct health *health;
    struct share *share; /* NULL until it is open */
    struct endpoint *endpoint;
    struct page_store *pages;
    struct node_scrape *node_scrape;
    struct probes *probes;
    struct admin *admin;
    uv_signal_t signals[SIGNALS];
    char *reload_problem; /* owned; the first line of what was wrong, NULL: nothing */
    size_t parts;         /* how many are open; closed from the last */
    unsigned handles;     /* of the part that is closing */
    bool serving, closing;
};

/* What opens a part and what closes it, which ends with agent_close_next. */
struct part {
    err_t (*open)(struct agent *a, struct why *why);
    void (*close)(struct agent *a);
};

static void agent_close_next(struct agent *a);
static void agent_stop(struct agent *a);

static void part_closed(void *arg)
{
    agent_close_next(arg);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct agent *a = h->data;
    if (--a->handles == 0)
        agent_close_next(a);
}

/* --- lock, limits, metrics -------------------------------------------------------------------- */

static err_t open_lock(struct agent *a, struct why *why)
{
    err_t err = data_lock_take(a->config->data_dir, &a->lock_fd, why);
    return err == ERR_OK ? err : option_blame(a->config->origins, "data_dir", err, why);
}

static err_t open_metrics(struct agent *a, struct why *why)
{
    err_t err =
        metrics_new(agent_metrics, AGENT_METRIC_COUNT, a->config->metrics_prefix, &a->metrics, why);
    if (err != ERR_OK)
        return err;
    err = agent_gauges_new(a->metrics, &a->gauges, why);
    if (err != ERR_OK) {
        metrics_free(a->metrics);
        a->metrics = NULL;
    } else if (a->config->metrics_expiry_days) {
        agent_gauges_show_days(a->gauges);
    }
    return err;
}

static void close_metrics(struct agent *a)
{
    agent_gauges_free(a->gauges);
    metrics_free(a->metrics);
    agent_close_next(a);
}

/* --- audit log -------------------------------------------------------------------------------- */

/* Before the sandbox, so that a mistake is told as what it is. */
static err_t open_audit(struct agent *a, struct why *why)
{
    struct audit_options opt = {.path = a->config->audit_file,
                                .max_size = a->config->audit_max_size,
                                .keep = a->config->audit_keep,
                                .metrics = a->metrics};
    if (opt.path == NULL)
        return ERR_OK;
    err_t err = audit_open(&opt, &a->audit, why);
    return err == ERR_OK ? err : option_blame(a->config->origins, "audit.file", err, why);
}

static err_t start_audit(struct agent *a, struct why *why)
{
    return a->audit != NULL ? audit_start(a->audit, why) : ERR_OK;
}

static void close_audit(struct agent *a)
{
    audit_close(a->audit);
    a->audit = NULL; /* a reload may end yet */
    agent_close_next(a);
}

/* --- authority -------------------------------------------------------------------------------- */

static void on_authority_renewed(void *arg)
{
    struct agent *a = arg;
    if (a->serving)
        minter_retry(a->minter);
}

static struct slice agent_bundle(const struct agent *a)
{
    return a->authority.bundle(a->authority.self);
}

static struct authority_times agent_times(const struct agent *a)
{
    return a->authority.times(a->authority.self);
}

/* Our root signed the issuers, so its list is complete too; without it a sidecar whose policy is
 * hard admits nobody. */
static void vouch_for_roots(struct agent *a)
{
    struct slice ders[BUNDLE_ROOTS_MAX];
    size_t count = 0;
    if (x509_split(agent_bundle(a), ders, BUNDLE_ROOTS_MAX, &count, NULL) != ERR_OK)
        return; /* cannot be: the authority made them */
    for (size_t i = 0; i < count; i++) {
        struct x509 root;
        uint8_t key[X509_KEY_ID_LEN];
        if (x509_parse(ders[i], &root, NULL) == ERR_OK && x509_key_id(root.spki, key) == ERR_OK)
            revoker_issuer(a->revoker, key, root.not_after);
    }
}

static void on_bundle(void *arg)
{
    struct agent *a = arg;
    if (!a->serving)
        return;
    vouch_for_roots(a);
    workload_api_bundle_changed(a->api);
}

static err_t open_authority(struct agent *a, struct why *why)
{
    struct authority_self_options opt = {
        .data_dir = a->config->data_dir,
        .trust_domain = a->config->trust_domain,
        .ttl_s = a->config->issuer_ttl_s,
        .metrics = a->metrics,
        .audit = a->audit,
        .events = {.on_renewed = on_authority_renewed, .on_bundle = on_bundle, .arg = a}};
    return authority_self_open(&a->loop, &opt, &a->authority_self, &a->authority, why);
}

static void close_authority(struct agent *a)
{
    authority_self_close(a->authority_self, part_closed, a);
}

/* --- the store -------------------------------------------------------------------------------- */

static err_t open_store(struct agent *a, struct why *why)
{
    struct store_file_options opt = {.entries = a->config->entries,
                                     .trust_domain = a->config->trust_domain,
                                     .data_dir = a->config->data_dir,
                                     .max_records = (uint64_t)a->config->record_max,
                                     .keep_s = a->config->record_keep_s,
                                     .metrics = a->metrics};
    return store_file_open(&a->loop, &opt, &a->store, why);
}

static void close_store(struct agent *a)
{
    a->store->kind->close(a->store, part_closed, a);
}

/* --- entries and reload ----------------------------------------------------------------------- */

static void count_reload(struct agent *a, enum result result)
{
    metric_add(a->metrics, M_ENTRIES_RELOADS, result, 0, 0, 1);
    metric_set(a->metrics, M_CONFIG_RELOADED, 0, 0, 0, result == RESULT_SUCCESS);
    if (result == RESULT_SUCCESS)
        metric_set(a->metrics, M_ENTRIES_LAST_RELOAD, 0, 0, 0, (double)clock_wall_s());
}

static void set_problem(struct agent *a, struct slice report)
{
    struct slice line = slice_of(NULL, 0);
    mem_free(a->reload_problem);
    a->reload_problem = NULL;
    while (report.len > 0 && (line.len == 0 || report_is_warning(line)))
        line = report_next_line(&report);
    if (line.len == 0)
        return;
    a->reload_problem = mem_alloc(line.len + 1);
    if (a->reload_problem != NULL)
        memcpy(a->reload_problem, line.data, line.len);
}

static void on_reload_failed(void *arg, struct slice report)
{
    struct agent *a = arg;
    if (!a->serving)
        return;
    report_log(report);
    log_error("reload_failed", log_int("entries", a->entries->count),
              log_str("help", "the last good configuration and entries stay in use"));
    set_problem(a, report);
    audit_reload_failed(a->audit, a->reload_problem);
    count_reload(a, RESULT_FAILURE);
}

static void on_reloaded(void *arg, struct agent_config *config, struct entry_set *entries,
                        struct slice report)
{
    struct agent *a = arg;
    struct agent_config *old_config = a->config;
    struct entry_set *old_entries = a->entries;
    if (!a->serving) {
        agent_config_free(config);
        entries_free(entries);
        return;
    }
    a->config = config;
    a->entries = entries;
    reload_set_config(a->reload, config);
    log_setup(config->log_level, config->log_format);
    report_log(report);
    minter_set_ttl(a->minter, config->x509_ttl_s);
    record_set_policy(a->record, config->record_keep_s, config->record_on_failure);
    workload_api_set_entries(a->api, entries);
    share_set_entries(a->share);
    agent_gauges_set_entries(a->gauges, entries);
    set_problem(a, slice_of(NULL, 0));
    count_reload(a, RESULT_SUCCESS);
    log_info("reloaded", log_int("entries", entries->count));
    audit_reloaded(a->audit, entries->count);
    entries_free(old_entries);
    if (old_config != a->started_with)
        agent_config_free(old_config);
}

static err_t open_reload(struct agent *a, struct why *why)
{
    struct reload_options opt = {.store = a->store,
                                 .config_path = a->config_path,
                                 .sets = a->sets,
                                 .config = a->config,
                                 .on_loaded = on_reloaded,
                                 .on_failed = on_reload_failed,
                                 .arg = a};
    return reload_open(&a->loop, &opt, &a->reload, why);
}

static void close_reload(struct agent *a)
{
    reload_close(a->reload, part_closed, a);
}

static err_t open_entries(struct agent *a, struct why *why)
{
    struct buf report;
    buf_init(&report, REPORT_MAX);
    struct entry_advice advice = {.issuer_ttl_s = a->config->issuer_ttl_s};
    err_t err = a->store->kind->load_entries(a->store, &report, &a->entries, why);
    if (err == ERR_OK)
        entry_advise(a->entries, &advice, &report);
    report_log(buf_slice(&report));
    if (err == ERR_CONFIG && report.len > 0)
        why->text[0] = '\0'; /* the lines say it all */
    buf_done(&report);
    if (err != ERR_OK)
        return err;
    agent_gauges_set_entries(a->gauges, a->entries);
    count_reload(a, RESULT_SUCCESS);
    return ERR_OK;
}

static void close_entries(struct agent *a)
{
    agent_gauges_set_entries(a->gauges, NULL);
    entries_free(a->entries);
    a->entries = NULL;
    agent_close_next(a);
}

/* --- the record of issuance ------------------------------------------------------------------- */

static err_t open_record(struct agent *a, struct why *why)
{
    struct record_options opt = {
        .store = a->store, .on_failure = a->config->record_on_failure, .metrics = a->metrics};
    return record_open(&a->loop, &opt, &a->record, why);
}

static void close_record(struct agent *a)
{
    record_close(a->record, part_closed, a);
}

static err_t on_issued(void *arg, const struct svid *svid, enum svid_why because, struct why *why)
{
    struct agent *a = arg;
    struct record_item item = {.spiffe_id = svid->spiffe_id,
                               .entry_id = svid->entry_id,
                               .not_before = svid->not_before,
                               .not_after = svid->not_after,
                               .issued_at = svid->issued_at,
                               .flags = because == SVID_FIRST         ? 0
                                        : because == SVID_BY_OPERATOR ? RECORD_BY_OPERATOR
                                                                      : RECORD_RENEWAL};
    memcpy(item.serial, svid->serial, sizeof item.serial);
    memcpy(item.issuer, svid->issuer, sizeof item.issuer);
    revoker_issuer(a->revoker, svid->issuer, agent_times(a).issuer_not_after);
    err_t err = record_issued(a->record, &item, why);
    if (err != ERR_OK)
        return err;
    audit_issued(a->audit,
                 &(struct audit_certificate){.spiffe_id = svid->spiffe_id,
                                             .entry = svid->entry_id,
                                             .serial = slice_of(svid->serial, sizeof svid->serial),
                                             .not_before = svid->not_before,
                                             .not_after = svid->not_after,
                                             .why = svid_why_name(because)});
    return ERR_OK;
}

/* --- revocation ------------------------------------------------------------------------------- */

static const struct entry_set *on_entries(void *arg)
{
    struct agent *a = arg;
    return a->entries;
}

static void on_cache(void *arg, int fd)
{
    struct agent *a = arg;
    if (a->share != NULL)
        share_set_cache(a->share, fd, revoker_generation(a->revoker));
}

static void on_cache_changed(void *arg, uint64_t generation)
{
    struct agent *a = arg;
    if (a->share != NULL)
        share_changed(a->share, generation);
}

static size_t on_sidecars(void *arg)
{
    struct agent *a = arg;
    return a->share != NULL ? share_sidecars(a->share) : 0;
}

static void on_revocation(void *arg, const struct revocation_change *change)
{
    struct agent *a = arg;
    if (!a->serving)
        return;
    if (change->kind != REVOKE_SERIAL)
        minter_holds_changed(a->minter);
    for (size_t i = 0; i < change->count && !change->lift && change->kind == REVOKE_SERIAL; i++)
        minter_discard(a->minter, change->revoked[i].serial);
}

static err_t open_revoker(struct agent *a, struct why *why)
{
    struct revoker_options opt = {.store = a->store,
                                  .record = a->record,
                                  .metrics = a->metrics,
                                  .audit = a->audit,
                                  .entries = on_entries,
                                  .sidecars = on_sidecars,
                                  .on_cache = on_cache,
                                  .on_cache_changed = on_cache_changed,
                                  .on_change = on_revocation,
                                  .arg = a};
    err_t err = revoker_open(&a->loop, &opt, &a->revoker, why);
    if (err == ERR_OK)
        vouch_for_roots(a);
    return err;
}

static void close_revoker(struct agent *a)
{
    revoker_close(a->revoker, part_closed, a);
}

static err_t on_may_issue(void *arg, const struct entry *e, struct why *why)
{
    struct agent *a = arg;
    return revoker_may_issue(a->revoker, e->spiffe_id, e->id, why);
}

/* --- who is calling, what they get ------------------------------------------------------------ */

static err_t open_attest(struct agent *a, struct why *why)
{
    err_t err = attest_unix_open(&a->loop, 0, &a->attest, why);
    if (err == ERR_OK)
        a->attestors.items[a->attestors.count++] = attest_unix_attestor(a->attest);
    return err;
}

static void close_attest(struct agent *a)
{
    attest_unix_close(a->attest, part_closed, a);
}

static void on_svid_change(void *arg, const char *entry_id, struct svid *svid)
{
    struct agent *a = arg;
    workload_api_svid_changed(a->api, entry_id, svid);
}

static void on_svids_settled(void *arg)
{
    struct agent *a = arg;
    workload_api_svids_settled(a->api);
}

static err_t open_minter(struct agent *a, struct why *why)
{
    struct minter_options opt = {.authority = &a->authority,
                                 .x509_ttl_s = a->config->x509_ttl_s,
                                 .may_issue = on_may_issue,
                                 .on_issued = on_issued,
                                 .on_change = on_svid_change,
                                 .on_settled = on_svids_settled,
                                 .arg = a,
                                 .metrics = a->metrics};
    return minter_open(&a->loop, &opt, &a->minter, why);
}

static void close_minter(struct agent *a)
{
    minter_close(a->minter, part_closed, a);
}

static err_t open_api(struct agent *a, struct why *why)
{
    struct workload_api_options opt = {.attestors = &a->attestors,
                                       .minter = a->minter,
                                       .authority = &a->authority,
                                       .trust_domain = a->config->trust_domain,
                                       .audit = a->audit,
                                       .metrics = a->metrics};
    err_t err = workload_api_open(&a->loop, &opt, &a->api, why);
    if (err == ERR_OK)
        workload_api_set_entries(a->api, a->entries);
    return err;
}

static void close_api(struct agent *a)
{
    workload_api_close(a->api, part_closed, a);
}

static err_t open_health(struct agent *a, struct why *why)
{
    return health_new(a->metrics, &a->health, why);
}

static void close_health(struct agent *a)
{
    health_free(a->health);
    a->health = NULL;
    agent_close_next(a);
}

/* --- sockets ---------------------------------------------------------------------------------- */

/* Last before gRPC starts threads; what is opened later is opened inside. On a loop of its own: it
 * runs one, and ours must not run while parts are missing. */
static err_t open_sandbox(struct agent *a, struct why *why)
{
    uv_loop_t loop;
    struct buf notes;
    err_t err = listener_make_folder(a->config->workload_api_socket, why);
    if (err != ERR_OK)
        return option_blame(a->config->origins, "workload_api.socket", err, why);
    int rc = uv_loop_init(&loop);
    if (rc != 0)
        return why_set(why, ERR_IO, "event loop: %s", uv_strerror(rc));
    buf_init(&notes, REPORT_MAX);
    err = agent_privileges_enter(a->config, a->config_path, &loop, &notes, why);
    for (struct slice left = buf_slice(&notes); left.len > 0;)
        log_warn("sandbox", log_slice("note", report_next_line(&left)));
    buf_done(&notes);
    rc = uv_loop_close(&loop);
    assert(rc == 0);
    return err;
}

static int64_t on_longest_life(void *arg)
{
    struct agent *a = arg;
    return entries_longest_x509_ttl(a->entries, a->config->x509_ttl_s) + AUTHORITY_BACKDATE_S;
}

static int on_page_for(void *arg, const char *spiffe_id, const char *name, int offered)
{
    struct agent *a = arg;
    return page_store_give(a->pages, spiffe_id, name, offered, clock_mono_ns());
}

static void on_page_left(void *arg, int page)
{
    struct agent *a = arg;
    page_store_left(a->pages, page, clock_mono_ns());
}

static void log_socket(const char *kind, const char *path)
{
    char address[PATH_MAX];
    snprintf(address, sizeof address, "unix:%s", path);
    log_info("listening", log_str("kind", kind), log_str("address", address));
}

static err_t open_share(struct agent *a, struct why *why)
{
    struct share_options opt = {.api_socket = a->config->workload_api_socket,
                                .attestors = &a->attestors,
                                .metrics = a->metrics,
                                .limits = a->limits.share,
                                .entries = on_entries,
                                .longest_life_s = on_longest_life,
                                .page_for = on_page_for,
                                .page_left = on_page_left,
                                .arg = a};
    err_t err = share_open(&a->loop, &opt, &a->share, why);
    if (err != ERR_OK)
        return option_blame(a->config->origins, "workload_api.socket", err, why);
    log_socket("share", share_socket(a->share));
    share_set_cache(a->share, revoker_cache(a->revoker), revoker_generation(a->revoker));
    return ERR_OK;
}

static void close_share(struct agent *a)
{
    share_close(a->share, part_closed, a);
    a->share = NULL;
}

static err_t open_endpoint(struct agent *a, struct why *why)
{
    struct endpoint_options opt = {
        .socket = a->config->workload_api_socket,
        .services = {workload_api_service(a->api), health_service(a->health)},
        .service_count = 2,
        .audit = a->audit,
        .metrics = a->metrics,
        .limits = a->limits.api};
    err_t err = endpoint_open(&a->loop, &opt, &a->endpoint, why);
    if (err != ERR_OK)
        return option_blame(a->config->origins, "workload_api.socket", err, why);
    log_socket("workload_api", a->config->workload_api_socket);
    return ERR_OK;
}

static void close_endpoint(struct agent *a)
{
    agent_gauges_watch(a->gauges, NULL, NULL, NULL, NULL);
    endpoint_close(a->endpoint, part_closed, a);
}

static bool is_ready(void *arg, struct buf *text)
{
    struct agent *a = arg;
    err_t err = ERR_OK;
    if (a->reload_problem != NULL)
        err = buf_printf(text, "degraded: reload failed, the last good entries are in use: %s\n",
                         a->reload_problem);
    const char *problem = a->serving ? record_problem(a->record) : NULL;
    if (err == ERR_OK && problem != NULL)
        err = buf_printf(text, "degraded: %s\n", problem);
    return err == ERR_OK && a->serving;
}

/* Where nobody can ask for them there are none. */
static err_t open_pages(struct agent *a, struct why *why)
{
    size_t max = a->config->metrics_on ? (size_t)a->config->metrics_max_sidecars : 0;
    err_t err = page_store_new(a->metrics, max, &a->pages, why);
    if (err != ERR_OK)
        return err;
    err = node_scrape_new(&a->loop, a->metrics, a->pages, &a->node_scrape, why);
    if (err != ERR_OK)
        page_store_free(a->pages);
    return err;
}

static void on_scrapes_ended(void *arg)
{
    struct agent *a = arg;
    page_store_free(a->pages);
    agent_close_next(a);
}

static void close_pages(struct agent *a)
{
    node_scrape_close(a->node_scrape, on_scrapes_ended, a);
}

static err_t open_probes(struct agent *a, struct why *why)
{
    struct probes_options opt = {.metrics = a->metrics,
                                 .is_ready = is_ready,
                                 .arg = a,
                                 .places = a->limits.http_places,
                                 .on_metrics = node_scrape_answer,
                                 .metrics_arg = a->node_scrape,
                                 .hosts = a->started_with->metrics_hosts};
    if (!a->config->metrics_on)
        return ERR_OK;
    err_t err = probes_open(&a->loop, &a->config->metrics_listen, &opt, &a->probes, why);
    return option_blame(a->config->origins, "metrics.listen", err, why);
}

static void close_probes(struct agent *a)
{
    if (a->probes != NULL)
        probes_close(a->probes, part_closed, a);
    else
        agent_close_next(a);
}

static err_t open_admin(struct agent *a, struct why *why)
{
    struct admin_sources sources = {.entries = on_entries,
                                    .arg = a,
                                    .minter = a->minter,
                                    .record = a->record,
                                    .revoker = a->revoker,
                                    .attestors = &a->attestors,
                                    .metrics = a->metrics,
                                    .places = a->limits.http_places};
    err_t err = admin_open(&a->loop, a->config->admin_socket, &sources, &a->admin, why);
    if (err == ERR_OK)
        log_info("listening", log_str("kind", "admin"),
                 log_str("address", a->config->admin_socket));
    return option_blame(a->config->origins, "admin.socket", err, why);
}

static void close_admin(struct agent *a)
{
    admin_close(a->admin, part_closed, a);
}

/* --- signals ---------------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *h, int number)
{
    struct agent *a = h->data;
    if (number == SIGHUP) {
        audit_reopen(a->audit); /* logrotate may have moved it */
        reload_now(a->reload);
        return;
    }
    const char *name = number == SIGTERM ? "SIGTERM" : "SIGINT";
    log_info("stopping", log_str("signal", name));
    audit_stopping(a->audit, name);
    agent_stop(a);
}

static err_t open_signals(struct agent *a, struct why *why)
{
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    (void)why;
    for (int i = 0; i < SIGNALS; i++) {
        int rc = uv_signal_init(&a->loop, &a->signals[i]);
        assert(rc == 0);
        a->signals[i].data = a;
        rc = uv_signal_start(&a->signals[i], on_signal, numbers[i]);
        assert(rc == 0);
        (void)rc; /* fails for wrong numbers only */
    }
    return ERR_OK;
}

static void close_signals(struct agent *a)
{
    a->handles = SIGNALS;
    for (int i = 0; i < SIGNALS; i++)
        uv_close((uv_handle_t *)&a->signals[i], on_handle_closed);
}

/* --- all of them ------------------------------------------------------------------------------ */

/* Opened in this order, closed in reverse: what a part uses is above it. */
static const struct part parts[] = {
    {open_metrics, close_metrics},
    {open_store, close_store},   /* reads nothing yet */
    {open_reload, close_reload}, /* before the entries: what changes from here on is seen */
    {open_entries, close_entries},
    {open_pages, close_pages},
    {open_probes, close_probes},   /* mistakes of the configuration end here: nothing is made yet */
    {open_lock, agent_close_next}, /* held until all is closed */
    {open_audit, close_audit},
    {open_authority, close_authority},
    {open_record, close_record},
    {open_revoker, close_revoker},
    {open_attest, close_attest},
    {open_minter, close_minter},
    {open_api, close_api},
    {open_health, close_health},
    {open_signals, close_signals},
    {open_admin, close_admin},
    {open_sandbox, agent_close_next},
    {start_audit, agent_close_next},
    {open_share, close_share}, /* before who gets an identity looks for it */
    {open_endpoint, close_endpoint},
};
enum { PART_COUNT = sizeof parts / sizeof *parts };

/* --- life ------------------------------------------------------------------------------------- */

static void agent_close_next(struct agent *a)
{
    if (a->parts > 0)
        parts[--a->parts].close(a);
}

static void agent_stop(struct agent *a)
{
    if (a->closing)
        return;
    a->closing = true;
    a->serving = false;
    if (a->health != NULL)
        health_set(a->health, false);
    agent_close_next(a);
}

static err_t open_parts(struct agent *a, struct why *why)
{
    for (size_t i = 0; i < PART_COUNT; i++) {
        err_t err = parts[i].open(a, why);
        if (err != ERR_OK)
            return err;
        a->parts = i + 1;
    }
    return ERR_OK;
}

static void log_started(const struct agent *a)
{
    char fingerprint[AGENT_FINGERPRINT_LEN];
    log_info("started", log_str("version", SPINDLE_VERSION),
             log_str("trust_domain", a->config->trust_domain),
             log_int("entries", a->entries->count),
             log_str("root_sha256", agent_root_fingerprint(agent_bundle(a), fingerprint)),
             log_time("root_not_after", agent_times(a).root_not_after));
}

static err_t run(struct agent *a, struct why *why)
{
    err_t err = descriptors_open((size_t)a->config->streams_per_user, &a->limits, why);
    if (err != ERR_OK)
        return err;
    int rc = uv_loop_init(&a->loop);
    if (rc != 0)
        return why_set(why, ERR_IO, "event loop: %s", uv_strerror(rc));
    err = open_parts(a, why);
    if (err == ERR_OK) {
        agent_gauges_watch(a->gauges, &a->authority, a->minter, a->endpoint,
                           a->config->trust_domain);
        a->serving = true;
        health_set(a->health, true);
        log_started(a);
        audit_started(a->audit, a->config->trust_domain, a->entries->count);
    } else {
        agent_stop(a);
    }
    uv_run(&a->loop, UV_RUN_DEFAULT);
    rc = uv_loop_close(&a->loop);
    assert(rc == 0);
    if (a->lock_fd >= 0)
        close(a->lock_fd); /* the store, too, is through with data_dir */
    mem_free(a->reload_problem);
    if (err == ERR_OK)
        log_info("stopped");
    return err;
}

err_t agent_run(const char *config_path, const char *const *sets, struct why *why)
{
    struct agent a = {.config_path = config_path, .sets = sets, .lock_fd = -1};
    struct buf report;
    buf_init(&report, REPORT_MAX);
    err_t err = agent_config_load(config_path, sets, &report, &a.started_with, why);
    a.config = a.started_with;
    if (err == ERR_OK)
        log_setup(a.config->log_level, a.config->log_format);
    report_log(buf_slice(&report));
    buf_done(&report);
    if (err != ERR_OK)
        return err;
    umask(umask(0777) | 0027);
    mallopt(M_ARENA_MAX, 1); /* gRPC's threads would each take an arena: 2 MiB more when idle */
    err = run(&a, why);
    if (a.config != a.started_with)
        agent_config_free(a.config);
    agent_config_free(a.started_with);
    return err;
}

#include "agent/agent.h"

#include "agent/agent_internal.h"
#include "common/base/mem.h"
#include "common/log/log.h"
#include "common/log/report.h"

#include <assert.h>
#include <malloc.h>
#include <sys/stat.h>

void agent_stop(struct agent *a)
{
    if (a->closing)
        return;
    a->closing = true;
    a->serving = false;
    if (a->health != NULL)
        health_set(a->health, false);
    agent_close_next(a);
}

void agent_close_next(struct agent *a)
{
    if (a->parts > 0)
        agent_parts[--a->parts].close(a);
}

static err_t open_parts(struct agent *a, struct why *why)
{
    for (size_t i = 0; i < agent_part_count; i++) {
        err_t err = agent_parts[i].open(a, why);
        if (err != ERR_OK)
            return err;
        a->parts = i + 1;
    }
    return ERR_OK;
}

static void log_started(const struct agent *a)
{
    char fingerprint[AGENT_FINGERPRINT_LEN];
    log_info(
        "started", log_str("version", SPINDLE_VERSION),
        log_str("trust_domain", a->config->trust_domain), log_int("entries", a->entries->count),
        log_str("root_sha256", agent_root_fingerprint(authority_bundle(a->authority), fingerprint)),
        log_time("root_not_after", authority_root_not_after(a->authority)));
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
        agent_gauges_watch(a->gauges, a->authority, a->minter, a->endpoint,
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
    mem_free(a->reload_problem);
    if (err == ERR_OK)
        log_info("stopped");
    return err;
}

err_t agent_run(const char *config_path, const char *const *sets, struct why *why)
{
    struct agent a = {.config_path = config_path, .sets = sets, .lock_fd = -1};
    struct buf report;
    buf_init(&report, AGENT_REPORT_MAX);
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

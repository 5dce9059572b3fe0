/* What sidecar.c (the program: start, drain, end) and sidecar_share.c (what the agent shares) have
 * in common. Nobody else. Main thread only. */
#ifndef SPINDLE_SIDECAR_SIDECAR_INTERNAL_H
#define SPINDLE_SIDECAR_SIDECAR_INTERNAL_H

#include "common/http/probes.h"
#include "common/loop/file_watch.h"
#include "sidecar/identity/file_stamp.h"
#include "sidecar/identity/identity_source.h"
#include "sidecar/identity/share_link.h"
#include "sidecar/last_call.h"
#include "sidecar/sidecar.h"
#include "sidecar/telemetry/gauges.h"
#include "sidecar/telemetry/name_notes.h"
#include "sidecar/telemetry/notes.h"
#include "sidecar/worker/worker.h"

enum phase { PHASE_RUNNING, PHASE_LEAVING, PHASE_DRAINING, PHASE_CLOSING };

struct sidecar {
    uv_loop_t loop;
    const char *config_path;       /* borrowed, may be NULL */
    const char *const *sets;       /* borrowed */
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
    struct file_watch *watch;
    struct file_stamp stamp; /* of the configuration file when it was last read */
    uv_signal_t signals[3];
    uv_timer_t drain;
    bool loop_handles; /* signals and timer are initialised */
    enum phase phase;
    uint64_t drain_until_ms; /* loop time at which patience ends */
    struct last_call last_call;
};

/* sidecar_share.c. Beside a Workload API of this machine; identities from elsewhere have no agent
 * here. */
err_t sidecar_open_share(struct sidecar *s, struct why *why) MUST_CHECK;
/* For metrics_on_scrape. */
void sidecar_on_share_scrape(void *arg);
void sidecar_post_identity(struct sidecar *s); /* to all workers */
/* Do newcomers wait for what is revoked? To all workers, after the configuration changed, too. */
void sidecar_apply_hold(struct sidecar *s);

#endif

/* What /ready says, as a table: workers and routes made by hand. */
#include "common/base/mem.h"
#include "common/log/log.h"
#include "sidecar/admin/readiness.h"
#include "sidecar/telemetry/metrics.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#include <stdio.h>
#include <string.h>

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))
#define CAP 3

enum refusal { NONE, SERVES, BARE };

static const struct {
    const char *what;
    bool leaving, no_identity, no_view;
    enum revocation_policy policy;
    enum refusal refusal; /* of the second worker */
    size_t open[2];       /* of the inbound and the outbound route */
    size_t total;         /* of the process */
    bool is_denied;
    const char *problem; /* of the identity */
    bool ready;
    const char *words;
} cases[] = {
    {.what = "well", .ready = true, .words = "ready\n"},
    {.what = "soft needs no view",
     .no_view = true,
     .policy = REVOCATION_SOFT,
     .ready = true,
     .words = "ready\n"},
    {.what = "hard does",
     .no_view = true,
     .policy = REVOCATION_HARD,
     .words = "not ready: no revocation cache, and revocation.policy is hard\n"},
    {.what = "hard with a view", .policy = REVOCATION_HARD, .ready = true, .words = "ready\n"},
    {.what = "leaving", .leaving = true, .words = "not ready: draining\n"},
    {.what = "no identity", .no_identity = true, .words = "not ready: no identity\n"},
    {.what = "no identity, and why",
     .no_identity = true,
     .problem = "no entry",
     .words = "not ready: no identity: no entry\n"},
    {.what = "an old problem", .problem = "no entry", .ready = true, .words = "ready\n"},
    {.what = "leaving without one",
     .leaving = true,
     .no_identity = true,
     .problem = "no entry",
     .words = "not ready: draining\n"},
    {.what = "one below the cap", .open = {CAP - 1, CAP - 1}, .ready = true, .words = "ready\n"},
    {.what = "inbound full",
     .open = {CAP, 0},
     .words = "not ready: inbound[0].listen holds as many connections as limits.connections "
              "allows: 3\n"},
    {.what = "outbound over",
     .open = {0, CAP + 1},
     .words = "not ready: outbound[0].listen holds as many connections as limits.connections "
              "allows: 3\n"},
    {.what = "one below the total", .total = CAP, .ready = true, .words = "ready\n"},
    {.what = "all places taken",
     .total = CAP + 1,
     .words = "not ready: it holds as many connections as limits.total or the descriptor limit "
              "allows: 4\n"},
    {.what = "the agent does not tell",
     .is_denied = true,
     .policy = REVOCATION_SOFT,
     .words = "not ready: the agent is there and gives no revocation cache: newcomers wait\n"},
    {.what = "nor is it asked",
     .is_denied = true,
     .policy = REVOCATION_OFF,
     .ready = true,
     .words = "ready\n"},
    {.what = "refused, none before",
     .refusal = BARE,
     .words = "not ready: the identity cannot be used: no good\n"},
    {.what = "refused, one before",
     .refusal = SERVES,
     .ready = true,
     .words = "ready\ndegraded: the newest identity cannot be used, the one before is in use: "
              "no good\n"},
    {.what = "refused and full",
     .refusal = SERVES,
     .open = {CAP, 0},
     .words = "not ready: inbound[0].listen holds as many connections as limits.connections "
              "allows: 3\n"},
};

START_TEST(test_ready_says_what_is_lacking)
{
    struct route_config routes[2] = {{.direction = ROUTE_INBOUND}, {.direction = ROUTE_OUTBOUND}};
    struct sidecar_config config = {.routes = routes,
                                    .route_count = 2,
                                    .inbound = {.count = 1},
                                    .workers = 2,
                                    .max_connections = CAP,
                                    .max_total = CAP + 1,
                                    .revocation = cases[_i].policy};
    struct worker workers[2] = {{.home.config = &config}, {.home.config = &config}};
    _Atomic size_t open[2] = {cases[_i].open[0], cases[_i].open[1]};
    struct places places = {.descriptors = 20000, .open = cases[_i].total, .per_listener = open};
    struct why problem = {0};
    if (cases[_i].problem != NULL)
        why_set(&problem, ERR_NO_ENTRY, "%s", cases[_i].problem);
    struct readiness r = {.config = &config,
                          .problem = &problem,
                          .workers = workers,
                          .worker_count = 2,
                          .places = &places,
                          .leaving = cases[_i].leaving,
                          .has_identity = !cases[_i].no_identity,
                          .has_view = !cases[_i].no_view,
                          .is_denied = cases[_i].is_denied};
    struct buf words;
    buf_init(&words, 4096);
    for (int i = 0; i < 2; i++)
        pthread_mutex_init(&workers[i].lock, NULL);
    if (cases[_i].refusal != NONE)
        why_set(&workers[1].refused, ERR_KEY, "no good");
    workers[1].serves = cases[_i].refusal == SERVES;
    ck_assert_msg(readiness_tell(&r, &words) == cases[_i].ready, "%s", cases[_i].what);
    ck_assert_int_eq(buf_append(&words, "", 1), ERR_OK);
    ck_assert_str_eq((const char *)words.data, cases[_i].words);
    buf_done(&words);
    for (int i = 0; i < 2; i++)
        pthread_mutex_destroy(&workers[i].lock);
}
END_TEST

static struct identity *make_identity(void)
{
    struct why why = {0};
    struct bundle_set bundles;
    struct identity *made = NULL;
    struct cert *root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    struct cert *leaf =
        cert_make(&(struct cert_knobs){.uri = "spiffe://example.org/me", .cn = "leaf"}, root);
    bundle_set_init(&bundles);
    cert_trust(&bundles, "example.org", root);
    err_t err = identity_new(cert_der(leaf), key_pkcs8(leaf->key), "", &bundles, &made, &why);
    ck_assert_msg(err == ERR_OK, "%s", why_text(&why));
    cert_free(leaf);
    cert_free(root);
    return made;
}

/* The worker takes what was posted; without memory for it, if so. */
static bool takes(struct worker *w, struct identity *id, bool memory, struct worker_refusal *ret)
{
    worker_post_identity(w, id);
    mem_fail_after(memory ? -1 : 0);
    uv_run(w->home.loop, UV_RUN_NOWAIT);
    mem_fail_after(-1);
    return !worker_refused_identity(w, ret);
}

START_TEST(test_a_worker_tells_that_it_cannot_use_the_newest_identity)
{
    static struct worker w;
    struct why why = {0};
    struct route_config route = {.direction = ROUTE_INBOUND};
    struct sidecar_config config = {.routes = &route, .route_count = 1, .workers = 1, .refs = 100};
    struct worker_refusal refusal;
    _Atomic size_t open = 0;
    uv_loop_t loop;
    int none = -1;
    struct places places = {.descriptors = 20000, .per_listener = &open};
    struct worker_shared shared = {.places = &places};
    struct identity *id = make_identity();
    log_setup(LOG_ERROR, LOG_TEXT);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(metrics_new(sidecar_families, SIDECAR_METRIC_COUNT, "", &shared.metrics, &why),
                     ERR_OK);
    ck_assert_int_eq(worker_open(&w, 0, &loop, &config, &shared, &none, &why), ERR_OK);
    ck_assert(!worker_refused_identity(&w, &refusal)); /* none yet: that is not its fault */
    ck_assert(!takes(&w, id, false, &refusal));
    ck_assert(refusal.why.err == ERR_NO_MEMORY && !refusal.serves);
    ck_assert(takes(&w, id, true, &refusal));
    ck_assert(!takes(&w, id, false, &refusal));
    ck_assert(refusal.why.err == ERR_NO_MEMORY && refusal.serves);
    ck_assert(takes(&w, NULL, true, &refusal));
    ck_assert_uint_eq(metric_read(shared.metrics, M_IDENTITY_FAILURES,
                                  metric_reason(shared.metrics, M_IDENTITY_FAILURES, ERR_NO_MEMORY),
                                  0, 0),
                      2);
    worker_post_close(&w);
    uv_run(&loop, UV_RUN_DEFAULT);
    worker_done(&w);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    metrics_free(shared.metrics);
    identity_unref(id);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("readiness");
    TCase *t = tcase_create("readiness");
    tcase_add_loop_test(t, test_ready_says_what_is_lacking, 0, COUNT(cases));
    tcase_add_test(t, test_a_worker_tells_that_it_cannot_use_the_newest_identity);
    suite_add_tcase(s, t);
    return run_suite(s);
}

#include "common/rpc/workload_client.h"

#include "common/base/backoff.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/loop/closing.h"
#include "common/rpc/rpc_client.h"

/* A stream that lived as long as this was a success; the next wait is short again. */
#define SETTLED_MS 1000

struct workload_client {
    uv_loop_t *loop;
    enum workload_profile profile;
    struct workload_events events;
    struct rpc_client *rpc;
    struct rpc_stream *stream; /* NULL while waiting, and after a final trouble */
    uv_timer_t retry;
    struct backoff backoff;
    uint64_t started_ms;
    bool got_message;
    struct closing closing;
};

static void on_retry(uv_timer_t *timer);

static const char *method_of(enum workload_profile profile)
{
    return profile == WORKLOAD_X509_SVIDS ? "/SpiffeWorkloadAPI/FetchX509SVID"
                                          : "/SpiffeWorkloadAPI/FetchX509Bundles";
}

static void report(struct workload_client *c, int code, const struct why *why, bool is_final,
                   uint64_t retry_ms)
{
    const struct workload_trouble trouble = {code, why, is_final, retry_ms};
    c->events.on_trouble(c->events.arg, &trouble);
}

static uint64_t wait_again(struct workload_client *c)
{
    uint64_t random = 0;
    rand_bytes(&random, sizeof random);
    uint64_t wait = backoff_next(&c->backoff, random);
    uv_timer_start(&c->retry, on_retry, wait, 0);
    return wait;
}

static err_t err_of_code(int code)
{
    switch (code) {
    case RPC_PERMISSION_DENIED:
        return ERR_NO_ENTRY;
    case RPC_DEADLINE_EXCEEDED:
        return ERR_TIMEOUT;
    default:
        return ERR_RPC;
    }
}

static void on_message(void *arg, struct slice message)
{
    struct workload_client *c = arg;
    struct why why = {0};
    struct workload_svids svids = {0};
    struct bundle_set bundles;
    bundle_set_init(&bundles);
    err_t err = c->profile == WORKLOAD_X509_SVIDS
                    ? workload_svids_decode(message, &svids, &why)
                    : workload_bundles_decode(message, &bundles, &why);
    if (err != ERR_OK) {
        report(c, RPC_OK, &why, false, 0);
        return;
    }
    c->got_message = true;
    if (c->profile == WORKLOAD_X509_SVIDS)
        c->events.on_svids(c->events.arg, &svids);
    else
        c->events.on_bundles(c->events.arg, &bundles);
    workload_svids_done(&svids);
    bundle_set_done(&bundles);
}

static void on_end(void *arg, int code, const char *message)
{
    struct workload_client *c = arg;
    struct why why = {0};
    c->stream = NULL;
    if (c->closing.begun)
        return;
    if (c->got_message && uv_now(c->loop) - c->started_ms >= SETTLED_MS)
        backoff_reset(&c->backoff);
    why_set(&why, err_of_code(code), "%s: %s", rpc_code_name(code),
            message[0] != '\0' ? message : "no message");
    bool is_final = code == RPC_INVALID_ARGUMENT || code == RPC_UNIMPLEMENTED;
    uint64_t wait = is_final ? 0 : wait_again(c);
    /* OK would say "discarded"; a stream that just ends is no success either. */
    report(c, code == RPC_OK ? RPC_UNKNOWN : code, &why, is_final, wait);
}

static void start(struct workload_client *c)
{
    const struct rpc_stream_events events = {on_message, on_end, c};
    struct why why = {0};
    c->started_ms = uv_now(c->loop);
    c->got_message = false;
    err_t err = rpc_client_call(c->rpc, method_of(c->profile), true, slice_of(NULL, 0), 0, &events,
                                &c->stream, &why);
    if (err != ERR_OK)
        report(c, RPC_UNAVAILABLE, &why, false, wait_again(c));
}

err_t workload_client_open(uv_loop_t *loop, const struct address *endpoint,
                           enum workload_profile profile, const struct workload_events *events,
                           struct workload_client **ret, struct why *why)
{
    struct workload_client *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for a Workload API client");
    err_t err = rpc_client_open(loop, endpoint, &c->rpc, why);
    if (err != ERR_OK) {
        mem_free(c);
        return err;
    }
    c->loop = loop;
    c->profile = profile;
    c->events = *events;
    backoff_init(&c->backoff, WORKLOAD_RETRY_FIRST_MS, WORKLOAD_RETRY_CAP_MS);
    uv_timer_init(loop, &c->retry);
    c->retry.data = c;
    uv_timer_start(&c->retry, on_retry, 0, 0);
    *ret = c;
    return ERR_OK;
}

void workload_client_retry(struct workload_client *c)
{
    if (!c->closing.begun && c->stream == NULL)
        uv_timer_start(&c->retry, on_retry, 0, 0);
}

void workload_client_close(struct workload_client *c, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&c->closing, mem_free, c, done, arg))
        return;
    closing_handle(&c->closing, &c->retry);
    rpc_client_close(c->rpc, closing_drop, closing_hold(&c->closing));
}

static void on_retry(uv_timer_t *timer)
{
    struct workload_client *c = timer->data;
    if (!c->closing.begun && c->stream == NULL)
        start(c);
}

/* Load on a Workload API socket, on our own gRPC client; tests/bench/run drives it.
 *   bench_agent fetch SOCKET COUNT WORKERS   connect, FetchX509SVID, first message, close
 *   bench_agent hold SOCKET COUNT            COUNT connections with a stream each, held until our
 *                                            standard input ends
 * Prints one line of JSON. */
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/rpc/rpc_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define METHOD "/SpiffeWorkloadAPI/FetchX509SVID"
#define OPENING_MAX 64 /* of `hold`: connections that wait for their first message */

struct load;

/* One connection after another (fetch), or one that stays (hold). */
struct slot {
    struct load *load;
    struct rpc_client *client; /* owned */
    struct rpc_stream *stream;
    enum { SLOT_FREE, SLOT_WAITING, SLOT_ANSWERED, SLOT_CLOSING } state;
    bool ended; /* the stream is gone */
};

struct load {
    uv_loop_t loop;
    uv_check_t after_poll; /* slots are moved on here, never inside the client's callbacks */
    uv_pipe_t input;
    struct address server;
    bool hold;
    struct slot *slots; /* owned */
    long slot_count, total, started, answered, failed;
    bool told;
};

static void on_message(void *arg, struct slice message)
{
    struct slot *s = arg;

    if (s->state == SLOT_WAITING && message.len > 0) {
        s->state = SLOT_ANSWERED;
        s->load->answered++;
    }
}

static void on_end(void *arg, int code, const char *message)
{
    struct slot *s = arg;

    s->ended = true;
    if (s->state != SLOT_WAITING)
        return;
    s->state = SLOT_ANSWERED;
    if (s->load->failed++ == 0)
        fprintf(stderr, "bench_agent: first failure: %s: %s\n", rpc_code_name(code), message);
}

static bool slot_start(struct slot *s)
{
    struct why why;
    struct rpc_stream_events events = {.on_message = on_message, .on_end = on_end, .arg = s};

    s->ended = false;
    s->state = SLOT_WAITING;
    s->load->started++;
    if (rpc_client_open(&s->load->loop, &s->load->server, &s->client, &why) == ERR_OK &&
        rpc_client_call(s->client, METHOD, true, slice_of(NULL, 0), 0, &events, &s->stream, &why) ==
            ERR_OK)
        return true;
    fprintf(stderr, "bench_agent: %s\n", why_text(&why));
    return false;
}

static void move_on(struct load *l);

/* The loop may have nothing else to wake it, so the next one starts from here. */
static void on_closed(void *arg)
{
    struct slot *s = arg;

    s->state = SLOT_FREE;
    s->client = NULL;
    move_on(s->load);
}

static void slot_close(struct slot *s)
{
    if (!s->ended)
        rpc_stream_cancel(s->stream);
    s->state = SLOT_CLOSING;
    rpc_client_close(s->client, on_closed, s);
}

static void tell_held(struct load *l)
{
    printf("{\"held\": %ld, \"failed\": %ld}\n", l->answered, l->failed);
    fflush(stdout);
    l->told = true;
}

/* Ends answered fetches and starts what may start. */
static void move_on(struct load *l)
{
    long waiting = l->started - l->answered - l->failed;

    for (long i = 0; i < l->slot_count; i++) {
        struct slot *s = &l->slots[i];
        if (!l->hold && s->state == SLOT_ANSWERED)
            slot_close(s);
        if (s->state == SLOT_FREE && l->started < l->total && waiting < OPENING_MAX) {
            waiting++;
            if (!slot_start(s)) {
                l->failed = l->total;
                uv_stop(&l->loop);
                return;
            }
        }
    }
    if (l->answered + l->failed < l->total || l->told)
        return;
    if (l->hold)
        tell_held(l);
    else
        uv_stop(&l->loop);
}

static void on_after_poll(uv_check_t *check)
{
    move_on(check->data);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char drop[64];
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(drop, sizeof drop);
}

static void on_input(uv_stream_t *input, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    if (n < 0)
        uv_stop(input->loop);
}

static int run(struct load *l)
{
    uint64_t begin = clock_mono_ns();

    l->slots = mem_array((size_t)l->slot_count, sizeof *l->slots);
    if (!l->slots || uv_loop_init(&l->loop) != 0)
        return 1;
    uv_check_init(&l->loop, &l->after_poll);
    l->after_poll.data = l;
    uv_check_start(&l->after_poll, on_after_poll);
    if (l->hold) {
        uv_pipe_init(&l->loop, &l->input, 0);
        uv_pipe_open(&l->input, 0);
        uv_read_start((uv_stream_t *)&l->input, on_alloc, on_input);
    }
    for (long i = 0; i < l->slot_count; i++)
        l->slots[i].load = l;
    move_on(l);
    uv_run(&l->loop, UV_RUN_DEFAULT);
    if (!l->hold)
        printf("{\"done\": %ld, \"failed\": %ld, \"seconds\": %.6f}\n", l->total, l->failed,
               (double)(clock_mono_ns() - begin) / 1e9);
    return l->failed == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct load l = {.hold = argc == 4 && strcmp(argv[1], "hold") == 0};
    bool fetch = argc == 5 && strcmp(argv[1], "fetch") == 0;
    struct rlimit files;
    struct why why;

    if (!l.hold && !fetch) {
        fprintf(stderr, "usage: bench_agent fetch SOCKET COUNT WORKERS\n"
                        "       bench_agent hold SOCKET COUNT\n");
        return 2;
    }
    if (address_parse(slice_str(argv[2]), &l.server, &why) != ERR_OK) {
        fprintf(stderr, "bench_agent: %s\n", why_text(&why));
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    l.total = atol(argv[3]);
    l.slot_count = l.hold ? l.total : atol(argv[4]);
    /* The process ends here; what the loop still holds goes with it. */
    return run(&l);
}

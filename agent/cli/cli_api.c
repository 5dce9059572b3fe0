/* api fetch x509, api watch, healthcheck: what a workload does, as commands. Each runs a loop of
 * its own and ends it when the answer is there, the time is up, or somebody presses Ctrl-C. */
#include "agent/cli/cli_endpoint.h"
#include "agent/cli/commands.h"
#include "agent/svid/svid_files.h"
#include "agent/svid/svid_text.h"
#include "common/base/clock.h"
#include "common/crypto/selftest.h"
#include "common/rpc/rpc_client.h"
#include "common/rpc/workload_client.h"

#include <assert.h>
#include <health.pb-c.h>
#include <signal.h>

#define ANSWER_TIMEOUT_MS 10000
#define READER_LOOK_MS 500 /* of a watch: does anybody still read? */

struct session {
    uv_loop_t loop;
    uv_timer_t timeout; /* of a watch: looks after the reader */
    uv_signal_t interrupt, terminate;
    struct address socket;
    FILE *out, *err;
    bool json, once, finished;
    const char *write_dir; /* NULL: none */
    struct workload_client *workload;
    struct rpc_client *rpc;
    err_t result;
    struct why *why;
};

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL); /* the session outlives its loop: nothing to free */
}

/* The one way out; the loop runs until everything has closed. */
static void session_finish(struct session *s, err_t result)
{
    if (s->finished)
        return;
    s->finished = true;
    s->result = result;
    close_handle((uv_handle_t *)&s->timeout, NULL);
    close_handle((uv_handle_t *)&s->interrupt, NULL);
    close_handle((uv_handle_t *)&s->terminate, NULL);
    if (s->workload != NULL)
        workload_client_close(s->workload, NULL, NULL);
    if (s->rpc != NULL)
        rpc_client_close(s->rpc, NULL, NULL);
}

static void on_timeout(uv_timer_t *timer)
{
    struct session *s = timer->data;
    session_finish(s, cli_explain_rpc(&s->socket, RPC_DEADLINE_EXCEEDED, "", s->why));
}

/* Nothing may have to be written for half a certificate's life: that long nobody would notice. */
static void on_reader_look(uv_timer_t *timer)
{
    struct session *s = timer->data;
    if (command_reader_left(s->out))
        session_finish(s, ERR_IO);
}

static void on_signal(uv_signal_t *signal, int number)
{
    (void)number;
    session_finish(signal->data, ERR_OK);
}

static err_t session_init(struct session *s, const struct command_line *line, struct why *why)
{
    *s = (struct session){.out = line->out, .err = line->err, .why = why};
    err_t err = cli_workload_socket(line, &s->socket, why);
    if (err != ERR_OK)
        return err;
    int rc = uv_loop_init(&s->loop);
    if (rc != 0)
        return why_set(why, ERR_IO, "an event loop: %s", uv_strerror(rc));
    uv_timer_init(&s->loop, &s->timeout);
    uv_signal_init(&s->loop, &s->interrupt);
    uv_signal_init(&s->loop, &s->terminate);
    s->timeout.data = s->interrupt.data = s->terminate.data = s;
    return ERR_OK;
}

static err_t session_run(struct session *s)
{
    uv_run(&s->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&s->loop);
    assert(rc == 0);
    (void)rc;
    return s->result;
}

static err_t print_json(struct session *s, const struct workload_svids *svids)
{
    json_t *json = svid_text_json(svids);
    size_t flags = s->once ? JSON_INDENT(2) : JSON_COMPACT;
    bool done = json != NULL && json_dumpf(json, s->out, flags) == 0;
    json_decref(json);
    fputc('\n', s->out);
    fflush(s->out);
    return done ? ERR_OK : why_set(s->why, ERR_IO, "the answer cannot be written as JSON");
}

static void on_svids(void *arg, const struct workload_svids *svids)
{
    struct session *s = arg;
    err_t err = ERR_OK;
    if (s->write_dir != NULL)
        err = svid_files_write(s->write_dir, svids, s->why);
    if (err == ERR_OK && s->json)
        err = print_json(s, svids);
    else if (err == ERR_OK && s->once)
        svid_text_print(s->out, svids);
    else if (err == ERR_OK)
        svid_text_line(s->out, clock_wall_s(), svids);
    if (err == ERR_OK && s->once && s->write_dir != NULL && !s->json)
        fprintf(s->out, "\nWritten to %s\n", s->write_dir);
    if (err == ERR_OK && ferror(s->out) != 0) /* a full disk, say: nothing to go on for */
        err = ERR_IO;
    if (err != ERR_OK || s->once)
        session_finish(s, err);
}

static void on_trouble(void *arg, const struct workload_trouble *trouble)
{
    struct session *s = arg;
    struct why why = {0};
    err_t err = trouble->why->err;
    /* The client put the code's name before the server's words. */
    const char *text = strstr(trouble->why->text, ": ");
    if (trouble->code == RPC_OK)
        why_set(&why, err, "the answer was discarded: %s", why_text(trouble->why));
    else
        err = cli_explain_rpc(&s->socket, trouble->code,
                              text != NULL ? text + 2 : trouble->why->text, &why);
    if (s->once || trouble->is_final) {
        *s->why = why;
        session_finish(s, err);
        return;
    }
    fprintf(s->err, "spindle-agent: %s", why_text(&why));
    if (trouble->code != RPC_OK)
        fprintf(s->err, "; trying again in %.1f s", (double)trouble->retry_ms / 1000);
    fputc('\n', s->err);
}

static err_t api_follow(const struct command_line *line, bool once, struct why *why)
{
    struct session s;
    uint64_t timeout_ms = 0;
    bool json = false;
    err_t err = command_output_json(line, &json, why);
    if (err == ERR_OK)
        err = selftest_run(why);
    if (err == ERR_OK && once)
        err = cli_timeout(line, ANSWER_TIMEOUT_MS, &timeout_ms, why);
    if (err == ERR_OK)
        err = session_init(&s, line, why);
    if (err != ERR_OK)
        return err;
    s.json = json;
    s.once = once;
    s.write_dir = once ? command_flag_value(line, "write") : NULL;
    const struct workload_events events = {
        .on_svids = on_svids, .on_trouble = on_trouble, .arg = &s};
    err = workload_client_open(&s.loop, &s.socket, WORKLOAD_X509_SVIDS, &events, &s.workload, why);
    if (err != ERR_OK) {
        session_finish(&s, err);
    } else if (once) {
        uv_timer_start(&s.timeout, on_timeout, timeout_ms, 0);
    } else {
        uv_signal_start(&s.interrupt, on_signal, SIGINT);
        uv_signal_start(&s.terminate, on_signal, SIGTERM);
        uv_timer_start(&s.timeout, on_reader_look, READER_LOOK_MS, READER_LOOK_MS);
    }
    return session_run(&s);
}

err_t cli_api_fetch_x509(const struct command_line *line, struct why *why)
{
    return api_follow(line, true, why);
}

err_t cli_api_watch(const struct command_line *line, struct why *why)
{
    return api_follow(line, false, why);
}

/* ---- healthcheck ---- */

static void on_health(void *arg, struct slice message)
{
    struct session *s = arg;
    Grpc__Health__V1__HealthCheckResponse *answer =
        grpc__health__v1__health_check_response__unpack(NULL, message.len, message.data);
    int status = answer != NULL ? (int)answer->status : -1;
    char where[ADDRESS_TEXT_LEN];
    if (answer != NULL)
        grpc__health__v1__health_check_response__free_unpacked(answer, NULL);
    address_text(&s->socket, where);
    if (status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING) {
        fprintf(s->out, "healthy: %s\n", where);
        session_finish(s, ERR_OK);
    } else {
        session_finish(s, why_set(s->why, ERR_NOT_SYNCED,
                                  "%s answers, but is not serving yet (status %d)", where, status));
    }
}

static void on_health_end(void *arg, int code, const char *message)
{
    struct session *s = arg;
    if (!s->finished)
        session_finish(
            s, cli_explain_rpc(&s->socket, code == RPC_OK ? RPC_UNKNOWN : code, message, s->why));
}

err_t cli_healthcheck(const struct command_line *line, struct why *why)
{
    struct session s;
    uint64_t timeout_ms = 0;
    struct rpc_stream *stream = NULL;
    err_t err = cli_timeout(line, ANSWER_TIMEOUT_MS, &timeout_ms, why);
    if (err == ERR_OK)
        err = session_init(&s, line, why);
    if (err != ERR_OK)
        return err;
    const struct rpc_stream_events events = {on_health, on_health_end, &s};
    err = rpc_client_open(&s.loop, &s.socket, &s.rpc, why);
    if (err == ERR_OK)
        err = rpc_client_call(s.rpc, "/grpc.health.v1.Health/Check", false, slice_of(NULL, 0),
                              timeout_ms, &events, &stream, why);
    if (err != ERR_OK)
        session_finish(&s, err);
    return session_run(&s);
}

#include "common/rpc/rpc_server.h"

#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/rpc/rpc_settings.h"

#include <assert.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* One completion queue, one thread that empties it (the pump). gRPC does its socket reads on the
 * pump, inside grpc_completion_queue_next, and its writes on whichever thread starts a batch: the
 * loop. The pump turns each completed tag into an entry of `mail` and rings the loop; else it only
 * takes in new calls, so that headers without a message cannot use up the slots for new calls.
 *
 * A call lives from its slot (grpc_server_request_call) until no tag of it is with gRPC any more.
 * Once it has arrived, TAG_CLOSE is always outstanding, so every call ends with TAG_CLOSE. */

enum {
    SLOTS = 16,        /* calls gRPC may hand us before we ask for more */
    GRACE_MS = 1000,   /* at close: for clients to take what was written */
    UNREAD_MAX = 4096, /* calls without a message; a well-behaved call has it at once */
};

enum tag_kind { TAG_REQUEST, TAG_CLOSE, TAG_SENT, TAG_STATUS, TAG_KINDS };

struct tag {
    STAILQ_ENTRY(tag) in_mail;
    struct rpc_call *call; /* NULL: the server's own shutdown tag */
    enum tag_kind kind;
    bool ok;
};
STAILQ_HEAD(tags, tag);

/* What came with the call; dropped when on_call has returned. */
struct arrival {
    grpc_call_details details;
    grpc_metadata_array headers;
    grpc_byte_buffer *payload;
    grpc_slice request;
    char *method;
};

struct rpc_call {
    struct rpc_server *server;
    LIST_ENTRY(rpc_call) in_active;  /* from on_call to on_end */
    TAILQ_ENTRY(rpc_call) in_unread; /* under the server's lock */
    bool evicted;
    grpc_call *call;
    struct tag tags[TAG_KINDS];
    struct arrival *arrival;
    grpc_byte_buffer *sending;
    void *user;
    char *status_text; /* owned; set by a finish that waits for the last message */
    int fd, cancelled;
    enum rpc_code status;
    unsigned pending; /* tags with gRPC or in the mail */
    bool arrived, headers_sent;
    bool shown;               /* on_call was called, so on_end must be */
    bool finishing, finished; /* asked for; given to gRPC */
};

struct rpc_server {
    uv_loop_t *loop;
    struct rpc_server_events events;
    grpc_server *server;
    grpc_completion_queue *cq;
    grpc_server_credentials *creds;
    uv_thread_t pump;
    uv_async_t bell;
    uv_timer_t grace;
    pthread_mutex_t lock;
    struct tags mail;              /* from the pump; under lock */
    TAILQ_HEAD(, rpc_call) unread; /* without a message yet, oldest first; under lock */
    size_t unread_count;
    struct tags own; /* the loop's: taken from the mail, or completed there */
    bool emptying;   /* on_bell is at work: no need to ring */
    struct tag shutdown_tag;
    LIST_HEAD(, rpc_call) active;
    atomic_size_t calls; /* live structs; slots and active */
    atomic_bool closing, pump_done;
    bool shut; /* gRPC says that no connection is left */
    bool draining;
    int handles;
    void (*done)(void *arg);
    void *done_arg;
};

/* --- calls: life ------------------------------------------------------------------------------ */

static struct rpc_call *call_new(struct rpc_server *s)
{
    struct rpc_call *c = mem_alloc(sizeof *c);
    struct arrival *a = mem_alloc(sizeof *a);
    if (c == NULL || a == NULL) {
        mem_free(c);
        mem_free(a);
        return NULL;
    }
    c->server = s;
    c->arrival = a;
    c->fd = -1;
    for (int k = 0; k < TAG_KINDS; k++)
        c->tags[k] = (struct tag){.call = c, .kind = (enum tag_kind)k};
    grpc_call_details_init(&a->details);
    grpc_metadata_array_init(&a->headers);
    a->request = grpc_empty_slice();
    atomic_fetch_add(&s->calls, 1);
    return c;
}

static void arrival_free(struct arrival *a)
{
    if (a == NULL)
        return;
    grpc_call_details_destroy(&a->details);
    grpc_metadata_array_destroy(&a->headers);
    grpc_byte_buffer_destroy(a->payload);
    grpc_slice_unref(a->request);
    mem_free(a->method);
    mem_free(a);
}

static void call_free(struct rpc_call *c)
{
    atomic_fetch_sub(&c->server->calls, 1);
    arrival_free(c->arrival);
    grpc_byte_buffer_destroy(c->sending);
    if (c->call != NULL)
        grpc_call_unref(c->call);
    mem_free(c->status_text);
    mem_free(c);
}

/* Batches fail to start only when we break gRPC's rules. */
static void call_start(struct rpc_call *c, const grpc_op *ops, size_t count, enum tag_kind kind)
{
    c->pending++;
    grpc_call_error err = grpc_call_start_batch(c->call, ops, count, &c->tags[kind], NULL);
    assert(err == GRPC_CALL_OK);
    (void)err;
}

/* Gives gRPC a slot for the next call. Takes `c`. */
static void slot_offer(struct rpc_call *c)
{
    struct rpc_server *s = c->server;
    c->pending = 1;
    grpc_call_error err =
        grpc_server_request_call(s->server, &c->call, &c->arrival->details, &c->arrival->headers,
                                 s->cq, s->cq, &c->tags[TAG_REQUEST]);
    assert(err == GRPC_CALL_OK);
    (void)err;
}

/* No memory for another slot: refuse this call and offer its slot again. */
static void slot_reuse(struct rpc_call *c)
{
    struct arrival *a = c->arrival;
    grpc_call_cancel_with_status(c->call, GRPC_STATUS_UNAVAILABLE, "out of memory", NULL);
    grpc_call_unref(c->call);
    c->call = NULL;
    grpc_call_details_destroy(&a->details);
    grpc_call_details_init(&a->details);
    grpc_metadata_array_destroy(&a->headers);
    grpc_metadata_array_init(&a->headers);
    slot_offer(c);
}

/* Calls whose message has not come, oldest first. They are nobody's yet, so no limit of a user
 * counts them: past the cap the oldest goes. */
static void unread_remove(struct rpc_server *s, struct rpc_call *c)
{
    s->unread_count -= TAILQ_IS_IN(c, in_unread);
    TAILQ_LEAVE(&s->unread, c, in_unread);
}

/* The one that goes; its grpc_call is the caller's to give back. */
static grpc_call *unread_add(struct rpc_server *s, struct rpc_call *c)
{
    grpc_call *gone = NULL;
    pthread_mutex_lock(&s->lock);
    if (s->unread_count >= UNREAD_MAX) {
        struct rpc_call *oldest = TAILQ_FIRST(&s->unread);
        gone = oldest->call;
        grpc_call_ref(gone);
        oldest->evicted = true;
        unread_remove(s, oldest);
    }
    TAILQ_INSERT_TAIL(&s->unread, c, in_unread);
    s->unread_count++;
    pthread_mutex_unlock(&s->lock);
    return gone;
}

static void take_in(struct rpc_server *s, struct rpc_call *c)
{
    if (!atomic_load(&s->closing)) {
        struct rpc_call *next = call_new(s);
        if (next == NULL) {
            slot_reuse(c);
            return;
        }
        slot_offer(next);
    }
    c->arrived = true;
    c->pending = 0;
    grpc_call *gone = unread_add(s, c);
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &c->arrival->payload;
    call_start(c, &op, 1, TAG_REQUEST);
    if (gone != NULL) {
        grpc_call_cancel_with_status(gone, GRPC_STATUS_UNAVAILABLE, "no message came", NULL);
        grpc_call_unref(gone);
    }
}

static bool is_new_call(const struct tag *t)
{
    return t->call != NULL && t->kind == TAG_REQUEST && !t->call->arrived && t->ok;
}

/* The same on the loop's thread. What gRPC can do at once (most sends) it does within, and the
 * thread-local cache hands us the tag: without it the tag would wake the pump, the pump the loop.
 * It may do another thread's work within too, so that the tag can be a new call's. */
static void call_start_here(struct rpc_call *c, const grpc_op *ops, size_t count,
                            enum tag_kind kind)
{
    struct rpc_server *s = c->server;
    void *done = NULL;
    int ok = 0;
    grpc_completion_queue_thread_local_cache_init(s->cq);
    call_start(c, ops, count, kind);
    if (!grpc_completion_queue_thread_local_cache_flush(s->cq, &done, &ok))
        return;
    struct tag *t = done;
    t->ok = ok != 0;
    if (is_new_call(t)) {
        take_in(s, t->call);
        return;
    }
    if (t->call != NULL && t->kind == TAG_REQUEST) {
        pthread_mutex_lock(&s->lock);
        unread_remove(s, t->call);
        pthread_mutex_unlock(&s->lock);
    }
    STAILQ_INSERT_TAIL(&s->own, t, in_mail);
    if (!s->emptying)
        uv_async_send(&s->bell);
}

/* --- the pump's thread ------------------------------------------------------------------------ */

static void post(struct rpc_server *s, struct tag *t)
{
    pthread_mutex_lock(&s->lock);
    bool first = STAILQ_EMPTY(&s->mail);
    if (t->call != NULL && t->kind == TAG_REQUEST)
        unread_remove(s, t->call);
    STAILQ_INSERT_TAIL(&s->mail, t, in_mail);
    pthread_mutex_unlock(&s->lock);
    if (first)
        uv_async_send(&s->bell);
}

static void pump_main(void *arg)
{
    struct rpc_server *s = arg;
    for (;;) {
        grpc_event ev =
            grpc_completion_queue_next(s->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        if (ev.type == GRPC_QUEUE_SHUTDOWN)
            break;
        struct tag *t = ev.tag;
        t->ok = ev.success != 0;
        if (is_new_call(t))
            take_in(s, t->call);
        else
            post(s, t);
    }
    atomic_store(&s->pump_done, true);
    uv_async_send(&s->bell);
}

/* --- calls: what users see -------------------------------------------------------------------- */

const char *rpc_call_method(const struct rpc_call *call)
{
    return call->arrival->method;
}

int rpc_call_fd(const struct rpc_call *call)
{
    return call->fd;
}

bool rpc_call_header(const struct rpc_call *call, const char *name, size_t n, struct slice *ret)
{
    const grpc_metadata_array *headers = &call->arrival->headers;
    for (size_t i = 0; i < headers->count; i++) {
        const grpc_metadata *m = &headers->metadata[i];
        if (grpc_slice_str_cmp(m->key, name) != 0 || n-- > 0)
            continue;
        *ret = slice_of(GRPC_SLICE_START_PTR(m->value), GRPC_SLICE_LENGTH(m->value));
        return true;
    }
    return false;
}

struct slice rpc_call_request(const struct rpc_call *call)
{
    const grpc_slice *r = &call->arrival->request;
    return slice_of(GRPC_SLICE_START_PTR(*r), GRPC_SLICE_LENGTH(*r));
}

void rpc_call_set_user(struct rpc_call *call, void *user)
{
    call->user = user;
}

void *rpc_call_user(const struct rpc_call *call)
{
    return call->user;
}

static void on_slice_free(void *message)
{
    rpc_message_unref(message);
}

err_t rpc_call_send(struct rpc_call *call, struct rpc_message *m)
{
    if (call->sending != NULL || call->finishing)
        return ERR_LIMIT;
    struct slice bytes = rpc_message_bytes(m);
    grpc_slice s = grpc_slice_new_with_user_data((void *)bytes.data, bytes.len, on_slice_free,
                                                 rpc_message_ref(m));
    call->sending = grpc_raw_byte_buffer_create(&s, 1);
    grpc_slice_unref(s);

    grpc_op ops[2] = {{.op = GRPC_OP_SEND_MESSAGE}, {.op = GRPC_OP_SEND_INITIAL_METADATA}};
    ops[0].data.send_message.send_message = call->sending;
    call_start_here(call, ops, call->headers_sent ? 1 : 2, TAG_SENT);
    call->headers_sent = true;
    return ERR_OK;
}

static void send_status(struct rpc_call *call, enum rpc_code code, const char *text)
{
    grpc_slice details = grpc_slice_from_copied_string(text);
    grpc_op ops[2] = {{.op = GRPC_OP_SEND_STATUS_FROM_SERVER},
                      {.op = GRPC_OP_SEND_INITIAL_METADATA}};
    ops[0].data.send_status_from_server.status = (grpc_status_code)code;
    ops[0].data.send_status_from_server.status_details = &details;
    call->finished = true;
    call_start_here(call, ops, call->headers_sent ? 1 : 2, TAG_STATUS);
    call->headers_sent = true;
    grpc_slice_unref(details);
}

void rpc_call_finish(struct rpc_call *call, enum rpc_code code, const char *message)
{
    if (call->finishing)
        return;
    call->finishing = true;
    if (call->sending == NULL) {
        send_status(call, code, message);
        return;
    }
    call->status = code;
    call->status_text = mem_strdup(message); /* without memory the code alone goes out */
}

/* --- the loop's side -------------------------------------------------------------------------- */

static int peer_fd(grpc_call *call)
{
    int fd = -1;
    char *peer = grpc_call_get_peer(call);
    if (peer == NULL || sscanf(peer, "fd:%d", &fd) != 1)
        fd = -1;
    gpr_free(peer);
    return fd;
}

static bool arrival_read(struct arrival *a)
{
    size_t len = GRPC_SLICE_LENGTH(a->details.method);
    a->method = mem_alloc(len + 1);
    if (a->method == NULL)
        return false;
    memcpy(a->method, GRPC_SLICE_START_PTR(a->details.method), len);
    if (a->payload == NULL)
        return true;
    grpc_byte_buffer_reader reader;
    if (grpc_byte_buffer_reader_init(&reader, a->payload) == 0)
        return false;
    a->request = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    return true;
}

static void call_arrived(struct rpc_call *c)
{
    struct rpc_server *s = c->server;
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &c->cancelled;
    call_start_here(c, &op, 1, TAG_CLOSE);
    c->fd = peer_fd(c->call);
    LIST_INSERT_HEAD(&s->active, c, in_active);

    bool readable = arrival_read(c->arrival);
    c->shown = readable && !c->evicted && !atomic_load(&s->closing);
    if (c->shown)
        s->events.on_call(s->events.arg, c);
    else
        rpc_call_finish(c, RPC_UNAVAILABLE, readable ? "shutting down" : "out of memory");
    arrival_free(c->arrival);
    c->arrival = NULL;
}

static void call_ended(struct rpc_call *c)
{
    struct rpc_server *s = c->server;
    if (c->shown)
        s->events.on_end(s->events.arg, c);
    LIST_REMOVE(c, in_active);
    call_free(c);
}

static void call_sent(struct rpc_call *c, bool ok)
{
    grpc_byte_buffer_destroy(c->sending);
    c->sending = NULL;
    if (c->finishing && !c->finished)
        send_status(c, c->status, c->status_text != NULL ? c->status_text : "");
    else if (ok && !c->finishing)
        c->server->events.on_sent(c->server->events.arg, c);
}

static void deliver(struct rpc_server *s, struct tag *t)
{
    struct rpc_call *c = t->call;
    if (c == NULL) {
        s->shut = true;
        return;
    }
    c->pending--;
    if (!c->arrived) { /* a slot that found no call */
        call_free(c);
        return;
    }
    if (t->kind == TAG_REQUEST)
        call_arrived(c);
    else if (t->kind == TAG_SENT)
        call_sent(c, t->ok);
    if (c->pending == 0)
        call_ended(c);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct rpc_server *s = h->data;
    if (--s->handles > 0)
        return;
    void (*done)(void *arg) = s->done;
    void *arg = s->done_arg;
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
    if (done != NULL)
        done(arg);
}

/* Each step once, in order: all gone -> queue shut -> pump ended -> handles closed. */
static void close_step(struct rpc_server *s)
{
    if (!s->draining && s->shut && atomic_load(&s->calls) == 0) {
        s->draining = true;
        grpc_completion_queue_shutdown(s->cq);
    }
    if (!atomic_load(&s->pump_done) || uv_is_closing((uv_handle_t *)&s->bell))
        return;
    uv_thread_join(&s->pump);
    grpc_server_destroy(s->server);
    grpc_completion_queue_destroy(s->cq);
    grpc_server_credentials_release(s->creds);
    grpc_shutdown();
    uv_close((uv_handle_t *)&s->bell, on_handle_closed);
    uv_close((uv_handle_t *)&s->grace, on_handle_closed);
}

/* Delivering may put more behind: sends that are done at once. */
static void on_bell(uv_async_t *h)
{
    struct rpc_server *s = h->data;
    pthread_mutex_lock(&s->lock);
    STAILQ_CONCAT(&s->own, &s->mail);
    pthread_mutex_unlock(&s->lock);
    s->emptying = true;
    for (struct tag *t; (t = STAILQ_FIRST(&s->own)) != NULL;) {
        STAILQ_REMOVE_HEAD(&s->own, in_mail);
        deliver(s, t);
    }
    s->emptying = false;
    if (atomic_load(&s->closing))
        close_step(s);
}

static void on_grace(uv_timer_t *h)
{
    struct rpc_server *s = h->data;
    grpc_server_cancel_all_calls(s->server);
}

/* --- server ----------------------------------------------------------------------------------- */

err_t rpc_server_open(uv_loop_t *loop, const struct rpc_server_events *events,
                      size_t max_request_bytes, struct rpc_server **ret, struct why *why)
{
    struct rpc_server *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return why_set(why, ERR_NO_MEMORY, "gRPC server");
    s->loop = loop;
    s->events = *events;
    STAILQ_INIT(&s->mail);
    STAILQ_INIT(&s->own);
    TAILQ_INIT(&s->unread);
    s->bell.data = s->grace.data = s;
    int rc = uv_async_init(loop, &s->bell, on_bell);
    if (rc != 0) {
        mem_free(s);
        return why_set(why, ERR_IO, "gRPC server: %s", uv_strerror(rc));
    }
    rc = uv_timer_init(loop, &s->grace);
    assert(rc == 0);
    s->handles = 2;
    pthread_mutex_init(&s->lock, NULL);

    rpc_settings_start();
    s->creds = grpc_insecure_server_credentials_create();
    s->server = rpc_settings_server(max_request_bytes);
    s->cq = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(s->server, s->cq, NULL);
    grpc_server_start(s->server);
    rc = uv_thread_create(&s->pump, pump_main, s);
    assert(rc == 0);
    for (int i = 0; i < SLOTS; i++) {
        struct rpc_call *slot = call_new(s);
        if (slot != NULL)
            slot_offer(slot);
    }
    *ret = s;
    return ERR_OK;
}

void rpc_server_add(struct rpc_server *s, int fd)
{
    grpc_server_add_channel_from_fd(s->server, fd, s->creds);
}

void rpc_server_close(struct rpc_server *s, void (*done)(void *arg), void *arg)
{
    if (atomic_exchange(&s->closing, true))
        return;
    s->done = done;
    s->done_arg = arg;
    struct rpc_call *c;
    LIST_FOREACH(c, &s->active, in_active)
        rpc_call_finish(c, RPC_UNAVAILABLE, "shutting down");
    grpc_server_shutdown_and_notify(s->server, s->cq, &s->shutdown_tag);
    uv_timer_start(&s->grace, on_grace, GRACE_MS, GRACE_MS);
}

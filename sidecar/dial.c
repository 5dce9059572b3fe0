#include "sidecar/dial.h"

#include "common/mem.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

#define ATTEMPT_MS 2000 /* room for one lost SYN; the last address has all that is left */

struct target {
    struct sockaddr_storage sa;
    socklen_t len;
};

struct dial {
    uv_loop_t *loop;
    dial_done done; /* NULL once answered or canceled */
    void *arg;
    struct address to;
    uv_getaddrinfo_t resolver;
    uv_timer_t later; /* what cannot be said inside dial_start is said from here; patience */
    int start_error;  /* errno to say then */
    uv_poll_t poll;   /* the attempt under way */
    bool polling;
    unsigned busy; /* handles and requests that libuv still has; 0: free */
    int fd;        /* of the attempt, owned; -1 */
    struct target targets[DIAL_ADDRESSES_MAX];
    size_t count, next;
    struct why why;
};

static void try_next(struct dial *d);

/* --- life: freed when libuv has given everything back ----------------------------------------- */

static void release(struct dial *d)
{
    if (--d->busy == 0)
        mem_free(d);
}

static void on_later_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void on_attempt_closed(uv_handle_t *handle)
{
    struct dial *d = handle->data;
    d->polling = false;
    if (d->done != NULL)
        try_next(d);
    release(d);
}

/* The last act: nothing touches `d` after it but close callbacks. */
static void finish(struct dial *d, int fd)
{
    dial_done done = d->done;
    d->done = NULL;
    if (d->polling && !uv_is_closing((uv_handle_t *)&d->poll))
        uv_close((uv_handle_t *)&d->poll, on_attempt_closed);
    if (d->fd >= 0 && d->fd != fd)
        close(d->fd);
    d->fd = -1;
    uv_close((uv_handle_t *)&d->later, on_later_closed);
    if (done != NULL)
        done(d->arg, fd, &d->why);
}

void dial_cancel(struct dial *d)
{
    d->done = NULL;
    uv_cancel((uv_req_t *)&d->resolver); /* refused when it is not queued: it ends by itself */
    finish(d, -1);
}

/* --- one attempt ------------------------------------------------------------------------------ */

static void attempt_failed(struct dial *d, int error)
{
    char text[ADDRESS_TEXT_LEN];
    uv_timer_stop(&d->later);
    errno = error;
    why_errno(&d->why, ERR_CONNECT, "connect to %s",
              sockaddr_text((const struct sockaddr *)&d->targets[d->next - 1].sa, text));
    if (d->next == d->count || !d->polling) {
        finish(d, -1);
        return;
    }
    uv_close((uv_handle_t *)&d->poll, on_attempt_closed); /* goes on with the next */
    close(d->fd);
    d->fd = -1;
}

static void on_writable(uv_poll_t *handle, int status, int events)
{
    struct dial *d = handle->data;
    int error = 0;
    socklen_t len = sizeof error;
    (void)status; /* SO_ERROR has the cause */
    (void)events;
    if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error != 0)
        attempt_failed(d, error);
    else
        finish(d, d->fd);
}

static void on_slow(uv_timer_t *timer)
{
    attempt_failed(timer->data, ETIMEDOUT);
}

static int open_socket(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd >= 0 && family != AF_UNIX) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* latency only */
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    }
    return fd;
}

/* Starts on the next address; 0, or the errno of what failed at once. d->poll is free. */
static int attempt(struct dial *d)
{
    const struct target *t = &d->targets[d->next++];
    d->fd = open_socket(t->sa.ss_family);
    if (d->fd < 0)
        return errno;
    if (uv_poll_init(d->loop, &d->poll, d->fd) != 0)
        return ENOMEM;
    d->poll.data = d;
    d->polling = true;
    d->busy++;
    if (connect(d->fd, (const struct sockaddr *)&t->sa, t->len) != 0 && errno != EINPROGRESS)
        return errno;
    if (uv_poll_start(&d->poll, UV_WRITABLE, on_writable) != 0)
        return ENOMEM;
    if (d->next < d->count)
        uv_timer_start(&d->later, on_slow, ATTEMPT_MS, 0);
    return 0;
}

static void try_next(struct dial *d)
{
    int error = attempt(d);
    if (error != 0)
        attempt_failed(d, error);
}

static void on_later(uv_timer_t *timer)
{
    struct dial *d = timer->data;
    attempt_failed(d, d->start_error);
}

/* --- names ------------------------------------------------------------------------------------ */

static void take_addresses(struct dial *d, const struct addrinfo *list)
{
    for (const struct addrinfo *a = list; a != NULL && d->count < DIAL_ADDRESSES_MAX;
         a = a->ai_next) {
        if (a->ai_addrlen > sizeof d->targets[0].sa)
            continue;
        struct target *t = &d->targets[d->count++];
        memcpy(&t->sa, a->ai_addr, a->ai_addrlen);
        t->len = a->ai_addrlen;
    }
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct dial *d = request->data;
    if (d->done != NULL && status == 0)
        take_addresses(d, list);
    uv_freeaddrinfo(list);
    if (d->done != NULL && d->count > 0) {
        try_next(d);
    } else if (d->done != NULL) {
        why_set(&d->why, ERR_RESOLVE, "%s: %s", d->to.host,
                status != 0 ? uv_strerror(status) : "no address");
        finish(d, -1);
    }
    release(d);
}

static err_t start_resolver(struct dial *d, struct why *why)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    snprintf(port, sizeof port, "%u", d->to.port);
    d->resolver.data = d;
    int code = uv_getaddrinfo(d->loop, &d->resolver, on_resolved, d->to.host, port, &hints);
    if (code != 0)
        return why_set(why, ERR_RESOLVE, "%s: %s", d->to.host, uv_strerror(code));
    d->busy++;
    return ERR_OK;
}

err_t dial_start(uv_loop_t *loop, const struct address *to, dial_done done, void *arg,
                 struct dial **ret, struct why *why)
{
    struct dial *d = mem_alloc(sizeof *d);
    if (d == NULL)
        return why_set(why, ERR_NO_MEMORY, "connection to %s", to->host);
    d->loop = loop;
    d->to = *to;
    d->done = done;
    d->arg = arg;
    d->fd = -1;
    uv_timer_init(loop, &d->later);
    d->later.data = d;
    d->busy = 1;
    err_t err = ERR_OK;
    if (to->kind == ADDRESS_NAME) {
        err = start_resolver(d, why);
    } else {
        err = address_sockaddr(to, &d->targets[0].sa, &d->targets[0].len);
        d->count = 1;
        d->start_error = err == ERR_OK ? attempt(d) : 0;
        if (d->start_error != 0)
            uv_timer_start(&d->later, on_later, 0, 0);
    }
    if (err != ERR_OK) {
        uv_close((uv_handle_t *)&d->later, on_later_closed);
        return err;
    }
    *ret = d;
    return ERR_OK;
}

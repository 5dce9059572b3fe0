#include "sidecar/conn/dial.h"

#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/loop/closing.h"
#include "sidecar/conn/address_order.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct target {
    struct sockaddr_storage sa;
    socklen_t len;
};

struct attempt {
    struct dial *dial;
    TAILQ_ENTRY(attempt) link;
    uv_poll_t poll;
    struct target to;
    int fd; /* owned */
};

struct dial {
    uv_loop_t *loop;
    dial_done done; /* NULL once answered or canceled */
    void *arg;
    struct address to;
    struct target only; /* an address or a path: what there is to try */
    bool has_only;
    struct address_order order; /* of a name */
    struct resolver_ask ask;
    bool awaits;                    /* addresses: all, or more of them */
    enum name_result result;        /* of the name */
    uv_timer_t later;               /* the next attempt, or what cannot be said inside dial_start */
    uint64_t until_ms;              /* the caller's deadline */
    TAILQ_HEAD(, attempt) attempts; /* under way, oldest first */
    size_t under_way, started;
    int failure; /* errno of the most telling attempt; 0: none failed */
    struct target failed;
    struct closing closing;
};

static void go_on(struct dial *d);

/* --- life: freed when libuv has given everything back ----------------------------------------- */

static void dial_free(void *noun)
{
    struct dial *d = noun;
    address_order_done(&d->order);
    mem_free(d);
}

static void on_attempt_closed(uv_handle_t *handle)
{
    struct attempt *a = handle->data;
    struct dial *d = a->dial;
    mem_free(a);
    closing_drop(&d->closing);
}

/* Leaves the list; its descriptor is closed unless it was taken out. */
static void end_attempt(struct attempt *a)
{
    TAILQ_REMOVE(&a->dial->attempts, a, link);
    a->dial->under_way--;
    uv_close((uv_handle_t *)&a->poll, on_attempt_closed);
    if (a->fd >= 0)
        close(a->fd);
}

/* The last act: nothing touches `d` after it but close callbacks. */
static void finish(struct dial *d, int fd, const struct why *why)
{
    dial_done done = d->done;
    d->done = NULL;
    resolver_forget(&d->ask);
    struct attempt *a, *next;
    TAILQ_FOREACH_SAFE(a, &d->attempts, link, next)
        end_attempt(a);
    closing_begin(&d->closing, dial_free, d, NULL, NULL);
    closing_handle(&d->closing, &d->later);
    if (done != NULL)
        done(d->arg, fd, why);
}

void dial_cancel(struct dial *d)
{
    d->done = NULL;
    finish(d, -1, NULL);
}

/* --- words ------------------------------------------------------------------------------------ */

/* A host without one of the families says so of each such address: that tells least. */
static bool tells_little(int error)
{
    return error == ENETUNREACH || error == EHOSTUNREACH || error == EAFNOSUPPORT ||
           error == EADDRNOTAVAIL || error == ETIMEDOUT;
}

static void note_failure(struct dial *d, const struct target *to, int error)
{
    if (d->failure != 0 && tells_little(error) && !tells_little(d->failure))
        return;
    d->failure = error;
    d->failed = *to;
}

static void add_cause(const struct dial *d, char *out, size_t size)
{
    char text[ADDRESS_TEXT_LEN];
    sockaddr_text((const struct sockaddr *)&d->failed.sa, text);
    snprintf(out, size, "connect to %s: %s", text, strerror(d->failure));
}

static err_t say_failure(const struct dial *d, struct why *why)
{
    char cause[ADDRESS_TEXT_LEN + 80], text[ADDRESS_TEXT_LEN];
    if (d->started == 0)
        return name_result_why(why, d->to.host, d->result);
    add_cause(d, cause, sizeof cause);
    if (d->has_only || d->started == 1)
        return why_set(why, ERR_CONNECT, "%s%s%s", d->has_only ? "" : d->to.host,
                       d->has_only ? "" : ": ", cause);
    return why_set(why, ERR_CONNECT, "%s: none of %zu addresses could be connected; %s",
                   address_text(&d->to, text), d->started, cause);
}

err_t dial_too_late(const struct dial *d, struct why *why)
{
    char cause[ADDRESS_TEXT_LEN + 80] = "", text[ADDRESS_TEXT_LEN];
    if (d->awaits && d->started == 0)
        return why_set(why, ERR_RESOLVE_TIMEOUT,
                       "%s: no name server answered within the connect timeout", d->to.host);
    if (d->has_only || d->order.count == 1)
        return why_set(why, ERR_TIMEOUT, "no answer from %s within the connect timeout",
                       address_text(&d->to, text));
    if (d->failure != 0)
        add_cause(d, cause, sizeof cause);
    return why_set(why, ERR_TIMEOUT,
                   "%s: %zu of %zu addresses tried within the connect timeout%s%s",
                   address_text(&d->to, text), d->started, d->order.count,
                   cause[0] != '\0' ? "; " : "", cause);
}

/* --- one attempt ------------------------------------------------------------------------------ */

static void on_writable(uv_poll_t *handle, int status, int events)
{
    struct attempt *a = handle->data;
    struct dial *d = a->dial;
    int error = 0, fd = a->fd;
    socklen_t len = sizeof error;
    (void)status; /* SO_ERROR has the cause */
    (void)events;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error == 0) {
        a->fd = -1;
        end_attempt(a);
        finish(d, fd, NULL);
    } else {
        note_failure(d, &a->to, error);
        end_attempt(a);
        uv_timer_stop(&d->later);
        go_on(d);
    }
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

/* 0, or the errno of what failed at once. */
static int connect_to(struct dial *d, const struct target *to)
{
    struct attempt *a = mem_alloc(sizeof *a);
    if (a == NULL)
        return ENOMEM;
    a->dial = d;
    a->to = *to;
    a->fd = open_socket(to->sa.ss_family);
    int error = a->fd < 0 ? errno : 0;
    if (error == 0 && uv_poll_init(d->loop, &a->poll, a->fd) != 0) {
        close(a->fd);
        error = ENOMEM;
    }
    if (error != 0) {
        mem_free(a);
        return error;
    }
    a->poll.data = a;
    closing_hold(&d->closing);
    d->under_way++;
    TAILQ_INSERT_TAIL(&d->attempts, a, link);
    if (connect(a->fd, (const struct sockaddr *)&to->sa, to->len) != 0 && errno != EINPROGRESS)
        error = errno;
    else if (uv_poll_start(&a->poll, UV_WRITABLE, on_writable) != 0)
        error = ENOMEM;
    if (error != 0)
        end_attempt(a);
    return error;
}

/* --- which, and when -------------------------------------------------------------------------- */

static size_t left(const struct dial *d)
{
    return d->has_only ? (size_t)(d->started == 0) : address_order_left(&d->order);
}

/* The next one, which there is. False: it failed at once. */
static bool attempt(struct dial *d)
{
    struct target to = d->only;
    if (!d->has_only)
        ip_sockaddr(address_order_next(&d->order), d->to.port, &to.sa, &to.len);
    if (d->under_way == DIAL_ATTEMPTS_MAX) {
        struct attempt *oldest = TAILQ_FIRST(&d->attempts);
        note_failure(d, &oldest->to, ETIMEDOUT);
        end_attempt(oldest);
    }
    d->started++;
    int error = connect_to(d, &to);
    if (error != 0)
        note_failure(d, &to, error);
    return error == 0;
}

static void on_later(uv_timer_t *timer)
{
    go_on(timer->data);
}

/* One more attempt, beside those that have not answered; of those that fail at once the next
 * follows. Sets the time of the one after. */
static void start_attempts(struct dial *d)
{
    uint64_t now = uv_now(d->loop);
    bool lasts = false;
    while (!lasts && left(d) > 0)
        lasts = attempt(d);
    uint64_t remaining = d->until_ms > now ? d->until_ms - now : 0;
    if (left(d) > 0)
        uv_timer_start(&d->later, on_later, address_order_delay(left(d), remaining), 0);
}

/* After a failure, or with addresses that are new: the next at once. */
static void go_on(struct dial *d)
{
    struct why why = {0};
    if (!uv_is_active((uv_handle_t *)&d->later))
        start_attempts(d);
    if (d->under_way > 0 || d->awaits)
        return;
    (void)say_failure(d, &why);
    finish(d, -1, &why);
}

/* --- names ------------------------------------------------------------------------------------ */

/* False: no memory. */
static bool take(struct dial *d, struct name_answer answer)
{
    err_t err = ERR_OK;
    d->awaits = !answer.last;
    d->result = answer.result;
    if (answer.list != NULL)
        err = address_order_add(&d->order, answer.list);
    ip_list_unref(answer.list);
    return err == ERR_OK;
}

static void on_answer(void *arg, struct name_answer answer)
{
    struct dial *d = arg;
    struct why why = {0};
    if (take(d, answer)) {
        go_on(d);
    } else {
        why_set(&why, ERR_NO_MEMORY, "addresses of %s", d->to.host);
        finish(d, -1, &why);
    }
}

/* --- start ------------------------------------------------------------------------------------ */

static err_t find_addresses(struct dial *d, struct resolver_desk *desk, struct why *why)
{
    struct name_answer answer;
    if (d->to.kind != ADDRESS_NAME) {
        d->has_only = true;
        err_t err = address_sockaddr(&d->to, &d->only.sa, &d->only.len);
        return err == ERR_OK ? err : why_set(why, err, "%s", d->to.host);
    }
    d->awaits = true;
    if (resolver_ask(desk, &d->ask, d->to.host, on_answer, d, &answer) && !take(d, answer))
        return why_set(why, ERR_NO_MEMORY, "addresses of %s", d->to.host);
    return ERR_OK;
}

err_t dial_start(const struct dial_from *from, const struct address *to, dial_done done, void *arg,
                 struct dial **ret, struct why *why)
{
    struct dial *d = mem_alloc(sizeof *d);
    if (d == NULL)
        return why_set(why, ERR_NO_MEMORY, "connection to %s", to->host);
    d->loop = from->loop;
    d->to = *to;
    d->done = done;
    d->arg = arg;
    d->until_ms = uv_now(from->loop) + from->timeout_ms;
    TAILQ_INIT(&d->attempts);
    uv_timer_init(d->loop, &d->later);
    d->later.data = d;
    err_t err = find_addresses(d, from->desk, why);
    if (err != ERR_OK) {
        dial_cancel(d);
        return err;
    }
    start_attempts(d);
    if (d->under_way == 0 && !d->awaits)
        uv_timer_start(&d->later, on_later, 0, 0); /* says why */
    *ret = d;
    return ERR_OK;
}

#include "common/loop/acceptor.h"

#include "common/base/mem.h"
#include "common/loop/closing.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PER_TURN = 64 };

struct acceptor {
    struct acceptor_options opt; /* its fd is ours */
    int spare;                   /* owned; -1: none */
    uv_poll_t poll;
    uv_timer_t pause;
    struct closing closing;
};

static void on_acceptable(uv_poll_t *h, int status, int events);

static void keep_spare(struct acceptor *a)
{
    if (a->opt.spare && a->spare < 0 && !a->closing.begun)
        a->spare = fcntl(a->opt.fd, F_DUPFD_CLOEXEC, 0); /* -1: the next turn tries again */
}

static void drop_spare(struct acceptor *a)
{
    if (a->spare >= 0)
        close(a->spare);
    a->spare = -1;
}

/* --- pause ------------------------------------------------------------------------------------ */

static void on_pause_over(uv_timer_t *h)
{
    struct acceptor *a = h->data;
    keep_spare(a);
    uv_poll_start(&a->poll, UV_READABLE, on_acceptable); /* fails for a closing handle only */
}

static bool is_lack(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* What makes accept4 fail now may make it fail for long, and the socket stays readable. */
static void pause_for(struct acceptor *a, int error)
{
    struct why why = {.err = ERR_OK};
    uv_poll_stop(&a->poll);
    uv_timer_start(&a->pause, on_pause_over, ACCEPTOR_PAUSE_MS, 0);
    errno = error;
    err_t err = why_errno(
        &why, is_lack(error) ? ERR_LIMIT : ERR_IO, "no connection can be taken%s; again in %d ms",
        is_lack(error) ? ", out of descriptors or memory" : "", ACCEPTOR_PAUSE_MS);
    if (a->opt.on_error != NULL)
        a->opt.on_error(a->opt.arg, err, &why);
}

/* --- accepting -------------------------------------------------------------------------------- */

static int take_one(struct acceptor *a, struct sockaddr_storage *from)
{
    socklen_t len = sizeof *from;
    int fd = accept4(a->opt.fd, (struct sockaddr *)from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 || (errno != EMFILE && errno != ENFILE) || a->spare < 0)
        return fd;
    drop_spare(a);
    len = sizeof *from;
    return accept4(a->opt.fd, (struct sockaddr *)from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void on_acceptable(uv_poll_t *h, int status, int events)
{
    struct acceptor *a = h->data;
    (void)status; /* accept4 names the error */
    (void)events;
    unsigned most = a->opt.per_turn > 0 ? a->opt.per_turn : PER_TURN;
    keep_spare(a);
    for (unsigned i = 0; !a->closing.begun && i < most; i++) {
        struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
        int fd = take_one(a, &from);
        if (fd >= 0)
            a->opt.on_accept(a->opt.arg, fd, &from);
        else if (errno == EAGAIN)
            return;
        else if (errno != EINTR && errno != ECONNABORTED) {
            pause_for(a, errno);
            return;
        }
    }
}

void acceptor_retry(struct acceptor *a)
{
    if (!a->closing.begun && uv_is_active((uv_handle_t *)&a->pause)) {
        uv_timer_stop(&a->pause);
        on_pause_over(&a->pause);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

err_t acceptor_open(uv_loop_t *loop, const struct acceptor_options *opt, struct acceptor **ret,
                    struct why *why)
{
    struct acceptor *a = mem_alloc(sizeof *a);
    if (a == NULL)
        return why_set(why, ERR_NO_MEMORY, "listening socket");
    a->opt = *opt;
    a->spare = -1;
    int rc = uv_poll_init(loop, &a->poll, opt->fd);
    if (rc != 0) {
        mem_free(a);
        return why_set(why, ERR_IO, "cannot watch a listening socket: %s", uv_strerror(rc));
    }
    uv_timer_init(loop, &a->pause);
    a->poll.data = a->pause.data = a;
    keep_spare(a);
    rc = uv_poll_start(&a->poll, UV_READABLE, on_acceptable);
    assert(rc == 0);
    (void)rc;
    *ret = a;
    return ERR_OK;
}

void acceptor_close(struct acceptor *a, void (*done)(void *arg), void *arg)
{
    if (a == NULL || !closing_begin(&a->closing, mem_free, a, done, arg))
        return;
    closing_handle(&a->closing, &a->poll);
    closing_handle(&a->closing, &a->pause);
    close(a->opt.fd); /* uv_close took it out of epoll */
    drop_spare(a);
}

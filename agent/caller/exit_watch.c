#include "agent/caller/exit_watch.h"

#include "common/base/mem.h"
#include "common/loop/closing.h"

#include <assert.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EXITS_PER_TURN = 64 };

struct exit_watch {
    int epoll_fd;
    uv_poll_t poll;
    void (*on_exit)(void *arg, void *subject);
    void *arg;
    struct closing closing;
};

/* One event at a time: on_exit may remove the subject of any other. */
static void on_exits(uv_poll_t *h, int status, int events)
{
    struct exit_watch *w = h->data;
    struct epoll_event ev;
    (void)events;
    for (int i = 0; status == 0 && i < EXITS_PER_TURN; i++) {
        if (uv_is_closing((uv_handle_t *)h) || epoll_wait(w->epoll_fd, &ev, 1, 0) != 1)
            return;
        w->on_exit(w->arg, ev.data.ptr);
    }
}

err_t exit_watch_open(uv_loop_t *loop, void (*on_exit)(void *arg, void *subject), void *arg,
                      struct exit_watch **ret, struct why *why)
{
    struct exit_watch *w = mem_alloc(sizeof *w);
    if (w == NULL)
        return why_set(why, ERR_NO_MEMORY, "watch of processes");
    w->on_exit = on_exit;
    w->arg = arg;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll_fd < 0) {
        mem_free(w);
        return why_errno(why, ERR_IO, "epoll");
    }
    int rc = uv_poll_init(loop, &w->poll, w->epoll_fd);
    if (rc != 0) {
        close(w->epoll_fd);
        mem_free(w);
        return why_set(why, ERR_IO, "watch of processes: %s", uv_strerror(rc));
    }
    w->poll.data = w;
    rc = uv_poll_start(&w->poll, UV_READABLE, on_exits);
    assert(rc == 0);
    *ret = w;
    return ERR_OK;
}

static void watch_free(void *arg)
{
    struct exit_watch *w = arg;
    close(w->epoll_fd);
    mem_free(w);
}

void exit_watch_close(struct exit_watch *w, void (*done)(void *arg), void *arg)
{
    if (closing_begin(&w->closing, watch_free, w, done, arg))
        closing_handle(&w->closing, &w->poll);
}

err_t exit_watch_add(struct exit_watch *w, int pidfd, void *subject, struct why *why)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = subject};
    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, pidfd, &ev) != 0)
        return why_errno(why, ERR_IO, "cannot watch a process");
    return ERR_OK;
}

void exit_watch_remove(struct exit_watch *w, int pidfd)
{
    epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, pidfd, NULL);
}

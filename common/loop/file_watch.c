#include "common/loop/file_watch.h"

#include "common/base/mem.h"
#include "common/log/log.h"
#include "common/loop/closing.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/* What tells that a file was put there: a writer that closed it, a rename, a link, a change of
 * mode. Not IN_MODIFY: a log in the same folder would keep us busy. */
#define EVENTS                                                                                     \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_ONLYDIR)
#define READS_PER_HINT 16 /* a folder busier than that gives its next hint a moment later */

struct file_watch {
    int inotify;    /* owned; -1: none, the tick alone looks */
    uv_poll_t poll; /* open while there is an inotify */
    bool blind;     /* and the log has said so */
    uv_timer_t settle, tick;
    char *folders[FILE_WATCH_PATHS_MAX]; /* owned */
    size_t folder_count;
    struct closing closing;
    void (*on_hint)(void *arg);
    void *arg;
};

static void on_event(uv_poll_t *poll, int status, int events);
static void on_settled(uv_timer_t *timer);
static void on_tick(uv_timer_t *timer);

/* The folder to watch for `path`; NULL on no memory. */
static char *folder_of(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return mem_strdup(path);
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return mem_strdup(".");
    size_t len = slash == path ? 1 : (size_t)(slash - path);
    char *folder = mem_dup(path, len + 1);
    if (folder != NULL)
        folder[len] = '\0';
    return folder;
}

static bool is_known(const struct file_watch *w, const char *folder)
{
    for (size_t i = 0; i < w->folder_count; i++)
        if (strcmp(w->folders[i], folder) == 0)
            return true;
    return false;
}

/* The tick goes on looking; said once, until it is over. `error`: of the call that failed. */
static void set_blind(struct file_watch *w, const char *call, int error)
{
    if (w->blind == (error != 0))
        return;
    w->blind = error != 0;
    const char *folder = w->folder_count > 0 ? w->folders[0] : "";
    if (w->blind)
        log_warn("file_watch_degraded", log_str("folder", folder), log_str("call", call),
                 log_str("cause", strerror(error)),
                 log_str("next", "changed files are seen within 10 s instead of at once; raise "
                                 "fs.inotify.max_user_instances and max_user_watches"));
    else
        log_info("file_watch_restored", log_str("folder", folder));
}

/* 0, or the errno of what stands in the way. */
static int open_inotify(struct file_watch *w)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return errno;
    if (uv_poll_init(w->tick.loop, &w->poll, fd) != 0) {
        close(fd);
        return ENOMEM;
    }
    w->poll.data = w;
    w->inotify = fd;
    return 0;
}

static bool is_exhausted(int error)
{
    return error == ENOSPC || error == ENOMEM;
}

/* Watches anew: a folder may have come or been replaced since. One that is not there is left to the
 * next tick; adding one twice changes nothing. */
static void arm(struct file_watch *w)
{
    int error = w->inotify < 0 ? open_inotify(w) : 0;
    if (error != 0) {
        set_blind(w, "inotify_init1", error);
        return;
    }
    for (size_t i = 0; i < w->folder_count; i++)
        if (inotify_add_watch(w->inotify, w->folders[i], EVENTS) < 0 && is_exhausted(errno))
            error = errno;
    set_blind(w, "inotify_add_watch", error);
    (void)uv_poll_start(&w->poll, UV_READABLE, on_event); /* if not, the tick still looks */
}

static err_t add_folders(struct file_watch *w, const char *const *paths, size_t count,
                         struct why *why)
{
    for (size_t i = 0; i < count; i++) {
        char *path = folder_of(paths[i]);
        if (path == NULL)
            return why_set(why, ERR_NO_MEMORY, "no memory to watch %s", paths[i]);
        if (is_known(w, path))
            mem_free(path);
        else
            w->folders[w->folder_count++] = path;
    }
    return ERR_OK;
}

err_t file_watch_open(uv_loop_t *loop, const char *const *paths, size_t count,
                      void (*on_hint)(void *arg), void *arg, struct file_watch **ret,
                      struct why *why)
{
    if (count > FILE_WATCH_PATHS_MAX)
        return why_set(why, ERR_LIMIT, "%zu files to watch, at most %d", count,
                       FILE_WATCH_PATHS_MAX);
    struct file_watch *w = mem_alloc(sizeof *w);
    if (w == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for a file watch");
    w->on_hint = on_hint;
    w->arg = arg;
    w->inotify = -1;
    uv_timer_init(loop, &w->settle); /* timers never fail to init */
    uv_timer_init(loop, &w->tick);
    w->settle.data = w->tick.data = w;
    err_t err = add_folders(w, paths, count, why);
    if (err != ERR_OK) {
        file_watch_close(w, NULL, NULL);
        return err;
    }
    arm(w);
    uv_timer_start(&w->tick, on_tick, FILE_WATCH_TICK_MS, FILE_WATCH_TICK_MS);
    *ret = w;
    return ERR_OK;
}

static void watch_free(void *arg)
{
    struct file_watch *w = arg;
    for (size_t i = 0; i < w->folder_count; i++)
        mem_free(w->folders[i]);
    mem_free(w);
}

void file_watch_close(struct file_watch *w, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&w->closing, watch_free, w, done, arg))
        return;
    if (w->inotify >= 0) {
        closing_handle(&w->closing, &w->poll);
        close(w->inotify);
    }
    closing_handle(&w->closing, &w->settle);
    closing_handle(&w->closing, &w->tick);
}

/* Stops listening until the settle time is over: a busy folder costs ten looks a second at most. */
static void on_event(uv_poll_t *poll, int status, int events)
{
    struct file_watch *w = poll->data;
    (void)status, (void)events; /* the owner looks for itself */
    uv_poll_stop(poll);
    uv_timer_start(&w->settle, on_settled, FILE_WATCH_SETTLE_MS, 0);
}

static void discard_events(const struct file_watch *w)
{
    char events[4096];
    for (int i = 0; i < READS_PER_HINT && read(w->inotify, events, sizeof events) > 0; i++)
        ;
}

static void on_settled(uv_timer_t *timer)
{
    struct file_watch *w = timer->data;
    discard_events(w);
    arm(w);
    w->on_hint(w->arg);
}

static void on_tick(uv_timer_t *timer)
{
    struct file_watch *w = timer->data;
    arm(w);
    w->on_hint(w->arg);
}

#include "common/file_watch.h"

#include "common/mem.h"

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
    int inotify; /* owned */
    uv_poll_t poll;
    uv_timer_t settle, tick;
    char *folders[FILE_WATCH_PATHS_MAX]; /* owned */
    size_t folder_count;
    unsigned open_handles;
    bool closing;
    void (*on_hint)(void *arg);
    void *arg;
    void (*done)(void *arg);
    void *done_arg;
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

/* Watches anew: a folder may have come or been replaced since. One that is not there is left to the
 * next tick; adding one twice changes nothing. */
static void arm(struct file_watch *w)
{
    for (size_t i = 0; i < w->folder_count; i++)
        (void)inotify_add_watch(w->inotify, w->folders[i], EVENTS);
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

static err_t open_inotify(struct file_watch *w, uv_loop_t *loop, struct why *why)
{
    w->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->inotify < 0)
        return why_errno(why, ERR_IO, "inotify");
    int code = uv_poll_init(loop, &w->poll, w->inotify);
    if (code != 0) {
        close(w->inotify);
        return why_set(why, ERR_IO, "inotify: %s", uv_strerror(code));
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
    err_t err = open_inotify(w, loop, why);
    if (err != ERR_OK) {
        mem_free(w);
        return err;
    }
    uv_timer_init(loop, &w->settle); /* timers never fail to init */
    uv_timer_init(loop, &w->tick);
    w->poll.data = w->settle.data = w->tick.data = w;
    w->open_handles = 3;
    err = add_folders(w, paths, count, why);
    if (err != ERR_OK) {
        file_watch_close(w, NULL, NULL);
        return err;
    }
    arm(w);
    uv_timer_start(&w->tick, on_tick, FILE_WATCH_TICK_MS, FILE_WATCH_TICK_MS);
    *ret = w;
    return ERR_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct file_watch *w = handle->data;
    if (--w->open_handles > 0)
        return;
    void (*done)(void *arg) = w->done;
    void *arg = w->done_arg;
    for (size_t i = 0; i < w->folder_count; i++)
        mem_free(w->folders[i]);
    mem_free(w);
    if (done != NULL)
        done(arg);
}

void file_watch_close(struct file_watch *w, void (*done)(void *arg), void *arg)
{
    if (w->closing)
        return;
    w->closing = true;
    w->done = done;
    w->done_arg = arg;
    uv_close((uv_handle_t *)&w->poll, on_closed);
    close(w->inotify);
    uv_close((uv_handle_t *)&w->settle, on_closed);
    uv_close((uv_handle_t *)&w->tick, on_closed);
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

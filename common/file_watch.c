#include "common/file_watch.h"

#include "common/mem.h"

#include <string.h>
#include <sys/stat.h>

struct folder {
    uv_fs_event_t event;
    char *path; /* owned */
};

struct file_watch {
    uv_timer_t settle, tick;
    struct folder folders[FILE_WATCH_PATHS_MAX];
    size_t folder_count;
    unsigned open_handles;
    bool closing;
    void (*on_hint)(void *arg);
    void *arg;
    void (*done)(void *arg);
    void *done_arg;
};

static void on_event(uv_fs_event_t *event, const char *name, int events, int status);
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
        if (strcmp(w->folders[i].path, folder) == 0)
            return true;
    return false;
}

/* Watches anew: a folder may have come, gone or been replaced since. A folder that is not there is
 * left to the next tick. */
static void arm(struct file_watch *w)
{
    for (size_t i = 0; i < w->folder_count; i++) {
        struct folder *f = &w->folders[i];
        uv_fs_event_stop(&f->event);
        (void)uv_fs_event_start(&f->event, on_event, f->path, 0); /* the tick covers a failure */
    }
}

static err_t add_folders(struct file_watch *w, uv_loop_t *loop, const char *const *paths,
                         size_t count, struct why *why)
{
    for (size_t i = 0; i < count; i++) {
        char *path = folder_of(paths[i]);
        if (path == NULL)
            return why_set(why, ERR_NO_MEMORY, "no memory to watch %s", paths[i]);
        if (is_known(w, path)) {
            mem_free(path);
            continue;
        }
        struct folder *f = &w->folders[w->folder_count];
        int rc = uv_fs_event_init(loop, &f->event);
        if (rc != 0) {
            mem_free(path);
            return why_set(why, ERR_IO, "watching %s: %s", paths[i], uv_strerror(rc));
        }
        f->path = path;
        f->event.data = w;
        w->folder_count++;
        w->open_handles++;
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
    uv_timer_init(loop, &w->settle); /* timers never fail to init */
    uv_timer_init(loop, &w->tick);
    w->settle.data = w->tick.data = w;
    w->open_handles = 2;
    err_t err = add_folders(w, loop, paths, count, why);
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
        mem_free(w->folders[i].path);
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
    for (size_t i = 0; i < w->folder_count; i++)
        uv_close((uv_handle_t *)&w->folders[i].event, on_closed);
    uv_close((uv_handle_t *)&w->settle, on_closed);
    uv_close((uv_handle_t *)&w->tick, on_closed);
}

static void on_event(uv_fs_event_t *event, const char *name, int events, int status)
{
    struct file_watch *w = event->data;
    (void)name, (void)events, (void)status; /* the owner looks for itself */
    if (!w->closing && !uv_is_active((uv_handle_t *)&w->settle))
        uv_timer_start(&w->settle, on_settled, FILE_WATCH_SETTLE_MS, 0);
}

static void on_settled(uv_timer_t *timer)
{
    struct file_watch *w = timer->data;
    if (!w->closing)
        w->on_hint(w->arg);
}

static void on_tick(uv_timer_t *timer)
{
    struct file_watch *w = timer->data;
    if (w->closing)
        return;
    arm(w);
    w->on_hint(w->arg);
}

#include "sidecar/config/config_watch.h"

#include "common/base/mem.h"
#include "common/loop/closing.h"
#include "common/loop/file_watch.h"

#include <sys/stat.h>

#define REPORT_MAX (1u << 16)

struct config_watch {
    struct config_watch_options opt;
    struct closing closing;
    uv_loop_t *loop;
    struct file_watch *watch; /* NULL: there is no file */
    uv_work_t work;
    bool working;
    bool hinted, asked; /* what comes behind it */

    /* The job's alone while it is under way. */
    bool only_changed, unchanged;
    struct stat stamp; /* of the file when it was last read */
    struct buf report;
    struct sidecar_config *next; /* owned, or NULL */
    err_t err;
    struct why why;
};

/* The watch only says that something happened in the folder, and a log beside the file is enough
 * for that. False: it is the one before, or there is none, between two versions; a hint follows. */
static bool renew_stamp(struct config_watch *w)
{
    struct stat now = {0}, *at = &w->stamp;
    if (stat(w->opt.path, &now) != 0)
        return false;
    bool same = now.st_ino == at->st_ino && now.st_dev == at->st_dev &&
                now.st_size == at->st_size && now.st_mtim.tv_sec == at->st_mtim.tv_sec &&
                now.st_mtim.tv_nsec == at->st_mtim.tv_nsec;
    *at = now;
    return !same;
}

static void on_work(uv_work_t *work)
{
    struct config_watch *w = work->data;
    w->unchanged = w->only_changed && !renew_stamp(w);
    if (w->unchanged)
        return;
    w->err = sidecar_config_load(w->opt.path, w->opt.sets, &w->report, &w->next, &w->why);
    if (w->err == ERR_OK)
        w->err = sidecar_config_check_reload(w->opt.now, w->next, &w->report);
}

static void tell(struct config_watch *w)
{
    struct config_read read = {.err = w->err, .report = buf_slice(&w->report), .why = &w->why};
    if (w->err == ERR_OK) {
        sidecar_config_unref(w->opt.now);
        read.config = w->opt.now = sidecar_config_ref(w->next);
    }
    w->opt.on_read(w->opt.arg, &read);
}

static void start(struct config_watch *w);

static void on_work_done(uv_work_t *work, int status)
{
    struct config_watch *w = work->data;
    w->working = false;
    if (status == 0 && !w->unchanged && !w->closing.begun)
        tell(w);
    sidecar_config_unref(w->next);
    w->next = NULL;
    start(w);
    closing_drop(&w->closing);
}

static void start(struct config_watch *w)
{
    if (w->closing.begun || w->working || !(w->hinted || w->asked))
        return;
    w->only_changed = !w->asked;
    w->hinted = w->asked = false;
    w->why = (struct why){.err = ERR_OK};
    buf_clear(&w->report);
    w->working = uv_queue_work(w->loop, &w->work, on_work, on_work_done) == 0;
    if (w->working)
        closing_hold(&w->closing);
}

static void on_hint(void *arg)
{
    struct config_watch *w = arg;
    w->hinted = true;
    start(w);
}

void config_watch_read(struct config_watch *w)
{
    w->asked = true;
    start(w);
}

err_t config_watch_open(uv_loop_t *loop, const struct config_watch_options *opt,
                        struct config_watch **ret, struct why *why)
{
    struct config_watch *w = mem_alloc(sizeof *w);
    if (w == NULL)
        return why_set(why, ERR_NO_MEMORY, "watch of the configuration");
    w->opt = *opt;
    w->loop = loop;
    w->work.data = w;
    buf_init(&w->report, REPORT_MAX);
    err_t err = ERR_OK;
    if (opt->path != NULL) {
        (void)renew_stamp(w);
        err = file_watch_open(loop, &opt->path, 1, on_hint, w, &w->watch, why);
    }
    if (err != ERR_OK) {
        mem_free(w);
        return err;
    }
    sidecar_config_ref(opt->now);
    *ret = w;
    return ERR_OK;
}

static void watch_free(void *noun)
{
    struct config_watch *w = noun;
    sidecar_config_unref(w->opt.now);
    buf_done(&w->report);
    mem_free(w);
}

void config_watch_close(struct config_watch *w, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&w->closing, watch_free, w, done, arg))
        return;
    closing_hold(&w->closing);
    if (w->watch != NULL)
        file_watch_close(w->watch, closing_drop, closing_hold(&w->closing));
    closing_drop(&w->closing);
}

#include "sidecar/config/config_watch.h"

#include "common/base/mem.h"
#include "common/loop/closing.h"
#include "common/loop/file_reader.h"

#define REPORT_MAX (1u << 16)

struct config_watch {
    struct config_watch_options opt;
    struct closing closing;
    struct file_reader *reader;

    /* What one reading found. */
    struct buf report;
    struct sidecar_config *next; /* owned, or NULL */
    err_t err;
    struct why why;
};

static void forget_read(struct config_watch *w)
{
    sidecar_config_unref(w->next);
    w->next = NULL;
    w->why = (struct why){.err = ERR_OK};
    buf_clear(&w->report);
}

static void on_pool(void *arg)
{
    struct config_watch *w = arg;
    w->err = sidecar_config_load(w->opt.path, w->opt.sets, &w->report, &w->next, &w->why);
    if (w->err == ERR_OK)
        w->err = sidecar_config_check_reload(w->opt.now, w->next, &w->report);
}

static bool on_read(void *arg)
{
    struct config_watch *w = arg;
    struct config_read read = {.err = w->err, .report = buf_slice(&w->report), .why = &w->why};
    if (w->err == ERR_OK) {
        sidecar_config_unref(w->opt.now);
        read.config = w->opt.now = sidecar_config_ref(w->next);
    }
    w->opt.on_read(w->opt.arg, &read);
    forget_read(w);
    return true;
}

static void watch_free(void *noun)
{
    struct config_watch *w = noun;
    forget_read(w);
    sidecar_config_unref(w->opt.now);
    buf_done(&w->report);
    mem_free(w);
}

err_t config_watch_open(uv_loop_t *loop, const struct config_watch_options *opt,
                        struct config_watch **ret, struct why *why)
{
    struct config_watch *w = mem_alloc(sizeof *w);
    if (w == NULL)
        return why_set(why, ERR_NO_MEMORY, "watch of the configuration");
    w->opt = *opt;
    sidecar_config_ref(opt->now);
    buf_init(&w->report, REPORT_MAX);
    struct file_reader_options files = {.paths = &opt->path,
                                        .count = opt->path != NULL,
                                        .contents_alone = true,
                                        .read = on_pool,
                                        .on_read = on_read,
                                        .arg = w};
    err_t err = file_reader_open(loop, &files, &w->reader, why);
    if (err != ERR_OK)
        watch_free(w);
    else
        *ret = w;
    return err;
}

void config_watch_read(struct config_watch *w)
{
    file_reader_now(w->reader);
}

void config_watch_close(struct config_watch *w, void (*done)(void *arg), void *arg)
{
    if (closing_begin(&w->closing, watch_free, w, done, arg))
        file_reader_close(w->reader, closing_drop, closing_hold(&w->closing));
}

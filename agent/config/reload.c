#include "agent/config/reload.h"

#include "agent/entry/entry_advice.h"
#include "common/base/mem.h"
#include "common/loop/closing.h"
#include "common/loop/file_watch.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPORT_MAX (64 * 1024)

/* What one reading found; made on the loop, filled on the thread pool. */
struct reading {
    uv_work_t work;
    struct reload *owner;
    bool wanted; /* read it even if no file seems to have changed; then: it was read */
    uint64_t stamp;
    struct agent_config *config; /* owned */
    struct entry_set *entries;   /* owned */
    struct buf report;
    err_t err;
};

struct reload {
    uv_loop_t *loop;
    struct reload_options opt;
    struct file_watch *watch;
    struct reading *reading; /* under way, or NULL */
    uint64_t stamp;          /* of what was read last */
    bool again, again_forced;
    struct closing closing;
};

/* --- stamps ----------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        h = (h ^ ((value >> (8 * i)) & 0xff)) * 0x100000001b3u;
    return h;
}

/* Changes whenever the file is written or replaced, also through a link. */
static uint64_t stamp_file(int folder, const char *name)
{
    struct stat st;
    uint64_t h = 0xcbf29ce484222325u;
    if (fstatat(folder, name, &st, 0) != 0)
        return h;
    h = mix(h, st.st_dev);
    h = mix(h, st.st_ino);
    h = mix(h, (uint64_t)st.st_size);
    h = mix(h, (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec);
    return mix(h, (uint64_t)st.st_ctim.tv_sec * 1000000000u + (uint64_t)st.st_ctim.tv_nsec);
}

/* The sum, since a folder is read in no particular order. */
static uint64_t stamp_path(const char *path)
{
    uint64_t sum = stamp_file(AT_FDCWD, path);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return sum;
    for (struct dirent *d; (d = readdir(folder)) != NULL;)
        if (d->d_name[0] != '.')
            sum += stamp_file(dirfd(folder), d->d_name);
    closedir(folder);
    return sum;
}

static uint64_t stamp_all(const struct reload *r)
{
    uint64_t sum = 0;
    if (r->opt.config_path != NULL)
        sum += stamp_path(r->opt.config_path);
    if (r->opt.config->entries != NULL)
        sum += stamp_path(r->opt.config->entries);
    return sum;
}

/* --- reading ---------------------------------------------------------------------------------- */

err_t reload_read_entries(const struct agent_config *c, struct buf *report, struct entry_set **ret,
                          struct why *why)
{
    if (c->entries == NULL)
        return entries_parse("entries", slice_str("entries: []\n"), c->trust_domain, report, ret,
                             why);
    err_t err = entries_load(c->entries, c->trust_domain, report, ret, why);
    if (err == ERR_OK)
        entry_advise(*ret, &(struct entry_advice){.issuer_ttl_s = c->issuer_ttl_s}, report);
    return err;
}

static void reading_free(struct reading *g)
{
    if (g == NULL)
        return;
    if (g->config != NULL)
        agent_config_free(g->config);
    entries_free(g->entries);
    buf_done(&g->report);
    mem_free(g);
}

/* A cause that did not go to the report becomes its last line. */
static err_t add_cause(struct reading *g, err_t err, const struct why *why)
{
    if (err != ERR_OK && why->text[0] != '\0' &&
        buf_printf(&g->report, "%s\n", why_text(why)) != ERR_OK)
        return err; /* the report is full: it says enough */
    return err;
}

static err_t read_all(struct reading *g)
{
    const struct reload_options *opt = &g->owner->opt;
    struct why why = {.err = ERR_OK};
    err_t err = agent_config_load(opt->config_path, opt->sets, &g->report, &g->config, &why);
    if (err == ERR_OK)
        err = agent_config_check_reload(opt->config, g->config, &g->report);
    if (err == ERR_OK)
        err = reload_read_entries(g->config, &g->report, &g->entries, &why);
    return add_cause(g, err, &why);
}

static void on_work(uv_work_t *work)
{
    struct reading *g = work->data;
    uint64_t before = g->stamp;
    g->stamp = stamp_all(g->owner); /* first: a change while we read is seen the next time */
    g->wanted = g->wanted || g->stamp != before;
    if (g->wanted)
        g->err = read_all(g);
}

static void start(struct reload *r, bool forced);

static void hand_over(struct reload *r, struct reading *g)
{
    r->stamp = g->stamp;
    if (!g->wanted)
        return;
    if (g->err != ERR_OK) {
        r->opt.on_failed(r->opt.arg, buf_slice(&g->report));
        return;
    }
    struct agent_config *config = g->config;
    struct entry_set *entries = g->entries;
    g->config = NULL;
    g->entries = NULL;
    r->opt.on_loaded(r->opt.arg, config, entries);
}

static void on_worked(uv_work_t *work, int status)
{
    struct reading *g = work->data;
    struct reload *r = g->owner;
    r->reading = NULL;
    if (!r->closing.begun && status == 0)
        hand_over(r, g);
    reading_free(g);
    if (r->again) {
        r->again = false;
        start(r, r->again_forced);
    }
    closing_drop(&r->closing);
}

static void start(struct reload *r, bool forced)
{
    if (r->closing.begun)
        return;
    if (r->reading != NULL) {
        r->again_forced = forced || (r->again && r->again_forced);
        r->again = true;
        return;
    }
    struct reading *g = mem_alloc(sizeof *g);
    if (g == NULL)
        return; /* the next hint tries again */
    g->owner = r;
    g->wanted = forced;
    g->stamp = r->stamp;
    g->work.data = g;
    buf_init(&g->report, REPORT_MAX);
    int rc = uv_queue_work(r->loop, &g->work, on_work, on_worked);
    assert(rc == 0);
    (void)rc;
    r->reading = g;
    closing_hold(&r->closing);
}

/* --- life ------------------------------------------------------------------------------------- */

static void on_hint(void *arg)
{
    start(arg, false);
}

void reload_now(struct reload *r)
{
    start(r, true);
}

void reload_set_config(struct reload *r, const struct agent_config *config)
{
    r->opt.config = config;
}

err_t reload_open(uv_loop_t *loop, const struct reload_options *opt, struct reload **ret,
                  struct why *why)
{
    struct reload *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return why_set(why, ERR_NO_MEMORY, "watch of files");
    r->loop = loop;
    r->opt = *opt;
    r->stamp = stamp_all(r);
    const char *paths[2];
    size_t count = 0;
    if (opt->config_path != NULL)
        paths[count++] = opt->config_path;
    if (opt->config->entries != NULL)
        paths[count++] = opt->config->entries;
    err_t err = file_watch_open(loop, paths, count, on_hint, r, &r->watch, why);
    if (err != ERR_OK) {
        mem_free(r);
        return err;
    }
    *ret = r;
    return ERR_OK;
}

void reload_close(struct reload *r, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&r->closing, mem_free, r, done, arg))
        return;
    if (r->reading != NULL)
        uv_cancel((uv_req_t *)&r->reading->work);
    file_watch_close(r->watch, closing_drop, closing_hold(&r->closing));
}

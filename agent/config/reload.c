#include "agent/config/reload.h"

#include "common/base/mem.h"
#include "common/loop/closing.h"
#include "common/loop/file_reader.h"

#define REPORT_MAX (64 * 1024)

struct reload {
    struct reload_options opt;
    struct file_reader *reader;
    struct closing closing;

    /* What one reading found. */
    struct agent_config *config; /* owned */
    struct entry_set *entries;   /* owned */
    struct buf report;
    err_t err; /* of the configuration */
    struct why why;
};

/* What was not handed over. */
static void forget_read(struct reload *r)
{
    if (r->config != NULL)
        agent_config_free(r->config);
    entries_free(r->entries);
    r->config = NULL;
    r->entries = NULL;
    buf_clear(&r->report);
}

static void on_pool(void *arg)
{
    struct reload *r = arg;
    const struct reload_options *opt = &r->opt;
    r->why = (struct why){.err = ERR_OK};
    r->err = agent_config_load(opt->config_path, opt->sets, &r->report, &r->config, &r->why);
    if (r->err == ERR_OK)
        r->err = agent_config_check_reload(opt->config, r->config, &r->report);
}

/* Also when it came to no entries. */
static void on_entries(void *arg, err_t err, const struct why *why)
{
    struct reload *r = arg;
    struct agent_config *config = r->config;
    struct entry_set *entries = r->entries;
    bool is_good = err == ERR_OK;
    if (!is_good && why->text[0] != '\0')
        err = buf_printf(&r->report, "%s\n", why_text(why)); /* a full report says enough */
    if (is_good && !r->closing.begun) {
        r->config = NULL;
        r->entries = NULL;
        r->opt.on_loaded(r->opt.arg, config, entries, buf_slice(&r->report));
    } else if (!r->closing.begun) {
        r->opt.on_failed(r->opt.arg, buf_slice(&r->report));
    }
    forget_read(r);
    if (!r->closing.begun)
        file_reader_pause(r->reader, false);
    closing_drop(&r->closing);
}

static bool on_read(void *arg)
{
    struct reload *r = arg;
    struct store *s = r->opt.store;
    file_reader_pause(r->reader, true); /* one at a time */
    closing_hold(&r->closing);
    if (r->err == ERR_OK)
        s->kind->entries(s, &r->report, &r->entries, on_entries, r);
    else
        on_entries(r, r->err, &r->why);
    return true;
}

void reload_now(struct reload *r)
{
    file_reader_now(r->reader);
}

void reload_set_config(struct reload *r, const struct agent_config *config)
{
    r->opt.config = config;
}

static void reload_free(void *noun)
{
    struct reload *r = noun;
    forget_read(r);
    buf_done(&r->report);
    mem_free(r);
}

err_t reload_open(uv_loop_t *loop, const struct reload_options *opt, struct reload **ret,
                  struct why *why)
{
    struct reload *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return why_set(why, ERR_NO_MEMORY, "watch of files");
    r->opt = *opt;
    buf_init(&r->report, REPORT_MAX);
    const char *paths[2];
    struct file_reader_options files = {
        .paths = paths, .read = on_pool, .on_read = on_read, .arg = r};
    if (opt->config_path != NULL)
        paths[files.count++] = opt->config_path;
    if (opt->store->entries_path != NULL)
        paths[files.count++] = opt->store->entries_path;
    err_t err = file_reader_open(loop, &files, &r->reader, why);
    if (err != ERR_OK)
        reload_free(r);
    else
        *ret = r;
    return err;
}

void reload_close(struct reload *r, void (*done)(void *arg), void *arg)
{
    if (closing_begin(&r->closing, reload_free, r, done, arg))
        file_reader_close(r->reader, closing_drop, closing_hold(&r->closing));
}

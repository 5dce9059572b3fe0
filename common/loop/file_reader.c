#include "common/loop/file_reader.h"

#include "common/base/mem.h"
#include "common/loop/closing.h"
#include "common/loop/file_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct file_reader {
    struct file_reader_options opt;
    const char *paths[FILE_WATCH_PATHS_MAX];
    uv_loop_t *loop;
    struct file_watch *watch;
    struct closing closing;
    uv_work_t work;
    bool working;
    bool hinted, asked; /* what comes behind it */
    bool stale;         /* what was read last is not to stand */
    bool paused;

    /* The job's alone while it is under way. */
    bool wanted; /* read, if no file seems to have changed; then: it was read */
    uint64_t stamp;
};

/* --- stamps ----------------------------------------------------------------------------------- */

#define STAMP_SEED 0xcbf29ce484222325u

static uint64_t mix(uint64_t h, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        h = (h ^ ((value >> (8 * i)) & 0xff)) * 0x100000001b3u;
    return h;
}

/* Changes whenever the file is written or replaced, also by a link. The seed: there is none. */
static uint64_t stamp_file(int folder, const char *name, bool contents_alone)
{
    struct stat st;
    uint64_t h = STAMP_SEED;
    if (fstatat(folder, name, &st, 0) != 0)
        return h;
    h = mix(h, st.st_dev);
    h = mix(h, st.st_ino);
    h = mix(h, (uint64_t)st.st_size);
    h = mix(h, (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec);
    if (contents_alone)
        return h;
    return mix(h, (uint64_t)st.st_ctim.tv_sec * 1000000000u + (uint64_t)st.st_ctim.tv_nsec);
}

/* The sum, since a folder is read in no particular order. */
static uint64_t stamp_path(const char *path, bool contents_alone)
{
    uint64_t sum = stamp_file(AT_FDCWD, path, contents_alone);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return sum;
    for (struct dirent *d; (d = readdir(folder)) != NULL;)
        if (d->d_name[0] != '.')
            sum += stamp_file(dirfd(folder), d->d_name, contents_alone);
    closedir(folder);
    return sum;
}

/* False: one of them is not there. */
static bool stamp_all(const struct file_reader *r, uint64_t *ret)
{
    bool are_there = true;
    *ret = 0;
    for (size_t i = 0; i < r->opt.count; i++) {
        uint64_t stamp = stamp_path(r->paths[i], r->opt.contents_alone);
        are_there = are_there && stamp != STAMP_SEED;
        *ret = mix(*ret, stamp);
    }
    return are_there;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void reader_start(struct file_reader *r);

static void on_work(uv_work_t *work)
{
    struct file_reader *r = work->data;
    uint64_t stamp; /* first: a change while we read is seen the next time */
    bool counts = stamp_all(r, &stamp) || !r->opt.contents_alone;
    r->wanted = r->wanted || (counts && stamp != r->stamp);
    if (!r->wanted)
        return;
    r->stamp = stamp;
    r->opt.read(r->opt.arg);
}

static void on_worked(uv_work_t *work, int status)
{
    struct file_reader *r = work->data;
    r->working = false;
    if (!r->closing.begun && status == 0 && r->wanted)
        r->stale = !r->opt.on_read(r->opt.arg);
    reader_start(r);
    closing_drop(&r->closing);
}

static void reader_start(struct file_reader *r)
{
    if (r->closing.begun || r->working || r->paused || !(r->hinted || r->asked))
        return;
    r->wanted = r->asked || r->stale;
    r->working = uv_queue_work(r->loop, &r->work, on_work, on_worked) == 0;
    if (!r->working)
        return; /* the next hint tries again */
    r->hinted = r->asked = false;
    closing_hold(&r->closing);
}

static void on_hint(void *arg)
{
    struct file_reader *r = arg;
    r->hinted = true;
    reader_start(r);
}

void file_reader_now(struct file_reader *r)
{
    r->asked = true;
    reader_start(r);
}

void file_reader_pause(struct file_reader *r, bool paused)
{
    r->paused = paused;
    reader_start(r);
}

/* --- life ------------------------------------------------------------------------------------- */

err_t file_reader_open(uv_loop_t *loop, const struct file_reader_options *opt,
                       struct file_reader **ret, struct why *why)
{
    struct file_reader *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return why_set(why, ERR_NO_MEMORY, "reader of files");
    r->opt = *opt;
    r->loop = loop;
    r->work.data = r;
    err_t err = opt->count == 0
                    ? ERR_OK
                    : file_watch_open(loop, opt->paths, opt->count, on_hint, r, &r->watch, why);
    if (err != ERR_OK) {
        mem_free(r);
        return err;
    }
    for (size_t i = 0; i < opt->count; i++)
        r->paths[i] = opt->paths[i];
    (void)stamp_all(r, &r->stamp);
    *ret = r;
    return ERR_OK;
}

void file_reader_close(struct file_reader *r, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&r->closing, mem_free, r, done, arg))
        return;
    if (r->working)
        (void)uv_cancel((uv_req_t *)&r->work);
    closing_hold(&r->closing);
    if (r->watch != NULL)
        file_watch_close(r->watch, closing_drop, &r->closing);
    else
        closing_drop(&r->closing);
}

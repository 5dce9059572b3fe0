#include "agent/attest/attest_unix.h"

#include "agent/attest/exe_hash.h"
#include "agent/attest/name_cache.h"
#include "agent/attest/proc.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/log/log.h"
#include "common/loop/closing.h"

#include <assert.h>
#include <unistd.h>

/* A job goes through its stages in this order; each ends at once or waits for a callback. */
enum stage { STAGE_IDS, STAGE_NAMES, STAGE_PROGRAM, STAGE_HASH };

/* Names may run out of the cache while others are looked up. */
enum { NAME_ROUNDS_MAX = 3 };

/* What the thread pool finds out about the program. */
struct program {
    uv_work_t work;
    struct job *job; /* NULL: canceled */
    struct attest_unix *owner;
    pid_t pid;
    unsigned kinds;
    char path[PATH_MAX];
    err_t path_err, open_err;
    struct why path_why, open_why;
    int fd; /* owned, -1: not open */
    struct file_id id;
};

struct job {
    struct map_node in_jobs;
    struct attest_unix *owner;
    uint64_t id;
    struct attest_subject who;
    unsigned kinds;
    enum stage stage;
    struct selector_set selectors;
    struct name_id *ids; /* owned: uid, gid, then supplementary groups */
    size_t id_count;
    struct name_id *missing; /* owned */
    unsigned name_rounds;
    struct name_waiter name_waiter;
    struct program *program; /* owned, by the thread pool while it works */
    struct exe_hash_waiter hash_waiter;
    attestor_answer_fn *done;
    void *arg;
};

struct attest_unix {
    uv_prepare_t closer; /* never started: no close ends before its callback */
    uv_loop_t *loop;
    struct name_cache *names;
    struct exe_hash *hashes;
    struct map jobs; /* by id */
    uint64_t last_id;
    struct closing closing; /* held by the thread pool's works */
};

static void program_free(struct program *p)
{
    if (p == NULL)
        return;
    if (p->fd >= 0)
        close(p->fd);
    mem_free(p);
}

static void job_free(struct job *j)
{
    selector_set_done(&j->selectors);
    mem_free(j->ids);
    mem_free(j->missing);
    mem_free(j);
}

/* Ends the job. Out of the list first: done may cancel others or close the attestor. */
static void job_finish(struct job *j, err_t err, const struct why *why)
{
    map_remove(&j->owner->jobs, j);
    j->done(j->arg, err, err == ERR_OK ? &j->selectors : NULL, why);
    job_free(j);
}

/* Of one part: unless it fails the whole its selectors are left out. */
static err_t job_part_failed(const struct job *j, const char *part, err_t err,
                             const struct why *why)
{
    if (attestor_is_fatal(err))
        return err;
    log_debug("attest_part_failed", log_int("pid", j->who.pid), log_str("part", part),
              log_err("reason", err), log_str("cause", why_text(why)));
    if (j->who.on_problem != NULL)
        j->who.on_problem(j->arg, part, err, why);
    return ERR_OK;
}

/* A caller with more selectors than a set holds keeps the first of them. */
static err_t keep_going(err_t err)
{
    return err == ERR_LIMIT || err == ERR_TOO_LARGE ? ERR_OK : err;
}

/* STAGE_IDS */

static err_t take_ids(struct job *j, const gid_t *groups, size_t count)
{
    j->ids = mem_array(count + 2, sizeof *j->ids);
    if (j->ids == NULL)
        return ERR_NO_MEMORY;
    j->ids[0] = (struct name_id){.is_group = false, .id = j->who.uid};
    j->ids[1] = (struct name_id){.is_group = true, .id = j->who.gid};
    for (size_t i = 0; i < count; i++)
        j->ids[2 + i] = (struct name_id){.is_group = true, .id = groups[i]};
    j->id_count = count + 2;
    return ERR_OK;
}

static err_t add_groups(struct job *j, const gid_t *groups, size_t count)
{
    err_t err = ERR_OK;
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        err = keep_going(
            selector_set_add(&j->selectors, "unix:supplementary_gid:%u", (unsigned)groups[i]));
    return err;
}

static err_t step_ids(struct job *j, struct why *why)
{
    err_t err = selector_set_add(&j->selectors, "unix:uid:%u", (unsigned)j->who.uid);
    if (err == ERR_OK)
        err = selector_set_add(&j->selectors, "unix:gid:%u", (unsigned)j->who.gid);
    gid_t groups[SELECTOR_SET_MAX];
    size_t count = 0;
    if (err == ERR_OK && (j->kinds & SELECTOR_KIND_SUPPLEMENTARY) != 0) {
        struct why cause = {0};
        err = proc_groups(j->who.pid, groups, SELECTOR_SET_MAX, &count, &cause);
        if (err != ERR_OK)
            err = job_part_failed(j, "supplementary groups", err, &cause);
        if (err != ERR_OK)
            return why_set(why, err, "%s", why_text(&cause));
        err = add_groups(j, groups, count);
    }
    if (err == ERR_OK && (j->kinds & SELECTOR_KIND_NAMES) != 0)
        err = take_ids(j, groups, count);
    return err == ERR_OK ? ERR_OK : why_set(why, err, "selectors of process %d", (int)j->who.pid);
}

/* STAGE_NAMES */

static err_t add_name(struct job *j, size_t i, const char *name)
{
    const char *kind = i == 0 ? "user" : i == 1 ? "group" : "supplementary_group";
    return keep_going(selector_set_add(&j->selectors, "unix:%s:%s", kind, name));
}

/* Adds the names that are known; *ret_missing of them, in j->missing, are not. */
static err_t add_names(struct job *j, size_t *ret_missing)
{
    size_t missing = 0;
    for (size_t i = 0; i < j->id_count; i++) {
        const char *name = NULL;
        err_t err = ERR_OK;
        if (!name_cache_find(j->owner->names, j->ids[i], &name)) {
            if (j->missing == NULL)
                j->missing = mem_array(j->id_count, sizeof *j->missing);
            if (j->missing == NULL)
                return ERR_NO_MEMORY;
            j->missing[missing++] = j->ids[i];
        } else if (name != NULL) {
            err = add_name(j, i, name);
        }
        if (err != ERR_OK)
            return err;
    }
    *ret_missing = missing;
    return ERR_OK;
}

static void job_advance(struct job *j);

static void on_names(void *arg, err_t err)
{
    struct job *j = arg;
    if (err == ERR_OK) {
        j->stage = STAGE_NAMES;
        job_advance(j);
        return;
    }
    struct why why = {0};
    why_set(&why, err, "names of process %d's ids", (int)j->who.pid);
    job_finish(j, err, &why);
}

/* ERR_OK with the stage moved on, or left at STAGE_NAMES when a callback has taken over. */
static err_t step_names(struct job *j, struct why *why)
{
    size_t missing = 0;
    err_t err = (j->kinds & SELECTOR_KIND_NAMES) != 0 ? add_names(j, &missing) : ERR_OK;
    if (err != ERR_OK)
        return why_set(why, err, "names of process %d's ids", (int)j->who.pid);
    if (missing == 0 || j->name_rounds++ == NAME_ROUNDS_MAX) {
        j->stage = STAGE_PROGRAM;
        return ERR_OK;
    }
    j->name_waiter =
        (struct name_waiter){.ids = j->missing, .count = missing, .done = on_names, .arg = j};
    return ERR_OK;
}

/* STAGE_PROGRAM */

static void on_program_work(uv_work_t *work)
{
    struct program *p = work->data;
    if ((p->kinds & SELECTOR_KIND_PATH) != 0)
        p->path_err = proc_exe_path(p->pid, p->path, &p->path_why);
    if ((p->kinds & SELECTOR_KIND_SHA256) != 0)
        p->open_err = proc_exe_open(p->pid, &p->fd, &p->id, &p->open_why);
}

static err_t use_path(struct job *j, const struct program *p, struct why *why)
{
    err_t err = p->path_err;
    if (err == ERR_OK)
        return keep_going(selector_set_add(&j->selectors, "unix:path:%s", p->path));
    err = job_part_failed(j, "path", err, &p->path_why);
    return err == ERR_OK ? ERR_OK : why_set(why, err, "%s", why_text(&p->path_why));
}

static void on_hash(void *arg, err_t err, const char *hex, const struct why *cause)
{
    struct job *j = arg;
    struct why why = {0};
    if (err == ERR_OK)
        err = keep_going(selector_set_add(&j->selectors, "unix:sha256:%s", hex));
    else
        err = job_part_failed(j, "sha256", err, cause);
    if (err != ERR_OK)
        why_set(&why, err, "%s", why_text(cause));
    job_finish(j, err, &why);
}

static void hash_program(struct job *j, struct program *p)
{
    int fd = p->fd;
    p->fd = -1; /* the hasher takes it */
    j->stage = STAGE_HASH;
    j->hash_waiter = (struct exe_hash_waiter){.done = on_hash, .arg = j};
    exe_hash_start(j->owner->hashes, fd, &p->id, &j->hash_waiter);
}

static void program_known(struct job *j, struct program *p)
{
    struct why why = {0};
    err_t err = (p->kinds & SELECTOR_KIND_PATH) != 0 ? use_path(j, p, &why) : ERR_OK;
    if (err == ERR_OK && p->open_err != ERR_OK) {
        err = job_part_failed(j, "sha256", p->open_err, &p->open_why);
        if (err != ERR_OK)
            why_set(&why, err, "%s", why_text(&p->open_why));
    }
    if (err == ERR_OK && p->fd >= 0)
        hash_program(j, p);
    else
        job_finish(j, err, &why);
}

static void after_program_work(uv_work_t *work, int status)
{
    struct program *p = work->data;
    struct attest_unix *a = p->owner;
    (void)status; /* canceled works have no job any more */
    if (p->job != NULL) {
        p->job->program = NULL;
        program_known(p->job, p);
    }
    program_free(p);
    closing_drop(&a->closing);
}

static err_t start_program(struct job *j, struct why *why)
{
    struct program *p = mem_alloc(sizeof *p);
    if (p == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory to look at the program");
    p->work.data = p;
    p->job = j;
    p->owner = j->owner;
    p->pid = j->who.pid;
    p->kinds = j->kinds;
    p->fd = -1;
    int code = uv_queue_work(j->owner->loop, &p->work, on_program_work, after_program_work);
    assert(code == 0);
    (void)code; /* fails without a callback only */
    j->program = p;
    closing_hold(&j->owner->closing);
    return ERR_OK;
}

static void job_advance(struct job *j)
{
    struct why why = {0};
    err_t err = ERR_OK;
    if (j->stage == STAGE_IDS) {
        err = step_ids(j, &why);
        j->stage = STAGE_NAMES;
    }
    if (err == ERR_OK && j->stage == STAGE_NAMES) {
        err = step_names(j, &why);
        if (err == ERR_OK && j->stage == STAGE_NAMES) {
            name_cache_wait(j->owner->names, &j->name_waiter); /* may end the job */
            return;
        }
    }
    if (err == ERR_OK && (j->kinds & (SELECTOR_KIND_PATH | SELECTOR_KIND_SHA256)) != 0) {
        err = start_program(j, &why);
        if (err == ERR_OK)
            return;
    }
    job_finish(j, err, &why);
}

static bool job_is(const void *job, const void *id)
{
    return ((const struct job *)job)->id == *(const uint64_t *)id;
}

static uint32_t job_hash(uint64_t id)
{
    return map_hash(slice_of(&id, sizeof id));
}

static struct job *job_new(struct attest_unix *a)
{
    struct job *j = mem_alloc(sizeof *j);
    if (j == NULL || map_add(&a->jobs, j, job_hash(a->last_id + 1)) != ERR_OK) {
        mem_free(j);
        return NULL;
    }
    j->owner = a;
    j->id = ++a->last_id;
    return j;
}

static struct job *job_find(const struct attest_unix *a, uint64_t id)
{
    return map_find(&a->jobs, job_hash(id), &id);
}

uint64_t attest_unix_start(void *self, const struct attest_subject *who, unsigned kinds,
                           attestor_answer_fn *done, void *arg)
{
    struct attest_unix *a = self;
    assert(!a->closing.begun);
    struct why why = {0};
    if (a->jobs.count >= ATTEST_JOBS_MAX) {
        why_set(&why, ERR_LIMIT, "%u callers are being attested", a->jobs.count);
        done(arg, ERR_LIMIT, NULL, &why);
        return 0;
    }
    struct job *j = job_new(a);
    if (j == NULL) {
        why_set(&why, ERR_NO_MEMORY, "no memory to attest a caller");
        done(arg, ERR_NO_MEMORY, NULL, &why);
        return 0;
    }
    j->who = *who;
    j->kinds = kinds;
    j->done = done;
    j->arg = arg;
    uint64_t id = j->id;
    job_advance(j);
    return job_find(a, id) != NULL ? id : 0;
}

static void job_cancel(struct job *j)
{
    if (j->stage == STAGE_NAMES)
        name_cache_cancel(j->owner->names, &j->name_waiter);
    if (j->stage == STAGE_HASH)
        exe_hash_cancel(&j->hash_waiter);
    if (j->program != NULL) {
        j->program->job = NULL;
        uv_cancel((uv_req_t *)&j->program->work);
    }
    map_remove(&j->owner->jobs, j);
    job_free(j);
}

void attest_unix_cancel(void *self, uint64_t id)
{
    struct job *j = job_find(self, id);
    if (j != NULL)
        job_cancel(j);
}

struct attestor attest_unix_attestor(struct attest_unix *a)
{
    return (struct attestor){.name = "unix",
                             .label = ATTESTOR_UNIX,
                             .self = a,
                             .start = attest_unix_start,
                             .cancel = attest_unix_cancel};
}

uint64_t attest_unix_files_read(const struct attest_unix *a)
{
    return exe_hash_files_read(a->hashes);
}

err_t attest_unix_open(uv_loop_t *loop, off_t exe_max, struct attest_unix **ret, struct why *why)
{
    struct attest_unix *a = mem_alloc(sizeof *a);
    if (a == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for the attestor");
    a->loop = loop;
    a->jobs = (struct map)MAP_OF(struct job, in_jobs, job_is);
    err_t err = name_cache_open(loop, &a->names);
    if (err == ERR_OK)
        err = exe_hash_open(loop, exe_max > 0 ? exe_max : EXE_HASH_FILE_MAX, &a->hashes);
    if (err != ERR_OK) {
        if (a->names != NULL)
            name_cache_close(a->names, NULL, NULL);
        mem_free(a);
        return why_set(why, err, "no memory for the attestor");
    }
    uv_prepare_init(loop, &a->closer);
    *ret = a;
    return ERR_OK;
}

void attest_unix_close(struct attest_unix *a, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&a->closing, mem_free, a, done, arg))
        return;
    struct job *j, *next;
    MAP_FOREACH_SAFE(j, &a->jobs, next)
        job_cancel(j);
    map_done(&a->jobs);
    closing_handle(&a->closing, &a->closer);
    name_cache_close(a->names, closing_drop, closing_hold(&a->closing));
    exe_hash_close(a->hashes, closing_drop, closing_hold(&a->closing));
}

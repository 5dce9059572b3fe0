#include "agent/attest/exe_hash.h"

#include "common/base/mem.h"
#include "common/crypto/sha256.h"
#include "common/loop/closing.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

enum { CHUNK = 128 * 1024 };

struct result {
    struct file_id id;
    char hex[EXE_HASH_TEXT_LEN];
    uint64_t used; /* turn of the last use */
};

struct job {
    STAILQ_ENTRY(job) in_jobs;
    uv_work_t work;
    struct exe_hash *owner;
    int fd; /* owned */
    struct file_id id;
    LIST_HEAD(, exe_hash_waiter) waiters;
    char hex[EXE_HASH_TEXT_LEN];
    err_t err;
    struct why why;
};

struct exe_hash {
    uv_loop_t *loop;
    off_t file_max;
    struct result *kept; /* owned, EXE_HASH_KEPT_MAX of them once one is there */
    size_t kept_count;
    uint64_t turn, files_read;
    STAILQ_HEAD(, job) jobs; /* the first is under way */
    size_t job_count;
    bool is_running;
    atomic_bool stop;       /* the thread pool looks at it between chunks */
    struct closing closing; /* held by a work, and while waiters are called */
};

static void hex_of(const uint8_t *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

/* The thread pool's part. */

static err_t read_into(struct job *j, struct sha256 *sum, uint8_t *chunk)
{
    for (off_t at = 0;;) {
        if (atomic_load(&j->owner->stop))
            return why_set(&j->why, ERR_CANCELED, "shutting down");
        ssize_t n = pread(j->fd, chunk, CHUNK, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return why_errno(&j->why, ERR_IO, "reading the program");
        if (n == 0)
            return ERR_OK;
        at += n;
        if (at > j->owner->file_max)
            return why_set(&j->why, ERR_TOO_LARGE, "the program grew past the limit");
        err_t err = sha256_add(sum, slice_of(chunk, (size_t)n));
        if (err != ERR_OK)
            return why_set(&j->why, err, "hashing the program");
    }
}

static err_t job_hash(struct job *j)
{
    uint8_t digest[32], *chunk = mem_alloc(CHUNK);
    struct sha256 *sum = NULL;
    err_t err = chunk != NULL ? sha256_new(&sum) : ERR_NO_MEMORY;
    if (err != ERR_OK) {
        why_set(&j->why, err, "no memory to hash the program");
        goto out;
    }
    err = read_into(j, sum, chunk);
    if (err == ERR_OK)
        err = sha256_end(sum, digest);
    struct file_id after;
    if (err == ERR_OK)
        err = file_id_of(j->fd, &after, &j->why);
    if (err == ERR_OK && !file_id_eq(&after, &j->id))
        err = why_set(&j->why, ERR_IO, "the program changed while it was read");
    if (err == ERR_OK)
        hex_of(digest, sizeof digest, j->hex);
out:
    sha256_free(sum);
    mem_free(chunk);
    return err;
}

static void on_work(uv_work_t *work)
{
    struct job *j = work->data;
    j->err = job_hash(j);
}

/* Results that are known. */

static struct result *exe_hash_known(struct exe_hash *h, const struct file_id *id)
{
    for (size_t i = 0; i < h->kept_count; i++)
        if (file_id_eq(&h->kept[i].id, id))
            return &h->kept[i];
    return NULL;
}

/* Without memory nothing is kept: the next one hashes again. */
static void exe_hash_keep(struct exe_hash *h, const struct job *j)
{
    if (h->kept == NULL)
        h->kept = mem_array(EXE_HASH_KEPT_MAX, sizeof *h->kept);
    if (h->kept == NULL)
        return;
    struct result *slot = &h->kept[0];
    if (h->kept_count < EXE_HASH_KEPT_MAX)
        slot = &h->kept[h->kept_count++];
    for (size_t i = 0; i < h->kept_count && slot->used != 0; i++)
        if (h->kept[i].used < slot->used)
            slot = &h->kept[i];
    *slot = (struct result){.id = j->id, .used = ++h->turn};
    memcpy(slot->hex, j->hex, sizeof slot->hex);
}

/* Jobs. */

static struct job *job_take_first(struct exe_hash *h)
{
    struct job *j = STAILQ_FIRST(&h->jobs);
    if (j == NULL)
        return NULL;
    STAILQ_REMOVE_HEAD(&h->jobs, in_jobs);
    h->job_count--;
    return j;
}

static void job_free(struct job *j)
{
    close(j->fd);
    mem_free(j);
}

static void exe_hash_free(void *arg)
{
    struct exe_hash *h = arg;
    for (struct job *j; (j = job_take_first(h)) != NULL;)
        job_free(j);
    mem_free(h->kept);
    mem_free(h);
}

/* They may cancel each other, or close. */
static void job_tell(struct job *j)
{
    for (struct exe_hash_waiter *w; (w = LIST_FIRST(&j->waiters)) != NULL;) {
        LIST_LEAVE(w, link);
        w->done(w->arg, j->err, j->err == ERR_OK ? j->hex : NULL, &j->why);
    }
}

static void after_work(uv_work_t *work, int status);

/* Files that nobody waits for any more are passed over. */
static void exe_hash_start_next(struct exe_hash *h)
{
    for (struct job *j; !h->is_running && (j = STAILQ_FIRST(&h->jobs)) != NULL;) {
        if (!LIST_EMPTY(&j->waiters)) {
            int code = uv_queue_work(h->loop, &j->work, on_work, after_work);
            assert(code == 0);
            (void)code; /* fails without a callback only */
            h->is_running = true;
            closing_hold(&h->closing);
            h->files_read++;
            return;
        }
        job_free(job_take_first(h));
    }
}

static void after_work(uv_work_t *work, int status)
{
    struct job *j = work->data;
    struct exe_hash *h = j->owner;
    h->is_running = false;
    if (!h->closing.begun) {
        assert(status == 0);
        (void)status; /* only a close cancels */
        job_take_first(h);
        if (j->err == ERR_OK)
            exe_hash_keep(h, j);
        job_tell(j);
        job_free(j);
    }
    if (!h->closing.begun)
        exe_hash_start_next(h);
    closing_drop(&h->closing);
}

static struct job *job_for(const struct exe_hash *h, const struct file_id *id)
{
    struct job *j;
    STAILQ_FOREACH(j, &h->jobs, in_jobs)
        if (file_id_eq(&j->id, id))
            break;
    return j;
}

static err_t exe_hash_enqueue(struct exe_hash *h, int fd, const struct file_id *id,
                              struct exe_hash_waiter *w, struct why *why)
{
    if (id->size > h->file_max)
        return why_set(why, ERR_TOO_LARGE, "the program has %lld bytes, at most %lld are hashed",
                       (long long)id->size, (long long)h->file_max);
    if (h->job_count >= EXE_HASH_QUEUE_MAX)
        return why_set(why, ERR_LIMIT, "%zu other programs wait to be hashed", h->job_count);
    struct job *j = mem_alloc(sizeof *j);
    if (j == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory to hash the program");
    j->work.data = j;
    j->owner = h;
    j->fd = fd;
    j->id = *id;
    LIST_INSERT_HEAD(&j->waiters, w, link);
    STAILQ_INSERT_TAIL(&h->jobs, j, in_jobs);
    h->job_count++;
    exe_hash_start_next(h);
    return ERR_OK;
}

void exe_hash_start(struct exe_hash *h, int fd, const struct file_id *id, struct exe_hash_waiter *w)
{
    struct why why = {0};
    w->link.le_prev = NULL;
    struct result *r = exe_hash_known(h, id);
    if (r != NULL) {
        r->used = ++h->turn;
        close(fd);
        w->done(w->arg, ERR_OK, r->hex, &why);
        return;
    }
    struct job *j = job_for(h, id);
    if (j != NULL) {
        close(fd);
        LIST_INSERT_HEAD(&j->waiters, w, link);
        return;
    }
    err_t err = exe_hash_enqueue(h, fd, id, w, &why);
    if (err == ERR_OK)
        return;
    close(fd);
    w->done(w->arg, err, NULL, &why);
}

void exe_hash_cancel(struct exe_hash_waiter *w)
{
    LIST_LEAVE(w, link);
}

uint64_t exe_hash_files_read(const struct exe_hash *h)
{
    return h->files_read;
}

err_t exe_hash_open(uv_loop_t *loop, off_t file_max, struct exe_hash **ret)
{
    struct exe_hash *h = mem_alloc(sizeof *h);
    if (h == NULL)
        return ERR_NO_MEMORY;
    h->loop = loop;
    h->file_max = file_max;
    STAILQ_INIT(&h->jobs);
    atomic_init(&h->stop, false);
    *ret = h;
    return ERR_OK;
}

void exe_hash_close(struct exe_hash *h, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&h->closing, exe_hash_free, h, done, arg))
        return;
    atomic_store(&h->stop, true);
    if (h->is_running)
        uv_cancel((uv_req_t *)&STAILQ_FIRST(&h->jobs)->work);
    closing_drop(closing_hold(&h->closing)); /* the end, if nothing is under way */
}

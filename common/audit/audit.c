#include "common/audit/audit.h"

#include "common/audit/audit_file.h"
#include "common/base/mem.h"
#include "common/log/log_limit.h"
#include "common/log/log_line.h"
#include "common/metric/process_metrics.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define STORE_SIZE ((size_t)4 * 1024 * 1024) /* ten thousand connections cut at once */
#define LOST_LINE_MAX                                                                              \
    128 /* room behind the store for the line that tells what it could not take                    \
         */
#define CLOSE_NS UINT64_C(1000000000)
#define RETRY_NS UINT64_C(1000000000)
#define PIPE_LOOK_MS 50
#define GATHER_NS UINT64_C(2000000) /* after a write: a burst is not written line by line */

struct store {
    uint8_t *lines; /* owned: STORE_SIZE + LOST_LINE_MAX */
    size_t len;
};

struct audit {
    pthread_mutex_t lock; /* held for copies, never over a write */
    pthread_cond_t wake;  /* the writer */
    pthread_cond_t end;   /* who closes */
    struct store filling; /* under the lock, as all up to here */
    uint64_t missing;     /* events that did not fit behind `filling` */
    bool idle;            /* the writer waits for an event */
    bool reopen, closing, ended, abandoned;
    uint64_t give_up_ns;
    _Atomic uint64_t lost; /* in all */
    struct metrics *metrics;
    struct log_limits often;
    struct store writing; /* the writer's, with the file and what follows */
    size_t written;
    struct audit_file file;
    err_t failing, rotation_failing; /* as last logged */
    pthread_t thread;
    bool started;
};

/* --- the line --------------------------------------------------------------------------------- */

static void finish_line(struct log_line *l)
{
    l->text[l->len++] = '\n';
}

static void format(struct log_line *l, const char *event, const struct log_field *fields,
                   uint64_t suppressed)
{
    struct log_field known[AUDIT_FIELDS_MAX + 2];
    size_t n = 0;
    for (; fields->key != NULL; fields++) {
        assert(n < AUDIT_FIELDS_MAX);
        if (fields->kind != LOG_F_STR || fields->v.str != NULL)
            known[n++] = *fields;
    }
    known[n++] = log_suppressed(suppressed);
    known[n] = (struct log_field){.key = NULL};
    l->len = 0;
    log_line_json(l, NULL, event, known);
    finish_line(l);
}

static void count_lost(struct audit *a, uint64_t n)
{
    atomic_fetch_add(&a->lost, n);
    metric_add(a->metrics, M_AUDIT_LOST, 0, 0, 0, n);
}

static void keep(struct audit *a, const char *event, const struct log_field *fields,
                 uint64_t suppressed)
{
    struct log_line l;
    format(&l, event, fields, suppressed);
    pthread_mutex_lock(&a->lock);
    bool asleep = a->idle;
    a->idle = false;
    bool fits = a->missing == 0 && a->filling.len + l.len <= STORE_SIZE;
    if (fits) {
        memcpy(a->filling.lines + a->filling.len, l.text, l.len);
        a->filling.len += l.len;
    } else {
        a->missing++; /* from the first on, so that they are missing in one place */
    }
    pthread_mutex_unlock(&a->lock);
    if (asleep)
        pthread_cond_signal(&a->wake);
    if (!fits)
        count_lost(a, 1);
}

void audit_write(struct audit *a, const char *event, const struct log_field *fields)
{
    if (a != NULL)
        keep(a, event, fields, 0);
}

void audit_write_often(struct audit *a, uint64_t key, const char *event,
                       const struct log_field *fields)
{
    static const struct log_limit_rate rate = {AUDIT_OFTEN_BURST, AUDIT_OFTEN_PER_S};
    uint64_t suppressed = 0;
    if (a == NULL)
        return;
    if (log_limit_pass(&a->often.slots[key % LOG_LIMIT_SLOTS], &rate, clock_mono_ns(), &suppressed))
        keep(a, event, fields, suppressed);
    else
        metric_add(a->metrics, M_AUDIT_SUPPRESSED, 0, 0, 0, 1);
}

uint64_t audit_lost(const struct audit *a)
{
    return atomic_load(&a->lost);
}

static struct log_field known(bool is_known, struct log_field field)
{
    field.kind = is_known ? field.kind : LOG_F_NONE;
    return field;
}

struct log_field audit_text(const char *key, const char *text)
{
    return known(text != NULL && text[0] != '\0', log_str(key, text));
}

struct log_field audit_time(const char *key, int64_t at)
{
    return known(at != 0, log_time(key, at));
}

struct log_field audit_id(const char *key, pid_t who, int64_t id)
{
    return known(who != 0, log_int(key, id));
}

void audit_reopen(struct audit *a)
{
    if (a == NULL)
        return;
    pthread_mutex_lock(&a->lock);
    a->reopen = true;
    pthread_mutex_unlock(&a->lock);
    pthread_cond_signal(&a->wake);
}

/* --- the writer ------------------------------------------------------------------------------- */

/* Says it once for each kind of trouble, and once when it is over. */
static void report(struct audit *a, err_t *last, const char *what, err_t err, const struct why *why)
{
    if (err == *last)
        return;
    *last = err;
    if (err != ERR_OK)
        log_error(what, log_err("reason", err), log_str("cause", why_text(why)),
                  log_str("next", "events wait in memory; what does not fit is lost and counted"));
    else
        log_info("audit_recovered", log_str("file", a->file.path));
}

static void report_rotation(struct audit *a)
{
    if (a->file.rotation == a->rotation_failing)
        return;
    a->rotation_failing = a->file.rotation;
    if (a->file.rotation != ERR_OK)
        log_error("audit_rotation_failed", log_err("reason", a->file.rotation),
                  log_str("cause", why_text(&a->file.rotation_why)),
                  log_str("next", "the file grows past audit.max_size"));
}

static bool out_of_time(struct audit *a)
{
    pthread_mutex_lock(&a->lock);
    bool out = a->closing && clock_mono_ns() >= a->give_up_ns;
    pthread_mutex_unlock(&a->lock);
    return out;
}

/* Until `until_ns`, or until something is asked for. */
static void pause_writing(struct audit *a, uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000u),
                             .tv_nsec = (long)(until_ns % 1000000000u)};
    pthread_mutex_lock(&a->lock);
    bool was_closing = a->closing;
    while (a->closing == was_closing && !a->reopen && clock_mono_ns() < until_ns)
        pthread_cond_timedwait(&a->wake, &a->lock, &until);
    pthread_mutex_unlock(&a->lock);
}

static void reopen_if_asked(struct audit *a)
{
    struct why why = {.err = ERR_OK};
    pthread_mutex_lock(&a->lock);
    bool asked = a->reopen;
    a->reopen = false;
    pthread_mutex_unlock(&a->lock);
    if (asked && audit_file_reopen(&a->file, &why) != ERR_OK)
        log_error("audit_reopen_failed", log_err("reason", why.err),
                  log_str("cause", why_text(&why)), log_str("next", "the old file stays in use"));
}

/* Does what the disk said; false: it is time to give up. */
static bool wait_for_disk(struct audit *a, err_t err, const struct why *why)
{
    struct pollfd p = {.fd = a->file.fd, .events = POLLOUT};
    if (err == ERR_LIMIT) {
        poll(&p, 1, PIPE_LOOK_MS);
    } else {
        report(a, &a->failing, "audit_write_failed", err, why);
        pause_writing(a, clock_mono_ns() + RETRY_NS);
    }
    return !out_of_time(a);
}

static void deliver(struct audit *a)
{
    bool go_on = true;
    while (go_on && a->written < a->writing.len) {
        struct why why = {.err = ERR_OK};
        size_t taken = 0;
        reopen_if_asked(a);
        err_t err = audit_file_write(&a->file, a->writing.lines + a->written,
                                     a->writing.len - a->written, &taken, &why);
        report_rotation(a);
        if (err == ERR_OK) {
            report(a, &a->failing, "", ERR_OK, NULL);
            a->written += taken;
        } else {
            go_on = wait_for_disk(a, err, &why);
        }
    }
}

/* Swaps the stores, under the lock. The events that are missing, whose number it returns, were to
 * follow those taken. */
static uint64_t take(struct audit *a)
{
    uint64_t missing = a->missing;
    struct store full = a->filling;
    a->filling = a->writing;
    a->filling.len = 0;
    a->writing = full;
    a->written = 0;
    if (a->missing > 0) {
        struct log_line l = {.len = 0};
        log_line_json(&l, NULL, "lost",
                      (const struct log_field[]){log_int("count", a->missing), {.key = NULL}});
        finish_line(&l);
        assert(l.len <= LOST_LINE_MAX);
        memcpy(a->writing.lines + a->writing.len, l.text, l.len);
        a->writing.len += l.len;
    }
    a->missing = 0;
    return missing;
}

static uint64_t lines_in(const uint8_t *lines, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += lines[i] == '\n';
    return n;
}

static void free_audit(struct audit *a)
{
    audit_file_close(&a->file);
    pthread_cond_destroy(&a->wake);
    pthread_cond_destroy(&a->end);
    pthread_mutex_destroy(&a->lock);
    mem_free(a->filling.lines);
    mem_free(a->writing.lines);
    mem_free(a);
}

static void *run_writer(void *arg)
{
    struct audit *a = arg;
    pthread_mutex_lock(&a->lock);
    while (!a->closing || a->filling.len > 0) {
        while (!a->closing && !a->reopen && a->filling.len == 0) {
            a->idle = true;
            pthread_cond_wait(&a->wake, &a->lock);
        }
        a->idle = false;
        uint64_t missing = a->filling.len > 0 ? take(a) : 0;
        pthread_mutex_unlock(&a->lock);
        if (missing > 0)
            log_error("audit_lost", log_int("count", missing),
                      log_str("cause", "the file was not written as fast as events came"));
        reopen_if_asked(a);
        deliver(a);
        pause_writing(a, clock_mono_ns() + GATHER_NS);
        pthread_mutex_lock(&a->lock);
        if (a->written < a->writing.len)
            break;
    }
    a->ended = true;
    bool abandoned = a->abandoned;
    pthread_cond_signal(&a->end);
    pthread_mutex_unlock(&a->lock);
    if (abandoned)
        free_audit(a);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

static bool init_locks(struct audit *a)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0)
        return false;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    bool ok = pthread_mutex_init(&a->lock, NULL) == 0 && pthread_cond_init(&a->wake, &attr) == 0 &&
              pthread_cond_init(&a->end, &attr) == 0;
    pthread_condattr_destroy(&attr);
    return ok; /* glibc's cannot fail */
}

err_t audit_open(const struct audit_options *opt, struct audit **ret, struct why *why)
{
    struct audit *a = mem_alloc(sizeof *a);
    if (a == NULL || !init_locks(a)) {
        mem_free(a);
        return why_set(why, ERR_NO_MEMORY, "audit log");
    }
    a->metrics = opt->metrics;
    a->file.fd = -1;
    a->filling.lines = mem_alloc(STORE_SIZE + LOST_LINE_MAX);
    a->writing.lines = mem_alloc(STORE_SIZE + LOST_LINE_MAX);
    err_t err = a->filling.lines != NULL && a->writing.lines != NULL
                    ? audit_file_open(&a->file, opt->path, opt->max_size, opt->keep, why)
                    : why_set(why, ERR_NO_MEMORY, "audit log");
    if (err != ERR_OK) {
        free_audit(a);
        return err;
    }
    *ret = a;
    return ERR_OK;
}

/* Signals are the loop's; a pipe without a reader is an error here, not an end. */
err_t audit_start(struct audit *a, struct why *why)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int code = pthread_create(&a->thread, NULL, run_writer, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    a->started = code == 0;
    return code == 0 ? ERR_OK : why_set(why, ERR_NO_MEMORY, "no thread for the audit log");
}

/* True: the writer has ended. Else it owns `a` from here on. */
static bool wait_for_writer(struct audit *a)
{
    int code = 0;
    pthread_mutex_lock(&a->lock);
    a->closing = true;
    a->give_up_ns = clock_mono_ns() + CLOSE_NS;
    uint64_t until_ns = a->give_up_ns + CLOSE_NS / 2; /* it gives up first, when it can */
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000u),
                             .tv_nsec = (long)(until_ns % 1000000000u)};
    pthread_cond_signal(&a->wake);
    while (!a->ended && code == 0)
        code = pthread_cond_timedwait(&a->end, &a->lock, &until);
    bool ended = a->ended;
    a->abandoned = !ended;
    if (!ended)
        pthread_detach(a->thread);
    uint64_t left = lines_in(a->filling.lines, a->filling.len) + a->missing;
    if (ended)
        left += lines_in(a->writing.lines + a->written, a->writing.len - a->written);
    pthread_mutex_unlock(&a->lock);
    if (left > 0 || !ended)
        log_error("audit_lost", log_int("count", left),
                  log_str("cause", ended ? "the file could not be written before the end"
                                         : "the disk did not answer before the end"));
    return ended;
}

void audit_close(struct audit *a)
{
    if (a == NULL)
        return;
    if (a->started) {
        if (!wait_for_writer(a))
            return;
        pthread_join(a->thread, NULL);
    }
    free_audit(a);
}

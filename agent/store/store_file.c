#include "agent/store/store_file.h"

#include "agent/store/record_carry.h"
#include "agent/store/record_load.h"
#include "agent/store/record_search.h"
#include "agent/store/revocation_file.h"
#include "agent/telemetry/metrics.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/log/log.h"
#include "common/loop/closing.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

enum {
    SYNC_MS = 50, /* what is written waits for others this long */
    SYNC_AGAIN_MS = 1000,
    SYNC_FDS = 8,
    EXPIRE_MS = 60 * 1000,
    EXPIRE_SOON_MS = 1000,
};
#define FULL_PAUSE_NS UINT64_C(1000000000)

/* Who is to be answered, after what is done for it on the pool. */
struct asked {
    uv_work_t work;
    store_done *done; /* NULL: nobody */
    void *arg;
    err_t err;
    struct why why;
};

struct store_file {
    struct store store;
    uv_loop_t *loop;
    struct store_file_options opt;

    struct asked reader; /* of the entries */
    struct buf *report;  /* the reader's, as ret_entries is */
    struct entry_set **ret_entries;

    struct record_store *issued; /* NULL until it is loaded */
    uv_timer_t sync_timer, expire_timer;
    uv_work_t sync, carrying;
    int sync_fds[SYNC_FDS]; /* of the sync under way, and of which segments (0: the folder) */
    uint32_t sync_seqs[SYNC_FDS];
    size_t sync_count;
    int sync_errno;
    struct record_segment *removing; /* owned; by the sync under way */
    struct record_carry *carry;      /* under way, or NULL */
    uint64_t full_until_ns;          /* room is looked for again then */
    struct why full_why;             /* why there was none */
    bool is_syncing, has_synced_last;
    bool has_not_carried; /* the last time: nothing is recorded beyond the bound until it could */
    struct asked probe;   /* waits for what is carried */

    struct revocation_file *revoked; /* NULL until it is loaded */
    struct asked revoker;            /* has the file */
    struct slice row;
    err_t (*write)(void *arg, struct buf *out); /* NULL: the row */

    struct closing closing;
};

static struct store_file *file_of(struct store *s)
{
    return (struct store_file *)s; /* its first member */
}

static int64_t now_s(const struct store_file *f)
{
    return f->opt.wall_s();
}

static void store_file_show(struct store_file *f)
{
    f->store.records = f->issued->records;
    f->store.issued_total = f->issued->issued_total;
    metric_set(f->opt.metrics, M_RECORD_CERTIFICATES, 0, 0, 0, (double)f->store.records);
}

static void on_asked(uv_work_t *work, int status)
{
    struct store_file *f = work->data;
    struct asked *asked = (struct asked *)work, who = *asked; /* its first member */
    (void)status;                                             /* never canceled */
    if (asked == &f->revoker)
        f->store.revocations_len = revocation_file_len(f->revoked);
    asked->done = NULL;
    who.done(who.arg, who.err, &who.why);
}

static void store_file_ask(struct store_file *f, struct asked *asked, uv_work_cb work,
                           store_done *done, void *arg)
{
    assert(asked->done == NULL);
    *asked = (struct asked){.work.data = f, .done = done, .arg = arg};
    int rc = uv_queue_work(f->loop, &asked->work, work, on_asked);
    assert(rc == 0);
    (void)rc;
}

/* --- who gets what ---------------------------------------------------------------------------- */

static err_t on_load_entries(struct store *s, struct buf *report, struct entry_set **ret,
                             struct why *why)
{
    const struct store_file_options *opt = &file_of(s)->opt;
    return entries_load(opt->entries, opt->trust_domain, report, ret, why);
}

static void do_read(uv_work_t *work)
{
    struct store_file *f = work->data;
    f->reader.err = on_load_entries(&f->store, f->report, f->ret_entries, &f->reader.why);
}

static void on_entries(struct store *s, struct buf *report, struct entry_set **ret,
                       store_done *done, void *arg)
{
    struct store_file *f = file_of(s);
    f->report = report;
    f->ret_entries = ret;
    store_file_ask(f, &f->reader, do_read, done, arg);
}

/* --- syncing ---------------------------------------------------------------------------------- */

static void close_step(struct store_file *f);
static void on_sync_due(uv_timer_t *timer);

static bool is_dirty(const struct store_file *f)
{
    if (f->issued == NULL)
        return false;
    bool dirty = f->issued->is_dir_dirty || f->issued->gone != NULL;
    for (uint32_t i = 0; !dirty && i < f->issued->segment_count; i++)
        dirty = f->issued->segments[i] != NULL && f->issued->segments[i]->is_dirty;
    return dirty;
}

static void sync_soon(struct store_file *f, uint64_t ms)
{
    if (!f->closing.begun && !f->is_syncing && !uv_is_active((uv_handle_t *)&f->sync_timer))
        uv_timer_start(&f->sync_timer, on_sync_due, ms, 0);
}

/* A descriptor of its own: the segment may go meanwhile. */
static bool take_fd(struct store_file *f, int fd, uint32_t seq)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return false; /* of descriptors there will be more */
    f->sync_seqs[f->sync_count] = seq;
    f->sync_fds[f->sync_count++] = copy;
    return true;
}

static void do_sync(uv_work_t *work)
{
    struct store_file *f = work->data;
    record_segment_remove_all(f->removing, f->issued->dir_fd);
    for (size_t i = 0; i < f->sync_count; i++) {
        if (fdatasync(f->sync_fds[i]) != 0)
            f->sync_errno = errno;
        close(f->sync_fds[i]);
    }
}

static void sync_again(struct store_file *f)
{
    f->issued->is_dir_dirty = true;
    for (size_t i = 0; i < f->sync_count; i++) {
        struct record_segment *s = record_store_segment(f->issued, f->sync_seqs[i]);
        if (s != NULL)
            s->is_dirty = true;
    }
}

static void on_synced(uv_work_t *work, int status)
{
    struct store_file *f = work->data;
    (void)status; /* never canceled */
    f->is_syncing = false;
    if (f->sync_errno != 0) {
        struct why why = {0};
        errno = f->sync_errno;
        why_errno(&why, ERR_IO, "cannot sync the record");
        metric_add(f->opt.metrics, M_RECORD_SYNC_FAILURES, 0, 0, 0, 1);
        log_error("record_sync_failed", log_str("cause", why_text(&why)),
                  log_str("next",
                          "what was issued since is safe from kill -9, not from power loss; "
                          "trying again"));
        sync_again(f);
    }
    if (f->closing.begun)
        close_step(f);
    else if (is_dirty(f))
        sync_soon(f, f->sync_errno != 0 ? SYNC_AGAIN_MS : SYNC_MS);
}

static void begin_sync(struct store_file *f)
{
    struct record_store *st = f->issued;
    uv_timer_stop(&f->sync_timer); /* close does not wait for it */
    f->sync_count = 0;
    f->sync_errno = 0;
    f->removing = st->gone;
    st->gone = NULL;
    for (uint32_t i = 0; i < st->segment_count && f->sync_count + 1 < SYNC_FDS; i++) {
        struct record_segment *s = st->segments[i];
        if (s != NULL && s->is_dirty && take_fd(f, s->fd, s->seq))
            s->is_dirty = false;
    }
    if (st->is_dir_dirty && take_fd(f, st->dir_fd, 0))
        st->is_dir_dirty = false;
    f->is_syncing = true;
    int rc = uv_queue_work(f->loop, &f->sync, do_sync, on_synced);
    assert(rc == 0);
    (void)rc;
}

static void on_sync_due(uv_timer_t *timer)
{
    begin_sync(timer->data);
}

/* --- room ------------------------------------------------------------------------------------- */

static void on_carried(uv_work_t *work, int status);

static void do_carry(uv_work_t *work)
{
    struct store_file *f = work->data;
    record_carry_run(f->carry);
}

static err_t begin_carry(struct store_file *f, struct why *why)
{
    err_t err = f->full_why.err;
    if (clock_mono_ns() >= f->full_until_ns) {
        err = record_carry_begin(f->issued, now_s(f), &f->carry, &f->full_why);
        if (err != ERR_OK)
            f->full_until_ns = clock_mono_ns() + FULL_PAUSE_NS;
    }
    if (err != ERR_OK)
        return why_set(why, err, "%s", why_text(&f->full_why));
    int rc = uv_queue_work(f->loop, &f->carrying, do_carry, on_carried);
    assert(rc == 0);
    (void)rc;
    return ERR_OK;
}

/* While room is being made the record may grow beyond its bound. */
static err_t store_file_make_room(struct store_file *f, struct why *why)
{
    struct record_store *st = f->issued;
    while (st->records >= st->records_max && f->carry == NULL && record_store_expire(st, now_s(f)))
        ;
    if (st->records < st->records_max)
        return ERR_OK;
    err_t err = f->carry == NULL ? begin_carry(f, why) : ERR_OK;
    if (err == ERR_OK && f->has_not_carried)
        return why_set(why, f->full_why.err, "%s", why_text(&f->full_why));
    if (err == ERR_OK && st->records >= st->records_max + STORE_FILE_OVER_MAX)
        return why_set(why, ERR_RECORD,
                       "the record holds %" PRIu64 " certificates, and the disk is slow to make "
                       "room for more",
                       st->records);
    return err;
}

static void answer_probe(struct store_file *f)
{
    struct asked who = f->probe;
    struct why why = {0};
    err_t err = store_file_make_room(f, &why);
    if (f->carry != NULL)
        return; /* its end will tell */
    if (err == ERR_OK)
        err = record_store_make_ready(f->issued, &why);
    f->probe.done = NULL;
    who.done(who.arg, err, &why);
}

static void on_carried(uv_work_t *work, int status)
{
    struct store_file *f = work->data;
    uint32_t lost = 0;
    (void)status; /* never canceled */
    f->has_not_carried = record_carry_end(f->carry, &lost, &f->full_why) != ERR_OK;
    f->carry = NULL;
    if (lost > 0)
        log_error("record_damaged", log_int("rows", lost),
                  log_str("help", "they were damaged on disk while the agent ran: what they said "
                                  "of certificates that are valid is lost"));
    if (f->has_not_carried)
        f->full_until_ns = clock_mono_ns() + FULL_PAUSE_NS;
    else if (!f->closing.begun)
        (void)store_file_make_room(f, NULL); /* who issues next is told why there is none */
    store_file_show(f);
    if (f->closing.begun)
        close_step(f);
    else if (f->probe.done != NULL)
        answer_probe(f); /* may close */
    if (is_dirty(f))
        sync_soon(f, SYNC_MS);
}

static void on_expire(uv_timer_t *timer)
{
    struct store_file *f = timer->data;
    bool has_gone = f->carry == NULL && record_store_expire(f->issued, now_s(f) - f->opt.keep_s);
    if (is_dirty(f))
        sync_soon(f, SYNC_MS);
    store_file_show(f);
    uv_timer_start(&f->expire_timer, on_expire, has_gone ? EXPIRE_SOON_MS : EXPIRE_MS, 0);
}

/* --- what was issued -------------------------------------------------------------------------- */

static void on_damage(void *arg, const struct record_damage *d)
{
    (void)arg;
    if (d->bad > 0)
        log_warn("record_damaged", log_int("segment", d->seq), log_int("rows", d->bad),
                 log_str("next", "the other rows are used; what these said is lost"));
    if (d->cut > 0)
        log_warn(
            "record_cut", log_int("segment", d->seq), log_int("rows", d->cut),
            log_str("next", "a write that was cut short, of a certificate that did not leave"));
}

static err_t on_load_record(struct store *s, struct why *why)
{
    struct store_file *f = file_of(s);
    char dir[PATH_MAX];
    if (snprintf(dir, sizeof dir, "%s/record", f->opt.data_dir) >= (int)sizeof dir)
        return why_set(why, ERR_CONFIG, "data_dir is longer than a path may be");
    err_t err =
        record_load(dir, f->opt.max_records, f->opt.segment_rows, on_damage, NULL, &f->issued, why);
    if (err != ERR_OK)
        return why_add(why, err, "the record of issuance in %s", dir);
    uv_timer_start(&f->expire_timer, on_expire, EXPIRE_SOON_MS, 0);
    store_file_show(f);
    return ERR_OK;
}

static err_t store_file_append(struct store_file *f, const struct record_item *item,
                               struct why *why)
{
    uint32_t name = 0;
    struct record_names *names = &f->issued->names;
    err_t err =
        record_names_take(names, slice_str(item->spiffe_id), slice_str(item->entry_id), &name);
    if (err != ERR_OK)
        return why_set(why, err, "cannot note the identity: %s", err_text(err));
    err = store_file_make_room(f, why);
    if (err == ERR_OK)
        err = record_store_append(f->issued, item, name, why);
    record_names_release(names, name, 1);
    if (err == ERR_OK)
        sync_soon(f, SYNC_MS);
    store_file_show(f);
    return err;
}

static void on_record(struct store *s, const struct record_item *item, store_done *done, void *arg)
{
    struct why why = {0};
    err_t err = store_file_append(file_of(s), item, &why);
    done(arg, err, &why);
}

static void on_probe(struct store *s, store_done *done, void *arg)
{
    struct store_file *f = file_of(s);
    assert(f->probe.done == NULL);
    f->probe = (struct asked){.done = done, .arg = arg};
    if (f->carry == NULL)
        answer_probe(f);
}

static void on_keep(struct store *s, int64_t keep_s)
{
    file_of(s)->opt.keep_s = keep_s;
}

static err_t on_find(struct store *s, const uint8_t serial[static RECORD_SERIAL_LEN],
                     struct record_item *ret, struct why *why)
{
    return record_search_serial(file_of(s)->issued, serial, ret, why);
}

static err_t on_each_unexpired(struct store *s, const struct record_query *query, record_fn *fn,
                               void *arg, struct why *why)
{
    return record_search_unexpired(file_of(s)->issued, query, fn, arg, why);
}

static void on_each_issuer(struct store *s,
                           void (*fn)(void *arg, const uint8_t issuer[RECORD_ISSUER_LEN]),
                           void *arg)
{
    const struct record_store *st = file_of(s)->issued;
    for (uint32_t i = 0; i < st->segment_count; i++)
        for (uint32_t j = 0; st->segments[i] != NULL && j < st->segments[i]->issuer_count; j++)
            fn(arg, st->segments[i]->issuers[j]);
}

static err_t on_search(struct store *s, const struct record_search *search, record_fn *fn,
                       void *arg, uint64_t *ret_next, struct why *why)
{
    return record_search_page(file_of(s)->issued, search, fn, arg, ret_next, why);
}

/* --- what is revoked -------------------------------------------------------------------------- */

/* A new file, or one whose maker died before its header was whole. */
static err_t write_header(struct store_file *f, struct why *why)
{
    struct buf header;
    buf_init(&header, 64);
    err_t err = revocation_journal_header(&header);
    if (err != ERR_OK)
        why_set(why, err, "no memory for the journal of revocations");
    else
        err = revocation_file_append(f->revoked, buf_slice(&header), why);
    buf_done(&header);
    return err;
}

static err_t revocations_replay(struct store_file *f, revocation_fn *fn, void *arg, struct why *why)
{
    struct slice file;
    size_t good = 0;
    const char *path = revocation_file_path(f->revoked);
    err_t err = revocation_file_map(f->revoked, &file, why);
    if (err != ERR_OK)
        return err;
    err = revocation_journal_read(file, fn, arg, &good, why);
    revocation_file_unmap(file);
    if (err == ERR_PARSE || err == ERR_UNSUPPORTED)
        return why_add(why, err,
                       "%s cannot be trusted to hold every revocation (restore it from a copy; or "
                       "move it away and revoke anew)",
                       path);
    if (err != ERR_OK)
        return why_add(why, err, "%s", path);
    if (good < file.len) {
        log_warn("revocation_journal_cut", log_str("path", path), log_int("from_bytes", file.len),
                 log_int("to_bytes", good),
                 log_str("cause", "its last row was never finished, nor told to anybody as done"));
        err = revocation_file_cut(f->revoked, good, why);
    }
    return err == ERR_OK && good == 0 ? write_header(f, why) : err;
}

static err_t on_load_revocations(struct store *s, revocation_fn *fn, void *arg, struct why *why)
{
    struct store_file *f = file_of(s);
    revocation_file_close(f->revoked);
    f->revoked = NULL;
    err_t err = revocation_file_open(f->opt.data_dir, &f->revoked, why);
    if (err == ERR_OK)
        err = revocations_replay(f, fn, arg, why);
    if (err == ERR_OK)
        s->revocations_len = revocation_file_len(f->revoked);
    return err;
}

static void do_revoke(uv_work_t *work)
{
    struct store_file *f = work->data;
    struct buf all;
    if (f->write == NULL) {
        f->revoker.err = revocation_file_append(f->revoked, f->row, &f->revoker.why);
        return;
    }
    buf_init(&all, REVOCATION_JOURNAL_MAX);
    f->revoker.err = f->write(f->revoker.arg, &all);
    if (f->revoker.err == ERR_OK)
        f->revoker.err = revocation_file_replace(f->revoked, buf_slice(&all), &f->revoker.why);
    else
        why_set(&f->revoker.why, f->revoker.err, "%s", err_text(f->revoker.err));
    buf_done(&all);
}

static void on_revoke(struct store *s, struct slice row, store_done *done, void *arg)
{
    struct store_file *f = file_of(s);
    f->row = row;
    f->write = NULL;
    store_file_ask(f, &f->revoker, do_revoke, done, arg);
}

static void on_rewrite(struct store *s, err_t (*write)(void *arg, struct buf *out),
                       store_done *done, void *arg)
{
    struct store_file *f = file_of(s);
    f->write = write;
    store_file_ask(f, &f->revoker, do_revoke, done, arg);
}

/* --- opening and closing ---------------------------------------------------------------------- */

static void store_file_free(void *arg)
{
    struct store_file *f = arg;
    record_store_close(f->issued);
    revocation_file_close(f->revoked);
    mem_free(f);
}

/* Waits for the work under way, makes a last sync, closes. */
static void close_step(struct store_file *f)
{
    if (f->is_syncing || f->carry != NULL)
        return;
    if (!f->has_synced_last && is_dirty(f)) {
        f->has_synced_last = true;
        begin_sync(f);
        return;
    }
    closing_handle(&f->closing, &f->sync_timer);
    closing_handle(&f->closing, &f->expire_timer);
}

static void on_close(struct store *s, void (*done)(void *arg), void *arg)
{
    struct store_file *f = file_of(s);
    assert(f->probe.done == NULL && f->revoker.done == NULL && f->reader.done == NULL);
    if (closing_begin(&f->closing, store_file_free, f, done, arg))
        close_step(f);
}

static const struct store_kind kind = {
    .load_entries = on_load_entries,
    .entries = on_entries,
    .load_record = on_load_record,
    .record = on_record,
    .probe = on_probe,
    .keep = on_keep,
    .find = on_find,
    .each_unexpired = on_each_unexpired,
    .each_issuer = on_each_issuer,
    .search = on_search,
    .load_revocations = on_load_revocations,
    .revoke = on_revoke,
    .rewrite = on_rewrite,
    .close = on_close,
};

err_t store_file_open(uv_loop_t *loop, const struct store_file_options *opt, struct store **ret,
                      struct why *why)
{
    struct store_file *f = mem_alloc(sizeof *f);
    if (f == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for the record");
    f->store.kind = &kind;
    f->store.entries_path = opt->entries;
    f->loop = loop;
    f->opt = *opt;
    if (f->opt.wall_s == NULL)
        f->opt.wall_s = clock_wall_s;
    if (f->opt.segment_rows == 0)
        f->opt.segment_rows = RECORD_SEGMENT_ROWS;
    uv_timer_init(loop, &f->sync_timer);
    uv_timer_init(loop, &f->expire_timer);
    f->sync_timer.data = f->expire_timer.data = f;
    f->sync.data = f->carrying.data = f;
    *ret = &f->store;
    return ERR_OK;
}

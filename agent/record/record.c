#include "agent/record/record.h"

#include "agent/record/record_carry.h"
#include "agent/record/record_load.h"
#include "agent/record/record_search.h"
#include "agent/telemetry/metrics.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/log/log.h"
#include "common/loop/closing.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum {
    SYNC_MS = 50, /* what is written waits for others this long */
    SYNC_AGAIN_MS = 1000,
    SYNC_FDS = 8,
    TICK_MS = 60 * 1000,
    TICK_SOON_MS = 1000,
    FULL_PAUSE_S = 1,
    WAITING_FIRST = 64,
};
#define FROM_WAITING (UINT64_C(1) << 62) /* of a page's place: it begins among what waits */

/* Issued, not written yet. */
struct waiting {
    struct record_item item; /* its texts are the name's */
    uint32_t name;           /* with a use of ours */
};

struct record {
    uv_timer_t sync_timer, tick_timer;
    uv_work_t sync, carrying;
    struct record_options opt;
    struct record_store *store;
    struct waiting *waiting; /* owned, oldest first */
    size_t waiting_count, waiting_cap;
    int sync_fds[SYNC_FDS]; /* of the sync under way, and of which segments (0: the folder) */
    uint32_t sync_seqs[SYNC_FDS];
    size_t sync_count;
    int sync_errno;
    struct record_segment *removing; /* owned; by the sync under way */
    struct record_carry *carry;      /* under way, or NULL */
    int64_t full_until;              /* room is looked for again then */
    struct why full_why;             /* why there was none */
    bool is_syncing, has_synced_last, is_failing;
    char problem[256];
    struct closing closing;
};

static int64_t now_s(const struct record *r)
{
    return r->opt.wall_s();
}

static void show(struct record *r)
{
    metric_set(r->opt.metrics, M_RECORD_CERTIFICATES, 0, 0, 0, (double)r->store->records);
    metric_set(r->opt.metrics, M_RECORD_WAITING, 0, 0, 0, (double)r->waiting_count);
    metric_set(r->opt.metrics, M_RECORD_FAILING, 0, 0, 0, r->is_failing);
    metric_mirror(r->opt.metrics, M_CERTIFICATES, 0, 0, 0, record_issued_total(r));
}

/* --- syncing ---------------------------------------------------------------------------------- */

static void close_step(struct record *r);
static void on_sync_due(uv_timer_t *timer);

static bool is_dirty(const struct record *r)
{
    bool dirty = r->store->is_dir_dirty || r->store->gone != NULL;
    for (uint32_t i = 0; !dirty && i < r->store->segment_count; i++)
        dirty = r->store->segments[i] != NULL && r->store->segments[i]->is_dirty;
    return dirty;
}

static void sync_soon(struct record *r, uint64_t ms)
{
    if (!r->closing.begun && !r->is_syncing && !uv_is_active((uv_handle_t *)&r->sync_timer))
        uv_timer_start(&r->sync_timer, on_sync_due, ms, 0);
}

/* A descriptor of its own: the segment may go meanwhile. */
static bool take_fd(struct record *r, int fd, uint32_t seq)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return false; /* of descriptors there will be more */
    r->sync_seqs[r->sync_count] = seq;
    r->sync_fds[r->sync_count++] = copy;
    return true;
}

static void do_sync(uv_work_t *work)
{
    struct record *r = work->data;
    record_segment_remove_all(r->removing, r->store->dir_fd);
    for (size_t i = 0; i < r->sync_count; i++) {
        if (fdatasync(r->sync_fds[i]) != 0)
            r->sync_errno = errno;
        close(r->sync_fds[i]);
    }
}

static void sync_again(struct record *r)
{
    r->store->is_dir_dirty = true;
    for (size_t i = 0; i < r->sync_count; i++) {
        struct record_segment *s = record_store_segment(r->store, r->sync_seqs[i]);
        if (s != NULL)
            s->is_dirty = true;
    }
}

static void on_synced(uv_work_t *work, int status)
{
    struct record *r = work->data;
    (void)status; /* never canceled */
    r->is_syncing = false;
    if (r->sync_errno != 0) {
        struct why why = {0};
        errno = r->sync_errno;
        why_errno(&why, ERR_IO, "cannot sync the record");
        metric_add(r->opt.metrics, M_RECORD_SYNC_FAILURES, 0, 0, 0, 1);
        log_error("record_sync_failed", log_str("cause", why_text(&why)),
                  log_str("next",
                          "what was issued since is safe from kill -9, not from power loss; "
                          "trying again"));
        sync_again(r);
    }
    if (r->closing.begun)
        close_step(r);
    else if (is_dirty(r))
        sync_soon(r, r->sync_errno != 0 ? SYNC_AGAIN_MS : SYNC_MS);
}

static void begin_sync(struct record *r)
{
    struct record_store *st = r->store;
    uv_timer_stop(&r->sync_timer); /* record_close does not wait for it */
    r->sync_count = 0;
    r->sync_errno = 0;
    r->removing = st->gone;
    st->gone = NULL;
    for (uint32_t i = 0; i < st->segment_count && r->sync_count + 1 < SYNC_FDS; i++) {
        struct record_segment *s = st->segments[i];
        if (s != NULL && s->is_dirty && take_fd(r, s->fd, s->seq))
            s->is_dirty = false;
    }
    if (st->is_dir_dirty && take_fd(r, st->dir_fd, 0))
        st->is_dir_dirty = false;
    r->is_syncing = true;
    int rc = uv_queue_work(r->sync_timer.loop, &r->sync, do_sync, on_synced);
    assert(rc == 0);
    (void)rc;
}

static void on_sync_due(uv_timer_t *timer)
{
    begin_sync(timer->data);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void on_tick(uv_timer_t *timer);

static void tick_in(struct record *r, uint64_t ms)
{
    if (!r->closing.begun)
        uv_timer_start(&r->tick_timer, on_tick, ms, 0);
}

static void failed(struct record *r, const struct why *why)
{
    metric_add(r->opt.metrics, M_RECORD_FAILURES, 0, 0, 0, 1);
    snprintf(r->problem, sizeof r->problem, "the record of issuance: %.200s", why_text(why));
    if (r->is_failing)
        return;
    r->is_failing = true;
    log_error("record_failed", log_str("cause", why_text(why)),
              log_str("next", r->opt.on_failure == RECORD_STOP
                                  ? "nothing is issued until it can be recorded"
                                  : "going on, unrecorded until there is room: record.on_failure"));
    tick_in(r, TICK_SOON_MS);
}

static void succeeded(struct record *r)
{
    if (!r->is_failing || r->carry != NULL) /* that will show */
        return;
    r->is_failing = false;
    r->problem[0] = '\0';
    log_info("record_recovered", log_int("records", r->store->records));
}

static void on_carried(uv_work_t *work, int status);

static void do_carry(uv_work_t *work)
{
    struct record *r = work->data;
    record_carry_run(r->carry);
}

static err_t begin_carry(struct record *r, struct why *why)
{
    int64_t now = now_s(r);
    err_t err = r->full_why.err;
    if (now >= r->full_until)
        err = record_carry_begin(r->store, now, &r->carry, &r->full_why);
    if (err != ERR_OK) {
        r->full_until = now >= r->full_until ? now + FULL_PAUSE_S : r->full_until;
        return why_set(why, err, "%s", why_text(&r->full_why));
    }
    int rc = uv_queue_work(r->sync_timer.loop, &r->carrying, do_carry, on_carried);
    assert(rc == 0);
    (void)rc;
    return ERR_OK;
}

/* While room is being made the record may grow beyond its bound. */
static err_t make_room(struct record *r, struct why *why)
{
    struct record_store *st = r->store;
    while (st->records >= st->records_max && r->carry == NULL && record_store_expire(st, now_s(r)))
        ;
    if (st->records < st->records_max)
        return ERR_OK;
    err_t err = r->carry == NULL ? begin_carry(r, why) : ERR_OK;
    if (err == ERR_OK && st->records >= st->records_max + RECORD_OVER_MAX)
        return why_set(why, ERR_RECORD,
                       "the record holds %" PRIu64 " certificates, and the disk is slow to make "
                       "room for more",
                       st->records);
    return err;
}

static err_t append(struct record *r, const struct record_item *item, uint32_t name,
                    struct why *why)
{
    err_t err = make_room(r, why);
    if (err == ERR_OK)
        err = record_store_append(r->store, item, name, why);
    if (err == ERR_OK)
        sync_soon(r, SYNC_MS);
    return err;
}

/* What waits, in the order of issue. */
static err_t write_waiting(struct record *r, struct why *why)
{
    size_t done = 0;
    err_t err = ERR_OK;
    for (; done < r->waiting_count; done++) {
        const struct waiting *w = &r->waiting[done];
        err = append(r, &w->item, w->name, why);
        if (err != ERR_OK)
            break;
        record_names_release(&r->store->names, w->name, 1);
    }
    r->waiting_count -= done;
    if (done > 0)
        memmove(r->waiting, r->waiting + done, r->waiting_count * sizeof *r->waiting);
    return err;
}

/* Takes the name's use over. */
static err_t keep_waiting(struct record *r, const struct record_item *item, uint32_t name)
{
    if (r->waiting_count == r->waiting_cap) {
        size_t cap = r->waiting_cap > 0 ? 2 * r->waiting_cap : WAITING_FIRST;
        struct waiting *waiting = NULL;
        if (r->waiting_cap < RECORD_WAITING_MAX)
            waiting = mem_resize(r->waiting, cap * sizeof *waiting);
        if (waiting == NULL)
            return ERR_LIMIT;
        r->waiting = waiting;
        r->waiting_cap = cap;
    }
    const struct record_name *n = record_names_at(&r->store->names, name);
    struct waiting *w = &r->waiting[r->waiting_count++];
    *w = (struct waiting){.item = *item, .name = name};
    w->item.spiffe_id = n->spiffe_id;
    w->item.entry_id = n->entry_id;
    return ERR_OK;
}

/* It leaves all the same; takes the name's use over. */
static void go_on(struct record *r, const struct record_item *item, uint32_t name)
{
    metric_add(r->opt.metrics, M_RECORD_UNRECORDED, 0, 0, 0, 1);
    if (name != 0 && keep_waiting(r, item, name) == ERR_OK)
        return;
    metric_add(r->opt.metrics, M_RECORD_LOST, 0, 0, 0, 1);
    log_error(
        "certificate_unrecorded", log_str("spiffe_id", item->spiffe_id),
        log_str("entry", item->entry_id), log_time("not_after", item->not_after),
        log_str("help", "no memory holds it either: it cannot be found or revoked by serial"));
    if (name != 0)
        record_names_release(&r->store->names, name, 1);
}

err_t record_issued(struct record *r, const struct record_item *item, struct why *why)
{
    uint32_t name = 0;
    struct why cause = {0};
    err_t err = record_names_take(&r->store->names, slice_str(item->spiffe_id),
                                  slice_str(item->entry_id), &name);
    if (err != ERR_OK)
        why_set(&cause, err, "cannot note the identity: %s", err_text(err));
    if (err == ERR_OK)
        err = write_waiting(r, &cause);
    if (err == ERR_OK)
        err = append(r, item, name, &cause);
    if (err == ERR_OK) {
        record_names_release(&r->store->names, name, 1);
        succeeded(r);
        show(r);
        return ERR_OK;
    }
    failed(r, &cause);
    if (r->opt.on_failure == RECORD_CONTINUE) {
        go_on(r, item, name);
        show(r);
        return ERR_OK;
    }
    if (name != 0)
        record_names_release(&r->store->names, name, 1);
    show(r);
    return why_set(why, ERR_RECORD, "not issued, because it cannot be recorded: %.300s",
                   why_text(&cause));
}

/* Nobody may ask for a certificate for long: looks itself whether one could be recorded. */
static void look_again(struct record *r)
{
    struct why why = {0};
    err_t err = r->waiting_count > 0 ? write_waiting(r, &why) : make_room(r, &why);
    if (err == ERR_OK && r->waiting_count == 0)
        err = record_store_make_ready(r->store, &why);
    if (err == ERR_OK)
        succeeded(r);
    else
        failed(r, &why);
}

static void on_carried(uv_work_t *work, int status)
{
    struct record *r = work->data;
    uint32_t lost = 0;
    (void)status; /* never canceled */
    err_t err = record_carry_end(r->carry, &lost, &r->full_why);
    r->carry = NULL;
    if (lost > 0)
        log_error("record_damaged", log_int("rows", lost),
                  log_str("help", "they were damaged on disk while the agent ran: what they said "
                                  "of certificates that are valid is lost"));
    if (err != ERR_OK) {
        r->full_until = now_s(r) + FULL_PAUSE_S;
        failed(r, &r->full_why);
    } else if (!r->closing.begun && (r->is_failing || r->waiting_count > 0)) {
        look_again(r);
    } else if (!r->closing.begun) {
        (void)make_room(r, NULL); /* who issues next is told why there is none */
    }
    show(r);
    if (r->closing.begun)
        close_step(r);
    else if (is_dirty(r))
        sync_soon(r, SYNC_MS);
}

static void on_tick(uv_timer_t *timer)
{
    struct record *r = timer->data;
    bool has_gone = r->carry == NULL && record_store_expire(r->store, now_s(r) - r->opt.keep_s);
    if (r->is_failing || r->waiting_count > 0)
        look_again(r);
    if (is_dirty(r))
        sync_soon(r, SYNC_MS);
    show(r);
    tick_in(r, r->is_failing || has_gone ? TICK_SOON_MS : TICK_MS);
}

/* --- asking ----------------------------------------------------------------------------------- */

err_t record_find_serial(struct record *r, const uint8_t serial[static RECORD_SERIAL_LEN],
                         struct record_item *ret, struct why *why)
{
    for (size_t i = 0; i < r->waiting_count; i++) {
        if (memcmp(r->waiting[i].item.serial, serial, RECORD_SERIAL_LEN) != 0)
            continue;
        *ret = r->waiting[i].item;
        return ERR_OK;
    }
    return record_search_serial(r->store, serial, ret, why);
}

static bool is_asked(const struct record_query *q, const struct record_item *item)
{
    return item->not_after >= q->now &&
           (q->expires_before == 0 || item->not_after < q->expires_before) &&
           (q->spiffe_id == NULL || strcmp(q->spiffe_id, item->spiffe_id) == 0) &&
           (q->entry_id == NULL || strcmp(q->entry_id, item->entry_id) == 0);
}

err_t record_each_unexpired(struct record *r, const struct record_query *query, record_fn *fn,
                            void *arg, struct why *why)
{
    assert(query->spiffe_id != NULL || query->entry_id != NULL);
    for (size_t i = r->waiting_count; i-- > 0;)
        if (is_asked(query, &r->waiting[i].item) && !fn(arg, &r->waiting[i].item))
            return ERR_OK;
    return record_search_unexpired(r->store, query, fn, arg, why);
}

void record_each_issuer(struct record *r,
                        void (*fn)(void *arg, const uint8_t issuer[RECORD_ISSUER_LEN]), void *arg)
{
    for (uint32_t i = 0; i < r->store->segment_count; i++) {
        const struct record_segment *s = r->store->segments[i];
        for (uint32_t j = 0; s != NULL && j < s->issuer_count; j++)
            fn(arg, s->issuers[j]);
    }
    for (size_t i = 0; i < r->waiting_count; i++)
        fn(arg, r->waiting[i].item.issuer);
}

err_t record_search(struct record *r, const struct record_search *search, record_fn *fn, void *arg,
                    uint64_t *ret_next, struct why *why)
{
    struct record_search rest = *search;
    size_t found = 0, left = r->waiting_count;
    if ((search->from & FROM_WAITING) != 0) {
        left = (size_t)(search->from & ~FROM_WAITING);
        left = left < r->waiting_count ? left : r->waiting_count;
    } else if (search->from != 0) {
        left = 0;
    }
    for (; left > 0 && found < search->limit; left--) {
        const struct record_item *item = &r->waiting[left - 1].item;
        if (record_search_wants(search, item) && fn(arg, item))
            found++;
    }
    if (left > 0) {
        *ret_next = FROM_WAITING | left;
        return ERR_OK;
    }
    rest.limit -= found;
    if ((search->from & FROM_WAITING) != 0)
        rest.from = 0;
    return record_search_page(r->store, &rest, fn, arg, ret_next, why);
}

uint64_t record_issued_total(const struct record *r)
{
    return r->store->issued_total + r->waiting_count;
}

size_t record_waiting(const struct record *r)
{
    return r->waiting_count;
}

const char *record_problem(const struct record *r)
{
    return r->is_failing ? r->problem : NULL;
}

void record_set_policy(struct record *r, int64_t keep_s, enum record_on_failure on_failure)
{
    r->opt.keep_s = keep_s;
    r->opt.on_failure = on_failure;
}

/* --- opening and closing ---------------------------------------------------------------------- */

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

err_t record_open(uv_loop_t *loop, const struct record_options *opt, struct record **ret,
                  struct why *why)
{
    struct record *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for the record");
    r->opt = *opt;
    if (r->opt.wall_s == NULL)
        r->opt.wall_s = clock_wall_s;
    if (r->opt.segment_rows == 0)
        r->opt.segment_rows = RECORD_SEGMENT_ROWS;
    err_t err = record_load(opt->dir, opt->max_records, r->opt.segment_rows, on_damage, NULL,
                            &r->store, why);
    if (err != ERR_OK) {
        mem_free(r);
        return why_add(why, err, "the record of issuance in %s", opt->dir);
    }
    r->opt.dir = NULL; /* not ours to keep */
    uv_timer_init(loop, &r->sync_timer);
    uv_timer_init(loop, &r->tick_timer);
    r->sync_timer.data = r->tick_timer.data = r->sync.data = r->carrying.data = r;
    tick_in(r, TICK_SOON_MS);
    show(r);
    *ret = r;
    return ERR_OK;
}

static void record_free(void *arg)
{
    struct record *r = arg;
    if (r->waiting_count > 0)
        log_error("record_lost", log_int("certificates", r->waiting_count),
                  log_str("help", "they were issued, and there was no room to record them"));
    record_store_close(r->store);
    mem_free(r->waiting);
    mem_free(r);
}

/* Waits for the work under way, makes a last sync, closes. */
static void close_step(struct record *r)
{
    if (r->is_syncing || r->carry != NULL)
        return;
    if (!r->has_synced_last && is_dirty(r)) {
        r->has_synced_last = true;
        begin_sync(r);
        return;
    }
    closing_handle(&r->closing, &r->sync_timer);
    closing_handle(&r->closing, &r->tick_timer);
}

void record_close(struct record *r, void (*done)(void *arg), void *arg)
{
    struct why why = {0};
    if (!closing_begin(&r->closing, record_free, r, done, arg))
        return;
    if (r->waiting_count > 0 && write_waiting(r, &why) != ERR_OK)
        metric_add(r->opt.metrics, M_RECORD_FAILURES, 0, 0, 0, 1);
    close_step(r);
}

#include "agent/record/record.h"

#include "agent/store/record_names.h"
#include "agent/telemetry/metrics.h"
#include "common/base/mem.h"
#include "common/log/log.h"
#include "common/loop/closing.h"

#include <assert.h>
#include <stdio.h>

enum { TICK_MS = 1000 };
#define FROM_WAITING (UINT64_C(1) << 62) /* of a page's place: it begins among what waits */

/* Issued, not recorded yet. */
struct waiting {
    struct record_item item; /* its texts are the name's */
    uint32_t name;           /* with a use of ours */
};

struct record {
    uv_timer_t tick_timer; /* while it fails */
    struct record_options opt;
    struct record_names names; /* of what waits */
    struct waiting *waiting;   /* owned, oldest first */
    size_t waiting_count;
    bool is_failing, is_probing;
    char problem[256];
    struct closing closing; /* held by a question to the store */
};

static void record_show(struct record *r)
{
    metric_set(r->opt.metrics, M_RECORD_WAITING, 0, 0, 0, (double)r->waiting_count);
    metric_set(r->opt.metrics, M_RECORD_FAILING, 0, 0, 0, r->is_failing);
    metric_mirror(r->opt.metrics, M_CERTIFICATES, 0, 0, 0, record_issued_total(r));
}

/* --- recording -------------------------------------------------------------------------------- */

static void on_tick(uv_timer_t *timer);

static void record_failed(struct record *r, const struct why *why)
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
    uv_timer_start(&r->tick_timer, on_tick, TICK_MS, TICK_MS);
}

static void record_succeeded(struct record *r)
{
    if (!r->is_failing)
        return;
    r->is_failing = false;
    r->problem[0] = '\0';
    log_info("record_recovered", log_int("records", r->opt.store->records));
}

struct answer {
    bool has_come;
    err_t err;
    struct why why;
};

static void on_answer(void *arg, err_t err, const struct why *why)
{
    *(struct answer *)arg = (struct answer){.has_come = true, .err = err, .why = *why};
}

static err_t record_put(struct record *r, const struct record_item *item, struct why *why)
{
    struct answer answer = {.has_come = false};
    r->opt.store->kind->record(r->opt.store, item, on_answer, &answer);
    assert(answer.has_come); /* an SVID does not wait for a store yet */
    return answer.err == ERR_OK ? ERR_OK : why_set(why, answer.err, "%s", why_text(&answer.why));
}

/* What waits, in the order of issue. */
static err_t write_waiting(struct record *r, struct why *why)
{
    size_t done = 0;
    err_t err = ERR_OK;
    for (; done < r->waiting_count; done++) {
        const struct waiting *w = &r->waiting[done];
        err = record_put(r, &w->item, why);
        if (err != ERR_OK)
            break;
        record_names_release(&r->names, w->name, 1);
    }
    r->waiting_count -= done;
    if (done > 0)
        memmove(r->waiting, r->waiting + done, r->waiting_count * sizeof *r->waiting);
    return err;
}

static err_t keep_waiting(struct record *r, const struct record_item *item)
{
    uint32_t name = 0;
    if (r->waiting_count == RECORD_WAITING_MAX ||
        !mem_grow(&r->waiting, r->waiting_count, sizeof *r->waiting))
        return ERR_LIMIT;
    err_t err =
        record_names_take(&r->names, slice_str(item->spiffe_id), slice_str(item->entry_id), &name);
    if (err != ERR_OK)
        return err;
    const struct record_name *n = record_names_at(&r->names, name);
    struct waiting *w = &r->waiting[r->waiting_count++];
    *w = (struct waiting){.item = *item, .name = name};
    w->item.spiffe_id = n->spiffe_id;
    w->item.entry_id = n->entry_id;
    return ERR_OK;
}

/* It leaves all the same. */
static void record_go_on(struct record *r, const struct record_item *item)
{
    metric_add(r->opt.metrics, M_RECORD_UNRECORDED, 0, 0, 0, 1);
    if (keep_waiting(r, item) == ERR_OK)
        return;
    metric_add(r->opt.metrics, M_RECORD_LOST, 0, 0, 0, 1);
    log_error(
        "certificate_unrecorded", log_str("spiffe_id", item->spiffe_id),
        log_str("entry", item->entry_id), log_time("not_after", item->not_after),
        log_str("help", "no memory holds it either: it cannot be found or revoked by serial"));
}

err_t record_issued(struct record *r, const struct record_item *item, struct why *why)
{
    struct why cause = {0};
    err_t err = write_waiting(r, &cause);
    if (err == ERR_OK)
        err = record_put(r, item, &cause);
    if (err == ERR_OK)
        record_succeeded(r);
    else
        record_failed(r, &cause);
    if (err != ERR_OK && r->opt.on_failure == RECORD_CONTINUE) {
        record_go_on(r, item);
        err = ERR_OK;
    }
    record_show(r);
    return err == ERR_OK
               ? err
               : why_set(why, ERR_RECORD, "not issued, because it cannot be recorded: %.300s",
                         why_text(&cause));
}

static void on_probed(void *arg, err_t err, const struct why *why)
{
    struct record *r = arg;
    struct why cause = *why;
    r->is_probing = false;
    if (err == ERR_OK)
        err = write_waiting(r, &cause);
    if (err == ERR_OK)
        record_succeeded(r);
    else
        record_failed(r, &cause);
    record_show(r);
    closing_drop(&r->closing);
}

/* Nobody may ask for a certificate for long: looks itself whether one could be recorded. */
static void on_tick(uv_timer_t *timer)
{
    struct record *r = timer->data;
    if (!r->is_failing && r->waiting_count == 0)
        uv_timer_stop(timer);
    else if (!r->is_probing) {
        r->is_probing = true;
        closing_hold(&r->closing);
        r->opt.store->kind->probe(r->opt.store, on_probed, r);
    }
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
    return r->opt.store->kind->find(r->opt.store, serial, ret, why);
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
    return r->opt.store->kind->each_unexpired(r->opt.store, query, fn, arg, why);
}

void record_each_issuer(struct record *r,
                        void (*fn)(void *arg, const uint8_t issuer[RECORD_ISSUER_LEN]), void *arg)
{
    r->opt.store->kind->each_issuer(r->opt.store, fn, arg);
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
    return r->opt.store->kind->search(r->opt.store, &rest, fn, arg, ret_next, why);
}

uint64_t record_issued_total(const struct record *r)
{
    return r->opt.store->issued_total + r->waiting_count;
}

const char *record_problem(const struct record *r)
{
    return r->is_failing ? r->problem : NULL;
}

void record_set_policy(struct record *r, int64_t keep_s, enum record_on_failure on_failure)
{
    r->opt.store->kind->keep(r->opt.store, keep_s);
    r->opt.on_failure = on_failure;
}

/* --- opening and closing ---------------------------------------------------------------------- */

err_t record_open(uv_loop_t *loop, const struct record_options *opt, struct record **ret,
                  struct why *why)
{
    err_t err = opt->store->kind->load_record(opt->store, why);
    if (err != ERR_OK)
        return err;
    struct record *r = mem_alloc(sizeof *r);
    if (r == NULL || record_names_init(&r->names) != ERR_OK) {
        mem_free(r);
        return why_set(why, ERR_NO_MEMORY, "no memory for the record");
    }
    r->opt = *opt;
    uv_timer_init(loop, &r->tick_timer);
    r->tick_timer.data = r;
    record_show(r);
    *ret = r;
    return ERR_OK;
}

static void record_free(void *arg)
{
    struct record *r = arg;
    if (r->waiting_count > 0)
        log_error("record_lost", log_int("certificates", r->waiting_count),
                  log_str("help", "they were issued, and there was no room to record them"));
    record_names_done(&r->names);
    mem_free(r->waiting);
    mem_free(r);
}

void record_close(struct record *r, void (*done)(void *arg), void *arg)
{
    struct why why = {0};
    if (!closing_begin(&r->closing, record_free, r, done, arg))
        return;
    if (r->waiting_count > 0 && write_waiting(r, &why) != ERR_OK)
        metric_add(r->opt.metrics, M_RECORD_FAILURES, 0, 0, 0, 1);
    closing_handle(&r->closing, &r->tick_timer);
}

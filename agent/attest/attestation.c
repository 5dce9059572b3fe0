#include "agent/attest/attestation.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/log/log.h"

/* What one attestor is asked. */
struct part {
    struct attestation *whole;
    const struct attestor *by;
    uint64_t id; /* 0: it has answered */
};

struct attestation {
    struct attestation_question q;
    struct attestation **slot;
    unsigned kinds;
    struct part parts[ATTESTORS_MAX];
    size_t waiting; /* for so many answers */
    uint64_t started_ns;
    struct selector_set found;
    err_t err; /* the first that fails the whole */
    struct why why;
};

static unsigned attestation_kinds(const struct attestation *a)
{
    return a->q.kinds != NULL ? a->q.kinds(a->q.arg) : SELECTOR_KINDS_ALL;
}

static void attestation_begin(struct attestation *a);

/* All have answered. */
static void attestation_end(struct attestation *a)
{
    if ((attestation_kinds(a) & ~a->kinds) != 0) {
        attestation_begin(a);
        return;
    }
    struct attestation last = *a;
    *a->slot = NULL;
    mem_free(a);
    if (last.err == ERR_OK)
        last.err = peer_check(last.q.peer, &last.why);
    last.q.done(last.q.arg, last.err, last.err == ERR_OK ? &last.found : NULL, &last.why);
    selector_set_done(&last.found);
}

/* The union; a caller with more selectors than a set holds keeps the first of them. */
static err_t attestation_add(struct attestation *a, struct selector_set *selectors)
{
    err_t err = ERR_OK;
    if (a->found.count == 0) {
        a->found = *selectors;
        selector_set_init(selectors);
    }
    for (size_t i = 0; i < selectors->count && err != ERR_NO_MEMORY; i++)
        err = selector_set_add(&a->found, "%s", selectors->items[i]);
    return err == ERR_NO_MEMORY ? err : ERR_OK;
}

static void on_problem(void *arg, const char *name, err_t err, const struct why *why)
{
    const struct part *p = arg;
    const struct attestation_question *q = &p->whole->q;
    if (q->on_problem != NULL)
        q->on_problem(q->arg, name, err, why);
}

static void on_answer(void *arg, err_t err, struct selector_set *selectors, const struct why *why)
{
    struct part *p = arg;
    struct attestation *a = p->whole;
    metric_observe_ns(a->q.metrics, M_ATTESTATION_DURATION, p->by->label, err != ERR_OK, 0,
                      clock_mono_ns() - a->started_ns);
    p->id = 0;
    bool is_fatal = attestor_is_fatal(err);
    if (err == ERR_OK && attestation_add(a, selectors) != ERR_OK && a->err == ERR_OK)
        a->err = why_set(&a->why, ERR_NO_MEMORY, "no memory to attest a caller");
    if (is_fatal && a->err == ERR_OK)
        a->err = why_set(&a->why, err, "%s", why_text(why));
    if (err != ERR_OK && !is_fatal) {
        log_debug("attestor_failed", log_str("attestor", p->by->name), log_err("reason", err),
                  log_str("cause", why_text(why)));
        on_problem(p, p->by->name, err, why);
    }
    if (--a->waiting == 0)
        attestation_end(a);
}

static void attestation_begin(struct attestation *a)
{
    const struct attestors *all = a->q.attestors;
    const struct attest_subject who = {.pid = a->q.peer->pid,
                                       .uid = a->q.peer->uid,
                                       .gid = a->q.peer->gid,
                                       .on_problem = on_problem};
    selector_set_done(&a->found);
    a->err = ERR_OK;
    a->kinds = attestation_kinds(a);
    a->started_ns = clock_mono_ns();
    a->waiting = all->count;
    /* The last one may answer at once, and that is the end of `a`. */
    for (size_t i = 0, count = all->count; i < count; i++) {
        struct part *p = &a->parts[i];
        *p = (struct part){.whole = a, .by = &all->items[i]};
        uint64_t id = p->by->start(p->by->self, &who, a->kinds, on_answer, p);
        if (id != 0)
            p->id = id;
    }
}

err_t attestation_start(const struct attestation_question *q, struct attestation **slot,
                        struct why *why)
{
    err_t err = peer_check(q->peer, why);
    if (err != ERR_OK)
        return err;
    struct attestation *a = mem_alloc(sizeof *a);
    if (a == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory to attest a caller");
    a->q = *q;
    a->slot = slot;
    *slot = a;
    attestation_begin(a);
    return ERR_OK;
}

void attestation_cancel(struct attestation **slot)
{
    struct attestation *a = *slot;
    if (a == NULL)
        return;
    for (size_t i = 0; i < a->q.attestors->count; i++)
        if (a->parts[i].id != 0)
            a->parts[i].by->cancel(a->parts[i].by->self, a->parts[i].id);
    *slot = NULL;
    selector_set_done(&a->found);
    mem_free(a);
}

#include "agent/caller/listener.h"
#include "agent/share/share_internal.h"
#include "agent/telemetry/metrics.h"
#include "common/base/mem.h"
#include "common/log/log.h"

#include <assert.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    TICK_MS = 1000,
    WAITING_PART = 8,     /* one connection in so many is for who is not let in yet */
    WAITING_LEAST = 4,    /* where that leaves as many for others */
    ACCEPTS_PER_TURN = 8, /* so that who was taken is heard before a flood wants its place */
};

/* --- who comes and goes ----------------------------------------------------------------------- */

void share_report_refused(struct share *s, const struct guest *g, err_t err, const struct why *why)
{
    metric_add(s->opt.metrics, M_SHARE_REFUSED, metric_reason(s->opt.metrics, M_SHARE_REFUSED, err),
               0, 0, 1);
    const struct peer *p = g != NULL ? &g->connection->peer : NULL;
    LOG_LIMITED(
        &s->refused_lines, LOG_WARN, "sidecar_refused", log_err("reason", err),
        log_int("pid", p != NULL ? p->pid : 0), log_int("uid", p != NULL ? (int64_t)p->uid : -1),
        log_str("spiffe_id", g != NULL ? g->spiffe_id : NULL), log_str("cause", why_text(why)));
}

static void on_accept(void *arg, int fd)
{
    struct share *s = arg;
    struct why why = {.err = ERR_OK};
    err_t err = guest_add(s, fd, &why);
    if (err == ERR_OK)
        return;
    share_report_refused(s, NULL, err, &why);
    guest_say_refused(fd, err, &why);
    patience_begin(&s->patience);
    close(fd);
    patience_end(&s->patience);
}

static void on_accept_error(void *arg, err_t err, const struct why *why)
{
    share_report_refused(arg, NULL, err, why);
}

static void on_process_exit(void *arg, struct connection *c)
{
    (void)arg;
    guest_leave(c->owner);
}

/* --- time ------------------------------------------------------------------------------------- */

static void on_tick(uv_timer_t *h)
{
    struct share *s = h->data;
    struct guest *g;
    bool more = false;
    LIST_FOREACH(g, &s->guests, in_guests)
        if (g->state != GUEST_GONE)
            more |= guest_tend(g);
    if (more)
        share_need_tick(s);
}

void share_need_tick(struct share *s)
{
    if (!s->closing.begun && !uv_is_active((uv_handle_t *)&s->tick))
        uv_timer_start(&s->tick, on_tick, TICK_MS, 0);
}

/* --- what changes ----------------------------------------------------------------------------- */

static void owe(struct share *s, unsigned debt)
{
    struct guest *g;
    LIST_FOREACH(g, &s->guests, in_guests)
        guest_owe(g, debt);
}

void share_set_cache(struct share *s, int fd, uint64_t generation)
{
    s->cache = fd;
    s->generation = generation;
    owe(s, OWES_CACHE);
}

void share_changed(struct share *s, uint64_t generation)
{
    s->generation = generation;
    if (s->cache >= 0)
        owe(s, OWES_CHANGED);
}

/* SVIDs issued before are still shown by those who have them: the limit never comes down. */
static void update_longest_life(struct share *s)
{
    int64_t life_s = s->opt.longest_life_s(s->opt.arg);
    if (life_s <= s->longest_life_s)
        return;
    s->longest_life_s = life_s;
    owe(s, OWES_WELCOME);
}

void share_set_entries(struct share *s)
{
    update_longest_life(s);
    struct guest *g;
    LIST_FOREACH(g, &s->guests, in_guests)
        guest_attest_anew(g);
}

size_t share_sidecars(const struct share *s)
{
    return s->admitted.count;
}

const char *share_socket(const struct share *s)
{
    return s->path;
}

/* --- life ------------------------------------------------------------------------------------- */

static void share_free(void *arg)
{
    struct share *s = arg;
    patience_done(&s->patience);
    crowd_done(&s->waiting);
    crowd_done(&s->admitted);
    mem_free(s);
}

void share_close(struct share *s, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&s->closing, share_free, s, done, arg))
        return;
    struct guest *g;
    LIST_FOREACH(g, &s->guests, in_guests)
        if (g->state != GUEST_GONE)
            guest_leave(g);
    closing_handle(&s->closing, &s->tick);
    if (s->listener != NULL)
        listener_close(s->listener, closing_drop, closing_hold(&s->closing));
    connections_close(s->connections, closing_drop, closing_hold(&s->closing));
}

static err_t open_listener(struct share *s, struct why *why)
{
    struct listener_options accepts = {.path = s->path,
                                       .type = SOCK_SEQPACKET,
                                       .mode = 0777,
                                       .per_turn = ACCEPTS_PER_TURN,
                                       .on_accept = on_accept,
                                       .on_error = on_accept_error,
                                       .arg = s};
    return listener_open(s->loop, &accepts, &s->listener, why);
}

static void share_out(struct share *s, size_t total)
{
    size_t waiting = total / WAITING_PART > WAITING_LEAST ? total / WAITING_PART : WAITING_LEAST;
    waiting = waiting > total / 2 ? total / 2 : waiting;
    s->waiting_max = waiting > 0 ? waiting : 1;
    s->admitted_max = total > s->waiting_max ? total - s->waiting_max : 1;
}

err_t share_open(uv_loop_t *loop, const struct share_options *opt, struct share **ret,
                 struct why *why)
{
    struct share *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return why_set(why, ERR_NO_MEMORY, "share.sock");
    s->opt = *opt;
    s->loop = loop;
    s->cache = -1;
    share_out(s, opt->limits.total);
    crowd_init(&s->waiting);
    crowd_init(&s->admitted);
    size_t all = s->waiting_max + s->admitted_max; /* shared out here, so the table has one bound */
    struct connection_options connection = {.limits = {.per_user = all, .total = all},
                                            .mode = opt->peer_mode,
                                            .on_exit = on_process_exit,
                                            .arg = s};
    err_t err = share_path(opt->api_socket, s->path, why);
    if (err == ERR_OK)
        err = connections_open(loop, &connection, &s->connections, why);
    if (err != ERR_OK) {
        mem_free(s);
        return err;
    }
    int rc = uv_timer_init(loop, &s->tick);
    assert(rc == 0);
    (void)rc;
    s->tick.data = s;
    s->longest_life_s = opt->longest_life_s(opt->arg);
    if (!patience_init(&s->patience))
        log_warn("no_timer",
                 log_str("next", "a descriptor that a sidecar passes can hold the agent up"));
    err = open_listener(s, why);
    if (err != ERR_OK) {
        share_close(s, NULL, NULL);
        return err;
    }
    *ret = s;
    return ERR_OK;
}

#include "sidecar/worker/admission.h"

#include "common/loop/unix_socket.h"
#include "sidecar/conn/conn_internal.h"
#include "sidecar/telemetry/metrics.h"
#include "sidecar/telemetry/notes.h"

#include <stddef.h>

struct crowd_source admission_source(int fd, const struct sockaddr_storage *from)
{
    struct unix_peer peer = {.uid = (uid_t)-1};
    if (from->ss_family == AF_UNIX)
        (void)unix_socket_peer(fd, &peer); /* who cannot be told shares one place with others */
    return crowd_source_of(from, peer.uid);
}

/* --- who goes --------------------------------------------------------------------------------- */

static struct conn *conn_of(struct crowd_member *n)
{
    return (struct conn *)((char *)n - offsetof(struct conn, newcomer));
}

/* Of all listeners: the one with the most. */
static struct crowd_member *first_of_all(const struct worker *w)
{
    const struct crowd *most = &w->newcomers[0];
    for (size_t i = 1; i < w->route_count; i++)
        most = w->newcomers[i].count > most->count ? &w->newcomers[i] : most;
    return crowd_first_to_go(most);
}

static const char *const bound_texts[] = {
    [BOUND_SOURCE] = "limits.unauthenticated_per_source",
    [BOUND_UNAUTHENTICATED] = "three quarters of limits.total",
    [BOUND_LISTENER] = "limits.connections",
    [BOUND_TOTAL] = "limits.total",
};

/* Where every place is taken, who is in the middle of a handshake is worth no less than who comes.
 */
#define AT_WORK_NS UINT64_C(1000000000)

static bool is_at_work(const struct conn *c)
{
    return c->newcomer.answered && clock_mono_ns() - c->state_ns < AT_WORK_NS;
}

/* False: nobody can. */
static bool let_go(struct worker *w, struct crowd_member *n, enum metric_bound bound)
{
    char address[ADDRESS_TEXT_LEN], listen[ADDRESS_TEXT_LEN];
    struct why why = {.err = ERR_OK};
    if (n == NULL)
        return false;
    struct conn *c = conn_of(n);
    if ((bound == BOUND_LISTENER || bound == BOUND_TOTAL) && is_at_work(c))
        return false;
    why_set(&why, ERR_LIMIT, "made room for a newer connection: %s reached", bound_texts[bound]);
    metric_add(w->metrics, M_UNAUTHENTICATED_CUT, bound, 0, 0, 1);
    LOG_LIMITED(log_limits_of(&w->notes->lines, LINE_NEWCOMER, ERR_LIMIT), LOG_WARN, "newcomer_cut",
                log_str("listen", address_text(&c->route->listen, listen)),
                log_str("peer", sockaddr_text((const struct sockaddr *)&c->from, address)),
                log_str("state", conn_state_name(conn_state_of(c))),
                log_int("age_ms", (clock_mono_ns() - c->opened_ns) / 1000000u),
                log_str("detail", why_text(&why)));
    conn_cut(c, &why, CONN_CUT_RESET);
    return true;
}

/* --- room ------------------------------------------------------------------------------------- */

static err_t no_place(struct worker *w, const char *option, size_t limit, struct why *why)
{
    atomic_store_explicit(&w->places->full, true, memory_order_relaxed);
    return why_set(why, ERR_LIMIT, "%s reached (%zu): closed at accept", option, limit);
}

#define ENDING_LOOKS 64 /* each asks the kernel what is queued */

/* Who has hung up without a word is waited for, not for the price of who comes. -1: of any route.
 */
static bool end_one(struct worker *w, long route)
{
    unsigned looks = 0;
    for (struct conn *c = w->conns; c != NULL && looks < ENDING_LOOKS; c = c->next) {
        if (conn_state_of(c) != CONN_ENDING || (route >= 0 && c->route_index != (size_t)route))
            continue;
        looks++;
        if (conn_ending_yield(c))
            return true;
    }
    return false;
}

/* Workers that look at the same moment may go over by one each. */
err_t admission_make_room(struct worker *w, size_t route, const struct crowd_source *source,
                          struct why *why)
{
    const struct place_limits *limits = &w->limits;
    const struct crowd *own = &w->newcomers[route];
    if (w->config->routes[route].direction == ROUTE_INBOUND) {
        if (crowd_count_of(own, source) >= limits->per_source)
            let_go(w, crowd_first_of(own, source), BOUND_SOURCE);
        if (w->newcomer_count >= limits->newcomers)
            let_go(w, first_of_all(w), BOUND_UNAUTHENTICATED);
    }
    if (w->places->open >= limits->total && !end_one(w, -1) &&
        !let_go(w, first_of_all(w), BOUND_TOTAL))
        return no_place(w, "limits.total", limits->total, why);
    if (w->places->per_listener[route] >= limits->per_listener && !end_one(w, (long)route) &&
        !let_go(w, crowd_first_to_go(own), BOUND_LISTENER))
        return no_place(w, "limits.connections", limits->per_listener, why);
    if (w->places->full)
        atomic_store_explicit(&w->places->full, false, memory_order_relaxed);
    return ERR_OK;
}

/* --- the tables ------------------------------------------------------------------------------- */

/* Without memory for it, it makes room for nobody; it has its place all the same. */
void admission_add(struct worker *w, struct conn *c)
{
    struct crowd_source source = admission_source(c->down.fd, &c->from);
    if (c->route->direction != ROUTE_INBOUND ||
        crowd_add(&w->newcomers[c->route_index], &source, &c->newcomer) != ERR_OK)
        return;
    w->newcomer_count++;
    metric_move(w->metrics, M_CONNECTIONS_UNAUTHENTICATED, 0, 0, 0, 1);
}

void admission_answered(struct worker *w, struct conn *c)
{
    crowd_answered(&w->newcomers[c->route_index], &c->newcomer);
}

void admission_remove(struct worker *w, struct conn *c)
{
    if (c->newcomer.group == NULL)
        return;
    crowd_remove(&w->newcomers[c->route_index], &c->newcomer);
    w->newcomer_count--;
    metric_move(w->metrics, M_CONNECTIONS_UNAUTHENTICATED, 0, 0, 0, -1);
}

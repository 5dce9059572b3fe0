#include "sidecar/worker/admission.h"

#include "common/base/mem.h"
#include "common/loop/unix_socket.h"
#include "sidecar/telemetry/metrics.h"

#include <stddef.h>

err_t admission_open(struct admission *a, size_t routes, struct why *why)
{
    a->route_count = routes;
    a->newcomers = mem_array(routes, sizeof *a->newcomers);
    if (a->newcomers == NULL)
        return why_set(why, ERR_NO_MEMORY, "newcomers");
    for (size_t i = 0; i < routes; i++)
        crowd_init(&a->newcomers[i]);
    admission_set_limits(a);
    return ERR_OK;
}

void admission_done(struct admission *a)
{
    for (size_t i = 0; a->newcomers != NULL && i < a->route_count; i++)
        crowd_done(&a->newcomers[i]);
    mem_free(a->newcomers);
}

void admission_set_limits(struct admission *a)
{
    a->limits = place_limits_of(sidecar_config_places(a->home->config), a->places->descriptors);
}

struct crowd_source admission_source(int fd, const struct sockaddr_storage *from)
{
    struct unix_peer peer = {.uid = (uid_t)-1};
    if (from->ss_family == AF_UNIX)
        (void)unix_socket_peer(fd, &peer); /* who cannot be told shares one place with others */
    return crowd_source_of(from, peer.uid);
}

/* --- who goes --------------------------------------------------------------------------------- */

/* Of all listeners: the one with the most. */
static struct crowd_member *first_of_all(const struct admission *a)
{
    const struct crowd *most = &a->newcomers[0];
    for (size_t i = 1; i < a->route_count; i++)
        most = a->newcomers[i].count > most->count ? &a->newcomers[i] : most;
    return crowd_first_to_go(most);
}

static const char *const bound_texts[] = {
    [BOUND_SOURCE] = "limits.unauthenticated_per_source",
    [BOUND_UNAUTHENTICATED] = "three quarters of limits.total",
    [BOUND_LISTENER] = "limits.connections",
    [BOUND_TOTAL] = "limits.total",
};

/* Where every place is taken, who is in the middle of a handshake is worth no less than who comes.
 * False: nobody can. */
static bool let_go(struct admission *a, struct crowd_member *n, enum metric_bound bound)
{
    struct why why = {.err = ERR_OK};
    if (n == NULL)
        return false;
    size_t at = offsetof(struct conn_seat, newcomer);
    struct conn *c = conn_of_seat((struct conn_seat *)((char *)n - at));
    if ((bound == BOUND_LISTENER || bound == BOUND_TOTAL) && conn_is_at_work(c))
        return false;
    why_set(&why, ERR_LIMIT, "made room for a newer connection: %s reached", bound_texts[bound]);
    metric_add(a->home->metrics, M_UNAUTHENTICATED_CUT, bound, 0, 0, 1);
    conn_newcomer_cut(c, &why);
    return true;
}

/* --- room ------------------------------------------------------------------------------------- */

static err_t no_place(struct admission *a, const char *option, size_t limit, struct why *why)
{
    atomic_store_explicit(&a->places->full, true, memory_order_relaxed);
    return why_set(why, ERR_LIMIT, "%s reached (%zu): closed at accept", option, limit);
}

#define ENDING_LOOKS 64 /* each asks the kernel what is queued */

/* Who has hung up without a word is waited for, not for the price of who comes. -1: of any route.
 */
static bool end_one(struct admission *a, long route)
{
    unsigned looks = 0;
    struct conn_seat *seat;
    LIST_FOREACH(seat, a->conns, link) {
        struct conn *c = conn_of_seat(seat);
        if (!conn_is_ending(c) || (route >= 0 && conn_route_index(c) != (size_t)route))
            continue;
        if (conn_ending_yield(c))
            return true;
        if (++looks == ENDING_LOOKS)
            break;
    }
    return false;
}

/* Workers that look at the same moment may go over by one each. */
err_t admission_make_room(struct admission *a, size_t route, const struct crowd_source *source,
                          struct why *why)
{
    const struct place_limits *limits = &a->limits;
    const struct crowd *own = &a->newcomers[route];
    if (a->home->config->routes[route].direction == ROUTE_INBOUND) {
        if (crowd_count_of(own, source) >= limits->per_source)
            let_go(a, crowd_first_of(own, source), BOUND_SOURCE);
        if (a->newcomer_count >= limits->newcomers)
            let_go(a, first_of_all(a), BOUND_UNAUTHENTICATED);
    }
    if (a->places->open >= limits->total && !end_one(a, -1) &&
        !let_go(a, first_of_all(a), BOUND_TOTAL))
        return no_place(a, "limits.total", limits->total, why);
    if (a->places->per_listener[route] >= limits->per_listener && !end_one(a, (long)route) &&
        !let_go(a, crowd_first_to_go(own), BOUND_LISTENER))
        return no_place(a, "limits.connections", limits->per_listener, why);
    if (a->places->full)
        atomic_store_explicit(&a->places->full, false, memory_order_relaxed);
    return ERR_OK;
}

/* --- the tables ------------------------------------------------------------------------------- */

/* Without memory for it, it makes room for nobody; it has its place all the same. */
static void add_newcomer(struct admission *a, struct conn *c, const struct crowd_source *source)
{
    if (crowd_add(&a->newcomers[conn_route_index(c)], source, &conn_seat(c)->newcomer) != ERR_OK)
        return;
    a->newcomer_count++;
    metric_move(a->home->metrics, M_CONNECTIONS_UNAUTHENTICATED, 0, 0, 0, 1);
}

void admission_add(struct admission *a, struct conn *c, const struct crowd_source *source)
{
    enum route_direction direction = conn_route(c)->direction;
    a->places->open++;
    a->places->per_listener[conn_route_index(c)]++;
    metric_move(a->home->metrics, M_CONNECTIONS, direction, 0, 0, 1);
    if (direction == ROUTE_INBOUND)
        add_newcomer(a, c, source);
}

void admission_answered(struct admission *a, struct conn *c)
{
    crowd_answered(&a->newcomers[conn_route_index(c)], &conn_seat(c)->newcomer);
}

void admission_known(struct admission *a, struct conn *c)
{
    struct crowd_member *n = &conn_seat(c)->newcomer;
    if (n->group == NULL)
        return;
    crowd_remove(&a->newcomers[conn_route_index(c)], n);
    a->newcomer_count--;
    metric_move(a->home->metrics, M_CONNECTIONS_UNAUTHENTICATED, 0, 0, 0, -1);
}

void admission_remove(struct admission *a, struct conn *c)
{
    admission_known(a, c);
    a->places->open--;
    a->places->per_listener[conn_route_index(c)]--;
    metric_move(a->home->metrics, M_CONNECTIONS, conn_route(c)->direction, 0, 0, -1);
}

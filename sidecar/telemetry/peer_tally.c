#include "sidecar/telemetry/peer_tally.h"

#include "common/base/mem.h"

#include <string.h>
#include <uv.h>

struct tally {
    char *spiffe_id;             /* owned; NULL: all others */
    uint64_t count[2], shown[2]; /* by direction */
};

struct peer_tally {
    struct metrics *metrics; /* borrowed */
    uv_mutex_t lock;         /* of what follows */
    struct tally peer[PEER_TALLY_MAX];
    size_t peer_count;
    struct tally others;
};

static struct tally *find(struct peer_tally *t, const char *spiffe_id)
{
    for (size_t i = 0; i < t->peer_count; i++) {
        if (strcmp(t->peer[i].spiffe_id, spiffe_id) == 0)
            return &t->peer[i];
    }
    return NULL;
}

/* NULL: no room, or no memory. */
static struct tally *find_or_add(struct peer_tally *t, const char *spiffe_id)
{
    struct tally *found = find(t, spiffe_id);
    if (found != NULL || t->peer_count == PEER_TALLY_MAX)
        return found;
    char *copy = mem_strdup(spiffe_id);
    if (copy == NULL)
        return NULL;
    t->peer[t->peer_count].spiffe_id = copy;
    return &t->peer[t->peer_count++];
}

void peer_tally_count(struct peer_tally *t, enum route_direction direction, const char *spiffe_id)
{
    if (t == NULL || spiffe_id == NULL)
        return;
    uv_mutex_lock(&t->lock);
    struct tally *one = find_or_add(t, spiffe_id);
    (one != NULL ? one : &t->others)->count[direction]++;
    uv_mutex_unlock(&t->lock);
    if (one == NULL)
        metric_add(t->metrics, M_METRICS_SERIES_DROPPED, 0, 0, 0, 1);
}

static bool is_shown(const struct tally *one)
{
    return one->count[0] == one->shown[0] && one->count[1] == one->shown[1];
}

static void show(struct peer_tally *t, struct tally *one)
{
    if (is_shown(one))
        return;
    size_t index = one->spiffe_id != NULL ? metric_dynamic(t->metrics, M_PEERS, one->spiffe_id)
                                          : metric_other(t->metrics, M_PEERS);
    for (size_t direction = 0; direction < 2; direction++) {
        metric_add(t->metrics, M_PEERS, index, direction, 0,
                   one->count[direction] - one->shown[direction]);
        one->shown[direction] = one->count[direction];
    }
}

static void on_scrape(void *arg)
{
    struct peer_tally *t = arg;
    uv_mutex_lock(&t->lock);
    for (size_t i = 0; i < t->peer_count; i++)
        show(t, &t->peer[i]);
    show(t, &t->others);
    uv_mutex_unlock(&t->lock);
}

err_t peer_tally_new(struct metrics *m, struct peer_tally **ret, struct why *why)
{
    struct peer_tally *t = mem_alloc(sizeof *t);
    if (t == NULL || uv_mutex_init(&t->lock) != 0) {
        mem_free(t);
        return why_set(why, ERR_NO_MEMORY, "peers");
    }
    t->metrics = m;
    err_t err = metrics_on_scrape(m, on_scrape, t, why);
    if (err == ERR_OK)
        *ret = t;
    else
        peer_tally_free(t);
    return err;
}

void peer_tally_free(struct peer_tally *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->peer_count; i++)
        mem_free(t->peer[i].spiffe_id);
    uv_mutex_destroy(&t->lock);
    mem_free(t);
}

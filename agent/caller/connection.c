#include "agent/caller/connection.h"

#include "agent/caller/exit_watch.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/loop/closing.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

enum {
    SWEEP_MS = 5000,
    SWEEP_SHARE = 64,       /* full: a sweep looks at all, so refusals share one */
    TRIM_CONNECTIONS = 500, /* gone since the peak: gRPC had some 12 MiB for them */
};

/* What one uid has open; there as long as it has something. */
struct user {
    struct map_node in_users;
    uid_t uid;
    size_t connections, streams;
};

struct connections {
    struct connection_options opt;
    struct connection **by_fd; /* owned */
    size_t slots;
    size_t count, peak;
    size_t sweep_after; /* so many more refusals */
    LIST_HEAD(, connection) idle;
    struct map users; /* by uid */
    struct exit_watch *exits;
    uv_timer_t sweep;
    struct closing closing;
};

/* --- users ------------------------------------------------------------------------------------ */

static bool user_is(const void *user, const void *uid)
{
    return ((const struct user *)user)->uid == *(const uid_t *)uid;
}

static struct user *user_get(struct connections *t, uid_t uid)
{
    uint32_t hash = map_hash(slice_of(&uid, sizeof uid));
    struct user *u = map_find(&t->users, hash, &uid);
    if (u != NULL)
        return u;
    u = mem_alloc(sizeof *u);
    if (u != NULL)
        u->uid = uid;
    if (u != NULL && map_add(&t->users, u, hash) == ERR_OK)
        return u;
    mem_free(u);
    return NULL;
}

static void user_put(struct connections *t, struct user *user)
{
    if (user->connections > 0 || user->streams > 0)
        return;
    map_remove(&t->users, user);
    mem_free(user);
}

/* --- idle ones -------------------------------------------------------------------------------- */

static void on_sweep(uv_timer_t *h);

static void connection_idle_add(struct connection *c)
{
    struct connections *t = c->table;
    if (LIST_IS_IN(c, in_idle))
        return;
    LIST_INSERT_HEAD(&t->idle, c, in_idle);
    if (!t->closing.begun && !uv_is_active((uv_handle_t *)&t->sweep))
        uv_timer_start(&t->sweep, on_sweep, SWEEP_MS, 0);
}

/* --- life ------------------------------------------------------------------------------------- */

static void connection_unpin(struct connection *c)
{
    assert(c->pins > 0);
    if (--c->pins > 0)
        return;
    struct connections *t = c->table;
    c->user->connections--;
    user_put(t, c->user);
    peer_done(&c->peer);
    mem_free(c);
}

static bool connection_is_open(const struct connection *c)
{
    return peer_cookie(c->fd) == c->peer.cookie;
}

static void connection_drop(struct connections *t, struct connection *c)
{
    LIST_LEAVE(c, in_idle);
    assert(t->by_fd[c->fd] == c);
    t->by_fd[c->fd] = NULL;
    t->count--;
    connection_unpin(c);
}

static void connections_sweep(struct connections *t)
{
    struct connection *c, *next;
    LIST_FOREACH_SAFE(c, &t->idle, in_idle, next)
        if (!connection_is_open(c))
            connection_drop(t, c);
}

static void on_sweep(uv_timer_t *h)
{
    struct connections *t = h->data;
    connections_sweep(t);
    t->sweep_after = 0;
    if (t->count + TRIM_CONNECTIONS <= t->peak) {
        mem_trim();
        t->peak = t->count;
    }
    if (!LIST_EMPTY(&t->idle))
        uv_timer_start(h, on_sweep, SWEEP_MS, 0);
}

static err_t connections_grow(struct connections *t, int fd)
{
    size_t slots = t->slots > 0 ? t->slots : 64;
    while (slots <= (size_t)fd)
        slots *= 2;
    if (slots == t->slots)
        return ERR_OK;
    struct connection **grown = mem_resize(t->by_fd, slots * sizeof(struct connection *));
    if (grown == NULL)
        return ERR_NO_MEMORY;
    memset(grown + t->slots, 0, (slots - t->slots) * sizeof(struct connection *));
    t->by_fd = grown;
    t->slots = slots;
    return ERR_OK;
}

static bool connections_are_full(const struct connections *t, const struct user *user)
{
    return user->connections > t->opt.limits.per_user || t->count >= t->opt.limits.total;
}

/* Some may be gone already. A flood must not make us look at all of them each time. */
static void connections_make_room(struct connections *t, const struct user *user)
{
    if (t->sweep_after > 0) {
        t->sweep_after--;
        return;
    }
    connections_sweep(t);
    if (connections_are_full(t, user))
        t->sweep_after = t->count / SWEEP_SHARE;
}

static err_t connections_check_limits(struct connections *t, const struct user *user,
                                      struct why *why)
{
    size_t per_user = t->opt.limits.per_user, total = t->opt.limits.total;
    if (connections_are_full(t, user))
        connections_make_room(t, user);
    if (user->connections > per_user)
        return why_set(why, ERR_LIMIT, "user %u has %zu connections, the limit is %zu", user->uid,
                       user->connections - 1, per_user);
    if (t->count >= total)
        return why_set(why, ERR_LIMIT, "%zu connections, the limit is %zu", t->count, total);
    return ERR_OK;
}

err_t connections_add(struct connections *t, int fd, struct why *why)
{
    struct connection *c = mem_alloc(sizeof *c);
    if (c == NULL || connections_grow(t, fd) != ERR_OK) {
        mem_free(c);
        return why_set(why, ERR_NO_MEMORY, "connection");
    }
    if (t->by_fd[fd] != NULL) /* the kernel gave the number again, so that one is closed */
        connection_drop(t, t->by_fd[fd]);
    err_t err = peer_pin(fd, t->opt.mode, &c->peer, why);
    if (err != ERR_OK) {
        mem_free(c);
        return err;
    }
    c->user = user_get(t, c->peer.uid);
    if (c->user == NULL) {
        err = why_set(why, ERR_NO_MEMORY, "connection");
    } else {
        c->user->connections++; /* this one too; keeps the user while a sweep drops the others */
        err = connections_check_limits(t, c->user, why);
    }
    c->table = t;
    c->fd = fd;
    c->pins = 1;
    if (err != ERR_OK) {
        if (c->user != NULL)
            connection_unpin(c);
        return err;
    }
    t->by_fd[fd] = c;
    t->count++;
    if (t->peak < t->count)
        t->peak = t->count;
    connection_idle_add(c);
    return ERR_OK;
}

void connections_remove(struct connections *t, struct connection *c)
{
    if (t->by_fd[c->fd] == c)
        connection_drop(t, c);
}

struct connection *connections_find(struct connections *t, int fd)
{
    if (fd < 0 || (size_t)fd >= t->slots || t->by_fd[fd] == NULL ||
        !connection_is_open(t->by_fd[fd]))
        return NULL;
    return t->by_fd[fd];
}

void connections_each(struct connections *t, void (*fn)(void *arg, struct connection *c), void *arg)
{
    for (size_t i = 0; i < t->slots; i++)
        if (t->by_fd[i] != NULL)
            fn(arg, t->by_fd[i]);
}

size_t connections_count(struct connections *t)
{
    connections_sweep(t);
    return t->count;
}

err_t connection_enter(struct connection *c, struct why *why)
{
    struct connections *t = c->table;
    if (c->user->streams >= t->opt.limits.per_user)
        return why_set(why, ERR_LIMIT, "user %u has %zu open calls, the limit is %zu", c->user->uid,
                       c->user->streams, t->opt.limits.per_user);
    if (!c->watched) {
        err_t err = exit_watch_add(t->exits, c->peer.pidfd, c, why);
        if (err != ERR_OK)
            return err;
        c->watched = true;
    }
    c->user->streams++;
    c->streams++;
    c->pins++;
    LIST_LEAVE(c, in_idle);
    return ERR_OK;
}

static void connection_unwatch(struct connection *c)
{
    if (c->watched)
        exit_watch_remove(c->table->exits, c->peer.pidfd);
    c->watched = false;
}

void connection_leave(struct connection *c)
{
    c->user->streams--;
    if (--c->streams == 0) {
        connection_unwatch(c);
        /* gRPC closes it after the shutdown. Between the check and the shutdown the number cannot
         * become another socket's: sockets are made on this thread alone. */
        if (c->doomed && connection_is_open(c))
            shutdown(c->fd, SHUT_RDWR);
        if (c->table->by_fd[c->fd] == c)
            connection_idle_add(c);
    }
    connection_unpin(c);
}

void connection_doom(struct connection *c)
{
    c->doomed = true;
}

/* --- loop ------------------------------------------------------------------------------------- */

static void on_process_exit(void *arg, void *subject)
{
    struct connections *t = arg;
    struct connection *c = subject;
    connection_unwatch(c);
    t->opt.on_exit(t->opt.arg, c);
}

err_t connections_open(uv_loop_t *loop, const struct connection_options *opt,
                       struct connections **ret, struct why *why)
{
    struct connections *t = mem_alloc(sizeof *t);
    if (t == NULL)
        return why_set(why, ERR_NO_MEMORY, "table of connections");
    t->opt = *opt;
    t->users = (struct map)MAP_OF(struct user, in_users, user_is);
    err_t err = exit_watch_open(loop, on_process_exit, t, &t->exits, why);
    if (err != ERR_OK) {
        mem_free(t);
        return err;
    }
    int rc = uv_timer_init(loop, &t->sweep);
    assert(rc == 0);
    (void)rc;
    t->sweep.data = t;
    *ret = t;
    return ERR_OK;
}

static void connections_free(void *arg)
{
    struct connections *t = arg;
    map_done(&t->users);
    mem_free(t->by_fd);
    mem_free(t);
}

void connections_close(struct connections *t, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&t->closing, connections_free, t, done, arg))
        return;
    for (size_t i = 0; i < t->slots; i++)
        if (t->by_fd[i] != NULL)
            connection_drop(t, t->by_fd[i]);
    closing_handle(&t->closing, &t->sweep);
    exit_watch_close(t->exits, closing_drop, closing_hold(&t->closing));
}

#include "agent/share/share.h"

#include "agent/caller/listener.h"
#include "agent/caller/patience.h"
#include "agent/telemetry/metrics.h"
#include "common/base/clock.h"
#include "common/base/crowd.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/log/log.h"
#include "common/log/log_limit.h"
#include "common/loop/closing.h"
#include "common/loop/unix_socket.h"
#include "common/share/share_message.h"

#include <assert.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    TICK_MS = 1000,
    WAITING_PART = 8,     /* one connection in so many is for who is not let in yet */
    WAITING_LEAST = 4,    /* where that leaves as many for others */
    ACCEPTS_PER_TURN = 8, /* so that who was taken is heard before a flood wants its place */
    READS_PER_TURN = 8,
    READS_PER_TICK = 64, /* of one sidecar; what is more waits in its socket */
    QUEUE_BYTES = 4096,  /* SO_SNDBUF: some ten messages */
};

enum guest_state {
    GUEST_SILENT,   /* has not said HELLO */
    GUEST_ASKED,    /* is being attested for the first time */
    GUEST_ADMITTED, /* may be attested anew */
    GUEST_GONE,     /* its handle is closing */
};

/* What a guest is owed; sent in this order, each as the newest there is when there is room. */
enum guest_debt { OWES_WELCOME = 1, OWES_CACHE = 2, OWES_PAGE = 4, OWES_CHANGED = 8 };

/* One connection. */
struct guest {
    struct share *share;
    LIST_ENTRY(guest) in_guests;
    struct connection *connection; /* entered; NULL when gone */
    uv_poll_t poll;
    int fd;
    int watched; /* UV_READABLE, UV_WRITABLE */
    enum guest_state state;
    struct crowd_source user;
    pid_t pid;                 /* who connected, as the kernel said; 0: it could not be told */
    struct crowd_member place; /* among those who wait, or the admitted ones */
    uint64_t accepted_ns;
    unsigned budget;                 /* messages it may still send before the next tick */
    unsigned owed;                   /* enum guest_debt */
    char *spiffe_id;                 /* owned, from HELLO */
    char *name;                      /* owned */
    int page;                        /* borrowed; -1 */
    bool may_ask;                    /* for a page, once */
    struct attestation *attestation; /* under way, or NULL */
    bool recheck;                    /* no room to attest it anew yet */
};

struct share {
    struct share_options opt;
    char path[SHARE_PATH_MAX];
    uv_loop_t *loop;
    struct listener *listener;
    struct connections *connections;
    LIST_HEAD(, guest) guests;      /* those that leave, too, until their handles have closed */
    struct crowd waiting, admitted; /* guests by user */
    size_t waiting_max, admitted_max;
    uv_timer_t tick;
    struct patience patience; /* with what guests pass */
    int cache;                /* borrowed; -1 before the first */
    uint64_t generation;
    int64_t longest_life_s;
    struct log_limit refused_lines, guest_lines;
    struct closing closing; /* held by each guest */
};

static void report_refused(struct share *s, const struct guest *g, err_t err, const struct why *why)
{
    metric_add(s->opt.metrics, M_SHARE_REFUSED, metric_reason(s->opt.metrics, M_SHARE_REFUSED, err),
               0, 0, 1);
    const struct peer *p = g != NULL ? &g->connection->peer : NULL;
    LOG_LIMITED(
        &s->refused_lines, LOG_WARN, "sidecar_refused", log_err("reason", err),
        log_int("pid", p != NULL ? p->pid : 0), log_int("uid", p != NULL ? (int64_t)p->uid : -1),
        log_str("spiffe_id", g != NULL ? g->spiffe_id : NULL), log_str("cause", why_text(why)));
}

static void on_tick(uv_timer_t *h);

static void need_tick(struct share *s)
{
    if (!s->closing.begun && !uv_is_active((uv_handle_t *)&s->tick))
        uv_timer_start(&s->tick, on_tick, TICK_MS, 0);
}

/* --- what is said ----------------------------------------------------------------------------- */

/* The cause of what it did wrong in its own messages; of all else one sentence that gives nothing
 * away. */
static const char *text_for(err_t err, const struct why *why)
{
    bool own = err == ERR_PARSE || err == ERR_TOO_LARGE || err == ERR_UNSUPPORTED;
    return own ? why_text(why) : err_text(err);
}

/* As good as it goes: who does not read it does not hear why. */
static void guest_say_refused(int fd, err_t err, const struct why *why)
{
    struct share_packet p;
    struct share_message m = {
        .type = SHARE_REFUSED,
        .refused = {.reason = slice_str(err_name(err)), .text = slice_str(text_for(err, why))}};
    if (share_encode(&m, &p, NULL) == ERR_OK && share_send(fd, &p, NULL) != ERR_OK)
        log_debug("refusal_not_read", log_err("reason", err));
}

static void log_guest(struct guest *g, const char *event)
{
    const struct peer *p = &g->connection->peer;
    LOG_LIMITED(&g->share->guest_lines, LOG_INFO, event, log_str("spiffe_id", g->spiffe_id),
                log_str("name", g->name), log_int("pid", p->pid), log_int("uid", p->uid));
}

/* --- coming and going ------------------------------------------------------------------------- */

static void on_guest_closed(uv_handle_t *h)
{
    struct guest *g = h->data;
    struct share *s = g->share;
    LIST_REMOVE(g, in_guests);
    mem_free(g->spiffe_id);
    mem_free(g->name);
    mem_free(g);
    closing_drop(&s->closing);
}

static void show_admitted(const struct share *s)
{
    metric_set(s->opt.metrics, M_SHARE_SIDECARS, 0, 0, 0, (double)s->admitted.count);
}

static struct guest *guest_of(struct crowd_member *m)
{
    return m != NULL ? (struct guest *)((char *)m - offsetof(struct guest, place)) : NULL;
}

/* The only way out. */
static void guest_leave(struct guest *g)
{
    struct share *s = g->share;
    bool admitted = g->state == GUEST_ADMITTED;
    g->state = GUEST_GONE;
    crowd_remove(admitted ? &s->admitted : &s->waiting, &g->place);
    attestation_cancel(&g->attestation);
    if (admitted) {
        show_admitted(s);
        log_guest(g, "sidecar_left");
    }
    if (g->page >= 0)
        s->opt.page_left(s->opt.arg, g->page);
    uv_close((uv_handle_t *)&g->poll, on_guest_closed);
    patience_begin(&s->patience); /* closes what waits there unread, too */
    close(g->fd);
    patience_end(&s->patience);
    connection_leave(g->connection);
    connections_remove(s->connections, g->connection);
    g->connection = NULL;
}

static void guest_refuse(struct guest *g, err_t err, const struct why *why)
{
    report_refused(g->share, g, err, why);
    guest_say_refused(g->fd, err, why);
    guest_leave(g);
}

/* --- room ------------------------------------------------------------------------------------- */

/* A sidecar that was let in hears no reason: it comes again at once, and all is as before. */
static void guest_make_way(struct guest *g, const char *limit)
{
    struct why why = {.err = ERR_OK};
    if (g == NULL)
        return;
    why_set(&why, ERR_LIMIT, "made room for a newer connection: %s", limit);
    if (g->state != GUEST_ADMITTED) {
        guest_refuse(g, ERR_LIMIT, &why);
        return;
    }
    report_refused(g->share, g, ERR_LIMIT, &why);
    guest_leave(g);
}

/* Of one user's, from the oldest on: a process that comes again and again puts out its own first,
 * not the sidecar that has been here all along. */
static struct guest *own_first(struct crowd_member *oldest, pid_t pid)
{
    for (struct crowd_member *m = oldest; m != NULL; m = TAILQ_NEXT(m, in_age)) {
        if (guest_of(m)->pid == pid)
            return guest_of(m);
    }
    return guest_of(oldest);
}

/* Who comes gets a place: of those who wait the user with the most makes room, and a user at its
 * own limit for itself. */
static void make_room(struct share *s, const struct crowd_source *user, pid_t pid)
{
    size_t has = crowd_count_of(&s->waiting, user) + crowd_count_of(&s->admitted, user);
    if (has >= s->opt.limits.per_user) {
        struct crowd_member *own = crowd_first_of(&s->waiting, user);
        own = own != NULL ? own : crowd_first_of(&s->admitted, user);
        guest_make_way(own_first(own, pid), "its user has as many as a user may have");
    }
    if (s->waiting.count >= s->waiting_max)
        guest_make_way(guest_of(crowd_first_to_go(&s->waiting)), "too many wait to be let in");
}

/* A user with fewer sidecars than others is let in for one of theirs; else for one of its own. */
static err_t make_place(struct guest *g, struct why *why)
{
    struct share *s = g->share;
    if (s->admitted.count < s->admitted_max)
        return ERR_OK;
    struct guest *first = guest_of(crowd_first_to_go(&s->admitted));
    struct crowd_member *own = crowd_first_of(&s->admitted, &g->user);
    if (crowd_count_of(&s->admitted, &first->user) <= crowd_count_of(&s->admitted, &g->user) + 1)
        first = own_first(own, g->pid);
    if (first == NULL)
        return why_set(why, ERR_LIMIT, "%zu sidecars, the limit is %zu", s->admitted.count,
                       s->admitted_max);
    guest_make_way(first, "as many sidecars as there may be are here");
    return ERR_OK;
}

/* --- sending ---------------------------------------------------------------------------------- */

static void on_event(uv_poll_t *h, int status, int events);

static void guest_watch(struct guest *g)
{
    int wanted = (g->budget > 0 ? UV_READABLE : 0) | (g->owed != 0 ? UV_WRITABLE : 0);
    if (wanted == g->watched)
        return;
    g->watched = wanted;
    if (wanted != 0)
        uv_poll_start(&g->poll, wanted, on_event);
    else
        uv_poll_stop(&g->poll); /* the tick comes back to it */
}

static err_t send_debt(struct guest *g, enum guest_debt debt, struct why *why)
{
    const struct share *s = g->share;
    struct share_message m = {.type = SHARE_OTHER};
    struct share_packet p;
    int descriptor = -1;
    switch (debt) {
    case OWES_WELCOME:
        m.type = SHARE_WELCOME;
        m.welcome.program = slice_str(SPINDLE_VERSION);
        m.welcome.longest_life_s = s->longest_life_s;
        break;
    case OWES_CACHE:
        m.type = SHARE_CACHE;
        m.cache.generation = s->generation;
        descriptor = s->cache;
        break;
    case OWES_PAGE:
        m.type = SHARE_PAGE;
        descriptor = g->page;
        break;
    case OWES_CHANGED:
        m.type = SHARE_CHANGED;
        m.cache.generation = s->generation;
        break;
    }
    err_t err = share_encode(&m, &p, why);
    p.descriptor = descriptor;
    return err == ERR_OK ? share_send(g->fd, &p, why) : err;
}

static void guest_flush(struct guest *g)
{
    struct why why = {.err = ERR_OK};
    err_t err = ERR_OK;
    for (unsigned debt = OWES_WELCOME; err == ERR_OK && debt <= OWES_CHANGED; debt <<= 1) {
        if ((g->owed & debt) == 0)
            continue;
        err = send_debt(g, (enum guest_debt)debt, &why);
        if (err == ERR_OK)
            g->owed &= ~(debt == OWES_CACHE ? OWES_CACHE | OWES_CHANGED : debt);
    }
    if (err == ERR_OK || err == ERR_LIMIT)
        guest_watch(g);
    else
        guest_leave(g); /* it has gone */
}

static void guest_owe(struct guest *g, unsigned debt)
{
    if (g->state != GUEST_ADMITTED)
        return; /* gets all there is when it is let in */
    g->owed |= debt;
    guest_flush(g);
}

/* --- attestation ------------------------------------------------------------------------------ */

static unsigned on_kinds(void *arg)
{
    const struct share *s = ((const struct guest *)arg)->share;
    const struct entry_set *entries = s->opt.entries(s->opt.arg);
    return entries != NULL ? entries->kinds_used : 0;
}

static void guest_admit(struct guest *g)
{
    struct share *s = g->share;
    crowd_remove(&s->waiting, &g->place);
    g->state = GUEST_ADMITTED;
    if (crowd_add(&s->admitted, &g->user, &g->place) != ERR_OK)
        log_debug("no_memory", log_str("next", "a sidecar that makes room for no other"));
    show_admitted(s);
    log_guest(g, "sidecar_connected");
    g->may_ask = true;
    unix_socket_take_descriptors(g->fd); /* from nobody before */
    g->owed = OWES_WELCOME | (s->cache >= 0 ? OWES_CACHE : 0);
    guest_flush(g);
}

static err_t check_entitled(struct guest *g, const struct selector_set *selectors, struct why *why)
{
    const struct share *s = g->share;
    const struct entry_set *entries = s->opt.entries(s->opt.arg);
    if (entries == NULL)
        return why_set(why, ERR_NOT_SYNCED, "registration entries are not loaded yet");
    return entries_check_gives(entries, selectors, slice_str(g->spiffe_id), why);
}

static void on_attested(void *arg, err_t err, struct selector_set *selectors, const struct why *why)
{
    struct guest *g = arg;
    struct share *s = g->share;
    struct why own = {.err = ERR_OK};
    if (err == ERR_LIMIT && g->state == GUEST_ADMITTED) { /* stays until there is room */
        g->recheck = true;
        need_tick(s);
        return;
    }
    if (err == ERR_OK) {
        why = &own;
        err = check_entitled(g, selectors, &own);
    }
    if (err == ERR_OK && g->state == GUEST_ASKED)
        err = make_place(g, &own);
    if (err != ERR_OK)
        guest_refuse(g, err, why);
    else if (g->state == GUEST_ASKED)
        guest_admit(g);
}

static void guest_attest(struct guest *g)
{
    struct why why = {.err = ERR_OK};
    const struct attestation_question q = {.attestors = g->share->opt.attestors,
                                           .peer = &g->connection->peer,
                                           .metrics = g->share->opt.metrics,
                                           .kinds = on_kinds,
                                           .done = on_attested,
                                           .arg = g};
    g->recheck = false;
    err_t err = attestation_start(&q, &g->attestation, &why);
    if (err != ERR_OK)
        guest_refuse(g, err, &why);
}

/* Whoever is not let in yet is attested against the newest entries as it is. */
static void guest_attest_anew(struct guest *g)
{
    if (g->state != GUEST_ADMITTED)
        return;
    attestation_cancel(&g->attestation);
    guest_attest(g);
}

/* --- receiving -------------------------------------------------------------------------------- */

static char *text_of(struct slice s)
{
    char *text = mem_alloc(s.len + 1);
    if (text != NULL && s.len > 0)
        memcpy(text, s.data, s.len);
    return text;
}

static void on_hello(struct guest *g, const struct share_message *m)
{
    struct why why = {.err = ERR_OK};
    g->spiffe_id = text_of(m->hello.spiffe_id);
    g->name = text_of(m->hello.name);
    if (g->spiffe_id == NULL || g->name == NULL) {
        guest_refuse(g, why_set(&why, ERR_NO_MEMORY, "HELLO"), &why);
        return;
    }
    g->state = GUEST_ASKED;
    crowd_answered(&g->share->waiting, &g->place);
    guest_attest(g);
}

/* Takes the descriptor. */
static void on_page(struct guest *g, int offered)
{
    struct share *s = g->share;
    g->may_ask = false;
    unix_socket_refuse_descriptors(g->fd);
    if (s->opt.page_for != NULL)
        g->page = s->opt.page_for(s->opt.arg, g->spiffe_id, g->name, offered);
    else if (offered >= 0)
        close(offered);
    guest_owe(g, g->page >= 0 ? OWES_PAGE : 0);
}

static void on_packet(struct guest *g, const struct share_packet *p)
{
    struct why why = {.err = ERR_OK};
    struct share_message m;
    err_t err = share_decode(slice_of(p->bytes, p->len), &m, &why);
    if (err == ERR_OK && m.type == SHARE_PAGE && g->may_ask) {
        on_page(g, p->descriptor);
        return;
    }
    bool is_hello = err == ERR_OK && m.type == SHARE_HELLO && g->state == GUEST_SILENT;
    if (err == ERR_OK && !is_hello && m.type != SHARE_OTHER)
        err = why_set(&why, ERR_PARSE, "%s is not for the sidecar to say now",
                      share_type_name(m.type));
    if (p->descriptor >= 0) {
        close(p->descriptor);
        err = why_set(&why, ERR_PARSE, "a descriptor that nobody asked for");
    }
    if (err != ERR_OK)
        guest_refuse(g, err, &why);
    else if (is_hello)
        on_hello(g, &m);
}

static void read_some(struct guest *g)
{
    struct why why = {.err = ERR_OK};
    struct share_packet p;
    for (int i = 0; g->state != GUEST_GONE && i < READS_PER_TURN && g->budget > 0; i++) {
        err_t err = share_receive(g->fd, &p, &why);
        if (err == ERR_OK && p.len == 0)
            return;
        g->budget--;
        need_tick(g->share);
        if (err == ERR_OK)
            on_packet(g, &p);
        else if (err == ERR_PEER_CLOSED)
            guest_leave(g);
        else
            guest_refuse(g, err, &why);
    }
}

static void on_event(uv_poll_t *h, int status, int events)
{
    struct guest *g = h->data;
    if (status != 0) {
        guest_leave(g);
        return;
    }
    patience_begin(&g->share->patience);
    if ((events & UV_READABLE) != 0)
        read_some(g);
    patience_end(&g->share->patience);
    if (g->state != GUEST_GONE)
        guest_flush(g);
}

/* --- time ------------------------------------------------------------------------------------- */

static bool guest_tend(struct guest *g)
{
    struct why why = {.err = ERR_OK};
    if (g->state == GUEST_SILENT &&
        clock_mono_ns() - g->accepted_ns >= SHARE_HELLO_MS * UINT64_C(1000000)) {
        why_set(&why, ERR_TIMEOUT, "no HELLO within %d ms", SHARE_HELLO_MS);
        guest_refuse(g, ERR_TIMEOUT, &why);
        return false;
    }
    g->budget = READS_PER_TICK;
    guest_watch(g);
    if (g->recheck && g->attestation == NULL)
        guest_attest(g);
    return g->state == GUEST_SILENT || g->recheck;
}

static void on_tick(uv_timer_t *h)
{
    struct share *s = h->data;
    struct guest *g;
    bool more = false;
    LIST_FOREACH(g, &s->guests, in_guests)
        if (g->state != GUEST_GONE)
            more |= guest_tend(g);
    if (more)
        need_tick(s);
}

/* --- being accepted --------------------------------------------------------------------------- */

static err_t guest_enter(struct share *s, int fd, struct connection **ret, struct why *why)
{
    err_t err = connections_add(s->connections, fd, why);
    if (err != ERR_OK)
        return err;
    struct connection *c = connections_find(s->connections, fd);
    err = connection_enter(c, why);
    if (err != ERR_OK)
        connections_remove(s->connections, c);
    else
        *ret = c;
    return err;
}

static err_t guest_add(struct share *s, int fd, struct why *why)
{
    struct guest *g = mem_alloc(sizeof *g);
    int bytes = QUEUE_BYTES;
    struct unix_peer who = {.uid = (uid_t)-1};
    if (g == NULL)
        return why_set(why, ERR_NO_MEMORY, "sidecar");
    (void)unix_socket_peer(fd, &who); /* who cannot be told is not let in */
    g->user = crowd_user(who.uid);
    g->pid = who.pid;
    make_room(s, &g->user, who.pid);
    err_t err = guest_enter(s, fd, &g->connection, why);
    if (err != ERR_OK) {
        mem_free(g);
        return err;
    }
    int rc = uv_poll_init(s->loop, &g->poll, fd);
    if (rc != 0) {
        connection_leave(g->connection);
        connections_remove(s->connections, g->connection);
        mem_free(g);
        return why_set(why, ERR_IO, "sidecar: %s", uv_strerror(rc));
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes); /* else a longer queue */
    g->share = s;
    g->fd = fd;
    g->page = -1;
    g->accepted_ns = clock_mono_ns();
    g->budget = READS_PER_TICK;
    g->poll.data = g->connection->owner = g;
    LIST_INSERT_HEAD(&s->guests, g, in_guests);
    closing_hold(&s->closing);
    if (crowd_add(&s->waiting, &g->user, &g->place) != ERR_OK)
        log_debug("no_memory", log_str("next", "a connection that makes room for no other"));
    guest_watch(g);
    need_tick(s);
    return ERR_OK;
}

static void on_accept(void *arg, int fd)
{
    struct share *s = arg;
    struct why why = {.err = ERR_OK};
    err_t err = guest_add(s, fd, &why);
    if (err == ERR_OK)
        return;
    report_refused(s, NULL, err, &why);
    guest_say_refused(fd, err, &why);
    patience_begin(&s->patience);
    close(fd);
    patience_end(&s->patience);
}

static void on_accept_error(void *arg, err_t err, const struct why *why)
{
    report_refused(arg, NULL, err, why);
}

static void on_process_exit(void *arg, struct connection *c)
{
    (void)arg;
    guest_leave(c->owner);
}

/* --- what changes ----------------------------------------------------------------------------- */

static void share_owe(struct share *s, unsigned debt)
{
    struct guest *g;
    LIST_FOREACH(g, &s->guests, in_guests)
        guest_owe(g, debt);
}

void share_set_cache(struct share *s, int fd, uint64_t generation)
{
    s->cache = fd;
    s->generation = generation;
    share_owe(s, OWES_CACHE);
}

void share_changed(struct share *s, uint64_t generation)
{
    s->generation = generation;
    if (s->cache >= 0)
        share_owe(s, OWES_CHANGED);
}

/* SVIDs issued before are still shown by those who have them: the limit never comes down. */
static void update_longest_life(struct share *s)
{
    int64_t life_s = s->opt.longest_life_s(s->opt.arg);
    if (life_s <= s->longest_life_s)
        return;
    s->longest_life_s = life_s;
    share_owe(s, OWES_WELCOME);
}

void share_set_entries(struct share *s)
{
    struct guest *g;
    update_longest_life(s);
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
    struct guest *g;
    if (!closing_begin(&s->closing, share_free, s, done, arg))
        return;
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
    LIST_INIT(&s->guests);
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

#include "sidecar/identity/share_link.h"

#include "common/base/backoff.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/log/log.h"
#include "common/loop/closing.h"
#include "common/share/share_message.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { READS_PER_TURN = 32 };

enum link_state {
    LINK_NOBODY,  /* no identity: nothing to say */
    LINK_WAITING, /* until the next try */
    LINK_ASKED,   /* HELLO said */
    LINK_UP,      /* WELCOME came */
};

/* One connection; lives until its handle has closed. */
struct line {
    struct share_link *link;
    uv_poll_t poll;
    int fd;
};

struct share_link {
    struct share_link_options opt;
    char path[SHARE_PATH_MAX];
    uv_loop_t *loop;
    enum link_state state;
    struct line *line;   /* owned while ASKED and UP, else NULL */
    uv_timer_t patience; /* until it is settled without a cache, or denied */
    bool settled, denied;
    uv_timer_t timer; /* WAITING: the next try; ASKED: the end of patience */
    struct backoff backoff;
    char *spiffe_id;                             /* owned; NULL: nobody */
    int page;                                    /* borrowed; -1 */
    char problem[sizeof((struct why *)0)->text]; /* last one logged */
    bool cache_failed;                           /* the last CACHE could not be taken */
    struct closing closing;                      /* held by lines */
};

static void connect_now(struct share_link *l);

/* --- words ------------------------------------------------------------------------------------ */

/* One line for each new problem, not one for each try. */
static void report(struct share_link *l, enum log_level level, const char *event,
                   const struct why *why)
{
    if (strcmp(l->problem, why_text(why)) == 0)
        return;
    snprintf(l->problem, sizeof l->problem, "%s", why_text(why));
    LOG_EVENT(level, event, log_err("reason", why->err), log_str("cause", why_text(why)),
              log_str("next", "going on without; tried again, at least every second"));
}

static void all_is_well(struct share_link *l)
{
    l->problem[0] = '\0';
    backoff_reset(&l->backoff);
}

/* Who would know is there, and does not tell: it must not look as if there were nothing to know. */
static void deny(struct share_link *l, const struct why *why)
{
    bool told = l->denied;
    uv_timer_stop(&l->patience);
    l->denied = true;
    if (!told && l->opt.on_denied != NULL && !l->closing.begun)
        l->opt.on_denied(l->opt.arg, why);
}

/* There is a cache in hand, or none to be had. */
static void settle(struct share_link *l)
{
    bool was_denied = l->denied, was_settled = l->settled;
    uv_timer_stop(&l->patience);
    l->denied = false;
    l->settled = true;
    if (was_denied && l->opt.on_denied != NULL && !l->closing.begun)
        l->opt.on_denied(l->opt.arg, NULL);
    if (!was_settled && l->opt.on_settled != NULL && !l->closing.begun)
        l->opt.on_settled(l->opt.arg);
}

/* Whoever is WELCOME and gets no cache: the agent has none. */
static void on_patience(uv_timer_t *h)
{
    struct share_link *l = h->data;
    struct why why = {.err = ERR_OK};
    if (l->state == LINK_ASKED) {
        why_set(&why, ERR_TIMEOUT, "%s: no answer yet", l->path);
        deny(l, &why);
    } else {
        settle(l);
    }
}

/* What ended a try says whether there is a cache to wait for. What makes no sense, or another
 * layout, is another program's; nobody but that can cause it. */
static void judge(struct share_link *l, const struct why *why)
{
    bool nothing = why->err == ERR_NOT_FOUND || why->err == ERR_UNSUPPORTED ||
                   why->err == ERR_PARSE || why->err == ERR_TOO_LARGE;
    if (nothing)
        settle(l);
    else
        deny(l, why);
}

/* --- lines ------------------------------------------------------------------------------------ */

static void on_line_closed(uv_handle_t *h)
{
    struct line *line = h->data;
    struct share_link *l = line->link;
    mem_free(line);
    closing_drop(&l->closing);
}

static void drop_line(struct share_link *l)
{
    if (l->line == NULL)
        return;
    uv_close((uv_handle_t *)&l->line->poll, on_line_closed);
    close(l->line->fd);
    l->line = NULL;
}

static void on_timer(uv_timer_t *h);

/* The only writer of `state`, but for share_link_open. */
static void enter(struct share_link *l, enum link_state state)
{
    enum link_state before = l->state;
    l->state = state;
    uv_timer_stop(&l->timer);
    if (state == LINK_NOBODY || state == LINK_WAITING)
        drop_line(l);
    if (state == LINK_ASKED)
        uv_timer_start(&l->timer, on_timer, SHARE_WELCOME_MS, 0);
    if (state == LINK_WAITING) {
        uint64_t random;
        rand_bytes(&random, sizeof random);
        uv_timer_start(&l->timer, on_timer, backoff_next(&l->backoff, random), 0);
    }
    if ((before == LINK_UP) != (state == LINK_UP) && l->opt.on_connected != NULL)
        l->opt.on_connected(l->opt.arg, state == LINK_UP);
}

static void on_timer(uv_timer_t *h)
{
    struct share_link *l = h->data;
    struct why why = {.err = ERR_OK};
    if (l->state == LINK_WAITING) {
        connect_now(l);
        return;
    }
    why_set(&why, ERR_TIMEOUT, "%s: no answer to HELLO in %d s", l->path, SHARE_WELCOME_MS / 1000);
    report(l, LOG_WARN, "share_failed", &why);
    enter(l, LINK_WAITING);
    judge(l, &why);
}

/* --- what comes ------------------------------------------------------------------------------- */

/* Takes the descriptor. The old view stays in use when the new one cannot be, but nobody writes it
 * any more: unless the layout is another one, the end of this line, so that it is asked for again.
 */
static err_t on_cache(struct share_link *l, int fd, struct why *why)
{
    struct revocation_view *view = NULL;
    err_t err = revocation_view_open(fd, &view, why);
    l->cache_failed = err != ERR_OK && err != ERR_UNSUPPORTED;
    if (err != ERR_OK) {
        close(fd);
        report(l, LOG_ERROR, "revocation_cache_refused", why);
        judge(l, why);
        return l->cache_failed ? err : ERR_OK;
    }
    all_is_well(l);
    if (l->opt.on_cache != NULL)
        l->opt.on_cache(l->opt.arg, view);
    settle(l);
    revocation_view_unref(view);
    return ERR_OK;
}

/* With the one we have: the agent may be a new one. If it cannot be said the line is about to end.
 */
static void ask_for_page(struct share_link *l)
{
    struct share_packet p;
    struct share_message m = {.type = SHARE_PAGE};
    struct why why = {.err = ERR_OK};
    if (l->line == NULL || l->opt.on_page == NULL)
        return;
    err_t err = share_encode(&m, &p, &why);
    p.descriptor = l->page;
    if (err == ERR_OK)
        err = share_send(l->line->fd, &p, &why);
    if (err != ERR_OK)
        log_debug("page_not_asked_for", log_err("reason", err), log_str("cause", why_text(&why)));
}

static void on_welcome(struct share_link *l, const struct share_message *m)
{
    if (!l->cache_failed)
        all_is_well(l);
    if (l->state != LINK_UP) {
        LOG_EVENT(l->cache_failed ? LOG_DEBUG : LOG_INFO, "share_connected",
                  log_str("path", l->path), log_slice("agent", m->welcome.program));
        enter(l, LINK_UP);
        uv_timer_start(&l->patience, on_patience, SHARE_SETTLE_MS, 0);
        ask_for_page(l);
    }
    if (l->opt.on_welcome != NULL)
        l->opt.on_welcome(l->opt.arg, m->welcome.longest_life_s);
}

static err_t refused(const struct share_link *l, const struct share_message *m, struct why *why)
{
    err_t err = ERR_RPC;
    for (size_t i = 0; i < err_count(); i++)
        if (slice_eq_str(m->refused.reason, err_name(err_at(i))))
            err = err_at(i);
    return why_set(why, err, "the agent refused %s: %.*s", l->spiffe_id,
                   SLICE_ARG(m->refused.text));
}

/* Takes `*descriptor` when the message is one that has one. */
static err_t on_message(struct share_link *l, const struct share_message *m, int *descriptor,
                        struct why *why)
{
    bool needs_descriptor = m->type == SHARE_CACHE || m->type == SHARE_PAGE;
    bool before_welcome = m->type == SHARE_WELCOME || m->type == SHARE_REFUSED;
    int fd = *descriptor;
    if (m->type == SHARE_OTHER)
        return ERR_OK;
    if (m->type == SHARE_HELLO || (l->state != LINK_UP && !before_welcome))
        return why_set(why, ERR_PARSE, "%s: %s is not for the agent to say now", l->path,
                       share_type_name(m->type));
    if (needs_descriptor && fd < 0)
        return why_set(why, ERR_PARSE, "%s: %s without a descriptor", l->path,
                       share_type_name(m->type));
    if (needs_descriptor)
        *descriptor = -1;
    if (m->type == SHARE_WELCOME)
        on_welcome(l, m);
    else if (m->type == SHARE_CACHE)
        return on_cache(l, fd, why);
    else if (m->type == SHARE_CHANGED && l->opt.on_changed != NULL)
        l->opt.on_changed(l->opt.arg, m->cache.generation);
    else if (m->type == SHARE_PAGE && l->opt.on_page != NULL)
        l->opt.on_page(l->opt.arg, fd);
    else if (m->type == SHARE_PAGE)
        close(fd);
    else if (m->type == SHARE_REFUSED)
        return refused(l, m, why);
    return ERR_OK;
}

/* ERR_CANCELED: nothing waits. */
static err_t read_one(struct share_link *l, struct why *why)
{
    struct share_packet p;
    struct share_message m;
    err_t err = share_receive(l->line->fd, &p, why);
    if (err != ERR_OK)
        return why_add(why, err, "%s", l->path);
    if (p.len == 0)
        return ERR_CANCELED;
    err = share_decode(slice_of(p.bytes, p.len), &m, why);
    if (err == ERR_OK)
        err = on_message(l, &m, &p.descriptor, why);
    else
        why_add(why, err, "%s", l->path);
    if (p.descriptor >= 0)
        close(p.descriptor);
    return err;
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct line *line = h->data;
    struct share_link *l = line->link;
    struct why why = {.err = ERR_OK};
    err_t err = ERR_OK;
    (void)events;
    /* Reading tells what is wrong, where there is something. A callback may close the link, or
     * change who we are. */
    for (int i = 0; err == ERR_OK && l->line == line && i < READS_PER_TURN; i++)
        err = read_one(l, &why);
    if (err == ERR_CANCELED && status != 0)
        err = why_set(&why, ERR_IO, "%s: %s", l->path, uv_strerror(status));
    if (err == ERR_OK || err == ERR_CANCELED || l->line != line)
        return;
    bool gone = err == ERR_PEER_CLOSED && l->state == LINK_UP;
    report(l, gone ? LOG_INFO : LOG_WARN, gone ? "share_lost" : "share_failed", &why);
    enter(l, LINK_WAITING);
    if (!gone) /* else the next try tells */
        judge(l, &why);
}

/* --- connecting ------------------------------------------------------------------------------- */

static err_t open_socket(const struct share_link *l, int *ret, struct why *why)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof sun.sun_path, "%s", l->path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return why_errno(why, ERR_IO, "%s", l->path);
    if (connect(fd, (const struct sockaddr *)&sun, sizeof sun) == 0) {
        *ret = fd;
        return ERR_OK;
    }
    bool absent = errno == ENOENT || errno == ECONNREFUSED;
    err_t err = why_errno(why, absent ? ERR_NOT_FOUND : ERR_CONNECT, "%s", l->path);
    close(fd);
    return err;
}

static err_t say_hello(const struct share_link *l, int fd, struct why *why)
{
    struct share_packet p;
    struct share_message m = {.type = SHARE_HELLO,
                              .hello = {.program = slice_str(SPINDLE_VERSION),
                                        .spiffe_id = slice_str(l->spiffe_id),
                                        .name = slice_str(l->opt.name)}};
    err_t err = share_encode(&m, &p, why);
    if (err == ERR_OK)
        err = share_send(fd, &p, why);
    return err == ERR_OK ? err : why_add(why, err, "%s", l->path);
}

/* Takes fd on success. */
static err_t open_line(struct share_link *l, int fd, struct why *why)
{
    struct line *line = mem_alloc(sizeof *line);
    if (line == NULL)
        return why_set(why, ERR_NO_MEMORY, "%s", l->path);
    int rc = uv_poll_init(l->loop, &line->poll, fd);
    if (rc != 0) {
        mem_free(line);
        return why_set(why, ERR_IO, "%s: %s", l->path, uv_strerror(rc));
    }
    line->link = l;
    line->fd = fd;
    line->poll.data = line;
    uv_poll_start(&line->poll, UV_READABLE, on_readable);
    l->line = line;
    closing_hold(&l->closing);
    return ERR_OK;
}

static void connect_now(struct share_link *l)
{
    struct why why = {.err = ERR_OK};
    int fd = -1;
    err_t err = open_socket(l, &fd, &why);
    if (err == ERR_OK)
        err = say_hello(l, fd, &why);
    if (err == ERR_OK || err == ERR_PEER_CLOSED) /* what it said before it closed is read */
        err = open_line(l, fd, &why);
    if (err == ERR_OK) {
        enter(l, LINK_ASKED);
        return;
    }
    if (fd >= 0)
        close(fd);
    if (err == ERR_NOT_FOUND)
        report(l, LOG_INFO, "share_absent", &why);
    else
        report(l, LOG_WARN, "share_failed", &why);
    enter(l, LINK_WAITING);
    judge(l, &why);
}

void share_link_set_identity(struct share_link *l, struct slice spiffe_id)
{
    bool same = l->spiffe_id != NULL && slice_eq_str(spiffe_id, l->spiffe_id);
    if (l->closing.begun || same || spiffe_id.len == 0)
        return;
    mem_free(l->spiffe_id);
    l->spiffe_id = NULL;
    enter(l, LINK_NOBODY);
    l->spiffe_id = mem_alloc(spiffe_id.len + 1);
    if (l->spiffe_id == NULL) {
        settle(l);
        return; /* the next rotation brings it again */
    }
    memcpy(l->spiffe_id, spiffe_id.data, spiffe_id.len);
    if (!l->settled)
        uv_timer_start(&l->patience, on_patience, SHARE_SETTLE_MS, 0);
    backoff_reset(&l->backoff);
    connect_now(l);
}

void share_link_set_page(struct share_link *l, int fd)
{
    l->page = fd;
}

void share_link_retry(struct share_link *l)
{
    if (l->closing.begun || l->state != LINK_WAITING)
        return;
    backoff_reset(&l->backoff);
    connect_now(l);
}

/* --- life ------------------------------------------------------------------------------------- */

static void link_free(void *arg)
{
    struct share_link *l = arg;
    mem_free(l->spiffe_id);
    mem_free(l);
}

err_t share_link_open(uv_loop_t *loop, const struct share_link_options *opt,
                      struct share_link **ret, struct why *why)
{
    struct share_link *l = mem_alloc(sizeof *l);
    if (l == NULL)
        return why_set(why, ERR_NO_MEMORY, "share.sock");
    err_t err = share_path(opt->api_socket, l->path, why);
    if (err != ERR_OK) {
        mem_free(l);
        return err;
    }
    l->opt = *opt;
    l->loop = loop;
    l->page = -1;
    backoff_init(&l->backoff, SHARE_RETRY_FIRST_MS, SHARE_RETRY_CAP_MS);
    uv_timer_init(loop, &l->timer);
    uv_timer_init(loop, &l->patience);
    l->timer.data = l->patience.data = l;
    *ret = l;
    return ERR_OK;
}

void share_link_close(struct share_link *l, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&l->closing, link_free, l, done, arg))
        return;
    l->opt.on_connected = NULL;
    enter(l, LINK_NOBODY);
    closing_handle(&l->closing, &l->timer);
    closing_handle(&l->closing, &l->patience);
}

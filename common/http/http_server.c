#include "common/http/http_server_internal.h"

#include "common/base/mem.h"
#include "common/http/http_host.h"

#include <netinet/in.h>
#include <unistd.h>

#define PLACES 64           /* preset of max_connections */
#define HOST_SHOWN 100u     /* bytes of a foreign name in the log */
#define TURNS_TO_BE_HEARD 4 /* that a new connection has at least before others have its place */

/* --- places ----------------------------------------------------------------------------------- */

void http_server_conn_gone(struct http_server *s)
{
    if (!s->closing.begun)
        acceptor_retry(s->acceptor);
    closing_drop(&s->closing);
}

void http_server_count_cut(struct http_server *s, enum http_cut why)
{
    if (s->opt.metrics != NULL)
        metric_add(s->opt.metrics, M_HTTP_CUT, why, 0, 0, 1);
}

/* Who makes room: who is between requests, else the oldest that has not sent its request, else the
 * oldest that has not taken its answer. NULL: nobody is here. */
static struct http_conn *first_to_go(const struct http_server *s)
{
    struct http_conn *c, *first = NULL;
    LIST_FOREACH(c, &s->conns, in_conns) {
        if (c->state == HTTP_CONN_CLOSING || c == s->in_handler)
            continue;
        if (first == NULL || c->state < first->state ||
            (c->state == first->state && c->since < first->since))
            first = c;
    }
    return first;
}

static void say_cut(struct http_server *s, enum http_cut why, const char *cause)
{
    char text[ADDRESS_TEXT_LEN];
    http_server_count_cut(s, why);
    LOG_LIMITED(&s->lines, LOG_WARN, "http_connection_cut",
                log_str("listen", address_text(&s->address, text)), log_str("cause", cause));
}

static bool may_be_bare(const struct http_server *s, struct slice path)
{
    for (const char *const *p = s->opt.bare_paths; p != NULL && *p != NULL; p++) {
        if (slice_eq_str(path, *p))
            return true;
    }
    return false;
}

bool http_server_is_foreign(struct http_server *s, const struct http_request *req)
{
    char text[ADDRESS_TEXT_LEN];
    struct slice host = req->host;
    if (!s->opt.check_host || !http_host_matters(&s->address) ||
        http_host_is_ours(host, s->opt.hosts) ||
        (http_host_is_bare(host) && may_be_bare(s, req->path)))
        return false;
    if (s->opt.metrics != NULL)
        metric_add(s->opt.metrics, M_HTTP_FOREIGN_HOST, 0, 0, 0, 1);
    struct slice shown = slice_of(host.data, host.len < HOST_SHOWN ? host.len : HOST_SHOWN);
    LOG_LIMITED(&s->foreign, LOG_WARN, "http_foreign_host",
                log_str("listen", address_text(&s->address, text)), log_slice("host", shown),
                log_str("help", "a loopback address answers to addresses, localhost and "
                                "metrics.hosts: a web page may be behind another name"));
    return true;
}

/* Nobody who has been here for less than `least_ms`. */
static void make_room(struct http_server *s, enum http_cut why, uint64_t least_ms,
                      const char *cause)
{
    struct http_conn *c = first_to_go(s);
    if (c == NULL || uv_now(s->loop) - c->since_ms < least_ms)
        return;
    if (c->state > HTTP_CONN_IDLE) /* else it has lost nothing */
        say_cut(s, why, cause);
    http_conn_close(c);
}

static size_t count_open(const struct http_server *s)
{
    size_t open = 0;
    const struct http_conn *c;
    LIST_FOREACH(c, &s->conns, in_conns)
        open += c->state != HTTP_CONN_CLOSING;
    return open;
}

static struct http_conn *oldest_answer(const struct http_server *s, size_t *ret_bytes)
{
    struct http_conn *c, *oldest = NULL;
    *ret_bytes = 0;
    LIST_FOREACH(c, &s->conns, in_conns) {
        if (c->state != HTTP_CONN_ANSWERING)
            continue;
        *ret_bytes += c->response.body.len;
        if (oldest == NULL || c->since < oldest->since)
            oldest = c;
    }
    return oldest;
}

void http_server_bound_answers(struct http_server *s, const struct http_conn *newest)
{
    size_t bytes;
    for (;;) {
        struct http_conn *c = oldest_answer(s, &bytes);
        if (bytes <= HTTP_ANSWERS_MAX || c == newest)
            return;
        say_cut(s, HTTP_CUT_ROOM, "answers that nobody takes fill the memory for them");
        http_conn_close(c);
    }
}

/* --- accepting -------------------------------------------------------------------------------- */

static bool may_use(struct http_conn *c, int fd)
{
    if (!c->server->is_unix)
        return true;
    bool known = unix_socket_peer(fd, &c->caller);
    return !c->server->opt.owner_only ||
           (known && (c->caller.uid == 0 || c->caller.uid == geteuid()));
}

static void on_accept(void *arg, int fd, const struct sockaddr_storage *from)
{
    struct http_server *s = arg;
    struct http_conn *c = NULL;
    (void)from;
    if (count_open(s) >= s->opt.max_connections)
        make_room(s, HTTP_CUT_ROOM, 0, "all places are taken: who takes longest makes room");
    if (http_conn_open(s, fd, &c) != ERR_OK)
        close(fd);
    else if (c->state == HTTP_CONN_READING && !may_use(c, fd))
        http_conn_fail(c, 403);
}

/* The one who waits in the kernel's queue comes next. Who was just taken is heard first. */
static void on_accept_error(void *arg, err_t err, const struct why *why)
{
    struct http_server *s = arg;
    if (err == ERR_LIMIT)
        make_room(s, HTTP_CUT_DESCRIPTORS, ACCEPTOR_PAUSE_MS, why_text(why));
}

/* --- the server ------------------------------------------------------------------------------- */

static err_t open_tcp(const struct address *listen_on, int *ret_fd, struct why *why)
{
    char text[ADDRESS_TEXT_LEN];
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    if (address_sockaddr(listen_on, &sa, &len) != ERR_OK)
        return why_set(why, ERR_CONFIG, "%s: expected an IP address and a port to listen on",
                       address_text(listen_on, text));
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) != 0 ||
        bind(fd, (struct sockaddr *)&sa, len) != 0 || listen(fd, SOMAXCONN) != 0) {
        err_t err = why_errno(why, ERR_IO, "cannot listen on %s", address_text(listen_on, text));
        if (fd >= 0)
            close(fd);
        return err;
    }
    *ret_fd = fd;
    return ERR_OK;
}

/* The port the kernel picked. */
static void learn_port(struct http_server *s, int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    if (s->is_unix || getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return;
    if (sa.ss_family == AF_INET)
        s->address.port = ntohs(((struct sockaddr_in *)&sa)->sin_port);
    else
        s->address.port = ntohs(((struct sockaddr_in6 *)&sa)->sin6_port);
}

static err_t open_socket(struct http_server *s, int *ret_fd, struct why *why)
{
    if (!s->is_unix)
        return open_tcp(&s->address, ret_fd, why);
    err_t err = unix_socket_open(s->address.host, SOCK_STREAM, s->opt.socket_mode, &s->file, why);
    if (err == ERR_OK)
        *ret_fd = s->file.fd;
    return err;
}

err_t http_server_open(uv_loop_t *loop, const struct address *listen_on,
                       const struct http_server_options *opt, struct http_server **ret,
                       struct why *why)
{
    int fd = -1;
    struct http_server *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return why_set(why, ERR_NO_MEMORY, "HTTP server");
    s->opt = *opt;
    if (s->opt.max_connections == 0)
        s->opt.max_connections = PLACES;
    s->loop = loop;
    s->is_unix = listen_on->kind == ADDRESS_UNIX;
    s->address = *listen_on;
    err_t err = open_socket(s, &fd, why);
    if (err != ERR_OK) {
        mem_free(s);
        return err;
    }
    learn_port(s, fd);
    struct acceptor_options accepts = {
        .fd = fd,
        .per_turn = (unsigned)(s->opt.max_connections / TURNS_TO_BE_HEARD) + 1,
        .spare = true,
        .on_accept = on_accept,
        .on_error = on_accept_error,
        .arg = s};
    err = acceptor_open(loop, &accepts, &s->acceptor, why);
    if (err != ERR_OK) {
        if (s->is_unix)
            unix_socket_unlink(&s->file);
        close(fd);
        mem_free(s);
        return err;
    }
    *ret = s;
    return ERR_OK;
}

void http_server_address(const struct http_server *s, struct address *ret)
{
    *ret = s->address;
}

void http_server_close(struct http_server *s, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&s->closing, mem_free, s, done, arg))
        return;
    if (s->is_unix)
        unix_socket_unlink(&s->file);
    struct http_conn *c;
    LIST_FOREACH(c, &s->conns, in_conns) {
        if (c != s->in_handler)
            http_conn_close(c);
    }
    acceptor_close(s->acceptor, closing_drop, closing_hold(&s->closing));
}

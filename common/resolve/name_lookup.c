/* c-ares gives the parts: configuration, /etc/hosts, one question to name servers with its retries.
 * What is done with them is here, because its own ares_getaddrinfo waits for the slower of the two
 * families and sorts. Each look-up has a channel of its own: it costs nothing between look-ups,
 * reads the configuration of now, sends from a port of its own, and ends with it. */
#include "common/resolve/name_lookup.h"

#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/resolve/dns_name.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/time.h>

enum { FAMILY_V4, FAMILY_V6, FAMILIES };

struct question {
    struct name_lookup *lookup;
    bool pending;
    enum name_result result;
};

struct server_watch { /* one socket of the channel */
    uv_poll_t poll;
    struct name_lookup *lookup;
    LIST_ENTRY(server_watch) in_watches;
    ares_socket_t fd;
};

struct name_lookup {
    uv_loop_t *loop;
    name_lookup_done done; /* NULL: over */
    void *arg;
    char name[DNS_NAME_SIZE];
    struct name_lookup_options options;
    ares_channel channel;       /* NULL: not open */
    struct ares_options config; /* as c-ares read it; ours to destroy with the channel */
    struct dns_search search;
    const char *place;         /* of config.lookups: 'f' file, 'b' servers; what comes next */
    size_t candidate;          /* whole names asked for so far */
    char whole[DNS_NAME_SIZE]; /* the last of them */
    unsigned servers, failed;  /* all of them; those that failed to answer about `whole` */
    struct question questions[FAMILIES];
    enum name_result failure; /* the most telling so far */
    struct ip_set found;
    uint32_t ttl_s;
    unsigned passed;
    bool told_part, wants_part;
    bool broken; /* a socket of it cannot be watched */
    uv_timer_t tick, delay, limit;
    LIST_HEAD(, server_watch) watches;
    unsigned busy; /* handles that libuv still has; 0: free */
};

/* --- words of c-ares -------------------------------------------------------------------------- */

static enum name_result result_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return NAME_OK;
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
        return NAME_UNKNOWN;
    case ARES_ENODATA:
        return NAME_NO_ADDRESS;
    case ARES_ESERVFAIL:
    case ARES_EREFUSED:
    case ARES_ENOTIMP:
    case ARES_EFORMERR:
    case ARES_EBADRESP:
        return NAME_SERVER_FAILURE;
    case ARES_ECONNREFUSED:
        return NAME_UNREACHABLE;
    case ARES_ETIMEOUT:
        return NAME_TIMEOUT;
    default:
        return NAME_FAILED;
    }
}

/* --- life ------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    struct name_lookup *l = handle->data;
    if (--l->busy == 0)
        mem_free(l);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct server_watch *w = handle->data;
    struct name_lookup *l = w->lookup;
    mem_free(w);
    if (--l->busy == 0)
        mem_free(l);
}

static void close_channel(struct name_lookup *l)
{
    if (l->channel == NULL)
        return;
    ares_destroy(l->channel); /* says of each socket that it goes, and ends questions */
    ares_destroy_options(&l->config);
    l->channel = NULL;
}

static void end(struct name_lookup *l)
{
    l->done = NULL;
    close_channel(l);
    uv_close((uv_handle_t *)&l->tick, on_closed);
    uv_close((uv_handle_t *)&l->delay, on_closed);
    uv_close((uv_handle_t *)&l->limit, on_closed);
}

void name_lookup_cancel(struct name_lookup *l)
{
    end(l);
}

/* --- what is told ----------------------------------------------------------------------------- */

static void tell(struct name_lookup *l, enum name_result result, bool part)
{
    name_lookup_done done = l->done;
    void *arg = l->arg;
    struct ip_list *list = NULL;
    if (result == NAME_OK) {
        list = ip_list_new(l->found.items, l->found.count);
        result = list != NULL ? NAME_OK : NAME_FAILED;
    }
    struct name_found found = {.result = result,
                               .list = list,
                               .ttl_s = l->ttl_s,
                               .part = part,
                               .left_out = l->found.left_out,
                               .passed = l->passed};
    l->told_part = true;
    if (!part)
        end(l);
    done(arg, &found);
    ip_list_unref(list);
}

static void on_delay(uv_timer_t *timer);

/* One answer of two is here. IPv6's are used at once, IPv4's wait a moment for the other. */
static void consider_part(struct name_lookup *l)
{
    if (l->told_part || l->found.count == 0)
        return;
    if (l->wants_part || l->questions[FAMILY_V4].pending)
        tell(l, NAME_OK, true);
    else if (!uv_is_active((uv_handle_t *)&l->delay))
        uv_timer_start(&l->delay, on_delay, NAME_LOOKUP_DELAY_MS, 0);
}

/* --- files ------------------------------------------------------------------------------------ */

static void on_file_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct name_lookup *l = arg;
    (void)timeouts;
    if (status != ARES_SUCCESS)
        return; /* not there, or not to be read: what comes next is asked */
    for (const struct ares_addrinfo_node *n = info->nodes; n != NULL; n = n->ai_next) {
        if (n->ai_family == AF_INET)
            ip_set_add(&l->found,
                       ip_of(AF_INET, &((const struct sockaddr_in *)n->ai_addr)->sin_addr));
        else if (n->ai_family == AF_INET6)
            ip_set_add(&l->found,
                       ip_of(AF_INET6, &((const struct sockaddr_in6 *)n->ai_addr)->sin6_addr));
    }
    l->ttl_s = 0;
    ares_freeaddrinfo(info);
}

/* Within the call: it opens no socket. A channel that knows files alone, for there is no other way
 * to ask for them alone. */
static void ask_file(struct name_lookup *l)
{
    char files[] = "f";
    struct ares_options options = {.lookups = files};
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_flags = ARES_AI_NOSORT};
    char name[DNS_NAME_SIZE];
    ares_channel channel = NULL;
    size_t len = strlen(l->name);
    memcpy(name, l->name, len + 1);
    if (len > 0 && name[len - 1] == '.')
        name[len - 1] = '\0'; /* which no line of the file has */
    if (ares_init_options(&channel, &options, ARES_OPT_LOOKUPS) != ARES_SUCCESS)
        return;
    ares_getaddrinfo(channel, name, NULL, &hints, on_file_answer, l);
    ares_destroy(channel);
}

/* --- servers ---------------------------------------------------------------------------------- */

static void note_ttl(struct name_lookup *l, bool first, int ttl)
{
    uint32_t t = ttl > 0 ? (uint32_t)ttl : 0;
    l->ttl_s = first || t < l->ttl_s ? t : l->ttl_s;
}

static int take_v4(struct name_lookup *l, const unsigned char *answer, int len)
{
    struct ares_addrttl rows[IP_LIST_MAX + 1];
    int count = IP_LIST_MAX + 1;
    int status = ares_parse_a_reply(answer, len, NULL, rows, &count);
    for (int i = 0; status == ARES_SUCCESS && i < count; i++) {
        note_ttl(l, l->found.count == 0, rows[i].ttl);
        ip_set_add(&l->found, ip_of(AF_INET, &rows[i].ipaddr));
    }
    return status == ARES_SUCCESS && count == 0 ? ARES_ENODATA : status;
}

static int take_v6(struct name_lookup *l, const unsigned char *answer, int len)
{
    struct ares_addr6ttl rows[IP_LIST_MAX + 1];
    int count = IP_LIST_MAX + 1;
    int status = ares_parse_aaaa_reply(answer, len, NULL, rows, &count);
    for (int i = 0; status == ARES_SUCCESS && i < count; i++) {
        note_ttl(l, l->found.count == 0, rows[i].ttl);
        ip_set_add(&l->found, ip_of(AF_INET6, &rows[i].ip6addr));
    }
    return status == ARES_SUCCESS && count == 0 ? ARES_ENODATA : status;
}

/* Maybe from within ares_query or ares_destroy: it only notes. */
static void on_answer(void *arg, int status, int timeouts, unsigned char *answer, int len)
{
    struct question *q = arg;
    struct name_lookup *l = q->lookup;
    bool v4 = q == &l->questions[FAMILY_V4];
    q->pending = false;
    if (l->done == NULL)
        return;
    if (status == ARES_SUCCESS)
        status = v4 ? take_v4(l, answer, len) : take_v6(l, answer, len);
    q->result = result_of(status);
    if (name_result_is_final(q->result) && timeouts > 0 && (unsigned)timeouts > l->passed)
        l->passed = (unsigned)timeouts;
}

static void ask_servers(struct name_lookup *l)
{
    static const int types[FAMILIES] = {[FAMILY_V4] = ns_t_a, [FAMILY_V6] = ns_t_aaaa};
    for (int i = 0; i < FAMILIES; i++)
        l->questions[i] = (struct question){.lookup = l, .pending = true};
    for (int i = 0; i < FAMILIES; i++)
        ares_query(l->channel, l->whole, ns_c_in, types[i], on_answer, &l->questions[i]);
}

/* The first `skip` servers go to the end. */
static int turn_servers(struct name_lookup *l, unsigned by)
{
    struct ares_addr_port_node *first = NULL, *last, *cut;
    unsigned count = 1;
    int status = ares_get_servers_ports(l->channel, &first);
    if (status != ARES_SUCCESS)
        return status;
    for (last = first; last != NULL && last->next != NULL; last = last->next)
        count++;
    l->servers = count;
    unsigned skip = by % count;
    if (first != NULL && skip > 0) {
        cut = first;
        for (unsigned i = 1; i < skip; i++)
            cut = cut->next;
        last->next = first;
        first = cut->next;
        cut->next = NULL;
        status = ares_set_servers_ports(l->channel, first);
    }
    ares_free_data(first);
    return status;
}

/* Of the two answers about one whole name, neither with an address: a failure says more than a
 * denial, but a name that does not exist has no address of any family. */
static enum name_result verdict(const struct name_lookup *l)
{
    enum name_result a = l->questions[FAMILY_V4].result, b = l->questions[FAMILY_V6].result;
    if (a == NAME_UNKNOWN)
        return NAME_UNKNOWN;
    if (name_result_is_final(a))
        return name_result_is_final(b) ? NAME_NO_ADDRESS : b;
    return a;
}

/* --- step by step ----------------------------------------------------------------------------- */

/* Servers that keep silent do so for the next name as well; whatever else may be met with the next.
 */
static bool ends_search(enum name_result r)
{
    return r == NAME_TIMEOUT || r == NAME_UNREACHABLE || r == NAME_FAILED;
}

static void note_failure(struct name_lookup *l, enum name_result r)
{
    if (l->failure == NAME_UNKNOWN || !name_result_is_final(r))
        l->failure = r;
}

/* A server that cannot answer is no reason to give up while there are others. (c-ares would ask
 * them itself, and then not say what it met.) False: there are none. */
static bool ask_next_server(struct name_lookup *l)
{
    if (++l->failed >= l->servers || turn_servers(l, 1) != ARES_SUCCESS)
        return false;
    l->passed++;
    ask_servers(l);
    return true;
}

/* Asks the next place, or for the next whole name there; false: there is none. */
static bool ask_next(struct name_lookup *l)
{
    bool over = false;
    if (l->candidate > 0) {
        enum name_result r = verdict(l);
        if (r == NAME_SERVER_FAILURE && ask_next_server(l))
            return true;
        note_failure(l, r);
        over = ends_search(r);
    }
    for (; *l->place != '\0'; l->place++) {
        if (*l->place == 'f') {
            ask_file(l);
            l->place++;
            return true;
        }
        if (*l->place == 'b' && !over &&
            dns_name_next(l->name, &l->search, &l->candidate, l->whole)) {
            l->failed = 0;
            ask_servers(l);
            return true;
        }
    }
    return false;
}

static void arm(struct name_lookup *l);

static void step(struct name_lookup *l)
{
    while (l->done != NULL) {
        bool pending = l->questions[FAMILY_V4].pending || l->questions[FAMILY_V6].pending;
        if (l->broken) {
            tell(l, NAME_FAILED, false);
        } else if (pending) {
            consider_part(l);
            arm(l);
            return;
        } else if (l->found.count > 0) {
            tell(l, NAME_OK, false);
        } else if (!ask_next(l)) {
            tell(l, l->failure, false);
        }
    }
}

/* --- loop glue -------------------------------------------------------------------------------- */

static void on_tick(uv_timer_t *timer)
{
    struct name_lookup *l = timer->data;
    ares_process_fd(l->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    step(l);
}

static void arm(struct name_lookup *l)
{
    struct timeval tv;
    const struct timeval *left = ares_timeout(l->channel, NULL, &tv);
    if (left != NULL)
        uv_timer_start(&l->tick, on_tick,
                       (uint64_t)left->tv_sec * 1000 + (uint64_t)left->tv_usec / 1000 + 1, 0);
    else
        uv_timer_stop(&l->tick);
}

static void on_delay(uv_timer_t *timer)
{
    struct name_lookup *l = timer->data;
    l->wants_part = true;
    consider_part(l);
}

static void on_limit(uv_timer_t *timer)
{
    struct name_lookup *l = timer->data;
    enum name_result r = l->found.count > 0 ? NAME_OK : NAME_TIMEOUT;
    tell(l, r, false);
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct server_watch *w = poll->data;
    struct name_lookup *l = w->lookup;
    bool broken = status < 0; /* c-ares sees why when it reads */
    ares_process_fd(l->channel, broken || (events & UV_READABLE) != 0 ? w->fd : ARES_SOCKET_BAD,
                    (events & UV_WRITABLE) != 0 ? w->fd : ARES_SOCKET_BAD);
    step(l);
}

static struct server_watch *watch_find(const struct name_lookup *l, ares_socket_t fd)
{
    struct server_watch *w;
    LIST_FOREACH(w, &l->watches, in_watches)
        if (w->fd == fd)
            break;
    return w;
}

static struct server_watch *watch_of(struct name_lookup *l, ares_socket_t fd)
{
    struct server_watch *w = watch_find(l, fd);
    if (w != NULL)
        return w;
    w = mem_alloc(sizeof *w);
    if (w == NULL || uv_poll_init(l->loop, &w->poll, fd) != 0) {
        mem_free(w);
        l->broken = true;
        return NULL;
    }
    w->lookup = l;
    w->fd = fd;
    w->poll.data = w;
    LIST_INSERT_HEAD(&l->watches, w, in_watches);
    l->busy++;
    return w;
}

static void unwatch(struct name_lookup *l, ares_socket_t fd)
{
    struct server_watch *w = watch_find(l, fd);
    if (w == NULL)
        return;
    LIST_REMOVE(w, in_watches);
    uv_close((uv_handle_t *)&w->poll, on_watch_closed); /* out of epoll before c-ares closes it */
}

static void on_interest(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct name_lookup *l = arg;
    if (!readable && !writable) {
        unwatch(l, fd);
        return;
    }
    struct server_watch *w = watch_of(l, fd);
    if (w != NULL)
        uv_poll_start(&w->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
                      on_socket);
}

/* --- start ------------------------------------------------------------------------------------ */

static int open_channel(struct name_lookup *l)
{
    struct ares_options options = {
        .flags = ARES_FLAG_EDNS | ARES_FLAG_NOCHECKRESP,
        .timeout = l->options.server_ms > 0 ? l->options.server_ms : NAME_LOOKUP_SERVER_MS,
        .tries = NAME_LOOKUP_ROUNDS,
        .ednspsz = (int)NAME_LOOKUP_EDNS_SIZE,
        .sock_state_cb = on_interest,
        .sock_state_cb_data = l,
        .resolvconf_path = (char *)l->options.resolv_conf,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
               ARES_OPT_SOCK_STATE_CB | (l->options.resolv_conf != NULL ? ARES_OPT_RESOLVCONF : 0);
    int status = ares_init_options(&l->channel, &options, mask);
    if (status != ARES_SUCCESS) {
        l->channel = NULL;
        return status;
    }
    if (l->options.servers != NULL)
        status = ares_set_servers_ports_csv(l->channel, l->options.servers);
    if (status == ARES_SUCCESS)
        status = turn_servers(l, l->options.skip);
    if (status == ARES_SUCCESS)
        status = ares_save_options(l->channel, &l->config, &mask);
    return status;
}

static void on_start(uv_timer_t *timer)
{
    struct name_lookup *l = timer->data;
    if (open_channel(l) != ARES_SUCCESS) {
        tell(l, NAME_FAILED, false);
        return;
    }
    l->place = l->config.lookups != NULL ? l->config.lookups : "fb";
    l->search = (struct dns_search){.domains = (const char *const *)l->config.domains,
                                    .count = (size_t)l->config.ndomains,
                                    .ndots = l->config.ndots};
    step(l);
}

static void open_timer(struct name_lookup *l, uv_timer_t *timer)
{
    uv_timer_init(l->loop, timer);
    timer->data = l;
    l->busy++;
}

err_t name_lookup_start(uv_loop_t *loop, const char *name,
                        const struct name_lookup_options *options, name_lookup_done done, void *arg,
                        struct name_lookup **ret, struct why *why)
{
    struct name_lookup *l = mem_alloc(sizeof *l);
    if (l == NULL)
        return why_set(why, ERR_NO_MEMORY, "look-up of %s", name);
    l->loop = loop;
    l->done = done;
    l->arg = arg;
    l->options = *options;
    l->failure = NAME_UNKNOWN;
    dns_name_fold(name, l->name);
    open_timer(l, &l->tick);
    open_timer(l, &l->delay);
    open_timer(l, &l->limit);
    uv_timer_start(&l->tick, on_start, 0, 0);
    uv_timer_start(&l->limit, on_limit, NAME_LOOKUP_LIMIT_MS, 0);
    *ret = l;
    return ERR_OK;
}

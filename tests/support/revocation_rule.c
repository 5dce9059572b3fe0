#include "tests/support/revocation_rule.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Kinds of numbers: their upper 32 bits. */
enum kind { FIXED, RISING, CHANGING, NEVER };
#define KIND_SHIFT 32
/* A time: below AT_SHIFT a check, above it which write it was. In all it has 40 bits. */
#define AT_SHIFT 10
#define AT_CHECK ((1u << AT_SHIFT) - 1)
#define WRITES_MAX (UINT64_C(1) << (40 - AT_SHIFT))
#define TOLD_MAX 10 /* wrong answers of one reader that are printed */

static const uint8_t issuers[][REVOCATION_ISSUER_LEN] = {"not complete", "complete", "changing"};
enum { NOT_COMPLETE, COMPLETE, CHANGING_LIST };

static void die(const char *what, const struct why *why)
{
    fprintf(stderr, "revocation_rule: %s: %s\n", what, why_text(why));
    abort();
}

static void must(err_t err, const struct why *why)
{
    if (err != ERR_OK)
        die("writer", why);
}

static uint64_t mix(uint64_t x)
{
    x = (x + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 29;
}

static uint64_t draw(uint64_t *random, uint64_t below)
{
    *random = mix(*random);
    return *random % below;
}

/* The rule: what write number k says of n. */
static struct revocation_status status_of(uint64_t n, uint64_t k)
{
    uint64_t check = mix(mix(n) ^ k);
    return (struct revocation_status){
        .state = REVOCATION_REVOKED,
        .reason = revocation_reason_at(check % revocation_reason_count()),
        .at = (int64_t)(k << AT_SHIFT | (check >> 40 & AT_CHECK)),
    };
}

static bool was_written(uint64_t n, const struct revocation_status *got)
{
    struct revocation_status want = status_of(n, (uint64_t)got->at >> AT_SHIFT);
    return got->state == REVOCATION_REVOKED && got->reason == want.reason && got->at == want.at;
}

static const uint8_t *issuer_of(uint64_t n)
{
    return issuers[n % 2 == 0 ? NOT_COMPLETE : COMPLETE];
}

static struct slice serial_of(uint64_t n, uint8_t out[static 16])
{
    uint64_t words[2] = {mix(n) | 1, mix(~n)};
    memcpy(out, words, sizeof words);
    return slice_of(out, 16);
}

/* Numbers of the changing kind are IDs too. */
static struct slice id_of(uint64_t n, char out[static 64])
{
    int len = snprintf(out, 64, "spiffe://example.org/%llx", (unsigned long long)n);
    return slice_of(out, (size_t)len);
}

/* The list of the issuer whose list changes: the one word of it agrees with itself. */
static struct revocation_issuer list_of(uint64_t k)
{
    return (struct revocation_issuer){.complete = (mix(k) & 1) != 0,
                                      .source = (enum revocation_source)(mix(k) >> 8 & 1),
                                      .next_update = (int64_t)k};
}

struct rule_shared *rule_shared_new(void)
{
    void *p = mmap(NULL, sizeof(struct rule_shared), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        die("mmap", NULL);
    return p;
}

void rule_shared_free(struct rule_shared *s)
{
    munmap(s, sizeof *s);
}

static void send_fd(int socket, int fd)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    char byte = 'T';
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof control.room};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    while (sendmsg(socket, &msg, MSG_NOSIGNAL) < 0) {
        if (errno != EINTR)
            return; /* this reader has gone */
    }
}

static int receive_fd(int socket)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    char byte;
    int fd;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof control.room};
    while (recvmsg(socket, &msg, MSG_CMSG_CLOEXEC) < 0) {
        if (errno != EINTR)
            return -1;
    }
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c == NULL)
        return -1;
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

static void on_replaced(void *arg, int fd)
{
    struct rule_writer *w = arg;
    if (!w->is_told)
        return;
    for (size_t i = 0; i < w->opt.readers; i++)
        send_fd(w->sockets[i], fd);
    atomic_fetch_add_explicit(&w->shared->tables, 1, memory_order_release);
}

static void set(struct rule_writer *w, uint64_t n, const struct revocation_status *status)
{
    struct why why = {0};
    uint8_t room[16];
    must(revocation_writer_set(w->cache, issuer_of(n), serial_of(n, room), status, &why), &why);
    w->changes++;
}

static void say_list(struct rule_writer *w, int which, const struct revocation_issuer *list)
{
    struct why why = {0};
    must(revocation_writer_issuer(w->cache, issuers[which], list, &why), &why);
}

/* Some numbers have an issuer of their own, which rises and falls with them. */
static bool has_issuer(const struct rule_options *opt, uint64_t n)
{
    return n % opt->per_issuer == 0 && n / opt->per_issuer < opt->issuers;
}

static void rising_issuer(uint64_t n, uint8_t out[static REVOCATION_ISSUER_LEN])
{
    uint64_t words[2] = {mix(n), ~n};
    memset(out, 0x55, REVOCATION_ISSUER_LEN);
    memcpy(out, words, sizeof words);
}

static void rise_issuer(struct rule_writer *w, uint64_t high)
{
    struct revocation_issuer list = list_of(high);
    uint8_t key[REVOCATION_ISSUER_LEN];
    struct why why = {0};
    rising_issuer(high, key);
    must(revocation_writer_issuer(w->cache, key, &list, &why), &why);
}

static void fall_issuer(struct rule_writer *w, uint64_t low)
{
    uint8_t key[REVOCATION_ISSUER_LEN];
    rising_issuer(low, key);
    revocation_writer_forget_issuer(w->cache, key);
}

/* One more number rises, one falls out of the window. */
static void rise(struct rule_writer *w)
{
    uint64_t high = atomic_load(&w->shared->high), low = atomic_load(&w->shared->low);
    uint64_t first = (uint64_t)RISING << KIND_SHIFT;
    struct revocation_status status = status_of(first + high, 0), none = {0};
    set(w, first + high, &status);
    if (has_issuer(&w->opt, high))
        rise_issuer(w, high);
    atomic_store(&w->shared->high, high + 1);
    if (high - low >= w->opt.window) {
        atomic_store(&w->shared->low, low + 1);
        set(w, first + low, &none);
        if (has_issuer(&w->opt, low))
            fall_issuer(w, low);
    }
}

void rule_writer_open(struct rule_writer *w, struct rule_shared *shared,
                      const struct rule_options *opt, int ret_sockets[])
{
    struct revocation_issuer list = {.complete = true, .next_update = RULE_NOW + 1};
    struct revocation_issuer changing = list_of(0);
    struct why why = {0};
    *w = (struct rule_writer){.shared = shared, .opt = *opt, .random = opt->capacity};
    for (size_t i = 0; i < opt->readers; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
            die("socketpair", NULL);
        w->sockets[i] = pair[0];
        ret_sockets[i] = pair[1];
    }
    must(revocation_writer_new(opt->capacity, on_replaced, w, &w->cache, &why), &why);
    say_list(w, COMPLETE, &list);
    say_list(w, CHANGING_LIST, &changing);
    for (uint64_t n = 0; n < opt->fixed; n++) {
        struct revocation_status status = status_of(n, 0);
        set(w, n, &status);
    }
    rise(w);
    w->is_told = true;
    on_replaced(w, revocation_writer_fd(w->cache));
}

void rule_writer_close(struct rule_writer *w)
{
    for (size_t i = 0; i < w->opt.readers; i++)
        close(w->sockets[i]);
    revocation_writer_free(w->cache);
}

static void change(struct rule_writer *w)
{
    uint64_t n = (uint64_t)CHANGING << KIND_SHIFT | draw(&w->random, RULE_CHANGING);
    struct revocation_status status = status_of(n, w->changes), none = {0};
    bool forgets = draw(&w->random, 3) == 0;
    set(w, n, forgets ? &none : &status);
}

static void hold(struct rule_writer *w)
{
    uint64_t n = (uint64_t)CHANGING << KIND_SHIFT | draw(&w->random, RULE_CHANGING);
    struct revocation_status status = status_of(n, w->changes), none = {0};
    bool releases = draw(&w->random, 3) == 0;
    struct why why = {0};
    char room[64];
    must(revocation_writer_hold(w->cache, id_of(n, room), releases ? &none : &status, &why), &why);
    w->changes++;
}

void rule_writer_step(struct rule_writer *w)
{
    struct revocation_issuer list = list_of(w->changes);
    if (w->changes >= WRITES_MAX)
        die("more writes than the rule can tell apart", NULL);
    switch (draw(&w->random, 10)) {
    case 0:
        say_list(w, CHANGING_LIST, &list);
        revocation_writer_commit(w->cache);
        w->changes++;
        break;
    case 1:
        hold(w);
        break;
    case 2:
    case 3:
    case 4:
    case 5:
        change(w);
        break;
    default:
        rise(w);
    }
}

/* --- readers --- */

static void judge(struct rule_reader *r, const char *what, uint64_t n, bool is_right,
                  const struct revocation_status *got)
{
    atomic_fetch_add_explicit(&r->shared->asked[r->number], 1, memory_order_relaxed);
    if (is_right)
        return;
    if (atomic_fetch_add(&r->shared->wrong[r->number], 1) >= TOLD_MAX)
        return;
    fprintf(stderr, "reader %zu: %s %llx: state %d, reason %d, at %llx is wrong\n", r->number, what,
            (unsigned long long)n, got->state, got->reason, (unsigned long long)got->at);
}

static struct revocation_status ask(struct rule_reader *r, uint64_t n)
{
    uint8_t room[16];
    return revocation_view_certificate(r->view, issuer_of(n), serial_of(n, room), RULE_NOW);
}

/* What silence says of n. */
static bool is_silent(uint64_t n, const struct revocation_status *got)
{
    return got->state == (n % 2 == 0 ? REVOCATION_UNKNOWN : REVOCATION_GOOD);
}

/* A word of n that was written, and not before the one last seen. */
static bool goes_on(uint64_t n, const struct revocation_status *got, uint64_t *last)
{
    uint64_t k = (uint64_t)got->at >> AT_SHIFT;
    if (!was_written(n, got) || k < *last)
        return false;
    *last = k;
    return true;
}

static void ask_changing(struct rule_reader *r)
{
    uint64_t i = draw(&r->random, RULE_CHANGING), n = (uint64_t)CHANGING << KIND_SHIFT | i;
    char room[64];
    struct revocation_id id = revocation_id_of(id_of(n, room));
    struct revocation_status got = ask(r, n);
    judge(r, "changing", n, is_silent(n, &got) || goes_on(n, &got, &r->last[0][i]), &got);
    got = revocation_view_id(r->view, &id);
    judge(r, "changing ID", n,
          got.state == REVOCATION_UNKNOWN || (got.held && goes_on(n, &got, &r->last[1][i])), &got);
}

static void ask_steady(struct rule_reader *r)
{
    uint64_t n = draw(&r->random, r->opt->fixed);
    uint64_t never = (uint64_t)NEVER << KIND_SHIFT | (r->random & UINT32_MAX);
    char room[64];
    struct revocation_id id = revocation_id_of(id_of(never, room));
    struct revocation_status got = ask(r, n);
    judge(r, "fixed", n, was_written(n, &got), &got);
    got = ask(r, never);
    judge(r, "never", never, is_silent(never, &got), &got);
    got = revocation_view_id(r->view, &id);
    judge(r, "never ID", never, got.state == REVOCATION_UNKNOWN, &got);
}

/* `high` was read before the table in use was known to be the newest. */
static void ask_rising(struct rule_reader *r, uint64_t high)
{
    uint64_t low = atomic_load(&r->shared->low);
    uint64_t i = low < high ? low + draw(&r->random, high - low) : low;
    uint64_t n = ((uint64_t)RISING << KIND_SHIFT) + i;
    struct revocation_status got = ask(r, n);
    bool may_be_gone = i >= high || i < atomic_load(&r->shared->low);
    judge(r, "rising", n, was_written(n, &got) || (may_be_gone && is_silent(n, &got)), &got);
}

/* The list of an issuer says what its next update says. */
static bool agrees(const struct revocation_issuer *got)
{
    struct revocation_issuer want = list_of((uint64_t)got->next_update);
    return got->complete == want.complete && got->source == want.source;
}

static void ask_rising_issuer(struct rule_reader *r, uint64_t high)
{
    const struct revocation_status none = {0};
    struct revocation_issuer list;
    uint64_t low = atomic_load(&r->shared->low);
    uint64_t end = (high < low ? low : high) + r->opt->per_issuer; /* the next one, most of all */
    uint64_t n = draw(&r->random, 2) == 0 ? end - 1 : low + draw(&r->random, end - low);
    uint8_t key[REVOCATION_ISSUER_LEN];
    n -= n % r->opt->per_issuer;
    rising_issuer(n, key);
    bool is_known = revocation_view_issuer(r->view, key, &list);
    bool may_be_gone = n >= high || n < atomic_load(&r->shared->low) || !has_issuer(r->opt, n);
    judge(r, "issuer", n, is_known ? agrees(&list) && (uint64_t)list.next_update == n : may_be_gone,
          &none);
}

static void ask_list(struct rule_reader *r)
{
    struct revocation_issuer got = {.complete = false};
    struct revocation_status none = {0};
    bool known = revocation_view_issuer(r->view, issuers[CHANGING_LIST], &got);
    uint64_t generation = revocation_view_generation(r->view);
    judge(r, "list", (uint64_t)got.next_update, known && agrees(&got), &none);
    judge(r, "generation", generation, generation >= r->generation, &none);
    r->generation = generation;
}

static bool take_newest(struct rule_reader *r)
{
    while (r->socket >= 0 && r->tables < atomic_load(&r->shared->tables)) {
        struct why why = {0};
        struct revocation_view *newer;
        int fd = receive_fd(r->socket);
        if (fd < 0)
            return false;
        must(revocation_view_open(fd, &newer, &why), &why);
        revocation_view_unref(r->view);
        r->view = newer;
        r->tables++;
    }
    return true;
}

void rule_reader_step(struct rule_reader *r)
{
    uint64_t high = atomic_load(&r->shared->high);
    if (!take_newest(r))
        return; /* the writer has gone in the middle of telling */
    for (int i = 0; i < 16; i++) {
        ask_steady(r);
        ask_changing(r);
        ask_rising(r, high);
        ask_rising_issuer(r, high);
    }
    ask_list(r);
}

void rule_reader_run(struct rule_reader *r)
{
    while (!atomic_load(&r->shared->stop))
        rule_reader_step(r);
}

void rule_reader_close(struct rule_reader *r)
{
    revocation_view_unref(r->view);
    if (r->socket >= 0)
        close(r->socket);
}

uint64_t rule_sum(const _Atomic uint64_t counts[static RULE_READERS_MAX])
{
    uint64_t sum = 0;
    for (size_t i = 0; i < RULE_READERS_MAX; i++)
        sum += atomic_load(&counts[i]);
    return sum;
}

/* Dialling a name with several addresses; the resolver is this file's own getaddrinfo, which libuv
 * finds before the C library's. */
#include "sidecar/dial.h"
#include "tests/support/runner.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#define FILLERS 3

enum behaviour { SERVES, REFUSES, SILENT };

struct end {
    int fd; /* the listener, or -1 */
    int fillers[FILLERS];
    struct sockaddr_in sa;
};

struct fixture {
    uv_loop_t loop;
    struct end ends[4];
    size_t count;
    struct dial *dial;
    int answers, fd;
    struct why why;
};

static struct fixture *current;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    (void)name, (void)service, (void)hints;
    struct addrinfo *list = calloc(current->count, sizeof *list);
    for (size_t i = 0; i < current->count; i++)
        list[i] = (struct addrinfo){.ai_family = AF_INET,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_addrlen = sizeof current->ends[i].sa,
                                    .ai_addr = (struct sockaddr *)&current->ends[i].sa,
                                    .ai_next = i + 1 < current->count ? &list[i + 1] : NULL};
    *ret = list;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    free(list);
}

static void add(struct fixture *f, enum behaviour behaviour)
{
    struct end *e = &f->ends[f->count++];
    socklen_t len = sizeof e->sa;
    e->sa = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    e->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(e->fd, (struct sockaddr *)&e->sa, sizeof e->sa), 0);
    ck_assert_int_eq(getsockname(e->fd, (struct sockaddr *)&e->sa, &len), 0);
    if (behaviour != REFUSES)
        ck_assert_int_eq(listen(e->fd, 0), 0);
    for (size_t i = 0; i < FILLERS; i++) {
        e->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (behaviour == SILENT) /* its queue is full then: no further connect gets an answer */
            (void)connect(e->fillers[i], (struct sockaddr *)&e->sa, sizeof e->sa);
    }
}

static void on_done(void *arg, int fd, const struct why *why)
{
    struct fixture *f = arg;
    f->answers++;
    f->fd = fd;
    f->why = *why;
}

static void start(struct fixture *f)
{
    struct address to = {.kind = ADDRESS_NAME, .host = "web.example.org", .port = 1};
    current = f;
    f->fd = -1;
    ck_assert_int_eq(uv_loop_init(&f->loop), 0);
    ck_assert_int_eq(dial_start(&f->loop, &to, on_done, f, &f->dial, &f->why), ERR_OK);
    ck_assert_int_eq(f->answers, 0);
}

static void finish(struct fixture *f)
{
    ck_assert_int_eq(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&f->loop), 0);
    if (f->fd >= 0)
        close(f->fd);
    for (size_t i = 0; i < f->count; i++) {
        close(f->ends[i].fd);
        for (size_t j = 0; j < FILLERS; j++)
            close(f->ends[i].fillers[j]);
    }
}

static in_port_t port_of_peer(int fd)
{
    struct sockaddr_in sa = {0};
    socklen_t len = sizeof sa;
    ck_assert_int_eq(getpeername(fd, (struct sockaddr *)&sa, &len), 0);
    return sa.sin_port;
}

/* _i: what the first two addresses do. A silent one must not eat the caller's whole deadline. */
START_TEST(test_the_first_address_that_answers_is_taken)
{
    struct fixture f = {0};
    add(&f, _i == 0 ? REFUSES : SILENT);
    add(&f, REFUSES);
    add(&f, SERVES);
    add(&f, SERVES);
    start(&f);
    ck_assert_int_eq(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
    ck_assert_msg(f.fd >= 0, "%s", why_text(&f.why));
    ck_assert_uint_eq(port_of_peer(f.fd), f.ends[2].sa.sin_port);
    finish(&f);
    ck_assert_int_eq(f.answers, 1);
}
END_TEST

START_TEST(test_of_addresses_that_all_refuse_the_last_is_named)
{
    struct fixture f = {0};
    char text[32];
    add(&f, REFUSES);
    add(&f, REFUSES);
    start(&f);
    finish(&f);
    ck_assert_int_eq(f.answers, 1);
    ck_assert_int_eq(f.why.err, ERR_CONNECT);
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(f.ends[1].sa.sin_port));
    ck_assert_ptr_nonnull(strstr(f.why.text, text));
}
END_TEST

/* _i: how many turns of the loop before the cancel. */
START_TEST(test_a_canceled_dial_is_silent_and_gone)
{
    struct fixture f = {0};
    add(&f, REFUSES);
    add(&f, SILENT);
    start(&f);
    for (int i = 0; i < _i; i++)
        uv_run(&f.loop, UV_RUN_ONCE);
    dial_cancel(f.dial);
    finish(&f);
    ck_assert_int_eq(f.answers, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dial");
    TCase *t = tcase_create("dial");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_the_first_address_that_answers_is_taken, 0, 2);
    tcase_add_test(t, test_of_addresses_that_all_refuse_the_last_is_named);
    tcase_add_loop_test(t, test_a_canceled_dial_is_silent_and_gone, 0, 3);
    suite_add_tcase(s, t);
    return run_suite(s);
}

/* Dialling a name with several addresses; what its addresses are, a name server of this file says.
 * The loopback network has as many addresses as one wants: the ends share one port. */
#include "common/base/mem.h"
#include "sidecar/conn/dial.h"
#include "tests/support/fake_dns.h"
#include "tests/support/runner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILLERS 3
#define ENDS_MAX 80

enum behaviour { SERVES, REFUSES, SILENT };

struct end {
    int fd; /* the listener, or -1 */
    int fillers[FILLERS];
};

struct fixture {
    uv_loop_t loop;
    struct fake_dns dns;
    struct fake_dns_row rows[2];
    struct resolver *resolver;
    struct resolver_desk desk;
    struct end ends[ENDS_MAX];
    size_t count;
    uint16_t port;
    char v4[20 * ENDS_MAX];
    struct dial *dial;
    int answers, fd;
    struct why why;
};

/* --- ends ------------------------------------------------------------------------------------- */

static struct sockaddr_in end_address(const struct fixture *f, size_t i)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(f->port),
                                .sin_addr.s_addr = htonl(0x7f000101u + (uint32_t)i)};
}

/* False: somebody has the port there. */
static bool open_end(struct fixture *f, enum behaviour behaviour)
{
    struct end *e = &f->ends[f->count];
    struct sockaddr_in sa = end_address(f, f->count);
    socklen_t len = sizeof sa;
    e->fd = -1;
    memset(e->fillers, -1, sizeof e->fillers);
    if (behaviour == REFUSES && f->port != 0)
        return true;
    e->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(e->fd, (struct sockaddr *)&sa, sizeof sa) != 0)
        return false;
    ck_assert_int_eq(getsockname(e->fd, (struct sockaddr *)&sa, &len), 0);
    f->port = ntohs(sa.sin_port);
    if (behaviour != REFUSES)
        ck_assert_int_eq(listen(e->fd, behaviour == SILENT ? 0 : 64), 0);
    for (size_t i = 0; i < FILLERS && behaviour == SILENT; i++) {
        /* its queue is full then: no further connect gets an answer */
        e->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(e->fillers[i], (struct sockaddr *)&sa, sizeof sa);
    }
    return true;
}

static void close_ends(struct fixture *f)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->ends[i].fd >= 0)
            close(f->ends[i].fd);
        for (size_t j = 0; j < FILLERS; j++) {
            if (f->ends[i].fillers[j] >= 0)
                close(f->ends[i].fillers[j]);
        }
    }
    f->count = 0;
}

/* 's' serves, 'r' refuses, '.' is silent; one address each. A port that is free at all of them. */
static void add_ends(struct fixture *f, const char *behaviours)
{
    size_t at = 0;
    for (int tries = 0; f->count < strlen(behaviours); tries++) {
        ck_assert_int_lt(tries, 50);
        f->port = 0;
        bool ok = true;
        while (ok && behaviours[f->count] != '\0') {
            char b = behaviours[f->count];
            ok = open_end(f, b == 's' ? SERVES : b == 'r' ? REFUSES : SILENT);
            f->count++;
        }
        if (!ok)
            close_ends(f);
    }
    for (size_t i = 0; i < f->count; i++)
        at += (size_t)sprintf(f->v4 + at, "%s127.0.1.%zu", i > 0 ? " " : "", i + 1);
}

static size_t end_reached(const struct fixture *f)
{
    struct sockaddr_in sa = {0};
    socklen_t len = sizeof sa;
    ck_assert_msg(f->fd >= 0, "%s", why_text(&f->why));
    ck_assert_int_eq(getpeername(f->fd, (struct sockaddr *)&sa, &len), 0);
    return ntohl(sa.sin_addr.s_addr) - 0x7f000101u;
}

/* --- a dial ----------------------------------------------------------------------------------- */

static void on_done(void *arg, int fd, const struct why *why)
{
    struct fixture *f = arg;
    f->answers++;
    f->fd = fd;
    if (why != NULL)
        f->why = *why;
}

static void setup(struct fixture *f, const char *behaviours)
{
    struct why why = {0};
    *f = (struct fixture){.fd = -1};
    add_ends(f, behaviours);
    f->rows[0] =
        (struct fake_dns_row){"web.example.org", FAKE_DNS_ANSWERS, 60, f->v4, NULL, 0, NULL};
    ck_assert_int_eq(uv_loop_init(&f->loop), 0);
    fake_dns_open(&f->dns, &f->loop, f->rows);
    struct resolver_options options = {
        .lookup = {.resolv_conf = "/dev/null", .servers = f->dns.servers}};
    ck_assert_int_eq(resolver_new(&f->loop, &options, &f->resolver, &why), ERR_OK);
    ck_assert_int_eq(resolver_desk_open(&f->desk, f->resolver, &f->loop, &why), ERR_OK);
}

static void start(struct fixture *f, uint64_t timeout_ms)
{
    struct address to = {.kind = ADDRESS_NAME, .host = "web.example.org", .port = f->port};
    struct dial_from from = {.loop = &f->loop, .desk = &f->desk, .timeout_ms = timeout_ms};
    ck_assert_int_eq(dial_start(&from, &to, on_done, f, &f->dial, &f->why), ERR_OK);
    ck_assert_int_eq(f->answers, 0);
}

static void run(struct fixture *f, uint64_t timeout_ms)
{
    start(f, timeout_ms);
    while (f->answers == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    ck_assert_int_eq(f->answers, 1);
}

static void done(struct fixture *f)
{
    resolver_desk_close(&f->desk);
    resolver_close(f->resolver);
    fake_dns_close(&f->dns);
    ck_assert_int_eq(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&f->loop), 0);
    resolver_free(f->resolver);
    if (f->fd >= 0)
        close(f->fd);
    close_ends(f);
}

/* --- which one is taken ----------------------------------------------------------------------- */

static const struct {
    const char *ends;
    size_t reached;
} races[] = {
    {"s", 0},   {"ss", 0},  {"rs", 1},  {"rrss", 2},      {".s", 1},
    {"..s", 2}, {".rs", 2}, {"r.s", 2}, {"rrrrrrrrrs", 9} /* more than eight */
};

START_TEST(test_the_first_address_that_answers_is_taken)
{
    struct fixture f;
    setup(&f, races[_i].ends);
    run(&f, 10000);
    ck_assert_uint_eq(end_reached(&f), races[_i].reached);
    done(&f);
}
END_TEST

START_TEST(test_sixty_addresses_are_tried_whether_they_refuse_or_keep_silent)
{
    struct fixture f;
    char ends[ENDS_MAX] = "";
    memset(ends, _i == 0 ? 'r' : '.', 60);
    ends[0] = 'r'; /* what opens the port */
    ends[59] = 's';
    setup(&f, ends);
    run(&f, 1500); /* 25 ms each */
    ck_assert_uint_eq(end_reached(&f), 59);
    done(&f);
}
END_TEST

START_TEST(test_attempts_that_have_not_answered_are_bounded)
{
    struct fixture f;
    char ends[ENDS_MAX] = "";
    memset(ends, '.', 40);
    setup(&f, ends);
    start(&f, 400); /* 10 ms each */
    size_t most = 0, handles = 0;
    do {
        uv_run(&f.loop, UV_RUN_ONCE);
        struct why why = {0};
        handles = f.loop.active_handles;
        most = handles > most ? handles : most;
        ck_assert_int_eq(dial_too_late(f.dial, &why) == ERR_OK, 0);
        if (strstr(why.text, "40 of 40 addresses tried") != NULL)
            break;
    } while (f.answers == 0);
    ck_assert_uint_ge(most, DIAL_ATTEMPTS_MAX);
    ck_assert_uint_le(most, DIAL_ATTEMPTS_MAX + 12); /* timers, bells, the look-up's handles */
    ck_assert_int_eq(f.answers, 0);                  /* the deadline is the caller's */
    dial_cancel(f.dial);
    done(&f);
}
END_TEST

/* --- two families ----------------------------------------------------------------------------- */

static int listen_v6(uint16_t port)
{
    struct sockaddr_in6 sa = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0 || listen(fd, 4) != 0) {
        fprintf(stderr, "no IPv6 on the loopback here: %s\n", strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static int family_of(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    ck_assert_int_eq(getpeername(fd, (struct sockaddr *)&sa, &len), 0);
    return sa.ss_family;
}

/* _i: 0 both serve, 1 only IPv4 does, 2 only IPv6. */
START_TEST(test_either_family_will_do)
{
    struct fixture f;
    setup(&f, _i == 2 ? "r" : "s");
    f.rows[0].v6 = "::1";
    int v6 = _i == 1 ? -1 : listen_v6(f.port);
    bool has_v6 = v6 >= 0;
    ck_assert_msg(has_v6 || access("/proc/net/if_inet6", F_OK) != 0 || _i == 1, "no IPv6 end");
    run(&f, 10000);
    if (has_v6 || _i == 1)
        ck_assert_int_eq(family_of(f.fd), has_v6 && _i == 2 ? AF_INET6 : family_of(f.fd));
    ck_assert_int_eq(f.fd >= 0, has_v6 || _i != 2);
    if (v6 >= 0)
        close(v6);
    done(&f);
}
END_TEST

/* IPv6's answer comes after IPv4's addresses have all refused. */
START_TEST(test_addresses_that_come_later_are_tried_too)
{
    struct fixture f;
    setup(&f, "r");
    f.rows[0].v6 = "::ffff:127.0.1.2"; /* this machine, with IPv6 or without */
    f.rows[0].mode = FAKE_DNS_LATE_V6;
    f.count++;
    memset(f.ends[1].fillers, -1, sizeof f.ends[1].fillers);
    f.ends[1].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = end_address(&f, 1);
    ck_assert_int_eq(bind(f.ends[1].fd, (struct sockaddr *)&sa, sizeof sa), 0);
    ck_assert_int_eq(listen(f.ends[1].fd, 4), 0);
    start(&f, 10000);
    struct why why = {0};
    do
        uv_run(&f.loop, UV_RUN_ONCE);
    while (dial_too_late(f.dial, &why) == ERR_RESOLVE_TIMEOUT && f.answers == 0);
    ck_assert_int_eq(f.answers, 0);
    fake_dns_release(&f.dns);
    while (f.answers == 0)
        uv_run(&f.loop, UV_RUN_ONCE);
    ck_assert_msg(f.fd >= 0 || access("/proc/net/if_inet6", F_OK) != 0, "%s", why_text(&f.why));
    done(&f);
}
END_TEST

/* --- failures --------------------------------------------------------------------------------- */

START_TEST(test_of_addresses_that_all_refuse_the_number_and_one_are_named)
{
    struct fixture f;
    setup(&f, "rrr");
    run(&f, 10000);
    ck_assert_int_eq(f.why.err, ERR_CONNECT);
    ck_assert_ptr_nonnull(strstr(f.why.text, "web.example.org:"));
    ck_assert_ptr_nonnull(strstr(f.why.text, "none of 3 addresses could be connected"));
    ck_assert_ptr_nonnull(strstr(f.why.text, "connect to 127.0.1.3:"));
    ck_assert_ptr_nonnull(strstr(f.why.text, strerror(ECONNREFUSED)));
    done(&f);
}
END_TEST

/* An address of a family or a net that this host cannot reach tells less than one that refused. */
START_TEST(test_the_most_telling_failure_is_named)
{
    struct fixture f;
    setup(&f, "r");
    f.rows[0].v6 = "fe80::1"; /* without a zone: no host can */
    run(&f, 10000);
    ck_assert_ptr_nonnull(strstr(f.why.text, strerror(ECONNREFUSED)));
    done(&f);
}
END_TEST

static const struct {
    enum fake_dns_mode mode;
    const char *name;
    err_t err;
    const char *text;
} failures[] = {
    {FAKE_DNS_DENIES, "web.example.org", ERR_RESOLVE, "web.example.org: no such name"},
    {FAKE_DNS_ANSWERS, "web.example.org", ERR_RESOLVE, "web.example.org: the name has no address"},
    {FAKE_DNS_FAILS, "web.example.org", ERR_RESOLVE_SERVER, "the name servers cannot answer"},
};

START_TEST(test_a_name_without_addresses_says_why)
{
    struct fixture f;
    setup(&f, "r");
    f.rows[0].mode = failures[_i].mode;
    f.rows[0].v4 = NULL;
    run(&f, 10000);
    ck_assert_int_eq(f.why.err, failures[_i].err);
    ck_assert_msg(strstr(f.why.text, failures[_i].text) != NULL, "%s", f.why.text);
    done(&f);
}
END_TEST

START_TEST(test_the_caller_at_its_deadline_learns_how_far_it_came)
{
    struct fixture f;
    struct why why = {0};
    setup(&f, "r.");
    f.rows[0].mode = FAKE_DNS_LATE;
    start(&f, 10000);
    for (int i = 0; i < 5; i++)
        uv_run(&f.loop, UV_RUN_ONCE);
    ck_assert_int_eq(dial_too_late(f.dial, &why), ERR_RESOLVE_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(why.text, "web.example.org"));
    do {
        fake_dns_release(&f.dns);
        uv_run(&f.loop, UV_RUN_ONCE);
    } while (dial_too_late(f.dial, &why) == ERR_RESOLVE_TIMEOUT ||
             strstr(why.text, "2 of 2 addresses tried") == NULL);
    ck_assert_int_eq(why.err, ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(why.text, strerror(ECONNREFUSED)));
    dial_cancel(f.dial);
    done(&f);
}
END_TEST

/* _i: 0 serves, 1 refuses. Neither look-up nor desk. */
START_TEST(test_an_address_needs_no_resolver)
{
    struct fixture f;
    setup(&f, _i == 0 ? "s" : "r");
    struct address to = {.kind = ADDRESS_IP, .host = "127.0.1.1", .port = f.port};
    struct dial_from from = {.loop = &f.loop, .timeout_ms = 10000};
    ck_assert_int_eq(dial_start(&from, &to, on_done, &f, &f.dial, &f.why), ERR_OK);
    ck_assert_int_eq(f.answers, 0);
    while (f.answers == 0)
        uv_run(&f.loop, UV_RUN_ONCE);
    ck_assert_int_eq(f.fd >= 0, _i == 0);
    ck_assert_uint_eq(f.dns.asked, 0);
    if (_i == 1) {
        char text[80];
        snprintf(text, sizeof text, "connect to 127.0.1.1:%u: %s", f.port, strerror(ECONNREFUSED));
        ck_assert_str_eq(f.why.text, text);
    }
    done(&f);
}
END_TEST

/* _i: how many turns of the loop before the cancel. */
START_TEST(test_a_canceled_dial_is_silent_and_gone)
{
    struct fixture f;
    setup(&f, "r..");
    start(&f, 10000);
    for (int i = 0; i < _i; i++)
        uv_run(&f.loop, UV_RUN_ONCE);
    dial_cancel(f.dial);
    done(&f);
    ck_assert_int_eq(f.answers, 0);
}
END_TEST

START_TEST(test_every_failed_allocation_ends_the_dial_or_is_overcome)
{
    struct fixture f;
    setup(&f, "rs");
    run(&f, 10000); /* the name is known from here on */
    for (long n = 0;; n++) {
        struct address to = {.kind = ADDRESS_NAME, .host = "web.example.org", .port = f.port};
        struct dial_from from = {.loop = &f.loop, .desk = &f.desk, .timeout_ms = 10000};
        if (f.fd >= 0)
            close(f.fd);
        f.fd = -1;
        f.answers = 0;
        mem_fail_after(n);
        err_t err = dial_start(&from, &to, on_done, &f, &f.dial, &f.why);
        while (err == ERR_OK && f.answers == 0)
            uv_run(&f.loop, UV_RUN_ONCE);
        int failed = mem_did_fail();
        mem_fail_after(-1);
        if (!failed)
            break;
        ck_assert(err == ERR_NO_MEMORY || f.answers == 1);
    }
    ck_assert_uint_eq(end_reached(&f), 1);
    done(&f);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

int main(void)
{
    Suite *s = suite_create("dial");
    TCase *t = tcase_create("dial");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_the_first_address_that_answers_is_taken, 0, COUNT(races));
    tcase_add_loop_test(t, test_sixty_addresses_are_tried_whether_they_refuse_or_keep_silent, 0, 2);
    tcase_add_test(t, test_attempts_that_have_not_answered_are_bounded);
    tcase_add_loop_test(t, test_either_family_will_do, 0, 3);
    tcase_add_test(t, test_addresses_that_come_later_are_tried_too);
    tcase_add_test(t, test_of_addresses_that_all_refuse_the_number_and_one_are_named);
    tcase_add_test(t, test_the_most_telling_failure_is_named);
    tcase_add_loop_test(t, test_a_name_without_addresses_says_why, 0, COUNT(failures));
    tcase_add_test(t, test_the_caller_at_its_deadline_learns_how_far_it_came);
    tcase_add_loop_test(t, test_an_address_needs_no_resolver, 0, 2);
    tcase_add_loop_test(t, test_a_canceled_dial_is_silent_and_gone, 0, 6);
    tcase_add_test(t, test_every_failed_allocation_ends_the_dial_or_is_overcome);
    suite_add_tcase(s, t);
    return run_suite(s);
}

/* share.sock is open to all users: what a stranger can send, and that it harms nobody. */
#include "tests/support/share_case.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void send_bytes(int fd, const void *bytes, size_t len)
{
    ck_assert_int_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

START_TEST(test_garbage_is_refused_and_the_next_one_served)
{
    static const uint8_t large[SHARE_PACKET_MAX + 1];
    int fd = case_dial();
    send_bytes(fd, "garbage", 7);
    case_hear_refused(fd, "parse");
    fd = case_dial();
    send_bytes(fd, large, sizeof large);
    case_hear_refused(fd, "too_large");
    fd = case_dial();
    struct share_message m = case_hello_of(WEB);
    ck_assert_int_eq(share_encode(&m, &site.packet, &site.why), ERR_OK);
    site.packet.bytes[4] = 2;
    send_bytes(fd, site.packet.bytes, site.packet.len);
    case_hear_refused(fd, "unsupported");
    ck_assert_uint_eq(
        case_refused(ERR_PARSE) + case_refused(ERR_TOO_LARGE) + case_refused(ERR_UNSUPPORTED), 3);
    close(case_guest());
}
END_TEST

START_TEST(test_a_message_out_of_turn_is_refused)
{
    int fd = case_guest();
    case_say_hello(fd, WEB);
    case_hear_refused(fd, "parse");
    fd = case_dial();
    struct share_message m = {.type = SHARE_CHANGED};
    case_say_with(fd, &m, -1);
    case_hear_refused(fd, "parse");
    case_wait_for_sidecars(0);
}
END_TEST

START_TEST(test_types_of_a_newer_sidecar_are_skipped)
{
    int fd = case_dial();
    struct share_message m = {.type = SHARE_OTHER};
    case_say_with(fd, &m, -1);
    case_say_hello(fd, WEB);
    case_hear_type(fd, SHARE_WELCOME);
    case_say_with(fd, &m, -1);
    case_settle();
    ck_assert_uint_eq(share_sidecars(site.share), 1);
    ck_assert(!case_has_something(fd));
    close(fd);
}
END_TEST

static int unread(int fd)
{
    int bytes = 0;
    ck_assert_int_eq(ioctl(fd, SIOCOUTQ, &bytes), 0);
    return bytes;
}

/* What floods waits in its own socket; the agent reads so much a second and serves the others. */
START_TEST(test_a_flood_is_read_slowly_and_harms_nobody)
{
    struct share_message m = {.type = SHARE_OTHER};
    int flood = case_guest();
    err_t err = ERR_OK;
    ck_assert_int_eq(share_encode(&m, &site.packet, &site.why), ERR_OK);
    struct share_packet other = site.packet;
    for (int i = 0; i < 100000 && err == ERR_OK; i++) {
        err = share_send(flood, &other, &site.why);
        if (i % 100 == 0)
            uv_run(&site.loop, UV_RUN_NOWAIT);
    }
    ck_assert_int_eq(err, ERR_LIMIT); /* its queue is full, ours takes no more */
    case_settle();
    int waiting = unread(flood);
    case_settle();
    ck_assert_int_eq(unread(flood), waiting); /* not before the next tick */
    close(case_guest());
    struct pollfd room = {.fd = flood, .events = POLLOUT};
    while (poll(&room, 1, 0) == 0)
        uv_run(&site.loop, UV_RUN_ONCE); /* the next tick reads on */
    ck_assert_uint_eq(share_sidecars(site.share), 1);
    close(flood);
}
END_TEST

/* Since Linux 6.16 they do not even arrive. */
START_TEST(test_descriptors_of_strangers_are_not_kept)
{
    struct share_message hello = case_hello_of(STRANGE);
    int file = memory_file("x");
    case_settle();
    size_t before = open_descriptors();
    int fd = case_dial();
    ck_assert_int_eq(share_encode(&hello, &site.packet, &site.why), ERR_OK);
    site.packet.descriptor = file;
    if (share_send(fd, &site.packet, &site.why) != ERR_OK)
        case_say_hello(fd, STRANGE);
    case_hear_refused(fd, "no_entry");
    case_settle();
    ck_assert_uint_eq(open_descriptors(), before);
    close(file);
}
END_TEST

START_TEST(test_a_descriptor_that_was_not_asked_for_is_closed_and_ends_it)
{
    struct share_message other = {.type = SHARE_OTHER};
    int file = memory_file("x"), fd = case_guest();
    size_t before = open_descriptors();
    case_say_with(fd, &other, file);
    case_say_with(fd, &other, file); /* waits in a queue that is closed */
    case_hear_refused(fd, "parse");
    case_settle();
    ck_assert_uint_lt(open_descriptors(), before);
    ck_assert_uint_eq(share_sidecars(site.share), 0);
    close(file);
}
END_TEST

/* With bytes that never leave, it takes a minute to close: not ours. */
static int lingering_socket(int *ret_other)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger minute = {.l_onoff = 1, .l_linger = 60};
    socklen_t len = sizeof any;
    static const char bytes[65536];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&any, len), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&any, &len), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&any, len), 0);
    *ret_other = accept(listener, NULL, NULL);
    close(listener);
    while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        continue;
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &minute, sizeof minute), 0);
    return fd;
}

/* Closed where it is read, and where it waits in the queue of a connection that is closed. */
START_TEST(test_a_descriptor_that_takes_long_to_close_holds_nobody_up)
{
    enum { SOCKETS = 3 };
    struct share_message m = {.type = _i == 0 ? SHARE_PAGE : SHARE_OTHER};
    int fd = case_guest(), others[SOCKETS];
    for (int i = 0; i < SOCKETS; i++) {
        int evil = lingering_socket(&others[i]);
        case_say_with(fd, &m, evil);
        close(evil); /* the last one is the agent's to close */
    }
    uint64_t started = uv_hrtime();
    case_hear_refused(fd, "parse");
    close(case_guest());
    ck_assert_uint_lt(uv_hrtime() - started, UINT64_C(10000000000));
    for (int i = 0; i < SOCKETS; i++)
        close(others[i]);
}
END_TEST

START_TEST(test_who_dies_midway_leaves_nothing_behind)
{
    struct share_message hello = case_hello_of(WEB), page = {.type = SHARE_PAGE};
    int file = memory_file("x"), cache = memory_file("c");
    share_set_cache(site.share, cache, 1);
    case_settle();
    size_t before = open_descriptors();
    for (int i = 0; i < 50; i++) {
        int fd = case_dial();
        if (i % 3 != 0)
            case_say_with(fd, &hello, -1);
        if (i % 3 == 2)
            case_hear_type(fd, SHARE_WELCOME);
        if (i % 3 == 2)
            case_say_with(fd, &page, file);
        close(fd);
        if (i % 4 == 0)
            case_settle();
    }
    case_settle();
    ck_assert_uint_eq(share_sidecars(site.share), 0);
    ck_assert_uint_eq(open_descriptors(), before);
    close(case_guest());
    close(file);
    close(cache);
}
END_TEST

START_TEST(test_a_user_with_as_many_as_it_may_have_makes_room_for_itself)
{
    int fds[CASE_PER_USER];
    for (int i = 0; i < CASE_PER_USER; i++)
        fds[i] = case_guest();
    int silent = case_dial();
    ck_assert_int_eq(case_hear(fds[0]), ERR_PEER_CLOSED); /* its oldest, without a word */
    ck_assert_uint_eq(case_refused(ERR_LIMIT), 1);
    case_wait_for_sidecars(CASE_PER_USER - 1);
    int newest = case_guest(); /* the one that has not said who it is went first */
    case_hear_refused(silent, "limit");
    ck_assert_uint_eq(case_refused(ERR_LIMIT), 2);
    case_wait_for_sidecars(CASE_PER_USER);
    for (int i = 1; i < CASE_PER_USER; i++) {
        ck_assert(!case_has_something(fds[i]));
        close(fds[i]);
    }
    close(fds[0]);
    close(newest);
}
END_TEST

/* Another user of the machine, as SO_PEERCRED tells it. */
static int dial_as(uid_t uid)
{
    ck_assert_int_eq(seteuid(uid), 0);
    int fd = case_dial();
    ck_assert_int_eq(seteuid(0), 0);
    return fd;
}

START_TEST(test_a_user_who_floods_it_keeps_no_other_user_out)
{
    enum { FLOOD = 200 };
    int flood[FLOOD];
    if (geteuid() != 0)
        return; /* only root can be somebody else */
    ck_assert_int_eq(chmod(site.dir.path, 0755), 0);
    int here = case_guest();
    for (int i = 0; i < FLOOD; i++) {
        flood[i] = dial_as(65534);
        if (i % 3 == 0)
            case_say_hello(flood[i], WEB);
        if (i % 10 == 0) { /* meanwhile */
            int fd = case_guest();
            ck_assert(!case_has_something(fd));
            close(fd);
        }
        case_settle();
    }
    ck_assert(!case_has_something(here));
    ck_assert_uint_ge(case_refused(ERR_LIMIT), FLOOD / 2);
    for (int i = 0; i < FLOOD; i++)
        close(flood[i]);
    close(here);
}
END_TEST

START_TEST(test_who_says_nothing_is_let_go_in_time)
{
    int fd = case_dial();
    uint64_t started = uv_hrtime();
    case_hear_refused(fd, "timeout");
    ck_assert_uint_ge(uv_hrtime() - started, SHARE_HELLO_MS * UINT64_C(1000000) * 9 / 10);
    ck_assert_uint_eq(case_refused(ERR_TIMEOUT), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("share_strangers");
    TCase *tc = tcase_create("strangers");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, case_setup, case_teardown);
    tcase_add_test(tc, test_garbage_is_refused_and_the_next_one_served);
    tcase_add_test(tc, test_a_message_out_of_turn_is_refused);
    tcase_add_test(tc, test_types_of_a_newer_sidecar_are_skipped);
    tcase_add_test(tc, test_a_flood_is_read_slowly_and_harms_nobody);
    tcase_add_test(tc, test_descriptors_of_strangers_are_not_kept);
    tcase_add_test(tc, test_a_descriptor_that_was_not_asked_for_is_closed_and_ends_it);
    tcase_add_loop_test(tc, test_a_descriptor_that_takes_long_to_close_holds_nobody_up, 0, 2);
    tcase_add_test(tc, test_who_dies_midway_leaves_nothing_behind);
    tcase_add_test(tc, test_a_user_with_as_many_as_it_may_have_makes_room_for_itself);
    tcase_add_test(tc, test_a_user_who_floods_it_keeps_no_other_user_out);
    tcase_add_test(tc, test_who_says_nothing_is_let_go_in_time);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

/* The acceptor over real sockets on one loop: what it does when nothing can be taken. */
#include "common/loop/acceptor.h"
#include "tests/support/descriptors.h"
#include "tests/support/runner.h"

#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

static uv_loop_t loop;
static struct acceptor *acceptor;
static struct sockaddr_in address;
static int taken, failed, most_a_turn, in_turn;
static err_t last_error;
static bool closed, close_in_accept;

static void on_closed(void *arg)
{
    (void)arg;
    closed = true;
}

static void on_accept(void *arg, int fd, const struct sockaddr_storage *from)
{
    (void)arg;
    ck_assert_int_eq(from->ss_family, AF_INET);
    taken++;
    in_turn++;
    most_a_turn = in_turn > most_a_turn ? in_turn : most_a_turn;
    close(fd);
    if (close_in_accept)
        acceptor_close(acceptor, on_closed, NULL);
}

static void on_error(void *arg, err_t err, const struct why *why)
{
    (void)arg;
    last_error = err;
    ck_assert_ptr_nonnull(strstr(why_text(why), "Too many open files"));
    failed++;
}

static void setup_with(bool spare, unsigned per_turn)
{
    socklen_t len = sizeof address;
    taken = failed = most_a_turn = 0;
    closed = close_in_accept = false;
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, 100), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    struct acceptor_options opt = {.fd = fd,
                                   .per_turn = per_turn,
                                   .spare = spare,
                                   .on_accept = on_accept,
                                   .on_error = on_error};
    ck_assert_int_eq(acceptor_open(&loop, &opt, &acceptor, NULL), ERR_OK);
}

static void teardown(void)
{
    if (!close_in_accept || taken == 0) /* else it is closing, and frees itself */
        acceptor_close(acceptor, on_closed, NULL);
    while (!closed)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static int client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void run_until(const int *counter, int wanted)
{
    while (*counter < wanted) {
        in_turn = 0;
        uv_run(&loop, UV_RUN_ONCE);
    }
}

START_TEST(test_out_of_descriptors_it_pauses_and_goes_on_when_there_are_some)
{
    setup_with(false, 0);
    int fd = client();
    leave_no_descriptor();
    run_until(&failed, 2); /* a pause lies between them: it does not spin */
    ck_assert_int_eq(last_error, ERR_LIMIT);
    ck_assert_int_eq(taken, 0);
    for (int i = 0; i < 100; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_int_le(failed, 3);
    give_descriptors_back();
    run_until(&taken, 1);
    close(fd);
    teardown();
}
END_TEST

START_TEST(test_with_a_spare_descriptor_connections_are_taken_one_after_another)
{
    setup_with(true, 0);
    int fds[10];
    for (int i = 0; i < 10; i++)
        fds[i] = client();
    leave_no_descriptor();
    run_until(&taken, 10); /* each is closed before the next */
    ck_assert_int_eq(failed, 0);
    give_descriptors_back();
    for (int i = 0; i < 10; i++)
        close(fds[i]);
    teardown();
}
END_TEST

START_TEST(test_a_turn_takes_so_many_and_no_more)
{
    setup_with(false, 3);
    int fds[10];
    for (int i = 0; i < 10; i++)
        fds[i] = client();
    run_until(&taken, 10);
    ck_assert_int_eq(most_a_turn, 3);
    for (int i = 0; i < 10; i++)
        close(fds[i]);
    teardown();
}
END_TEST

START_TEST(test_a_pause_ends_when_a_descriptor_was_given_back)
{
    setup_with(false, 0);
    int fd = client();
    leave_no_descriptor();
    run_until(&failed, 1);
    give_descriptors_back();
    acceptor_retry(acceptor);
    acceptor_retry(acceptor); /* nothing more to end */
    uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(taken, 1);
    close(fd);
    teardown();
}
END_TEST

START_TEST(test_it_may_be_closed_by_who_gets_a_connection)
{
    setup_with(true, 0);
    close_in_accept = true;
    int first = client(), second = client();
    run_until(&taken, 1);
    teardown();
    ck_assert_int_eq(taken, 1);
    close(first);
    close(second);
}
END_TEST

START_TEST(test_closing_gives_every_descriptor_back)
{
    setup_with(false, 0); /* what libuv opens once for the whole process */
    teardown();
    size_t before = open_descriptors();
    setup_with(true, 0);
    ck_assert_uint_gt(open_descriptors(), before);
    teardown();
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("acceptor");
    TCase *t = tcase_create("acceptor");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_out_of_descriptors_it_pauses_and_goes_on_when_there_are_some);
    tcase_add_test(t, test_with_a_spare_descriptor_connections_are_taken_one_after_another);
    tcase_add_test(t, test_a_turn_takes_so_many_and_no_more);
    tcase_add_test(t, test_a_pause_ends_when_a_descriptor_was_given_back);
    tcase_add_test(t, test_it_may_be_closed_by_who_gets_a_connection);
    tcase_add_test(t, test_closing_gives_every_descriptor_back);
    suite_add_tcase(s, t);
    return run_suite(s);
}

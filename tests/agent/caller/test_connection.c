/* The table of connections: numbers come and go, a cookie never comes back. The peers are this
 * process itself, over socket pairs. */
#include "agent/caller/connection.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PER_USER = 3 };

static uv_loop_t loop;
static struct connections *table;
static int ours[PER_USER + 2], theirs[PER_USER + 2];
static struct why why;

static void open_pair(int i)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    ours[i] = pair[0];
    theirs[i] = pair[1];
}

static void close_pair(int i)
{
    close(ours[i]);
    close(theirs[i]);
}

static void on_exit_of(void *arg, struct connection *c)
{
    (void)arg;
    (void)c;
    ck_abort_msg("this process has not ended");
}

static void open_table(void)
{
    struct connection_options opt = {.limits = {.per_user = PER_USER, .total = PER_USER + 1},
                                     .on_exit = on_exit_of};
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(connections_open(&loop, &opt, &table, &why), ERR_OK);
    for (int i = 0; i < PER_USER + 2; i++)
        open_pair(i);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void close_table(void)
{
    bool closed = false;
    for (int i = 0; i < PER_USER + 2; i++)
        close_pair(i);
    connections_close(table, on_closed, &closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert(closed);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

START_TEST(test_a_connection_is_found_by_its_number_while_it_is_open)
{
    ck_assert_ptr_null(connections_find(table, ours[0]));
    ck_assert_ptr_null(connections_find(table, -1));
    ck_assert_int_eq(connections_add(table, ours[0], &why), ERR_OK);
    struct connection *c = connections_find(table, ours[0]);
    ck_assert_ptr_nonnull(c);
    ck_assert_int_eq(c->peer.pid, getpid());
    ck_assert_uint_eq(connections_count(table), 1);
    close(ours[0]);
    ck_assert_ptr_null(connections_find(table, ours[0]));
    ck_assert_uint_eq(connections_count(table), 0);
    ours[0] = dup(ours[1]);
}
END_TEST

/* A number that is now a file, or another socket, is not the connection. */
START_TEST(test_a_reused_number_is_not_the_old_connection)
{
    ck_assert_int_eq(connections_add(table, ours[0], &why), ERR_OK);
    ck_assert_int_eq(dup2(ours[1], ours[0]), ours[0]);
    ck_assert_ptr_null(connections_find(table, ours[0]));
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(dup2(file, ours[0]), ours[0]);
    close(file);
    ck_assert_ptr_null(connections_find(table, ours[0]));
}
END_TEST

/* AG-1: a call keeps the peer it came from, whoever has its number by now. */
START_TEST(test_a_call_keeps_its_peer_when_the_number_is_taken_by_another)
{
    ck_assert_int_eq(connections_add(table, ours[0], &why), ERR_OK);
    struct connection *old = connections_find(table, ours[0]);
    uint64_t cookie = old->peer.cookie;
    ck_assert_int_eq(connection_enter(old, &why), ERR_OK);
    ck_assert_int_eq(dup2(ours[1], ours[0]), ours[0]);
    ck_assert_int_eq(connections_add(table, ours[0], &why), ERR_OK);
    struct connection *now = connections_find(table, ours[0]);
    ck_assert_ptr_ne(now, old);
    ck_assert_uint_eq(old->peer.cookie, cookie);
    ck_assert_uint_ne(now->peer.cookie, cookie);
    connection_doom(old);
    connection_leave(old); /* must not shut the new one down */
    ck_assert_int_eq(write(ours[0], "x", 1), 1);
}
END_TEST

START_TEST(test_a_doomed_connection_is_shut_down_when_its_last_call_leaves)
{
    ck_assert_int_eq(connections_add(table, ours[0], &why), ERR_OK);
    struct connection *c = connections_find(table, ours[0]);
    ck_assert_int_eq(connection_enter(c, &why), ERR_OK);
    ck_assert_int_eq(connection_enter(c, &why), ERR_OK);
    connection_doom(c);
    connection_leave(c);
    ck_assert_int_eq(write(ours[0], "x", 1), 1);
    connection_leave(c);
    char bytes[2];
    ck_assert_int_eq(read(theirs[0], bytes, 2), 1);
    ck_assert_int_eq(read(theirs[0], bytes, 2), 0);
}
END_TEST

START_TEST(test_a_user_has_so_many_connections_and_no_more)
{
    for (int i = 0; i < PER_USER; i++)
        ck_assert_int_eq(connections_add(table, ours[i], &why), ERR_OK);
    ck_assert_int_eq(connections_add(table, ours[PER_USER], &why), ERR_LIMIT);
    ck_assert_uint_eq(connections_count(table), PER_USER);
    close(ours[0]); /* room is found without waiting for the sweep */
    ck_assert_int_eq(connections_add(table, ours[PER_USER], &why), ERR_OK);
    ours[0] = dup(ours[1]);
}
END_TEST

START_TEST(test_a_user_has_so_many_calls_and_no_more)
{
    ck_assert_int_eq(connections_add(table, ours[0], &why), ERR_OK);
    struct connection *c = connections_find(table, ours[0]);
    for (int i = 0; i < PER_USER; i++)
        ck_assert_int_eq(connection_enter(c, &why), ERR_OK);
    ck_assert_int_eq(connection_enter(c, &why), ERR_LIMIT);
    for (int i = 0; i < PER_USER; i++)
        connection_leave(c);
    ck_assert_int_eq(connection_enter(c, &why), ERR_OK);
    connection_leave(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("connection");
    TCase *t = tcase_create("connection");
    tcase_add_checked_fixture(t, open_table, close_table);
    tcase_add_test(t, test_a_connection_is_found_by_its_number_while_it_is_open);
    tcase_add_test(t, test_a_reused_number_is_not_the_old_connection);
    tcase_add_test(t, test_a_call_keeps_its_peer_when_the_number_is_taken_by_another);
    tcase_add_test(t, test_a_doomed_connection_is_shut_down_when_its_last_call_leaves);
    tcase_add_test(t, test_a_user_has_so_many_connections_and_no_more);
    tcase_add_test(t, test_a_user_has_so_many_calls_and_no_more);
    suite_add_tcase(s, t);
    return run_suite(s);
}

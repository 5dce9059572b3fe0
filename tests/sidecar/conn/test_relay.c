/* The relay between two socket pairs, without TLS: bytes, half-close, back-pressure, resets. The
 * test is the loop: it steps the relay itself and reads the far ends. */
#include "sidecar/conn/relay.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
    uv_loop_t loop;
    struct scratch scratch;
    struct stream a, b;
    struct relay forth, back;
    int a_end, b_end; /* what app and peer hold */
    struct why why;
};

static void on_ready(void *arg, struct stream *s, int events)
{
    (void)arg;
    (void)s;
    (void)events;
}

static void pair(int fds[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static void setup(struct fixture *f)
{
    int left[2], right[2];
    memset(f, 0, sizeof *f);
    ck_assert_int_eq(uv_loop_init(&f->loop), 0);
    ck_assert_int_eq(scratch_init(&f->scratch), ERR_OK);
    pair(left);
    pair(right);
    stream_init(&f->a, on_ready, f);
    stream_init(&f->b, on_ready, f);
    ck_assert_int_eq(stream_open(&f->a, &f->loop, left[0], &f->why), ERR_OK);
    ck_assert_int_eq(stream_open(&f->b, &f->loop, right[0], &f->why), ERR_OK);
    f->a_end = left[1];
    f->b_end = right[1];
    relay_init(&f->forth, &f->a, &f->b);
    relay_init(&f->back, &f->b, &f->a);
}

static void on_closed(void *arg)
{
    (void)arg;
}

static void teardown(struct fixture *f)
{
    stream_close(&f->a, false, on_closed);
    stream_close(&f->b, false, on_closed);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&f->loop), 0);
    scratch_done(&f->scratch);
    close(f->a_end);
    close(f->b_end);
}

START_TEST(test_bytes_written_at_one_end_come_out_at_the_other)
{
    struct fixture f;
    char got[16] = {0};
    setup(&f);
    ck_assert_int_eq(write(f.a_end, "hello", 5), 5);
    ck_assert_int_eq(relay_move(&f.forth, &f.scratch, &f.why), RELAY_OPEN);
    ck_assert_int_eq(read(f.b_end, got, sizeof got), 5);
    ck_assert_str_eq(got, "hello");
    ck_assert_uint_eq(f.forth.bytes, 5);
    teardown(&f);
}
END_TEST

START_TEST(test_a_half_close_is_passed_on_and_the_other_direction_lives)
{
    struct fixture f;
    char got[16];
    setup(&f);
    shutdown(f.a_end, SHUT_WR);
    ck_assert_int_eq(relay_move(&f.forth, &f.scratch, &f.why), RELAY_DONE);
    ck_assert_int_eq(read(f.b_end, got, sizeof got), 0);
    ck_assert_int_eq(write(f.b_end, "late", 4), 4);
    ck_assert_int_eq(relay_move(&f.back, &f.scratch, &f.why), RELAY_OPEN);
    ck_assert_int_eq(read(f.a_end, got, sizeof got), 4);
    ck_assert(!relay_wants(&f.forth));
    ck_assert(relay_wants(&f.back));
    teardown(&f);
}
END_TEST

START_TEST(test_nobody_reads_for_a_sink_that_is_full_and_no_byte_is_lost)
{
    struct fixture f;
    static char chunk[65536], got[65536];
    size_t sent = 0, received = 0;
    setup(&f);
    memset(chunk, 'x', sizeof chunk);
    /* Until the sink takes no more. */
    while (relay_wants(&f.forth)) {
        ssize_t n = write(f.a_end, chunk, sizeof chunk);
        sent += n > 0 ? (size_t)n : 0;
        ck_assert_int_eq(relay_move(&f.forth, &f.scratch, &f.why), RELAY_OPEN);
    }
    ck_assert(stream_is_full(&f.b));
    uint64_t moved = f.forth.bytes;
    ck_assert_int_eq(relay_move(&f.forth, &f.scratch, &f.why), RELAY_OPEN);
    ck_assert_uint_eq(f.forth.bytes, moved); /* refused to read */
    shutdown(f.a_end, SHUT_WR);
    /* The reader wakes up: everything comes, then the end. */
    for (;;) {
        ssize_t n = read(f.b_end, got, sizeof got);
        if (n == 0)
            break;
        received += n > 0 ? (size_t)n : 0;
        ck_assert_int_ne(relay_flush(&f.forth, &f.why), RELAY_BROKEN_TO);
        if (relay_wants(&f.forth))
            ck_assert_int_ne(relay_move(&f.forth, &f.scratch, &f.why), RELAY_BROKEN_FROM);
    }
    ck_assert_uint_eq(received, sent);
    teardown(&f);
}
END_TEST

START_TEST(test_a_sink_that_is_gone_breaks_the_relay_on_that_side)
{
    struct fixture f;
    setup(&f);
    close(f.b_end);
    f.b_end = -1;
    ck_assert_int_eq(write(f.a_end, "x", 1), 1);
    ck_assert_int_eq(relay_move(&f.forth, &f.scratch, &f.why), RELAY_BROKEN_TO);
    ck_assert_int_eq(f.why.err, ERR_PEER_RESET);
    f.b_end = dup(f.a_end);
    teardown(&f);
}
END_TEST

START_TEST(test_a_relay_with_nothing_to_read_stays_open)
{
    struct fixture f;
    setup(&f);
    ck_assert_int_eq(relay_move(&f.forth, &f.scratch, &f.why), RELAY_OPEN);
    ck_assert_uint_eq(f.forth.bytes, 0);
    teardown(&f);
}
END_TEST

START_TEST(test_what_a_source_sent_before_its_reset_is_moved_first)
{
    struct fixture f;
    char got[16] = {0};
    setup(&f);
    ck_assert_int_eq(write(f.b_end, "unread", 6), 6); /* closing on it is a reset */
    ck_assert_int_eq(relay_move(&f.back, &f.scratch, &f.why), RELAY_OPEN);
    ck_assert_int_eq(write(f.a_end, "hello", 5), 5);
    close(f.a_end);
    ck_assert_int_eq(relay_move(&f.forth, &f.scratch, &f.why), RELAY_OPEN);
    ck_assert_int_eq(relay_move(&f.forth, &f.scratch, &f.why), RELAY_BROKEN_FROM);
    ck_assert_int_eq(f.why.err, ERR_PEER_RESET);
    ck_assert_int_eq(read(f.b_end, got, sizeof got), 5);
    ck_assert(relay_is_over(&f.forth) && relay_is_over(&f.back)); /* nobody to carry back to */
    ck_assert(!f.b.fin_wanted); /* the sink is not told that it has the whole */
    f.a_end = dup(f.b_end);
    teardown(&f);
}
END_TEST

START_TEST(test_a_sink_that_is_gone_ends_one_direction_only)
{
    struct fixture f;
    char got[16] = {0};
    setup(&f);
    ck_assert_int_eq(write(f.b_end, "hello", 5), 5);
    shutdown(f.b_end, SHUT_RD);
    ck_assert_int_eq(write(f.a_end, "x", 1), 1);
    ck_assert_int_eq(relay_move(&f.forth, &f.scratch, &f.why), RELAY_BROKEN_TO);
    ck_assert(relay_is_over(&f.forth) && !relay_wants(&f.forth));
    ck_assert(!relay_is_over(&f.back) && relay_wants(&f.back));
    ck_assert_int_eq(relay_move(&f.back, &f.scratch, &f.why), RELAY_OPEN);
    ck_assert_int_eq(read(f.a_end, got, sizeof got), 5);
    teardown(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("relay");
    TCase *t = tcase_create("relay");
    tcase_add_test(t, test_bytes_written_at_one_end_come_out_at_the_other);
    tcase_add_test(t, test_a_half_close_is_passed_on_and_the_other_direction_lives);
    tcase_add_test(t, test_nobody_reads_for_a_sink_that_is_full_and_no_byte_is_lost);
    tcase_add_test(t, test_a_sink_that_is_gone_breaks_the_relay_on_that_side);
    tcase_add_test(t, test_what_a_source_sent_before_its_reset_is_moved_first);
    tcase_add_test(t, test_a_sink_that_is_gone_ends_one_direction_only);
    tcase_add_test(t, test_a_relay_with_nothing_to_read_stays_open);
    suite_add_tcase(s, t);
    return run_suite(s);
}

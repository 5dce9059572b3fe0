/* Random bytes: fresh for each caller, never the same in a forked child or another thread. */
#include "common/base/rand.h"
#include "tests/support/runner.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOME 32

/* The block that the parent has drawn lies unserved at the fork: the child must not serve it too.
 */
START_TEST(test_a_forked_child_does_not_repeat_its_parents_numbers)
{
    uint8_t warm[SOME], parent[SOME], child[SOME];
    int ends[2];
    rand_bytes(warm, sizeof warm);
    ck_assert_int_eq(pipe(ends), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        rand_bytes(child, sizeof child);
        _exit(write(ends[1], child, sizeof child) == (ssize_t)sizeof child ? 0 : 1);
    }
    rand_bytes(parent, sizeof parent);
    ck_assert_int_eq(read(ends[0], child, sizeof child), sizeof child);
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_ne(memcmp(parent, child, sizeof parent), 0);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

static void *draw(void *out)
{
    rand_bytes(out, SOME);
    return NULL;
}

START_TEST(test_threads_do_not_share_numbers)
{
    uint8_t mine[SOME], theirs[SOME];
    pthread_t thread;
    rand_bytes(mine, sizeof mine);
    ck_assert_int_eq(pthread_create(&thread, NULL, draw, theirs), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_ne(memcmp(mine, theirs, sizeof mine), 0);
}
END_TEST

/* Sizes around the block's and far past it; each draw fills all of its room. */
START_TEST(test_every_size_is_filled)
{
    static const size_t sizes[] = {1, 31, 2043, 2044, 2045, 4088, 4096, 100000};
    static uint8_t bytes[100000];
    size_t len = sizes[_i], same = 0;
    memset(bytes, 0xa5, sizeof bytes);
    for (int round = 0; round < 64 && len < SOME; round++)
        rand_bytes(bytes, len);
    rand_bytes(bytes, len);
    for (size_t i = 0; len >= SOME && i < len; i++)
        same += bytes[i] == 0xa5;
    ck_assert_uint_le(same, len / 50 + 8); /* a byte keeps its value once in 256 times */
    ck_assert_int_eq(len < sizeof bytes ? bytes[len] : 0xa5, 0xa5);
}
END_TEST

START_TEST(test_numbers_below_a_bound_reach_all_of_it)
{
    bool seen[10] = {false};
    for (int i = 0; i < 10000; i++) {
        uint64_t n = rand_below(10);
        ck_assert_uint_lt(n, 10);
        seen[n] = true;
    }
    for (size_t i = 0; i < 10; i++)
        ck_assert(seen[i]);
    ck_assert_uint_eq(rand_below(1), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rand");
    TCase *t = tcase_create("rand");
    tcase_add_test(t, test_a_forked_child_does_not_repeat_its_parents_numbers);
    tcase_add_test(t, test_threads_do_not_share_numbers);
    tcase_add_loop_test(t, test_every_size_is_filled, 0, 8);
    tcase_add_test(t, test_numbers_below_a_bound_reach_all_of_it);
    suite_add_tcase(s, t);
    return run_suite(s);
}

/* Writer and view of one table: what is set is what is seen; and what holders of the descriptor
 * cannot do. */
#include "common/base/mem.h"
#include "tests/support/revocation_case.h"
#include "tests/support/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct revocation_case c;

static void setup(void)
{
    case_start(&c, 0);
}

static void teardown(void)
{
    case_stop(&c);
}

START_TEST(test_a_revoked_serial_is_revoked_with_reason_and_time)
{
    uint8_t room[16];
    struct slice serial = case_number(7, room);
    case_set(&c, CASE_ISSUER_A, serial, case_revoked(REVOCATION_KEY_COMPROMISE, CASE_NOW - 5));
    struct revocation_status got =
        revocation_view_certificate(c.v, CASE_ISSUER_A, serial, CASE_NOW);
    ck_assert_int_eq(got.state, REVOCATION_REVOKED);
    ck_assert_int_eq(got.reason, REVOCATION_KEY_COMPROMISE);
    ck_assert_int_eq(got.at, CASE_NOW - 5);
    ck_assert(!got.held);
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_B, serial), REVOCATION_UNKNOWN);
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, case_number(8, room)), REVOCATION_UNKNOWN);
}
END_TEST

/* What absence says depends on the issuer's list. */
static const struct {
    bool known, complete;
    int64_t next_update;
    enum revocation_state want;
} absences[] = {
    {false, false, 0, REVOCATION_UNKNOWN},          {true, false, CASE_NOW + 1, REVOCATION_UNKNOWN},
    {true, true, CASE_NOW + 1, REVOCATION_GOOD},    {true, true, CASE_NOW, REVOCATION_UNKNOWN},
    {true, true, CASE_NOW - 1, REVOCATION_UNKNOWN}, {true, true, INT64_MAX, REVOCATION_GOOD},
    {true, true, INT64_MIN, REVOCATION_UNKNOWN},
};

START_TEST(test_absence_is_good_only_of_a_complete_fresh_list)
{
    uint8_t room[16];
    struct slice serial = case_number(7, room);
    if (absences[_i].known)
        case_complete(&c, CASE_ISSUER_A, absences[_i].complete, absences[_i].next_update);
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, serial), absences[_i].want);
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_B, serial), REVOCATION_UNKNOWN);
    case_set(&c, CASE_ISSUER_A, serial, case_revoked(REVOCATION_SUPERSEDED, CASE_NOW));
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, serial), REVOCATION_REVOKED);
    case_forget(&c, CASE_ISSUER_A, serial);
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, serial), absences[_i].want);
}
END_TEST

START_TEST(test_a_serial_said_to_be_good_is_so_until_its_time)
{
    uint8_t room[16];
    struct slice serial = case_number(7, room);
    case_set(&c, CASE_ISSUER_A, serial,
             (struct revocation_status){.state = REVOCATION_GOOD, .at = CASE_NOW + 1});
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, serial), REVOCATION_GOOD);
    case_set(&c, CASE_ISSUER_A, serial,
             (struct revocation_status){.state = REVOCATION_GOOD, .at = CASE_NOW});
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, serial), REVOCATION_UNKNOWN);
    case_complete(&c, CASE_ISSUER_A, true, CASE_NOW + 9);
    ck_assert_int_eq(revocation_view_certificate(c.v, CASE_ISSUER_A, serial, CASE_NOW).at,
                     CASE_NOW + 9);
}
END_TEST

START_TEST(test_an_issuers_list_is_told)
{
    struct revocation_issuer list;
    ck_assert(!revocation_view_issuer(c.v, CASE_ISSUER_A, &list));
    case_complete(&c, CASE_ISSUER_A, true, CASE_NOW + 100);
    ck_assert(revocation_view_issuer(c.v, CASE_ISSUER_A, &list));
    ck_assert(list.complete);
    ck_assert_int_eq(list.source, REVOCATION_SOURCE_CRL);
    ck_assert_int_eq(list.this_update, CASE_NOW - 60);
    ck_assert_int_eq(list.next_update, CASE_NOW + 100);
    case_complete(&c, CASE_ISSUER_A, false, CASE_NOW + 200);
    ck_assert(revocation_view_issuer(c.v, CASE_ISSUER_A, &list));
    ck_assert(!list.complete);
    ck_assert_int_eq(list.next_update, CASE_NOW + 200);
}
END_TEST

START_TEST(test_a_forgotten_issuer_takes_its_serials_along)
{
    uint8_t room[16];
    case_complete(&c, CASE_ISSUER_A, true, CASE_NOW + 100);
    for (uint32_t i = 0; i < 20; i++) {
        case_set(&c, CASE_ISSUER_A, case_number(i, room),
                 case_revoked(REVOCATION_UNSPECIFIED, CASE_NOW));
        case_set(&c, CASE_ISSUER_B, case_number(i, room),
                 case_revoked(REVOCATION_UNSPECIFIED, CASE_NOW));
    }
    revocation_writer_forget_issuer(c.w, CASE_ISSUER_A);
    revocation_writer_forget_issuer(c.w, CASE_ISSUER_A);
    ck_assert_uint_eq(revocation_writer_count(c.w), 20);
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, case_number(3, room)), REVOCATION_UNKNOWN);
        ck_assert_int_eq(case_state(&c, CASE_ISSUER_B, case_number(3, room)), REVOCATION_REVOKED);
        case_complete(&c, CASE_ISSUER_A, false, 0); /* known again, its serials are not */
    }
    case_set(&c, CASE_ISSUER_A, case_number(3, room),
             case_revoked(REVOCATION_UNSPECIFIED, CASE_NOW));
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, case_number(3, room)), REVOCATION_REVOKED);
    ck_assert_uint_eq(revocation_writer_count(c.w), 21);
}
END_TEST

START_TEST(test_a_held_id_is_revoked_and_held_until_released)
{
    struct slice web = slice_str("spiffe://example.org/web");
    struct revocation_id id = revocation_id_of(web);
    struct revocation_id other = revocation_id_of(slice_str("spiffe://example.org/we"));
    struct revocation_status hold = case_revoked(REVOCATION_CERTIFICATE_HOLD, CASE_NOW), none = {0};
    ck_assert_int_eq(revocation_view_id(c.v, &id).state, REVOCATION_UNKNOWN);
    ck_assert_int_eq(revocation_writer_hold(c.w, web, &hold, &c.why), ERR_OK);
    struct revocation_status got = revocation_view_id(c.v, &id);
    ck_assert_int_eq(got.state, REVOCATION_REVOKED);
    ck_assert_int_eq(got.reason, REVOCATION_CERTIFICATE_HOLD);
    ck_assert_int_eq(got.at, CASE_NOW);
    ck_assert(got.held);
    ck_assert_int_eq(revocation_view_id(c.v, &other).state, REVOCATION_UNKNOWN);
    ck_assert_int_eq(revocation_writer_hold(c.w, web, &none, &c.why), ERR_OK);
    ck_assert_int_eq(revocation_writer_hold(c.w, web, &none, &c.why), ERR_OK);
    ck_assert_int_eq(revocation_view_id(c.v, &id).state, REVOCATION_UNKNOWN);
    none.state = REVOCATION_GOOD; /* an ID is held or it is not */
    ck_assert_int_eq(revocation_writer_hold(c.w, web, &none, &c.why), ERR_OK);
    ck_assert_uint_eq(revocation_writer_count(c.w), 0);
}
END_TEST

/* A serial that has the bytes of a held ID is another matter, and the reverse. */
START_TEST(test_serials_and_ids_do_not_meet)
{
    struct slice web = slice_str("spiffe://example.org/web");
    struct revocation_id id = revocation_id_of(web);
    struct slice serial = slice_of(id.hash, sizeof id.hash);
    struct revocation_status hold = case_revoked(REVOCATION_UNSPECIFIED, CASE_NOW);
    ck_assert_int_eq(revocation_writer_hold(c.w, web, &hold, &c.why), ERR_OK);
    case_complete(&c, CASE_ISSUER_A, true, CASE_NOW + 1);
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, serial), REVOCATION_GOOD);
}
END_TEST

/* Serials that differ by length, order or issuer alone; zeros at the start say nothing. */
START_TEST(test_serials_are_numbers)
{
    static const struct {
        const char *set, *ask;
        size_t set_len, ask_len;
        bool same;
    } cases[] = {
        {"\x01", "\x01", 1, 1, true},
        {"\x00\x01", "\x01", 2, 1, true},
        {"\x01", "\x00\x00\x01", 1, 3, true},
        {"\x01", "\x01\x00", 1, 2, false},
        {"\x01\x02", "\x02\x01", 2, 2, false},
        {"\x00", "", 1, 0, true},
        {"\x00", "\x01", 1, 1, false},
        {"\0\0\0\0\0aaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaa", 25, 20, true},
        {"aaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaab", 20, 20, false},
        {"aaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaa", 20, 21, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice a = slice_of(cases[i].set, cases[i].set_len);
        struct slice b = slice_of(cases[i].ask, cases[i].ask_len);
        case_set(&c, CASE_ISSUER_A, a, case_revoked(REVOCATION_UNSPECIFIED, CASE_NOW));
        ck_assert_msg((case_state(&c, CASE_ISSUER_A, b) == REVOCATION_REVOKED) == cases[i].same,
                      "case %zu", i);
        case_forget(&c, CASE_ISSUER_A, a);
        ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, b), REVOCATION_UNKNOWN);
    }
}
END_TEST

/* Nobody may take a serial that no table can hold for a good one. */
START_TEST(test_a_serial_too_long_is_refused_and_unknown)
{
    struct slice serial = slice_str("aaaaaaaaaaaaaaaaaaaaa");
    struct revocation_status status = case_revoked(REVOCATION_UNSPECIFIED, CASE_NOW);
    case_complete(&c, CASE_ISSUER_A, true, CASE_NOW + 1);
    ck_assert_int_eq(revocation_writer_set(c.w, CASE_ISSUER_A, serial, &status, &c.why),
                     ERR_TOO_LARGE);
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, serial), REVOCATION_UNKNOWN);
    ck_assert_uint_eq(revocation_writer_count(c.w), 0);
}
END_TEST

START_TEST(test_times_beyond_the_words_room_are_cut_to_it)
{
    static const int64_t times[][2] = {{INT64_MIN, 0},
                                       {-1, 0},
                                       {INT64_MAX, (INT64_C(1) << 40) - 1},
                                       {(INT64_C(1) << 40) - 1, (INT64_C(1) << 40) - 1}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        case_set(&c, CASE_ISSUER_A, slice_str("x"),
                 case_revoked(REVOCATION_AA_COMPROMISE, times[i][0]));
        struct revocation_status got =
            revocation_view_certificate(c.v, CASE_ISSUER_A, slice_str("x"), CASE_NOW);
        ck_assert_int_eq(got.at, times[i][1]);
        ck_assert_int_eq(got.reason, REVOCATION_AA_COMPROMISE);
    }
}
END_TEST

START_TEST(test_heartbeat_and_generation_are_seen)
{
    ck_assert_uint_eq(revocation_view_generation(c.v), 0);
    ck_assert_int_eq(revocation_view_alive_at(c.v), 0);
    revocation_writer_alive(c.w, CASE_NOW);
    ck_assert_uint_eq(revocation_writer_commit(c.w), 1);
    ck_assert_uint_eq(revocation_writer_commit(c.w), 2);
    ck_assert_uint_eq(revocation_view_generation(c.v), 2);
    ck_assert_int_eq(revocation_view_alive_at(c.v), CASE_NOW);
}
END_TEST

START_TEST(test_without_a_view_nothing_is_known)
{
    struct revocation_issuer list;
    struct revocation_id id = {{0}};
    ck_assert_int_eq(
        revocation_view_certificate(NULL, CASE_ISSUER_A, slice_str("x"), CASE_NOW).state,
        REVOCATION_UNKNOWN);
    ck_assert_int_eq(revocation_view_id(NULL, &id).state, REVOCATION_UNKNOWN);
    ck_assert(!revocation_view_issuer(NULL, CASE_ISSUER_A, &list));
    ck_assert_uint_eq(revocation_view_generation(NULL), 0);
    ck_assert_int_eq(revocation_view_alive_at(NULL), 0);
}
END_TEST

START_TEST(test_a_view_outlives_the_writer)
{
    case_set(&c, CASE_ISSUER_A, slice_str("x"), case_revoked(REVOCATION_SUPERSEDED, CASE_NOW));
    revocation_writer_free(c.w);
    c.w = NULL;
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, slice_str("x")), REVOCATION_REVOKED);
}
END_TEST

START_TEST(test_no_memory_makes_neither_writer_nor_view)
{
    struct revocation_writer *none = NULL;
    struct revocation_view *nothing = NULL;
    mem_fail_after(0);
    ck_assert_int_eq(revocation_writer_new(0, NULL, NULL, &none, &c.why), ERR_NO_MEMORY);
    ck_assert_int_eq(revocation_view_open(revocation_writer_fd(c.w), &nothing, &c.why),
                     ERR_NO_MEMORY);
    mem_fail_after(-1);
    ck_assert_ptr_null(none);
    ck_assert_ptr_null(nothing);
    ck_assert_int_ne(fcntl(revocation_writer_fd(c.w), F_GETFD), -1);
}
END_TEST

/* Whoever has the descriptor, or opens the memory anew, reads and no more. */
START_TEST(test_a_reader_cannot_write_resize_or_unseal)
{
    char path[64];
    int held = revocation_writer_fd(c.w);
    snprintf(path, sizeof path, "/proc/self/fd/%d", held);
    int fds[] = {held, open(path, O_RDWR | O_CLOEXEC)};
    size_t size = revocation_writer_bytes(c.w);
    ck_assert_int_ge(fds[1], 0);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(pwrite(fds[i], "x", 1, 0), -1);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_int_eq(ftruncate(fds[i], 0), -1);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_int_eq(ftruncate(fds[i], (off_t)size + 4096), -1);
        ck_assert_int_eq(fallocate(fds[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096),
                         -1);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_ptr_eq(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0),
                         MAP_FAILED);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_int_eq(fcntl(fds[i], F_ADD_SEALS, F_SEAL_WRITE), -1);
        ck_assert_int_eq(errno, EPERM);
        void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fds[i], 0);
        ck_assert_ptr_ne(bytes, MAP_FAILED);
        ck_assert_int_eq(mprotect(bytes, size, PROT_READ | PROT_WRITE), -1);
        munmap(bytes, size);
    }
    ck_assert_int_eq(fcntl(held, F_GETFD), FD_CLOEXEC);
    close(fds[1]);
    case_set(&c, CASE_ISSUER_A, slice_str("x"),
             case_revoked(REVOCATION_SUPERSEDED, CASE_NOW)); /* we still can */
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, slice_str("x")), REVOCATION_REVOKED);
}
END_TEST

#define NOEXEC_SEAL 8u /* MFD_NOEXEC_SEAL, Linux 6.3 */

/* Memory for data holds no program, where the kernel can say so. */
START_TEST(test_the_memory_cannot_be_executed)
{
    struct stat st;
    int fd = memfd_create("probe", MFD_CLOEXEC | NOEXEC_SEAL);
    if (fd < 0)
        return; /* an older kernel */
    close(fd);
    ck_assert_int_eq(fstat(revocation_writer_fd(c.w), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0111, 0);
    ck_assert_int_eq(fchmod(revocation_writer_fd(c.w), 0777), -1);
}
END_TEST

/* Where memfd_create knows no such flag, as in Linux 6.1. */
START_TEST(test_an_older_kernel_gives_memory_all_the_same)
{
    int status = -1;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        struct revocation_writer *old = NULL;
        if (filter == NULL ||
            seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(memfd_create), 1,
                             SCMP_A1(SCMP_CMP_MASKED_EQ, NOEXEC_SEAL, NOEXEC_SEAL)) != 0 ||
            seccomp_load(filter) != 0 || memfd_create("probe", NOEXEC_SEAL) >= 0)
            _exit(2);
        _exit(revocation_writer_new(0, NULL, NULL, &old, NULL) == ERR_OK ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("revocation_cache");
    TCase *tc = tcase_create("revocation_cache");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_a_revoked_serial_is_revoked_with_reason_and_time);
    tcase_add_loop_test(tc, test_absence_is_good_only_of_a_complete_fresh_list, 0,
                        (int)(sizeof absences / sizeof absences[0]));
    tcase_add_test(tc, test_a_serial_said_to_be_good_is_so_until_its_time);
    tcase_add_test(tc, test_an_issuers_list_is_told);
    tcase_add_test(tc, test_a_forgotten_issuer_takes_its_serials_along);
    tcase_add_test(tc, test_a_held_id_is_revoked_and_held_until_released);
    tcase_add_test(tc, test_serials_and_ids_do_not_meet);
    tcase_add_test(tc, test_serials_are_numbers);
    tcase_add_test(tc, test_a_serial_too_long_is_refused_and_unknown);
    tcase_add_test(tc, test_times_beyond_the_words_room_are_cut_to_it);
    tcase_add_test(tc, test_heartbeat_and_generation_are_seen);
    tcase_add_test(tc, test_without_a_view_nothing_is_known);
    tcase_add_test(tc, test_a_view_outlives_the_writer);
    tcase_add_test(tc, test_no_memory_makes_neither_writer_nor_view);
    tcase_add_test(tc, test_a_reader_cannot_write_resize_or_unseal);
    tcase_add_test(tc, test_the_memory_cannot_be_executed);
    tcase_add_test(tc, test_an_older_kernel_gives_memory_all_the_same);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

/* The agent's end of share.sock over real sockets: who is let in and what they hear. The peers are
 * this process itself and children of it. */
#include "tests/support/share_case.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int offered_seen, page_given, pages_left, last_page_left;

static int on_page_for(void *arg, const char *spiffe_id, const char *name, int offered)
{
    (void)arg;
    ck_assert_str_eq(spiffe_id, WEB);
    ck_assert_str_eq(name, "left");
    offered_seen = offered;
    if (offered >= 0)
        close(offered);
    return page_given;
}

static void on_page_left(void *arg, int page)
{
    (void)arg;
    pages_left++;
    last_page_left = page;
}

/* --- who is let in ---------------------------------------------------------------------------- */

START_TEST(test_a_sidecar_with_an_entry_is_welcome)
{
    int fd = case_guest();
    ck_assert_int_eq(site.heard.welcome.longest_life_s, 3610);
    ck_assert_uint_eq(share_sidecars(site.share), 1);
    ck_assert_uint_eq(metric_read(site.metrics, M_SHARE_SIDECARS, 0, 0, 0), 1);
    case_settle();
    ck_assert(!case_has_something(fd)); /* no cache yet, so none is told of */
    close(fd);
    case_wait_for_sidecars(0);
    ck_assert_uint_eq(metric_read(site.metrics, M_SHARE_SIDECARS, 0, 0, 0), 0);
}
END_TEST

START_TEST(test_any_of_the_ids_of_its_entries_will_do)
{
    int fd = case_dial();
    case_say_hello(fd, DB);
    case_hear_type(fd, SHARE_WELCOME);
    close(fd);
}
END_TEST

START_TEST(test_an_id_that_no_entry_gives_is_refused)
{
    static const char *const ids[] = {STRANGE, "spiffe://example.org/we", WEB "/", "nonsense"};
    int fd = case_dial();
    case_say_hello(fd, ids[_i]);
    case_hear_refused(fd, "no_entry");
    ck_assert_uint_eq(case_refused(ERR_NO_ENTRY), 1);
    ck_assert_uint_eq(share_sidecars(site.share), 0);
}
END_TEST

START_TEST(test_an_entry_for_others_lets_nobody_else_in)
{
    case_use_entries(WEB, NULL, ", \"unix:gid:4294967294\"");
    int fd = case_dial();
    case_say_hello(fd, WEB);
    case_hear_refused(fd, "no_entry");
}
END_TEST

/* A selector that is found out off the loop. */
static const char *own_path(void)
{
    static char more[600];
    char exe[512] = "";
    ck_assert_int_gt(readlink("/proc/self/exe", exe, sizeof exe - 1), 0);
    snprintf(more, sizeof more, ", \"unix:path:%s\"", exe);
    return more;
}

/* All threads of the pool wait, until a byte each comes. */
enum { POOL_THREADS = 4 };
static uv_work_t held[POOL_THREADS];
static int hold_pipe[2];

static void wait_for_byte(uv_work_t *work)
{
    char byte;
    (void)work;
    while (read(hold_pipe[0], &byte, 1) != 1)
        continue;
}

static void hold_pool(void)
{
    ck_assert_int_eq(pipe2(hold_pipe, O_CLOEXEC), 0);
    for (int i = 0; i < POOL_THREADS; i++)
        ck_assert_int_eq(uv_queue_work(&site.loop, &held[i], wait_for_byte, NULL), 0);
}

static void let_pool_go(void)
{
    ck_assert_int_eq(write(hold_pipe[1], "....", POOL_THREADS), POOL_THREADS);
}

/* It was attested for less than the new entries ask for. */
START_TEST(test_entries_that_change_while_it_is_attested_count)
{
    char user[300];
    const struct passwd *me = getpwuid(getuid());
    ck_assert_ptr_nonnull(me);
    snprintf(user, sizeof user, ", \"unix:user:%s\"", me->pw_name);
    case_use_entries(DB, NULL, own_path());
    hold_pool();
    int fd = case_dial();
    case_say_hello(fd, WEB);
    case_settle();
    case_use_entries(WEB, NULL, user);
    case_settle();
    ck_assert(!case_has_something(fd));
    let_pool_go();
    case_hear_type(fd, SHARE_WELCOME);
    close(fd);
    case_settle();
    close(hold_pipe[0]);
    close(hold_pipe[1]);
}
END_TEST

/* The first one's answer, of entries that are gone, comes no more. */
START_TEST(test_of_two_reloads_in_a_row_the_second_counts)
{
    int fd = case_guest();
    case_use_entries(DB, NULL, own_path());
    case_use_entries(WEB, NULL, own_path());
    for (int i = 0; i < 200; i++)
        case_settle();
    ck_assert_uint_eq(share_sidecars(site.share), 1);
    ck_assert(!case_has_something(fd));
    case_use_entries(WEB, NULL, own_path());
    case_use_entries(DB, NULL, own_path());
    case_hear_refused(fd, "no_entry");
    ck_assert_uint_eq(case_refused(ERR_NO_ENTRY), 1);
}
END_TEST

START_TEST(test_who_goes_while_it_is_attested_leaves_nothing_behind)
{
    case_use_entries(WEB, NULL, own_path());
    for (int i = 0; i < 20; i++) {
        int fd = case_dial();
        case_say_hello(fd, WEB);
        for (int turn = 0; turn < i % 4; turn++)
            uv_run(&site.loop, UV_RUN_NOWAIT);
        close(fd);
    }
    case_settle();
    case_wait_for_sidecars(0);
    close(case_guest());
}
END_TEST

static uint64_t others[ATTEST_JOBS_MAX];

static void attest_other(uint64_t *slot);

/* Keeps the attestor full. */
static void on_other_attested(void *arg, err_t err, struct selector_set *selectors,
                              const struct why *why)
{
    (void)selectors;
    (void)why;
    if (err == ERR_OK)
        attest_other(arg);
}

static void attest_other(uint64_t *slot)
{
    struct attest_subject who = {.pid = getpid(), .uid = getuid(), .gid = getgid()};
    *slot = attest_unix_start(site.attest, &who, SELECTOR_KIND_PATH, on_other_attested, slot);
}

/* With no room to attest anybody, a newcomer is refused, and who is here stays until there is. */
START_TEST(test_without_room_to_attest_who_is_here_stays_until_there_is)
{
    int fd = case_guest();
    for (size_t i = 0; i < ATTEST_JOBS_MAX; i++)
        attest_other(&others[i]);
    case_use_entries(DB, NULL, own_path());
    int newcomer = case_dial();
    case_say_hello(newcomer, DB);
    case_hear_refused(newcomer, "limit");
    ck_assert_uint_eq(share_sidecars(site.share), 1);
    ck_assert(!case_has_something(fd));
    for (size_t i = 0; i < ATTEST_JOBS_MAX; i++)
        attest_unix_cancel(site.attest, others[i]);
    case_hear_refused(fd, "no_entry"); /* at the next tick */
}
END_TEST

START_TEST(test_a_reload_lets_go_who_has_no_entry_any_more)
{
    int stays = case_dial(), goes = case_guest();
    case_say_hello(stays, DB);
    case_hear_type(stays, SHARE_WELCOME);
    case_use_entries(DB, NULL, "");
    case_hear_refused(goes, "no_entry");
    case_wait_for_sidecars(1);
    share_set_cache(site.share, 0, 1);
    case_hear_type(stays, SHARE_CACHE);
    close(site.packet.descriptor);
    close(stays);
}
END_TEST

START_TEST(test_a_process_that_ends_is_let_go_though_its_socket_lives)
{
    int fd = -1, pipe_fds[2], status = 0;
    ck_assert_int_eq(pipe(pipe_fds), 0);
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        char byte;
        struct share_packet socket_packet = {.bytes = "x", .len = 1, .descriptor = case_dial()};
        bool sent = share_send(pair[1], &socket_packet, NULL) == ERR_OK;
        _exit(sent && read(pipe_fds[0], &byte, 1) == 1 ? 0 : 1);
    }
    struct pollfd p = {.fd = pair[0], .events = POLLIN};
    while (poll(&p, 1, 0) == 0)
        uv_run(&site.loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(share_receive(pair[0], &site.packet, &site.why), ERR_OK);
    fd = site.packet.descriptor;
    case_say_hello(fd, WEB);
    case_hear_type(fd, SHARE_WELCOME);
    ck_assert_int_eq(write(pipe_fds[1], "x", 1), 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(case_hear(fd), ERR_PEER_CLOSED);
    ck_assert_uint_eq(share_sidecars(site.share), 0);
    close(fd);
    close(pair[0]);
    close(pair[1]);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}
END_TEST

/* --- what they hear --------------------------------------------------------------------------- */

START_TEST(test_the_cache_is_told_to_who_is_here_and_who_comes)
{
    int cache = memory_file("first"), next = memory_file("second");
    int early = case_guest();
    share_set_cache(site.share, cache, 7);
    case_hear_type(early, SHARE_CACHE);
    ck_assert_uint_eq(site.heard.cache.generation, 7);
    case_check_content(site.packet.descriptor, "first");
    share_set_cache(site.share, next, 8);
    case_hear_type(early, SHARE_CACHE);
    case_check_content(site.packet.descriptor, "second");
    int late = case_guest();
    case_hear_type(late, SHARE_CACHE);
    ck_assert_uint_eq(site.heard.cache.generation, 8);
    case_check_content(site.packet.descriptor, "second");
    share_changed(site.share, 9);
    case_hear_type(early, SHARE_CHANGED);
    ck_assert_uint_eq(site.heard.cache.generation, 9);
    case_hear_type(late, SHARE_CHANGED);
    ck_assert_int_eq(site.packet.descriptor, -1);
    close(early);
    close(late);
    close(cache);
    close(next);
}
END_TEST

START_TEST(test_nothing_is_told_before_a_sidecar_is_let_in)
{
    int cache = memory_file("c"), fd = case_dial();
    case_settle();
    share_set_cache(site.share, cache, 1);
    share_changed(site.share, 2);
    case_settle();
    ck_assert(!case_has_something(fd));
    case_say_hello(fd, WEB);
    case_hear_type(fd, SHARE_WELCOME);
    case_hear_type(fd, SHARE_CACHE);
    ck_assert_uint_eq(site.heard.cache.generation, 2);
    close(site.packet.descriptor);
    case_settle();
    ck_assert(!case_has_something(fd));
    close(fd);
    close(cache);
}
END_TEST

/* A queue that held each change would grow with them, and each CACHE in it keep a table in memory.
 */
START_TEST(test_who_does_not_read_finds_few_messages_and_the_newest)
{
    enum { CHANGES = 5000 };
    int old = memory_file("old"), newest = memory_file("newest"), fd = case_guest(),
        other = case_guest();
    char last[16] = "";
    unsigned messages = 0;
    uint64_t generation = 0;
    for (unsigned i = 1; i < CHANGES; i++)
        if (i % 2 == 0)
            share_changed(site.share, i);
        else
            share_set_cache(site.share, old, i);
    share_set_cache(site.share, newest, CHANGES);
    while (generation < CHANGES) {
        ck_assert_int_eq(case_hear(fd), ERR_OK);
        messages++;
        ck_assert_uint_ge(site.heard.cache.generation, generation);
        generation = site.heard.cache.generation;
        if (site.heard.type == SHARE_CACHE) {
            ck_assert_int_ge(pread(site.packet.descriptor, last, sizeof last - 1, 0), 0);
            close(site.packet.descriptor);
        }
    }
    ck_assert_str_eq(last, "newest");
    ck_assert_uint_lt(messages, 40);
    ck_assert_uint_eq(share_sidecars(site.share), 2);
    close(fd);
    close(other);
    close(old);
    close(newest);
}
END_TEST

START_TEST(test_a_longer_life_is_told_and_a_shorter_one_is_not)
{
    int fd = case_guest();
    site.longest_life = 60;
    share_set_entries(site.share);
    case_settle();
    ck_assert(!case_has_something(fd)); /* SVIDs of an hour are still about */
    site.longest_life = 7210;
    share_set_entries(site.share);
    case_hear_type(fd, SHARE_WELCOME);
    ck_assert_int_eq(site.heard.welcome.longest_life_s, 7210);
    site.longest_life = 3610;
    close(fd);
}
END_TEST

/* Asks for a page, with one it has or -1; what it gets must be the agent's. */
static int guest_with_page(int mine)
{
    struct share_message ask = {.type = SHARE_PAGE};
    int fd = case_guest();
    case_say_with(fd, &ask, mine);
    case_hear_type(fd, SHARE_PAGE);
    case_check_content(site.packet.descriptor, "page");
    return fd;
}

START_TEST(test_a_page_is_offered_given_and_left)
{
    int mine = memory_file("mine");
    page_given = memory_file("page");
    pages_left = 0;
    share_close(site.share, NULL, NULL);
    uv_run(&site.loop, UV_RUN_NOWAIT);
    site.options.page_for = on_page_for;
    site.options.page_left = on_page_left;
    case_open_share();
    int fd = guest_with_page(mine);
    ck_assert_int_ge(offered_seen, 0);
    ck_assert_int_ne(offered_seen, mine);
    int second = guest_with_page(-1);
    ck_assert_int_eq(offered_seen, -1);
    ck_assert_int_eq(pages_left, 0);
    close(fd);
    case_wait_for_sidecars(1);
    ck_assert_int_eq(pages_left, 1);
    ck_assert_int_eq(last_page_left, page_given);
    struct share_message again = {.type = SHARE_PAGE};
    case_say_with(second, &again, -1);
    case_hear_refused(second, "parse");
    ck_assert_int_eq(pages_left, 2);
    close(case_guest()); /* one that asks for none is given none */
    case_wait_for_sidecars(0);
    ck_assert_int_eq(pages_left, 2);
    close(mine);
    close(page_given);
}
END_TEST

START_TEST(test_where_nobody_counts_in_pages_none_is_given)
{
    struct share_message ask = {.type = SHARE_PAGE};
    int mine = memory_file("mine"), fd = case_guest();
    size_t before = open_descriptors();
    case_say_with(fd, &ask, mine);
    case_settle();
    ck_assert(!case_has_something(fd));
    ck_assert_uint_eq(open_descriptors(), before);
    close(fd);
    close(mine);
}
END_TEST

/* --- the socket ------------------------------------------------------------------------------- */

START_TEST(test_a_second_agent_is_told_and_the_socket_goes_with_the_first)
{
    struct share *second = NULL;
    char path[TEMP_PATH_MAX];
    ck_assert_int_eq(share_open(&site.loop, &site.options, &second, &site.why), ERR_LOCKED);
    ck_assert_ptr_null(second);
    case_settle();
    ck_assert_str_eq(share_socket(site.share), temp_path(&site.dir, "share.sock", path));
    ck_assert_int_eq(access(path, F_OK), 0);
    int fd = case_guest();
    share_close(site.share, NULL, NULL);
    case_settle();
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(case_hear(fd), ERR_PEER_CLOSED);
    close(fd);
    case_open_share();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("share");
    TCase *tc = tcase_create("share");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, case_setup, case_teardown);
    tcase_add_test(tc, test_a_sidecar_with_an_entry_is_welcome);
    tcase_add_test(tc, test_any_of_the_ids_of_its_entries_will_do);
    tcase_add_loop_test(tc, test_an_id_that_no_entry_gives_is_refused, 0, 4);
    tcase_add_test(tc, test_an_entry_for_others_lets_nobody_else_in);
    tcase_add_test(tc, test_entries_that_change_while_it_is_attested_count);
    tcase_add_test(tc, test_of_two_reloads_in_a_row_the_second_counts);
    tcase_add_test(tc, test_who_goes_while_it_is_attested_leaves_nothing_behind);
    tcase_add_test(tc, test_without_room_to_attest_who_is_here_stays_until_there_is);
    tcase_add_test(tc, test_a_reload_lets_go_who_has_no_entry_any_more);
    tcase_add_test(tc, test_a_process_that_ends_is_let_go_though_its_socket_lives);
    tcase_add_test(tc, test_the_cache_is_told_to_who_is_here_and_who_comes);
    tcase_add_test(tc, test_nothing_is_told_before_a_sidecar_is_let_in);
    tcase_add_test(tc, test_who_does_not_read_finds_few_messages_and_the_newest);
    tcase_add_test(tc, test_a_longer_life_is_told_and_a_shorter_one_is_not);
    tcase_add_test(tc, test_a_page_is_offered_given_and_left);
    tcase_add_test(tc, test_where_nobody_counts_in_pages_none_is_given);
    tcase_add_test(tc, test_a_second_agent_is_told_and_the_socket_goes_with_the_first);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

/* The sidecar's end of share.sock against a scripted agent on the same loop. */
#include "sidecar/share_link.h"

#include "common/log.h"
#include "common/share_message.h"
#include "common/unix_socket.h"
#include "tests/support/descriptors.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define WEB "spiffe://example.org/web"
#define DB "spiffe://example.org/db"

static const uint8_t issuer[REVOCATION_ISSUER_LEN] = "twenty bytes of key";

static uv_loop_t loop;
static struct temp_dir dir;
static struct unix_socket server;
static int agent; /* its end of the connection; -1 */
static struct share_link *link_;
static struct revocation_writer *writer;
static struct share_packet packet;
static struct why why;

/* What the link told. */
static struct {
    unsigned ups, downs, welcomes, caches, changes, pages, info, warn;
    bool connected;
    int64_t life;
    uint64_t generation;
    struct revocation_view *view;
    char page[16];
    char line[1024]; /* last */
    bool close_on_cache;
} told;

/* --- the sidecar around it -------------------------------------------------------------------- */

static void on_connected(void *arg, bool connected)
{
    (void)arg;
    ck_assert_int_ne(told.connected, connected); /* each change once */
    told.connected = connected;
    told.ups += connected;
    told.downs += !connected;
}

static void on_welcome(void *arg, int64_t longest_life_s)
{
    (void)arg;
    told.welcomes++;
    told.life = longest_life_s;
}

static void on_cache(void *arg, struct revocation_view *view)
{
    (void)arg;
    told.caches++;
    revocation_view_unref(told.view);
    told.view = revocation_view_ref(view);
    if (told.close_on_cache)
        share_link_close(link_, NULL, NULL);
}

static void on_changed(void *arg, uint64_t generation)
{
    (void)arg;
    told.changes++;
    told.generation = generation;
}

static void on_page(void *arg, int fd)
{
    (void)arg;
    told.pages++;
    ck_assert_int_ge(pread(fd, told.page, sizeof told.page - 1, 0), 0);
    close(fd);
}

static void on_line(void *arg, const char *line)
{
    (void)arg;
    told.info += strstr(line, " INFO ") != NULL;
    told.warn += strstr(line, " WARN ") != NULL || strstr(line, " ERROR ") != NULL;
    snprintf(told.line, sizeof told.line, "%s", line);
}

static void setup(void)
{
    char path[TEMP_PATH_MAX];
    temp_dir_make(&dir);
    memset(&told, 0, sizeof told);
    why = (struct why){0};
    agent = server.fd = -1;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    log_capture(on_line, NULL);
    struct share_link_options opt = {.api_socket = temp_path(&dir, "api.sock", path),
                                     .name = "left",
                                     .on_connected = on_connected,
                                     .on_welcome = on_welcome,
                                     .on_cache = on_cache,
                                     .on_changed = on_changed,
                                     .on_page = on_page};
    ck_assert_int_eq(share_link_open(&loop, &opt, &link_, &why), ERR_OK);
    ck_assert_int_eq(revocation_writer_new(8, NULL, NULL, &writer, &why), ERR_OK);
}

static void stop_server(void)
{
    if (server.fd >= 0) {
        unix_socket_unlink(&server);
        close(server.fd);
    }
    server.fd = -1;
}

static void hang_up(void)
{
    if (agent >= 0)
        close(agent);
    agent = -1;
}

static void teardown(void)
{
    share_link_close(link_, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    revocation_view_unref(told.view);
    revocation_writer_free(writer);
    log_capture(NULL, NULL);
    hang_up();
    stop_server();
    temp_dir_remove(&dir);
}

/* --- the scripted agent ----------------------------------------------------------------------- */

static void start_server(void)
{
    char path[TEMP_PATH_MAX];
    ck_assert_int_eq(
        unix_socket_open(temp_path(&dir, "share.sock", path), SOCK_SEQPACKET, 0777, &server, &why),
        ERR_OK);
}

static void run_until_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, 0) == 0)
        uv_run(&loop, UV_RUN_ONCE);
}

/* The next connection, and its HELLO. */
static struct share_message accept_hello(void)
{
    struct share_message m;
    run_until_readable(server.fd);
    hang_up();
    agent = accept4(server.fd, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(agent, 0);
    unix_socket_take_descriptors(agent);
    run_until_readable(agent);
    ck_assert_int_eq(share_receive(agent, &packet, &why), ERR_OK);
    ck_assert_int_eq(share_decode(slice_of(packet.bytes, packet.len), &m, &why), ERR_OK);
    ck_assert_int_eq(m.type, SHARE_HELLO);
    return m;
}

static void say_with(const struct share_message *m, int descriptor)
{
    ck_assert_int_eq(share_encode(m, &packet, &why), ERR_OK);
    packet.descriptor = descriptor;
    ck_assert_int_eq(share_send(agent, &packet, &why), ERR_OK);
}

static void say(enum share_type type, int descriptor)
{
    struct share_message m = {.type = type};
    say_with(&m, descriptor);
}

static void say_welcome(void)
{
    struct share_message m = {.type = SHARE_WELCOME,
                              .welcome = {.program = slice_str("agent 1"), .longest_life_s = 3610}};
    say_with(&m, -1);
}

static void say_refused(const char *reason, const char *text)
{
    struct share_message m = {.type = SHARE_REFUSED,
                              .refused = {.reason = slice_str(reason), .text = slice_str(text)}};
    say_with(&m, -1);
    hang_up();
}

static void welcome(void)
{
    unsigned before = told.welcomes;
    accept_hello();
    say_welcome();
    while (told.welcomes == before)
        uv_run(&loop, UV_RUN_ONCE);
}

static void set_identity(const char *id)
{
    share_link_set_identity(link_, slice_str(id));
}

static void settle(void)
{
    for (int i = 0; i < 10; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
}

static bool hung_up(void)
{
    struct pollfd p = {.fd = agent, .events = POLLIN};
    settle();
    return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP) != 0;
}

static enum revocation_state state_of(const char *serial)
{
    struct slice s = slice_str(serial);
    return revocation_view_certificate(told.view, issuer, s, 1000).state;
}

static void revoke_serial(const char *serial)
{
    struct revocation_status status = {.state = REVOCATION_REVOKED, .at = 1};
    ck_assert_int_eq(revocation_writer_set(writer, issuer, slice_str(serial), &status, &why),
                     ERR_OK);
}

/* --- hello and welcome ------------------------------------------------------------------------ */

START_TEST(test_hello_says_who_we_are_once_there_is_an_identity)
{
    start_server();
    settle();
    struct pollfd p = {.fd = server.fd, .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, 0), 0);
    set_identity(WEB);
    struct share_message m = accept_hello();
    ck_assert(slice_eq_str(m.hello.spiffe_id, WEB));
    ck_assert(slice_eq_str(m.hello.name, "left"));
    ck_assert(slice_eq_str(m.hello.program, SPINDLE_VERSION));
    ck_assert_int_eq(packet.descriptor, -1);
    ck_assert(!told.connected); /* not before WELCOME */
    say_welcome();
    while (!told.connected)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_int_eq(told.life, 3610);
    say_welcome(); /* again when it changes */
    while (told.welcomes < 2)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_uint_eq(told.ups, 1);
    ck_assert_uint_eq(told.info, 1);
    ck_assert_ptr_nonnull(strstr(told.line, "share_connected"));
}
END_TEST

START_TEST(test_a_rotation_changes_nothing_and_another_id_says_hello_anew)
{
    start_server();
    set_identity(WEB);
    welcome();
    set_identity(WEB);
    ck_assert(!hung_up());
    set_identity(DB);
    ck_assert_uint_eq(told.downs, 1);
    ck_assert(hung_up());
    struct share_message m = accept_hello();
    ck_assert(slice_eq_str(m.hello.spiffe_id, DB));
    set_identity("");
    ck_assert(hung_up());
    settle();
    struct pollfd p = {.fd = server.fd, .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, 0), 0); /* nobody has nothing to say */
}
END_TEST

/* Not before: the agent takes descriptors from nobody that it has not let in. */
START_TEST(test_a_page_is_asked_for_after_welcome_with_the_one_we_have)
{
    int page = memory_file("mine");
    struct share_message m;
    char text[8] = "";
    start_server();
    set_identity(WEB);
    for (int round = 0; round < 2; round++) {
        welcome();
        run_until_readable(agent);
        ck_assert_int_eq(share_receive(agent, &packet, &why), ERR_OK);
        ck_assert_int_eq(share_decode(slice_of(packet.bytes, packet.len), &m, &why), ERR_OK);
        ck_assert_int_eq(m.type, SHARE_PAGE);
        if (round == 0) {
            ck_assert_int_eq(packet.descriptor, -1);
            share_link_set_page(link_, page);
            hang_up();
            continue;
        }
        ck_assert_int_ge(packet.descriptor, 0);
        ck_assert_int_eq(pread(packet.descriptor, text, 4, 0), 4);
        ck_assert_str_eq(text, "mine");
        close(packet.descriptor);
    }
    say_welcome(); /* its second WELCOME asks for nothing */
    while (told.welcomes < 3)
        uv_run(&loop, UV_RUN_ONCE);
    settle();
    struct pollfd p = {.fd = agent, .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, 0), 0);
    close(page);
}
END_TEST

/* --- what comes ------------------------------------------------------------------------------- */

START_TEST(test_a_cache_is_handed_over_and_a_change_is_told)
{
    start_server();
    set_identity(WEB);
    welcome();
    say(SHARE_CACHE, revocation_writer_fd(writer));
    while (told.caches == 0)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_int_eq(state_of("a"), REVOCATION_UNKNOWN);
    revoke_serial("a");
    struct share_message m = {.type = SHARE_CHANGED,
                              .cache.generation = revocation_writer_commit(writer)};
    say_with(&m, -1);
    while (told.changes == 0)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_uint_eq(told.generation, revocation_view_generation(told.view));
    ck_assert_int_eq(state_of("a"), REVOCATION_REVOKED);
}
END_TEST

START_TEST(test_a_page_is_handed_over)
{
    int page = memory_file("page");
    start_server();
    set_identity(WEB);
    welcome();
    say(SHARE_PAGE, page);
    while (told.pages == 0)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_str_eq(told.page, "page");
    close(page);
}
END_TEST

/* A table of another layout is no reason to part: the old one stays, the rest goes on. */
START_TEST(test_a_cache_that_cannot_be_read_is_left_and_the_old_one_stays)
{
    int wrong = memory_file("wrong");
    start_server();
    set_identity(WEB);
    welcome();
    revoke_serial("a");
    say(SHARE_CACHE, revocation_writer_fd(writer));
    while (told.caches == 0)
        uv_run(&loop, UV_RUN_ONCE);
    size_t before = open_descriptors();
    say(SHARE_CACHE, wrong);
    say(SHARE_CHANGED, -1);
    while (told.changes == 0)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_uint_eq(told.caches, 1);
    ck_assert_uint_eq(told.warn, 1);
    ck_assert_uint_eq(open_descriptors(), before);
    ck_assert_ptr_nonnull(strstr(told.line, "revocation_cache_refused"));
    ck_assert_int_eq(state_of("a"), REVOCATION_REVOKED);
    ck_assert(told.connected);
    close(wrong);
}
END_TEST

START_TEST(test_types_of_a_newer_agent_are_skipped)
{
    int file = memory_file("x");
    start_server();
    set_identity(WEB);
    welcome();
    size_t before = open_descriptors();
    say(SHARE_OTHER, file);
    say(SHARE_CHANGED, file);
    while (told.changes == 0)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert(told.connected);
    ck_assert_uint_eq(open_descriptors(), before);
    close(file);
}
END_TEST

START_TEST(test_it_can_be_closed_from_a_callback)
{
    start_server();
    set_identity(WEB);
    welcome();
    told.close_on_cache = true;
    say(SHARE_CACHE, revocation_writer_fd(writer));
    say(SHARE_CHANGED, -1);
    while (told.caches == 0)
        uv_run(&loop, UV_RUN_ONCE);
    settle();
    ck_assert_uint_eq(told.changes, 0);
    char path[TEMP_PATH_MAX];
    struct share_link_options opt = {.api_socket = temp_path(&dir, "api.sock", path), .name = ""};
    ck_assert_int_eq(share_link_open(&loop, &opt, &link_, &why), ERR_OK); /* for the teardown */
}
END_TEST

/* --- an agent that is not there, or not in order ---------------------------------------------- */

START_TEST(test_no_share_sock_is_one_line_and_found_when_it_comes)
{
    set_identity(WEB);
    settle();
    ck_assert_uint_eq(told.info, 1);
    ck_assert_ptr_nonnull(strstr(told.line, "share_absent"));
    uv_update_time(&loop);
    uint64_t until = uv_now(&loop) + 3 * SHARE_RETRY_FIRST_MS;
    while (uv_now(&loop) < until)
        uv_run(&loop, UV_RUN_ONCE); /* some tries */
    start_server();
    welcome();
    ck_assert_uint_eq(told.info, 2);
    ck_assert_uint_eq(told.warn, 0);
}
END_TEST

START_TEST(test_a_sign_of_the_agent_is_a_reason_to_try_now)
{
    set_identity(WEB);
    for (uint64_t wait = 0; wait < SHARE_RETRY_CAP_MS / 2;) { /* until the waits are long */
        wait = (uint64_t)uv_backend_timeout(&loop);
        if (wait > 1000)
            break;
        uv_run(&loop, UV_RUN_ONCE);
    }
    start_server();
    share_link_retry(link_);
    struct pollfd p = {.fd = server.fd, .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, 0), 1);
    welcome();
    share_link_retry(link_); /* nothing to do */
    ck_assert(!hung_up());
}
END_TEST

START_TEST(test_an_agent_that_restarts_is_found_again_and_the_old_view_stays_meanwhile)
{
    start_server();
    set_identity(WEB);
    welcome();
    revoke_serial("a");
    say(SHARE_CACHE, revocation_writer_fd(writer));
    while (told.caches == 0)
        uv_run(&loop, UV_RUN_ONCE);
    hang_up();
    stop_server();
    revocation_writer_free(writer); /* as a killed agent: the memory lives on */
    writer = NULL;
    while (told.connected)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_ptr_nonnull(strstr(told.line, "share_lost"));
    ck_assert_int_eq(state_of("a"), REVOCATION_REVOKED);
    start_server();
    welcome();
    ck_assert_uint_eq(told.ups, 2);
    ck_assert_uint_eq(told.warn, 0);
    ck_assert_int_eq(revocation_writer_new(8, NULL, NULL, &writer, &why), ERR_OK);
    say(SHARE_CACHE, revocation_writer_fd(writer));
    while (told.caches == 1)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_int_eq(state_of("a"), REVOCATION_UNKNOWN);
}
END_TEST

START_TEST(test_a_refusal_is_told_once_with_its_reason_and_tried_again)
{
    start_server();
    set_identity(WEB);
    for (int i = 0; i < 3; i++) {
        accept_hello();
        say_refused("no_entry", "no registration entry matches the caller");
    }
    accept_hello();
    ck_assert_uint_eq(told.warn, 1);
    ck_assert_ptr_nonnull(strstr(told.line, "reason=no_entry"));
    ck_assert_ptr_nonnull(strstr(told.line, "refused " WEB ": no registration entry matches"));
    ck_assert_uint_eq(told.ups, 0);
}
END_TEST

/* An agent that has no room refuses at the door, before it has read HELLO or even before it came.
 */
START_TEST(test_a_refusal_at_the_door_is_told_with_its_reason)
{
    start_server();
    set_identity(WEB);
    run_until_readable(server.fd);
    agent = accept4(server.fd, NULL, NULL, SOCK_CLOEXEC);
    say_refused("limit", "a limit was reached");
    while (told.warn == 0)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_ptr_nonnull(strstr(told.line, "reason=limit"));
    accept_hello();
}
END_TEST

START_TEST(test_what_is_no_message_ends_the_connection_and_is_tried_again)
{
    static const struct {
        const char *label;
        enum share_type type;
        bool before_welcome;
    } cases[] = {
        {"a cache without a descriptor", SHARE_CACHE, false},
        {"a page without a descriptor", SHARE_PAGE, false},
        {"a sidecar's message", SHARE_HELLO, false},
        {"a change before WELCOME", SHARE_CHANGED, true},
        {"a cache before WELCOME", SHARE_CACHE, true},
    };
    start_server();
    set_identity(WEB);
    if (cases[_i].before_welcome)
        accept_hello();
    else
        welcome();
    struct share_message m = {.type = cases[_i].type};
    if (m.type == SHARE_HELLO)
        m.hello.spiffe_id = slice_str(DB);
    int fd = m.type == SHARE_CACHE && cases[_i].before_welcome ? revocation_writer_fd(writer) : -1;
    say_with(&m, fd);
    ck_assert_msg(hung_up(), "%s", cases[_i].label);
    ck_assert_uint_eq(told.warn, 1);
    ck_assert_uint_eq(told.caches + told.pages + told.changes, 0);
    welcome();
}
END_TEST

START_TEST(test_garbage_ends_the_connection_and_is_tried_again)
{
    size_t before = open_descriptors();
    start_server();
    set_identity(WEB);
    accept_hello();
    ck_assert_int_eq(send(agent, "garbage", 7, 0), 7);
    ck_assert(hung_up());
    accept_hello();
    packet.bytes[4] = 9;
    ck_assert_int_eq(send(agent, packet.bytes, packet.len, 0), (ssize_t)packet.len);
    ck_assert(hung_up());
    ck_assert_ptr_nonnull(strstr(told.line, "reason=unsupported"));
    ck_assert_ptr_nonnull(strstr(told.line, "version 9 "));
    hang_up();
    stop_server();
    settle();
    ck_assert_uint_le(open_descriptors(), before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("share_link");
    TCase *tc = tcase_create("share_link");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_hello_says_who_we_are_once_there_is_an_identity);
    tcase_add_test(tc, test_a_rotation_changes_nothing_and_another_id_says_hello_anew);
    tcase_add_test(tc, test_a_page_is_asked_for_after_welcome_with_the_one_we_have);
    tcase_add_test(tc, test_a_cache_is_handed_over_and_a_change_is_told);
    tcase_add_test(tc, test_a_page_is_handed_over);
    tcase_add_test(tc, test_a_cache_that_cannot_be_read_is_left_and_the_old_one_stays);
    tcase_add_test(tc, test_types_of_a_newer_agent_are_skipped);
    tcase_add_test(tc, test_it_can_be_closed_from_a_callback);
    tcase_add_test(tc, test_no_share_sock_is_one_line_and_found_when_it_comes);
    tcase_add_test(tc, test_a_sign_of_the_agent_is_a_reason_to_try_now);
    tcase_add_test(tc, test_an_agent_that_restarts_is_found_again_and_the_old_view_stays_meanwhile);
    tcase_add_test(tc, test_a_refusal_is_told_once_with_its_reason_and_tried_again);
    tcase_add_test(tc, test_a_refusal_at_the_door_is_told_with_its_reason);
    tcase_add_loop_test(tc, test_what_is_no_message_ends_the_connection_and_is_tried_again, 0, 5);
    tcase_add_test(tc, test_garbage_ends_the_connection_and_is_tried_again);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

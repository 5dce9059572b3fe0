/* The sidecar's end of share.sock against a scripted agent on the same loop. */
#include "sidecar/identity/share_link.h"

#include "common/revocation/revocation_table.h"
#include "tests/support/descriptors.h"
#include "tests/support/link_case.h"
#include "tests/support/runner.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WEB "spiffe://example.org/web"
#define DB "spiffe://example.org/db"

/* --- hello and welcome ------------------------------------------------------------------------ */

START_TEST(test_hello_says_who_we_are_once_there_is_an_identity)
{
    link_start_server();
    link_settle();
    struct pollfd p = {.fd = site.server.fd, .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, 0), 0);
    link_set_identity(WEB);
    struct share_message m = link_accept_hello();
    ck_assert(slice_eq_str(m.hello.spiffe_id, WEB));
    ck_assert(slice_eq_str(m.hello.name, "left"));
    ck_assert(slice_eq_str(m.hello.program, SPINDLE_VERSION));
    ck_assert_int_eq(site.packet.descriptor, -1);
    ck_assert(!site.told.connected); /* not before WELCOME */
    link_say_welcome();
    while (!site.told.connected)
        uv_run(&site.loop, UV_RUN_ONCE);
    ck_assert_int_eq(site.told.life, 3610);
    link_say_welcome(); /* again when it changes */
    while (site.told.welcomes < 2)
        uv_run(&site.loop, UV_RUN_ONCE);
    ck_assert_uint_eq(site.told.ups, 1);
    ck_assert_uint_eq(site.told.info, 1);
    ck_assert_ptr_nonnull(strstr(site.told.line, "share_connected"));
}
END_TEST

START_TEST(test_a_rotation_changes_nothing_and_another_id_says_hello_anew)
{
    link_start_server();
    link_set_identity(WEB);
    link_welcome();
    link_set_identity(WEB);
    ck_assert(!link_hung_up());
    link_set_identity(DB);
    ck_assert_uint_eq(site.told.downs, 1);
    ck_assert(link_hung_up());
    struct share_message m = link_accept_hello();
    ck_assert(slice_eq_str(m.hello.spiffe_id, DB));
}
END_TEST

/* What took our identity may be what our connections are to be cut for. */
START_TEST(test_who_has_no_identity_any_more_still_hears_what_is_revoked)
{
    link_start_server();
    link_set_identity(WEB);
    link_welcome();
    link_set_identity("");
    ck_assert(!link_hung_up());
    link_hand_out_cache();
    link_hang_up();
    while (site.told.connected)
        uv_run(&site.loop, UV_RUN_ONCE);
    ck_assert(slice_eq_str(link_accept_hello().hello.spiffe_id, WEB));
    link_set_identity(WEB);
    ck_assert(!link_hung_up());
}
END_TEST

/* Not before: the agent takes descriptors from nobody that it has not let in. */
START_TEST(test_a_page_is_asked_for_after_welcome_with_the_one_we_have)
{
    int page = memory_file("mine");
    struct share_message m;
    char text[8] = "";
    link_start_server();
    link_set_identity(WEB);
    for (int round = 0; round < 2; round++) {
        link_welcome();
        link_run_until_readable(site.agent);
        ck_assert_int_eq(share_receive(site.agent, &site.packet, &site.why), ERR_OK);
        ck_assert_int_eq(share_decode(slice_of(site.packet.bytes, site.packet.len), &m, &site.why),
                         ERR_OK);
        ck_assert_int_eq(m.type, SHARE_PAGE);
        if (round == 0) {
            ck_assert_int_eq(site.packet.descriptor, -1);
            share_link_set_page(site.link, page);
            link_hang_up();
            continue;
        }
        ck_assert_int_ge(site.packet.descriptor, 0);
        ck_assert_int_eq(pread(site.packet.descriptor, text, 4, 0), 4);
        ck_assert_str_eq(text, "mine");
        close(site.packet.descriptor);
    }
    link_say_welcome(); /* its second WELCOME asks for nothing */
    while (site.told.welcomes < 3)
        uv_run(&site.loop, UV_RUN_ONCE);
    link_settle();
    struct pollfd p = {.fd = site.agent, .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, 0), 0);
    close(page);
}
END_TEST

/* --- what comes ------------------------------------------------------------------------------- */

START_TEST(test_a_cache_is_handed_over_and_a_change_is_told)
{
    link_start_server();
    link_set_identity(WEB);
    link_welcome();
    link_hand_out_cache();
    ck_assert_int_eq(link_state_of("a"), REVOCATION_UNKNOWN);
    link_revoke_serial("a");
    struct share_message m = {.type = SHARE_CHANGED,
                              .cache.generation = revocation_writer_commit(site.writer)};
    link_say_with(&m, -1);
    while (site.told.changes == 0)
        uv_run(&site.loop, UV_RUN_ONCE);
    ck_assert_uint_eq(site.told.generation, revocation_view_generation(site.told.view));
    ck_assert_int_eq(link_state_of("a"), REVOCATION_REVOKED);
}
END_TEST

/* Nobody is to be admitted before what is revoked is known, nor to wait for what does not come. */
START_TEST(test_it_is_settled_once_by_a_cache_or_where_there_is_none)
{
    static const char *const by[] = {"a cache",         "another layout",     "no agent",
                                     "a newer version", "time after WELCOME", "no message"};
    struct table_header header = {.magic = TABLE_MAGIC, .version = TABLE_VERSION + 1};
    int other = sealed_file(&header, sizeof header);
    bool welcome = _i == 0 || _i == 1 || _i == 4;
    if (_i != 2)
        link_start_server();
    link_set_identity(WEB);
    ck_assert_msg(site.told.settled == (_i == 2), "%s", by[_i]); /* not a moment */
    if (welcome)
        link_welcome();
    else if (_i != 2)
        link_accept_hello();
    ck_assert_msg(site.told.settled == (_i == 2), "%s", by[_i]);
    if (_i == 0)
        link_hand_out_cache();
    else if (_i == 1)
        link_say(SHARE_CACHE, other);
    else if (_i == 3)
        link_say_refused("unsupported", "version 2, expected 1");
    else if (_i == 5)
        ck_assert_int_eq(send(site.agent, "garbage", 7, MSG_NOSIGNAL), 7);
    while (site.told.settled == 0)
        uv_run(&site.loop, UV_RUN_ONCE);
    ck_assert_msg(site.told.connected == welcome, "%s", by[_i]);
    ck_assert_msg(site.told.denials == 0, "%s", by[_i]);
    link_set_identity(DB);
    link_settle();
    ck_assert_uint_eq(site.told.settled, 1);
    close(other);
}
END_TEST

static void run_until_denied(bool denied)
{
    while (site.told.denied != denied)
        uv_run(&site.loop, UV_RUN_ONCE);
}

/* Who knows what is revoked is there: it must not look as if nobody knew. */
START_TEST(test_an_agent_that_is_there_and_does_not_tell_denies)
{
    static const char *const how[] = {"limit",   "not_synced", "no_entry",
                                      "silence", "hangs up",   "full queue"};
    int filler[64], fillers = 0;
    link_start_server();
    if (_i == 5) { /* nobody accepts; the queue of a socket that listens so is short */
        ck_assert_int_eq(listen(site.server.fd, 0), 0);
        while (fillers < 64) {
            int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            struct sockaddr_un sun = {.sun_family = AF_UNIX};
            snprintf(sun.sun_path, sizeof sun.sun_path, "%s", site.server.path);
            filler[fillers++] = fd;
            if (connect(fd, (struct sockaddr *)&sun, sizeof sun) != 0)
                break;
        }
    }
    link_set_identity(WEB);
    if (_i < 3 || _i == 4)
        link_accept_hello();
    if (_i < 3)
        link_say_refused(how[_i], "not now");
    if (_i == 4)
        link_hang_up();
    run_until_denied(true);
    ck_assert_msg(site.told.settled == 0, "%s", how[_i]);
    while (fillers > 0) {
        close(filler[--fillers]);
        int fd = accept4(site.server.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            close(fd);
    }
    if (_i == 3)
        link_hang_up();
    link_welcome();
    ck_assert_msg(site.told.denied, "%s", how[_i]); /* WELCOME is no cache */
    link_hand_out_cache();
    run_until_denied(false);
    ck_assert_uint_eq(site.told.settled, 1);
    ck_assert_uint_eq(site.told.denials, 1);
}
END_TEST

START_TEST(test_who_had_a_cache_is_denied_by_a_refusal_until_the_agent_tells_or_goes)
{
    link_start_server();
    link_set_identity(WEB);
    link_welcome();
    link_hand_out_cache();
    for (int round = 0; round < 2; round++) {
        link_hang_up();
        link_accept_hello();
        link_say_refused("limit", "a limit was reached");
        run_until_denied(true);
        link_accept_hello(); /* tried again */
        link_say_refused("limit", "a limit was reached");
        if (round == 0) {
            link_welcome();
            link_hand_out_cache();
        } else {
            link_stop_server(); /* what is in hand is all there is */
        }
        run_until_denied(false);
    }
    ck_assert_uint_eq(site.told.denials, 2);
    ck_assert_uint_eq(site.told.settled, 1);
}
END_TEST

START_TEST(test_a_page_is_handed_over)
{
    int page = memory_file("page");
    link_start_server();
    link_set_identity(WEB);
    link_welcome();
    link_say(SHARE_PAGE, page);
    while (site.told.pages == 0)
        uv_run(&site.loop, UV_RUN_ONCE);
    ck_assert_str_eq(site.told.page, "page");
    close(page);
}
END_TEST

/* It is no reason to part: the old one stays, the rest goes on. */
START_TEST(test_a_cache_of_another_layout_is_left_and_the_old_one_stays)
{
    struct table_header header = {.magic = TABLE_MAGIC, .version = TABLE_VERSION + 1};
    int other = sealed_file(&header, sizeof header);
    link_start_server();
    link_set_identity(WEB);
    link_welcome();
    link_revoke_serial("a");
    link_hand_out_cache();
    size_t before = open_descriptors();
    link_say(SHARE_CACHE, other);
    link_say(SHARE_CHANGED, -1);
    while (site.told.changes == 0)
        uv_run(&site.loop, UV_RUN_ONCE);
    ck_assert_uint_eq(site.told.caches, 1);
    ck_assert_uint_eq(site.told.warn, 1);
    ck_assert_uint_eq(open_descriptors(), before);
    ck_assert_ptr_nonnull(strstr(site.told.line, "revocation_cache_refused"));
    ck_assert_int_eq(link_state_of("a"), REVOCATION_REVOKED);
    ck_assert(site.told.connected);
    close(other);
}
END_TEST

/* Else the old one would be looked at for ever, and nobody writes it any more. */
START_TEST(test_a_cache_that_cannot_be_taken_is_asked_for_again_with_growing_waits)
{
    int wrong = memory_file("wrong");
    link_start_server();
    link_set_identity(WEB);
    link_welcome();
    link_revoke_serial("a");
    link_hand_out_cache();
    for (unsigned round = 0; round < 4; round++) {
        link_say(SHARE_CACHE, wrong);
        while (site.told.connected)
            uv_run(&site.loop, UV_RUN_ONCE);
        ck_assert_int_ge(uv_backend_timeout(&site.loop), (SHARE_RETRY_FIRST_MS << round) / 2 - 1);
        ck_assert_int_eq(link_state_of("a"), REVOCATION_REVOKED);
        link_welcome();
    }
    ck_assert_uint_eq(site.told.warn, 1);
    ck_assert_uint_eq(site.told.info, 1);
    link_hand_out_cache();
    link_say(SHARE_CACHE, wrong); /* all was well between */
    while (site.told.connected)
        uv_run(&site.loop, UV_RUN_ONCE);
    ck_assert_int_le(uv_backend_timeout(&site.loop), SHARE_RETRY_FIRST_MS);
    ck_assert_uint_eq(site.told.warn, 2);
    close(wrong);
}
END_TEST

START_TEST(test_types_of_a_newer_agent_are_skipped)
{
    int file = memory_file("x");
    link_start_server();
    link_set_identity(WEB);
    link_welcome();
    size_t before = open_descriptors();
    link_say(SHARE_OTHER, file);
    link_say(SHARE_CHANGED, file);
    while (site.told.changes == 0)
        uv_run(&site.loop, UV_RUN_ONCE);
    ck_assert(site.told.connected);
    ck_assert_uint_eq(open_descriptors(), before);
    close(file);
}
END_TEST

START_TEST(test_it_can_be_closed_from_a_callback)
{
    link_start_server();
    link_set_identity(WEB);
    link_welcome();
    site.told.close_on_cache = true;
    link_say(SHARE_CACHE, revocation_writer_fd(site.writer));
    link_say(SHARE_CHANGED, -1);
    while (site.told.caches == 0)
        uv_run(&site.loop, UV_RUN_ONCE);
    link_settle();
    ck_assert_uint_eq(site.told.changes, 0);
    char path[TEMP_PATH_MAX];
    struct share_link_options opt = {.api_socket = temp_path(&site.dir, "api.sock", path),
                                     .name = ""};
    ck_assert_int_eq(share_link_open(&site.loop, &opt, &site.link, &site.why),
                     ERR_OK); /* for the teardown */
}
END_TEST

/* --- an agent that is not there, or not in order ---------------------------------------------- */

START_TEST(test_no_share_sock_is_one_line_and_found_when_it_comes)
{
    link_set_identity(WEB);
    link_settle();
    ck_assert_uint_eq(site.told.info, 1);
    ck_assert_ptr_nonnull(strstr(site.told.line, "share_absent"));
    uv_update_time(&site.loop);
    uint64_t until = uv_now(&site.loop) + 3 * SHARE_RETRY_FIRST_MS;
    while (uv_now(&site.loop) < until)
        uv_run(&site.loop, UV_RUN_ONCE); /* some tries */
    link_start_server();
    link_welcome();
    ck_assert_uint_eq(site.told.info, 2);
    ck_assert_uint_eq(site.told.warn, 0);
}
END_TEST

START_TEST(test_a_sign_of_the_agent_is_a_reason_to_try_now)
{
    link_set_identity(WEB);
    while (uv_backend_timeout(&site.loop) < 500) /* until the waits are long */
        uv_run(&site.loop, UV_RUN_ONCE);
    for (int i = 0; i < 2; i++) { /* and no longer: what was revoked waits for it */
        uv_run(&site.loop, UV_RUN_ONCE);
        ck_assert_int_le(uv_backend_timeout(&site.loop), 1000);
    }
    link_start_server();
    share_link_retry(site.link);
    struct pollfd p = {.fd = site.server.fd, .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, 0), 1);
    link_welcome();
    share_link_retry(site.link); /* nothing to do */
    ck_assert(!link_hung_up());
}
END_TEST

START_TEST(test_an_agent_that_restarts_is_found_again_and_the_old_view_stays_meanwhile)
{
    link_start_server();
    link_set_identity(WEB);
    link_welcome();
    link_revoke_serial("a");
    link_hand_out_cache();
    link_hang_up();
    link_stop_server();
    revocation_writer_free(site.writer); /* as a killed agent: the memory lives on */
    site.writer = NULL;
    while (site.told.connected)
        uv_run(&site.loop, UV_RUN_ONCE);
    ck_assert_ptr_nonnull(strstr(site.told.line, "share_lost"));
    ck_assert_int_eq(link_state_of("a"), REVOCATION_REVOKED);
    link_start_server();
    link_welcome();
    ck_assert_uint_eq(site.told.ups, 2);
    ck_assert_uint_eq(site.told.warn, 0);
    ck_assert_int_eq(revocation_writer_new(8, NULL, NULL, &site.writer, &site.why), ERR_OK);
    link_hand_out_cache();
    ck_assert_int_eq(link_state_of("a"), REVOCATION_UNKNOWN);
}
END_TEST

START_TEST(test_a_refusal_is_told_once_with_its_reason_and_tried_again)
{
    link_start_server();
    link_set_identity(WEB);
    for (int i = 0; i < 3; i++) {
        link_accept_hello();
        link_say_refused("no_entry", "no registration entry matches the caller");
    }
    link_accept_hello();
    ck_assert_uint_eq(site.told.warn, 1);
    ck_assert_ptr_nonnull(strstr(site.told.line, "reason=no_entry"));
    ck_assert_ptr_nonnull(strstr(site.told.line, "refused " WEB ": no registration entry matches"));
    ck_assert_uint_eq(site.told.ups, 0);
}
END_TEST

/* An agent that has no room refuses at the door, before it has read HELLO or even before it came.
 */
START_TEST(test_a_refusal_at_the_door_is_told_with_its_reason)
{
    link_start_server();
    link_set_identity(WEB);
    link_run_until_readable(site.server.fd);
    site.agent = accept4(site.server.fd, NULL, NULL, SOCK_CLOEXEC);
    link_say_refused("limit", "a limit was reached");
    while (site.told.warn == 0)
        uv_run(&site.loop, UV_RUN_ONCE);
    ck_assert_ptr_nonnull(strstr(site.told.line, "reason=limit"));
    link_accept_hello();
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
    link_start_server();
    link_set_identity(WEB);
    if (cases[_i].before_welcome)
        link_accept_hello();
    else
        link_welcome();
    struct share_message m = {.type = cases[_i].type};
    if (m.type == SHARE_HELLO)
        m.hello.spiffe_id = slice_str(DB);
    int fd =
        m.type == SHARE_CACHE && cases[_i].before_welcome ? revocation_writer_fd(site.writer) : -1;
    link_say_with(&m, fd);
    ck_assert_msg(link_hung_up(), "%s", cases[_i].label);
    ck_assert_uint_eq(site.told.warn, 1);
    ck_assert_uint_eq(site.told.caches + site.told.pages + site.told.changes, 0);
    link_welcome();
}
END_TEST

START_TEST(test_garbage_ends_the_connection_and_is_tried_again)
{
    size_t before = open_descriptors();
    link_start_server();
    link_set_identity(WEB);
    link_accept_hello();
    ck_assert_int_eq(send(site.agent, "garbage", 7, 0), 7);
    ck_assert(link_hung_up());
    link_accept_hello();
    site.packet.bytes[4] = 9;
    ck_assert_int_eq(send(site.agent, site.packet.bytes, site.packet.len, 0),
                     (ssize_t)site.packet.len);
    ck_assert(link_hung_up());
    ck_assert_ptr_nonnull(strstr(site.told.line, "reason=unsupported"));
    ck_assert_ptr_nonnull(strstr(site.told.line, "version 9 "));
    link_hang_up();
    link_stop_server();
    link_settle();
    ck_assert_uint_le(open_descriptors(), before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("share_link");
    TCase *tc = tcase_create("share_link");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, link_setup, link_teardown);
    tcase_add_test(tc, test_hello_says_who_we_are_once_there_is_an_identity);
    tcase_add_test(tc, test_a_rotation_changes_nothing_and_another_id_says_hello_anew);
    tcase_add_test(tc, test_who_has_no_identity_any_more_still_hears_what_is_revoked);
    tcase_add_test(tc, test_a_page_is_asked_for_after_welcome_with_the_one_we_have);
    tcase_add_test(tc, test_a_cache_is_handed_over_and_a_change_is_told);
    tcase_add_loop_test(tc, test_it_is_settled_once_by_a_cache_or_where_there_is_none, 0, 6);
    tcase_add_loop_test(tc, test_an_agent_that_is_there_and_does_not_tell_denies, 0, 6);
    tcase_add_test(tc, test_who_had_a_cache_is_denied_by_a_refusal_until_the_agent_tells_or_goes);
    tcase_add_test(tc, test_a_page_is_handed_over);
    tcase_add_test(tc, test_a_cache_of_another_layout_is_left_and_the_old_one_stays);
    tcase_add_test(tc, test_a_cache_that_cannot_be_taken_is_asked_for_again_with_growing_waits);
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

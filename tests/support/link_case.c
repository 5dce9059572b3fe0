#include "tests/support/link_case.h"

#include "common/log/log.h"
#include "tests/support/runner.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct link_case site;

static const uint8_t issuer[REVOCATION_ISSUER_LEN] = "twenty bytes of key";

/* --- the sidecar around it -------------------------------------------------------------------- */

static void on_connected(void *arg, bool connected)
{
    (void)arg;
    ck_assert_int_ne(site.told.connected, connected); /* each change once */
    site.told.connected = connected;
    site.told.ups += connected;
    site.told.downs += !connected;
}

static void on_welcome(void *arg, int64_t longest_life_s)
{
    (void)arg;
    site.told.welcomes++;
    site.told.life = longest_life_s;
}

static void on_settled(void *arg)
{
    (void)arg;
    site.told.settled++;
}

static void on_denied(void *arg, const struct why *why)
{
    (void)arg;
    ck_assert_int_ne(site.told.denied, why != NULL); /* each change once */
    site.told.denied = why != NULL;
    site.told.denials += why != NULL;
}

static void on_cache(void *arg, struct revocation_view *view)
{
    (void)arg;
    site.told.caches++;
    revocation_view_unref(site.told.view);
    site.told.view = revocation_view_ref(view);
    if (site.told.close_on_cache)
        share_link_close(site.link, NULL, NULL);
}

static void on_changed(void *arg, uint64_t generation)
{
    (void)arg;
    site.told.changes++;
    site.told.generation = generation;
}

static void on_page(void *arg, int fd)
{
    (void)arg;
    site.told.pages++;
    ck_assert_int_ge(pread(fd, site.told.page, sizeof site.told.page - 1, 0), 0);
    close(fd);
}

static void on_line(void *arg, const char *line)
{
    (void)arg;
    site.told.info += strstr(line, " INFO ") != NULL;
    site.told.warn += strstr(line, " WARN ") != NULL || strstr(line, " ERROR ") != NULL;
    snprintf(site.told.line, sizeof site.told.line, "%s", line);
}

void link_setup(void)
{
    char path[TEMP_PATH_MAX];
    temp_dir_make(&site.dir);
    memset(&site.told, 0, sizeof site.told);
    site.why = (struct why){0};
    site.agent = site.server.fd = -1;
    ck_assert_int_eq(uv_loop_init(&site.loop), 0);
    log_capture(on_line, NULL);
    struct share_link_options opt = {.api_socket = temp_path(&site.dir, "api.sock", path),
                                     .name = "left",
                                     .on_connected = on_connected,
                                     .on_welcome = on_welcome,
                                     .on_cache = on_cache,
                                     .on_changed = on_changed,
                                     .on_page = on_page,
                                     .on_settled = on_settled,
                                     .on_denied = on_denied};
    ck_assert_int_eq(share_link_open(&site.loop, &opt, &site.link, &site.why), ERR_OK);
    ck_assert_int_eq(revocation_writer_new(8, NULL, NULL, &site.writer, &site.why), ERR_OK);
}

void link_stop_server(void)
{
    if (site.server.fd >= 0) {
        unix_socket_unlink(&site.server);
        close(site.server.fd);
    }
    site.server.fd = -1;
}

void link_hang_up(void)
{
    if (site.agent >= 0)
        close(site.agent);
    site.agent = -1;
}

void link_teardown(void)
{
    share_link_close(site.link, NULL, NULL);
    uv_run(&site.loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&site.loop), 0);
    revocation_view_unref(site.told.view);
    revocation_writer_free(site.writer);
    log_capture(NULL, NULL);
    link_hang_up();
    link_stop_server();
    temp_dir_remove(&site.dir);
}

/* --- the scripted agent ----------------------------------------------------------------------- */

void link_start_server(void)
{
    char path[TEMP_PATH_MAX];
    ck_assert_int_eq(unix_socket_open(temp_path(&site.dir, "share.sock", path), SOCK_SEQPACKET,
                                      0777, &site.server, &site.why),
                     ERR_OK);
}

void link_run_until_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, 0) == 0)
        uv_run(&site.loop, UV_RUN_ONCE);
}

/* The next connection, and its HELLO. */
struct share_message link_accept_hello(void)
{
    struct share_message m;
    link_run_until_readable(site.server.fd);
    link_hang_up();
    site.agent = accept4(site.server.fd, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(site.agent, 0);
    unix_socket_take_descriptors(site.agent);
    link_run_until_readable(site.agent);
    ck_assert_int_eq(share_receive(site.agent, &site.packet, &site.why), ERR_OK);
    ck_assert_int_eq(share_decode(slice_of(site.packet.bytes, site.packet.len), &m, &site.why),
                     ERR_OK);
    ck_assert_int_eq(m.type, SHARE_HELLO);
    return m;
}

void link_say_with(const struct share_message *m, int descriptor)
{
    ck_assert_int_eq(share_encode(m, &site.packet, &site.why), ERR_OK);
    site.packet.descriptor = descriptor;
    ck_assert_int_eq(share_send(site.agent, &site.packet, &site.why), ERR_OK);
}

void link_say(enum share_type type, int descriptor)
{
    struct share_message m = {.type = type};
    link_say_with(&m, descriptor);
}

void link_say_welcome(void)
{
    struct share_message m = {.type = SHARE_WELCOME,
                              .welcome = {.program = slice_str("agent 1"), .longest_life_s = 3610}};
    link_say_with(&m, -1);
}

void link_say_refused(const char *reason, const char *text)
{
    struct share_message m = {.type = SHARE_REFUSED,
                              .refused = {.reason = slice_str(reason), .text = slice_str(text)}};
    link_say_with(&m, -1);
    link_hang_up();
}

void link_welcome(void)
{
    unsigned before = site.told.welcomes;
    link_accept_hello();
    link_say_welcome();
    while (site.told.welcomes == before)
        uv_run(&site.loop, UV_RUN_ONCE);
}

void link_hand_out_cache(void)
{
    unsigned before = site.told.caches;
    link_say(SHARE_CACHE, revocation_writer_fd(site.writer));
    while (site.told.caches == before)
        uv_run(&site.loop, UV_RUN_ONCE);
}

void link_set_identity(const char *id)
{
    share_link_set_identity(site.link, slice_str(id));
}

void link_settle(void)
{
    for (int i = 0; i < 10; i++)
        uv_run(&site.loop, UV_RUN_NOWAIT);
}

bool link_hung_up(void)
{
    struct pollfd p = {.fd = site.agent, .events = POLLIN};
    link_settle();
    return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP) != 0;
}

enum revocation_state link_state_of(const char *serial)
{
    struct slice s = slice_str(serial);
    return revocation_view_certificate(site.told.view, issuer, s, 1000).state;
}

void link_revoke_serial(const char *serial)
{
    struct revocation_status status = {.state = REVOCATION_REVOKED, .at = 1};
    ck_assert_int_eq(
        revocation_writer_set(site.writer, issuer, slice_str(serial), &status, &site.why), ERR_OK);
}

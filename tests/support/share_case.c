#include "tests/support/share_case.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct share_case site;

/* --- the agent around it ---------------------------------------------------------------------- */

static struct entry_set *entries_of(const char *text)
{
    struct entry_set *set = NULL;
    struct buf report;
    buf_init(&report, 4096);
    ck_assert_int_eq(entries_parse("e", slice_str(text), "example.org", &report, &set, &site.why),
                     ERR_OK);
    buf_done(&report);
    return set;
}

void case_use_entries(const char *id, const char *second, const char *more_selectors)
{
    char text[1024];
    struct entry_set *old = site.entries;
    int n = snprintf(text, sizeof text, "entries:\n");
    const char *ids[] = {id, second};
    for (int i = 0; i < 2; i++)
        if (ids[i] != NULL)
            n += snprintf(text + n, sizeof text - (size_t)n,
                          "- {spiffe_id: %s, selectors: [\"unix:uid:%u\"%s]}\n", ids[i], getuid(),
                          more_selectors);
    site.entries = entries_of(id != NULL ? text : "entries: []\n");
    if (site.share != NULL)
        share_set_entries(site.share);
    entries_free(old);
}

static const struct entry_set *on_entries(void *arg)
{
    (void)arg;
    return site.entries;
}

static int64_t on_longest_life(void *arg)
{
    (void)arg;
    return site.longest_life;
}

void case_open_share(void)
{
    ck_assert_int_eq(share_open(&site.loop, &site.options, &site.share, &site.why), ERR_OK);
}

void case_setup(void)
{
    temp_dir_make(&site.dir);
    temp_path(&site.dir, "api.sock", site.api_path);
    site.why = (struct why){0};
    site.longest_life = 3610;
    ck_assert_int_eq(uv_loop_init(&site.loop), 0);
    ck_assert_int_eq(attest_unix_open(&site.loop, 0, &site.attest, &site.why), ERR_OK);
    site.attestors = (struct attestors){{attest_unix_attestor(site.attest)}, 1};
    ck_assert_int_eq(metrics_new(agent_metrics, AGENT_METRIC_COUNT, "", &site.metrics, &site.why),
                     ERR_OK);
    site.options =
        (struct share_options){.api_socket = site.api_path,
                               .attestors = &site.attestors,
                               .metrics = site.metrics,
                               .limits = {.per_user = CASE_PER_USER, .total = CASE_PER_USER + 6},
                               .entries = on_entries,
                               .longest_life_s = on_longest_life};
    case_use_entries(WEB, DB, "");
    case_open_share();
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

void case_teardown(void)
{
    bool share_closed = false, attest_closed = false;
    share_close(site.share, on_closed, &share_closed);
    while (!share_closed)
        uv_run(&site.loop, UV_RUN_ONCE);
    site.share = NULL;
    attest_unix_close(site.attest, on_closed, &attest_closed);
    uv_run(&site.loop, UV_RUN_DEFAULT);
    ck_assert(attest_closed);
    ck_assert_int_eq(uv_loop_close(&site.loop), 0);
    entries_free(site.entries);
    site.entries = NULL;
    metrics_free(site.metrics);
    temp_dir_remove(&site.dir);
}

/* --- the other side --------------------------------------------------------------------------- */

int case_dial(void)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    snprintf(sun.sun_path, sizeof sun.sun_path, "%s/share.sock", site.dir.path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sun, sizeof sun), 0);
    return fd;
}

void case_say_with(int fd, const struct share_message *m, int descriptor)
{
    ck_assert_int_eq(share_encode(m, &site.packet, &site.why), ERR_OK);
    site.packet.descriptor = descriptor;
    ck_assert_int_eq(share_send(fd, &site.packet, &site.why), ERR_OK);
}

struct share_message case_hello_of(const char *spiffe_id)
{
    return (struct share_message){.type = SHARE_HELLO,
                                  .hello = {.program = slice_str("test"),
                                            .spiffe_id = slice_str(spiffe_id),
                                            .name = slice_str("left")}};
}

void case_say_hello(int fd, const char *spiffe_id)
{
    struct share_message m = case_hello_of(spiffe_id);
    case_say_with(fd, &m, -1);
}

bool case_has_something(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

err_t case_hear(int fd)
{
    while (!case_has_something(fd))
        uv_run(&site.loop, UV_RUN_ONCE);
    err_t err = share_receive(fd, &site.packet, &site.why);
    if (err == ERR_OK)
        ck_assert_int_eq(
            share_decode(slice_of(site.packet.bytes, site.packet.len), &site.heard, &site.why),
            ERR_OK);
    return err;
}

void case_hear_type(int fd, enum share_type type)
{
    ck_assert_int_eq(case_hear(fd), ERR_OK);
    ck_assert_str_eq(share_type_name(site.heard.type), share_type_name(type));
}

void case_hear_refused(int fd, const char *reason)
{
    case_hear_type(fd, SHARE_REFUSED);
    ck_assert_msg(slice_eq_str(site.heard.refused.reason, reason), "%.*s: %.*s",
                  SLICE_ARG(site.heard.refused.reason), SLICE_ARG(site.heard.refused.text));
    ck_assert_int_eq(case_hear(fd), ERR_PEER_CLOSED);
    close(fd);
}

int case_guest(void)
{
    int fd = case_dial();
    case_say_hello(fd, WEB);
    case_hear_type(fd, SHARE_WELCOME);
    return fd;
}

void case_settle(void)
{
    for (int i = 0; i < 20; i++)
        uv_run(&site.loop, UV_RUN_NOWAIT);
}

void case_wait_for_sidecars(size_t count)
{
    while (share_sidecars(site.share) != count)
        uv_run(&site.loop, UV_RUN_ONCE);
}

uint64_t case_refused(err_t err)
{
    return metric_read(site.metrics, M_SHARE_REFUSED,
                       metric_reason(site.metrics, M_SHARE_REFUSED, err), 0, 0);
}

void case_check_content(int fd, const char *content)
{
    char text[64] = "";
    ck_assert_int_ge(fd, 0);
    ck_assert_int_ge(pread(fd, text, sizeof text - 1, 0), 0);
    ck_assert_str_eq(text, content);
    close(fd);
}

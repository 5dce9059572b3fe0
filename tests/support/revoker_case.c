#include "tests/support/revoker_case.h"

#include "common/log/log.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct record_case c;
struct revoker *revoker;
struct revocation_view *view;
char journal[128];
char last_log[2048];
unsigned told, changed;
struct revoker_end end;
static struct entry_set *entries;

static int64_t fake_clock(void)
{
    return record_case_now;
}

static const struct entry_set *on_entries(void *arg)
{
    (void)arg;
    return entries;
}

static size_t on_sidecars(void *arg)
{
    (void)arg;
    return 2;
}

static void on_cache(void *arg, int fd)
{
    (void)arg;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    revocation_view_unref(view);
    ck_assert_int_eq(revocation_view_open(copy, &view, NULL), ERR_OK);
}

static void on_cache_changed(void *arg, uint64_t generation)
{
    (void)arg;
    ck_assert_uint_gt(generation, 0);
    told++;
}

static void on_change(void *arg, const struct revocation_change *change)
{
    (void)arg;
    ck_assert_uint_gt(told, 0); /* peers refuse it before its own streams hear of it */
    ck_assert(change->kind != REVOKE_SERIAL || change->count == 1);
    changed++;
}

static void on_end(void *arg, err_t err, const struct revoker_result *res, const struct why *why)
{
    (void)arg;
    end.calls++;
    end.err = err;
    end.res = *res;
    end.why = *why;
}

static void keep_log(void *arg, const char *line)
{
    (void)arg;
    snprintf(last_log, sizeof last_log, "%s", line);
}

err_t open_revoker(struct why *why)
{
    struct revoker_options opt = {.store = c.store,
                                  .record = c.record,
                                  .wall_s = fake_clock,
                                  .entries = on_entries,
                                  .sidecars = on_sidecars,
                                  .on_cache = on_cache,
                                  .on_cache_changed = on_cache_changed,
                                  .on_change = on_change};
    err_t err = revoker_open(&c.loop, &opt, &revoker, why);
    if (err == ERR_OK)
        on_cache(NULL, revoker_cache(revoker));
    return err;
}

void must_open(void)
{
    struct why why = {.err = ERR_OK};
    err_t err = open_revoker(&why);
    ck_assert_msg(err == ERR_OK, "%s", why_text(&why));
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

void close_revoker(void)
{
    bool closed = false;
    if (revoker == NULL)
        return;
    revoker_close(revoker, on_closed, &closed);
    while (!closed)
        uv_run(&c.loop, UV_RUN_ONCE);
    revoker = NULL;
}

void revoker_case_setup(void)
{
    struct buf report;
    record_case_setup(&c);
    record_case_must_open(&c);
    snprintf(journal, sizeof journal, "%s/revocations", c.dir);
    buf_init(&report, 4096);
    ck_assert_int_eq(
        entries_parse("e",
                      slice_str("entries:\n  - {id: mine, spiffe_id: "
                                "spiffe://example.org/mine, selectors: [\"unix:uid:1\"]}\n"),
                      "example.org", &report, &entries, NULL),
        ERR_OK);
    buf_done(&report);
    told = changed = 0;
    view = NULL;
    memset(&end, 0, sizeof end);
    log_capture(keep_log, NULL);
    must_open();
}

void revoker_case_teardown(void)
{
    close_revoker();
    revocation_view_unref(view);
    entries_free(entries);
    unlink(journal);
    record_case_teardown(&c);
    log_capture(NULL, NULL);
}

void restart(void)
{
    close_revoker();
    must_open();
}

void start(const char *target, const char *reason, bool lift)
{
    struct revoker_request req = {
        .target = target, .reason = reason, .lift = lift, .by_uid = 7, .by_pid = 8};
    revoker_do(revoker, &req, on_end, NULL);
}

err_t ask(const char *target, const char *reason, bool lift)
{
    unsigned calls = end.calls;
    start(target, reason, lift);
    while (end.calls == calls)
        uv_run(&c.loop, UV_RUN_ONCE);
    return end.err;
}

void must(const char *target, const char *reason, bool lift)
{
    err_t err = ask(target, reason, lift);
    ck_assert_msg(err == ERR_OK, "%s", why_text(&end.why));
}

enum revocation_state in_cache(uint32_t number)
{
    struct record_item item = record_case_item(number, ENTRIES);
    struct revocation_status s = revocation_view_certificate(
        view, item.issuer, slice_of(item.serial, sizeof item.serial), record_case_now);
    return s.state;
}

bool id_in_cache(const char *id)
{
    struct revocation_id hash = revocation_id_of(slice_str(id));
    return revocation_view_id(view, &hash).state == REVOCATION_REVOKED;
}

const char *serial_of(uint32_t number)
{
    static char text[64] = "serial:";
    struct record_item item = record_case_item(number, ENTRIES);
    for (size_t i = 0; i < sizeof item.serial; i++)
        snprintf(text + 7 + 2 * i, 3, "%02X", item.serial[i]);
    return text;
}

err_t may_issue(const char *id, const char *entry)
{
    return revoker_may_issue(revoker, id, entry, NULL);
}

off_t journal_len(void)
{
    struct stat st;
    ck_assert_int_eq(stat(journal, &st), 0);
    return st.st_size;
}

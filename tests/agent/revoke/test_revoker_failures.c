/* Revoking when it cannot be done: wrong requests, a full disk, no memory, a journal torn or
 * damaged, an agent that stops meanwhile. */
#include "common/base/mem.h"
#include "tests/support/revoker_case.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- what cannot be done ---------------------------------------------------------------------- */

static const struct {
    const char *target, *reason;
    bool lift;
    err_t err;
    const char *text;
} wrong[] = {
    {"web", NULL, false, ERR_USAGE, "expected a SPIFFE ID, serial:HEX or entry:ID"},
    {"", NULL, false, ERR_USAGE, "expected a SPIFFE ID"},
    {"spiffe://example.org", NULL, false, ERR_USAGE, "with a path"},
    {"spiffe://Example.org/a", NULL, false, ERR_USAGE, "spiffe://Example.org/a: "},
    {"serial:", NULL, false, ERR_USAGE, "hexadecimal"},
    {"serial:12xy", NULL, false, ERR_USAGE, "hexadecimal"},
    {"serial:000000000000000000000000000000001", NULL, false, ERR_USAGE, "hexadecimal"},
    {"entry:", NULL, false, ERR_USAGE, "entry's id"},
    {E1, "KeyCompromise", false, ERR_USAGE, "there are unspecified keyCompromise"},
    {E1, "keyCompromise", true, ERR_USAGE, "not with lifting"},
    {"entry:nobody", NULL, false, ERR_NOT_FOUND, "no entry has the id nobody"},
    {"serial:1234", NULL, false, ERR_NOT_FOUND, "no certificate with the serial 1234"},
    {"serial:1234", NULL, true, ERR_NOT_FOUND, "no certificate with the serial 1234"},
};

START_TEST(test_wrong_requests_change_nothing_and_say_why)
{
    off_t len = journal_len();
    ck_assert_int_eq(ask(wrong[_i].target, wrong[_i].reason, wrong[_i].lift), wrong[_i].err);
    ck_assert_msg(strstr(why_text(&end.why), wrong[_i].text) != NULL, "%s", why_text(&end.why));
    ck_assert_int_eq(journal_len(), len);
    ck_assert_uint_eq(changed, 0);
}
END_TEST

START_TEST(test_an_id_that_nobody_knows_is_held_with_a_note)
{
    must("spiffe://other.test/x", NULL, false);
    ck_assert(end.res.changed);
    ck_assert_ptr_nonnull(strstr(end.res.note, "held all the same"));
    ck_assert(id_in_cache("spiffe://other.test/x"));
    must("spiffe://example.org/mine", NULL, false);
    ck_assert_ptr_null(end.res.note);
}
END_TEST

START_TEST(test_expired_certificates_of_a_spiffe_id_need_no_revoking)
{
    record_case_must_put(&c, 0, 8, ENTRIES);
    record_case_now += RECORD_CASE_LIFE + 61;
    must(E1, NULL, false); /* held, but no certificate is worth a row */
    ck_assert_uint_eq(end.res.certificates, 0);
}
END_TEST

static void limit_files(rlim_t len)
{
    struct rlimit limit = {.rlim_cur = len, .rlim_max = RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = len;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* As on a full disk: some bytes of the row go in, the rest does not. */
START_TEST(test_a_failed_write_leaves_nothing_behind_and_the_next_try_works)
{
    record_case_must_put(&c, 0, 8, ENTRIES);
    must(E2, NULL, false);
    off_t len = journal_len();
    signal(SIGXFSZ, SIG_IGN);
    limit_files((rlim_t)len + 50);
    ck_assert_int_eq(ask(E1, NULL, false), ERR_IO);
    limit_files(RLIM_INFINITY);
    ck_assert_ptr_nonnull(strstr(why_text(&end.why), "nothing was changed"));
    ck_assert_ptr_nonnull(strstr(why_text(&end.why), journal));
    ck_assert_ptr_nonnull(strstr(last_log, "revoke_failed"));
    ck_assert_int_eq(journal_len(), len);
    ck_assert_int_eq(may_issue(E1, "e1"), ERR_OK);
    ck_assert(!id_in_cache(E1));
    ck_assert_int_ne(in_cache(1), REVOCATION_REVOKED);
    ck_assert_uint_eq(changed, 1);
    must(E1, NULL, false);
    restart();
    ck_assert_int_eq(may_issue(E1, "e1"), ERR_REVOKED);
    ck_assert_int_eq(may_issue(E2, "e2"), ERR_REVOKED);
}
END_TEST

/* The table that sidecars read must grow, and cannot: what the disk has is told as soon as it can
 * be, and until then nobody is called good. */
START_TEST(test_a_cache_that_cannot_grow_is_told_and_catches_up)
{
    enum { MANY = 12000, STEP = 100 };
    struct revocation_issuer list;
    record_case_must_put(&c, 0, MANY, 1);
    restart(); /* with the issuers of the record */
    struct record_item other = record_case_item(0, 1);
    ck_assert(revocation_view_issuer(view, other.issuer, &list) && list.complete);
    signal(SIGXFSZ, SIG_IGN);
    limit_files((rlim_t)MANY * 50); /* room for the journal, not for the table */
    ck_assert_int_ne(ask("spiffe://example.org/e0", NULL, false), ERR_OK);
    limit_files(RLIM_INFINITY);
    ck_assert_msg(strstr(why_text(&end.why), "recorded, but sidecars do not see all of it yet"),
                  "%s", why_text(&end.why));
    ck_assert_int_eq(may_issue("spiffe://example.org/e0", "e0"), ERR_REVOKED);
    ck_assert_uint_eq(changed, 1); /* its own streams hear of it */
    ck_assert_int_ne(in_cache(MANY - 1), REVOCATION_GOOD);
    ck_assert(revocation_view_issuer(view, other.issuer, &list) && !list.complete);
    unsigned before = told;
    while (told == before)
        uv_run(&c.loop, UV_RUN_ONCE); /* by its own timer */
    for (uint32_t i = 0; i < MANY; i += STEP)
        ck_assert_int_eq(in_cache(i), REVOCATION_REVOKED);
    ck_assert_int_eq(in_cache(MANY - 1), REVOCATION_REVOKED);
    ck_assert(revocation_view_issuer(view, other.issuer, &list) && list.complete);
    restart();
    ck_assert_int_eq(in_cache(MANY - 1), REVOCATION_REVOKED);
}
END_TEST

/* Of the first `count` certificates those of e1, by whether they can be read now. */
static void read_each(uint32_t count, bool is_lost[static 400])
{
    for (uint32_t i = 0; i < count; i++) {
        struct record_item item = record_case_item(i, ENTRIES), got;
        err_t err = record_find_serial(c.record, item.serial, &got, NULL);
        ck_assert_msg(err == ERR_OK || err == ERR_IO, "%u: %s", i, err_name(err));
        is_lost[i] = err == ERR_IO;
    }
}

/* One segment of several cannot be read: what it holds cannot be listed, the rest must be. */
START_TEST(test_a_segment_that_cannot_be_read_keeps_no_other_from_being_revoked)
{
    enum { COUNT = 400 };
    bool is_lost[COUNT];
    size_t lost = 0, left = 0;
    record_case_must_put(&c, 0, COUNT, ENTRIES);
    record_case_truncate(&c, 2, 64);
    read_each(COUNT, is_lost);
    must(_i == 0 ? E1 : "entry:e1", NULL, false);
    for (uint32_t i = 1; i < COUNT; i += ENTRIES) {
        lost += is_lost[i];
        left += !is_lost[i];
        ck_assert_msg((in_cache(i) == REVOCATION_REVOKED) == !is_lost[i], "certificate %u", i);
    }
    ck_assert_uint_gt(lost, 10);
    ck_assert_uint_gt(left, 40);
    ck_assert_uint_eq(end.res.certificates, left);
    ck_assert_msg(strstr(end.res.note, _i == 0 ? "it is held, so that peers refuse it all the same"
                                               : "revoke its SPIFFE ID to be sure") != NULL,
                  "%s", end.res.note);
    ck_assert_int_eq(id_in_cache(E1), _i == 0);
    ck_assert_int_eq(may_issue(E1, "e1"), ERR_REVOKED);
    ck_assert_int_eq(ask(_i == 0 ? E1 : "entry:e1", NULL, false), ERR_OK); /* and once more */
    ck_assert(!end.res.changed);
}
END_TEST

/* Nothing of it is known, so nothing is changed. */
START_TEST(test_a_certificate_that_cannot_be_read_is_not_revoked_by_its_serial)
{
    bool is_lost[400];
    uint32_t at = 0;
    record_case_must_put(&c, 0, 400, ENTRIES);
    off_t len = journal_len();
    record_case_truncate(&c, 2, 64);
    read_each(400, is_lost);
    while (!is_lost[at])
        at++;
    ck_assert_int_eq(ask(serial_of(at), NULL, false), ERR_IO);
    ck_assert_msg(strstr(why_text(&end.why), "segment 00000002") != NULL, "%s", why_text(&end.why));
    ck_assert_int_eq(journal_len(), len);
    ck_assert_int_ne(in_cache(at), REVOCATION_REVOKED);
    must(serial_of(0), NULL, false);
    ck_assert_int_eq(in_cache(0), REVOCATION_REVOKED);
}
END_TEST

START_TEST(test_without_memory_a_request_fails_whole)
{
    for (long n = 0;; n++) {
        char id[64];
        unsigned calls = end.calls, before = changed;
        snprintf(id, sizeof id, "spiffe://example.org/n%ld", n);
        mem_fail_after(n);
        start(id, NULL, false);
        int failed = mem_did_fail();
        mem_fail_after(-1);
        while (end.calls == calls)
            uv_run(&c.loop, UV_RUN_ONCE);
        ck_assert_int_eq(end.err, failed ? ERR_NO_MEMORY : ERR_OK);
        ck_assert_int_eq(may_issue(id, "x"), failed ? ERR_OK : ERR_REVOKED);
        ck_assert_uint_eq(changed - before, !failed);
        if (!failed)
            break;
        ck_assert_int_lt(n, 50);
    }
}
END_TEST

/* --- a damaged record --------------------------------------------------------------------------
 */

START_TEST(test_a_row_that_cannot_be_read_does_not_keep_the_rest_from_being_revoked)
{
    record_case_must_put(&c, 0, 20, 1);
    record_case_poke(&c, 1, (3 + 10) * RECORD_ROW_LEN + 9, "\xff\xff", 2);
    must(_i == 0 ? "spiffe://example.org/e0" : "entry:e0", NULL, false);
    ck_assert(end.res.changed);
    ck_assert_uint_eq(end.res.certificates, 19);
    ck_assert_ptr_nonnull(strstr(end.res.note, "the record is damaged"));
    ck_assert_int_eq(may_issue("spiffe://example.org/e0", "e0"), ERR_REVOKED);
    for (uint32_t i = 0; i < 20; i++)
        ck_assert_int_eq(in_cache(i) == REVOCATION_REVOKED, i != 10);
}
END_TEST

/* Row 2 says the issuer. */
START_TEST(test_a_certificate_whose_issuer_was_lost_is_revoked_under_each_that_is_known)
{
    record_case_must_put(&c, 0, 20, 1);
    struct record_item item = record_case_item(0, 1);
    close_revoker();
    record_case_close(&c);
    record_case_poke(&c, 1, 2 * RECORD_ROW_LEN + 20, "\xff", 1);
    record_case_must_open(&c);
    must_open();
    if (_i % 2 == 0)
        revoker_issuer(revoker, item.issuer, record_case_now + 3600);
    must(_i < 2 ? serial_of(5) : "entry:e0", NULL, false);
    if (_i % 2 == 1)
        revoker_issuer(revoker, item.issuer, record_case_now + 3600);
    ck_assert_ptr_nonnull(strstr(end.res.note, "the record is damaged"));
    ck_assert_int_eq(in_cache(5), REVOCATION_REVOKED);
    ck_assert_int_eq(in_cache(6), _i < 2 ? REVOCATION_GOOD : REVOCATION_REVOKED);
    item = record_case_item(5, 1);
    ck_assert_int_eq(revoker_status(revoker, item.issuer, item.serial).state, REVOCATION_REVOKED);
    if (_i >= 2)
        return;
    must(serial_of(5), NULL, true);
    ck_assert_int_eq(in_cache(5), REVOCATION_GOOD);
}
END_TEST

/* --- restarts --------------------------------------------------------------------------------- */

START_TEST(test_a_torn_row_is_cut_off_with_a_warning)
{
    must(E1, NULL, false);
    off_t first = journal_len();
    must(E2, NULL, false);
    off_t len = journal_len();
    close_revoker();
    ck_assert_int_eq(truncate(journal, len - 1), 0);
    must_open();
    ck_assert_ptr_nonnull(strstr(last_log, "WARN revocation_journal_cut"));
    ck_assert_int_eq(journal_len(), first);
    ck_assert_int_eq(may_issue(E1, "e1"), ERR_REVOKED);
    ck_assert_int_eq(may_issue(E2, "e2"), ERR_OK);
    close_revoker();
    ck_assert_int_eq(truncate(journal, 3), 0); /* died while it made the file */
    must_open();
    must(E2, NULL, false);
    restart();
    ck_assert_int_eq(may_issue(E2, "e2"), ERR_REVOKED);
}
END_TEST

START_TEST(test_a_damaged_journal_keeps_the_agent_from_starting)
{
    struct why why = {.err = ERR_OK};
    must(E1, NULL, false);
    must(E2, NULL, false);
    close_revoker();
    int fd = open(journal, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, "x", 1, 30), 1);
    close(fd);
    ck_assert_int_eq(open_revoker(&why), ERR_PARSE);
    ck_assert_ptr_nonnull(strstr(why_text(&why), journal));
    ck_assert_ptr_nonnull(strstr(why_text(&why), "move it away"));
}
END_TEST

START_TEST(test_a_journal_that_others_may_write_is_refused)
{
    struct why why = {.err = ERR_OK};
    close_revoker();
    ck_assert_int_eq(chmod(journal, 0620), 0);
    ck_assert_int_eq(open_revoker(&why), ERR_FILE_MODE);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "0620"));
}
END_TEST

START_TEST(test_a_journal_that_is_mostly_dead_is_written_anew)
{
    char id[1100];
    off_t last = 0;
    unsigned rewritten = 0;
    must(E1, "keyCompromise", false);
    memset(id, 'a', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    memcpy(id, "spiffe://example.org/", 21);
    for (int i = 0; i < 800; i++) {
        must(id, NULL, false);
        must(id, NULL, true);
        off_t len = journal_len();
        rewritten += len < last / 4;
        last = len;
    }
    ck_assert_uint_eq(rewritten, 1);
    restart();
    ck_assert_int_eq(may_issue(E1, "e1"), ERR_REVOKED);
    ck_assert_int_eq(may_issue(id, "e"), ERR_OK);
    snprintf(id, sizeof id, "%s/.revocations.new", c.dir);
    ck_assert_int_ne(access(id, F_OK), 0);
}
END_TEST

static void append_expired(uint32_t count)
{
    struct revocation_change change = {.kind = REVOKE_SERIAL, .at = 1};
    struct revoked expired = {.issuer = {1}};
    struct buf row;
    buf_init(&row, REVOCATION_JOURNAL_MAX);
    ck_assert_int_eq(revocation_row_begin(&row, &change), ERR_OK);
    revoked_set_not_after(&expired, record_case_now - 301);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(expired.serial, &i, sizeof i);
        ck_assert_int_eq(buf_append(&row, &expired, sizeof expired), ERR_OK);
    }
    revocation_row_end(&row, 0);
    int fd = open(journal, O_WRONLY | O_APPEND | O_CLOEXEC);
    ck_assert_int_eq(write(fd, row.data, row.len), (ssize_t)row.len);
    close(fd);
    buf_done(&row);
}

START_TEST(test_a_journal_of_more_expired_certificates_than_may_be_revoked_starts)
{
    record_case_must_put(&c, 0, 8, ENTRIES);
    must(E1, NULL, false);
    close_revoker();
    append_expired(REVOKED_MAX);
    must_open();
    ck_assert_uint_eq(revocation_set_certificates(revoker_set(revoker)), 2);
    ck_assert_int_eq(in_cache(1), REVOCATION_REVOKED);
    must(serial_of(2), NULL, false); /* and the journal is rewritten behind it */
    close_revoker();
    ck_assert_int_lt(journal_len(), 1024);
    must_open();
    ck_assert_int_eq(in_cache(1), REVOCATION_REVOKED);
    ck_assert_int_eq(in_cache(2), REVOCATION_REVOKED);
}
END_TEST

START_TEST(test_closing_ends_what_is_under_way_and_cancels_what_waits)
{
    start(E1, NULL, false);
    start(E2, NULL, false);
    close_revoker();
    ck_assert_uint_eq(end.calls, 2);
    ck_assert_int_eq(end.err, ERR_DRAINING);
    ck_assert_uint_eq(changed, 0); /* nobody is there to hear of it */
    must_open();
    ck_assert_int_eq(may_issue(E1, "e1"), ERR_REVOKED);
    ck_assert_int_eq(may_issue(E2, "e2"), ERR_OK);
}
END_TEST

static bool is_closed;

static void on_closed(void *arg)
{
    (void)arg;
    is_closed = true;
}

static void end_and_close(void *arg, err_t err, const struct revoker_result *res,
                          const struct why *why)
{
    (void)res;
    (void)why;
    *(err_t *)arg = err;
    revoker_close(revoker, on_closed, NULL);
}

/* Of one that the disk has, or of one that is refused at once. */
START_TEST(test_an_answer_may_close_it)
{
    err_t err = ERR_CANCELED;
    struct revoker_request req = {.target = _i == 0 ? E1 : "entry:nobody"};
    is_closed = false;
    revoker_do(revoker, &req, end_and_close, &err);
    start(E2, NULL, false);
    while (!is_closed)
        uv_run(&c.loop, UV_RUN_ONCE);
    revoker = NULL;
    ck_assert_int_eq(err, _i == 0 ? ERR_OK : ERR_NOT_FOUND);
    ck_assert_uint_eq(end.calls, 1);
    ck_assert_int_eq(end.err, ERR_DRAINING);
    must_open();
    ck_assert_int_eq(may_issue(E1, "e1"), _i == 0 ? ERR_REVOKED : ERR_OK);
    ck_assert_int_eq(may_issue(E2, "e2"), ERR_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("revoker_failures");
    TCase *t = tcase_create("revoker_failures");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, revoker_case_setup, revoker_case_teardown);
    tcase_add_loop_test(t, test_wrong_requests_change_nothing_and_say_why, 0,
                        sizeof wrong / sizeof wrong[0]);
    tcase_add_test(t, test_an_id_that_nobody_knows_is_held_with_a_note);
    tcase_add_test(t, test_expired_certificates_of_a_spiffe_id_need_no_revoking);
    tcase_add_test(t, test_a_failed_write_leaves_nothing_behind_and_the_next_try_works);
    tcase_add_test(t, test_a_cache_that_cannot_grow_is_told_and_catches_up);
    tcase_add_loop_test(t, test_a_segment_that_cannot_be_read_keeps_no_other_from_being_revoked, 0,
                        2);
    tcase_add_test(t, test_a_certificate_that_cannot_be_read_is_not_revoked_by_its_serial);
    tcase_add_test(t, test_without_memory_a_request_fails_whole);
    tcase_add_loop_test(t, test_a_row_that_cannot_be_read_does_not_keep_the_rest_from_being_revoked,
                        0, 2);
    tcase_add_loop_test(
        t, test_a_certificate_whose_issuer_was_lost_is_revoked_under_each_that_is_known, 0, 4);
    tcase_add_test(t, test_a_torn_row_is_cut_off_with_a_warning);
    tcase_add_test(t, test_a_damaged_journal_keeps_the_agent_from_starting);
    tcase_add_test(t, test_a_journal_that_others_may_write_is_refused);
    tcase_add_test(t, test_a_journal_that_is_mostly_dead_is_written_anew);
    tcase_add_test(t, test_a_journal_of_more_expired_certificates_than_may_be_revoked_starts);
    tcase_add_test(t, test_closing_ends_what_is_under_way_and_cancels_what_waits);
    tcase_add_loop_test(t, test_an_answer_may_close_it, 0, 2);
    suite_add_tcase(s, t);
    return run_suite(s);
}

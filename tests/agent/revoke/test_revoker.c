/* Revoking and lifting: what is held, what the cache says, what a restart keeps, what time does. */
#include "tests/support/revoker_case.h"
#include "tests/support/runner.h"

#include <stdio.h>

/* --- revoking --------------------------------------------------------------------------------- */

START_TEST(test_an_id_is_held_and_all_its_certificates_are_revoked_and_a_restart_keeps_it)
{
    record_case_must_put(&c, 0, 40, ENTRIES);
    must(E1, "keyCompromise", false);
    ck_assert_uint_eq(end.res.certificates, 10);
    ck_assert(end.res.changed);
    ck_assert_uint_eq(end.res.sidecars, 2);
    ck_assert_ptr_null(end.res.note);
    ck_assert_uint_eq(changed, 1);
    ck_assert_ptr_nonnull(strstr(last_log, "revoked kind=spiffe_id target=" E1));
    ck_assert_ptr_nonnull(strstr(last_log, "by_uid=7 by_pid=8"));
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(may_issue(E1, "e1"), ERR_REVOKED);
        ck_assert_int_eq(may_issue(E2, "e2"), ERR_OK);
        ck_assert(id_in_cache(E1));
        ck_assert(!id_in_cache(E2));
        for (uint32_t i = 0; i < 40; i++)
            ck_assert_int_eq(in_cache(i) == REVOCATION_REVOKED, i % ENTRIES == 1);
        restart();
    }
}
END_TEST

START_TEST(test_an_entry_is_held_and_others_of_its_id_are_not)
{
    record_case_must_put(&c, 0, 40, ENTRIES);
    must("entry:e1", NULL, false);
    ck_assert_uint_eq(end.res.certificates, 10);
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(may_issue(E1, "e1"), ERR_REVOKED);
        ck_assert_int_eq(may_issue(E1, "other"), ERR_OK);
        ck_assert(!id_in_cache(E1));
        ck_assert_int_eq(in_cache(1), REVOCATION_REVOKED);
        restart();
    }
    must("entry:mine", NULL, false); /* no certificate yet, but an entry */
    ck_assert_int_eq(may_issue(E1, "mine"), ERR_REVOKED);
}
END_TEST

START_TEST(test_a_serial_is_revoked_alone)
{
    record_case_must_put(&c, 0, 40, ENTRIES);
    must(serial_of(5), "superseded", false);
    ck_assert_uint_eq(end.res.certificates, 1);
    ck_assert_int_eq(end.res.reason, REVOCATION_SUPERSEDED);
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(may_issue(E1, "e1"), ERR_OK);
        for (uint32_t i = 0; i < 40; i++)
            ck_assert_int_eq(in_cache(i) == REVOCATION_REVOKED, i == 5);
        restart();
    }
}
END_TEST

START_TEST(test_nothing_is_issued_from_the_request_on)
{
    record_case_must_put(&c, 0, 4, ENTRIES);
    start(E1, NULL, false);
    ck_assert_int_eq(may_issue(E1, "e1"), ERR_CANCELED); /* while the disk is asked */
    ck_assert_int_eq(may_issue(E2, "e2"), ERR_OK);
    while (end.calls == 0)
        uv_run(&c.loop, UV_RUN_ONCE);
    ck_assert_int_eq(may_issue(E1, "e1"), ERR_REVOKED);
}
END_TEST

START_TEST(test_a_lifted_id_is_issued_to_again_and_its_old_certificates_stay_revoked)
{
    record_case_must_put(&c, 0, 8, ENTRIES);
    must(E1, NULL, false);
    must(E1, NULL, true);
    ck_assert(end.res.changed);
    ck_assert_ptr_nonnull(strstr(end.res.note, "stay revoked"));
    record_case_must_put(&c, 9, 1, ENTRIES);
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(may_issue(E1, "e1"), ERR_OK);
        ck_assert(!id_in_cache(E1));
        ck_assert_int_eq(in_cache(1), REVOCATION_REVOKED);
        restart();
        ck_assert_int_eq(in_cache(9), REVOCATION_GOOD); /* its issuer is in the record */
    }
}
END_TEST

START_TEST(test_a_lifted_serial_is_good_again)
{
    record_case_must_put(&c, 0, 8, ENTRIES);
    struct record_item item = record_case_item(5, ENTRIES);
    revoker_issuer(revoker, item.issuer, record_case_now + 3600);
    ck_assert_int_eq(in_cache(5), REVOCATION_GOOD);
    must(serial_of(5), NULL, false);
    ck_assert_int_eq(in_cache(5), REVOCATION_REVOKED);
    must(serial_of(5), NULL, true);
    ck_assert_int_eq(in_cache(5), REVOCATION_GOOD);
    restart();
    ck_assert_int_eq(in_cache(5), REVOCATION_GOOD);
}
END_TEST

START_TEST(test_the_same_again_changes_nothing_but_a_reason)
{
    struct revocation_hold h;
    record_case_must_put(&c, 0, 8, ENTRIES);
    must(E1, "certificateHold", false);
    off_t len = journal_len();
    record_case_now += 10;
    must(E1, NULL, false);
    must(E1, "certificateHold", false);
    ck_assert(!end.res.changed);
    ck_assert_ptr_nonnull(strstr(end.res.note, "nothing changed"));
    must(serial_of(1), NULL, false);
    must(E2, NULL, true);
    must("entry:e1", NULL, true);
    must(serial_of(2), NULL, true);
    ck_assert_int_eq(journal_len(), len);
    ck_assert_uint_eq(changed, 1);
    must(E1, "keyCompromise", false);
    ck_assert(end.res.changed);
    ck_assert(revocation_set_held(revoker_set(revoker), REVOKE_ID, slice_str(E1), &h));
    ck_assert_int_eq(h.reason, REVOCATION_KEY_COMPROMISE);
    ck_assert_int_eq(h.at, RECORD_CASE_START);
}
END_TEST

START_TEST(test_requests_are_done_in_order)
{
    record_case_must_put(&c, 0, 8, ENTRIES);
    for (int i = 0; i < 50; i++)
        start(E1, NULL, i % 2 == 1);
    while (end.calls < 50)
        uv_run(&c.loop, UV_RUN_ONCE);
    ck_assert_int_eq(end.err, ERR_OK);
    ck_assert(end.res.changed);
    ck_assert_int_eq(may_issue(E1, "e1"), ERR_OK);
    ck_assert_uint_eq(changed, 50);
}
END_TEST

/* --- connections older than a certificate's life ---------------------------------------------- */

static void let_time_pass_until(int64_t until)
{
    record_case_now = until;
    while (revocation_view_alive_at(view) != until)
        uv_run(&c.loop, UV_RUN_ONCE);
}

START_TEST(test_an_expired_serial_is_in_the_cache_for_those_it_is_connected_to)
{
    record_case_must_put(&c, 0, 8, ENTRIES);
    record_case_now += 2 * RECORD_CASE_LIFE;
    must(serial_of(1), NULL, false);
    ck_assert(end.res.changed);
    ck_assert_ptr_nonnull(strstr(end.res.note, "connections that it opened are cut"));
    for (int again = 0; again < 2; again++) {
        let_time_pass_until(record_case_now + 150);
        ck_assert_int_eq(in_cache(1), REVOCATION_REVOKED);
        ck_assert_int_ne(in_cache(5), REVOCATION_REVOKED);
        restart();
    }
    let_time_pass_until(record_case_now + 1);
    ck_assert_int_ne(in_cache(1), REVOCATION_REVOKED);
}
END_TEST

START_TEST(test_an_entry_revokes_its_expired_certificates_too_once)
{
    record_case_must_put(&c, 0, 8, ENTRIES);
    record_case_now += 2 * RECORD_CASE_LIFE;
    record_case_must_put(&c, 8, 8, ENTRIES);
    must("entry:e1", NULL, false);
    ck_assert_uint_eq(end.res.certificates, 4);
    ck_assert_ptr_null(end.res.note);
    for (uint32_t i = 0; i < 16; i++)
        ck_assert_int_eq(in_cache(i) == REVOCATION_REVOKED, i % ENTRIES == 1);
    let_time_pass_until(record_case_now + 301);
    ck_assert_uint_eq(revocation_set_certificates(revoker_set(revoker)), 2);
    must("entry:e1", NULL, false);
    ck_assert(!end.res.changed);
}
END_TEST

START_TEST(test_of_very_many_expired_certificates_the_newest_are_revoked_and_a_note_says_so)
{
    enum { MOST = 65536 };
    record_case_must_put(&c, 0, MOST + 4, 1);
    record_case_now += 2 * RECORD_CASE_LIFE;
    record_case_must_put(&c, MOST + 4, 4, 1);
    must("entry:e0", NULL, false);
    ck_assert_uint_eq(end.res.certificates, MOST + 4);
    ck_assert_ptr_nonnull(strstr(end.res.note, "revoke its SPIFFE ID"));
    ck_assert_int_eq(in_cache(MOST + 7), REVOCATION_REVOKED);
    ck_assert_int_eq(in_cache(4), REVOCATION_REVOKED);
    ck_assert_int_ne(in_cache(3), REVOCATION_REVOKED);
}
END_TEST

/* --- time ------------------------------------------------------------------------------------- */

START_TEST(test_what_has_expired_leaves_the_cache)
{
    record_case_must_put(&c, 0, 8, ENTRIES);
    must(serial_of(1), NULL, false);
    char serial[64];
    snprintf(serial, sizeof serial, "%s", serial_of(1));
    ck_assert_uint_eq(revocation_set_certificates(revoker_set(revoker)), 1);
    record_case_now += RECORD_CASE_LIFE + 301;
    while (revocation_set_certificates(revoker_set(revoker)) > 0)
        uv_run(&c.loop, UV_RUN_ONCE); /* by its own timer */
    record_case_now -= RECORD_CASE_LIFE + 301;
    ck_assert_int_ne(in_cache(1), REVOCATION_REVOKED);
}
END_TEST

START_TEST(test_the_heartbeat_and_the_lists_of_issuers_are_kept_fresh)
{
    record_case_must_put(&c, 0, 1, ENTRIES);
    struct record_item item = record_case_item(0, ENTRIES);
    struct revocation_issuer list;
    revoker_issuer(revoker, item.issuer, record_case_now + 1000);
    ck_assert(revocation_view_issuer(view, item.issuer, &list));
    ck_assert(list.complete);
    ck_assert_int_eq(list.next_update, record_case_now + 600);
    record_case_now += 60;
    while (revocation_view_alive_at(view) != record_case_now)
        uv_run(&c.loop, UV_RUN_ONCE);
    ck_assert(revocation_view_issuer(view, item.issuer, &list));
    ck_assert_int_eq(list.next_update, record_case_now + 600);
    record_case_now += 1000; /* nothing that it signed is valid any more */
    while (revocation_view_alive_at(view) != record_case_now)
        uv_run(&c.loop, UV_RUN_ONCE);
    ck_assert(!revocation_view_issuer(view, item.issuer, &list));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("revoker");
    TCase *t = tcase_create("revoker");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, revoker_case_setup, revoker_case_teardown);
    tcase_add_test(t,
                   test_an_id_is_held_and_all_its_certificates_are_revoked_and_a_restart_keeps_it);
    tcase_add_test(t, test_an_entry_is_held_and_others_of_its_id_are_not);
    tcase_add_test(t, test_a_serial_is_revoked_alone);
    tcase_add_test(t, test_nothing_is_issued_from_the_request_on);
    tcase_add_test(t, test_a_lifted_id_is_issued_to_again_and_its_old_certificates_stay_revoked);
    tcase_add_test(t, test_a_lifted_serial_is_good_again);
    tcase_add_test(t, test_the_same_again_changes_nothing_but_a_reason);
    tcase_add_test(t, test_requests_are_done_in_order);
    tcase_add_test(t, test_an_expired_serial_is_in_the_cache_for_those_it_is_connected_to);
    tcase_add_test(t, test_an_entry_revokes_its_expired_certificates_too_once);
    tcase_add_test(
        t, test_of_very_many_expired_certificates_the_newest_are_revoked_and_a_note_says_so);
    tcase_add_test(t, test_what_has_expired_leaves_the_cache);
    tcase_add_test(t, test_the_heartbeat_and_the_lists_of_issuers_are_kept_fresh);
    suite_add_tcase(s, t);
    return run_suite(s);
}

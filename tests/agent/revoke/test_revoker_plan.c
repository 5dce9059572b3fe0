/* What a request to revoke or to lift means: how its target is spelled, what counts as revoked
 * already, which certificates go with it, and what the caller is told besides. */
#include "agent/entry/entries.h"
#include "tests/support/revoker_case.h"
#include "tests/support/runner.h"

#include <stdio.h>

static void expect_note(const char *text)
{
    if (text == NULL)
        ck_assert_msg(end.res.note == NULL, "%s", end.res.note);
    else
        ck_assert_msg(end.res.note != NULL && strstr(end.res.note, text) != NULL, "%s",
                      end.res.note != NULL ? end.res.note : "no note");
}

/* --- the target ------------------------------------------------------------------------------- */

enum { NUMBER = 0x00abcdef }; /* the serial of this certificate has each kind of digit */

static const char *const spellings[] = {
    "serial:00abcdef414141414141414141414141",
    "serial:00ABCDEF414141414141414141414141",
    "serial:AbCdEf414141414141414141414141",
    "serial:abcdef414141414141414141414141",
    "serial:00:AB:CD:EF:41:41:41:41:41:41:41:41:41:41:41:41",
    "serial::ab:cdef:4141414141414141414141:41:",
};

START_TEST(test_a_serial_may_be_spelled_as_listings_and_openssl_do)
{
    record_case_must_put(&c, NUMBER, 2, ENTRIES);
    must(spellings[_i], NULL, false);
    ck_assert(end.res.changed);
    ck_assert_uint_eq(end.res.certificates, 1);
    ck_assert_int_eq(end.res.kind, REVOKE_SERIAL);
    expect_note(NULL);
    ck_assert_int_eq(in_cache(NUMBER), REVOCATION_REVOKED);
    ck_assert_int_ne(in_cache(NUMBER + 1), REVOCATION_REVOKED);
}
END_TEST

static const char *const no_serials[] = {
    "serial:",     "serial:::",   "serial:g",  "serial:G",
    "serial:`1",   "serial:@1",   "serial:/1", "serial:1 ",
    "serial:\xc1", "serial:0x12", "serial:-1", "serial:100abcdef414141414141414141414141",
};

START_TEST(test_what_is_no_serial_is_refused)
{
    ck_assert_int_eq(ask(no_serials[_i], NULL, false), ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(why_text(&end.why), "1 to 32 hexadecimal digits"));
}
END_TEST

START_TEST(test_an_entrys_id_has_a_length_that_entries_allow)
{
    char text[8 + ENTRY_ID_MAX + 1] = "entry:";
    memset(text + 6, 'e', ENTRY_ID_MAX);
    ck_assert_int_eq(ask(text, NULL, false), ERR_NOT_FOUND);
    text[6 + ENTRY_ID_MAX] = 'e';
    ck_assert_int_eq(ask(text, NULL, false), ERR_USAGE);
    ck_assert_int_eq(ask("entry:x", NULL, false), ERR_NOT_FOUND);
    ck_assert_int_eq(ask("entry:", NULL, false), ERR_USAGE);
}
END_TEST

START_TEST(test_each_reason_is_taken_and_told)
{
    enum revocation_reason reason = revocation_reason_at((size_t)_i);
    must(E1, revocation_reason_name(reason), false);
    ck_assert_int_eq(end.res.reason, reason);
    must(E2, NULL, false);
    ck_assert_int_eq(end.res.reason, REVOCATION_UNSPECIFIED);
}
END_TEST

/* --- once more -------------------------------------------------------------------------------- */

START_TEST(test_what_is_held_already_changes_by_a_reason_or_a_certificate_alone)
{
    record_case_must_put(&c, 0, 8, ENTRIES);
    must(E1, "keyCompromise", false);
    ck_assert_uint_eq(end.res.certificates, 2);
    must(E1, NULL, false);
    ck_assert(!end.res.changed);
    expect_note("it was revoked before; nothing changed");
    ck_assert_int_eq(end.res.reason, REVOCATION_KEY_COMPROMISE);
    must(E1, "keyCompromise", false);
    ck_assert(!end.res.changed);
    must(E1, "superseded", false);
    ck_assert(end.res.changed);
    ck_assert_uint_eq(end.res.certificates, 2);
    ck_assert_int_eq(end.res.reason, REVOCATION_SUPERSEDED);
    record_case_must_put(&c, 9, 1, ENTRIES); /* of e1 */
    must(E1, NULL, false);
    ck_assert(end.res.changed);
    ck_assert_uint_eq(end.res.certificates, 1);
    ck_assert_int_eq(end.res.reason, REVOCATION_SUPERSEDED);
    expect_note(NULL);
    ck_assert_int_eq(in_cache(9), REVOCATION_REVOKED);
}
END_TEST

START_TEST(test_a_revoked_serial_changes_by_a_reason_alone)
{
    record_case_must_put(&c, 0, 8, ENTRIES);
    must(serial_of(3), "keyCompromise", false);
    must(serial_of(3), NULL, false);
    ck_assert(!end.res.changed);
    ck_assert_int_eq(end.res.reason, REVOCATION_KEY_COMPROMISE);
    expect_note("it was revoked before; nothing changed");
    must(serial_of(3), "keyCompromise", false);
    ck_assert(!end.res.changed);
    must(serial_of(3), "superseded", false);
    ck_assert(end.res.changed);
    ck_assert_int_eq(end.res.reason, REVOCATION_SUPERSEDED);
    expect_note(NULL);
    ck_assert_int_eq(in_cache(3), REVOCATION_REVOKED);
}
END_TEST

/* --- what has expired ------------------------------------------------------------------------- */

/* The peers' clocks may be a minute behind. */
START_TEST(test_a_certificate_counts_for_a_minute_after_it_expired)
{
    record_case_must_put(&c, 0, 8, ENTRIES);
    record_case_now += RECORD_CASE_LIFE + 60;
    must(E1, NULL, false);
    ck_assert_uint_eq(end.res.certificates, 2);
    must(serial_of(2), NULL, false);
    expect_note(NULL);
    record_case_now += 1;
    must(E2, NULL, false);
    ck_assert_uint_eq(end.res.certificates, 0);
    must(serial_of(3), NULL, false);
    ck_assert(end.res.changed);
    expect_note("it has expired; connections that it opened are cut");
    ck_assert_int_eq(in_cache(3), REVOCATION_REVOKED); /* as if it expired now */
}
END_TEST

START_TEST(test_a_valid_serial_is_revoked_without_a_note)
{
    record_case_must_put(&c, 0, 8, ENTRIES);
    must(serial_of(2), NULL, false);
    expect_note(NULL);
}
END_TEST

/* --- what is known ---------------------------------------------------------------------------- */

START_TEST(test_a_target_is_known_by_its_entry_or_its_certificates_or_its_hold)
{
    must("entry:mine", NULL, false);
    ck_assert(end.res.changed);
    expect_note(NULL);
    ck_assert_int_eq(ask("entry:e1", NULL, false), ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(why_text(&end.why), "spindle-agent entries"));
    record_case_must_put(&c, 1, 1, ENTRIES);
    must("entry:e1", NULL, false);
    ck_assert_uint_eq(end.res.certificates, 1);
    expect_note(NULL);
    must("spiffe://example.org/nobody", NULL, false);
    expect_note("held all the same");
    must("spiffe://example.org/nobody", "superseded", false);
    expect_note(NULL); /* its hold is known */
    must("spiffe://example.org/mine", NULL, false);
    expect_note(NULL);
}
END_TEST

/* A certificate whose issuer's row was lost: nobody can list it. */
static void put_without_issuer(uint32_t number)
{
    struct record_item item = record_case_item(number, ENTRIES);
    memset(item.issuer, 0, sizeof item.issuer);
    ck_assert_int_eq(record_issued(c.record, &item, &c.why), ERR_OK);
}

START_TEST(test_a_lost_issuer_is_told)
{
    put_without_issuer(1);
    record_case_must_put(&c, 5, 1, ENTRIES);
    if (_i == 0) {
        must(serial_of(1), NULL, false);
        expect_note("does not say who signed it");
        must(serial_of(5), NULL, false);
        expect_note(NULL);
    } else {
        must(_i == 1 ? E1 : "entry:e1", NULL, false);
        ck_assert_uint_eq(end.res.certificates, 2);
        expect_note(_i == 1 ? "may not be listed as revoked; it is held"
                            : "may not be revoked: revoke its SPIFFE ID");
    }
}
END_TEST

/* --- lifting ---------------------------------------------------------------------------------- */

START_TEST(test_lifting_what_is_not_revoked_changes_nothing)
{
    off_t len = journal_len();
    record_case_must_put(&c, 0, 8, ENTRIES);
    must(E1, NULL, true);
    ck_assert(!end.res.changed);
    expect_note("it was not held; nothing changed");
    must("entry:e1", NULL, true);
    expect_note("it was not held; nothing changed");
    must(serial_of(1), NULL, true);
    ck_assert(!end.res.changed);
    expect_note("it was not revoked; nothing changed");
    ck_assert_int_eq(journal_len(), len);
    ck_assert_uint_eq(changed, 0);
}
END_TEST

START_TEST(test_lifting_a_hold_leaves_its_certificates_revoked)
{
    record_case_must_put(&c, 0, 8, ENTRIES);
    must(E1, "keyCompromise", false);
    must(E1, NULL, true);
    ck_assert(end.res.changed && end.res.lift);
    ck_assert_int_eq(end.res.reason, REVOCATION_KEY_COMPROMISE);
    ck_assert_uint_eq(end.res.certificates, 0);
    expect_note("certificates that were revoked stay revoked");
    ck_assert_int_eq(in_cache(1), REVOCATION_REVOKED);
    ck_assert(!id_in_cache(E1));
    ck_assert_int_eq(may_issue(E1, "e1"), ERR_OK);
}
END_TEST

/* The hold of its ID still speaks against it; that of another does not. */
START_TEST(test_lifting_a_serial_tells_of_the_hold_of_its_id)
{
    record_case_must_put(&c, 0, 8, ENTRIES);
    must(E1, NULL, false);
    must(serial_of(2), "superseded", false);
    must(serial_of(2), NULL, true);
    ck_assert(end.res.changed);
    ck_assert_int_eq(end.res.reason, REVOCATION_SUPERSEDED);
    ck_assert_uint_eq(end.res.certificates, 1);
    expect_note(NULL);
    ck_assert_int_ne(in_cache(2), REVOCATION_REVOKED);
    must(serial_of(1), NULL, true);
    ck_assert(end.res.changed);
    expect_note("its SPIFFE ID is held, so that peers refuse it all the same");
    must(E1, NULL, true);
    must(serial_of(5), NULL, true);
    expect_note(NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("revoker_plan");
    TCase *t = tcase_create("revoker_plan");
    tcase_add_checked_fixture(t, revoker_case_setup, revoker_case_teardown);
    tcase_add_loop_test(t, test_a_serial_may_be_spelled_as_listings_and_openssl_do, 0,
                        (int)(sizeof spellings / sizeof spellings[0]));
    tcase_add_loop_test(t, test_what_is_no_serial_is_refused, 0,
                        (int)(sizeof no_serials / sizeof no_serials[0]));
    tcase_add_test(t, test_an_entrys_id_has_a_length_that_entries_allow);
    tcase_add_loop_test(t, test_each_reason_is_taken_and_told, 0, (int)revocation_reason_count());
    tcase_add_test(t, test_what_is_held_already_changes_by_a_reason_or_a_certificate_alone);
    tcase_add_test(t, test_a_revoked_serial_changes_by_a_reason_alone);
    tcase_add_test(t, test_a_certificate_counts_for_a_minute_after_it_expired);
    tcase_add_test(t, test_a_valid_serial_is_revoked_without_a_note);
    tcase_add_test(t, test_a_target_is_known_by_its_entry_or_its_certificates_or_its_hold);
    tcase_add_loop_test(t, test_a_lost_issuer_is_told, 0, 3);
    tcase_add_test(t, test_lifting_what_is_not_revoked_changes_nothing);
    tcase_add_test(t, test_lifting_a_hold_leaves_its_certificates_revoked);
    tcase_add_test(t, test_lifting_a_serial_tells_of_the_hold_of_its_id);
    suite_add_tcase(s, t);
    return run_suite(s);
}

/* Every event of the agent, held against its table. */
#include "agent/svid/svid.h"
#include "agent/telemetry/audit_events.h"
#include "tests/support/audit_case.h"
#include "tests/support/runner.h"

#include <stdlib.h>
#include <unistd.h>

START_TEST(test_every_event_has_the_fields_of_its_row)
{
    struct audit *a = audit_case_open(AUDIT_BIG, 1);
    static const uint8_t serial[16] = {1};
    struct audit_certificate c = {.entry = "web",
                                  .spiffe_id = "spiffe://example.org/web",
                                  .serial = slice_of(serial, sizeof serial)};
    struct audit_refusal refusal = {.reason = ERR_NO_ENTRY,
                                    .method = "FetchX509SVID",
                                    .pid = getpid(),
                                    .uid = 1,
                                    .gid = 2,
                                    .comm = "x",
                                    .program = slice_str("/bin/x"),
                                    .detail = "none"};
    struct unix_peer who = {.pid = getpid(), .uid = 1};
    struct audit_revocation r = {.target = "serial:0a",
                                 .reason = "keyCompromise",
                                 .certificates = 3,
                                 .generation = 7,
                                 .by = who};
    audit_started(a, "example.org", 3);
    audit_stopping(a, "SIGTERM");
    for (enum svid_why why = SVID_FIRST; why <= SVID_BY_OPERATOR; why++) {
        c.why = svid_why_name(why);
        audit_issued(a, &c);
    }
    audit_refused(a, &refusal);
    audit_connection_refused(a, ERR_LIMIT, &who, "full");
    audit_revoked(a, &r);
    audit_revocation_failed(a, &r, ERR_IO, "full disk");
    audit_lifted(a, &r);
    audit_reloaded(a, 4);
    audit_reload_failed(a, "entries.yaml:1: wrong");
    audit_issuer_renewed(a, 12345);
    audit_issuer_renewal_failed(a, ERR_SIGNER, 12345, "cannot");
    audit_check_golden(a, &agent_audit_table);
}
END_TEST

static void check_unknown(void *arg, const json_t *line)
{
    int *lines = arg;
    (*lines)++;
    ck_assert_ptr_null(json_object_get(line, "uid"));
    ck_assert_ptr_null(json_object_get(line, "program"));
}

/* No uid 0 where nobody knows who it was. */
START_TEST(test_what_is_not_known_is_left_out)
{
    struct audit *a = audit_case_open(AUDIT_BIG, 1);
    struct unix_peer nobody = {.pid = 0};
    int lines = 0;
    audit_connection_refused(a, ERR_LIMIT, &nobody, "no descriptors");
    audit_revoked(a, &(struct audit_revocation){.target = "entry:a"});
    audit_close(a);
    char *text = audit_read(audit_path);
    audit_each_line(text, check_unknown, &lines);
    ck_assert_int_eq(lines, 2);
    ck_assert_ptr_null(strstr(text, "\"reason\":null"));
    free(text);
}
END_TEST

START_TEST(test_without_a_log_nothing_happens)
{
    audit_started(NULL, "example.org", 3);
    audit_issued(NULL, &(struct audit_certificate){.entry = "web"});
    audit_refused(NULL, &(struct audit_refusal){.comm = "", .reason = ERR_IO});
}
END_TEST

static void count_refused(void *arg, const json_t *line)
{
    int64_t *counts = arg;
    counts[json_integer_value(json_object_get(line, "uid"))]++;
    counts[0] += json_integer_value(json_object_get(line, "suppressed"));
}

/* One user's flood does not hide another's refusal. */
START_TEST(test_refusals_are_bounded_for_each_user)
{
    int64_t counts[4] = {0};
    struct audit *a = audit_case_open(AUDIT_BIG, 1);
    struct audit_refusal r = {
        .reason = ERR_NO_ENTRY, .method = "x", .pid = 1, .uid = 1, .comm = "", .detail = ""};
    for (int i = 0; i < AUDIT_OFTEN_BURST + 50; i++)
        audit_refused(a, &r);
    r.uid = 2;
    audit_refused(a, &r);
    audit_close(a);
    char *text = audit_read(audit_path);
    audit_each_line(text, count_refused, counts);
    free(text);
    ck_assert_int_ge(counts[1], AUDIT_OFTEN_BURST);
    ck_assert_int_lt(counts[1], AUDIT_OFTEN_BURST + 50);
    ck_assert_int_eq(counts[2], 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("audit_events");
    TCase *t = tcase_create("audit_events");
    tcase_add_checked_fixture(t, audit_case_begin, audit_case_end);
    tcase_add_test(t, test_every_event_has_the_fields_of_its_row);
    tcase_add_test(t, test_what_is_not_known_is_left_out);
    tcase_add_test(t, test_without_a_log_nothing_happens);
    tcase_add_test(t, test_refusals_are_bounded_for_each_user);
    suite_add_tcase(s, t);
    return run_suite(s);
}

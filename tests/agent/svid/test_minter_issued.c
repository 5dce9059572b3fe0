/* What the minter says before an SVID leaves, what a refusal then means, and an operator's
 * renewals. */
#include "agent/svid/minter.h"
#include "agent/telemetry/metrics.h"
#include "common/base/mem.h"
#include "common/log/log.h"
#include "tests/support/authority_case.h"
#include "tests/support/runner.h"

#include <stdio.h>
#include <string.h>

enum { HOUR = 3600, DAY = 24 * HOUR };
static const int64_t START = 1800000000;

static int64_t now;
static uv_loop_t loop;
static struct authority_case c;
static struct minter *m;
static struct metrics *metrics;
static bool any_may_be_told;          /* not the last issued alone */
static const char *release_when_told; /* an entry; NULL: none */
static bool may_leave, close_when_told;
static unsigned issued, told, settled;
static enum svid_why last_because;
static const struct svid *last_told; /* of the last on_change; NULL: that it has none */
static uint8_t last_serial[16], last_issuer[X509_KEY_ID_LEN];

static int64_t fake_clock(void)
{
    return now * 1000;
}

static err_t on_issued(void *arg, const struct svid *svid, enum svid_why because, struct why *why)
{
    (void)arg;
    if (!may_leave)
        return why_set(why, ERR_RECORD, "no room");
    issued++;
    last_because = because;
    memcpy(last_serial, svid->serial, sizeof last_serial);
    memcpy(last_issuer, svid->issuer, sizeof last_issuer);
    return ERR_OK;
}

static void on_change(void *arg, const char *entry_id, struct svid *svid)
{
    (void)arg;
    (void)entry_id;
    told++;
    last_told = svid;
    if (release_when_told != NULL)
        minter_release(m, release_when_told);
    release_when_told = NULL;
    if (close_when_told)
        minter_close(m, NULL, NULL);
    if (svid != NULL && !any_may_be_told)
        ck_assert_mem_eq(svid->serial, last_serial, sizeof last_serial);
}

static void on_settled(void *arg)
{
    (void)arg;
    settled++;
}

static void drop_line(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

static void setup(void)
{
    log_capture(drop_line, NULL);
    authority_case_setup(&c);
    now = START;
    may_leave = true;
    issued = told = settled = 0;
    release_when_told = NULL;
    any_may_be_told = close_when_told = false;
    ck_assert_int_eq(metrics_new(agent_metrics, AGENT_METRIC_COUNT, "t_", &metrics, NULL), ERR_OK);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    authority_case_must_open(&c, now);
    struct minter_options opt = {.authority = &c.authority,
                                 .x509_ttl_s = HOUR,
                                 .on_issued = on_issued,
                                 .on_change = on_change,
                                 .on_settled = on_settled,
                                 .metrics = metrics,
                                 .wall_ms = fake_clock};
    ck_assert_int_eq(minter_open(&loop, &opt, &m, NULL), ERR_OK);
}

static void on_closed(void *arg)
{
    (void)arg;
}

static void teardown(void)
{
    minter_close(m, on_closed, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    authority_case_teardown(&c);
    metrics_free(metrics);
    log_capture(NULL, NULL);
}

static err_t acquire(const char *id, const char *spiffe_id, struct svid **ret)
{
    struct entry e = {.id = (char *)id, .spiffe_id = (char *)spiffe_id, .hint = (char *)""};
    struct why why = {0};
    return minter_acquire(m, &e, ret, &why);
}

/* With an authority that answers at once. */
struct renewal {
    struct minter_renewal r;
    unsigned answers;
    err_t err;
    struct why why;
};

static void on_renewed(struct minter_renewal *r, err_t err, const struct why *why)
{
    struct renewal *renewal = (struct renewal *)r;
    renewal->answers++;
    renewal->err = err;
    renewal->why = *why;
}

static err_t renew(const char *spiffe_id, const char *entry_id, size_t *ret_count, struct why *why)
{
    struct renewal a = {
        .r = {.spiffe_id = spiffe_id, .entry_id = entry_id, .done = on_renewed, .count = 9}};
    minter_renew(m, &a.r);
    ck_assert_uint_eq(a.answers, 1);
    *ret_count = a.r.count;
    return why_set(why, a.err, "%s", why_text(&a.why));
}

START_TEST(test_an_svid_is_told_before_it_leaves)
{
    struct svid *s = NULL;
    struct slice der[2];
    size_t count = 0;
    struct x509 issuer;
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &s), ERR_OK);
    ck_assert_uint_eq(issued, 1);
    ck_assert_int_eq(last_because, SVID_FIRST);
    ck_assert_mem_eq(last_serial, s->serial, sizeof last_serial);
    ck_assert_int_eq(x509_split(slice_of(s->chain, s->chain_len), der, 2, &count, NULL), ERR_OK);
    ck_assert_int_eq(x509_parse(der[1], &issuer, NULL), ERR_OK);
    ck_assert(slice_eq(issuer.subject_key_id, slice_of(last_issuer, sizeof last_issuer)));
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &s), ERR_OK);
    ck_assert_uint_eq(issued, 1); /* the same one */
    now += HOUR / 2 + HOUR / 10;
    minter_check(m);
    ck_assert_uint_eq(issued, 2);
    ck_assert_int_eq(last_because, SVID_RENEWAL);
}
END_TEST

START_TEST(test_what_may_not_leave_stays)
{
    struct svid *s = NULL;
    unsigned subscribers = 0;
    may_leave = false;
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &s), ERR_RECORD);
    ck_assert_ptr_null(s);
    ck_assert_ptr_null(minter_find(m, "a", &subscribers));
    may_leave = true;
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &s), ERR_OK);
    may_leave = false;
    now += HOUR / 2 + HOUR / 10; /* the old one is served on */
    minter_check(m);
    ck_assert_uint_eq(told, 0);
    ck_assert_ptr_eq(minter_find(m, "a", &subscribers), s);
    may_leave = true;
    now += 61;
    minter_check(m);
    ck_assert_uint_eq(told, 1);
}
END_TEST

START_TEST(test_an_operator_renews_what_is_in_use)
{
    struct svid *s = NULL;
    struct why why = {0};
    size_t count = 9;
    ck_assert_int_eq(acquire("a1", "spiffe://example.org/a", &s), ERR_OK);
    ck_assert_int_eq(acquire("a2", "spiffe://example.org/a", &s), ERR_OK);
    ck_assert_int_eq(acquire("b", "spiffe://example.org/b", &s), ERR_OK);
    ck_assert_int_eq(renew("spiffe://example.org/a", NULL, &count, &why), ERR_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(issued, 5);
    ck_assert_uint_eq(told, 2);
    ck_assert_uint_eq(settled, 1); /* one message for both */
    ck_assert_int_eq(last_because, SVID_BY_OPERATOR);
    ck_assert_int_eq(renew(NULL, "b", &count, &why), ERR_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(renew(NULL, "none", &count, &why), ERR_NOT_FOUND);
    ck_assert_uint_eq(count, 0);
    may_leave = false;
    ck_assert_int_eq(renew(NULL, "b", &count, &why), ERR_RECORD);
    ck_assert_uint_eq(count, 0);
    ck_assert_str_eq(why_text(&why), "no room");
    ck_assert_uint_eq(told, 3);
}
END_TEST

/* A caller that comes after the entries changed brings the new ID along. What cannot be minted for
 * it must not leave the old one behind, and those who have that hear of it. */
/* It is good until its time, and the timer must not try what the operator was told has failed. */
START_TEST(test_an_operators_renewal_that_fails_leaves_all_as_it_was)
{
    struct svid *s = NULL;
    size_t count = 9;
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &s), ERR_OK);
    may_leave = false;
    ck_assert_int_eq(renew(NULL, "a", &count, NULL), ERR_RECORD);
    ck_assert_uint_eq(count, 0);
    may_leave = true;
    now = s->renew_at - 1;
    minter_check(m);
    ck_assert_uint_eq(issued, 1);
    now++;
    minter_check(m);
    ck_assert_uint_eq(issued, 2);
    ck_assert_int_eq(last_because, SVID_RENEWAL);
}
END_TEST

/* One whom it tells ends the agent: nothing more is signed, and nobody hears more. */
START_TEST(test_an_operators_renewal_ends_with_the_minter)
{
    struct svid *s = NULL;
    size_t count = 9;
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &s), ERR_OK);
    ck_assert_int_eq(acquire("b", "spiffe://example.org/a", &s), ERR_OK);
    close_when_told = true;
    ck_assert_int_eq(renew("spiffe://example.org/a", NULL, &count, NULL), ERR_CANCELED);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(issued, 3);
    ck_assert_uint_eq(told, 1);
}
END_TEST

START_TEST(test_a_mint_that_fails_after_the_id_changed_leaves_no_svid_of_the_old_one)
{
    struct svid *s = NULL, *none = NULL;
    unsigned subscribers = 0;
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &s), ERR_OK);
    may_leave = false;
    ck_assert_int_eq(acquire("a", "spiffe://example.org/z", &none), ERR_RECORD);
    ck_assert_ptr_null(none);
    ck_assert_ptr_null(minter_find(m, "a", &subscribers));
    ck_assert_int_eq(minter_min_not_after(m), 0);
    ck_assert_uint_eq(told, 0); /* not from within the call */
    now += 2;
    minter_check(m);
    ck_assert_uint_eq(told, 1);
    ck_assert_ptr_null(last_told);
    now += 60;
    minter_check(m);
    ck_assert_uint_eq(told, 1); /* once is enough */
    may_leave = true;
    now += 60;
    minter_check(m);
    ck_assert_uint_eq(told, 2);
    ck_assert_ptr_nonnull(last_told);
    ck_assert_str_eq(minter_find(m, "a", &subscribers)->spiffe_id, "spiffe://example.org/z");
    ck_assert_uint_eq(subscribers, 1);
    minter_release(m, "a");
}
END_TEST

/* The ID is the same, something else is not: the old SVID is still one of the entry's. */
START_TEST(test_a_mint_that_fails_after_a_name_was_added_keeps_the_svid)
{
    struct svid *s = NULL, *none = NULL;
    unsigned subscribers = 0;
    char *names[] = {(char *)"x.example.org", NULL};
    struct entry e = {.id = (char *)"a",
                      .spiffe_id = (char *)"spiffe://example.org/a",
                      .hint = (char *)"",
                      .dns_names = names};
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &s), ERR_OK);
    may_leave = false;
    ck_assert_int_eq(minter_acquire(m, &e, &none, NULL), ERR_RECORD);
    ck_assert_ptr_eq(minter_find(m, "a", &subscribers), s);
    ck_assert_uint_eq(subscribers, 1);
    ck_assert_int_eq(minter_acquire(m, &e, &none, NULL), ERR_OK);
    ck_assert_ptr_eq(none, s); /* while it cannot be replaced */
    may_leave = true;
    now += 2;
    minter_check(m);
    ck_assert_int_eq(last_because, SVID_RENEWAL);
    ck_assert_uint_eq(told, 1);
    ck_assert_ptr_eq(last_told, minter_find(m, "a", &subscribers));
    ck_assert_uint_eq(subscribers, 2);
    minter_check(m);
    ck_assert_uint_eq(told, 1);
    minter_release(m, "a");
    minter_release(m, "a");
}
END_TEST

/* It came with other names: those who have the old one hear of it. */
START_TEST(test_an_svid_minted_for_a_newcomer_is_told_to_the_others)
{
    struct svid *s = NULL, *newer = NULL;
    char *names[] = {(char *)"x.example.org", NULL};
    struct entry e = {.id = (char *)"a",
                      .spiffe_id = (char *)"spiffe://example.org/a",
                      .hint = (char *)"",
                      .dns_names = names};
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &s), ERR_OK);
    ck_assert_int_eq(minter_acquire(m, &e, &newer, NULL), ERR_OK);
    ck_assert_int_eq(last_because, SVID_RENEWAL);
    ck_assert_uint_eq(issued, 2);
    ck_assert_uint_eq(told, 0);
    minter_check(m);
    ck_assert_uint_eq(told, 1);
    ck_assert_ptr_eq(last_told, newer);
    ck_assert_uint_eq(issued, 2);
    minter_check(m);
    ck_assert_uint_eq(told, 1);
    minter_release(m, "a");
    minter_release(m, "a");
}
END_TEST

START_TEST(test_a_first_mint_that_fails_leaves_nothing)
{
    struct svid *none = NULL;
    unsigned subscribers = 0;
    may_leave = false;
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &none), ERR_RECORD);
    ck_assert_ptr_null(minter_find(m, "a", &subscribers));
    may_leave = true;
    now += HOUR;
    minter_check(m); /* nobody waits for it */
    ck_assert_uint_eq(issued, 0);
    ck_assert_uint_eq(told, 0);
    ck_assert_uint_eq(minter_run_out(m), 0);
}
END_TEST

/* Its renewals fail until it runs out. */
START_TEST(test_an_svid_that_ran_out_is_counted_until_there_is_one)
{
    struct svid *s = NULL;
    unsigned subscribers = 0;
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &s), ERR_OK);
    may_leave = false;
    now = START + HOUR - 1;
    minter_check(m);
    ck_assert_ptr_eq(minter_find(m, "a", &subscribers), s);
    ck_assert_uint_eq(minter_run_out(m), 0);
    now = START + HOUR;
    minter_check(m);
    ck_assert_uint_eq(minter_run_out(m), 1);
    ck_assert_uint_eq(told, 1);
    ck_assert_ptr_null(last_told);
    now += 61;
    minter_check(m);
    ck_assert_uint_eq(minter_run_out(m), 1);
    may_leave = true;
    minter_retry(m);
    ck_assert_uint_eq(minter_run_out(m), 0);
    ck_assert_uint_eq(told, 2);
    minter_release(m, "a");
}
END_TEST

/* The authority signs again, or the disk has room again: who is without one, or is past half of its
 * time, is served at once; who is well is left alone. */
START_TEST(test_a_retry_renews_what_waits_and_nothing_else)
{
    struct svid *a = NULL, *b = NULL;
    unsigned subscribers = 0;
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &a), ERR_OK);
    now = a->renew_at - 1;
    minter_retry(m);
    ck_assert_ptr_eq(minter_find(m, "a", &subscribers), a);
    ck_assert_int_eq(acquire("b", "spiffe://example.org/b", &b), ERR_OK);
    now = a->renew_at;
    may_leave = false;
    minter_check(m);
    ck_assert_uint_eq(told, 0);
    may_leave = true;
    minter_check(m);
    ck_assert_uint_eq(told, 0); /* its next try comes later */
    minter_retry(m);
    ck_assert_uint_eq(told, 1);
    ck_assert_ptr_eq(minter_find(m, "b", &subscribers), b);
    minter_release(m, "a");
    minter_release(m, "b");
}
END_TEST

static double svids(void)
{
    return metric_slot(metrics, M_SVIDS, (size_t[3]){SVID_X509, 0, 0}, 0);
}

START_TEST(test_live_svids_are_counted)
{
    struct svid *s = NULL;
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &s), ERR_OK);
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &s), ERR_OK);
    ck_assert_int_eq(acquire("b", "spiffe://example.org/b", &s), ERR_OK);
    ck_assert(svids() == 2);
    now = s->renew_at;
    minter_check(m);
    ck_assert(svids() == 2);
    minter_release(m, "a");
    ck_assert(svids() == 2);
    minter_release(m, "a");
    ck_assert(svids() == 1);
    may_leave = false;
    now += HOUR;
    minter_check(m);
    ck_assert(svids() == 0);
    minter_release(m, "b");
    ck_assert(svids() == 0);
}
END_TEST

static void look_at_timer(uv_handle_t *handle, void *arg)
{
    if (handle->type == UV_TIMER && uv_is_active(handle))
        *(int *)arg = (int)uv_timer_get_due_in((uv_timer_t *)handle);
}

/* ms; -1: nothing is waited for */
static int due_in(void)
{
    int ms = -1;
    uv_walk(&loop, look_at_timer, &ms);
    return ms;
}

/* The clock is looked at once a minute, or when something is due before; not without need. */
START_TEST(test_the_timer_runs_while_there_is_something_to_look_at)
{
    struct svid *s = NULL;
    ck_assert_int_eq(due_in(), -1);
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &s), ERR_OK);
    ck_assert_int_eq(due_in(), 60000);
    now = s->renew_at - 7;
    ck_assert_int_eq(acquire("b", "spiffe://example.org/b", &s), ERR_OK);
    ck_assert_int_eq(due_in(), 7000);
    now += 7;
    ck_assert_int_eq(acquire("b", "spiffe://example.org/b", &s), ERR_OK);
    ck_assert_int_eq(due_in(), 0);
    minter_release(m, "a");
    ck_assert_int_eq(due_in(), 60000);
    minter_release(m, "b");
    minter_release(m, "b");
    ck_assert_int_eq(due_in(), -1);
}
END_TEST

/* A subscriber of the next one leaves while the first one's is told: its place stays till the end.
 */
START_TEST(test_an_operators_renewal_outlives_who_leaves_meanwhile)
{
    struct svid *s = NULL;
    struct why why = {0};
    size_t count = 0;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(acquire((char[]){(char)('a' + i), '\0'}, "spiffe://example.org/a", &s),
                         ERR_OK);
    release_when_told = "d";
    ck_assert_int_eq(renew("spiffe://example.org/a", NULL, &count, &why), ERR_OK);
    ck_assert_uint_eq(count, 4);
    ck_assert_uint_eq(told, 4);
    ck_assert_uint_eq(settled, 1);
    unsigned subscribers = 0;
    ck_assert_ptr_null(minter_find(m, "d", &subscribers));
    ck_assert(svids() == 3);
}
END_TEST

START_TEST(test_without_memory_for_a_changed_entry_the_old_svid_stays)
{
    struct svid *first = NULL, *s = NULL;
    unsigned subscribers = 0;
    char *names[] = {(char *)"x.example.org", (char *)"y.example.org", NULL};
    struct entry e = {.id = (char *)"a",
                      .spiffe_id = (char *)"spiffe://example.org/z",
                      .hint = (char *)"",
                      .dns_names = names};
    ck_assert_int_eq(acquire("a", "spiffe://example.org/a", &first), ERR_OK);
    for (long n = 0; n < 6; n++) { /* the copy of an entry with two names */
        mem_fail_after(n);
        err_t err = minter_acquire(m, &e, &s, NULL);
        mem_fail_after(-1);
        ck_assert_int_eq(err, ERR_NO_MEMORY);
        ck_assert_ptr_eq(minter_find(m, "a", &subscribers), first);
        ck_assert_uint_eq(subscribers, 1);
    }
    ck_assert_int_eq(minter_acquire(m, &e, &s, NULL), ERR_OK);
    ck_assert_str_eq(s->spiffe_id, "spiffe://example.org/z");
}
END_TEST

/* Sixteen entries; all but the first with this hint. */
static struct entry_set *sixteen(const char *hint)
{
    struct entry_set *set = NULL;
    struct buf text, report;
    buf_init(&text, 1 << 14);
    buf_init(&report, 1 << 10);
    ck_assert_int_eq(buf_append_str(&text, "entries:\n"), ERR_OK);
    for (int i = 0; i < 16; i++)
        ck_assert_int_eq(buf_printf(&text,
                                    "  - {id: e%02d, spiffe_id: spiffe://example.org/e%02d, "
                                    "hint: '%s', selectors: ['unix:uid:1']}\n",
                                    i, i, i == 0 ? "first" : hint),
                         ERR_OK);
    err_t err = entries_parse("e", buf_slice(&text), "example.org", &report, &set, NULL);
    ck_assert_msg(err == ERR_OK, "%.*s", SLICE_ARG(buf_slice(&report)));
    buf_done(&text);
    buf_done(&report);
    return set;
}

/* They fall due one after the other; a reload reaches the last of them too. */
START_TEST(test_a_reload_reaches_entries_that_are_not_due_for_long)
{
    struct svid *s = NULL;
    struct entry_set *before = sixteen("old"), *after = sixteen("new");
    for (size_t i = 0; i < before->count; i++) {
        ck_assert_int_eq(minter_acquire(m, &before->items[i], &s, NULL), ERR_OK);
        now += 10;
    }
    any_may_be_told = true;
    minter_entries_changed(m, before);
    ck_assert_uint_eq(told, 0);
    minter_entries_changed(m, after);
    ck_assert_uint_eq(told, 15);
    ck_assert_uint_eq(issued, 16); /* the same certificates */
    minter_entries_changed(m, after);
    ck_assert_uint_eq(told, 15);
    entries_free(before);
    entries_free(after);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("minter_issued");
    TCase *t = tcase_create("minter_issued");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_an_svid_is_told_before_it_leaves);
    tcase_add_test(t, test_what_may_not_leave_stays);
    tcase_add_test(t, test_an_operator_renews_what_is_in_use);
    tcase_add_test(t, test_an_operators_renewal_that_fails_leaves_all_as_it_was);
    tcase_add_test(t, test_an_operators_renewal_ends_with_the_minter);
    tcase_add_test(t, test_a_mint_that_fails_after_the_id_changed_leaves_no_svid_of_the_old_one);
    tcase_add_test(t, test_a_mint_that_fails_after_a_name_was_added_keeps_the_svid);
    tcase_add_test(t, test_an_svid_minted_for_a_newcomer_is_told_to_the_others);
    tcase_add_test(t, test_a_first_mint_that_fails_leaves_nothing);
    tcase_add_test(t, test_an_svid_that_ran_out_is_counted_until_there_is_one);
    tcase_add_test(t, test_a_retry_renews_what_waits_and_nothing_else);
    tcase_add_test(t, test_live_svids_are_counted);
    tcase_add_test(t, test_the_timer_runs_while_there_is_something_to_look_at);
    tcase_add_test(t, test_an_operators_renewal_outlives_who_leaves_meanwhile);
    tcase_add_test(t, test_without_memory_for_a_changed_entry_the_old_svid_stays);
    tcase_add_test(t, test_a_reload_reaches_entries_that_are_not_due_for_long);
    suite_add_tcase(s, t);
    return run_suite(s);
}

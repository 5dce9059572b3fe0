/* A minter that is told what it may not issue: revoked IDs and entries, revoked certificates. */
#include "agent/svid/minter.h"
#include "common/log/log.h"
#include "tests/support/authority_case.h"
#include "tests/support/runner.h"

#include <stdio.h>

static const int64_t START = 1800000000;
enum { HOUR = 3600, ENTRIES = 300 };

static int64_t now_s;
static uv_loop_t loop;
static struct authority_case c;
static struct minter *m;
static struct entry_set *entries;
static const char *held; /* a SPIFFE ID, or NULL */
static err_t verdict;    /* of what is held */
static unsigned changes, dropped, settled;
static char last[32];          /* entry of the last on_change */
static struct svid *last_svid; /* borrowed */
static size_t warnings;

static int64_t fake_clock(void)
{
    return now_s * 1000;
}

static void on_change(void *arg, const char *entry_id, struct svid *svid)
{
    (void)arg;
    changes++;
    dropped += svid == NULL;
    last_svid = svid;
    snprintf(last, sizeof last, "%s", entry_id);
}

static void on_settled(void *arg)
{
    (void)arg;
    settled++;
}

static err_t may_issue(void *arg, const struct entry *e, struct why *why)
{
    (void)arg;
    if (held == NULL || strcmp(held, e->spiffe_id) != 0)
        return ERR_OK;
    return why_set(why, verdict, "%s is held", e->spiffe_id);
}

static void count_line(void *arg, const char *line)
{
    (void)arg;
    warnings += strstr(line, "svid_renewal_failed") != NULL;
}

static struct entry_set *parse(const char *id_of_a)
{
    struct entry_set *set = NULL;
    struct buf text, report;
    buf_init(&text, 1 << 20);
    buf_init(&report, 4096);
    ck_assert_int_eq(buf_printf(&text,
                                "entries:\n  - {id: a, spiffe_id: spiffe://example.org/%s, "
                                "selectors: [\"unix:uid:1\"]}\n",
                                id_of_a),
                     ERR_OK);
    for (int i = 0; i < ENTRIES; i++)
        ck_assert_int_eq(buf_printf(&text,
                                    "  - {id: e%d, spiffe_id: spiffe://example.org/many, "
                                    "selectors: [\"unix:uid:1\"], hint: h%d}\n",
                                    i, i),
                         ERR_OK);
    ck_assert_int_eq(entries_parse("e", buf_slice(&text), "example.org", &report, &set, NULL),
                     ERR_OK);
    buf_done(&text);
    buf_done(&report);
    return set;
}

static void setup(void)
{
    authority_case_setup(&c);
    now_s = START;
    held = NULL;
    verdict = ERR_REVOKED;
    changes = dropped = settled = 0;
    warnings = 0;
    last_svid = NULL;
    log_capture(count_line, NULL);
    authority_case_must_open(&c, now_s);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    struct minter_options opt = {.authority = &c.authority,
                                 .x509_ttl_s = HOUR,
                                 .may_issue = may_issue,
                                 .on_change = on_change,
                                 .on_settled = on_settled,
                                 .wall_ms = fake_clock};
    ck_assert_int_eq(minter_open(&loop, &opt, &m, NULL), ERR_OK);
    entries = parse("a");
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
    entries_free(entries);
    log_capture(NULL, NULL);
}

static struct svid *acquire(const char *id)
{
    struct why why = {0};
    struct svid *s = NULL;
    err_t err = minter_acquire(m, entries_find(entries, id), &s, &why);
    ck_assert_msg(err == ERR_OK, "%s", why_text(&why));
    return s;
}

static void hold(const char *spiffe_id)
{
    held = spiffe_id;
    minter_holds_changed(m);
}

#define A "spiffe://example.org/a"
#define MANY "spiffe://example.org/many"

START_TEST(test_what_is_held_is_dropped_at_once_and_minted_anew_when_lifted)
{
    uint8_t serial[16];
    memcpy(serial, acquire("a")->serial, sizeof serial);
    struct svid *other = acquire("e0");
    hold(A);
    ck_assert_uint_eq(changes, 1);
    ck_assert_uint_eq(settled, 1);
    ck_assert_str_eq(last, "a");
    ck_assert_ptr_null(last_svid);
    ck_assert(minter_is_held(m, "a"));
    ck_assert(!minter_is_held(m, "e0"));
    ck_assert(!minter_is_held(m, "nobody"));
    ck_assert_ptr_eq(acquire("e0"), other);
    for (int i = 0; i < 10; i++) { /* no tries meanwhile, and no words */
        now_s += 600;
        minter_check(m);
    }
    ck_assert_ptr_null(acquire("a"));
    unsigned before = changes;
    hold(NULL);
    ck_assert_uint_eq(changes, before + 1);
    ck_assert_str_eq(last, "a");
    ck_assert_int_ne(memcmp(last_svid->serial, serial, sizeof serial), 0);
    ck_assert(!minter_is_held(m, "a"));
    ck_assert_ptr_eq(acquire("a"), last_svid);
    ck_assert_uint_eq(warnings, 0);
}
END_TEST

START_TEST(test_a_held_entry_can_be_subscribed_to_and_gets_its_svid_when_lifted)
{
    hold(A);
    ck_assert_ptr_null(acquire("a"));
    ck_assert_ptr_null(acquire("a"));
    ck_assert(minter_is_held(m, "a"));
    ck_assert_uint_eq(changes, 0);
    hold(NULL);
    ck_assert_uint_eq(changes, 1);
    ck_assert_ptr_nonnull(last_svid);
    minter_release(m, "a");
    minter_release(m, "a");
    ck_assert(!minter_is_held(m, "a"));
}
END_TEST

START_TEST(test_many_entries_of_one_id_are_all_dropped_before_the_first_is_told)
{
    char id[16];
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(id, sizeof id, "e%d", i);
        ck_assert_ptr_nonnull(acquire(id));
    }
    hold(MANY);
    ck_assert_uint_eq(changes, MINTER_BATCH);
    ck_assert_int_eq(minter_min_not_after(m), 0); /* there is none any more */
    while (changes < ENTRIES)
        uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(dropped, ENTRIES);
    hold(NULL);
    while (changes < 2 * ENTRIES)
        uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(dropped, ENTRIES);
}
END_TEST

START_TEST(test_what_is_being_revoked_keeps_its_svid_and_waits)
{
    struct svid *svid = acquire("a"), *none = NULL;
    verdict = ERR_CANCELED;
    hold(A);
    ck_assert_uint_eq(changes, 0);
    ck_assert_ptr_eq(acquire("a"), svid);
    now_s = svid->renew_at;
    minter_check(m); /* due, but not now */
    ck_assert_uint_eq(changes, 0);
    held = MANY;
    ck_assert_int_eq(minter_acquire(m, entries_find(entries, "e1"), &none, NULL), ERR_CANCELED);
    hold(NULL);
    now_s += 2;
    minter_check(m);
    ck_assert_uint_eq(changes, 1);
    ck_assert_ptr_nonnull(last_svid);
}
END_TEST

START_TEST(test_an_entry_with_another_id_is_not_held_any_more)
{
    acquire("a");
    hold(A);
    struct entry_set *old = entries;
    entries = parse("b");
    minter_entries_changed(m, entries);
    entries_free(old);
    ck_assert_uint_eq(changes, 2);
    ck_assert_str_eq(last_svid->spiffe_id, "spiffe://example.org/b");
    ck_assert(!minter_is_held(m, "a"));
    old = entries;
    entries = parse("a"); /* and back */
    minter_entries_changed(m, entries);
    entries_free(old);
    ck_assert_ptr_null(last_svid);
    ck_assert(minter_is_held(m, "a"));
}
END_TEST

START_TEST(test_a_discarded_certificate_is_replaced_and_no_other)
{
    uint8_t serial[16];
    struct svid *other = acquire("e0");
    memcpy(serial, acquire("a")->serial, sizeof serial);
    minter_discard(m, serial);
    ck_assert_uint_eq(changes, 1);
    ck_assert_str_eq(last, "a");
    ck_assert_ptr_nonnull(last_svid);
    ck_assert_int_ne(memcmp(last_svid->serial, serial, sizeof serial), 0);
    minter_discard(m, serial);
    ck_assert_uint_eq(changes, 1);
    ck_assert_ptr_eq(acquire("e0"), other);
}
END_TEST

START_TEST(test_a_discarded_certificate_is_not_served_when_none_can_be_minted)
{
    uint8_t serial[16];
    memcpy(serial, acquire("a")->serial, sizeof serial);
    now_s += 100000; /* the authority's issuer has run out */
    minter_discard(m, serial);
    ck_assert_uint_eq(dropped, 1);
    ck_assert(!minter_is_held(m, "a"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("minter_holds");
    TCase *t = tcase_create("minter_holds");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_what_is_held_is_dropped_at_once_and_minted_anew_when_lifted);
    tcase_add_test(t, test_a_held_entry_can_be_subscribed_to_and_gets_its_svid_when_lifted);
    tcase_add_test(t, test_many_entries_of_one_id_are_all_dropped_before_the_first_is_told);
    tcase_add_test(t, test_what_is_being_revoked_keeps_its_svid_and_waits);
    tcase_add_test(t, test_an_entry_with_another_id_is_not_held_any_more);
    tcase_add_test(t, test_a_discarded_certificate_is_replaced_and_no_other);
    tcase_add_test(t, test_a_discarded_certificate_is_not_served_when_none_can_be_minted);
    suite_add_tcase(s, t);
    return run_suite(s);
}

/* SVIDs while somebody uses them: minting, renewal by a fake clock, failure, reloads. */
#include "agent/svid/minter.h"
#include "common/base/mem.h"
#include "common/log/log.h"
#include "common/x509/x509.h"
#include "tests/support/authority_case.h"
#include "tests/support/runner.h"

#include <stdio.h>

static const int64_t START = 1800000000;
enum { DAY = 24 * 3600, HOUR = 3600, CALLS_MAX = 512 };

static int64_t clock_ms;
static uv_loop_t loop;
static struct authority_case c;
static struct minter *m;
static struct entry_set *entries;

/* What on_change was called with. */
static struct {
    char id[32];
    struct svid *svid; /* a reference of ours */
} calls[CALLS_MAX];
static size_t call_count;
static void (*in_change)(const char *entry_id, struct svid *svid);

static int64_t fake_clock(void)
{
    return clock_ms;
}

static int64_t now_s(void)
{
    return clock_ms / 1000;
}

static void on_change(void *arg, const char *entry_id, struct svid *svid)
{
    (void)arg;
    ck_assert_uint_lt(call_count, CALLS_MAX);
    snprintf(calls[call_count].id, sizeof calls[0].id, "%s", entry_id);
    calls[call_count++].svid = svid != NULL ? svid_ref(svid) : NULL;
    if (in_change != NULL)
        in_change(entry_id, svid);
}

static void forget_calls(void)
{
    for (size_t i = 0; i < call_count; i++)
        svid_unref(calls[i].svid);
    call_count = 0;
}

static void drop_line(void *arg, const char *line)
{
    ++*(size_t *)arg;
    ck_assert_ptr_null(strstr(line, "unix:")); /* AG-8: no selectors in logs */
}
static size_t log_lines;

static void setup_with(int64_t issuer_ttl)
{
    struct why why = {0};
    authority_case_setup(&c);
    clock_ms = START * 1000;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(
        ca_open(c.dir, "example.org", issuer_ttl, &key_store_memory, now_s(), &c.ca, &why), ERR_OK);
    struct minter_options opt = {.authority = &c.authority,
                                 .x509_ttl_s = HOUR,
                                 .on_change = on_change,
                                 .wall_ms = fake_clock};
    ck_assert_int_eq(minter_open(&loop, &opt, &m, &why), ERR_OK);
    entries = NULL;
    in_change = NULL;
    call_count = log_lines = 0;
    log_capture(drop_line, &log_lines);
}

static void setup(void)
{
    setup_with(DAY);
}

static void setup_short_issuer(void)
{
    setup_with(60);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void teardown(void)
{
    bool closed = false;
    forget_calls();
    minter_close(m, on_closed, &closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert(closed);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    authority_case_teardown(&c);
    entries_free(entries);
    log_capture(NULL, NULL);
}

static struct entry_set *parse(const char *text)
{
    struct entry_set *set = NULL;
    struct why why = {0};
    struct buf report;
    buf_init(&report, 4096);
    err_t err = entries_parse("e", slice_str(text), "example.org", &report, &set, &why);
    ck_assert_msg(err == ERR_OK, "%.*s", SLICE_ARG(buf_slice(&report)));
    buf_done(&report);
    return set;
}

/* An entry `id` with more lines behind it. */
#define E(id, more)                                                                                \
    "  - {id: " id ", spiffe_id: spiffe://example.org/" id ", selectors: [\"unix:uid:1\"]" more    \
    "}\n"
#define ENTRIES(list) "entries:\n" list

static void use(const char *text)
{
    struct entry_set *old = entries;
    entries = parse(text);
    if (old != NULL)
        minter_entries_changed(m, entries);
    entries_free(old);
}

static struct svid *acquire(const char *id)
{
    struct why why = {0};
    struct svid *s = NULL;
    err_t err = minter_acquire(m, entries_find(entries, id), &s, &why);
    ck_assert_msg(err == ERR_OK, "%s", why_text(&why));
    return s;
}

/* One subscriber less for each letter's entry. */
static void release_each(const char *ids)
{
    for (; *ids != '\0'; ids++)
        minter_release(m, (char[]){*ids, '\0'});
}

static void go_to_ms(int64_t ms)
{
    clock_ms = ms;
    minter_check(m);
}

static void go_to(int64_t s)
{
    go_to_ms(s * 1000);
}

static struct slice spki_of(const struct svid *s)
{
    struct slice der[4];
    size_t count;
    struct x509 leaf;
    struct why why = {0};
    ck_assert_int_eq(x509_split(slice_of(s->chain, s->chain_len), der, 4, &count, &why), ERR_OK);
    ck_assert_int_eq(x509_parse(der[0], &leaf, &why), ERR_OK);
    struct key *key = NULL;
    ck_assert_int_eq(key_parse(slice_of(s->key, s->key_len), &key, &why), ERR_OK);
    ck_assert(slice_eq(key_spki(key), leaf.spki)); /* the key is the certificate's */
    key_free(key);
    return leaf.spki;
}

static void count_svid(void *arg, const struct svid *s, unsigned subscribers)
{
    ck_assert_ptr_nonnull(s);
    *(unsigned *)arg += subscribers;
}

START_TEST(test_subscribers_of_an_entry_share_one_svid)
{
    use(ENTRIES(E("a", ", hint: h") E("b", "")));
    struct svid *first = acquire("a");
    ck_assert_ptr_eq(acquire("a"), first);
    ck_assert_ptr_ne(acquire("b"), first);
    ck_assert_str_eq(first->entry_id, "a");
    ck_assert_str_eq(first->spiffe_id, "spiffe://example.org/a");
    ck_assert_str_eq(first->hint, "h");
    ck_assert_int_eq(first->issued_at, START);
    ck_assert_int_eq(first->not_before, START - 10);
    ck_assert_int_eq(first->not_after, START + HOUR);
    ck_assert_int_eq(minter_min_not_after(m), START + HOUR);
    ck_assert_uint_eq(call_count, 0);
    unsigned subscribers = 0;
    minter_each(m, count_svid, &subscribers);
    ck_assert_uint_eq(subscribers, 3);
    release_each("aab");
    ck_assert_int_eq(minter_min_not_after(m), 0);
}
END_TEST

START_TEST(test_the_last_subscriber_takes_the_svid_with_it)
{
    use(ENTRIES(E("a", "")));
    struct svid *first = svid_ref(acquire("a"));
    minter_release(m, "a");
    go_to(START + DAY / 2);
    ck_assert_uint_eq(call_count, 0); /* nothing is renewed that nobody uses */
    struct svid *second = acquire("a");
    ck_assert_int_ne(memcmp(first->serial, second->serial, 16), 0);
    svid_unref(first);
    minter_release(m, "a");
}
END_TEST

static const int64_t ttls[] = {6, 12, 20, 60, HOUR};

/* AG-14: renewed at half of the whole validity, never a gap. AG-13: a new key each time. */
START_TEST(test_an_svid_is_renewed_in_time_with_a_new_key)
{
    char text[256];
    int64_t ttl = ttls[_i];
    snprintf(text, sizeof text, ENTRIES(E("a", ", x509_ttl: %ds")), (int)ttl);
    use(text);
    struct svid *last = svid_ref(acquire("a"));
    for (size_t round = 0; round < 20; round++) {
        int64_t due = last->renew_at;
        go_to_ms(due * 1000 - 1);
        ck_assert_uint_eq(call_count, 0);
        go_to(due);
        ck_assert_uint_eq(call_count, 1);
        ck_assert_str_eq(calls[0].id, "a");
        struct svid *next = calls[0].svid;
        ck_assert_int_lt(due, last->not_after);
        ck_assert_int_eq(next->issued_at, due);
        ck_assert_int_ge(4 * (next->renew_at - due), next->not_after - due);
        ck_assert(!slice_eq(spki_of(last), spki_of(next)));
        svid_unref(last);
        last = svid_ref(next);
        forget_calls();
        bool renewed;
        ck_assert_int_eq(authority_case_tick(&c, due, &renewed), ERR_OK);
    }
    svid_unref(last);
    minter_release(m, "a");
}
END_TEST

START_TEST(test_many_renewals_come_in_batches)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    ck_assert_int_eq(buf_append_str(&text, "entries:\n"), ERR_OK);
    int count = 3 * MINTER_BATCH / 2;
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(buf_printf(&text, E("e%d", ""), i, i), ERR_OK);
    ck_assert_int_eq(buf_append(&text, "", 1), ERR_OK);
    use((const char *)text.data);
    buf_done(&text);
    for (size_t i = 0; i < entries->count; i++)
        acquire(entries->items[i].id);
    go_to(START + HOUR - 1);
    ck_assert_uint_eq(call_count, MINTER_BATCH);
    uv_run(&loop, UV_RUN_NOWAIT); /* the timer goes on at once */
    ck_assert_uint_eq(call_count, count);
    for (size_t i = 0; i < entries->count; i++)
        minter_release(m, entries->items[i].id);
}
END_TEST

/* AG-15: with an authority that cannot sign, the old SVID is kept until it expires, then it is
 * never served. */
START_TEST(test_an_svid_that_cannot_be_renewed_is_kept_until_it_expires)
{
    use(ENTRIES(E("a", ", x509_ttl: 60s")));
    struct svid *s = svid_ref(acquire("a"));
    ck_assert_int_eq(s->not_after, START + 60); /* as the issuer's */
    for (int64_t at = s->renew_at; at < s->not_after - 1; at++)
        go_to(at); /* until the issuer is past, these succeed */
    size_t good = call_count;
    forget_calls();
    ck_assert_uint_ge(good, 1);
    go_to_ms((START + 60) * 1000 - 1);
    struct svid *held = NULL;
    struct why why = {0};
    ck_assert_int_eq(minter_acquire(m, entries_find(entries, "a"), &held, &why), ERR_OK);
    ck_assert_int_gt(held->not_after * 1000, clock_ms);
    minter_release(m, "a");
    forget_calls();

    go_to(START + 60);
    ck_assert_uint_eq(call_count, 1);
    ck_assert_ptr_null(calls[0].svid);
    ck_assert_int_eq(minter_acquire(m, entries_find(entries, "a"), &held, &why), ERR_SIGNER);
    ck_assert_int_eq(minter_min_not_after(m), 0);
    ck_assert_uint_gt(log_lines, 0);
    go_to(START + 200);
    ck_assert_uint_eq(call_count, 1); /* told once */

    bool renewed = false; /* the authority is well again: within a minute so is the SVID */
    ck_assert_int_eq(authority_case_tick(&c, START + 201, &renewed), ERR_OK);
    for (int64_t at = 201; at <= 261; at++)
        go_to(START + at);
    ck_assert_uint_ge(call_count, 2);
    ck_assert_ptr_nonnull(calls[1].svid);
    svid_unref(s);
    minter_release(m, "a");
}
END_TEST

START_TEST(test_retries_back_off_to_a_minute)
{
    use(ENTRIES(E("a", "")));
    acquire("a");
    clock_ms = (START + 60) * 1000; /* the issuer is past */
    size_t tries = 0;
    for (; clock_ms < (START + 660) * 1000; clock_ms += 100) {
        size_t before = log_lines;
        minter_check(m);
        tries += log_lines > before;
    }
    ck_assert_uint_ge(tries, 10 + 5);
    ck_assert_uint_le(tries, 20 + 10);
    minter_release(m, "a");
}
END_TEST

/* A laptop that slept: all is expired at once, and well again at once. */
START_TEST(test_a_long_sleep_is_noticed)
{
    use(ENTRIES(E("a", "")));
    acquire("a");
    clock_ms += (int64_t)18 * HOUR * 1000;
    bool renewed;
    ck_assert_int_eq(authority_case_tick(&c, now_s(), &renewed), ERR_OK);
    minter_check(m);
    ck_assert_uint_eq(call_count, 1);
    ck_assert_int_eq(calls[0].svid->issued_at, now_s());
    minter_release(m, "a");
}
END_TEST

START_TEST(test_a_clock_set_back_gives_svids_that_are_valid_now)
{
    use(ENTRIES(E("a", "")));
    clock_ms += (int64_t)DAY * 1000 / 4;
    acquire("a");
    clock_ms -= (int64_t)DAY * 1000 / 8;
    struct svid *s = acquire("a");
    ck_assert_int_le(s->not_before, now_s());
    minter_check(m);
    ck_assert_uint_eq(call_count, 1); /* the first subscriber hears of it */
    ck_assert_ptr_eq(calls[0].svid, s);
    release_each("aa");
}
END_TEST

/* Reloads. */

static const struct {
    const char *after;
    bool is_told, is_new;
} reload_cases[] = {
    {E("a", ""), false, false},
    {E("b", "") E("a", ""), false, false},
    {E("a", ", jwt_ttl: 7s"), false, false},
    {E("a", ", hint: x"), true, false},
    {E("a", ", x509_ttl: 7s"), true, true},
    {E("a", ", dns_names: [x]"), true, true},
    {"  - {id: a, spiffe_id: spiffe://example.org/z, selectors: [\"unix:uid:1\"]}\n", true, true},
};

START_TEST(test_a_reload_mints_anew_what_would_differ)
{
    use(ENTRIES(E("a", "")));
    struct svid *s = svid_ref(acquire("a"));
    char text[256];
    snprintf(text, sizeof text, "entries:\n%s", reload_cases[_i].after);
    use(text);
    ck_assert_uint_eq(call_count, reload_cases[_i].is_told);
    if (call_count > 0) {
        const struct entry *e = entries_find(entries, "a");
        bool is_new = memcmp(calls[0].svid->serial, s->serial, 16) != 0;
        ck_assert(is_new == reload_cases[_i].is_new);
        ck_assert_str_eq(calls[0].svid->spiffe_id, e->spiffe_id);
        ck_assert_str_eq(calls[0].svid->hint, e->hint);
    }
    svid_unref(s);
    minter_release(m, "a");
}
END_TEST

START_TEST(test_a_gone_entry_is_dropped_without_a_call_and_released_later)
{
    use(ENTRIES(E("a", "") E("b", "")));
    acquire("a");
    acquire("b");
    use(ENTRIES(E("b", "")));
    ck_assert_uint_eq(call_count, 0);
    go_to(START + HOUR - 1);
    ck_assert_uint_eq(call_count, 1); /* b alone is renewed */
    ck_assert_str_eq(calls[0].id, "b");
    release_each("ab");
}
END_TEST

START_TEST(test_an_entry_that_comes_back_is_served_again)
{
    use(ENTRIES(E("a", "")));
    acquire("a");
    use(ENTRIES(E("b", "")));
    use(ENTRIES(E("a", "")));
    ck_assert_uint_eq(call_count, 1);
    ck_assert_ptr_nonnull(calls[0].svid);
    ck_assert_ptr_eq(acquire("a"), calls[0].svid);
    release_each("aa");
}
END_TEST

START_TEST(test_a_new_id_that_cannot_be_minted_leaves_none)
{
    use(ENTRIES(E("a", "")));
    acquire("a");
    clock_ms = (START + 60) * 1000 - 1; /* the issuer cannot sign any more */
    use(ENTRIES("  - {id: a, spiffe_id: spiffe://example.org/z, selectors: [\"unix:uid:1\"]}\n"));
    ck_assert_uint_eq(call_count, 1);
    ck_assert_ptr_null(calls[0].svid);
    minter_release(m, "a");
}
END_TEST

/* Callbacks that call back. */

static void release_it(const char *entry_id, struct svid *svid)
{
    (void)svid;
    minter_release(m, entry_id);
}

START_TEST(test_a_subscriber_may_leave_when_told)
{
    use(ENTRIES(E("a", "") E("b", "") E("c", "")));
    acquire("a");
    acquire("b");
    acquire("c");
    in_change = release_it;
    go_to(START + HOUR - 1);
    ck_assert_uint_eq(call_count, 3);
    ck_assert_int_eq(minter_min_not_after(m), 0);
    go_to(START + 2 * HOUR);
    ck_assert_uint_eq(call_count, 3);
}
END_TEST

static void acquire_all(const char *entry_id, struct svid *svid)
{
    (void)entry_id;
    (void)svid;
    for (size_t i = 0; i < entries->count; i++)
        acquire(entries->items[i].id);
}

START_TEST(test_a_subscriber_may_come_when_another_is_told)
{
    use(ENTRIES(E("a", "") E("b", "") E("c", "")));
    acquire("a");
    in_change = acquire_all;
    go_to(START + HOUR - 1);
    ck_assert_uint_eq(call_count, 1);
    in_change = NULL;
    minter_release(m, "a");
    for (size_t i = 0; i < 3; i++)
        minter_release(m, entries->items[i].id);
    ck_assert_int_eq(minter_min_not_after(m), 0);
}
END_TEST

static void close_it(const char *entry_id, struct svid *svid)
{
    (void)entry_id;
    (void)svid;
    static bool closed;
    minter_close(m, on_closed, &closed);
}

START_TEST(test_closing_when_told_is_fine)
{
    use(ENTRIES(E("a", "") E("b", "")));
    acquire("a");
    acquire("b");
    in_change = close_it;
    go_to(START + HOUR - 1);
    ck_assert_uint_eq(call_count, 1);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    forget_calls();
    authority_case_teardown(&c);
    entries_free(entries);
}
END_TEST

START_TEST(test_random_use_keeps_every_svid_valid)
{
    unsigned seed = (unsigned)_i + 7, held[8] = {0};
    use(ENTRIES(E("a", ", x509_ttl: 6s") E("b", ", x509_ttl: 20s") E("c", ", x509_ttl: 1h")
                    E("d", ", x509_ttl: 2s") E("e", ", x509_ttl: 3s") E("f", "")
                        E("g", ", x509_ttl: 12s") E("h", ", x509_ttl: 60s")));
    for (int step = 0; step < 3000; step++) {
        seed = seed * 1103515245u + 12345u;
        size_t i = (seed >> 8) % 8;
        if ((seed >> 16) % 2 == 0) {
            ck_assert_int_gt(acquire(entries->items[i].id)->not_after * 1000, clock_ms);
            held[i]++;
        } else if (held[i] > 0) {
            minter_release(m, entries->items[i].id);
            held[i]--;
        }
        go_to_ms(clock_ms + 500);
        ck_assert(minter_min_not_after(m) == 0 || minter_min_not_after(m) * 1000 > clock_ms);
        forget_calls();
    }
    for (size_t i = 0; i < 8; i++)
        for (; held[i] > 0; held[i]--)
            minter_release(m, entries->items[i].id);
}
END_TEST

START_TEST(test_failed_allocations_leave_the_minter_whole)
{
    use(ENTRIES(E("a", ", dns_names: [x, y]")));
    err_t err;
    long n = 0;
    do {
        struct svid *s = NULL;
        struct why why = {0};
        mem_fail_after(n++);
        err = minter_acquire(m, &entries->items[0], &s, &why);
        bool failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert(!failed || err != ERR_OK);
        ck_assert(err == ERR_OK || s == NULL);
    } while (err != ERR_OK);
    ck_assert_int_gt(n, 8);
    /* Each try comes a minute after the one before it at the latest. */
    clock_ms += (int64_t)HOUR * 1000 * 55 / 100;
    for (n = 0; call_count == 0; n++) {
        mem_fail_after(n);
        minter_check(m);
        mem_fail_after(-1);
        clock_ms += 61 * 1000;
    }
    ck_assert_int_gt(n, 3);
    ck_assert_ptr_nonnull(calls[call_count - 1].svid);
    minter_release(m, "a");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("minter");
    TCase *t = tcase_create("minter");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_subscribers_of_an_entry_share_one_svid);
    tcase_add_test(t, test_the_last_subscriber_takes_the_svid_with_it);
    tcase_add_loop_test(t, test_an_svid_is_renewed_in_time_with_a_new_key, 0,
                        sizeof ttls / sizeof ttls[0]);
    tcase_add_test(t, test_many_renewals_come_in_batches);
    tcase_add_test(t, test_a_long_sleep_is_noticed);
    tcase_add_test(t, test_a_clock_set_back_gives_svids_that_are_valid_now);
    tcase_add_loop_test(t, test_a_reload_mints_anew_what_would_differ, 0,
                        sizeof reload_cases / sizeof reload_cases[0]);
    tcase_add_test(t, test_a_gone_entry_is_dropped_without_a_call_and_released_later);
    tcase_add_test(t, test_an_entry_that_comes_back_is_served_again);
    tcase_add_test(t, test_a_subscriber_may_leave_when_told);
    tcase_add_test(t, test_a_subscriber_may_come_when_another_is_told);
    tcase_add_loop_test(t, test_random_use_keeps_every_svid_valid, 0, 4);
    suite_add_tcase(s, t);
    TCase *failing = tcase_create("failing signer");
    tcase_add_checked_fixture(failing, setup_short_issuer, teardown);
    tcase_add_test(failing, test_an_svid_that_cannot_be_renewed_is_kept_until_it_expires);
    tcase_add_test(failing, test_retries_back_off_to_a_minute);
    tcase_add_test(failing, test_a_new_id_that_cannot_be_minted_leaves_none);
    suite_add_tcase(s, failing);
    TCase *memory = tcase_create("memory");
    tcase_add_checked_fixture(memory, setup, teardown);
    tcase_add_test(memory, test_failed_allocations_leave_the_minter_whole);
    suite_add_tcase(s, memory);
    TCase *closing = tcase_create("closing");
    tcase_add_checked_fixture(closing, setup, NULL);
    tcase_add_test(closing, test_closing_when_told_is_fine);
    suite_add_tcase(s, closing);
    return run_suite(s);
}

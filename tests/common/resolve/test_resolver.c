/* Asks of one loop and of several threads, against a name server of the test's own. */
#include "tests/support/resolver_case.h"
#include "tests/support/runner.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const struct fake_dns_row rows[] = {
    {"web.example", FAKE_DNS_ANSWERS, 10, "10.0.0.1", NULL, 0, NULL},
    {"held.example", FAKE_DNS_LATE, 10, "10.0.0.1", NULL, 0, NULL},
    {"part.example", FAKE_DNS_LATE_V6, 10, "10.0.0.1", "fd00::1", 0, NULL},
    {"silent.example", FAKE_DNS_SILENT, 0, NULL, NULL, 0, NULL},
    {"fails.example", FAKE_DNS_FAILS, 0, NULL, NULL, 0, NULL},
    {NULL, FAKE_DNS_DENIES, 0, NULL, NULL, 0, NULL},
};
static const struct fake_dns_row moved[] = {
    {"web.example", FAKE_DNS_ANSWERS, 10, "10.0.0.2", NULL, 0, NULL},
    {NULL, FAKE_DNS_DENIES, 0, NULL, NULL, 0, NULL},
};
static const struct fake_dns_row broken[] = {
    {"web.example", FAKE_DNS_FAILS, 0, NULL, NULL, 0, NULL},
    {NULL, FAKE_DNS_DENIES, 0, NULL, NULL, 0, NULL},
};
static const struct fake_dns_row dead[] = {
    {"web.example", FAKE_DNS_SILENT, 0, NULL, NULL, 0, NULL},
    {NULL, FAKE_DNS_DENIES, 0, NULL, NULL, 0, NULL},
};

/* --- one look-up for all ---------------------------------------------------------------------- */

START_TEST(test_all_who_ask_share_one_look_up)
{
    struct resolver_case f;
    struct asker a[50];
    resolver_case_open(&f, rows, 0);
    for (size_t i = 0; i < 50; i++)
        ck_assert(!resolver_case_ask(&f, &a[i], i % 2 == 0 ? "web.example" : "WEB.Example"));
    ck_assert_uint_eq(resolver_counts(f.resolver).waiting, 50);
    while (!a[49].last)
        resolver_case_turn(&f);
    for (size_t i = 0; i < 50; i++) {
        ck_assert_uint_eq(a[i].answers, 1);
        ck_assert_uint_eq(a[i].low, 1);
    }
    ck_assert_uint_eq(f.dns.asked, 2); /* one a family */
    ck_assert_uint_eq(f.lookups, 1);
    ck_assert_uint_eq(f.sources[RESOLVER_LOOKUP], 50);
    resolver_case_done(&f);
}
END_TEST

START_TEST(test_an_answer_is_used_until_its_ttl_is_over_and_then_renewed)
{
    struct resolver_case f;
    struct asker a;
    resolver_case_open(&f, rows, 0);
    resolver_case_ask_to_end(&f, &a, "web.example");
    f.dns.rows = moved;
    resolver_case_ms = 9000;
    ck_assert(resolver_case_ask(&f, &a, "web.example"));
    ck_assert_uint_eq(a.low, 1);
    ck_assert_uint_eq(f.sources[RESOLVER_CACHE], 1);
    resolver_case_ms = 11000;
    ck_assert(!resolver_case_ask(&f, &a, "web.example"));
    while (!a.last)
        resolver_case_turn(&f);
    ck_assert_uint_eq(a.low, 2);
    ck_assert_uint_eq(f.dns.asked, 4);
    ck_assert_uint_eq(f.turns, 0);
    resolver_case_done(&f);
}
END_TEST

START_TEST(test_localhost_is_both_loopbacks_and_asks_nobody)
{
    struct resolver_case f;
    struct asker a;
    resolver_case_open(&f, rows, 0);
    ck_assert(resolver_case_ask(&f, &a, "localhost"));
    ck_assert_uint_eq(a.count, 2);
    ck_assert(resolver_case_ask(&f, &a, "app.LocalHost."));
    ck_assert_uint_eq(a.count, 2);
    ck_assert_uint_eq(resolver_counts(f.resolver).names, 0);
    ck_assert_uint_eq(f.dns.asked, 0);
    resolver_case_done(&f);
}
END_TEST

/* --- servers that fail ------------------------------------------------------------------------ */

/* _i: they say so, or keep silent. */
START_TEST(test_the_last_good_answer_is_used_while_servers_fail)
{
    struct resolver_case f;
    struct asker a;
    resolver_case_open(&f, rows, _i == 0 ? 0 : 10);
    resolver_case_ask_to_end(&f, &a, "web.example");
    f.dns.rows = _i == 0 ? broken : dead;
    resolver_case_ms = 20000;
    resolver_case_ask_to_end(&f, &a, "web.example");
    ck_assert_int_eq(a.result, NAME_OK);
    ck_assert_uint_eq(a.low, 1);
    ck_assert_uint_eq(f.turns, 1);
    ck_assert_int_eq(f.turned_to, _i == 0 ? NAME_SERVER_FAILURE : NAME_TIMEOUT);
    ck_assert(f.turned_stale);
    ck_assert_uint_eq(f.sources[RESOLVER_STALE], 1);
    ck_assert_uint_eq(resolver_counts(f.resolver).failing, 1);
    resolver_case_ms = 30000; /* asked for again, and nobody waits */
    unsigned asked = f.dns.asked;
    ck_assert(resolver_case_ask(&f, &a, "web.example"));
    ck_assert_uint_eq(a.low, 1);
    while (f.lookups < 3)
        resolver_case_turn(&f);
    ck_assert_uint_gt(f.dns.asked, asked);
    ck_assert_uint_eq(f.turns, 1); /* no news */
    f.dns.rows = moved;
    resolver_case_ms = 40000;
    ck_assert(resolver_case_ask(&f, &a, "web.example"));
    while (f.lookups < 4)
        resolver_case_turn(&f);
    ck_assert_uint_eq(f.turns, 2);
    ck_assert_int_eq(f.turned_to, NAME_OK);
    ck_assert(resolver_case_ask(&f, &a, "web.example"));
    ck_assert_uint_eq(a.low, 2);
    ck_assert_uint_eq(resolver_counts(f.resolver).failing, 0);
    resolver_case_done(&f);
}
END_TEST

START_TEST(test_who_waits_for_silent_servers_gets_the_old_answer_in_time)
{
    struct resolver_case f;
    struct asker first, second;
    resolver_case_open(&f, rows, 0); /* the servers' time is far longer than patience */
    resolver_case_ask_to_end(&f, &first, "web.example");
    f.dns.rows = dead;
    resolver_case_ms = 20000;
    resolver_case_ask(&f, &first, "web.example");
    while (first.answers == 0)
        resolver_case_turn(&f);
    ck_assert_uint_eq(first.low, 1);
    ck_assert(!first.last);
    ck_assert(
        !resolver_case_ask(&f, &second, "web.example")); /* has it at once, and may hear more */
    ck_assert_uint_eq(second.answers, 1);
    ck_assert_uint_eq(f.sources[RESOLVER_STALE], 2);
    resolver_forget(&first.ask);
    resolver_forget(&second.ask);
    resolver_case_done(&f);
}
END_TEST

START_TEST(test_without_an_old_answer_a_failure_is_told_and_kept_for_a_moment)
{
    struct resolver_case f;
    struct asker a;
    resolver_case_open(&f, rows, 0);
    resolver_case_ask_to_end(&f, &a, "fails.example");
    ck_assert_int_eq(a.result, NAME_SERVER_FAILURE);
    ck_assert(!f.turned_stale);
    ck_assert(resolver_case_ask(&f, &a, "fails.example"));
    ck_assert_int_eq(a.result, NAME_SERVER_FAILURE);
    ck_assert_uint_eq(f.sources[RESOLVER_NONE], 2);
    ck_assert_uint_eq(f.lookups, 1);
    resolver_case_ms = NAME_RETRY_MS + 1000;
    ck_assert(!resolver_case_ask(&f, &a, "fails.example"));
    while (!a.last)
        resolver_case_turn(&f);
    ck_assert_uint_eq(f.lookups, 2);
    ck_assert_uint_eq(resolver_counts(f.resolver).failing, 1);
    resolver_case_ms += RESOLVER_FAILING_MS + NAME_RETRY_MS; /* nobody asks any more */
    ck_assert_uint_eq(resolver_counts(f.resolver).failing, 0);
    resolver_case_done(&f);
}
END_TEST

START_TEST(test_a_name_that_is_gone_is_gone_whatever_was_known)
{
    struct resolver_case f;
    struct asker a;
    resolver_case_open(&f, rows, 0);
    resolver_case_ask_to_end(&f, &a, "web.example");
    f.dns.rows = &rows[5]; /* none */
    resolver_case_ms = 20000;
    resolver_case_ask_to_end(&f, &a, "web.example");
    ck_assert_int_eq(a.result, NAME_UNKNOWN);
    ck_assert(!f.turned_stale);
    resolver_case_done(&f);
}
END_TEST

START_TEST(test_a_silent_server_holds_up_no_other_name)
{
    struct resolver_case f;
    struct asker silent, web;
    resolver_case_open(&f, rows, 0);
    resolver_case_ask(&f, &silent, "silent.example");
    resolver_case_ask_to_end(&f, &web, "web.example");
    ck_assert_int_eq(web.result, NAME_OK);
    ck_assert_uint_eq(silent.answers, 0);
    resolver_forget(&silent.ask);
    resolver_case_done(&f);
}
END_TEST

/* --- parts ------------------------------------------------------------------------------------ */

START_TEST(test_one_familys_addresses_come_before_the_others)
{
    struct resolver_case f;
    struct asker first, second;
    resolver_case_open(&f, rows, 0);
    resolver_case_ask(&f, &first, "part.example");
    while (first.answers == 0)
        resolver_case_turn(&f);
    ck_assert(!first.last);
    ck_assert_uint_eq(first.count, 1);
    ck_assert(!resolver_case_ask(&f, &second, "part.example"));
    ck_assert_uint_eq(second.count, 1);
    fake_dns_release(&f.dns);
    while (!first.last || !second.last)
        resolver_case_turn(&f);
    ck_assert_uint_eq(first.count, 2);
    ck_assert_uint_eq(second.count, 2);
    ck_assert_uint_eq(f.sources[RESOLVER_LOOKUP], 2); /* each counts once */
    resolver_case_done(&f);
}
END_TEST

/* --- the end ---------------------------------------------------------------------------------- */

/* _i: turns of the loop before. */
START_TEST(test_closing_ends_at_once_and_nobody_is_answered_after)
{
    struct resolver_case f;
    struct asker a[3], late;
    resolver_case_open(&f, rows, 0);
    resolver_case_ask(&f, &a[0], "silent.example");
    resolver_case_ask(&f, &a[1], "held.example");
    resolver_case_ask(&f, &a[2], "fails.example");
    for (int i = 0; i < _i; i++)
        resolver_case_turn(&f);
    resolver_close(f.resolver);
    unsigned told = f.sources[RESOLVER_NONE], lookups = f.lookups;
    ck_assert(!resolver_case_ask(&f, &late, "web.example"));
    ck_assert_uint_eq(resolver_counts(f.resolver).waiting, 0);
    resolver_case_done(&f); /* asserts that nothing is left of the loop */
    ck_assert_uint_eq(a[0].answers + a[1].answers + late.answers, 0);
    ck_assert_uint_eq(f.sources[RESOLVER_NONE], told);
    ck_assert_uint_eq(f.lookups, lookups);
}
END_TEST

/* _i: 0 before anything, 1 the answer lies at the desk already. */
START_TEST(test_who_has_forgotten_hears_nothing)
{
    struct resolver_case f;
    struct asker a, b;
    resolver_case_open(&f, rows, 0);
    resolver_case_ask(&f, &a, "web.example");
    resolver_case_ask(&f, &b, "web.example");
    if (_i == 0)
        resolver_forget(&a.ask);
    while (f.lookups == 0)
        resolver_case_turn(&f);
    if (_i == 1 && a.answers == 0) {
        resolver_forget(&a.ask);
        ck_assert_uint_eq(a.answers, 0);
    }
    unsigned heard = a.answers;
    while (!b.last)
        resolver_case_turn(&f);
    ck_assert_uint_eq(a.answers, heard);
    resolver_forget(&a.ask); /* twice is fine */
    resolver_case_done(&f);
}
END_TEST

/* --- threads ---------------------------------------------------------------------------------- */

#define THREADS 4
#define THREAD_ASKS 200

struct crew {
    struct resolver *resolver;
    pthread_t thread;
    uv_loop_t loop;
    struct resolver_desk desk;
    struct asker asker;
    unsigned asked, good;
};

static void next_ask(struct crew *c);

static void on_crew_done(void *arg, struct name_answer answer)
{
    struct crew *c = arg;
    c->good += answer.result == NAME_OK;
    ip_list_unref(answer.list);
    if (answer.last)
        next_ask(c);
}

static void next_ask(struct crew *c)
{
    static const char *const names[] = {"web.example", "localhost", "fails.example", "Web.example"};
    struct name_answer answer;
    while (c->asked < THREAD_ASKS) {
        const char *name = names[c->asked++ % 4];
        resolver_forget(&c->asker.ask);
        if (!resolver_ask(&c->desk, &c->asker.ask, name, on_crew_done, c, &answer))
            return;
        c->good += answer.result == NAME_OK;
        ip_list_unref(answer.list);
        if (!answer.last && c->asked % 3 != 0)
            return;
    }
    resolver_forget(&c->asker.ask);
    resolver_desk_close(&c->desk);
}

static void *crew_main(void *arg)
{
    struct crew *c = arg;
    struct why why = {0};
    ck_assert_int_eq(uv_loop_init(&c->loop), 0);
    ck_assert_int_eq(resolver_desk_open(&c->desk, c->resolver, &c->loop, &why), ERR_OK);
    next_ask(c);
    uv_run(&c->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&c->loop), 0);
    return NULL;
}

START_TEST(test_several_threads_ask_at_once)
{
    struct resolver_case f;
    struct crew crews[THREADS];
    resolver_case_open(&f, rows, 0);
    for (size_t i = 0; i < THREADS; i++) {
        crews[i] = (struct crew){.resolver = f.resolver};
        ck_assert_int_eq(pthread_create(&crews[i].thread, NULL, crew_main, &crews[i]), 0);
    }
    /* what asks for the answers that threads wait for is this loop */
    for (size_t i = 0; i < THREADS; i++) {
        while (pthread_tryjoin_np(crews[i].thread, NULL) != 0)
            uv_run(&f.loop, UV_RUN_NOWAIT);
        ck_assert_uint_eq(crews[i].good, THREAD_ASKS / 4 * 3);
    }
    ck_assert_uint_le(f.lookups, 8);
    resolver_case_done(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resolver");
    TCase *t = tcase_create("resolver");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_all_who_ask_share_one_look_up);
    tcase_add_test(t, test_an_answer_is_used_until_its_ttl_is_over_and_then_renewed);
    tcase_add_test(t, test_localhost_is_both_loopbacks_and_asks_nobody);
    tcase_add_loop_test(t, test_the_last_good_answer_is_used_while_servers_fail, 0, 2);
    tcase_add_test(t, test_who_waits_for_silent_servers_gets_the_old_answer_in_time);
    tcase_add_test(t, test_without_an_old_answer_a_failure_is_told_and_kept_for_a_moment);
    tcase_add_test(t, test_a_name_that_is_gone_is_gone_whatever_was_known);
    tcase_add_test(t, test_a_silent_server_holds_up_no_other_name);
    tcase_add_test(t, test_one_familys_addresses_come_before_the_others);
    tcase_add_loop_test(t, test_closing_ends_at_once_and_nobody_is_answered_after, 0, 4);
    tcase_add_loop_test(t, test_who_has_forgotten_hears_nothing, 0, 2);
    tcase_add_test(t, test_several_threads_ask_at_once);
    suite_add_tcase(s, t);
    return run_suite(s);
}

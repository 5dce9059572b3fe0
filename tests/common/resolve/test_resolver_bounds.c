/* What the resolver does when there is too much of something, or no memory. */
#include "common/base/mem.h"
#include "tests/support/resolver_case.h"
#include "tests/support/runner.h"

#include <stdio.h>

static const struct fake_dns_row rows[] = {
    {"web.example", FAKE_DNS_ANSWERS, 10, "10.0.0.1", NULL, 0, NULL},
    {"held.example", FAKE_DNS_LATE, 10, "10.0.0.1", NULL, 0, NULL},
    {NULL, FAKE_DNS_DENIES, 0, NULL, NULL, 0, NULL},
};

START_TEST(test_look_ups_beyond_the_bound_queue)
{
    static struct asker a[RESOLVER_LOOKUPS_MAX + 3];
    static char names[RESOLVER_LOOKUPS_MAX + 3][32];
    static struct fake_dns_row many[RESOLVER_LOOKUPS_MAX + 4];
    struct resolver_case f;
    size_t count = RESOLVER_LOOKUPS_MAX + 3;
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "n%zu.example", i);
        many[i] = (struct fake_dns_row){names[i], FAKE_DNS_LATE, 10, "10.0.0.1", NULL, 0, NULL};
    }
    many[count] = (struct fake_dns_row){.name = NULL};
    resolver_case_open(&f, many, 0);
    for (size_t i = 0; i < RESOLVER_LOOKUPS_MAX; i++)
        resolver_case_ask(&f, &a[i], names[i]);
    while (resolver_counts(f.resolver).running < RESOLVER_LOOKUPS_MAX)
        resolver_case_turn(&f);
    ck_assert_uint_eq(f.bounds, 0);
    for (size_t i = RESOLVER_LOOKUPS_MAX; i < count; i++)
        resolver_case_ask(&f, &a[i], names[i]);
    ck_assert_uint_eq(f.bounds, 3);
    ck_assert_int_eq(f.bound, RESOLVER_BOUND_LOOKUPS);
    resolver_case_turn(&f);
    ck_assert_uint_eq(resolver_counts(f.resolver).queued, 3);
    ck_assert_uint_eq(resolver_counts(f.resolver).running, RESOLVER_LOOKUPS_MAX);
    for (size_t i = 0; i < count; i++)
        while (!a[i].last) {
            resolver_case_turn(&f);
            fake_dns_release(&f.dns);
        }
    ck_assert_uint_eq(resolver_counts(f.resolver).queued, 0);
    resolver_case_done(&f);
}
END_TEST

START_TEST(test_asks_beyond_the_bound_are_refused)
{
    struct resolver_case f;
    struct asker one;
    resolver_case_open(&f, rows, 0);
    struct asker *a = mem_array(RESOLVER_ASKS_MAX, sizeof *a);
    ck_assert_ptr_nonnull(a);
    for (size_t i = 0; i < RESOLVER_ASKS_MAX; i++)
        ck_assert(!resolver_case_ask(&f, &a[i], "held.example"));
    ck_assert_uint_eq(f.bounds, 0);
    ck_assert(resolver_case_ask(&f, &one, "held.example"));
    ck_assert_int_eq(one.result, NAME_LIMIT);
    ck_assert_int_eq(f.bound, RESOLVER_BOUND_WAITING);
    resolver_forget(&a[0].ask);
    ck_assert(!resolver_case_ask(&f, &one, "held.example"));
    for (size_t i = 1; i < RESOLVER_ASKS_MAX; i++)
        resolver_forget(&a[i].ask);
    resolver_forget(&one.ask);
    mem_free(a);
    resolver_case_done(&f);
}
END_TEST

START_TEST(test_names_beyond_the_bound_are_refused_while_all_are_asked_for)
{
    static struct asker a[NAME_CACHE_MAX];
    struct resolver_case f;
    struct asker one;
    char name[32];
    resolver_case_open(&f, rows, 0);
    for (size_t i = 0; i < NAME_CACHE_MAX; i++) {
        snprintf(name, sizeof name, "x%zu.example", i);
        ck_assert(!resolver_case_ask(&f, &a[i], name));
    }
    ck_assert(resolver_case_ask(&f, &one, "web.example"));
    ck_assert_int_eq(one.result, NAME_LIMIT);
    ck_assert_int_eq(f.bound, RESOLVER_BOUND_NAMES);
    for (size_t i = 0; i < NAME_CACHE_MAX; i++)
        resolver_forget(&a[i].ask);
    resolver_case_done(&f);
}
END_TEST

START_TEST(test_every_failed_allocation_is_an_answer)
{
    struct resolver_case f;
    struct asker a;
    resolver_case_open(&f, rows, 0);
    for (long n = 0;; n++) {
        resolver_case_ms += 20000; /* past what is known */
        mem_fail_after(n);
        resolver_case_ask(&f, &a, "web.example");
        while (!a.last && a.answers == 0)
            resolver_case_turn(&f);
        int failed = mem_did_fail();
        mem_fail_after(-1);
        while (!a.last)
            resolver_case_turn(&f);
        resolver_forget(&a.ask);
        if (!failed)
            break;
        ck_assert_int_lt((int)n, 100);
    }
    ck_assert_int_eq(a.result, NAME_OK);
    resolver_case_done(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resolver_bounds");
    TCase *t = tcase_create("resolver_bounds");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_look_ups_beyond_the_bound_queue);
    tcase_add_test(t, test_asks_beyond_the_bound_are_refused);
    tcase_add_test(t, test_names_beyond_the_bound_are_refused_while_all_are_asked_for);
    tcase_add_test(t, test_every_failed_allocation_is_an_answer);
    suite_add_tcase(s, t);
    return run_suite(s);
}

/* How long answers are believed, by a clock of the test's own. */
#include "common/base/mem.h"
#include "common/resolve/name_cache.h"
#include "tests/support/runner.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define NOW INT64_C(1000000)

static struct ip_list *some_list(uint32_t last)
{
    uint32_t bytes = htonl(0x0a000000u + last);
    struct ip a = ip_of(AF_INET, &bytes);
    return ip_list_new(&a, 1);
}

static const struct {
    uint32_t ttl_s;
    int64_t believed_ms;
} ttls[] = {{0, NAME_TTL_MIN_MS},
            {1, 1000},
            {2, 2000},
            {30, 30000},
            {299, 299000},
            {300, NAME_TTL_MAX_MS},
            {301, NAME_TTL_MAX_MS},
            {86400, NAME_TTL_MAX_MS},
            {UINT32_MAX, NAME_TTL_MAX_MS}};

START_TEST(test_an_answer_is_believed_for_its_ttl_within_bounds)
{
    struct name_entry e = {.asked = false};
    int64_t end = NOW + ttls[_i].believed_ms;
    ck_assert_int_eq(name_entry_use(&e, NOW), NAME_WAIT);
    name_entry_answered(&e, NAME_OK, some_list(1), ttls[_i].ttl_s, NOW);
    ck_assert_int_eq(name_entry_use(&e, NOW), NAME_USE);
    ck_assert_int_eq(name_entry_use(&e, end - 1), NAME_USE);
    ck_assert_int_eq(name_entry_use(&e, end), NAME_WAIT); /* nothing failed so far */
    ip_list_unref(e.list);
}
END_TEST

static const enum name_result denials[] = {NAME_UNKNOWN, NAME_NO_ADDRESS};
static const enum name_result failures[] = {NAME_SERVER_FAILURE, NAME_UNREACHABLE, NAME_TIMEOUT,
                                            NAME_FAILED};

START_TEST(test_a_denial_is_believed_for_a_moment)
{
    struct name_entry e = {.asked = false};
    name_entry_answered(&e, denials[_i], NULL, 0, NOW);
    ck_assert_int_eq(name_entry_use(&e, NOW), NAME_DENY);
    ck_assert_int_eq(e.last, denials[_i]);
    ck_assert_int_eq(name_entry_use(&e, NOW + NAME_RETRY_MS - 1), NAME_DENY);
    ck_assert_int_eq(name_entry_use(&e, NOW + NAME_RETRY_MS), NAME_WAIT);
}
END_TEST

START_TEST(test_a_denial_ends_the_answer_before)
{
    struct name_entry e = {.asked = false};
    name_entry_answered(&e, NAME_OK, some_list(1), 1, NOW);
    name_entry_answered(&e, denials[_i], NULL, 0, NOW + 2000);
    ck_assert_ptr_null(e.list);
    ck_assert_int_eq(name_entry_use(&e, NOW + 2000), NAME_DENY);
    ck_assert_int_eq(name_entry_use(&e, NOW + 2000 + NAME_RETRY_MS), NAME_WAIT);
}
END_TEST

START_TEST(test_the_last_good_answer_stands_in_while_servers_fail)
{
    struct name_entry e = {.asked = false};
    int64_t ttl_end = NOW + 10000, failed = ttl_end + 500;
    name_entry_answered(&e, NAME_OK, some_list(1), 10, NOW);
    ck_assert(name_entry_has_stale(&e, failed));
    name_entry_answered(&e, failures[_i], NULL, 0, failed);
    ck_assert_int_eq(name_entry_use(&e, failed), NAME_USE);
    ck_assert_int_eq(name_entry_use(&e, failed + NAME_RETRY_MS - 1), NAME_USE);
    ck_assert_int_eq(name_entry_use(&e, failed + NAME_RETRY_MS), NAME_REFRESH);
    int64_t bound = ttl_end + NAME_STALE_MAX_MS;
    ck_assert_int_eq(name_entry_use(&e, bound - 1), NAME_REFRESH);
    ck_assert_int_eq(name_entry_use(&e, bound), NAME_WAIT);
    ck_assert(!name_entry_has_stale(&e, bound));
    name_entry_answered(&e, failures[_i], NULL, 0, bound);
    ck_assert_int_eq(name_entry_use(&e, bound), NAME_DENY); /* too old by now */
    ip_list_unref(e.list);
}
END_TEST

START_TEST(test_an_answer_after_failures_is_a_fresh_one)
{
    struct name_entry e = {.asked = false};
    name_entry_answered(&e, NAME_OK, some_list(1), 1, NOW);
    name_entry_answered(&e, NAME_TIMEOUT, NULL, 0, NOW + 1500);
    name_entry_answered(&e, NAME_OK, some_list(2), 5, NOW + 3000);
    ck_assert_int_eq(e.list->items[0].bytes[3], 2);
    ck_assert_int_eq(name_entry_use(&e, NOW + 7999), NAME_USE);
    ck_assert_int_eq(name_entry_use(&e, NOW + 8000), NAME_WAIT);
    ip_list_unref(e.list);
}
END_TEST

START_TEST(test_names_are_one_whatever_their_case)
{
    struct name_cache c;
    name_cache_init(&c);
    struct name_entry *e = name_cache_find(&c, "Web.Example");
    ck_assert_ptr_nonnull(e);
    ck_assert_str_eq(e->name, "web.example");
    ck_assert_ptr_ne(name_cache_find(&c, "web.example."), e);
    ck_assert_ptr_eq(name_cache_find(&c, "WEB.example"), e);
    ck_assert_uint_eq(c.map.count, 2);
    name_cache_done(&c);
    ck_assert_uint_eq(c.map.count, 0);
}
END_TEST

static struct name_entry *numbered(struct name_cache *c, unsigned i)
{
    char name[32];
    snprintf(name, sizeof name, "n%u.example", i);
    return name_cache_find(c, name);
}

START_TEST(test_the_name_unused_for_longest_makes_room)
{
    struct name_cache c;
    struct name_entry *e;
    name_cache_init(&c);
    struct name_job *job = (struct name_job *)&c; /* any pointer: it is only held against NULL */
    for (unsigned i = 0; i < NAME_CACHE_MAX; i++)
        ck_assert_ptr_nonnull(numbered(&c, i));
    struct name_entry *first = numbered(&c, 0); /* used again, so the second is the oldest */
    numbered(&c, 2)->job = job;
    numbered(&c, 1)->job = job;
    ck_assert_ptr_nonnull(numbered(&c, NAME_CACHE_MAX)); /* takes the place of 3 */
    ck_assert_uint_eq(c.map.count, NAME_CACHE_MAX);
    ck_assert_ptr_eq(numbered(&c, 0), first);
    ck_assert_ptr_eq(numbered(&c, 1)->job, job);
    size_t seen = 0;
    TAILQ_FOREACH(e, &c.entries, in_use) {
        ck_assert_str_ne(e->name, "n3.example");
        seen++;
    }
    ck_assert_uint_eq(seen, NAME_CACHE_MAX);
    TAILQ_FOREACH(e, &c.entries, in_use)
        e->job = job;
    ck_assert_ptr_null(name_cache_find(&c, "one.more.example"));
    ck_assert_ptr_nonnull(numbered(&c, 0));
    name_cache_done(&c);
}
END_TEST

START_TEST(test_a_failed_allocation_makes_no_entry)
{
    struct name_cache c;
    name_cache_init(&c);
    mem_fail_after(0);
    ck_assert_ptr_null(name_cache_find(&c, "web.example"));
    mem_fail_after(-1);
    ck_assert_uint_eq(c.map.count, 0);
    name_cache_done(&c);
}
END_TEST

START_TEST(test_a_list_holds_each_address_once_and_to_its_bound)
{
    static struct ip_set set;
    set = (struct ip_set){.count = 0};
    for (uint32_t i = 0; i < IP_LIST_MAX + 5; i++) {
        uint32_t bytes = htonl(i);
        ip_set_add(&set, ip_of(AF_INET, &bytes));
        ip_set_add(&set, ip_of(AF_INET, &bytes));
    }
    ck_assert_uint_eq(set.count, IP_LIST_MAX);
    ck_assert_uint_eq(set.left_out, 10);
    struct ip_list *l = ip_list_new(set.items, set.count);
    ck_assert(ip_eq(&l->items[IP_LIST_MAX - 1], &set.items[IP_LIST_MAX - 1]));
    ip_list_unref(ip_list_ref(l));
    ip_list_unref(l);
    ip_list_unref(NULL);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

int main(void)
{
    Suite *s = suite_create("name_cache");
    TCase *t = tcase_create("name_cache");
    tcase_add_loop_test(t, test_an_answer_is_believed_for_its_ttl_within_bounds, 0, COUNT(ttls));
    tcase_add_loop_test(t, test_a_denial_is_believed_for_a_moment, 0, COUNT(denials));
    tcase_add_loop_test(t, test_a_denial_ends_the_answer_before, 0, COUNT(denials));
    tcase_add_loop_test(t, test_the_last_good_answer_stands_in_while_servers_fail, 0,
                        COUNT(failures));
    tcase_add_test(t, test_an_answer_after_failures_is_a_fresh_one);
    tcase_add_test(t, test_names_are_one_whatever_their_case);
    tcase_add_test(t, test_the_name_unused_for_longest_makes_room);
    tcase_add_test(t, test_a_failed_allocation_makes_no_entry);
    tcase_add_test(t, test_a_list_holds_each_address_once_and_to_its_bound);
    suite_add_tcase(s, t);
    return run_suite(s);
}

/* Who makes room among those that have not shown who they are. */
#include "common/base/crowd.h"

#include "common/base/mem.h"
#include "tests/support/runner.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct crowd t;

static struct crowd_source from(const char *text)
{
    struct sockaddr_storage sa = {0};
    if (strchr(text, ':') != NULL) {
        sa.ss_family = AF_INET6;
        ck_assert_int_eq(inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&sa)->sin6_addr), 1);
    } else {
        sa.ss_family = AF_INET;
        ck_assert_int_eq(inet_pton(AF_INET, text, &((struct sockaddr_in *)&sa)->sin_addr), 1);
    }
    return crowd_source_of(&sa, 0);
}

static struct crowd_source user(uid_t uid)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNIX};
    return crowd_source_of(&sa, uid);
}

static void add(struct crowd_member *n, const char *text)
{
    struct crowd_source source = from(text);
    ck_assert_int_eq(crowd_add(&t, &source, n), ERR_OK);
}

static size_t of(const char *text)
{
    struct crowd_source source = from(text);
    return crowd_count_of(&t, &source);
}

static bool same(struct crowd_source a, struct crowd_source b)
{
    return a.value == b.value && a.kind == b.kind;
}

START_TEST(test_what_counts_as_one_source)
{
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"192.0.2.1", "::ffff:192.0.2.2", false},
        {"192.0.2.1", "64:ff9b::192.0.2.1", true},
        {"64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2", false},
        {"64:ff9b:1::192.0.2.1", "64:ff9b:1::192.0.2.2", true}, /* another prefix: one /64 */
        {"2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
        {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
        {"2001:db8:0:1::1", "2001:db8:0:1::", true},
        {"::1", "127.0.0.1", false},
        {"127.0.0.1", "127.0.0.2", false},
        {"::", "0.0.0.0", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(same(from(rows[i].a), from(rows[i].b)) == rows[i].same, "%s %s", rows[i].a,
                      rows[i].b);
    ck_assert(same(user(1000), user(1000)));
    ck_assert(!same(user(1000), user(1001)));
    ck_assert(!same(user(0), from("0.0.0.0")));
    ck_assert(!same(user(0), from("::")));
}
END_TEST

START_TEST(test_the_oldest_of_the_source_with_the_most_goes_first)
{
    struct crowd_member good[2] = {0}, bad[4] = {0};
    ck_assert_ptr_null(crowd_first_to_go(&t));
    add(&good[0], "192.0.2.1");
    for (int i = 0; i < 4; i++)
        add(&bad[i], "198.51.100.9");
    add(&good[1], "192.0.2.2");
    /* down to one of each, then the oldest of all */
    struct crowd_member *order[] = {&bad[0], &bad[1], &bad[2], &good[0], &bad[3], &good[1]};
    for (size_t i = 0; i < 6; i++) {
        ck_assert_ptr_eq(crowd_first_to_go(&t), order[i]);
        crowd_remove(&t, order[i]);
    }
    ck_assert_ptr_null(crowd_first_to_go(&t));
    ck_assert_uint_eq(t.count, 0);
}
END_TEST

START_TEST(test_a_source_has_its_own_oldest_and_its_own_count)
{
    struct crowd_member a[3] = {0}, b = {0};
    struct crowd_source source = from("192.0.2.1"), other = from("192.0.2.9");
    for (int i = 0; i < 3; i++)
        add(&a[i], "192.0.2.1");
    add(&b, "192.0.2.2");
    ck_assert_uint_eq(of("192.0.2.1"), 3);
    ck_assert_uint_eq(of("192.0.2.2"), 1);
    ck_assert_uint_eq(of("192.0.2.3"), 0);
    ck_assert_ptr_eq(crowd_first_of(&t, &source), &a[0]);
    ck_assert_ptr_null(crowd_first_of(&t, &other));
    crowd_remove(&t, &a[1]); /* from the middle */
    crowd_remove(&t, &a[1]); /* in no table any more */
    crowd_remove(&t, &a[0]);
    ck_assert_ptr_eq(crowd_first_of(&t, &source), &a[2]);
    ck_assert_uint_eq(of("192.0.2.1"), 1);
    add(&a[0], "192.0.2.1"); /* comes back as the youngest */
    ck_assert_ptr_eq(crowd_first_of(&t, &source), &a[2]);
    crowd_remove(&t, &a[0]);
    crowd_remove(&t, &a[2]);
    crowd_remove(&t, &b);
}
END_TEST

START_TEST(test_of_one_source_those_that_are_more_make_room)
{
    struct crowd_member a[5] = {0};
    struct crowd_source source = from("192.0.2.1");
    for (int i = 0; i < 5; i++)
        add(&a[i], "192.0.2.1");
    crowd_answered(&t, &a[0]);
    crowd_answered(&t, &a[0]);
    crowd_answered(&t, &a[2]);
    ck_assert_uint_eq(of("192.0.2.1"), 5);
    ck_assert_ptr_eq(crowd_first_of(&t, &source), &a[1]); /* three wait, two were answered */
    crowd_answered(&t, &a[1]);
    ck_assert_ptr_eq(crowd_first_of(&t, &source), &a[0]);
    crowd_remove(&t, &a[0]);
    ck_assert_ptr_eq(crowd_first_of(&t, &source), &a[3]); /* as many: who waits */
    crowd_remove(&t, &a[3]);
    ck_assert_ptr_eq(crowd_first_of(&t, &source), &a[2]);
    crowd_remove(&t, &a[2]);
    ck_assert_ptr_eq(crowd_first_of(&t, &source), &a[4]);
    crowd_remove(&t, &a[4]);
    ck_assert_ptr_eq(crowd_first_of(&t, &source), &a[1]);
    crowd_remove(&t, &a[1]);
    crowd_answered(&t, &a[1]); /* in no table */
    ck_assert_ptr_null(crowd_first_of(&t, &source));
}
END_TEST

/* The rule said anew, slowly. */
#define MANY 120
static struct crowd_member many[MANY];
static unsigned source_of[MANY];

static struct crowd_member *first_of(size_t like)
{
    struct crowd_member *first[2] = {NULL};
    size_t counts[2] = {0};
    for (size_t i = 0; i < MANY; i++) {
        struct crowd_member *n = &many[i];
        if (n->group == NULL || source_of[i] != source_of[like])
            continue;
        counts[n->answered]++;
        if (first[n->answered] == NULL || n->number < first[n->answered]->number)
            first[n->answered] = n;
    }
    return first[counts[1] > counts[0]];
}

static struct crowd_member *slow_first(void)
{
    size_t counts[256] = {0}, most = 0;
    struct crowd_member *first = NULL;
    for (size_t i = 0; i < MANY; i++)
        counts[source_of[i]] += many[i].group != NULL;
    for (size_t i = 0; i < MANY; i++) {
        size_t mine = counts[source_of[i]];
        if (many[i].group == NULL || mine < most)
            continue;
        struct crowd_member *n = first_of(i);
        if (mine > most || n->number < first->number)
            first = n;
        most = mine;
    }
    return first;
}

START_TEST(test_it_agrees_with_the_rule_whatever_comes_and_goes)
{
    unsigned state = 1;
    char text[32];
    for (int step = 0; step < 5000; step++) {
        size_t i = (size_t)rand_r(&state) % MANY;
        if (many[i].group != NULL && step % 2 == 0) {
            crowd_answered(&t, &many[i]);
        } else if (many[i].group != NULL) {
            crowd_remove(&t, &many[i]);
        } else {
            source_of[i] = (unsigned)rand_r(&state) % (step % 3 == 0 ? 200 : 5);
            snprintf(text, sizeof text, "10.0.0.%u", source_of[i]);
            add(&many[i], text);
        }
        ck_assert_ptr_eq(crowd_first_to_go(&t), slow_first());
    }
    for (size_t i = 0; i < MANY; i++)
        crowd_remove(&t, &many[i]);
    ck_assert_uint_eq(t.count, 0);
}
END_TEST

START_TEST(test_what_a_flood_of_sources_took_is_given_back)
{
    static struct crowd_member flood[5000];
    char text[32];
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "10.1.%u.%u", i / 250, i % 250);
        add(&flood[i], text);
    }
    ck_assert_uint_eq(t.groups.count, 5000);
    ck_assert_ptr_eq(crowd_first_to_go(&t), &flood[0]);
    for (size_t i = 0; i < 5000; i++)
        crowd_remove(&t, &flood[i]);
    ck_assert_uint_eq(t.groups.count + t.groups.bucket_count + t.order.room, 0);
}
END_TEST

START_TEST(test_without_memory_nothing_changes)
{
    struct crowd_member a = {0}, b = {0};
    struct crowd_source source = from("192.0.2.1"), other = from("192.0.2.2");
    for (long n = 0;; n++) {
        mem_fail_after(n);
        err_t err = crowd_add(&t, &source, &a);
        bool failed = mem_did_fail() > 0;
        mem_fail_after(-1);
        ck_assert_int_eq(err, failed ? ERR_NO_MEMORY : ERR_OK);
        ck_assert_uint_eq(t.count, failed ? 0 : 1);
        if (!failed)
            break;
        ck_assert_ptr_null(crowd_first_to_go(&t));
        ck_assert_int_lt(n, 10);
    }
    ck_assert_int_eq(crowd_add(&t, &other, &b), ERR_OK);
    crowd_remove(&t, &a);
    crowd_remove(&t, &b);
}
END_TEST

static void setup(void)
{
    crowd_init(&t);
}

static void teardown(void)
{
    crowd_done(&t);
}

int main(void)
{
    Suite *s = suite_create("crowd");
    TCase *c = tcase_create("crowd");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, test_what_counts_as_one_source);
    tcase_add_test(c, test_the_oldest_of_the_source_with_the_most_goes_first);
    tcase_add_test(c, test_a_source_has_its_own_oldest_and_its_own_count);
    tcase_add_test(c, test_of_one_source_those_that_are_more_make_room);
    tcase_add_test(c, test_it_agrees_with_the_rule_whatever_comes_and_goes);
    tcase_add_test(c, test_what_a_flood_of_sources_took_is_given_back);
    tcase_add_test(c, test_without_memory_nothing_changes);
    suite_add_tcase(s, c);
    return run_suite(s);
}

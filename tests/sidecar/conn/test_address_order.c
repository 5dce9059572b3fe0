#include "common/base/mem.h"
#include "sidecar/conn/address_order.h"
#include "tests/support/runner.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static struct ip_list *list_of(const char *words)
{
    char copy[1024], *rest = copy;
    struct ip items[64];
    size_t count = 0;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL; count++) {
        uint8_t bytes[16];
        int family = strchr(word, ':') != NULL ? AF_INET6 : AF_INET;
        ck_assert_int_eq(inet_pton(family, word, bytes), 1);
        items[count] = ip_of(family, bytes);
    }
    return ip_list_new(items, count);
}

static void add(struct address_order *o, const char *words)
{
    struct ip_list *l = list_of(words);
    ck_assert_int_eq(address_order_add(o, l), ERR_OK);
    ip_list_unref(l);
}

/* The next n, or all. */
static void take(struct address_order *o, size_t n, char out[static 1024])
{
    size_t at = 0;
    out[0] = '\0';
    for (const struct ip *a; n > 0 && (a = address_order_next(o)) != NULL; n--) {
        char one[INET6_ADDRSTRLEN];
        inet_ntop(a->family, a->bytes, one, sizeof one);
        at += (size_t)sprintf(out + at, "%s%s", at > 0 ? " " : "", one);
    }
}

static const struct {
    const char *given, *tried;
} orders[] = {
    {"", ""},
    {"10.0.0.3 10.0.0.1 10.0.0.2", "10.0.0.3 10.0.0.1 10.0.0.2"}, /* as they came */
    {"2600::3 2600::1", "2600::3 2600::1"},
    {"10.0.0.1 10.0.0.2 2600::1 2600::2", "2600::1 10.0.0.1 2600::2 10.0.0.2"},
    {"2600::1 2600::2 2600::3 10.0.0.1", "2600::1 10.0.0.1 2600::2 2600::3"},
    {"10.0.0.1 10.0.0.2 10.0.0.3 2600::1", "2600::1 10.0.0.1 10.0.0.2 10.0.0.3"},
    {"127.0.0.1 ::1", "::1 127.0.0.1"},
    {"fd00::1 10.0.0.1", "10.0.0.1 fd00::1"}, /* unique local ones are of the least */
    {"fd00::1 2600::1", "2600::1 fd00::1"},
    {"2002:a00::1 10.0.0.1 2600::1", "2600::1 10.0.0.1 2002:a00::1"},
    {"2001:0:1::1 10.0.0.1", "10.0.0.1 2001:0:1::1"},
    {"2001:db8::1 10.0.0.1", "2001:db8::1 10.0.0.1"}, /* no Teredo */
    {"fe80::1 fc00::1 fdff::1 fe00::1", "fe80::1 fe00::1 fc00::1 fdff::1"},
    {"::ffff:10.0.0.1 10.0.0.2", "::ffff:10.0.0.1 10.0.0.2"},
    {"10.0.0.1 10.0.0.1 10.0.0.1", "10.0.0.1"},
};

START_TEST(test_families_take_turns_and_equals_keep_their_order)
{
    struct address_order o = {.items = NULL};
    char out[1024];
    add(&o, orders[_i].given);
    take(&o, SIZE_MAX, out);
    ck_assert_str_eq(out, orders[_i].tried);
    ck_assert_uint_eq(address_order_left(&o), 0);
    address_order_done(&o);
}
END_TEST

START_TEST(test_addresses_that_come_later_join_those_not_tried)
{
    struct address_order o = {.items = NULL};
    char out[1024];
    add(&o, "10.0.0.1 10.0.0.2 10.0.0.3");
    take(&o, 1, out);
    ck_assert_str_eq(out, "10.0.0.1");
    add(&o, "10.0.0.1 10.0.0.2 10.0.0.3 2600::1 2600::2");
    ck_assert_uint_eq(address_order_left(&o), 4);
    take(&o, SIZE_MAX, out);
    ck_assert_str_eq(out, "2600::1 10.0.0.2 2600::2 10.0.0.3"); /* the other family's turn */
    add(&o, "2600::1 10.0.0.3");
    ck_assert_ptr_null(address_order_next(&o)); /* nothing of it is new */
    address_order_done(&o);
}
END_TEST

static const struct {
    size_t left;
    uint64_t remaining_ms, delay_ms;
} delays[] = {{1, 10000, ATTEMPT_DELAY_MS},
              {39, 10000, 250},
              {40, 10000, 243},
              {60, 10000, 163},
              {255, 10000, 39},
              {255, 100, 10},
              {1, 0, 10},
              {3, 40, 10},
              {3, 44, 11},
              {0, 251, 250},
              {1, UINT64_MAX, 250}};

START_TEST(test_each_address_has_its_turn_within_the_time)
{
    ck_assert_uint_eq(address_order_delay(delays[_i].left, delays[_i].remaining_ms),
                      delays[_i].delay_ms);
}
END_TEST

START_TEST(test_a_failed_allocation_changes_nothing)
{
    struct address_order o = {.items = NULL};
    char out[1024];
    add(&o, "10.0.0.1");
    struct ip_list *more = list_of("10.0.0.2");
    mem_fail_after(0);
    ck_assert_int_eq(address_order_add(&o, more), ERR_NO_MEMORY);
    mem_fail_after(-1);
    ip_list_unref(more);
    take(&o, SIZE_MAX, out);
    ck_assert_str_eq(out, "10.0.0.1");
    address_order_done(&o);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

int main(void)
{
    Suite *s = suite_create("address_order");
    TCase *t = tcase_create("address_order");
    tcase_add_loop_test(t, test_families_take_turns_and_equals_keep_their_order, 0, COUNT(orders));
    tcase_add_test(t, test_addresses_that_come_later_join_those_not_tried);
    tcase_add_loop_test(t, test_each_address_has_its_turn_within_the_time, 0, COUNT(delays));
    tcase_add_test(t, test_a_failed_allocation_changes_nothing);
    suite_add_tcase(s, t);
    return run_suite(s);
}

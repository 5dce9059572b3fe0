/* Selectors: which are well-formed, and sets of them. */
#include "agent/attest/selector.h"
#include "common/base/mem.h"
#include "tests/support/runner.h"

#include <stdio.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
    const char *text;
    bool good;
    const char *says; /* part of the message, for bad ones */
} cases[] = {
    {"unix:uid:0", true, NULL},
    {"unix:uid:1000", true, NULL},
    {"unix:uid:4294967294", true, NULL},
    {"unix:uid:4294967295", false, "0 to 4294967294"},
    {"unix:uid:99999999999999999999", false, "a number"},
    {"unix:uid:01", false, "without leading zeros"},
    {"unix:uid:-1", false, "a number"},
    {"unix:uid:", false, "a number"},
    {"unix:uid: 1", false, "a number"},
    {"unix:uid", false, "known kind"},
    {"unix:gid:7", true, NULL},
    {"unix:gid:x", false, "after \"unix:gid:\""},
    {"unix:user:web", true, NULL},
    {"unix:user:", false, "a name"},
    {"unix:user:a\nb", false, "found \"unix:user:a?b\""},
    {"unix:group:www-data", true, NULL},
    {"unix:supplementary_gid:27", true, NULL},
    {"unix:supplementary_group:sudo", true, NULL},
    {"unix:path:/usr/bin/app", true, NULL},
    {"unix:path:/with:colon and space", true, NULL},
    {"unix:path:bin/app", false, "absolute path"},
    {"unix:sha256:" HEX64, true, NULL},
    {"unix:sha256:" HEX64 "0", false, "64 lower-case"},
    {"unix:sha256:ABCD", false, "64 lower-case"},
    {"", false, "unix:uid, unix:user, unix:gid"},
    {"uid:1000", false, "unix:sha256"},
    {"Unix:uid:1000", false, "known kind"},
    {"unix:pid:1", false, "found \"unix:pid:1\""},
    {"k8s:ns:default", false, "known kind"},
};

START_TEST(test_selectors_are_checked_by_kind)
{
    struct why why = {0};
    err_t err = selector_check(slice_str(cases[_i].text), &why);
    ck_assert_msg((err == ERR_OK) == cases[_i].good, "%s: %s", cases[_i].text, why_text(&why));
    if (!cases[_i].good) {
        ck_assert_int_eq(err, ERR_CONFIG);
        ck_assert_msg(strstr(why_text(&why), cases[_i].says) != NULL, "%s: %s", cases[_i].text,
                      why_text(&why));
    }
}
END_TEST

START_TEST(test_a_selector_too_long_is_refused)
{
    char text[SELECTOR_MAX + 2];
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "unix:path:/", 11);
    text[sizeof text - 1] = '\0';
    struct why why = {0};
    ck_assert_int_eq(selector_check(slice_str(text), &why), ERR_CONFIG);
    text[SELECTOR_MAX] = '\0';
    ck_assert_int_eq(selector_check(slice_str(text), &why), ERR_OK);
}
END_TEST

/* 80 bytes of it are shown, and nothing that could break the line. */
START_TEST(test_a_long_or_odd_selector_is_shown_in_part)
{
    char text[128], want[128];
    struct why why = {0};
    memset(text, 'a', sizeof text);
    text[0] = '\x1f';
    text[1] = '\x7f';
    text[2] = ' ';
    text[80] = '\0';
    snprintf(want, sizeof want, "found \"?? %.77s\"", text + 3);
    ck_assert_int_eq(selector_check(slice_str(text), &why), ERR_CONFIG);
    ck_assert_msg(strstr(why_text(&why), want) != NULL, "%s", why_text(&why));
    text[80] = 'a';
    text[81] = '\0';
    snprintf(want, sizeof want, "found \"?? %.77s...\"", text + 3);
    ck_assert_int_eq(selector_check(slice_str(text), &why), ERR_CONFIG);
    ck_assert_msg(strstr(why_text(&why), want) != NULL, "%s", why_text(&why));
}
END_TEST

START_TEST(test_only_costly_kinds_have_a_bit)
{
    ck_assert_uint_eq(selector_kind_bits(slice_str("unix:uid:1")), 0);
    ck_assert_uint_eq(selector_kind_bits(slice_str("unix:gid:1")), 0);
    ck_assert_uint_eq(selector_kind_bits(slice_str("unix:path:/x")), SELECTOR_KIND_PATH);
    ck_assert_uint_eq(selector_kind_bits(slice_str("unix:sha256:0")), SELECTOR_KIND_SHA256);
    ck_assert_uint_eq(selector_kind_bits(slice_str("unix:user:a")), SELECTOR_KIND_NAMES);
    ck_assert_uint_eq(selector_kind_bits(slice_str("unix:supplementary_group:a")),
                      SELECTOR_KIND_NAMES | SELECTOR_KIND_SUPPLEMENTARY);
}
END_TEST

START_TEST(test_a_set_is_sorted_and_unique)
{
    struct selector_set s;
    selector_set_init(&s);
    static const char *const in[] = {"c", "a", "b", "a", "ab", "c", ""};
    static const char *const want[] = {"", "a", "ab", "b", "c"};
    for (size_t i = 0; i < 7; i++)
        ck_assert_int_eq(selector_set_add(&s, "%s", in[i]), ERR_OK);
    ck_assert_uint_eq(s.count, 5);
    for (size_t i = 0; i < 5; i++)
        ck_assert_str_eq(s.items[i], want[i]);
    ck_assert(selector_set_has(&s, slice_str("ab")));
    ck_assert(!selector_set_has(&s, slice_str("abc")));
    selector_set_done(&s);
    ck_assert_uint_eq(s.count, 0);
}
END_TEST

/* WA-16 */
START_TEST(test_an_entry_matches_by_subset)
{
    struct selector_set caller, entry;
    selector_set_init(&caller);
    selector_set_init(&entry);
    ck_assert(selector_set_contains(&caller, &entry));
    ck_assert_int_eq(selector_set_add(&caller, "unix:uid:%d", 1000), ERR_OK);
    ck_assert_int_eq(selector_set_add(&caller, "unix:gid:%d", 1000), ERR_OK);
    ck_assert_int_eq(selector_set_add(&entry, "unix:uid:1000"), ERR_OK);
    ck_assert(selector_set_contains(&caller, &entry));
    ck_assert(!selector_set_contains(&entry, &caller));
    ck_assert(!selector_set_eq(&entry, &caller));
    ck_assert_int_eq(selector_set_add(&entry, "unix:gid:1001"), ERR_OK);
    ck_assert(!selector_set_contains(&caller, &entry));
    selector_set_done(&entry);
    ck_assert_int_eq(selector_set_add(&entry, "unix:gid:1000"), ERR_OK);
    ck_assert_int_eq(selector_set_add(&entry, "unix:uid:1000"), ERR_OK);
    ck_assert(selector_set_eq(&entry, &caller));
    selector_set_done(&caller);
    selector_set_done(&entry);
}
END_TEST

START_TEST(test_a_set_has_a_cap)
{
    struct selector_set s;
    selector_set_init(&s);
    for (int i = 0; i < SELECTOR_SET_MAX; i++)
        ck_assert_int_eq(selector_set_add(&s, "unix:supplementary_gid:%d", i), ERR_OK);
    ck_assert_int_eq(selector_set_add(&s, "one more"), ERR_LIMIT);
    ck_assert_int_eq(selector_set_add(&s, "unix:supplementary_gid:7"), ERR_OK);
    ck_assert_int_eq(selector_set_add(&s, "%*s", SELECTOR_MAX + 1, "x"), ERR_TOO_LARGE);
    ck_assert_uint_eq(s.count, SELECTOR_SET_MAX);
    selector_set_done(&s);
    ck_assert_int_eq(selector_set_add(&s, "%*s", SELECTOR_MAX, "x"), ERR_OK);
    ck_assert_uint_eq(strlen(s.items[0]), SELECTOR_MAX);
    selector_set_done(&s);
}
END_TEST

START_TEST(test_a_set_survives_failed_allocations)
{
    struct selector_set s;
    selector_set_init(&s);
    for (int i = 0; i < 40; i++) {
        err_t err;
        long n = 0;
        do {
            size_t before = s.count;
            mem_fail_after(n++);
            err = selector_set_add(&s, "unix:uid:%d", i);
            if (err != ERR_OK) {
                ck_assert_int_eq(err, ERR_NO_MEMORY);
                ck_assert_uint_eq(s.count, before);
            }
        } while (err != ERR_OK);
        mem_fail_after(-1);
    }
    ck_assert_uint_eq(s.count, 40);
    selector_set_done(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("selector");
    TCase *t = tcase_create("selector");
    tcase_add_loop_test(t, test_selectors_are_checked_by_kind, 0, sizeof cases / sizeof cases[0]);
    tcase_add_test(t, test_a_selector_too_long_is_refused);
    tcase_add_test(t, test_a_long_or_odd_selector_is_shown_in_part);
    tcase_add_test(t, test_only_costly_kinds_have_a_bit);
    tcase_add_test(t, test_a_set_is_sorted_and_unique);
    tcase_add_test(t, test_an_entry_matches_by_subset);
    tcase_add_test(t, test_a_set_has_a_cap);
    tcase_add_test(t, test_a_set_survives_failed_allocations);
    suite_add_tcase(s, t);
    return run_suite(s);
}

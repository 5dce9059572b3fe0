/* Searches of the record, page by page, against a model: all that is asked for, newest first, and
 * nothing else. */
#include "common/log/log.h"
#include "tests/support/record_case.h"
#include "tests/support/runner.h"

#include <stdio.h>

enum { COUNT = 700, BATCH = 100, STEP_S = 1000, FEW = 7, MANY = 90 /* identities */ };

static struct record_case c;
static uint32_t entries;
static int64_t not_after[COUNT];

static void setup_with(uint32_t identities)
{
    entries = identities;
    record_case_keep_log();
    record_case_setup(&c);
    record_case_must_open(&c);
    for (uint32_t i = 0; i < COUNT; i++) {
        record_case_now = RECORD_CASE_START + i / BATCH * STEP_S;
        not_after[i] = record_case_now + RECORD_CASE_LIFE;
        record_case_must_put(&c, i, 1, entries);
    }
}

static void setup(void)
{
    setup_with(FEW);
}

static void setup_many(void)
{
    setup_with(MANY);
}

static void teardown(void)
{
    record_case_teardown(&c);
    log_capture(NULL, NULL);
}

static uint32_t number_of(const struct record_item *item)
{
    return (uint32_t)item->serial[2] << 8 | item->serial[3];
}

/* --- the model -------------------------------------------------------------------------------- */

static bool is_text(const char *text, const char *pattern)
{
    size_t len = pattern != NULL ? strlen(pattern) : 0;
    if (pattern == NULL)
        return true;
    if (len > 0 && pattern[len - 1] == '*')
        return strncmp(text, pattern, len - 1) == 0;
    return strcmp(text, pattern) == 0;
}

static bool is_wanted(const struct record_search *s, uint32_t i)
{
    struct record_item item = record_case_item(i, entries);
    for (unsigned d = 0; d < s->serial_digits; d++) {
        unsigned shift = d % 2 == 0 ? 4 : 0;
        if ((item.serial[d / 2] >> shift & 15) != (s->serial[d / 2] >> shift & 15))
            return false;
    }
    return is_text(item.spiffe_id, s->spiffe_id) &&
           (s->entry_id == NULL || strcmp(item.entry_id, s->entry_id) == 0) &&
           (s->state != RECORD_VALID || not_after[i] >= s->now) &&
           (s->state != RECORD_EXPIRED || not_after[i] < s->now) &&
           (s->expires_before == 0 || not_after[i] < s->expires_before) &&
           (s->expires_after == 0 || not_after[i] > s->expires_after);
}

struct found {
    uint32_t numbers[COUNT];
    size_t count;
    bool every_other; /* takes each second one alone */
    size_t seen;
};

static bool take(void *arg, const struct record_item *item)
{
    struct found *f = arg;
    struct record_item want = record_case_item(number_of(item), entries);
    ck_assert_str_eq(item->spiffe_id, want.spiffe_id);
    ck_assert_str_eq(item->entry_id, want.entry_id);
    ck_assert_int_eq(item->not_after, not_after[number_of(item)]);
    if (f->every_other && f->seen++ % 2 == 1)
        return false;
    ck_assert_uint_lt(f->count, COUNT);
    f->numbers[f->count++] = number_of(item);
    return true;
}

/* All pages of it. */
static void search(const struct record_search *what, size_t limit, struct found *f)
{
    struct record_search page = *what;
    page.limit = limit;
    for (uint64_t next = 1; next != 0; page.from = next) {
        size_t before = f->count;
        err_t err = record_search(c.record, &page, take, f, &next, &c.why);
        ck_assert_msg(err == ERR_OK, "%s", why_text(&c.why));
        ck_assert_uint_le(f->count - before, limit);
        ck_assert(next == 0 || f->count - before == limit);
    }
}

static void check(const struct record_search *what, size_t min_count)
{
    static const size_t limits[] = {1, 10, COUNT - 1, COUNT, 10 * COUNT};
    uint32_t want[COUNT];
    size_t count = 0;
    for (uint32_t i = COUNT; i-- > 0;)
        if (is_wanted(what, i))
            want[count++] = i;
    ck_assert_uint_ge(count, min_count);
    for (size_t l = 0; l < sizeof limits / sizeof limits[0]; l++) {
        struct found f = {.count = 0};
        search(what, limits[l], &f);
        ck_assert_uint_eq(f.count, count);
        ck_assert_mem_eq(f.numbers, want, count * sizeof want[0]);
    }
    struct found half = {.every_other = true};
    search(what, 10, &half);
    ck_assert_uint_eq(half.count, (count + 1) / 2);
}

/* --- what is asked ---------------------------------------------------------------------------- */

#define END (RECORD_CASE_START + RECORD_CASE_LIFE) /* of the first batch */
static const struct {
    struct record_search what;
    size_t min_count;
} questions[] = {
    {{.limit = 0}, COUNT},
    {{.spiffe_id = "spiffe://example.org/e3"}, 1},
    {{.spiffe_id = "spiffe://example.org/*"}, COUNT},
    {{.spiffe_id = "spiffe://example.org/e3*"}, 1},
    {{.spiffe_id = "*"}, COUNT},
    {{.spiffe_id = "spiffe://example.org/"}, 0},
    {{.spiffe_id = ""}, 0},
    {{.entry_id = "e3"}, 1},
    {{.entry_id = "e*"}, 0}, /* stands for itself */
    {{.spiffe_id = "spiffe://example.org/e3", .entry_id = "e3"}, 1},
    {{.spiffe_id = "spiffe://example.org/e3", .entry_id = "e4"}, 0},
    {{.spiffe_id = "*", .entry_id = "e4"}, 1},
    {{.state = RECORD_VALID, .now = END}, COUNT},
    {{.state = RECORD_VALID, .now = END + 1}, COUNT - BATCH},
    {{.state = RECORD_EXPIRED, .now = END}, 0},
    {{.state = RECORD_EXPIRED, .now = END + 1}, BATCH},
    {{.state = RECORD_ANY, .now = END + 1}, COUNT},
    {{.expires_before = END + STEP_S}, BATCH},
    {{.expires_before = END + STEP_S + 1}, BATCH},
    {{.expires_after = END + STEP_S}, COUNT - 2 * BATCH},
    {{.expires_after = END + STEP_S - 1}, COUNT - BATCH},
    {{.expires_after = END, .expires_before = END + 2 * STEP_S}, BATCH},
    {{.spiffe_id = "spiffe://example.org/e3", .state = RECORD_EXPIRED, .now = END + 1}, 1},
};
enum { QUESTIONS = sizeof questions / sizeof questions[0] };

START_TEST(test_a_search_finds_what_is_asked_for_newest_first)
{
    check(&questions[_i].what, questions[_i].min_count);
    record_case_reopen(&c);
    check(&questions[_i].what, questions[_i].min_count);
}
END_TEST

/* Of certificate 291, whose serial begins 00000123 4141; and of others that differ in one digit. */
START_TEST(test_a_serial_may_be_asked_for_by_its_first_digits)
{
    struct record_search s = {.serial_digits = (unsigned)_i};
    struct record_item item = record_case_item(0x123, entries);
    memcpy(s.serial, item.serial, sizeof s.serial);
    if (_i % 2 == 1) /* what is behind the digits does not count */
        s.serial[_i / 2] ^= 0x0f;
    for (int i = (_i + 1) / 2; i < RECORD_SERIAL_LEN; i++)
        s.serial[i] ^= 0xff;
    check(&s, 1);
    if (_i == 0)
        return;
    s.serial[(_i - 1) / 2] ^= _i % 2 == 1 ? 0x10 : 0x01;
    check(&s, 0);
}
END_TEST

START_TEST(test_a_serial_of_zeros_is_found_by_its_digits)
{
    struct record_search s = {.serial_digits = 8}; /* certificate 0, then 0x41… */
    check(&s, 1);
    s.serial[3] = 1;
    check(&s, 1);
}
END_TEST

START_TEST(test_a_page_that_there_cannot_be_is_refused)
{
    uint64_t next = 0;
    struct found f = {.count = 0};
    struct record_search s = {.limit = 10, .from = UINT64_C(1) << 40};
    ck_assert_int_eq(record_search(c.record, &s, take, &f, &next, &c.why), ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "no such page"));
    s.from = 1; /* before the first: nothing is left */
    ck_assert_int_eq(record_search(c.record, &s, take, &f, &next, &c.why), ERR_OK);
    ck_assert_uint_eq(next, 0);
    ck_assert_uint_eq(f.count, 0);
}
END_TEST

/* What expired long ago goes between two pages: the rest is told to its end. */
START_TEST(test_pages_go_on_while_segments_go)
{
    struct found f = {.count = 0};
    uint64_t next = 0;
    struct record_search s = {.limit = 10, .spiffe_id = _i == 0 ? NULL : "*"};
    ck_assert_int_eq(record_search(c.record, &s, take, &f, &next, &c.why), ERR_OK);
    record_case_now = not_after[COUNT - 1] + c.opt.keep_s + 1;
    record_case_reopen(&c);
    while (record_case_length(&c, 1) >= 0)
        uv_run(&c.loop, UV_RUN_ONCE);
    s.from = next;
    s.limit = COUNT;
    ck_assert_int_eq(record_search(c.record, &s, take, &f, &next, &c.why), ERR_OK);
    ck_assert_uint_gt(f.count, 10);
    for (size_t i = 0; i < f.count; i++)
        ck_assert_uint_eq(f.numbers[i], COUNT - 1 - i);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("record_search");
    TCase *t = tcase_create("few");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_a_search_finds_what_is_asked_for_newest_first, 0, QUESTIONS);
    tcase_add_loop_test(t, test_a_serial_may_be_asked_for_by_its_first_digits, 0, 33);
    tcase_add_test(t, test_a_serial_of_zeros_is_found_by_its_digits);
    tcase_add_test(t, test_a_page_that_there_cannot_be_is_refused);
    tcase_add_loop_test(t, test_pages_go_on_while_segments_go, 0, 2);
    suite_add_tcase(s, t);
    TCase *many = tcase_create("many"); /* more identities than are walked one by one */
    tcase_add_checked_fixture(many, setup_many, teardown);
    tcase_add_loop_test(many, test_a_search_finds_what_is_asked_for_newest_first, 0, QUESTIONS);
    suite_add_tcase(s, many);
    return run_suite(s);
}

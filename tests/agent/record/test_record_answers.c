/* The record over a store that answers later, as one over the network would: it asks one question
 * at a time, goes by the answer, and is not freed before it came. */
#include "agent/record/record.h"
#include "common/log/log.h"
#include "tests/support/runner.h"

#include <string.h>

enum { ROOM = 3 };

static uv_loop_t loop;
static struct record *record;
static unsigned recorded, probes, room;
static store_done *asking; /* who asked last, until it is answered */
static void *asking_arg;
static char lines[4096];

static void on_record(struct store *s, const struct record_item *item, store_done *done, void *arg)
{
    struct why why = {0};
    ck_assert_str_eq(item->entry_id, "e");
    err_t err = recorded < room ? ERR_OK : why_set(&why, ERR_RECORD, "no room");
    recorded += err == ERR_OK;
    s->records = recorded;
    done(arg, err, &why);
}

static void on_probe(struct store *s, store_done *done, void *arg)
{
    (void)s;
    ck_assert_ptr_null(asking);
    probes++;
    asking = done;
    asking_arg = arg;
}

static err_t on_load_record(struct store *s, struct why *why)
{
    (void)s, (void)why;
    return ERR_OK;
}

static const struct store_kind kind = {
    .load_record = on_load_record, .record = on_record, .probe = on_probe};
static struct store store = {.kind = &kind};

static void answer(err_t err)
{
    store_done *done = asking;
    struct why why = {.err = err};
    asking = NULL;
    done(asking_arg, err, &why);
}

static void keep_line(void *arg, const char *line)
{
    (void)arg;
    strncat(lines, line, sizeof lines - strlen(lines) - 1);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void setup(void)
{
    struct record_options opt = {.store = &store, .on_failure = RECORD_CONTINUE};
    struct why why = {0};
    recorded = probes = 0;
    room = ROOM;
    asking = NULL;
    lines[0] = '\0';
    log_capture(keep_line, NULL);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(record_open(&loop, &opt, &record, &why), ERR_OK);
}

static void teardown(void)
{
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    log_capture(NULL, NULL);
}

/* Issues until `count` wait, and lets the record ask whether they could be recorded. */
static void fail_and_ask(unsigned count)
{
    struct record_item item = {.spiffe_id = "spiffe://example.org/e", .entry_id = "e"};
    for (unsigned i = 0; i < ROOM + count; i++)
        ck_assert_int_eq(record_issued(record, &item, NULL), ERR_OK);
    ck_assert_ptr_nonnull(record_problem(record));
    while (asking == NULL)
        uv_run(&loop, UV_RUN_ONCE);
}

static bool close_record(void)
{
    static bool closed;
    closed = false;
    record_close(record, on_closed, &closed);
    while (uv_run(&loop, UV_RUN_ONCE) != 0)
        ;
    bool was_closed = closed;
    if (asking != NULL)
        answer(ERR_OK);
    ck_assert(closed);
    return was_closed;
}

START_TEST(test_what_waits_is_recorded_when_the_store_says_that_it_could_be)
{
    fail_and_ask(2);
    uv_run(&loop, UV_RUN_ONCE); /* a second later: it is not asked twice */
    ck_assert_uint_eq(probes, 1);
    answer(ERR_RECORD);
    ck_assert_ptr_nonnull(record_problem(record));
    ck_assert_ptr_null(strstr(lines, "record_recovered"));
    while (asking == NULL)
        uv_run(&loop, UV_RUN_ONCE);
    room = 100;
    answer(ERR_OK);
    ck_assert_uint_eq(recorded, ROOM + 2);
    ck_assert_ptr_null(record_problem(record));
    ck_assert_ptr_nonnull(strstr(lines, "record_recovered"));
    ck_assert(close_record());
    ck_assert_ptr_null(strstr(lines, "record_lost"));
}
END_TEST

START_TEST(test_the_record_is_not_freed_before_the_answer_came)
{
    fail_and_ask(1);
    room = 100;
    ck_assert(!close_record());
    ck_assert_uint_eq(recorded, ROOM + 1); /* by the close */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("record_answers");
    TCase *t = tcase_create("answers");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_what_waits_is_recorded_when_the_store_says_that_it_could_be);
    tcase_add_test(t, test_the_record_is_not_freed_before_the_answer_came);
    suite_add_tcase(s, t);
    return run_suite(s);
}

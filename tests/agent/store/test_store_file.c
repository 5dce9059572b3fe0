/* The store in files gives entries at start and, off the loop, whenever it is asked again; what it
 * cannot keep it tells with a reason. */
#include "agent/store/store_file.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#include <string.h>

static uv_loop_t loop;
static struct temp_dir dir;
static char path[TEMP_PATH_MAX];
static struct store *store;
static struct buf report;
static struct entry_set *set;
static struct why why;
static unsigned answers;
static err_t answered;

static void put_entries(const char *path_of_id)
{
    char text[256];
    int len =
        snprintf(text, sizeof text,
                 "entries: [{id: e, spiffe_id: '%s', selectors: ['unix:uid:1']}]\n", path_of_id);
    temp_put(&dir, "entries.yaml", slice_of(text, (size_t)len), 0600);
}

static void on_answer(void *arg, err_t err, const struct why *cause)
{
    (void)arg;
    answers++;
    answered = err;
    why = *cause;
}

/* With `entries` NULL: none are configured. Nothing of the record is loaded. */
static void open_store(const char *entries)
{
    struct store_file_options opt = {
        .entries = entries, .trust_domain = "example.org", .data_dir = dir.path};
    ck_assert_int_eq(store_file_open(&loop, &opt, &store, &why), ERR_OK);
}

static void setup(void)
{
    temp_dir_make(&dir);
    temp_path(&dir, "entries.yaml", path);
    put_entries("spiffe://example.org/a");
    buf_init(&report, 1024);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    set = NULL;
    answers = 0;
}

static void teardown(void)
{
    store->kind->close(store, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    entries_free(set);
    buf_done(&report);
    temp_dir_remove(&dir);
}

static void ask(void)
{
    entries_free(set);
    set = NULL;
    store->kind->entries(store, &report, &set, on_answer, NULL);
    ck_assert_uint_eq(answers, 0);
    while (answers == 0)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_uint_eq(answers, 1);
    answers = 0;
}

START_TEST(test_entries_are_those_of_the_file_whenever_asked)
{
    open_store(path);
    ck_assert_str_eq(store->entries_path, path);
    ck_assert_int_eq(store->kind->load_entries(store, &report, &set, &why), ERR_OK);
    ck_assert_str_eq(set->items[0].spiffe_id, "spiffe://example.org/a");
    put_entries("spiffe://example.org/b");
    ask();
    ck_assert_int_eq(answered, ERR_OK);
    ck_assert_str_eq(set->items[0].spiffe_id, "spiffe://example.org/b");
    put_entries("b");
    ask();
    ck_assert_int_eq(answered, ERR_CONFIG);
    ck_assert_ptr_null(set);
    ck_assert_ptr_nonnull(memmem(report.data, report.len, "entries[0].spiffe_id", 20));
    ck_assert_ptr_nonnull(strstr(why_text(&why), "1 problem in the entries of "));
    put_entries("spiffe://example.org/c");
    ask();
    ck_assert_int_eq(answered, ERR_OK);
    ck_assert_str_eq(set->items[0].spiffe_id, "spiffe://example.org/c");
}
END_TEST

START_TEST(test_without_a_file_there_are_no_entries)
{
    open_store(NULL);
    ck_assert_ptr_null(store->entries_path);
    ask();
    ck_assert_int_eq(answered, ERR_OK);
    ck_assert_uint_eq(set->count, 0);
    ck_assert_uint_eq(report.len, 0);
}
END_TEST

static err_t write_nothing(void *arg, struct buf *out)
{
    (void)arg, (void)out;
    return ERR_TOO_LARGE;
}

static err_t on_row(void *arg, const struct revocation_change *change)
{
    (void)arg, (void)change;
    return ERR_OK;
}

START_TEST(test_revocations_that_cannot_be_written_anew_say_why)
{
    open_store(NULL);
    ck_assert_int_eq(store->kind->load_revocations(store, on_row, NULL, &why), ERR_OK);
    store->kind->rewrite(store, write_nothing, on_answer, NULL);
    while (answers == 0)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_int_eq(answered, ERR_TOO_LARGE);
    ck_assert_str_eq(why_text(&why), err_text(ERR_TOO_LARGE));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store_file");
    TCase *t = tcase_create("entries");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_entries_are_those_of_the_file_whenever_asked);
    tcase_add_test(t, test_without_a_file_there_are_no_entries);
    tcase_add_test(t, test_revocations_that_cannot_be_written_anew_say_why);
    suite_add_tcase(s, t);
    return run_suite(s);
}

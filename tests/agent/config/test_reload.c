/* Configuration and entries change together or not at all, over a store that answers later, as one
 * over the network would. */
#include "agent/config/reload.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#include <string.h>

#define CONFIG "trust_domain: example.org\n"
#define ENTRY "entries: [{spiffe_id: spiffe://example.org/a, selectors: ['unix:uid:1']}]\n"

static uv_loop_t loop;
static struct temp_dir dir;
static char config_path[TEMP_PATH_MAX], entries_path[TEMP_PATH_MAX];
static struct reload *reload;
static struct agent_config *first, *loaded; /* loaded: of the last on_loaded */
static struct entry_set *entries;           /* of the same */
static unsigned asks, loads, failures;
static char failure[1024], warnings[1024];
/* What is asked, until it is answered. */
static store_done *asking;
static void *asking_arg;
static struct buf *asked_report;
static struct entry_set **asked_ret;

static void on_entries(struct store *s, struct buf *report, struct entry_set **ret,
                       store_done *done, void *arg)
{
    (void)s;
    ck_assert_ptr_null(asking);
    asks++;
    asked_report = report;
    asked_ret = ret;
    asking = done;
    asking_arg = arg;
}

static const struct store_kind kind = {.entries = on_entries};
static struct store store = {.kind = &kind, .entries_path = entries_path};

/* `text`: of the entries. */
static void answer(const char *text)
{
    struct why why = {0};
    store_done *done = asking;
    err_t err =
        entries_parse("here", slice_str(text), "example.org", asked_report, asked_ret, &why);
    asking = NULL;
    done(asking_arg, err, &why);
}

static void forget(void)
{
    if (loaded != NULL)
        agent_config_free(loaded);
    entries_free(entries);
    loaded = NULL;
    entries = NULL;
}

static void on_loaded(void *arg, struct agent_config *config, struct entry_set *set,
                      struct slice report)
{
    (void)arg;
    loads++;
    snprintf(warnings, sizeof warnings, "%.*s", SLICE_ARG(report));
    forget();
    loaded = config;
    entries = set;
}

static void on_failed(void *arg, struct slice report)
{
    (void)arg;
    failures++;
    snprintf(failure, sizeof failure, "%.*s", SLICE_ARG(report));
}

static void put(const char *name, const char *text)
{
    temp_put(&dir, name, slice_str(text), 0600);
}

static void setup(void)
{
    struct buf report;
    struct why why = {0};
    temp_dir_make(&dir);
    temp_path(&dir, "agent.yaml", config_path);
    temp_path(&dir, "entries.yaml", entries_path);
    put("agent.yaml", CONFIG);
    put("entries.yaml", ENTRY);
    buf_init(&report, 1024);
    ck_assert_int_eq(agent_config_load(config_path, NULL, &report, &first, &why), ERR_OK);
    buf_done(&report);
    asking = NULL;
    asks = loads = failures = 0;
    struct reload_options opt = {.store = &store,
                                 .config_path = config_path,
                                 .config = first,
                                 .on_loaded = on_loaded,
                                 .on_failed = on_failed};
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(reload_open(&loop, &opt, &reload, &why), ERR_OK);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static bool close_reload(void)
{
    static bool closed;
    closed = false;
    reload_close(reload, on_closed, &closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    bool was_closed = closed;
    if (asking != NULL)
        answer(ENTRY);
    ck_assert(closed);
    reload = NULL;
    return was_closed;
}

static void teardown(void)
{
    if (reload != NULL)
        ck_assert(close_reload());
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    forget();
    agent_config_free(first);
    temp_dir_remove(&dir);
}

static void run_until(const unsigned *count, unsigned wanted)
{
    while (*count < wanted)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_uint_eq(*count, wanted);
}

START_TEST(test_nothing_is_handed_over_before_the_answer)
{
    put("agent.yaml", CONFIG "svid: {x509_ttl: 2h}\n");
    put("entries.yaml", ENTRY); /* with the other: one reload of both */
    run_until(&asks, 1);
    for (int i = 0; i < 10; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(loads + failures, 0);
    answer(ENTRY);
    ck_assert_uint_eq(loads, 1);
    ck_assert_int_eq(loaded->x509_ttl_s, 7200);
    ck_assert_uint_eq(entries->count, 1);
}
END_TEST

/* Those of one reading alone. */
START_TEST(test_what_is_handed_over_comes_with_its_warnings)
{
    for (unsigned i = 1; i <= 2; i++) {
        reload_now(reload);
        run_until(&asks, i);
        answer(ENTRY);
        ck_assert_uint_eq(loads, i);
        const char *line = strstr(warnings, "entries: warning: is not set");
        ck_assert_msg(line != NULL && strchr(line, '\n')[1] == '\0', "%s", warnings);
    }
}
END_TEST

START_TEST(test_an_error_keeps_what_is_in_use_and_says_why)
{
    reload_now(reload);
    run_until(&asks, 1);
    answer("entries: [{spiffe_id: 7}]\n");
    ck_assert_uint_eq(loads, 0);
    ck_assert_uint_eq(failures, 1);
    ck_assert_ptr_nonnull(strstr(failure, "here:1: entries[0]"));
    ck_assert_ptr_nonnull(strstr(failure, "in the entries of here\n"));
    reload_now(reload);
    run_until(&asks, 2);
    answer(ENTRY);
    ck_assert_uint_eq(loads, 1);
    ck_assert_uint_eq(failures, 1);
}
END_TEST

START_TEST(test_nobody_is_asked_when_the_configuration_is_wrong)
{
    put("agent.yaml", "trust_domain: example.com\n");
    run_until(&failures, 1);
    ck_assert_uint_eq(asks + loads, 0);
    ck_assert_ptr_nonnull(strstr(failure, "trust_domain"));
}
END_TEST

/* A second configuration waits, so that none is handed over with entries that were read for it. */
START_TEST(test_what_comes_up_meanwhile_is_asked_behind_the_answer)
{
    reload_now(reload);
    run_until(&asks, 1);
    put("agent.yaml", CONFIG "svid: {x509_ttl: 2h}\n");
    reload_now(reload);
    reload_now(reload);
    for (int i = 0; i < 10; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    answer("entries: []\n");
    ck_assert_uint_eq(loads, 1);
    ck_assert_int_eq(loaded->x509_ttl_s, first->x509_ttl_s);
    ck_assert_uint_eq(entries->count, 0);
    run_until(&asks, 2);
    answer(ENTRY);
    ck_assert_uint_eq(loads, 2);
    ck_assert_int_eq(loaded->x509_ttl_s, 7200);
    ck_assert_uint_eq(entries->count, 1);
}
END_TEST

START_TEST(test_a_close_waits_for_the_answer_and_hands_nothing_over)
{
    reload_now(reload);
    run_until(&asks, 1);
    ck_assert(!close_reload());
    ck_assert_uint_eq(loads + failures, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("reload");
    TCase *t = tcase_create("answers");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_nothing_is_handed_over_before_the_answer);
    tcase_add_test(t, test_what_is_handed_over_comes_with_its_warnings);
    tcase_add_test(t, test_an_error_keeps_what_is_in_use_and_says_why);
    tcase_add_test(t, test_nobody_is_asked_when_the_configuration_is_wrong);
    tcase_add_test(t, test_what_comes_up_meanwhile_is_asked_behind_the_answer);
    tcase_add_test(t, test_a_close_waits_for_the_answer_and_hands_nothing_over);
    suite_add_tcase(s, t);
    return run_suite(s);
}

/* The sidecar's identity as it comes and goes: files swapped under it, agents that rotate, die,
 * deny. AG-26, AG-27, EP-8, WA-4 */
#include "common/base/clock.h"
#include "common/log/log.h"
#include "sidecar/identity/identity_source.h"
#include "tests/support/fake_agent.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"
#include "tests/support/workload_answer.h"

#include <stdio.h>

#define WEB "spiffe://example.org/web"
#define DB "spiffe://example.org/db"

struct seen {
    struct identity *id; /* shared */
    unsigned changes, problems, closed, links;
    err_t gone_for; /* why the last change was to NULL */
    char text[512]; /* of the last problem or loss */
};

static uv_loop_t loop;
static struct temp_dir dir;
static struct fake_agent agent;
static struct h2_script script;
static struct cert *root, *web, *fresh, *db, *brief, *past;
static struct buf body;
static char certificate[TEMP_PATH_MAX], key[TEMP_PATH_MAX], bundle[TEMP_PATH_MAX],
    endpoint[TEMP_PATH_MAX];
static char log_text[8192];

static const struct h2_script *choose(void *arg, const char *path)
{
    (void)arg, (void)path;
    return &script;
}

static void keep_log(void *arg, const char *line)
{
    (void)arg;
    size_t used = strlen(log_text);
    snprintf(log_text + used, sizeof log_text - used, "%s\n", line);
}

static struct cert *leaf_of(const char *uri, int64_t ttl)
{
    int64_t now = clock_wall_s();
    return cert_make(
        &(struct cert_knobs){.uri = uri, .not_before = now - 100, .not_after = now + ttl}, root);
}

static void setup(void)
{
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    log_text[0] = '\0';
    log_capture(keep_log, NULL);
    temp_dir_make(&dir);
    fake_agent_init(&agent, &loop, choose, NULL);
    int64_t now = clock_wall_s();
    root = cert_make(
        &(struct cert_knobs){
            .ca = true, .cn = "root", .not_before = now - 3600, .not_after = now + 3600},
        NULL);
    web = leaf_of(WEB, 600);
    fresh = leaf_of(WEB, 900);
    db = leaf_of(DB, 600);
    brief = leaf_of(WEB, 1);
    past = leaf_of(WEB, -1);
    buf_init(&body, 1u << 20);
    temp_path(&dir, "tls.crt", certificate);
    temp_path(&dir, "tls.key", key);
    temp_path(&dir, "ca.crt", bundle);
    snprintf(endpoint, sizeof endpoint, "unix://%s", agent.path);
}

static void teardown(void)
{
    fake_agent_stop(&agent);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    fake_agent_done(&agent);
    temp_dir_remove(&dir);
    buf_done(&body);
    struct cert *all[] = {past, brief, db, fresh, web, root};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        cert_free(all[i]);
    log_capture(NULL, NULL);
}

static void on_change(void *arg, struct identity *id, const struct why *why)
{
    struct seen *seen = arg;
    identity_unref(seen->id);
    seen->id = id != NULL ? identity_ref(id) : NULL;
    seen->changes++;
    if (id == NULL) {
        seen->gone_for = why->err;
        snprintf(seen->text, sizeof seen->text, "%s", why_text(why));
    }
}

static void on_problem(void *arg, const struct why *why)
{
    struct seen *seen = arg;
    seen->problems++;
    snprintf(seen->text, sizeof seen->text, "%s", why_text(why));
}

static void on_connected(void *arg, bool connected)
{
    struct seen *seen = arg;
    seen->links++;
    ck_assert_int_eq(connected, seen->links % 2);
}

static void on_closed(void *arg)
{
    struct seen *seen = arg;
    seen->closed++;
}

static struct identity_source *start(struct seen *seen, struct identity_source_options opt)
{
    struct identity_source *source = NULL;
    opt.on_change = on_change;
    opt.on_problem = on_problem;
    opt.on_connected = on_connected;
    opt.arg = seen;
    ck_assert_int_eq(identity_source_open(&loop, &opt, &source, NULL), ERR_OK);
    return source;
}

static void run_until(const unsigned *counter, unsigned want)
{
    while (*counter < want) {
        int alive = uv_run(&loop, UV_RUN_ONCE);
        ck_assert(alive != 0 || *counter >= want);
    }
}

static void finish(struct seen *seen, struct identity_source *source)
{
    identity_source_close(source, on_closed, seen);
    run_until(&seen->closed, 1);
    identity_unref(seen->id);
}

static void expect_leaf(const struct seen *seen, const struct cert *leaf)
{
    ck_assert_ptr_nonnull(seen->id);
    ck_assert(slice_eq(identity_leaf(seen->id)->serial, leaf->x509.serial));
}

/* ---- files ---- */

static void put_certificate(const char *name, const struct cert *c)
{
    struct buf pem;
    buf_init(&pem, 1u << 20);
    cert_pem(c, &pem);
    temp_put(&dir, name, buf_slice(&pem), 0644);
    buf_done(&pem);
}

static void put_key(const char *name, const struct cert *c)
{
    struct buf pem;
    buf_init(&pem, 1u << 20);
    cert_key_pem(c, &pem);
    temp_put(&dir, name, buf_slice(&pem), 0600);
    buf_done(&pem);
}

static struct identity_source_options from_files(void)
{
    return (struct identity_source_options){
        .certificate = certificate, .key = key, .bundle = bundle};
}

START_TEST(test_files_renamed_over_become_the_new_identity)
{
    struct seen seen = {0};
    put_certificate("tls.crt", web);
    put_key("tls.key", web);
    put_certificate("ca.crt", root);
    struct identity_source *source = start(&seen, from_files());
    ck_assert_uint_eq(seen.changes, 0); /* never from within open */
    run_until(&seen.changes, 1);
    expect_leaf(&seen, web);
    put_key("tls.key", fresh);
    put_certificate("tls.crt", fresh);
    run_until(&seen.changes, 2);
    expect_leaf(&seen, fresh);
    finish(&seen, source);
}
END_TEST

START_TEST(test_files_that_come_later_are_found)
{
    struct seen seen = {0};
    struct identity_source *source = start(&seen, from_files());
    run_until(&seen.problems, 1);
    ck_assert_ptr_nonnull(strstr(seen.text, "tls.crt"));
    put_key("tls.key", web);
    put_certificate("ca.crt", root);
    put_certificate("tls.crt", web);
    run_until(&seen.changes, 1);
    expect_leaf(&seen, web);
    finish(&seen, source);
}
END_TEST

START_TEST(test_a_set_that_does_not_fit_together_leaves_the_last_good_one)
{
    struct seen seen = {0};
    put_certificate("tls.crt", web);
    put_key("tls.key", web);
    put_certificate("ca.crt", root);
    struct identity_source *source = start(&seen, from_files());
    run_until(&seen.changes, 1);
    put_certificate("tls.crt", fresh);
    run_until(&seen.problems, 1);
    ck_assert_uint_eq(seen.changes, 1);
    expect_leaf(&seen, web);
    ck_assert_msg(strstr(log_text, "keeping the certificate that expires at") != NULL, "%s",
                  log_text);
    put_key("tls.key", fresh);
    run_until(&seen.changes, 2);
    expect_leaf(&seen, fresh);
    finish(&seen, source);
}
END_TEST

START_TEST(test_the_link_swap_of_kubernetes_is_one_change)
{
    struct seen seen = {0};
    temp_folder(&dir, "..one");
    temp_folder(&dir, "..two");
    put_certificate("..one/tls.crt", web);
    put_key("..one/tls.key", web);
    put_certificate("..one/ca.crt", root);
    put_certificate("..two/tls.crt", fresh);
    put_key("..two/tls.key", fresh);
    put_certificate("..two/ca.crt", root);
    temp_link(&dir, "..data", "..one");
    temp_link(&dir, "tls.crt", "..data/tls.crt");
    temp_link(&dir, "tls.key", "..data/tls.key");
    temp_link(&dir, "ca.crt", "..data/ca.crt");
    struct identity_source *source = start(&seen, from_files());
    run_until(&seen.changes, 1);
    expect_leaf(&seen, web);
    temp_link(&dir, "..data", "..two");
    run_until(&seen.changes, 2);
    expect_leaf(&seen, fresh);
    ck_assert_uint_eq(seen.problems, 0);
    finish(&seen, source);
}
END_TEST

START_TEST(test_the_identity_goes_when_its_certificate_runs_out)
{
    struct seen seen = {0};
    put_certificate("tls.crt", brief);
    put_key("tls.key", brief);
    put_certificate("ca.crt", root);
    struct identity_source *source = start(&seen, from_files());
    run_until(&seen.changes, 2);
    ck_assert_ptr_null(seen.id);
    ck_assert_int_eq(seen.gone_for, ERR_CERT_EXPIRED);
    finish(&seen, source);
}
END_TEST

/* Written by something that lags behind, or restored from a backup. */
START_TEST(test_an_expired_certificate_in_the_files_does_not_replace_a_valid_one)
{
    struct seen seen = {0};
    put_certificate("tls.crt", web);
    put_key("tls.key", web);
    put_certificate("ca.crt", root);
    struct identity_source *source = start(&seen, from_files());
    run_until(&seen.changes, 1);
    put_key("tls.key", past);
    put_certificate("tls.crt", past);
    run_until(&seen.problems, 1); /* or two, when it is looked at between both */
    while (strstr(seen.text, "valid until") == NULL)
        run_until(&seen.problems, seen.problems + 1);
    ck_assert_uint_eq(seen.changes, 1);
    expect_leaf(&seen, web);
    finish(&seen, source);
}
END_TEST

/* ---- Workload API ---- */

static void put_answer(struct buf *out, const struct cert *first, const struct cert *second)
{
    struct answer a = {.svids = {answer_svid_of(WEB, first, root)}};
    if (second != NULL) {
        a.svids[1] = answer_svid_of(DB, second, root);
        a.svids[1].hint = "database";
    }
    answer_put_svids(&a, out);
}

static void agent_answers(const struct cert *first, const struct cert *second)
{
    struct buf message;
    buf_init(&message, 1u << 20);
    put_answer(&message, first, second);
    buf_clear(&body);
    h2_put_message(&body, buf_slice(&message));
    buf_done(&message);
    script = (struct h2_script){.ending = H2_HOLD, .body = buf_slice(&body)};
}

static void agent_pushes(const struct cert *first, const struct cert *second)
{
    struct buf message;
    buf_init(&message, 1u << 20);
    put_answer(&message, first, second);
    fake_agent_push(&agent, buf_slice(&message));
    buf_done(&message);
}

static struct identity_source_options from_agent(void)
{
    return (struct identity_source_options){.workload_api = endpoint};
}

/* AG-26 */
START_TEST(test_a_rotation_is_one_change_on_one_stream)
{
    struct seen seen = {0};
    agent_answers(web, NULL);
    fake_agent_start(&agent);
    struct identity_source *source = start(&seen, from_agent());
    run_until(&seen.changes, 1);
    expect_leaf(&seen, web);
    agent_pushes(web, NULL); /* the same again is no change */
    agent_pushes(fresh, NULL);
    run_until(&seen.changes, 2);
    expect_leaf(&seen, fresh);
    ck_assert_uint_eq(agent.calls, 1);
    finish(&seen, source);
}
END_TEST

/* AG-26 */
START_TEST(test_an_expired_certificate_from_the_agent_does_not_replace_a_valid_one)
{
    struct seen seen = {0};
    agent_answers(web, NULL);
    fake_agent_start(&agent);
    struct identity_source *source = start(&seen, from_agent());
    run_until(&seen.changes, 1);
    agent_pushes(past, NULL);
    run_until(&seen.problems, 1);
    ck_assert_ptr_nonnull(strstr(seen.text, "ran out at"));
    ck_assert_uint_eq(seen.changes, 1);
    expect_leaf(&seen, web);
    agent_pushes(fresh, NULL);
    run_until(&seen.changes, 2);
    expect_leaf(&seen, fresh);
    finish(&seen, source);
}
END_TEST

/* AG-26 */
START_TEST(test_a_killed_agent_leaves_the_last_good_identity)
{
    struct seen seen = {0};
    agent_answers(web, NULL);
    fake_agent_start(&agent);
    struct identity_source *source = start(&seen, from_agent());
    run_until(&seen.changes, 1);
    fake_agent_stop(&agent);
    run_until(&seen.problems, 1);
    expect_leaf(&seen, web);
    ck_assert_uint_eq(seen.changes, 1);
    agent_answers(fresh, NULL);
    fake_agent_start(&agent);
    run_until(&seen.changes, 2);
    expect_leaf(&seen, fresh);
    finish(&seen, source);
}
END_TEST

/* AG-26 */
START_TEST(test_permission_denied_drops_the_identity_until_it_is_granted_again)
{
    struct seen seen = {0};
    agent_answers(web, NULL);
    fake_agent_start(&agent);
    struct identity_source *source = start(&seen, from_agent());
    run_until(&seen.changes, 1);
    fake_agent_finish(&agent, "7", "no identity issued");
    run_until(&seen.changes, 2);
    ck_assert_ptr_null(seen.id);
    ck_assert_int_eq(seen.gone_for, ERR_NO_ENTRY);
    ck_assert_uint_eq(seen.problems, 0); /* told once */
    run_until(&seen.changes, 3);         /* the agent relents at the next try */
    expect_leaf(&seen, web);
    finish(&seen, source);
}
END_TEST

START_TEST(test_an_agent_that_is_away_expires_the_identity)
{
    struct seen seen = {0};
    agent_answers(brief, NULL);
    fake_agent_start(&agent);
    struct identity_source *source = start(&seen, from_agent());
    run_until(&seen.changes, 1);
    fake_agent_stop(&agent);
    run_until(&seen.changes, 2);
    ck_assert_ptr_null(seen.id);
    ck_assert_int_eq(seen.gone_for, ERR_CERT_EXPIRED);
    finish(&seen, source);
}
END_TEST

/* AG-27 */
START_TEST(test_the_identity_is_picked_by_hint_or_id_else_the_first)
{
    static const struct {
        const char *hint, *spiffe_id, *want;
    } picks[] = {{NULL, NULL, WEB}, {"database", NULL, DB}, {NULL, DB, DB}, {NULL, WEB, WEB}};
    agent_answers(web, db);
    fake_agent_start(&agent);
    for (size_t i = 0; i < sizeof picks / sizeof picks[0]; i++) {
        struct seen seen = {0};
        struct identity_source_options opt = from_agent();
        opt.hint = picks[i].hint;
        opt.spiffe_id = picks[i].spiffe_id;
        struct identity_source *source = start(&seen, opt);
        run_until(&seen.changes, 1);
        ck_assert(slice_eq_str(identity_id(seen.id)->text, picks[i].want));
        finish(&seen, source);
    }
}
END_TEST

/* AG-27, WA-4: an answer without ours says who is there, and takes ours away. */
START_TEST(test_an_answer_without_the_wanted_identity_names_the_others)
{
    struct seen seen = {0};
    struct identity_source_options opt = from_agent();
    opt.hint = "database";
    agent_answers(web, NULL);
    fake_agent_start(&agent);
    struct identity_source *source = start(&seen, opt);
    run_until(&seen.problems, 1);
    ck_assert_uint_eq(seen.changes, 0);
    ck_assert_msg(strstr(seen.text, "database") != NULL && strstr(seen.text, WEB) != NULL, "%s",
                  seen.text);
    agent_pushes(web, db);
    run_until(&seen.changes, 1);
    agent_pushes(fresh, NULL);
    run_until(&seen.changes, 2);
    ck_assert_ptr_null(seen.id);
    ck_assert_int_eq(seen.gone_for, ERR_NOT_FOUND);
    finish(&seen, source);
}
END_TEST

/* WA-5 */
START_TEST(test_a_broken_answer_leaves_the_identity_as_it_is)
{
    struct seen seen = {0};
    agent_answers(web, NULL);
    fake_agent_start(&agent);
    struct identity_source *source = start(&seen, from_agent());
    run_until(&seen.changes, 1);
    fake_agent_push(&agent, slice_of(NULL, 0));
    run_until(&seen.problems, 1);
    expect_leaf(&seen, web);
    ck_assert_uint_eq(seen.changes, 1);
    finish(&seen, source);
}
END_TEST

/* EP-8, and one log line however often the same thing fails. */
START_TEST(test_the_same_trouble_is_logged_once)
{
    struct seen seen = {0};
    script = (struct h2_script){
        .ending = H2_TRAILERS_ONLY, .grpc_status = "14", .grpc_message = "starting"};
    fake_agent_start(&agent);
    struct identity_source *source = start(&seen, from_agent());
    run_until(&agent.calls, 3);
    agent_answers(web, NULL);
    run_until(&seen.changes, 1);
    ck_assert_uint_eq(seen.problems, 1);
    ck_assert_uint_eq(seen.links, 1); /* the refusals were no connection */
    char *line = strstr(log_text, "identity_problem");
    ck_assert_ptr_nonnull(line);
    ck_assert_ptr_null(strstr(line + 1, "identity_problem"));
    finish(&seen, source);
}
END_TEST

START_TEST(test_an_endpoint_that_cannot_be_one_is_a_configuration_error)
{
    struct identity_source *source = NULL;
    struct identity_source_options opt = {.workload_api = "tcp://localhost:1"};
    ck_assert_int_eq(identity_source_open(&loop, &opt, &source, NULL), ERR_CONFIG); /* EP-4 */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("identity_source");
    TCase *t = tcase_create("identity_source");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, test_files_renamed_over_become_the_new_identity);
    tcase_add_test(t, test_files_that_come_later_are_found);
    tcase_add_test(t, test_a_set_that_does_not_fit_together_leaves_the_last_good_one);
    tcase_add_test(t, test_the_link_swap_of_kubernetes_is_one_change);
    tcase_add_test(t, test_an_expired_certificate_in_the_files_does_not_replace_a_valid_one);
    tcase_add_test(t, test_the_identity_goes_when_its_certificate_runs_out);
    tcase_add_test(t, test_a_rotation_is_one_change_on_one_stream);
    tcase_add_test(t, test_an_expired_certificate_from_the_agent_does_not_replace_a_valid_one);
    tcase_add_test(t, test_a_killed_agent_leaves_the_last_good_identity);
    tcase_add_test(t, test_permission_denied_drops_the_identity_until_it_is_granted_again);
    tcase_add_test(t, test_an_agent_that_is_away_expires_the_identity);
    tcase_add_test(t, test_the_identity_is_picked_by_hint_or_id_else_the_first);
    tcase_add_test(t, test_an_answer_without_the_wanted_identity_names_the_others);
    tcase_add_test(t, test_a_broken_answer_leaves_the_identity_as_it_is);
    tcase_add_test(t, test_the_same_trouble_is_logged_once);
    tcase_add_test(t, test_an_endpoint_that_cannot_be_one_is_a_configuration_error);
    suite_add_tcase(s, t);
    return run_suite(s);
}

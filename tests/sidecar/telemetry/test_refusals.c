/* The last refusals: who, why, how often; bounded, newest first. */
#include "common/base/mem.h"
#include "sidecar/telemetry/refusals.h"
#include "tests/support/runner.h"

#include <pthread.h>
#include <stdio.h>

static struct refusals *all;

static void make(void)
{
    all = refusals_new();
    ck_assert_ptr_nonnull(all);
}

static void drop(void)
{
    refusals_free(all);
}

static void note(const char *id, const char *address, err_t reason, int64_t now)
{
    struct audit_peer p = {.direction = "inbound",
                           .listen = "127.0.0.1:8443",
                           .address = address,
                           .id = id,
                           .serial = id != NULL ? "0a" : NULL};
    refusals_note(all, &p, reason, "cause", now);
}

static char text[65536];

static void put(void *arg, const struct refusal *r)
{
    (void)arg;
    snprintf(text + strlen(text), sizeof text - strlen(text), "%s %s %s %s %lld-%lld x%llu\n",
             r->peer, r->address, r->serial, err_name(r->reason), (long long)r->first,
             (long long)r->last, (unsigned long long)r->count);
}

static const char *shown(const char *peer)
{
    text[0] = '\0';
    refusals_each(all, peer, put, NULL);
    return text;
}

START_TEST(test_the_newest_is_first_and_the_same_is_one_row_with_a_count)
{
    note("spiffe://a/x", "10.0.0.1:1000", ERR_PEER_NOT_ALLOWED, 5);
    note("spiffe://a/y", "10.0.0.1:1001", ERR_PEER_NOT_ALLOWED, 6);
    note("spiffe://a/x", "10.0.0.1:1002", ERR_PEER_NOT_ALLOWED, 7); /* another port */
    ck_assert_str_eq(shown(NULL), "spiffe://a/x 10.0.0.1:1002 0a peer_not_allowed 5-7 x2\n"
                                  "spiffe://a/y 10.0.0.1:1001 0a peer_not_allowed 6-6 x1\n");
    note("spiffe://a/x", "10.0.0.1:1002", ERR_CERT_EXPIRED, 8);     /* another reason */
    note("spiffe://a/x", "10.0.0.2:1002", ERR_PEER_NOT_ALLOWED, 9); /* another host */
    note(NULL, "10.0.0.2:1", ERR_TLS_NOT_TLS, 10);
    ck_assert_str_eq(shown("spiffe://a/x"),
                     "spiffe://a/x 10.0.0.2:1002 0a peer_not_allowed 9-9 x1\n"
                     "spiffe://a/x 10.0.0.1:1002 0a cert_expired 8-8 x1\n"
                     "spiffe://a/x 10.0.0.1:1002 0a peer_not_allowed 5-7 x2\n");
    ck_assert_str_eq(shown("spiffe://a/z"), "");
    ck_assert_int_eq(strncmp(shown(NULL), " 10.0.0.2:1  tls_not_tls 10-10 x1\n", 34), 0);
}
END_TEST

START_TEST(test_the_oldest_goes)
{
    char id[32];
    for (int i = 0; i < REFUSALS_MAX + 10; i++) {
        snprintf(id, sizeof id, "spiffe://a/%d", i);
        note(id, "10.0.0.1:1", ERR_PEER_NOT_ALLOWED, i);
    }
    note("spiffe://a/10", "10.0.0.1:1", ERR_PEER_NOT_ALLOWED,
         1000); /* the last row, to the front */
    const char *rows = shown(NULL);
    int lines = 0;
    for (const char *at = rows; *at != '\0'; at++)
        lines += *at == '\n';
    ck_assert_int_eq(lines, REFUSALS_MAX);
    ck_assert_int_eq(strncmp(rows, "spiffe://a/10 ", 14), 0);
    ck_assert_ptr_nonnull(strstr(rows, "spiffe://a/11 "));
    ck_assert_ptr_null(strstr(rows, "spiffe://a/9 "));
    ck_assert_ptr_nonnull(strstr(rows, "10-1000 x2"));
}
END_TEST

static void *note_many(void *arg)
{
    for (int i = 0; i < 2000; i++)
        note(arg, "10.0.0.1:1", ERR_PEER_NOT_ALLOWED, i);
    return NULL;
}

START_TEST(test_threads_note_at_once)
{
    static char ids[4][16];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        snprintf(ids[i], sizeof ids[i], "spiffe://a/%d", i);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, note_many, ids[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_ptr_nonnull(strstr(shown(ids[i]), "0-1999 x2000"));
}
END_TEST

START_TEST(test_without_memory_there_is_no_list_and_no_harm)
{
    mem_fail_after(0);
    ck_assert_ptr_null(refusals_new());
    mem_fail_after(-1);
    refusals_note(NULL, NULL, ERR_IO, "", 0);
    refusals_free(NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("refusals");
    TCase *t = tcase_create("refusals");
    tcase_add_checked_fixture(t, make, drop);
    tcase_add_test(t, test_the_newest_is_first_and_the_same_is_one_row_with_a_count);
    tcase_add_test(t, test_the_oldest_goes);
    tcase_add_test(t, test_threads_note_at_once);
    tcase_add_test(t, test_without_memory_there_is_no_list_and_no_harm);
    suite_add_tcase(s, t);
    return run_suite(s);
}

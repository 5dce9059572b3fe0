/* Who is let in: by the route's list, the trust domain, time, life and revocation. The app hears
 * nothing of a peer that was refused. */
#include "common/base/clock.h"
#include "tests/support/conn_case.h"
#include "tests/support/runner.h"

#include <stdio.h>

static const struct {
    const char *allow;
    enum who who;
    err_t want;
} guests[] = {
    {"'spiffe://example.org/a'", A, ERR_OK},
    {"'spiffe://example.org/a'", B, ERR_PEER_NOT_ALLOWED},
    {"'spiffe://example.org/a'", ME, ERR_PEER_NOT_ALLOWED},
    {"'spiffe://example.org/b', 'spiffe://example.org/a'", A, ERR_OK},
    {"'spiffe://example.org/b', 'spiffe://example.org/c'", A, ERR_PEER_NOT_ALLOWED},
    {"'spiffe://example.org/*'", B, ERR_OK},
    {"'spiffe://example.org/*'", OTHER, ERR_TRUST_DOMAIN_UNKNOWN},
    {"'spiffe://other.test/a'", A, ERR_PEER_NOT_ALLOWED},
};

static void open_with(const char *allow)
{
    char route[256];
    snprintf(route, sizeof route, "allow: [%s]", allow);
    open_worker(config_of(route, ""));
}

START_TEST(test_only_listed_peers_reach_the_app)
{
    open_with(guests[_i].allow);
    if (guests[_i].want == ERR_OK)
        must_be_admitted(leafs[guests[_i].who]);
    else
        must_be_refused(leafs[guests[_i].who], guests[_i].want);
    ck_assert_uint_eq(metric_read(metrics, M_AUTHZ_DECISIONS, ROUTE_INBOUND, DECISION_ALLOW, 0),
                      guests[_i].want == ERR_OK);
    ck_assert_uint_eq(metric_read(metrics, M_AUTHZ_DECISIONS, ROUTE_INBOUND, DECISION_DENY, 0),
                      guests[_i].want == ERR_PEER_NOT_ALLOWED);
}
END_TEST

START_TEST(test_an_expired_or_foreign_peer_does_not_reach_the_app)
{
    struct cert *late = leaf_of(A, -1),
                *early = cert_make(&(struct cert_knobs){.uri = ids[A],
                                                        .not_before = clock_wall_s() + HOUR,
                                                        .not_after = clock_wall_s() + 2 * HOUR},
                                   issuer);
    open_with("'spiffe://example.org/a'");
    must_be_refused(late, ERR_CERT_EXPIRED);
    must_be_refused(early, ERR_CERT_NOT_YET_VALID);
    worker_post_life_limit(&worker, HOUR);
    must_be_refused(leafs[A], ERR_LIFETIME_TOO_LONG); /* a minute too long */
    worker_post_life_limit(&worker, HOUR + 60);
    must_be_admitted(leafs[A]);
    cert_free(late);
    cert_free(early);
}
END_TEST

/* soft: a peer of which nobody knows is let in and counted; hard: it is not. */
START_TEST(test_a_peer_of_which_nobody_knows_is_let_in_as_the_policy_says)
{
    static const char *const policies[] = {"off", "soft", "hard"};
    char rest[64];
    snprintf(rest, sizeof rest, "revocation: {policy: %s}", policies[_i]);
    open_worker(config_of("allow: ['spiffe://example.org/a']", rest));
    if (_i == 2)
        must_be_refused(leafs[A], ERR_REVOCATION_UNKNOWN);
    else
        must_be_admitted(leafs[A]);
    ck_assert_uint_eq(metric_read(metrics, M_REVOCATION_UNKNOWN, ROUTE_INBOUND, 0, 0), _i == 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("conn");
    TCase *t = tcase_create("conn");
    tcase_add_checked_fixture(t, conn_case_setup, conn_case_teardown);
    tcase_add_loop_test(t, test_only_listed_peers_reach_the_app, 0,
                        (int)(sizeof guests / sizeof guests[0]));
    tcase_add_test(t, test_an_expired_or_foreign_peer_does_not_reach_the_app);
    tcase_add_loop_test(t, test_a_peer_of_which_nobody_knows_is_let_in_as_the_policy_says, 0, 3);
    suite_add_tcase(s, t);
    return run_suite(s);
}

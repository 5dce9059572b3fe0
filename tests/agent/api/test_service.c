/* Which method a path means. */
#include "agent/api/health.h"
#include "agent/api/workload_api.h"
#include "tests/support/runner.h"

/* METHOD_OTHER: it is nobody's, or its service has no such method. */
static enum agent_method method_of(const char *path, const struct service **ret_service)
{
    static struct service all[2];
    const struct method *method;
    all[0] = workload_api_service(NULL);
    all[1] = health_service(NULL);
    *ret_service = service_find(all, 2, path, &method);
    return method != NULL ? method->label : METHOD_OTHER;
}

static const struct {
    const char *path;
    enum agent_method method;
    bool is_served, needs_header;
} paths[] = {
    {"/SpiffeWorkloadAPI/FetchX509SVID", METHOD_FETCH_X509_SVID, true, true},
    {"/SpiffeWorkloadAPI/FetchX509Bundles", METHOD_FETCH_X509_BUNDLES, true, true},
    {"/grpc.health.v1.Health/Check", METHOD_HEALTH_CHECK, true, false},
    {"/grpc.health.v1.Health/Watch", METHOD_HEALTH_WATCH, true, false},
    {"/SpiffeWorkloadAPI/FetchJWTSVID", METHOD_OTHER, true, true},
    {"/SpiffeWorkloadAPI/FetchX509SVIDs", METHOD_OTHER, true, true},
    {"/SpiffeWorkloadAPI", METHOD_OTHER, false, false},
    {"", METHOD_OTHER, false, false},
};

/* EP-2: the header is asked for under the whole prefix, also for a method that is not there. */
START_TEST(test_methods_are_known_by_path)
{
    const struct service *service;
    ck_assert_int_eq(method_of(paths[_i].path, &service), paths[_i].method);
    ck_assert(paths[_i].is_served == (service != NULL));
    ck_assert(service == NULL || service->needs_security_header == paths[_i].needs_header);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("service");
    TCase *t = tcase_create("service");
    tcase_add_loop_test(t, test_methods_are_known_by_path, 0, sizeof paths / sizeof paths[0]);
    suite_add_tcase(s, t);
    return run_suite(s);
}

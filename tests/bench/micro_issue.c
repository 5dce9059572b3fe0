/* How many X509-SVIDs one core mints in a second: new key, certificate, chain. By hand:
 *   build/release/tests/micro_issue [SVIDs]
 * and where the time goes: key, certificate. */
#include "agent/authority/authority_self.h"
#include "agent/svid/svid.h"
#include "common/base/clock.h"
#include "common/crypto/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { SVIDS = 50000, DAY_S = 24 * 3600, HOUR_S = 3600 };

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void report(const char *what, long count, double seconds)
{
    printf("%-22s %9.0f a second  %7.2f us each\n", what, (double)count / seconds,
           seconds * 1e6 / (double)count);
}

/* What one of the two below asks for. */
static err_t last;

static void on_issued(struct svid_order *o, err_t err, struct svid *svid, const struct why *why)
{
    (void)o;
    (void)why;
    last = err;
    svid_unref(svid);
}

static err_t mint_all(const struct authority *a, long count)
{
    char *dns[] = {NULL};
    struct entry e = {.id = "bench",
                      .spiffe_id = "spiffe://example.org/ns/shop/sa/web",
                      .hint = "",
                      .dns_names = dns};
    struct svid_order o = {.entry = &e, .now = clock_wall_s(), .ttl_s = HOUR_S, .done = on_issued};
    double start = cpu_s();
    for (long i = 0; i < count && last == ERR_OK; i++) {
        o.jitter = (unsigned)i % 1001;
        svid_issue(a, &o);
    }
    report("SVIDs", count, cpu_s() - start);
    return last;
}

static err_t make_keys(long count, struct why *why)
{
    double start = cpu_s();
    for (long i = 0; i < count; i++) {
        struct key *key = NULL;
        err_t err = key_generate(KEY_EC_P256, &key, why);
        if (err != ERR_OK)
            return err;
        key_free(key);
    }
    report("keys alone", count, cpu_s() - start);
    return ERR_OK;
}

static void on_signed(struct authority_job *job, err_t err, const struct authority_answer *answer,
                      const struct why *why)
{
    (void)job;
    (void)answer;
    (void)why;
    last = err;
}

static err_t make_certificates(const struct authority *a, long count, struct why *why)
{
    struct key *key = NULL;
    err_t err = key_generate(KEY_EC_P256, &key, why);
    if (err != ERR_OK)
        return err;
    struct authority_job job = {.done = on_signed,
                                .request = {.spiffe_id = "spiffe://example.org/ns/shop/sa/web",
                                            .spki = key_spki(key),
                                            .ttl_s = HOUR_S}};
    double start = cpu_s();
    for (long i = 0; i < count && last == ERR_OK; i++) {
        job.request.now = clock_wall_s();
        a->sign(a->self, &job);
    }
    report("certificates alone", count, cpu_s() - start);
    key_free(key);
    return last;
}

static void remove_files(const char *base, const char *dir)
{
    char path[128];
    snprintf(path, sizeof path, "%s/root", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/issuer", dir);
    unlink(path);
    rmdir(dir);
    rmdir(base);
}

int main(int argc, char **argv)
{
    char base[] = "/tmp/micro_issue.XXXXXX", dir[64];
    uv_loop_t loop;
    struct authority_self *self = NULL;
    struct authority a;
    struct why why = {0};
    long count = argc > 1 ? strtol(argv[1], NULL, 10) : SVIDS;
    if (count < 1 || mkdtemp(base) == NULL || uv_loop_init(&loop) != 0)
        return EXIT_FAILURE;
    snprintf(dir, sizeof dir, "%s/authority", base);
    const struct authority_self_options opt = {
        .data_dir = base, .trust_domain = "example.org", .ttl_s = DAY_S};
    err_t err = authority_self_open(&loop, &opt, &self, &a, &why);
    if (err == ERR_OK)
        err = mint_all(&a, count);
    if (err == ERR_OK)
        err = make_keys(count, &why);
    if (err == ERR_OK)
        err = make_certificates(&a, count, &why);
    if (err != ERR_OK)
        fprintf(stderr, "%s %s\n", err_name(err), why_text(&why));
    if (self != NULL)
        authority_self_close(self, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    remove_files(base, dir);
    return err == ERR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

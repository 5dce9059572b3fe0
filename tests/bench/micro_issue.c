/* How many X509-SVIDs one core mints in a second: new key, certificate, chain. By hand:
 *   build/release/tests/micro_issue [SVIDs]
 * and where the time goes: key, certificate. */
#include "agent/authority/authority.h"
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

static err_t mint_all(struct authority *a, long count, struct why *why)
{
    char *dns[] = {NULL};
    struct entry e = {.id = "bench",
                      .spiffe_id = "spiffe://example.org/ns/shop/sa/web",
                      .hint = "",
                      .dns_names = dns};
    int64_t now = clock_wall_s();
    double start = cpu_s();
    for (long i = 0; i < count; i++) {
        struct svid *s = NULL;
        err_t err = svid_issue(a, &e, HOUR_S, now, (unsigned)i % 1001, &s, why);
        if (err != ERR_OK)
            return err;
        svid_unref(s);
    }
    report("SVIDs", count, cpu_s() - start);
    return ERR_OK;
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

static err_t make_certificates(struct authority *a, long count, struct why *why)
{
    struct key *key = NULL;
    struct buf chain;
    struct authority_answer answer;
    buf_init(&chain, 8192);
    err_t err = key_generate(KEY_EC_P256, &key, why);
    double start = cpu_s();
    for (long i = 0; i < count && err == ERR_OK; i++) {
        const struct authority_request req = {.spiffe_id = "spiffe://example.org/ns/shop/sa/web",
                                              .spki = key_spki(key),
                                              .now = clock_wall_s(),
                                              .ttl_s = HOUR_S};
        buf_clear(&chain);
        err = authority_issue(a, &req, &chain, &answer, why);
    }
    if (err == ERR_OK)
        report("certificates alone", count, cpu_s() - start);
    key_free(key);
    buf_done(&chain);
    return err;
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
    struct authority *a = NULL;
    struct why why = {0};
    long count = argc > 1 ? strtol(argv[1], NULL, 10) : SVIDS;
    if (count < 1 || mkdtemp(base) == NULL)
        return EXIT_FAILURE;
    snprintf(dir, sizeof dir, "%s/authority", base);
    err_t err = authority_open(dir, "example.org", DAY_S, clock_wall_s(), &a, &why);
    if (err == ERR_OK)
        err = mint_all(a, count, &why);
    if (err == ERR_OK)
        err = make_keys(count, &why);
    if (err == ERR_OK)
        err = make_certificates(a, count, &why);
    if (err != ERR_OK)
        fprintf(stderr, "%s\n", why_text(&why));
    authority_close(a);
    remove_files(base, dir);
    return err == ERR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

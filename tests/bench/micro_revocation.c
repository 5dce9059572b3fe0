/* What a look-up in the revocation cache costs, and the cache itself, for who changes it:
 * micro_revocation [serials] [look-ups]. Build it in the release preset. Every look-up is of
 * another serial, in no order, so that nothing is in the processor's caches by luck. */
#include "common/base/clock.h"
#include "common/base/rand.h"
#include "common/revocation/revocation_cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NOW 1800000000
#define SERIAL_LEN 16

static const uint8_t issuer[REVOCATION_ISSUER_LEN] = "the issuer";
static uint64_t secret;
static struct revocation_view *view;
static struct revocation_id id;
static uint64_t longest_replacement;
static int replaced;

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void must(err_t err, const struct why *why)
{
    if (err == ERR_OK)
        return;
    fprintf(stderr, "micro_revocation: %s\n", why_text(why));
    exit(1);
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ secret) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 29;
}

static struct slice serial_of(uint64_t number, uint8_t out[static SERIAL_LEN])
{
    uint64_t words[2] = {mix(number) | 1, mix(number + (UINT64_C(1) << 40))};
    memcpy(out, words, sizeof words);
    return slice_of(out, SERIAL_LEN);
}

static void on_replaced(void *arg, int fd)
{
    (void)arg;
    (void)fd;
    replaced++;
}

static void fill(struct revocation_writer *w, uint64_t count)
{
    struct revocation_status status = {
        .state = REVOCATION_REVOKED, .reason = REVOCATION_SUPERSEDED, .at = NOW};
    struct revocation_issuer list = {.complete = true, .next_update = NOW + 1};
    struct why why = {0};
    uint8_t room[SERIAL_LEN];
    int64_t start = cpu_ns();
    for (uint64_t i = 0; i < count; i++) {
        int before = replaced;
        uint64_t began = clock_mono_ns();
        must(revocation_writer_set(w, issuer, serial_of(i, room), &status, &why), &why);
        uint64_t took = replaced != before ? clock_mono_ns() - began : 0;
        longest_replacement = took > longest_replacement ? took : longest_replacement;
    }
    printf("%-44s %10.0f ns\n", "set, growth included", (double)(cpu_ns() - start) / (double)count);
    printf("%-44s %10.1f ms, %d in all\n", "the longest growth", (double)longest_replacement / 1e6,
           replaced);
    must(revocation_writer_issuer(w, issuer, &list, &why), &why);
    printf("%-44s %10zu bytes, %.1f MiB\n", "the cache", revocation_writer_bytes(w),
           (double)revocation_writer_bytes(w) / (1 << 20));
}

static enum revocation_state find(uint64_t number)
{
    uint8_t room[SERIAL_LEN];
    return revocation_view_certificate(view, issuer, serial_of(number, room), NOW).state;
}

static bool nothing(uint64_t number)
{
    uint8_t room[SERIAL_LEN];
    return serial_of(number, room).len == SERIAL_LEN;
}
static bool revoked(uint64_t number)
{
    return find(number) == REVOCATION_REVOKED;
}
static bool good(uint64_t number)
{
    return find(number + (UINT64_C(1) << 32)) == REVOCATION_GOOD;
}
static bool good_and_not_held(uint64_t number)
{
    memcpy(id.hash, &number, sizeof number);
    return good(number) && revocation_view_id(view, &id).state == REVOCATION_UNKNOWN;
}
static bool hash_id(uint64_t number)
{
    char text[64];
    int len = snprintf(text, sizeof text, "spiffe://example.org/ns/shop/%010llu",
                       (unsigned long long)number);
    struct revocation_id made = revocation_id_of(slice_of(text, (size_t)len));
    id = made;
    return len > 0;
}

static const struct {
    const char *what;
    bool (*run)(uint64_t number);
} steps[] = {
    {"making the numbers (part of each below)", nothing},
    {"a revoked serial", revoked},
    {"a good serial (absent)", good},
    {"a good serial and its ID, not held", good_and_not_held},
    {"SHA-256 of an ID, once a connection", hash_id},
};

int main(int argc, char **argv)
{
    uint64_t serials = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint64_t lookups = argc > 2 ? strtoull(argv[2], NULL, 10) : 5000000;
    struct revocation_writer *w = NULL;
    struct why why = {0};
    rand_bytes(&secret, sizeof secret);
    must(revocation_writer_new(0, on_replaced, NULL, &w, &why), &why);
    fill(w, serials);
    must(revocation_view_open(fcntl(revocation_writer_fd(w), F_DUPFD_CLOEXEC, 0), &view, &why),
         &why);
    for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
        uint64_t wrong = 0;
        int64_t start = cpu_ns();
        for (uint64_t i = 0; i < lookups; i++)
            wrong += !steps[s].run(mix(i) % serials);
        printf("%-44s %10.1f ns, %llu wrong\n", steps[s].what,
               (double)(cpu_ns() - start) / (double)lookups, (unsigned long long)wrong);
    }
    revocation_view_unref(view);
    revocation_writer_free(w);
    return 0;
}

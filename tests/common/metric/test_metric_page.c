/* The metrics page: counted in by one process, gone on from by the next, read by one that trusts
 * neither. */
#define METRICS_COMPONENT "test"
#include "common/metric/metrics_table.h"

#include "common/base/mem.h"
#include "common/metric/metric_page.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { M_CALLS = COMMON_METRIC_COUNT, M_TIME, M_LEVEL, M_PEERS, M_LIVE, TABLE_COUNT };
enum { N_CALLS, N_LIVE, N_TIME, N_PEERS, N_MORE, NEWER_COUNT };

static const char *const color_values[] = {"red", "blue"};
static const err_t reason_errors[] = {ERR_OK, ERR_TIMEOUT};
static const err_t more_errors[] = {ERR_OK, ERR_TIMEOUT, ERR_KEY};
static const double bounds[] = {.001, .1, 1};

#define CALLS_ROW(id, errors)                                                                      \
    METRIC(id, COUNTER, "calls_total", "", "Calls.", NO_BUCKETS,                                   \
           METRIC_VALUES("color", color_values), METRIC_ERRORS("reason", errors))
#define TIME_ROW(id)                                                                               \
    METRIC(id, HISTOGRAM, "time_seconds", "seconds", "Time.", BUCKETS(bounds), L_RESULT)
#define PEERS_ROW(id)                                                                              \
    METRIC(id, COUNTER, "peers_total", "", "Peers.", NO_BUCKETS, METRIC_OPEN("peer"), L_RESULT)
#define LIVE_ROW(id) METRIC(id, GAUGE, "live", "", "Live.", NO_BUCKETS)

/* clang-format off */
static const struct metric_family table[TABLE_COUNT] = {
#include "common/metric/metrics.def"
    CALLS_ROW(CALLS, reason_errors)
    TIME_ROW(TIME)
    METRIC(LEVEL, GAUGE, "level", "", "Level.", NO_BUCKETS, L_TRUST_DOMAIN, L_RESULT)
    PEERS_ROW(PEERS)
    LIVE_ROW(LIVE)
};
/* Another release's: rows elsewhere, one more, one with another set of values. */
#undef METRIC
#define METRIC(id, kind, name_, unit_, help_, buckets_, ...)                                       \
    [N_##id] = {.name = (name_), .type = METRIC_##kind, .unit = (unit_), .help = "Changed.",       \
                buckets_, .label = {__VA_ARGS__}},
static const struct metric_family newer[NEWER_COUNT] = {
    CALLS_ROW(CALLS, more_errors)
    LIVE_ROW(LIVE)
    TIME_ROW(TIME)
    PEERS_ROW(PEERS)
    METRIC(MORE, COUNTER, "more_total", "", "More.", NO_BUCKETS)
};
/* clang-format on */

static struct metrics *m, *copy;
static int page_fd;

static struct metrics *metrics_of(const struct metric_family *families, size_t count)
{
    struct metrics *one = NULL;
    ck_assert_int_eq(metrics_new(families, count, "t_", &one, NULL), ERR_OK);
    return one;
}

static void setup(void)
{
    m = metrics_of(table, TABLE_COUNT);
    copy = metrics_of(table, TABLE_COUNT);
    ck_assert_int_eq(metric_page_create(7, &page_fd, NULL), ERR_OK);
}

static void teardown(void)
{
    metrics_free(m);
    metrics_free(copy);
    close(page_fd);
}

static void adopt(struct metrics *one)
{
    struct why why = {0};
    err_t err = metrics_adopt_page(one, dup(page_fd), &why);
    ck_assert_msg(err == ERR_OK, "%s", why_text(&why));
}

static err_t read_page(void)
{
    return metric_page_read(page_fd, copy, NULL);
}

static void crash(void)
{
    metrics_free(m);
    m = metrics_of(table, TABLE_COUNT);
}

static double time_slot(const struct metrics *one, size_t family, size_t slot)
{
    return metric_slot(one, family, (size_t[3]){RESULT_FAILURE, 0, 0}, slot);
}

START_TEST(test_what_a_sidecar_counts_is_what_the_agent_reads)
{
    metric_add(m, M_CALLS, 1, 1, 0, 3); /* before it had a page */
    metric_set(m, M_BUILD_INFO, 0, 0, 0, 1);
    metric_move(m, M_LIVE, 0, 0, 0, 4);
    size_t a = metric_dynamic(m, M_LEVEL, "a.test");
    metric_set(m, M_LEVEL, a, RESULT_SUCCESS, 0, -1.5);
    adopt(m);
    metric_add(m, M_CALLS, 1, 1, 0, 4);
    metric_observe_ns(m, M_TIME, RESULT_FAILURE, 0, 0, 2000000);
    metric_move(m, M_LIVE, 0, 0, 0, -1);
    size_t b = metric_dynamic(m, M_LEVEL, "b.test");
    metric_set(m, M_LEVEL, b, RESULT_FAILURE, 0, 8);
    ck_assert_int_eq(read_page(), ERR_OK);
    ck_assert_uint_eq(metric_read(copy, M_CALLS, 1, 1, 0), 7);
    ck_assert_uint_eq(metric_read(copy, M_CALLS, 0, 0, 0), 0);
    ck_assert(time_slot(copy, M_TIME, 1) == 1);
    ck_assert_double_eq_tol(time_slot(copy, M_TIME, 4), .002, 1e-12);
    ck_assert_uint_eq(metric_read(copy, M_LIVE, 0, 0, 0), 3);
    ck_assert(metric_slot(copy, M_LEVEL, (size_t[3]){a, RESULT_SUCCESS, 0}, 0) == -1.5);
    ck_assert_uint_eq(metric_read(copy, M_LEVEL, b, RESULT_FAILURE, 0), 8);
    ck_assert_uint_eq(metric_label_values(copy, M_LEVEL, 0), 2);
    ck_assert_str_eq(metric_label_text(copy, M_LEVEL, 0, b), "b.test");
    ck_assert_str_eq(metric_label_text(copy, M_BUILD_INFO, 0, 0), SPINDLE_VERSION);
}
END_TEST

START_TEST(test_counters_outlive_a_crash_and_gauges_do_not)
{
    adopt(m);
    metric_add(m, M_CALLS, 0, 1, 0, 10);
    metric_observe_ns(m, M_TIME, RESULT_FAILURE, 0, 0, 500);
    metric_move(m, M_LIVE, 0, 0, 0, 100);
    metric_mirror(m, M_PROCESS_CPU, 0, 0, 0, 3000000000);
    metric_add(m, M_PEERS, metric_dynamic(m, M_PEERS, "x"), RESULT_SUCCESS, 0, 5);
    metric_add(m, M_PEERS, metric_dynamic(m, M_PEERS, "y"), RESULT_FAILURE, 0, 6);
    crash();
    metric_add(m, M_CALLS, 0, 1, 0, 2);
    metric_move(m, M_LIVE, 0, 0, 0, 1);
    metric_mirror(m, M_PROCESS_CPU, 0, 0, 0, 1000000000);
    metric_add(m, M_PEERS, metric_dynamic(m, M_PEERS, "y"), RESULT_FAILURE, 0, 1);
    adopt(m);
    metric_mirror(m, M_PROCESS_CPU, 0, 0, 0, 1500000000);
    metric_observe_ns(m, M_TIME, RESULT_FAILURE, 0, 0, 500);
    ck_assert_int_eq(read_page(), ERR_OK);
    ck_assert_uint_eq(metric_read(m, M_CALLS, 0, 1, 0), 12);
    ck_assert_uint_eq(metric_read(copy, M_CALLS, 0, 1, 0), 12);
    ck_assert_uint_eq(metric_read(copy, M_TIME, RESULT_FAILURE, 0, 0), 2);
    ck_assert_uint_eq(metric_read(copy, M_LIVE, 0, 0, 0), 1);
    ck_assert(metric_slot(copy, M_PROCESS_CPU, (size_t[3]){0}, 0) == 4.5);
    size_t y = metric_dynamic(m, M_PEERS, "y"), x = metric_dynamic(m, M_PEERS, "x");
    ck_assert_uint_eq(y, 0);
    ck_assert_uint_eq(metric_read(copy, M_PEERS, x, RESULT_SUCCESS, 0), 5);
    ck_assert_uint_eq(metric_read(copy, M_PEERS, y, RESULT_FAILURE, 0), 7);
    ck_assert_str_eq(metric_label_text(copy, M_PEERS, 0, x), "x");
}
END_TEST

/* The next one met its peers in another order: each keeps what it had. */
START_TEST(test_counters_are_carried_over_by_their_texts)
{
    static const char *const peers[] = {"a", "b", "c"};
    adopt(m);
    for (size_t i = 0; i < 3; i++) {
        size_t at = metric_dynamic(m, M_PEERS, peers[i]);
        metric_add(m, M_PEERS, at, RESULT_SUCCESS, 0, 10 + i);
        metric_add(m, M_PEERS, at, RESULT_FAILURE, 0, 20 + i);
    }
    crash();
    for (size_t i = 3; i-- > 0;)
        metric_dynamic(m, M_PEERS, peers[i]);
    adopt(m);
    for (size_t i = 0; i < 3; i++) {
        size_t at = metric_dynamic(m, M_PEERS, peers[i]);
        ck_assert_uint_eq(metric_read(m, M_PEERS, at, RESULT_SUCCESS, 0), 10 + i);
        ck_assert_uint_eq(metric_read(m, M_PEERS, at, RESULT_FAILURE, 0), 20 + i);
    }
}
END_TEST

START_TEST(test_the_page_it_has_already_changes_nothing)
{
    adopt(m);
    metric_add(m, M_CALLS, 0, 0, 0, 1);
    metric_move(m, M_LIVE, 0, 0, 0, 2);
    adopt(m);
    ck_assert_uint_eq(metric_read(m, M_CALLS, 0, 0, 0), 1);
    ck_assert_uint_eq(metric_read(m, M_LIVE, 0, 0, 0), 2);
    ck_assert_int_ge(metrics_page_fd(m), 0);
    ck_assert_uint_eq(metric_page_instance(metrics_page_fd(m)), 7);
}
END_TEST

/* An upgrade: each family whose row is the same goes on, wherever it lies. */
START_TEST(test_another_table_goes_on_with_the_families_that_both_know)
{
    struct metrics *next = metrics_of(newer, NEWER_COUNT);
    adopt(m);
    metric_add(m, M_CALLS, 1, 1, 0, 10);
    metric_observe_ns(m, M_TIME, RESULT_FAILURE, 0, 0, 500);
    metric_add(m, M_PEERS, metric_dynamic(m, M_PEERS, "x"), RESULT_SUCCESS, 0, 5);
    metric_move(m, M_LIVE, 0, 0, 0, 9);
    crash();
    adopt(next);
    ck_assert_uint_eq(metric_read(next, N_TIME, RESULT_FAILURE, 0, 0), 1);
    ck_assert_uint_eq(metric_read(next, N_PEERS, metric_dynamic(next, N_PEERS, "x"), 0, 0), 5);
    ck_assert_uint_eq(metric_read(next, N_CALLS, 1, 1, 0), 0);
    ck_assert_uint_eq(metric_read(next, N_LIVE, 0, 0, 0), 0);
    metric_add(next, N_MORE, 0, 0, 0, 1);
    metric_add(next, N_CALLS, 1, 1, 0, 77);
    metric_move(next, N_LIVE, 0, 0, 0, 3);
    /* and an agent of the older release shows what it knows */
    ck_assert_int_eq(read_page(), ERR_OK);
    ck_assert_uint_eq(metric_read(copy, M_CALLS, 1, 1, 0), 0);
    ck_assert_uint_eq(metric_read(copy, M_TIME, RESULT_FAILURE, 0, 0), 1);
    ck_assert_uint_eq(metric_read(copy, M_LIVE, 0, 0, 0), 3);
    metrics_free(next);
}
END_TEST

START_TEST(test_a_row_is_known_by_all_that_gives_its_numbers_a_meaning)
{
    struct metric_family f = table[M_TIME], g = table[M_CALLS];
    uint64_t was = metric_fingerprint(&f);
    f.help = "Other words.";
    ck_assert_uint_eq(metric_fingerprint(&f), was);
    f.bucket_count--;
    ck_assert_uint_ne(metric_fingerprint(&f), was);
    f = table[M_TIME];
    f.unit = "";
    ck_assert_uint_ne(metric_fingerprint(&f), was);
    f = table[M_TIME];
    f.name = "times_seconds";
    ck_assert_uint_ne(metric_fingerprint(&f), was);
    was = metric_fingerprint(&g);
    g.label[1].errors = more_errors;
    g.label[1].count++;
    ck_assert_uint_ne(metric_fingerprint(&g), was);
    static const char *const other_version[] = {"99"};
    f = g = table[M_BUILD_INFO];
    g.label[0].values = other_version;
    ck_assert_uint_eq(metric_fingerprint(&f), metric_fingerprint(&g));
}
END_TEST

/* --- threads -----------------------------------------------------------------------------------
 */

enum { ROUNDS = 20000, THREADS = 3, PAGES = 8 };

static void *count_many(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < ROUNDS; i++) {
        metric_add(m, M_CALLS, 0, 0, 0, 1);
        metric_move(m, M_LIVE, 0, 0, 0, i % 2 == 0 ? 2 : -1);
        metric_observe_ns(m, M_TIME, 0, 0, 0, 5);
    }
    return NULL;
}

START_TEST(test_threads_that_count_while_pages_are_adopted_lose_nothing)
{
    pthread_t thread[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, count_many, NULL), 0);
    for (size_t i = 0; i < PAGES; i++) {
        int fd = -1;
        ck_assert_int_eq(metric_page_create(0, &fd, NULL), ERR_OK);
        ck_assert_int_eq(metrics_adopt_page(m, fd, NULL), ERR_OK);
        metrics_scrape(m);
    }
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    metrics_scrape(m);
    ck_assert_uint_eq(metric_read(m, M_CALLS, 0, 0, 0), THREADS * ROUNDS);
    ck_assert_uint_eq(metric_read(m, M_LIVE, 0, 0, 0), THREADS * ROUNDS / 2);
    ck_assert_uint_eq(metric_read(m, M_TIME, 0, 0, 0), THREADS * ROUNDS);
    ck_assert_int_eq(metric_page_read(metrics_page_fd(m), copy, NULL), ERR_OK);
    ck_assert_uint_eq(metric_read(copy, M_CALLS, 0, 0, 0), THREADS * ROUNDS);
}
END_TEST

START_TEST(test_pages_one_after_the_other_have_an_end)
{
    size_t adopted = 0;
    for (err_t err = ERR_OK; err == ERR_OK; adopted += err == ERR_OK) {
        int fd = -1;
        ck_assert_int_eq(metric_page_create(0, &fd, NULL), ERR_OK);
        metric_add(m, M_CALLS, 0, 0, 0, 1);
        err = metrics_adopt_page(m, fd, NULL);
        if (err != ERR_OK) {
            ck_assert_int_eq(err, ERR_LIMIT);
            close(fd);
        }
    }
    ck_assert_uint_eq(adopted, 32);
    ck_assert_uint_eq(metric_read(m, M_CALLS, 0, 0, 0), 33);
}
END_TEST

/* --- hostile pages -----------------------------------------------------------------------------
 */

static int memory(off_t size, int seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, size), 0);
    if (seals != 0)
        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

START_TEST(test_only_sealed_memory_of_the_right_size_is_a_page)
{
    const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    const off_t size = sizeof(struct metric_page);
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    const int refused[] = {memory(size, 0),
                           memory(size, F_SEAL_GROW | F_SEAL_SEAL),
                           memory(size, F_SEAL_SHRINK | F_SEAL_GROW),
                           memory(size, all | F_SEAL_WRITE),
                           memory(size - 1, all),
                           memory(size + 4096, all),
                           memory(0, all),
                           open("/dev/zero", O_RDWR | O_CLOEXEC),
                           open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
                           ends[0],
                           ends[1]};
    for (size_t i = 0; i < METRIC_COUNT_OF(refused); i++) {
        ck_assert_int_eq(metric_page_check(refused[i], NULL), ERR_UNSUPPORTED);
        ck_assert_int_eq(metrics_adopt_page(m, refused[i], NULL), ERR_UNSUPPORTED);
        ck_assert_int_ne(metric_page_read(refused[i], copy, NULL), ERR_OK);
        close(refused[i]);
    }
    int good = memory(size, all);
    ck_assert_int_eq(metric_page_check(good, NULL), ERR_OK);
    close(good);
}
END_TEST

static void put(size_t at, const void *data, size_t len)
{
    ck_assert_int_eq(pwrite(page_fd, data, len, (off_t)at), (ssize_t)len);
}

/* What a hostile sidecar may write over one field of a good page. */
static const struct {
    size_t at;
    uint64_t value;
    size_t len;
    err_t want;
} fields[] = {
    {0, 0x41, 1, ERR_PARSE},
    {offsetof(struct metric_page, version), 2, 4, ERR_UNSUPPORTED},
    {offsetof(struct metric_page, version), 0, 4, ERR_UNSUPPORTED},
    {offsetof(struct metric_page, family_count), METRIC_PAGE_FAMILIES + 1, 4, ERR_PARSE},
    {offsetof(struct metric_page, family_count), UINT32_MAX, 4, ERR_PARSE},
    {offsetof(struct metric_page, family_count), 0, 4, ERR_OK},
    {offsetof(struct metric_page, slot_count), METRIC_PAGE_SLOTS + 1, 4, ERR_PARSE},
    {offsetof(struct metric_page, slot_count), 1, 4, ERR_PARSE},
    {offsetof(struct metric_page, state), METRIC_PAGE_EMPTY, 8, ERR_NOT_FOUND},
    {offsetof(struct metric_page, state), METRIC_PAGE_BUSY, 8, ERR_NOT_FOUND},
    {offsetof(struct metric_page, state), 3, 8, ERR_PARSE},
    {offsetof(struct metric_page, build), 0, 1, ERR_PARSE},
    {offsetof(struct metric_page, build), '\n', 1, ERR_PARSE},
    {offsetof(struct metric_page, family[M_CALLS].first), UINT32_MAX, 4, ERR_PARSE},
    {offsetof(struct metric_page, family[M_CALLS].slots), UINT32_MAX, 4, ERR_PARSE},
    {offsetof(struct metric_page, family[M_CALLS].slots), 1, 4, ERR_PARSE},
    {offsetof(struct metric_page, family[M_LEVEL].cell), METRIC_PAGE_CELLS - 63, 4, ERR_PARSE},
    {offsetof(struct metric_page, family[M_LEVEL].cell), UINT32_MAX, 4, ERR_PARSE},
    {offsetof(struct metric_page, family[M_LEVEL].texts), 65, 4, ERR_PARSE},
    {offsetof(struct metric_page, family[M_LEVEL].texts), 64, 4, ERR_PARSE}, /* empty texts */
    {offsetof(struct metric_page, cell[0]), 'b', 1, ERR_PARSE},              /* twice b.test */
    {offsetof(struct metric_page, cell[0]), 0, 1, ERR_PARSE},
    {offsetof(struct metric_page, cell[0]), 0x80, 1, ERR_PARSE},
    {offsetof(struct metric_page, cell[0]), UINT64_C(0x726568746f), 6, ERR_PARSE}, /* other */
    {offsetof(struct metric_page, slot), UINT64_MAX, 8, ERR_OK},
};

static void fill_page(void)
{
    adopt(m);
    metric_add(m, M_CALLS, 0, 0, 0, 1);
    metric_set(m, M_LEVEL, metric_dynamic(m, M_LEVEL, "a.test"), 0, 0, 1);
    metric_set(m, M_LEVEL, metric_dynamic(m, M_LEVEL, "b.test"), 0, 0, 1);
    ck_assert_int_eq(read_page(), ERR_OK);
}

START_TEST(test_a_field_out_of_bounds_makes_a_bad_page)
{
    fill_page();
    put(fields[_i].at, &fields[_i].value, fields[_i].len);
    ck_assert_int_eq(read_page(), fields[_i].want);
    if (fields[_i].want != ERR_OK) {
        ck_assert_uint_eq(metric_read(copy, M_CALLS, 0, 0, 0), 0);
        ck_assert_uint_eq(metric_label_values(copy, M_LEVEL, 0), 0);
    }
}
END_TEST

START_TEST(test_a_text_without_end_makes_a_bad_page)
{
    char full[METRIC_PAGE_CELL];
    memset(full, 'x', sizeof full);
    fill_page();
    put(offsetof(struct metric_page, cell[1]), full, sizeof full);
    ck_assert_int_eq(read_page(), ERR_PARSE);
}
END_TEST

START_TEST(test_a_bad_page_is_made_whole_by_the_sidecar_that_takes_it)
{
    char noise[sizeof(struct metric_page)];
    memset(noise, 0xa5, sizeof noise);
    put(0, noise, sizeof noise);
    ck_assert_int_eq(read_page(), ERR_PARSE);
    fill_page();
    ck_assert_uint_eq(metric_read(copy, M_CALLS, 0, 0, 0), 1);
    ck_assert_uint_eq(metric_read(copy, M_CALLS, 1, 0, 0), 0);
}
END_TEST

/* xorshift: the same bytes each time */
static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

START_TEST(test_random_bytes_over_a_good_page_break_nothing)
{
    uint64_t seed = 88172645463325252u;
    struct metric_page *good = mem_alloc(sizeof *good);
    fill_page();
    ck_assert_int_eq(pread(page_fd, good, sizeof *good, 0), (ssize_t)sizeof *good);
    for (size_t i = 0; i < 2000; i++) {
        put(0, good, sizeof *good);
        size_t len = 1 + next_random(&seed) % 16;
        for (size_t at = next_random(&seed) % 20000; len > 0; len--, at++) {
            uint8_t byte = (uint8_t)next_random(&seed);
            put(at, &byte, 1);
        }
        (void)read_page();
    }
    mem_free(good);
}
END_TEST

static void *scribble(void *arg)
{
    uint64_t seed = 1234567;
    const _Atomic bool *stop = arg;
    while (!*stop) {
        uint64_t word = next_random(&seed);
        ssize_t n = pwrite(page_fd, &word, sizeof word,
                           (off_t)(8 + next_random(&seed) % (sizeof(struct metric_page) - 16)));
        (void)n;
    }
    return NULL;
}

START_TEST(test_a_page_that_changes_while_it_is_read_breaks_nothing)
{
    pthread_t thread;
    _Atomic bool stop = false;
    fill_page();
    ck_assert_int_eq(pthread_create(&thread, NULL, scribble, &stop), 0);
    for (size_t i = 0; i < 2000; i++)
        (void)read_page();
    stop = true;
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

START_TEST(test_a_page_that_nobody_counts_in_is_not_bad)
{
    ck_assert_int_eq(read_page(), ERR_NOT_FOUND);
    ck_assert_uint_eq(metric_page_instance(page_fd), 7);
    ck_assert_uint_eq(metric_page_instance(-1), 0);
}
END_TEST

START_TEST(test_a_table_too_large_for_a_page_is_refused)
{
    static struct metric_family many[METRIC_PAGE_FAMILIES + 1];
    static char names[METRIC_PAGE_FAMILIES + 1][16];
    for (size_t i = 0; i < METRIC_COUNT_OF(many); i++) {
        snprintf(names[i], sizeof names[i], "f%zu_total", i);
        many[i] = (struct metric_family){.name = names[i], .unit = "", .help = "F."};
    }
    struct metrics *large = metrics_of(many, METRIC_COUNT_OF(many));
    ck_assert_int_eq(metrics_adopt_page(large, page_fd, NULL), ERR_LIMIT);
    metrics_free(large);
}
END_TEST

START_TEST(test_every_failed_allocation_is_an_error)
{
    fill_page();
    crash();
    metric_add(m, M_CALLS, 0, 0, 0, 5);
    for (int done = 0; done < 2; done++) {
        for (long n = 0;; n++) {
            int fd = dup(page_fd);
            mem_fail_after(n);
            err_t err = done == 0 ? metrics_adopt_page(m, fd, NULL) : read_page();
            int failed = mem_did_fail();
            mem_fail_after(-1);
            if (done == 1 || err != ERR_OK)
                close(fd);
            if (failed == 0) {
                ck_assert_int_eq(err, ERR_OK);
                break;
            }
            ck_assert_int_eq(err, ERR_NO_MEMORY);
        }
        ck_assert_uint_eq(metric_read(m, M_CALLS, 0, 0, 0), 6);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("metric_page");
    TCase *t = tcase_create("metric_page");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_what_a_sidecar_counts_is_what_the_agent_reads);
    tcase_add_test(t, test_counters_outlive_a_crash_and_gauges_do_not);
    tcase_add_test(t, test_counters_are_carried_over_by_their_texts);
    tcase_add_test(t, test_the_page_it_has_already_changes_nothing);
    tcase_add_test(t, test_another_table_goes_on_with_the_families_that_both_know);
    tcase_add_test(t, test_a_row_is_known_by_all_that_gives_its_numbers_a_meaning);
    tcase_add_test(t, test_threads_that_count_while_pages_are_adopted_lose_nothing);
    tcase_add_test(t, test_pages_one_after_the_other_have_an_end);
    tcase_add_test(t, test_only_sealed_memory_of_the_right_size_is_a_page);
    tcase_add_loop_test(t, test_a_field_out_of_bounds_makes_a_bad_page, 0, METRIC_COUNT_OF(fields));
    tcase_add_test(t, test_a_text_without_end_makes_a_bad_page);
    tcase_add_test(t, test_a_bad_page_is_made_whole_by_the_sidecar_that_takes_it);
    tcase_add_test(t, test_random_bytes_over_a_good_page_break_nothing);
    tcase_add_test(t, test_a_page_that_changes_while_it_is_read_breaks_nothing);
    tcase_add_test(t, test_a_page_that_nobody_counts_in_is_not_bad);
    tcase_add_test(t, test_a_table_too_large_for_a_page_is_refused);
    tcase_add_test(t, test_every_failed_allocation_is_an_error);
    suite_add_tcase(s, t);
    return run_suite(s);
}

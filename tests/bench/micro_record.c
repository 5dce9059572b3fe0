/* What the record of issuance costs: writing, reading at start, asking. By hand:
 *   build/release/tests/micro_record DIR [CERTIFICATES [IDENTITIES]]
 * DIR is made, and stays; its files are in the page cache when they are read again. */
#include "agent/store/record_carry.h"
#include "agent/store/record_load.h"
#include "agent/store/record_search.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rand.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CERTIFICATES = 1000000, IDENTITIES = 10000, LOOKS = 100000, HOUR_S = 3600 };

static void check(err_t err, const struct why *why)
{
    if (err == ERR_OK)
        return;
    fprintf(stderr, "%s\n", why_text(why));
    exit(1);
}

static double ms_since(uint64_t start)
{
    return (double)(clock_mono_ns() - start) / 1e6;
}

static struct record_item item_of(long number, long identities)
{
    static char id[96], entry[32];
    struct record_item item = {.spiffe_id = id,
                               .entry_id = entry,
                               .not_before = clock_wall_s() - 10,
                               .not_after = clock_wall_s() + HOUR_S,
                               .issued_at = clock_wall_s()};
    uint64_t mixed = (uint64_t)number * 0x9e3779b97f4a7c15u;
    snprintf(id, sizeof id, "spiffe://example.org/ns/shop/sa/service-%ld", number % identities);
    snprintf(entry, sizeof entry, "entry-%ld", number % identities);
    memcpy(item.serial, &mixed, sizeof mixed);
    memcpy(item.serial + 8, &mixed, sizeof mixed);
    return item;
}

static void write_all(struct record_store *st, long count, long identities)
{
    struct why why = {0};
    uint64_t start = clock_mono_ns(), worst = 0;
    for (long i = 0; i < count; i++) {
        struct record_item item = item_of(i, identities);
        uint32_t name = 0;
        uint64_t begin = clock_mono_ns();
        check(record_names_take(&st->names, slice_str(item.spiffe_id), slice_str(item.entry_id),
                                &name),
              &why);
        check(record_store_append(st, &item, name, &why), &why);
        record_names_release(&st->names, name, 1);
        uint64_t took = clock_mono_ns() - begin;
        worst = took > worst ? took : worst;
    }
    printf("write %ld          %8.2f us each, the longest %.1f ms\n", count,
           ms_since(start) * 1e3 / (double)count, (double)worst / 1e6);
}

static bool count_one(void *arg, const struct record_item *item)
{
    (void)item;
    ++*(size_t *)arg;
    return true;
}

static void ask(struct record_store *st, long count, long identities)
{
    struct why why = {0};
    struct record_item found;
    size_t hits = 0;
    uint64_t start = clock_mono_ns();
    for (long i = 0; i < LOOKS; i++) {
        struct record_item item = item_of((long)rand_below((uint32_t)count), identities);
        check(record_search_serial(st, item.serial, &found, &why), &why);
    }
    printf("find a serial          %8.2f us\n", ms_since(start) * 1e3 / LOOKS);

    start = clock_mono_ns();
    struct record_item item = item_of(0, identities);
    struct record_query query = {.spiffe_id = item.spiffe_id, .now = clock_wall_s()};
    check(record_search_unexpired(st, &query, count_one, &hits, &why), &why);
    printf("unexpired of one ID    %8.2f ms for %zu\n", ms_since(start), hits);

    struct record_search searches[] = {
        {.spiffe_id = item.spiffe_id, .limit = 1000},
        {.serial = {0x12, 0x34}, .serial_digits = 4, .limit = 1000},
        {.state = RECORD_EXPIRED, .now = clock_wall_s(), .limit = 1000},
    };
    const char *const names[] = {"search an ID", "search 4 digits", "search for expired"};
    for (size_t i = 0; i < 3; i++) {
        double worst = 0, sum = 0;
        size_t pages = 0;
        uint64_t next = 0;
        hits = 0;
        do {
            start = clock_mono_ns();
            searches[i].from = next;
            check(record_search_page(st, &searches[i], count_one, &hits, &next, &why), &why);
            double took = ms_since(start);
            worst = took > worst ? took : worst;
            sum += took;
            pages++;
        } while (next != 0);
        printf("%-22s %8.2f ms, %zu pages, the longest %.2f ms, %zu found\n", names[i], sum, pages,
               worst, hits);
    }
}

int main(int argc, char **argv)
{
    struct record_store *st = NULL;
    struct why why = {0};
    long count = argc > 2 ? atol(argv[2]) : CERTIFICATES,
         identities = argc > 3 ? atol(argv[3]) : IDENTITIES;
    if (argc < 2 || count < 1 || identities < 1) {
        fputs("usage: micro_record DIR [CERTIFICATES [IDENTITIES]]\n", stderr);
        return 2;
    }
    check(record_load(argv[1], (uint64_t)count, RECORD_SEGMENT_ROWS, NULL, NULL, &st, &why), &why);
    if (st->records == 0)
        write_all(st, count, identities);
    record_store_close(st);
    struct mallinfo2 before = mallinfo2();
    uint64_t start = clock_mono_ns();
    check(record_load(argv[1], (uint64_t)count, RECORD_SEGMENT_ROWS, NULL, NULL, &st, &why), &why);
    double took = ms_since(start);
    struct mallinfo2 after = mallinfo2();
    printf("read at start          %8.2f ms for %llu in %u segments\n", took,
           (unsigned long long)st->records, st->segment_count);
    printf("memory                 %8.1f MiB\n",
           (double)(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / (1 << 20));
    ask(st, count, identities);
    struct record_carry *carry = NULL;
    uint32_t lost = 0;
    start = clock_mono_ns();
    check(record_carry_begin(st, clock_wall_s() + HOUR_S + 10, &carry, &why), &why);
    double begin = ms_since(start);
    record_carry_run(carry);
    double run = ms_since(start) - begin;
    check(record_carry_end(carry, &lost, &why), &why);
    double all = ms_since(start);
    printf("make room when full    %8.2f ms, and %.2f ms on the pool\n", all - run, run);
    record_store_close(st);
    return 0;
}

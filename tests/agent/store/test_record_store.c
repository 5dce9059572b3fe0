/* The store below the record: places of rows, the table that finds them, and how room is made when
 * the record is full: what is valid stays, once, and counts once. */
#include "agent/store/record_carry.h"
#include "agent/store/record_load.h"
#include "agent/store/record_search.h"
#include "common/base/mem.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS = 128, NOW = 1800000000, LIFE = 3600 };

static struct temp_dir dir;
static char folder[TEMP_PATH_MAX];
static struct record_store *st;
static struct why why;

static void open_store(uint64_t records_max)
{
    err_t err = record_load(folder, records_max, ROWS, NULL, NULL, &st, &why);
    ck_assert_msg(err == ERR_OK, "%s", why_text(&why));
}

static void setup(void)
{
    temp_dir_make(&dir);
    temp_path(&dir, "record", folder);
    st = NULL;
}

static void teardown(void)
{
    record_store_close(st);
    temp_dir_remove(&dir);
}

static struct record_item item_of(uint32_t n, int64_t not_after)
{
    struct record_item item = {.spiffe_id = "spiffe://example.org/a",
                               .entry_id = "a",
                               .not_before = NOW - 10,
                               .not_after = not_after,
                               .issued_at = NOW};
    memset(item.issuer, 1, sizeof item.issuer);
    /* any number of hashes, evenly */
    uint32_t spread = n * 2654435761u;
    memcpy(item.serial, &spread, sizeof spread);
    memcpy(item.serial + 4, &n, sizeof n);
    return item;
}

/* As the record does, but at once. */
static err_t make_room(int64_t now)
{
    struct record_carry *carry = NULL;
    uint32_t lost = 0;
    err_t err = ERR_OK;
    while (err == ERR_OK && st->records >= st->records_max) {
        err = record_carry_begin(st, now, &carry, &why);
        if (err != ERR_OK)
            break;
        record_carry_run(carry);
        err = record_carry_end(carry, &lost, &why);
        ck_assert_uint_eq(lost, 0);
    }
    return err;
}

static err_t put_at(uint32_t n, int64_t not_after, int64_t now)
{
    struct record_item item = item_of(n, not_after);
    uint32_t name = 0;
    ck_assert_int_eq(
        record_names_take(&st->names, slice_str(item.spiffe_id), slice_str(item.entry_id), &name),
        ERR_OK);
    err_t err = make_room(now);
    if (err == ERR_OK)
        err = record_store_append(st, &item, name, &why);
    record_names_release(&st->names, name, 1);
    return err;
}

static void must_put(uint32_t first, uint32_t count, int64_t not_after)
{
    for (uint32_t n = first; n < first + count; n++)
        ck_assert_msg(put_at(n, not_after, NOW) == ERR_OK, "%u: %s", n, why_text(&why));
}

static bool has(uint32_t n)
{
    struct record_item want = item_of(n, 0), got;
    err_t err = record_search_serial(st, want.serial, &got, &why);
    ck_assert_msg(err == ERR_OK || err == ERR_NOT_FOUND, "%s", why_text(&why));
    return err == ERR_OK;
}

static bool count_one(void *arg, const struct record_item *item)
{
    ck_assert_str_eq(item->entry_id, "a");
    ++*(size_t *)arg;
    return true;
}

static size_t walk(void)
{
    size_t count = 0;
    struct record_query query = {.entry_id = "a"};
    ck_assert_int_eq(record_search_unexpired(st, &query, count_one, &count, &why), ERR_OK);
    return count;
}

/* --- places ----------------------------------------------------------------------------------- */

START_TEST(test_a_place_outside_of_the_record_is_none)
{
    struct record_link links[4] = {{.hash = 1}};
    struct record_segment a = {.seq = 7, .rows = 3, .links = links}, stray = {.rows = 4};
    struct record_segment *segments[] = {&a, NULL, &stray}; /* two of them count */
    struct record_store s = {.segments = segments, .first_seq = 7, .segment_count = 2};
    ck_assert_ptr_eq(record_store_segment(&s, 7), &a);
    ck_assert_ptr_null(record_store_segment(&s, 8)); /* its file is missing */
    ck_assert_ptr_null(record_store_segment(&s, 9));
    ck_assert_ptr_null(record_store_segment(&s, 6));
    ck_assert_ptr_eq(record_store_segment(&s, 65536 + 7), &a); /* by its low 16 bits */
    ck_assert_uint_eq(record_store_position(7, 2), 7u << 16 | 2);
    ck_assert_uint_eq(record_store_position(0x10007, 0xffff), 7u << 16 | 0xffff);
    ck_assert_ptr_eq(record_store_link(&s, 7u << 16), &links[0]);
    ck_assert_ptr_eq(record_store_link(&s, 7u << 16 | 2), &links[2]);
    ck_assert_ptr_null(record_store_link(&s, 7u << 16 | 3));
    ck_assert_ptr_null(record_store_link(&s, 8u << 16));
    ck_assert_ptr_null(record_store_link(&s, 9u << 16));
    ck_assert_ptr_null(record_store_link(&s, 0));
    s.first_seq = 65536; /* 0 in a place; 0 itself is no place */
    ck_assert_ptr_eq(record_store_segment(&s, 65536), &a);
    ck_assert_ptr_null(record_store_link(&s, 0));
    ck_assert_ptr_eq(record_store_link(&s, 1), &links[1]);
}
END_TEST

START_TEST(test_a_serial_of_zeros_has_a_hash_too)
{
    uint8_t serial[RECORD_SERIAL_LEN] = {0};
    ck_assert_uint_eq(record_segment_hash(serial), 1); /* 0 marks rows that are no certificates */
    memcpy(serial, "\x12\x34\x56\x78\x9a", 5);
    ck_assert_uint_eq(record_segment_hash(serial), 0x12345678);
}
END_TEST

/* --- the table -------------------------------------------------------------------------------- */

/* Else a look-up in a million certificates would be a walk. */
START_TEST(test_the_table_grows_with_the_record_and_is_used_whole)
{
    uint32_t used = 0;
    open_store(100000);
    ck_assert_uint_eq(st->bucket_count, 1024);
    for (int round = 0; round < 2; round++) {
        if (round == 0)
            must_put(0, 1024, NOW + LIFE);
        ck_assert_uint_eq(st->bucket_count, 1024);
        ck_assert_int_eq(record_store_reserve(st), ERR_OK);
        ck_assert_uint_eq(st->bucket_count, 2048); /* before the next one */
        record_store_close(st);
        open_store(100000);
    }
    must_put(1024, 3000, NOW + LIFE);
    ck_assert_uint_eq(st->bucket_count, 4096);
    for (uint32_t i = 0; i < st->bucket_count; i++)
        used += st->buckets[i] != 0;
    ck_assert_uint_gt(used, 4096 / 4);
    for (uint32_t n = 0; n < 4024; n++)
        ck_assert(has(n));
    ck_assert(!has(4024));
    ck_assert_uint_eq(st->records, 4024);
    ck_assert_uint_eq(walk(), 4024);
}
END_TEST

START_TEST(test_without_memory_the_table_stays_and_the_append_fails)
{
    open_store(100000);
    must_put(0, 1024, NOW + LIFE);
    for (long n = 0;; n++) {
        uint64_t issued = st->issued_total;
        long rows = st->segments[st->segment_count - 1]->rows;
        struct record_item item = item_of(1024, NOW + LIFE);
        mem_fail_after(n);
        err_t err = record_store_append(st, &item, 1, &why);
        bool failed = mem_did_fail() != 0;
        mem_fail_after(-1);
        ck_assert_int_eq(err, failed ? ERR_NO_MEMORY : ERR_OK);
        if (!failed)
            break;
        ck_assert_uint_eq(st->issued_total, issued);
        ck_assert_int_eq(st->segments[st->segment_count - 1]->rows, rows);
        ck_assert_uint_eq(st->bucket_count, 1024);
    }
    ck_assert_uint_eq(st->bucket_count, 2048);
    for (uint32_t n = 0; n <= 1024; n++)
        ck_assert(has(n));
}
END_TEST

/* Serials that begin alike: the row of one rots, the other is found all the same. */
START_TEST(test_a_damaged_row_does_not_hide_one_of_the_same_hash)
{
    char path[TEMP_PATH_MAX + 16];
    struct record_item items[2] = {item_of(7, NOW + LIFE), item_of(7, NOW + LIFE)}, got;
    uint32_t name = 0;
    open_store(100);
    for (int i = 0; i < 2; i++) {
        items[i].serial[15] = (uint8_t)(i + 1);
        ck_assert_int_eq(record_names_take(&st->names, slice_str("spiffe://example.org/a"),
                                           slice_str("a"), &name),
                         ERR_OK);
        ck_assert_int_eq(record_store_append(st, &items[i], name, &why), ERR_OK);
        record_names_release(&st->names, name, 1);
    }
    snprintf(path, sizeof path, "%s/00000001.seg", folder);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    off_t at = (off_t)(st->segments[0]->rows - 1 - (uint32_t)_i) * RECORD_ROW_LEN + 40;
    ck_assert_int_eq(pwrite(fd, "\xff\xff", 2, at), 2);
    close(fd);
    ck_assert_int_eq(record_search_serial(st, items[_i].serial, &got, &why), ERR_OK);
    ck_assert_mem_eq(got.serial, items[_i].serial, sizeof got.serial);
    ck_assert_int_eq(record_search_serial(st, items[1 - _i].serial, &got, &why), ERR_PARSE);
}
END_TEST

/* The next one needs a segment more. */
START_TEST(test_without_memory_a_segment_is_not_begun)
{
    open_store(100000);
    uint32_t n = 0;
    for (; st->segment_count < 2; n++)
        must_put(n, 1, NOW + LIFE);
    while (st->segments[1]->rows + 3 <= ROWS) /* until one more has no room */
        must_put(n++, 1, NOW + LIFE);
    for (long fail = 0;; fail++) {
        struct record_item item = item_of(n, NOW + LIFE);
        mem_fail_after(fail);
        err_t err = record_store_append(st, &item, 1, &why);
        bool failed = mem_did_fail() != 0;
        mem_fail_after(-1);
        ck_assert_int_eq(err, failed ? ERR_NO_MEMORY : ERR_OK);
        ck_assert(has(n) == !failed);
        if (!failed)
            break;
        ck_assert_int_lt(fail, 100);
    }
    ck_assert_uint_eq(st->segment_count, 3);
    ck_assert_uint_eq(walk(), n + 1);
}
END_TEST

/* Seconds beyond 32 bits are kept as the nearest one in the table; the row has them all. */
START_TEST(test_times_beyond_32_bits_are_kept)
{
    static const struct {
        int64_t not_after;
        uint32_t want;
    } times[] = {{-1, 0},
                 {0, 0},
                 {1, 1},
                 {UINT32_MAX - INT64_C(1), UINT32_MAX - 1},
                 {UINT32_MAX, UINT32_MAX},
                 {UINT32_MAX + INT64_C(1), UINT32_MAX},
                 {INT64_C(253402300799), UINT32_MAX}};
    struct record_item got;
    open_store(1000);
    for (uint32_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        must_put(i, 1, times[i].not_after);
        const struct record_segment *s = st->segments[0];
        ck_assert_uint_eq(s->links[s->rows - 1].not_after, times[i].want);
        ck_assert_int_eq(record_search_serial(st, item_of(i, 0).serial, &got, &why), ERR_OK);
        ck_assert_int_eq(got.not_after, times[i].not_after);
    }
    ck_assert_int_eq(st->segments[0]->last_not_after, INT64_C(253402300799));
}
END_TEST

/* --- identities ------------------------------------------------------------------------------- */

/* One use for each certificate, one for each segment that says its texts. */
START_TEST(test_an_identity_is_counted_and_goes_with_its_last_certificate)
{
    uint32_t name = 0;
    open_store(1000);
    must_put(0, 1, NOW + 1);
    name = record_names_find(&st->names, slice_str("spiffe://example.org/a"), 0);
    ck_assert_uint_ne(name, 0);
    ck_assert_uint_eq(record_names_at(&st->names, name)->uses, 2);
    must_put(1, 200, NOW + 1); /* the second segment has begun */
    ck_assert_uint_eq(st->segment_count, 2);
    ck_assert_uint_eq(record_names_at(&st->names, name)->uses, 201 + 2);
    must_put(201, 100, NOW + LIFE);
    ck_assert_uint_eq(st->segment_count, 3);
    ck_assert(!record_store_expire(st, NOW + 1)); /* not yet: it ends with that second */
    ck_assert(record_store_expire(st, NOW + 2));
    ck_assert_uint_eq(st->segment_count, 2);
    ck_assert_uint_eq(record_names_at(&st->names, name)->uses, st->records + 2);
    ck_assert_uint_eq(walk(), st->records);
    ck_assert(!record_store_expire(st, NOW + 2)); /* some in it are valid */
    ck_assert(record_store_expire(st, NOW + LIFE + 1));
    ck_assert(!record_store_expire(st, NOW + LIFE + 1)); /* the last one stays */
    ck_assert_uint_eq(st->segment_count, 1);
    ck_assert_uint_eq(record_names_at(&st->names, name)->uses, st->records + 1);
}
END_TEST

/* --- room ------------------------------------------------------------------------------------- */

START_TEST(test_a_full_record_takes_as_many_as_it_may)
{
    open_store(300);
    must_put(0, 300, NOW + LIFE);
    ck_assert_int_eq(put_at(300, NOW + LIFE, NOW), ERR_RECORD);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "the record holds 300 certificates"));
    ck_assert_uint_eq(st->records, 300);
    ck_assert_uint_eq(st->issued_total, 300);
}
END_TEST

/* A sixteenth must be gone for the work to be worth it. */
START_TEST(test_room_is_made_when_a_sixteenth_has_expired)
{
    open_store(160);
    must_put(0, 10 + (uint32_t)_i, NOW - 1);
    must_put(10 + (uint32_t)_i, 150 - (uint32_t)_i, NOW + LIFE);
    ck_assert_int_eq(put_at(500, NOW + LIFE, NOW), _i == 0 ? ERR_RECORD : ERR_OK);
    if (_i == 0) {
        ck_assert_int_eq(put_at(500, NOW + LIFE, NOW + LIFE + 1), ERR_OK); /* all have, later */
        return;
    }
    ck_assert_uint_eq(st->records, 160 - 11 + 1);
    for (uint32_t n = 0; n < 160; n++)
        ck_assert_msg(has(n) == (n >= 11), "%u", n);
    ck_assert(has(500));
}
END_TEST

static bool is_carried(void *arg, const struct record_item *item)
{
    *(size_t *)arg += (item->flags & RECORD_CARRIED) != 0;
    return true;
}

START_TEST(test_what_is_carried_forward_was_issued_once)
{
    size_t carried = 0;
    struct record_query query = {.entry_id = "a"};
    open_store(300);
    must_put(0, 30, NOW + LIFE);
    must_put(30, 270, NOW - 1);
    must_put(300, 1, NOW + LIFE);
    ck_assert_uint_eq(st->issued_total, 301);
    ck_assert_int_eq(record_search_unexpired(st, &query, is_carried, &carried, &why), ERR_OK);
    ck_assert_uint_eq(carried, 30);
    ck_assert_uint_eq(walk(), st->records);
    record_store_close(st);
    open_store(300);
    ck_assert_uint_eq(st->issued_total, 301);
    for (uint32_t n = 0; n < 30; n++)
        ck_assert(has(n));
}
END_TEST

static void limit_files(rlim_t len)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = len < limit.rlim_max ? len : limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The disk is full in the midst of carrying: nothing is carried, and the next try carries all. */
START_TEST(test_carrying_that_was_interrupted_carries_nothing_twice)
{
    struct rlimit before;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    open_store(200);
    must_put(0, 100, NOW + LIFE);
    must_put(100, 100, NOW - 1);
    uint32_t last = st->segments[1]->rows;
    signal(SIGXFSZ, SIG_IGN);
    limit_files((rlim_t)(last + 20) * RECORD_ROW_LEN); /* for 20 of the 100 */
    ck_assert_int_eq(put_at(200, NOW + LIFE, NOW), ERR_RECORD);
    ck_assert_uint_eq(st->records, 200);
    ck_assert_uint_eq(st->segment_count, 2);
    limit_files(before.rlim_cur);
    ck_assert_int_eq(put_at(200, NOW + LIFE, NOW), ERR_OK);
    size_t carried = 0;
    struct record_query query = {.entry_id = "a"};
    ck_assert_int_eq(record_search_unexpired(st, &query, is_carried, &carried, &why), ERR_OK);
    ck_assert_uint_eq(carried, 100);
    for (uint32_t n = 0; n < 100; n++)
        ck_assert(has(n));
    ck_assert(has(200));
    ck_assert_uint_eq(walk(), st->records);
    ck_assert_uint_eq(st->issued_total, 201);
}
END_TEST

/* What cannot be read cannot be carried, and must not be given up for room. */
START_TEST(test_a_segment_that_cannot_be_read_is_not_given_up)
{
    char path[TEMP_PATH_MAX + 16];
    open_store(200);
    must_put(0, 100, NOW + LIFE);
    must_put(100, 100, NOW - 1);
    snprintf(path, sizeof path, "%s/00000001.seg", folder);
    ck_assert_int_eq(truncate(path, 70 * RECORD_ROW_LEN), 0);
    ck_assert_int_eq(put_at(200, NOW + LIFE, NOW), ERR_IO);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "segment 00000001"));
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert(has(0));
}
END_TEST

/* Nothing of the last segment was good; it begins anew when the disk has room. */
START_TEST(test_a_segment_that_cannot_begin_anew_takes_nothing)
{
    char path[TEMP_PATH_MAX + 16];
    struct rlimit before;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    open_store(200);
    must_put(0, 1, NOW + LIFE);
    record_store_close(st);
    snprintf(path, sizeof path, "%s/00000001.seg", folder);
    ck_assert_int_eq(truncate(path, 10), 0);
    open_store(200);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(0);
    ck_assert_int_eq(put_at(1, NOW + LIFE, NOW), ERR_RECORD);
    limit_files(before.rlim_cur);
    ck_assert(!has(1));
    ck_assert_uint_eq(st->issued_total, 0);
    must_put(1, 1, NOW + LIFE);
    record_store_close(st);
    open_store(200);
    ck_assert(has(1));
}
END_TEST

/* --- the folder ------------------------------------------------------------------------------- */

START_TEST(test_a_folder_that_is_none_of_ours_is_refused_and_nothing_else_closed)
{
    static const mode_t modes[] = {0720, 0702, 0777, 0755, 0700};
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        ck_assert_int_eq(chmod(folder, modes[i]), 0);
        err_t want = (modes[i] & 022) != 0 ? ERR_FILE_MODE : ERR_OK;
        ck_assert_int_eq(record_load(folder, 10, ROWS, NULL, NULL, &st, &why), want);
        record_store_close(st);
        st = NULL;
        ck_assert_int_ge(fcntl(STDIN_FILENO, F_GETFD), 0);
    }
    ck_assert_int_eq(rmdir(folder), 0);
    ck_assert_int_eq(record_load("/nowhere/to/be/found", 10, ROWS, NULL, NULL, &st, &why), ERR_IO);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "cannot make the record's folder /nowhere"));
    ck_assert_int_eq(symlink(dir.path, folder), 0);
    ck_assert_int_eq(record_load(folder, 10, ROWS, NULL, NULL, &st, &why), ERR_IO);
    ck_assert_int_eq(unlink(folder), 0);
    close(open(folder, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ck_assert_int_eq(record_load(folder, 10, ROWS, NULL, NULL, &st, &why), ERR_IO);
    ck_assert_ptr_null(st);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("record_store");
    TCase *t = tcase_create("record_store");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_a_place_outside_of_the_record_is_none);
    tcase_add_test(t, test_a_serial_of_zeros_has_a_hash_too);
    tcase_add_test(t, test_the_table_grows_with_the_record_and_is_used_whole);
    tcase_add_test(t, test_without_memory_the_table_stays_and_the_append_fails);
    tcase_add_test(t, test_without_memory_a_segment_is_not_begun);
    tcase_add_test(t, test_a_segment_that_cannot_be_read_is_not_given_up);
    tcase_add_test(t, test_a_segment_that_cannot_begin_anew_takes_nothing);
    tcase_add_loop_test(t, test_a_damaged_row_does_not_hide_one_of_the_same_hash, 0, 2);
    tcase_add_test(t, test_times_beyond_32_bits_are_kept);
    tcase_add_test(t, test_an_identity_is_counted_and_goes_with_its_last_certificate);
    tcase_add_test(t, test_a_full_record_takes_as_many_as_it_may);
    tcase_add_loop_test(t, test_room_is_made_when_a_sixteenth_has_expired, 0, 2);
    tcase_add_test(t, test_what_is_carried_forward_was_issued_once);
    tcase_add_test(t, test_carrying_that_was_interrupted_carries_nothing_twice);
    tcase_add_test(t, test_a_folder_that_is_none_of_ours_is_refused_and_nothing_else_closed);
    suite_add_tcase(s, t);
    return run_suite(s);
}

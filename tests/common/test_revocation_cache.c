/* Writer and view of one table: what is set is what is seen, through growth and clearing out; and
 * what holders of the descriptor cannot do. */
#include "common/revocation_table.h"

#include "common/mem.h"
#include "tests/support/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW 1800000000

static const uint8_t ISSUER_A[20] = "issuer A", ISSUER_B[20] = "issuer B";
static struct revocation_writer *w;
static struct revocation_view *v;
static int replaced; /* how often */
static struct why why;

static void on_replaced(void *arg, int fd)
{
    (void)arg;
    struct revocation_view *newer = NULL;
    ck_assert_int_eq(revocation_view_open(fcntl(fd, F_DUPFD_CLOEXEC, 0), &newer, &why), ERR_OK);
    revocation_view_unref(v);
    v = newer;
    replaced++;
}

static void start(size_t capacity)
{
    ck_assert_int_eq(revocation_writer_new(capacity, on_replaced, NULL, &w, &why), ERR_OK);
    on_replaced(NULL, revocation_writer_fd(w));
    replaced = 0;
}

static void setup(void)
{
    start(0);
}

static void teardown(void)
{
    revocation_view_unref(v);
    revocation_writer_free(w);
    v = NULL;
    w = NULL;
}

static struct revocation_status revoked(enum revocation_reason reason, int64_t at)
{
    return (struct revocation_status){.state = REVOCATION_REVOKED, .reason = reason, .at = at};
}

static void set(const uint8_t issuer[static 20], struct slice serial,
                struct revocation_status status)
{
    ck_assert_int_eq(revocation_writer_set(w, issuer, serial, &status, &why), ERR_OK);
}

static void forget(const uint8_t issuer[static 20], struct slice serial)
{
    set(issuer, serial, (struct revocation_status){.state = REVOCATION_UNKNOWN});
}

static enum revocation_state state(const uint8_t issuer[static 20], struct slice serial)
{
    return revocation_view_certificate(v, issuer, serial, NOW).state;
}

static void complete(const uint8_t issuer[static 20], bool is, int64_t next_update)
{
    struct revocation_issuer list = {.complete = is,
                                     .source = REVOCATION_SOURCE_CRL,
                                     .this_update = NOW - 60,
                                     .next_update = next_update};
    ck_assert_int_eq(revocation_writer_issuer(w, issuer, &list, &why), ERR_OK);
}

static struct slice number(uint32_t n, uint8_t out[static 16])
{
    memset(out, 0x5a, 16);
    memcpy(out + 12, &n, sizeof n);
    return slice_of(out, 16);
}

START_TEST(test_a_revoked_serial_is_revoked_with_reason_and_time)
{
    uint8_t room[16];
    struct slice serial = number(7, room);
    set(ISSUER_A, serial, revoked(REVOCATION_KEY_COMPROMISE, NOW - 5));
    struct revocation_status got = revocation_view_certificate(v, ISSUER_A, serial, NOW);
    ck_assert_int_eq(got.state, REVOCATION_REVOKED);
    ck_assert_int_eq(got.reason, REVOCATION_KEY_COMPROMISE);
    ck_assert_int_eq(got.at, NOW - 5);
    ck_assert(!got.held);
    ck_assert_int_eq(state(ISSUER_B, serial), REVOCATION_UNKNOWN);
    ck_assert_int_eq(state(ISSUER_A, number(8, room)), REVOCATION_UNKNOWN);
}
END_TEST

/* What absence says depends on the issuer's list. */
static const struct {
    bool known, complete;
    int64_t next_update;
    enum revocation_state want;
} absences[] = {
    {false, false, 0, REVOCATION_UNKNOWN},       {true, false, NOW + 1, REVOCATION_UNKNOWN},
    {true, true, NOW + 1, REVOCATION_GOOD},      {true, true, NOW, REVOCATION_UNKNOWN},
    {true, true, NOW - 1, REVOCATION_UNKNOWN},   {true, true, INT64_MAX, REVOCATION_GOOD},
    {true, true, INT64_MIN, REVOCATION_UNKNOWN},
};

START_TEST(test_absence_is_good_only_of_a_complete_fresh_list)
{
    uint8_t room[16];
    struct slice serial = number(7, room);
    if (absences[_i].known)
        complete(ISSUER_A, absences[_i].complete, absences[_i].next_update);
    ck_assert_int_eq(state(ISSUER_A, serial), absences[_i].want);
    ck_assert_int_eq(state(ISSUER_B, serial), REVOCATION_UNKNOWN);
    set(ISSUER_A, serial, revoked(REVOCATION_SUPERSEDED, NOW));
    ck_assert_int_eq(state(ISSUER_A, serial), REVOCATION_REVOKED);
    forget(ISSUER_A, serial);
    ck_assert_int_eq(state(ISSUER_A, serial), absences[_i].want);
}
END_TEST

START_TEST(test_a_serial_said_to_be_good_is_so_until_its_time)
{
    uint8_t room[16];
    struct slice serial = number(7, room);
    set(ISSUER_A, serial, (struct revocation_status){.state = REVOCATION_GOOD, .at = NOW + 1});
    ck_assert_int_eq(state(ISSUER_A, serial), REVOCATION_GOOD);
    set(ISSUER_A, serial, (struct revocation_status){.state = REVOCATION_GOOD, .at = NOW});
    ck_assert_int_eq(state(ISSUER_A, serial), REVOCATION_UNKNOWN);
    complete(ISSUER_A, true, NOW + 9);
    ck_assert_int_eq(revocation_view_certificate(v, ISSUER_A, serial, NOW).at, NOW + 9);
}
END_TEST

START_TEST(test_an_issuers_list_is_told)
{
    struct revocation_issuer list;
    ck_assert(!revocation_view_issuer(v, ISSUER_A, &list));
    complete(ISSUER_A, true, NOW + 100);
    ck_assert(revocation_view_issuer(v, ISSUER_A, &list));
    ck_assert(list.complete);
    ck_assert_int_eq(list.source, REVOCATION_SOURCE_CRL);
    ck_assert_int_eq(list.this_update, NOW - 60);
    ck_assert_int_eq(list.next_update, NOW + 100);
    complete(ISSUER_A, false, NOW + 200);
    ck_assert(revocation_view_issuer(v, ISSUER_A, &list));
    ck_assert(!list.complete);
    ck_assert_int_eq(list.next_update, NOW + 200);
}
END_TEST

START_TEST(test_a_forgotten_issuer_takes_its_serials_along)
{
    uint8_t room[16];
    complete(ISSUER_A, true, NOW + 100);
    for (uint32_t i = 0; i < 20; i++) {
        set(ISSUER_A, number(i, room), revoked(REVOCATION_UNSPECIFIED, NOW));
        set(ISSUER_B, number(i, room), revoked(REVOCATION_UNSPECIFIED, NOW));
    }
    revocation_writer_forget_issuer(w, ISSUER_A);
    revocation_writer_forget_issuer(w, ISSUER_A);
    ck_assert_uint_eq(revocation_writer_count(w), 20);
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(state(ISSUER_A, number(3, room)), REVOCATION_UNKNOWN);
        ck_assert_int_eq(state(ISSUER_B, number(3, room)), REVOCATION_REVOKED);
        complete(ISSUER_A, false, 0); /* known again, its serials are not */
    }
    set(ISSUER_A, number(3, room), revoked(REVOCATION_UNSPECIFIED, NOW));
    ck_assert_int_eq(state(ISSUER_A, number(3, room)), REVOCATION_REVOKED);
    ck_assert_uint_eq(revocation_writer_count(w), 21);
}
END_TEST

START_TEST(test_a_held_id_is_revoked_and_held_until_released)
{
    struct slice web = slice_str("spiffe://example.org/web");
    struct revocation_id id = revocation_id_of(web);
    struct revocation_id other = revocation_id_of(slice_str("spiffe://example.org/we"));
    struct revocation_status hold = revoked(REVOCATION_CERTIFICATE_HOLD, NOW), none = {0};
    ck_assert_int_eq(revocation_view_id(v, &id).state, REVOCATION_UNKNOWN);
    ck_assert_int_eq(revocation_writer_hold(w, web, &hold, &why), ERR_OK);
    struct revocation_status got = revocation_view_id(v, &id);
    ck_assert_int_eq(got.state, REVOCATION_REVOKED);
    ck_assert_int_eq(got.reason, REVOCATION_CERTIFICATE_HOLD);
    ck_assert_int_eq(got.at, NOW);
    ck_assert(got.held);
    ck_assert_int_eq(revocation_view_id(v, &other).state, REVOCATION_UNKNOWN);
    ck_assert_int_eq(revocation_writer_hold(w, web, &none, &why), ERR_OK);
    ck_assert_int_eq(revocation_writer_hold(w, web, &none, &why), ERR_OK);
    ck_assert_int_eq(revocation_view_id(v, &id).state, REVOCATION_UNKNOWN);
    none.state = REVOCATION_GOOD; /* an ID is held or it is not */
    ck_assert_int_eq(revocation_writer_hold(w, web, &none, &why), ERR_OK);
    ck_assert_uint_eq(revocation_writer_count(w), 0);
}
END_TEST

/* A serial that has the bytes of a held ID is another matter, and the reverse. */
START_TEST(test_serials_and_ids_do_not_meet)
{
    struct slice web = slice_str("spiffe://example.org/web");
    struct revocation_id id = revocation_id_of(web);
    struct slice serial = slice_of(id.hash, sizeof id.hash);
    struct revocation_status hold = revoked(REVOCATION_UNSPECIFIED, NOW);
    ck_assert_int_eq(revocation_writer_hold(w, web, &hold, &why), ERR_OK);
    complete(ISSUER_A, true, NOW + 1);
    ck_assert_int_eq(state(ISSUER_A, serial), REVOCATION_GOOD);
}
END_TEST

/* Serials that differ by length, order or issuer alone; zeros at the start say nothing. */
START_TEST(test_serials_are_numbers)
{
    static const struct {
        const char *set, *ask;
        size_t set_len, ask_len;
        bool same;
    } cases[] = {
        {"\x01", "\x01", 1, 1, true},
        {"\x00\x01", "\x01", 2, 1, true},
        {"\x01", "\x00\x00\x01", 1, 3, true},
        {"\x01", "\x01\x00", 1, 2, false},
        {"\x01\x02", "\x02\x01", 2, 2, false},
        {"\x00", "", 1, 0, true},
        {"\x00", "\x01", 1, 1, false},
        {"\0\0\0\0\0aaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaa", 25, 20, true},
        {"aaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaab", 20, 20, false},
        {"aaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaa", 20, 21, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice a = slice_of(cases[i].set, cases[i].set_len);
        struct slice b = slice_of(cases[i].ask, cases[i].ask_len);
        set(ISSUER_A, a, revoked(REVOCATION_UNSPECIFIED, NOW));
        ck_assert_msg((state(ISSUER_A, b) == REVOCATION_REVOKED) == cases[i].same, "case %zu", i);
        forget(ISSUER_A, a);
        ck_assert_int_eq(state(ISSUER_A, b), REVOCATION_UNKNOWN);
    }
}
END_TEST

/* Nobody may take a serial that no table can hold for a good one. */
START_TEST(test_a_serial_too_long_is_refused_and_unknown)
{
    struct slice serial = slice_str("aaaaaaaaaaaaaaaaaaaaa");
    struct revocation_status status = revoked(REVOCATION_UNSPECIFIED, NOW);
    complete(ISSUER_A, true, NOW + 1);
    ck_assert_int_eq(revocation_writer_set(w, ISSUER_A, serial, &status, &why), ERR_TOO_LARGE);
    ck_assert_int_eq(state(ISSUER_A, serial), REVOCATION_UNKNOWN);
    ck_assert_uint_eq(revocation_writer_count(w), 0);
}
END_TEST

START_TEST(test_times_beyond_the_words_room_are_cut_to_it)
{
    static const int64_t times[][2] = {{INT64_MIN, 0},
                                       {-1, 0},
                                       {INT64_MAX, (INT64_C(1) << 40) - 1},
                                       {(INT64_C(1) << 40) - 1, (INT64_C(1) << 40) - 1}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        set(ISSUER_A, slice_str("x"), revoked(REVOCATION_AA_COMPROMISE, times[i][0]));
        struct revocation_status got =
            revocation_view_certificate(v, ISSUER_A, slice_str("x"), NOW);
        ck_assert_int_eq(got.at, times[i][1]);
        ck_assert_int_eq(got.reason, REVOCATION_AA_COMPROMISE);
    }
}
END_TEST

START_TEST(test_heartbeat_and_generation_are_seen)
{
    ck_assert_uint_eq(revocation_view_generation(v), 0);
    ck_assert_int_eq(revocation_view_alive_at(v), 0);
    revocation_writer_alive(w, NOW);
    ck_assert_uint_eq(revocation_writer_commit(w), 1);
    ck_assert_uint_eq(revocation_writer_commit(w), 2);
    ck_assert_uint_eq(revocation_view_generation(v), 2);
    ck_assert_int_eq(revocation_view_alive_at(v), NOW);
}
END_TEST

START_TEST(test_without_a_view_nothing_is_known)
{
    struct revocation_issuer list;
    struct revocation_id id = {{0}};
    ck_assert_int_eq(revocation_view_certificate(NULL, ISSUER_A, slice_str("x"), NOW).state,
                     REVOCATION_UNKNOWN);
    ck_assert_int_eq(revocation_view_id(NULL, &id).state, REVOCATION_UNKNOWN);
    ck_assert(!revocation_view_issuer(NULL, ISSUER_A, &list));
    ck_assert_uint_eq(revocation_view_generation(NULL), 0);
    ck_assert_int_eq(revocation_view_alive_at(NULL), 0);
}
END_TEST

/* Every third is forgotten again; all answers hold in the newest table, whatever it became. */
START_TEST(test_growth_keeps_every_answer_generation_and_heartbeat)
{
    struct slice web = slice_str("spiffe://example.org/web");
    struct revocation_status hold = revoked(REVOCATION_UNSPECIFIED, NOW);
    struct revocation_id id = revocation_id_of(web);
    uint8_t room[16];
    ck_assert_int_eq(revocation_writer_hold(w, web, &hold, &why), ERR_OK);
    revocation_writer_alive(w, NOW);
    revocation_writer_commit(w);
    complete(ISSUER_B, true, NOW + 1);
    for (uint32_t i = 0; i < 20000; i++) {
        set(i % 2 ? ISSUER_A : ISSUER_B, number(i, room), revoked(REVOCATION_SUPERSEDED, i));
        if (i % 3 == 2)
            forget((i - 2) % 2 ? ISSUER_A : ISSUER_B, number(i - 2, room));
    }
    ck_assert_int_gt(replaced, 5);
    for (uint32_t i = 0; i < 20000; i++) {
        struct revocation_status got =
            revocation_view_certificate(v, i % 2 ? ISSUER_A : ISSUER_B, number(i, room), NOW);
        if (i % 3 == 0 && i < 19998) {
            ck_assert_int_eq(got.state, i % 2 ? REVOCATION_UNKNOWN : REVOCATION_GOOD);
            continue;
        }
        ck_assert_int_eq(got.state, REVOCATION_REVOKED);
        ck_assert_int_eq(got.at, i);
    }
    ck_assert_int_eq(revocation_view_id(v, &id).state, REVOCATION_REVOKED);
    ck_assert_uint_eq(revocation_view_generation(v), 1);
    ck_assert_int_eq(revocation_view_alive_at(v), NOW);
    struct revocation_issuer list;
    ck_assert(revocation_view_issuer(v, ISSUER_B, &list));
    ck_assert_int_eq(list.this_update, NOW - 60);
}
END_TEST

START_TEST(test_many_issuers_grow_the_table_and_keep_their_serials)
{
    uint8_t issuer[20] = {0}, room[16];
    for (uint32_t i = 0; i < 5000; i++) {
        memcpy(issuer, &i, sizeof i);
        set(issuer, number(i, room), revoked(REVOCATION_SUPERSEDED, i));
        if (i % 2 == 0)
            revocation_writer_forget_issuer(w, issuer);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        memcpy(issuer, &i, sizeof i);
        ck_assert_int_eq(state(issuer, number(i, room)),
                         i % 2 ? REVOCATION_REVOKED : REVOCATION_UNKNOWN);
    }
    ck_assert_uint_eq(revocation_writer_count(w), 2500);
}
END_TEST

/* Serials come and go for a long time: the table stays as small as what lives in it. */
START_TEST(test_forgotten_rows_do_not_fill_the_table_for_ever)
{
    uint8_t room[16];
    for (uint32_t i = 0; i < 50000; i++) {
        set(ISSUER_A, number(i, room), revoked(REVOCATION_SUPERSEDED, NOW));
        if (i >= 100)
            forget(ISSUER_A, number(i - 100, room));
    }
    ck_assert_uint_eq(revocation_writer_count(w), 100);
    ck_assert_uint_le(revocation_writer_bytes(w), table_size(64, 400));
    ck_assert_int_eq(state(ISSUER_A, number(49999, room)), REVOCATION_REVOKED);
    ck_assert_int_eq(state(ISSUER_A, number(49899, room)), REVOCATION_UNKNOWN);
}
END_TEST

/* An agent that restarts knows how many it will tell of. */
START_TEST(test_what_was_expected_fits_without_growth)
{
    static const uint32_t expected[] = {1, 47, 48, 49, 64, 100, 5000};
    uint8_t room[16];
    for (size_t c = 0; c < sizeof expected / sizeof expected[0]; c++) {
        teardown();
        start(expected[c]);
        for (uint32_t i = 0; i < expected[c]; i++)
            set(ISSUER_A, number(i, room), revoked(REVOCATION_SUPERSEDED, NOW));
        ck_assert_int_eq(replaced, 0);
        ck_assert_int_eq(state(ISSUER_A, number(0, room)), REVOCATION_REVOKED);
    }
}
END_TEST

START_TEST(test_a_large_table_that_empties_becomes_small)
{
    uint8_t room[16];
    teardown();
    start(10000);
    for (uint32_t i = 0; replaced == 0; i++) {
        set(ISSUER_A, number(i, room), revoked(REVOCATION_SUPERSEDED, NOW));
        forget(ISSUER_A, number(i, room));
    }
    ck_assert_uint_eq(revocation_writer_bytes(w), table_size(64, 64));
}
END_TEST

/* So a million serials never need more than 64 MiB. */
START_TEST(test_a_table_has_at_most_two_rows_for_each_serial)
{
    uint8_t room[16];
    for (uint32_t i = 0; i < 20000; i++) {
        set(ISSUER_A, number(i, room), revoked(REVOCATION_SUPERSEDED, NOW));
        ck_assert_uint_le(revocation_writer_bytes(w), table_size(64, i < 32 ? 64 : 2 * (i + 1)));
    }
    ck_assert_uint_le(table_size(64, 2000000), 64 << 20);
}
END_TEST

START_TEST(test_forgotten_issuers_do_not_fill_the_table_for_ever)
{
    uint8_t issuer[20] = {0};
    for (uint32_t i = 0; i < 5000; i++) {
        memcpy(issuer, &i, sizeof i);
        complete(issuer, true, NOW + 1);
        ck_assert_int_eq(state(issuer, slice_str("x")), REVOCATION_GOOD);
        revocation_writer_forget_issuer(w, issuer);
    }
    ck_assert_uint_eq(revocation_writer_bytes(w), table_size(64, 64));
}
END_TEST

/* Who knows the seed picks serials that all belong into the same few places. */
START_TEST(test_serials_chosen_to_crowd_one_place_are_spread_by_another_seed)
{
    static uint8_t chosen[600][16];
    uint8_t room[16];
    teardown();
    start(4096);
    set(ISSUER_A, slice_str("first"), revoked(REVOCATION_UNSPECIFIED, NOW));
    struct table_key issuer = table_key_issuer(ISSUER_A), key;
    uint32_t index = table_find_issuer(revocation_writer_map(w), &issuer).index;
    for (uint32_t n = 0, found = 0; found < 600; n++) {
        ck_assert(table_key_serial(index, number(n, room), &key));
        if (table_find_row(revocation_writer_map(w), &key).index < 16)
            memcpy(chosen[found++], room, sizeof room);
    }
    for (size_t i = 0; i < 600; i++)
        set(ISSUER_A, slice_of(chosen[i], 16), revoked(REVOCATION_UNSPECIFIED, NOW));
    ck_assert_int_eq(replaced, 1);
    for (size_t i = 0; i < 600; i++)
        ck_assert_int_eq(state(ISSUER_A, slice_of(chosen[i], 16)), REVOCATION_REVOKED);
    ck_assert_int_eq(state(ISSUER_A, slice_str("first")), REVOCATION_REVOKED);
}
END_TEST

/* Lines of /proc/self/maps that map a table. */
static int mapped_tables(void)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char line[512];
    int count = 0;
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f) != NULL)
        count += strstr(line, "spindle-revocations") != NULL;
    fclose(f);
    return count;
}

START_TEST(test_tables_that_were_replaced_are_let_go)
{
    uint8_t room[16];
    int before = dup(0);
    close(before);
    for (uint32_t i = 0; i < 1000; i++)
        set(ISSUER_A, number(i, room), revoked(REVOCATION_SUPERSEDED, NOW));
    ck_assert_int_gt(replaced, 3);
    int after = dup(0); /* as many descriptors as before */
    close(after);
    ck_assert_int_le(after, before + 1);
    ck_assert_int_eq(mapped_tables(), 2); /* the writer's and the view's */
}
END_TEST

START_TEST(test_the_same_serial_set_and_forgotten_again_needs_no_new_table)
{
    for (int i = 0; i < 10000; i++) {
        set(ISSUER_A, slice_str("x"), revoked(REVOCATION_SUPERSEDED, i));
        ck_assert_int_eq(state(ISSUER_A, slice_str("x")), REVOCATION_REVOKED);
        forget(ISSUER_A, slice_str("x"));
    }
    ck_assert_int_eq(replaced, 0);
}
END_TEST

START_TEST(test_an_old_view_stays_as_it_was)
{
    uint8_t room[16];
    struct revocation_view *old = revocation_view_ref(v);
    set(ISSUER_A, number(0, room), revoked(REVOCATION_SUPERSEDED, NOW));
    for (uint32_t i = 1; replaced == 0; i++)
        set(ISSUER_A, number(i, room), revoked(REVOCATION_SUPERSEDED, NOW));
    forget(ISSUER_A, number(0, room));
    ck_assert_int_eq(state(ISSUER_A, number(0, room)), REVOCATION_UNKNOWN);
    ck_assert_int_eq(revocation_view_certificate(old, ISSUER_A, number(0, room), NOW).state,
                     REVOCATION_REVOKED);
    revocation_view_unref(old);
}
END_TEST

START_TEST(test_a_view_outlives_the_writer)
{
    set(ISSUER_A, slice_str("x"), revoked(REVOCATION_SUPERSEDED, NOW));
    revocation_writer_free(w);
    w = NULL;
    ck_assert_int_eq(state(ISSUER_A, slice_str("x")), REVOCATION_REVOKED);
}
END_TEST

START_TEST(test_no_memory_leaves_the_table_in_use)
{
    uint8_t room[16];
    mem_fail_after(0);
    for (uint32_t i = 0; i < 60; i++) /* 48 of 64 rows ask for a new table */
        set(ISSUER_A, number(i, room), revoked(REVOCATION_SUPERSEDED, NOW));
    ck_assert(mem_did_fail());
    struct revocation_status status = revoked(REVOCATION_SUPERSEDED, NOW);
    for (uint32_t i = 60; i < 64; i++)
        ck_assert_int_eq(revocation_writer_set(w, ISSUER_A, number(i, room), &status, &why),
                         ERR_OK);
    ck_assert_int_eq(revocation_writer_set(w, ISSUER_A, number(64, room), &status, &why),
                     ERR_NO_MEMORY);
    ck_assert_int_eq(state(ISSUER_A, number(64, room)), REVOCATION_UNKNOWN);
    ck_assert_int_eq(replaced, 0);
    for (uint32_t i = 0; i < 64; i++)
        ck_assert_int_eq(state(ISSUER_A, number(i, room)), REVOCATION_REVOKED);
    mem_fail_after(-1);
    set(ISSUER_A, number(64, room), status);
    ck_assert_int_eq(replaced, 1);
    for (uint32_t i = 0; i < 65; i++)
        ck_assert_int_eq(state(ISSUER_A, number(i, room)), REVOCATION_REVOKED);
}
END_TEST

START_TEST(test_no_memory_makes_neither_writer_nor_view)
{
    struct revocation_writer *none = NULL;
    struct revocation_view *nothing = NULL;
    mem_fail_after(0);
    ck_assert_int_eq(revocation_writer_new(0, NULL, NULL, &none, &why), ERR_NO_MEMORY);
    ck_assert_int_eq(revocation_view_open(revocation_writer_fd(w), &nothing, &why), ERR_NO_MEMORY);
    mem_fail_after(-1);
    ck_assert_ptr_null(none);
    ck_assert_ptr_null(nothing);
    ck_assert_int_ne(fcntl(revocation_writer_fd(w), F_GETFD), -1);
}
END_TEST

/* Whoever has the descriptor, or opens the memory anew, reads and no more. */
START_TEST(test_a_reader_cannot_write_resize_or_unseal)
{
    char path[64];
    int held = revocation_writer_fd(w);
    snprintf(path, sizeof path, "/proc/self/fd/%d", held);
    int fds[] = {held, open(path, O_RDWR | O_CLOEXEC)};
    size_t size = revocation_writer_bytes(w);
    ck_assert_int_ge(fds[1], 0);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(pwrite(fds[i], "x", 1, 0), -1);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_int_eq(ftruncate(fds[i], 0), -1);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_int_eq(ftruncate(fds[i], (off_t)size + 4096), -1);
        ck_assert_int_eq(fallocate(fds[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096),
                         -1);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_ptr_eq(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0),
                         MAP_FAILED);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_int_eq(fcntl(fds[i], F_ADD_SEALS, F_SEAL_WRITE), -1);
        ck_assert_int_eq(errno, EPERM);
        void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fds[i], 0);
        ck_assert_ptr_ne(bytes, MAP_FAILED);
        ck_assert_int_eq(mprotect(bytes, size, PROT_READ | PROT_WRITE), -1);
        munmap(bytes, size);
    }
    ck_assert_int_eq(fcntl(held, F_GETFD), FD_CLOEXEC);
    close(fds[1]);
    set(ISSUER_A, slice_str("x"), revoked(REVOCATION_SUPERSEDED, NOW)); /* we still can */
    ck_assert_int_eq(state(ISSUER_A, slice_str("x")), REVOCATION_REVOKED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("revocation_cache");
    TCase *tc = tcase_create("revocation_cache");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_a_revoked_serial_is_revoked_with_reason_and_time);
    tcase_add_loop_test(tc, test_absence_is_good_only_of_a_complete_fresh_list, 0,
                        (int)(sizeof absences / sizeof absences[0]));
    tcase_add_test(tc, test_a_serial_said_to_be_good_is_so_until_its_time);
    tcase_add_test(tc, test_an_issuers_list_is_told);
    tcase_add_test(tc, test_a_forgotten_issuer_takes_its_serials_along);
    tcase_add_test(tc, test_a_held_id_is_revoked_and_held_until_released);
    tcase_add_test(tc, test_serials_and_ids_do_not_meet);
    tcase_add_test(tc, test_serials_are_numbers);
    tcase_add_test(tc, test_a_serial_too_long_is_refused_and_unknown);
    tcase_add_test(tc, test_times_beyond_the_words_room_are_cut_to_it);
    tcase_add_test(tc, test_heartbeat_and_generation_are_seen);
    tcase_add_test(tc, test_without_a_view_nothing_is_known);
    tcase_add_test(tc, test_growth_keeps_every_answer_generation_and_heartbeat);
    tcase_add_test(tc, test_many_issuers_grow_the_table_and_keep_their_serials);
    tcase_add_test(tc, test_forgotten_rows_do_not_fill_the_table_for_ever);
    tcase_add_test(tc, test_what_was_expected_fits_without_growth);
    tcase_add_test(tc, test_a_large_table_that_empties_becomes_small);
    tcase_add_test(tc, test_a_table_has_at_most_two_rows_for_each_serial);
    tcase_add_test(tc, test_forgotten_issuers_do_not_fill_the_table_for_ever);
    tcase_add_test(tc, test_serials_chosen_to_crowd_one_place_are_spread_by_another_seed);
    tcase_add_test(tc, test_tables_that_were_replaced_are_let_go);
    tcase_add_test(tc, test_the_same_serial_set_and_forgotten_again_needs_no_new_table);
    tcase_add_test(tc, test_an_old_view_stays_as_it_was);
    tcase_add_test(tc, test_a_view_outlives_the_writer);
    tcase_add_test(tc, test_no_memory_leaves_the_table_in_use);
    tcase_add_test(tc, test_no_memory_makes_neither_writer_nor_view);
    tcase_add_test(tc, test_a_reader_cannot_write_resize_or_unseal);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

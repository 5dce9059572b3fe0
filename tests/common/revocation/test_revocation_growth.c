/* A table that grows, empties and is crowded: a new one takes over with every answer, and none is
 * larger than what lives in it needs. */
#include "common/base/mem.h"
#include "tests/support/revocation_case.h"
#include "tests/support/runner.h"

#include <stdio.h>
#include <unistd.h>

static struct revocation_case c;

static void setup(void)
{
    case_start(&c, 0);
}

static void teardown(void)
{
    case_stop(&c);
}

/* Every third is forgotten again; all answers hold in the newest table, whatever it became. */
START_TEST(test_growth_keeps_every_answer_generation_and_heartbeat)
{
    struct slice web = slice_str("spiffe://example.org/web");
    struct revocation_status hold = case_revoked(REVOCATION_UNSPECIFIED, CASE_NOW);
    struct revocation_id id = revocation_id_of(web);
    uint8_t room[16];
    ck_assert_int_eq(revocation_writer_hold(c.w, web, &hold, &c.why), ERR_OK);
    revocation_writer_alive(c.w, CASE_NOW);
    revocation_writer_commit(c.w);
    case_complete(&c, CASE_ISSUER_B, true, CASE_NOW + 1);
    for (uint32_t i = 0; i < 20000; i++) {
        case_set(&c, i % 2 ? CASE_ISSUER_A : CASE_ISSUER_B, case_number(i, room),
                 case_revoked(REVOCATION_SUPERSEDED, i));
        if (i % 3 == 2)
            case_forget(&c, (i - 2) % 2 ? CASE_ISSUER_A : CASE_ISSUER_B, case_number(i - 2, room));
    }
    ck_assert_int_gt(c.replaced, 5);
    for (uint32_t i = 0; i < 20000; i++) {
        struct revocation_status got = revocation_view_certificate(
            c.v, i % 2 ? CASE_ISSUER_A : CASE_ISSUER_B, case_number(i, room), CASE_NOW);
        if (i % 3 == 0 && i < 19998) {
            ck_assert_int_eq(got.state, i % 2 ? REVOCATION_UNKNOWN : REVOCATION_GOOD);
            continue;
        }
        ck_assert_int_eq(got.state, REVOCATION_REVOKED);
        ck_assert_int_eq(got.at, i);
    }
    ck_assert_int_eq(revocation_view_id(c.v, &id).state, REVOCATION_REVOKED);
    ck_assert_uint_eq(revocation_view_generation(c.v), 1);
    ck_assert_int_eq(revocation_view_alive_at(c.v), CASE_NOW);
    struct revocation_issuer list;
    ck_assert(revocation_view_issuer(c.v, CASE_ISSUER_B, &list));
    ck_assert_int_eq(list.this_update, CASE_NOW - 60);
}
END_TEST

START_TEST(test_many_issuers_grow_the_table_and_keep_their_serials)
{
    uint8_t issuer[20] = {0}, room[16];
    for (uint32_t i = 0; i < 5000; i++) {
        memcpy(issuer, &i, sizeof i);
        case_set(&c, issuer, case_number(i, room), case_revoked(REVOCATION_SUPERSEDED, i));
        if (i % 2 == 0)
            revocation_writer_forget_issuer(c.w, issuer);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        memcpy(issuer, &i, sizeof i);
        ck_assert_int_eq(case_state(&c, issuer, case_number(i, room)),
                         i % 2 ? REVOCATION_REVOKED : REVOCATION_UNKNOWN);
    }
    ck_assert_uint_eq(revocation_writer_count(c.w), 2500);
}
END_TEST

/* Serials come and go for a long time: the table stays as small as what lives in it. */
START_TEST(test_forgotten_rows_do_not_fill_the_table_for_ever)
{
    uint8_t room[16];
    for (uint32_t i = 0; i < 50000; i++) {
        case_set(&c, CASE_ISSUER_A, case_number(i, room),
                 case_revoked(REVOCATION_SUPERSEDED, CASE_NOW));
        if (i >= 100)
            case_forget(&c, CASE_ISSUER_A, case_number(i - 100, room));
    }
    ck_assert_uint_eq(revocation_writer_count(c.w), 100);
    ck_assert_uint_le(revocation_writer_bytes(c.w), table_size(64, 400));
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, case_number(49999, room)), REVOCATION_REVOKED);
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, case_number(49899, room)), REVOCATION_UNKNOWN);
}
END_TEST

/* An agent that restarts knows how many it will tell of. */
START_TEST(test_what_was_expected_fits_without_growth)
{
    static const uint32_t expected[] = {1, 47, 48, 49, 64, 100, 5000};
    uint8_t room[16];
    for (size_t e = 0; e < sizeof expected / sizeof expected[0]; e++) {
        case_stop(&c);
        case_start(&c, expected[e]);
        for (uint32_t i = 0; i < expected[e]; i++)
            case_set(&c, CASE_ISSUER_A, case_number(i, room),
                     case_revoked(REVOCATION_SUPERSEDED, CASE_NOW));
        ck_assert_int_eq(c.replaced, 0);
        ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, case_number(0, room)), REVOCATION_REVOKED);
    }
}
END_TEST

START_TEST(test_a_large_table_that_empties_becomes_small)
{
    uint8_t room[16];
    case_stop(&c);
    case_start(&c, 10000);
    for (uint32_t i = 0; c.replaced == 0; i++) {
        case_set(&c, CASE_ISSUER_A, case_number(i, room),
                 case_revoked(REVOCATION_SUPERSEDED, CASE_NOW));
        case_forget(&c, CASE_ISSUER_A, case_number(i, room));
    }
    ck_assert_uint_eq(revocation_writer_bytes(c.w), table_size(64, 64));
}
END_TEST

/* So a million serials never need more than 64 MiB. */
START_TEST(test_a_table_has_at_most_two_rows_for_each_serial)
{
    uint8_t room[16];
    for (uint32_t i = 0; i < 20000; i++) {
        case_set(&c, CASE_ISSUER_A, case_number(i, room),
                 case_revoked(REVOCATION_SUPERSEDED, CASE_NOW));
        ck_assert_uint_le(revocation_writer_bytes(c.w), table_size(64, i < 32 ? 64 : 2 * (i + 1)));
    }
    ck_assert_uint_le(table_size(64, 2000000), 64 << 20);
}
END_TEST

START_TEST(test_forgotten_issuers_do_not_fill_the_table_for_ever)
{
    uint8_t issuer[20] = {0};
    for (uint32_t i = 0; i < 5000; i++) {
        memcpy(issuer, &i, sizeof i);
        case_complete(&c, issuer, true, CASE_NOW + 1);
        ck_assert_int_eq(case_state(&c, issuer, slice_str("x")), REVOCATION_GOOD);
        revocation_writer_forget_issuer(c.w, issuer);
    }
    ck_assert_uint_eq(revocation_writer_bytes(c.w), table_size(64, 64));
}
END_TEST

/* Who knows the seed picks serials that all belong into the same few places. */
START_TEST(test_serials_chosen_to_crowd_one_place_are_spread_by_another_seed)
{
    static uint8_t chosen[600][16];
    uint8_t room[16];
    case_stop(&c);
    case_start(&c, 4096);
    case_set(&c, CASE_ISSUER_A, slice_str("first"), case_revoked(REVOCATION_UNSPECIFIED, CASE_NOW));
    struct table_key issuer = table_key_issuer(CASE_ISSUER_A), key;
    uint32_t index = table_find_issuer(revocation_writer_map(c.w), &issuer).index;
    for (uint32_t n = 0, found = 0; found < 600; n++) {
        ck_assert(table_key_serial(index, case_number(n, room), &key));
        if (table_find_row(revocation_writer_map(c.w), &key).index < 16)
            memcpy(chosen[found++], room, sizeof room);
    }
    for (size_t i = 0; i < 600; i++)
        case_set(&c, CASE_ISSUER_A, slice_of(chosen[i], 16),
                 case_revoked(REVOCATION_UNSPECIFIED, CASE_NOW));
    ck_assert_int_eq(c.replaced, 1);
    for (size_t i = 0; i < 600; i++)
        ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, slice_of(chosen[i], 16)),
                         REVOCATION_REVOKED);
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, slice_str("first")), REVOCATION_REVOKED);
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
        case_set(&c, CASE_ISSUER_A, case_number(i, room),
                 case_revoked(REVOCATION_SUPERSEDED, CASE_NOW));
    ck_assert_int_gt(c.replaced, 3);
    int after = dup(0); /* as many descriptors as before */
    close(after);
    ck_assert_int_le(after, before + 1);
    ck_assert_int_eq(mapped_tables(), 2); /* the writer's and the view's */
}
END_TEST

START_TEST(test_the_same_serial_set_and_forgotten_again_needs_no_new_table)
{
    for (int i = 0; i < 10000; i++) {
        case_set(&c, CASE_ISSUER_A, slice_str("x"), case_revoked(REVOCATION_SUPERSEDED, i));
        ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, slice_str("x")), REVOCATION_REVOKED);
        case_forget(&c, CASE_ISSUER_A, slice_str("x"));
    }
    ck_assert_int_eq(c.replaced, 0);
}
END_TEST

START_TEST(test_an_old_view_stays_as_it_was)
{
    uint8_t room[16];
    struct revocation_view *old = revocation_view_ref(c.v);
    case_set(&c, CASE_ISSUER_A, case_number(0, room),
             case_revoked(REVOCATION_SUPERSEDED, CASE_NOW));
    for (uint32_t i = 1; c.replaced == 0; i++)
        case_set(&c, CASE_ISSUER_A, case_number(i, room),
                 case_revoked(REVOCATION_SUPERSEDED, CASE_NOW));
    case_forget(&c, CASE_ISSUER_A, case_number(0, room));
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, case_number(0, room)), REVOCATION_UNKNOWN);
    ck_assert_int_eq(
        revocation_view_certificate(old, CASE_ISSUER_A, case_number(0, room), CASE_NOW).state,
        REVOCATION_REVOKED);
    revocation_view_unref(old);
}
END_TEST

/* Each try would reserve memory for all of it, once a row, on the agent's loop. */
START_TEST(test_growth_that_failed_is_not_tried_again_for_every_row)
{
    uint8_t room[16];
    struct revocation_status status = case_revoked(REVOCATION_SUPERSEDED, CASE_NOW);
    for (uint32_t i = 0; i < 48; i++)
        case_set(&c, CASE_ISSUER_A, case_number(i, room), status);
    mem_fail_after(0);
    case_set(&c, CASE_ISSUER_A, case_number(48, room), status);
    ck_assert(mem_did_fail());
    mem_fail_after(-1);
    case_set(&c, CASE_ISSUER_A, case_number(49, room), status);
    ck_assert_int_eq(c.replaced, 0);
    case_set(&c, CASE_ISSUER_A, case_number(50, room), status);
    ck_assert_int_eq(c.replaced, 1);
}
END_TEST

START_TEST(test_no_memory_leaves_the_table_in_use)
{
    uint8_t room[16];
    mem_fail_after(0);
    for (uint32_t i = 0; i < 60; i++) /* 48 of 64 rows ask for a new table */
        case_set(&c, CASE_ISSUER_A, case_number(i, room),
                 case_revoked(REVOCATION_SUPERSEDED, CASE_NOW));
    ck_assert(mem_did_fail());
    struct revocation_status status = case_revoked(REVOCATION_SUPERSEDED, CASE_NOW);
    for (uint32_t i = 60; i < 64; i++)
        ck_assert_int_eq(
            revocation_writer_set(c.w, CASE_ISSUER_A, case_number(i, room), &status, &c.why),
            ERR_OK);
    ck_assert_int_eq(
        revocation_writer_set(c.w, CASE_ISSUER_A, case_number(64, room), &status, &c.why),
        ERR_NO_MEMORY);
    ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, case_number(64, room)), REVOCATION_UNKNOWN);
    ck_assert_int_eq(c.replaced, 0);
    for (uint32_t i = 0; i < 64; i++)
        ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, case_number(i, room)), REVOCATION_REVOKED);
    mem_fail_after(-1);
    case_set(&c, CASE_ISSUER_A, case_number(64, room), status);
    ck_assert_int_eq(c.replaced, 1);
    for (uint32_t i = 0; i < 65; i++)
        ck_assert_int_eq(case_state(&c, CASE_ISSUER_A, case_number(i, room)), REVOCATION_REVOKED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("revocation_growth");
    TCase *tc = tcase_create("revocation_growth");
    tcase_add_checked_fixture(tc, setup, teardown);
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
    tcase_add_test(tc, test_growth_that_failed_is_not_tried_again_for_every_row);
    tcase_add_test(tc, test_no_memory_leaves_the_table_in_use);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

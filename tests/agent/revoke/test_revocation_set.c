/* Holds and revoked certificates in memory, against a plain model of them. */
#include "agent/revoke/revocation_set.h"
#include "common/base/mem.h"
#include "tests/support/runner.h"

#include <stdio.h>

enum { NAMES = 40, SERIALS = 300 };

static struct revocation_set *set;
static struct buf row;
static struct {
    bool held[2][NAMES];
    int64_t at[SERIALS]; /* 0: good */
    enum revocation_reason reason[SERIALS];
} model;

static void setup(void)
{
    memset(&model, 0, sizeof model);
    buf_init(&row, 1 << 20);
    ck_assert_int_eq(revocation_set_new(&set), ERR_OK);
}

static void teardown(void)
{
    revocation_set_free(set);
    buf_done(&row);
}

static struct revoked certificate(unsigned number)
{
    struct revoked c = {.serial = {0}};
    memcpy(c.serial + 10, &number, sizeof number);
    memset(c.issuer, (int)(number % 5), sizeof c.issuer);
    revoked_set_not_after(&c, 1000 + number);
    return c;
}

static err_t apply(enum revoke_kind kind, bool lift, enum revocation_reason reason,
                   const char *target, int64_t at, unsigned first, unsigned count)
{
    struct revocation_change change = {
        .kind = kind, .lift = lift, .reason = reason, .target = slice_str(target), .at = at};
    buf_clear(&row);
    err_t err = revocation_row_begin(&row, &change);
    for (unsigned i = 0; i < count && err == ERR_OK; i++) {
        struct revoked c = certificate(first + i);
        err = buf_append(&row, &c, sizeof c);
    }
    if (err != ERR_OK)
        return err;
    revocation_row_end(&row, 0);
    revocation_row_parse(buf_slice(&row), &change);
    err = revocation_set_reserve(set, &change, NULL);
    if (err == ERR_OK)
        revocation_set_apply(set, &change);
    return err;
}

static const char *name(unsigned i)
{
    static char text[32];
    snprintf(text, sizeof text, "name-%u", i);
    return text;
}

static void check_model(const struct revocation_set *s)
{
    size_t holds[2] = {0}, certificates = 0;
    struct revocation_hold h;
    struct revocation_certificate c;
    for (unsigned kind = 0; kind < 2; kind++)
        for (unsigned i = 0; i < NAMES; i++) {
            bool held =
                revocation_set_held(s, (enum revoke_kind)(kind + 1), slice_str(name(i)), &h);
            ck_assert_int_eq(held, model.held[kind][i]);
            holds[kind] += held;
        }
    for (unsigned i = 0; i < SERIALS; i++) {
        struct revoked r = certificate(i);
        ck_assert_int_eq(revocation_set_find(s, r.serial, &c), model.at[i] != 0);
        if (model.at[i] == 0)
            continue;
        certificates++;
        ck_assert_int_eq(c.at, model.at[i]);
        ck_assert_int_eq(c.reason, model.reason[i]);
        ck_assert_int_eq(c.not_after, 1000 + i);
        ck_assert_mem_eq(c.issuer, r.issuer, sizeof r.issuer);
    }
    ck_assert_uint_eq(revocation_set_holds(s, REVOKE_ID), holds[0]);
    ck_assert_uint_eq(revocation_set_holds(s, REVOKE_ENTRY), holds[1]);
    ck_assert_uint_eq(revocation_set_certificates(s), certificates);
}

static void step(unsigned random, int64_t at)
{
    unsigned kind = random % 3 + 1, i = random / 16 % NAMES, first = random / 64 % (SERIALS - 8);
    bool lift = random / 4 % 2 == 1;
    enum revocation_reason reason =
        random / 8 % 2 == 1 ? REVOCATION_SUPERSEDED : REVOCATION_UNSPECIFIED;
    unsigned count = kind == REVOKE_SERIAL ? 1 + random % 8 : lift ? 0 : random % 8;
    ck_assert_int_eq(apply((enum revoke_kind)kind, lift, reason,
                           kind == REVOKE_SERIAL ? "" : name(i), at, first, count),
                     ERR_OK);
    if (kind != REVOKE_SERIAL)
        model.held[kind - 1][i] = !lift;
    for (unsigned n = first; n < first + count; n++) {
        model.at[n] = lift ? 0 : model.at[n] != 0 ? model.at[n] : at;
        model.reason[n] = reason;
    }
}

static err_t on_row(void *arg, const struct revocation_change *change)
{
    struct revocation_set *s = arg;
    err_t err = revocation_set_reserve(s, change, NULL);
    if (err == ERR_OK)
        revocation_set_apply(s, change);
    return err;
}

START_TEST(test_any_order_of_changes_gives_what_the_model_has_and_so_does_the_rewritten_journal)
{
    unsigned random = 12345;
    for (int64_t at = 1; at <= 3000; at++) {
        random = random * 1103515245 + 12345;
        step(random >> 8, at);
        if (at % 100 == 0)
            check_model(set);
    }
    struct buf journal;
    struct revocation_set *copy = NULL;
    size_t good = 0;
    buf_init(&journal, 1 << 20);
    ck_assert_int_eq(revocation_set_write(set, &journal), ERR_OK);
    ck_assert_uint_le(revocation_set_written_len(set), journal.len);
    ck_assert_int_eq(revocation_set_new(&copy), ERR_OK);
    ck_assert_int_eq(revocation_journal_read(buf_slice(&journal), on_row, copy, &good, NULL),
                     ERR_OK);
    ck_assert_uint_eq(good, journal.len);
    check_model(copy);
    revocation_set_free(copy);
    buf_done(&journal);
}
END_TEST

START_TEST(test_a_hold_keeps_its_time_and_takes_the_new_reason)
{
    struct revocation_hold h;
    ck_assert_int_eq(apply(REVOKE_ID, false, REVOCATION_CERTIFICATE_HOLD, "a", 5, 0, 0), ERR_OK);
    ck_assert_int_eq(apply(REVOKE_ID, false, REVOCATION_KEY_COMPROMISE, "a", 9, 0, 0), ERR_OK);
    ck_assert(revocation_set_held(set, REVOKE_ID, slice_str("a"), &h));
    ck_assert_int_eq(h.at, 5);
    ck_assert_int_eq(h.reason, REVOCATION_KEY_COMPROMISE);
    ck_assert_str_eq(h.target, "a");
    ck_assert(!revocation_set_held(set, REVOKE_ENTRY, slice_str("a"), &h));
    ck_assert(!revocation_set_held(set, REVOKE_ID, slice_str("aa"), &h));
}
END_TEST

static void forget_in_model(void *arg, const struct revocation_certificate *c)
{
    unsigned number;
    memcpy(&number, c->serial + 10, sizeof number);
    model.at[number] = 0;
    ++*(size_t *)arg;
}

START_TEST(test_what_has_expired_is_forgotten_a_part_at_a_time)
{
    size_t forgotten = 0;
    for (unsigned i = 0; i < SERIALS; i++) {
        ck_assert_int_eq(apply(REVOKE_SERIAL, false, REVOCATION_UNSPECIFIED, "", 7, i, 1), ERR_OK);
        model.at[i] = 7;
    }
    revocation_set_expire(set, 1000, 10 * SERIALS, forget_in_model, &forgotten);
    ck_assert_uint_eq(forgotten, 0);
    revocation_set_expire(set, 1100, 10, forget_in_model, &forgotten);
    ck_assert_uint_le(forgotten, 10);
    for (unsigned i = 0; i < 2 * SERIALS; i += 10)
        revocation_set_expire(set, 1100, 10, forget_in_model, &forgotten);
    ck_assert_uint_eq(forgotten, 100); /* those that end at 1000 to 1099 */
    check_model(set);
    revocation_set_expire(set, 9999, 10 * SERIALS, forget_in_model, &forgotten);
    check_model(set);
}
END_TEST

START_TEST(test_more_than_the_bound_is_refused_whole)
{
    struct why why = {.err = ERR_OK};
    ck_assert_int_eq(apply(REVOKE_SERIAL, false, REVOCATION_UNSPECIFIED, "", 7, 0, 10), ERR_OK);
    struct revoked *revoked = mem_array(REVOKED_MAX, sizeof *revoked);
    struct revocation_change change = {
        .kind = REVOKE_SERIAL, .count = REVOKED_MAX, .revoked = revoked};
    ck_assert_ptr_nonnull(revoked);
    for (unsigned i = 0; i < REVOKED_MAX; i++)
        revoked[i] = certificate(i + 1); /* all but the first of those that are */
    ck_assert_int_eq(revocation_set_reserve(set, &change, &why), ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "1048576"));
    change.count--;
    ck_assert_int_eq(revocation_set_reserve(set, &change, &why), ERR_OK);
    mem_free(revoked);
}
END_TEST

START_TEST(test_the_length_is_that_of_certificates_revoked_together)
{
    struct buf journal;
    buf_init(&journal, 1 << 20);
    ck_assert_int_eq(apply(REVOKE_ID, false, REVOCATION_UNSPECIFIED, "a", 7, 0, SERIALS), ERR_OK);
    ck_assert_int_eq(revocation_set_write(set, &journal), ERR_OK);
    ck_assert_uint_le(revocation_set_written_len(set), journal.len);
    ck_assert_uint_ge(revocation_set_written_len(set) + 64, journal.len);
    buf_done(&journal);
}
END_TEST

START_TEST(test_without_memory_a_change_is_refused_and_nothing_changes)
{
    for (long n = 0;; n++) {
        teardown();
        setup();
        ck_assert_int_eq(apply(REVOKE_ID, false, REVOCATION_UNSPECIFIED, name(0), 3, 0, 64),
                         ERR_OK);
        model.held[0][0] = true;
        for (unsigned i = 0; i < 64; i++)
            model.at[i] = 3;
        for (unsigned i = 1; i < 64 && i < NAMES; i++) {
            ck_assert_int_eq(apply(REVOKE_ID, false, REVOCATION_UNSPECIFIED, name(i), 3, 0, 0),
                             ERR_OK);
            model.held[0][i] = true;
        }
        mem_fail_after(n);
        err_t err = apply(REVOKE_ENTRY, false, REVOCATION_UNSPECIFIED, name(1), 4, 64, 64);
        int failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert_int_eq(err, failed ? ERR_NO_MEMORY : ERR_OK);
        if (!failed) {
            model.held[1][1] = true;
            for (unsigned i = 64; i < 128; i++)
                model.at[i] = 4;
        }
        check_model(set);
        if (!failed)
            break;
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("revocation_set");
    TCase *t = tcase_create("revocation_set");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(
        t, test_any_order_of_changes_gives_what_the_model_has_and_so_does_the_rewritten_journal);
    tcase_add_test(t, test_a_hold_keeps_its_time_and_takes_the_new_reason);
    tcase_add_test(t, test_what_has_expired_is_forgotten_a_part_at_a_time);
    tcase_add_test(t, test_more_than_the_bound_is_refused_whole);
    tcase_add_test(t, test_the_length_is_that_of_certificates_revoked_together);
    tcase_add_test(t, test_without_memory_a_change_is_refused_and_nothing_changes);
    suite_add_tcase(s, t);
    return run_suite(s);
}

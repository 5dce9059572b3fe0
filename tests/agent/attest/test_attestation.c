/* Several attestors for one caller: what they find together, and what the failure of one means. */
#include "agent/attest/attestation.h"

#include "common/base/mem.h"
#include "tests/support/runner.h"

#include <stdio.h>
#include <unistd.h>

/* One that answers when the test says so, or at once. */
struct fake {
    const char *finds;
    err_t err;
    bool at_once;
    unsigned asked, canceled, kinds;
    attestor_answer_fn *done;
    void *arg;
};

static struct fake fakes[2];
static struct attestors all;
static struct peer peer;
static struct attestation *under_way;
static unsigned kinds_in_use, answers, problems;
static err_t last_err;
static size_t last_count;
static char first[64], second[64];

static void fake_answer(struct fake *f)
{
    struct selector_set set;
    struct why why = {0};
    selector_set_init(&set);
    err_t err = f->err != ERR_OK ? f->err : selector_set_add(&set, "%s", f->finds);
    if (err != ERR_OK)
        why_set(&why, err, "it cannot");
    f->done(f->arg, err, err == ERR_OK ? &set : NULL, &why);
    selector_set_done(&set);
}

static uint64_t fake_start(void *self, const struct attest_subject *who, unsigned kinds,
                           attestor_answer_fn *done, void *arg)
{
    struct fake *f = self;
    ck_assert_int_eq(who->pid, getpid());
    f->asked++;
    f->kinds = kinds;
    f->done = done;
    f->arg = arg;
    if (f->at_once)
        fake_answer(f);
    return !f->at_once;
}

static void fake_cancel(void *self, uint64_t id)
{
    ck_assert_uint_eq(id, 1);
    ((struct fake *)self)->canceled++;
}

static unsigned on_kinds(void *arg)
{
    (void)arg;
    return kinds_in_use;
}

static void on_done(void *arg, err_t err, struct selector_set *selectors, const struct why *why)
{
    (void)arg;
    (void)why;
    answers++;
    last_err = err;
    last_count = selectors != NULL ? selectors->count : 0;
    if (last_count > 0)
        snprintf(first, sizeof first, "%s", selectors->items[0]);
    if (last_count > 1)
        snprintf(second, sizeof second, "%s", selectors->items[1]);
    ck_assert_ptr_null(under_way); /* the next one may start from here */
}

static void on_problem(void *arg, const char *part, err_t err, const struct why *why)
{
    (void)arg;
    ck_assert_str_eq(part, "two");
    ck_assert_int_eq(err, ERR_IO);
    ck_assert_str_eq(why_text(why), "it cannot");
    problems++;
}

static err_t start(void)
{
    const struct attestation_question q = {.attestors = &all,
                                           .peer = &peer,
                                           .kinds = on_kinds,
                                           .done = on_done,
                                           .on_problem = on_problem};
    return attestation_start(&q, &under_way, NULL);
}

static void setup(void)
{
    ck_assert_int_eq(peer_of_pid(getpid(), &peer, NULL), ERR_OK);
    fakes[0] = (struct fake){.finds = "unix:uid:1"};
    fakes[1] = (struct fake){.finds = "unix:gid:2"};
    for (size_t i = 0; i < 2; i++)
        all.items[i] = (struct attestor){.name = i == 0 ? "one" : "two",
                                         .self = &fakes[i],
                                         .start = fake_start,
                                         .cancel = fake_cancel};
    all.count = 2;
    kinds_in_use = 1;
    answers = problems = 0;
}

static void teardown(void)
{
    peer_done(&peer);
}

/* Bits of _i: which of them answer at once. */
START_TEST(test_a_caller_has_the_selectors_of_all)
{
    fakes[0].at_once = (_i & 1) != 0;
    fakes[1].at_once = (_i & 2) != 0;
    ck_assert_int_eq(start(), ERR_OK);
    ck_assert((under_way == NULL) == (_i == 3));
    for (size_t i = 0; i < 2; i++)
        if (!fakes[i].at_once) {
            ck_assert_uint_eq(answers, 0);
            fake_answer(&fakes[i]);
        }
    ck_assert_uint_eq(answers, 1);
    ck_assert_int_eq(last_err, ERR_OK);
    ck_assert_uint_eq(last_count, 2);
    ck_assert_str_eq(first, "unix:gid:2");
    ck_assert_str_eq(second, "unix:uid:1");
}
END_TEST

static const struct {
    err_t err, result;
    unsigned problems;
} failures[] = {
    {ERR_IO, ERR_OK, 1},
    {ERR_ATTESTATION, ERR_ATTESTATION, 0},
    {ERR_LIMIT, ERR_LIMIT, 0},
    {ERR_NO_MEMORY, ERR_NO_MEMORY, 0},
};

START_TEST(test_one_that_fails_leaves_its_selectors_out_or_fails_the_whole)
{
    fakes[1].err = failures[_i].err;
    ck_assert_int_eq(start(), ERR_OK);
    fake_answer(&fakes[1]);
    ck_assert_uint_eq(answers, 0); /* the other one is waited for all the same */
    fake_answer(&fakes[0]);
    ck_assert_uint_eq(answers, 1);
    ck_assert_int_eq(last_err, failures[_i].result);
    ck_assert_uint_eq(last_count, failures[_i].result == ERR_OK);
    ck_assert_uint_eq(problems, failures[_i].problems);
}
END_TEST

START_TEST(test_it_begins_anew_when_more_is_asked_for_meanwhile)
{
    ck_assert_int_eq(start(), ERR_OK);
    fake_answer(&fakes[0]);
    kinds_in_use = 3;
    fake_answer(&fakes[1]);
    ck_assert_uint_eq(answers, 0);
    ck_assert_uint_eq(fakes[0].asked, 2);
    ck_assert_uint_eq(fakes[1].kinds, 3);
    kinds_in_use = 1; /* less is no reason */
    fake_answer(&fakes[0]);
    fake_answer(&fakes[1]);
    ck_assert_uint_eq(answers, 1);
    ck_assert_uint_eq(last_count, 2);
}
END_TEST

START_TEST(test_a_canceled_one_is_not_heard_of)
{
    ck_assert_int_eq(start(), ERR_OK);
    fake_answer(&fakes[0]);
    attestation_cancel(&under_way);
    ck_assert_ptr_null(under_way);
    ck_assert_uint_eq(fakes[0].canceled, 0); /* it had answered */
    ck_assert_uint_eq(fakes[1].canceled, 1);
    attestation_cancel(&under_way); /* none: fine */
    ck_assert_uint_eq(answers, 0);
}
END_TEST

/* AG-2: before and after. */
START_TEST(test_a_peer_that_is_not_who_it_was_is_attested_to_nothing)
{
    ck_assert_int_eq(start(), ERR_OK);
    peer.uid++;
    fake_answer(&fakes[0]);
    fake_answer(&fakes[1]);
    ck_assert_uint_eq(answers, 1);
    ck_assert_int_eq(last_err, ERR_ATTESTATION);
    ck_assert_uint_eq(last_count, 0);
    ck_assert_int_eq(start(), ERR_ATTESTATION);
    ck_assert_uint_eq(answers, 1);
    ck_assert_uint_eq(fakes[0].asked, 1);
}
END_TEST

START_TEST(test_without_memory_it_says_so_and_finds_nothing)
{
    fakes[0].at_once = fakes[1].at_once = true;
    last_count = 0;
    for (long n = 0; last_count != 2; n++) {
        mem_fail_after(n);
        err_t err = start();
        mem_fail_after(-1);
        ck_assert_ptr_null(under_way);
        if (err == ERR_OK)
            err = last_err;
        ck_assert_int_eq(err, last_count == 2 ? ERR_OK : ERR_NO_MEMORY);
        ck_assert_uint_eq(answers, n); /* the first has no memory to begin */
    }
    ck_assert_uint_gt(answers, 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("attestation");
    TCase *t = tcase_create("attestation");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_a_caller_has_the_selectors_of_all, 0, 4);
    tcase_add_loop_test(t, test_one_that_fails_leaves_its_selectors_out_or_fails_the_whole, 0,
                        sizeof failures / sizeof failures[0]);
    tcase_add_test(t, test_it_begins_anew_when_more_is_asked_for_meanwhile);
    tcase_add_test(t, test_a_canceled_one_is_not_heard_of);
    tcase_add_test(t, test_a_peer_that_is_not_who_it_was_is_attested_to_nothing);
    tcase_add_test(t, test_without_memory_it_says_so_and_finds_nothing);
    suite_add_tcase(s, t);
    return run_suite(s);
}

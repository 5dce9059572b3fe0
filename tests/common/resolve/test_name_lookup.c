/* One look-up against name servers of this file's own. */
#include "common/resolve/name_lookup.h"
#include "tests/support/fake_dns.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

struct fixture {
    uv_loop_t loop;
    struct fake_dns dns, other;
    struct temp_dir dir;
    char conf[TEMP_PATH_MAX];
    struct name_lookup_options options;
    struct name_lookup *lookup;
    unsigned parts, ends, passed;
    enum name_result result;
    uint32_t ttl_s;
    size_t count, part_count, left_out;
    char text[2048]; /* of the addresses, in order, blanks between */
};

static void describe(struct fixture *f, const struct ip_list *l)
{
    size_t at = 0;
    for (size_t i = 0; i < l->count && at + INET6_ADDRSTRLEN + 2 < sizeof f->text; i++) {
        char one[INET6_ADDRSTRLEN];
        inet_ntop(l->items[i].family, l->items[i].bytes, one, sizeof one);
        at += (size_t)sprintf(f->text + at, "%s%s", i > 0 ? " " : "", one);
    }
}

static void on_found(void *arg, const struct name_found *found)
{
    struct fixture *f = arg;
    ck_assert_uint_eq(f->ends, 0);
    if (found->part) {
        f->parts++;
        f->part_count = found->list->count;
        return;
    }
    f->ends++;
    f->result = found->result;
    f->ttl_s = found->ttl_s;
    f->left_out = found->left_out;
    f->passed = found->passed;
    ck_assert_int_eq(found->list != NULL, found->result == NAME_OK);
    if (found->list != NULL) {
        f->count = found->list->count;
        describe(f, found->list);
    }
}

static void open_with(struct fixture *f, const struct fake_dns_row *rows, const char *conf)
{
    *f = (struct fixture){.ends = 0};
    ck_assert_int_eq(uv_loop_init(&f->loop), 0);
    fake_dns_open(&f->dns, &f->loop, rows);
    temp_dir_make(&f->dir);
    temp_put(&f->dir, "resolv.conf", slice_str(conf), 0600);
    temp_path(&f->dir, "resolv.conf", f->conf);
    f->options = (struct name_lookup_options){.resolv_conf = f->conf, .servers = f->dns.servers};
}

static void start(struct fixture *f, const char *name)
{
    struct why why = {0};
    f->ends = f->parts = 0;
    ck_assert_int_eq(name_lookup_start(&f->loop, name, &f->options, on_found, f, &f->lookup, &why),
                     ERR_OK);
    ck_assert_uint_eq(f->ends, 0);
}

static void look_up(struct fixture *f, const char *name)
{
    start(f, name);
    while (f->ends == 0)
        uv_run(&f->loop, UV_RUN_ONCE);
}

static void done(struct fixture *f)
{
    fake_dns_close(&f->dns);
    ck_assert_int_eq(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&f->loop), 0);
    temp_dir_remove(&f->dir);
}

/* --- what an answer comes to ------------------------------------------------------------------ */

static const struct fake_dns_row rows[] = {
    {"both.example", FAKE_DNS_ANSWERS, 60, "10.0.0.2 10.0.0.1", "fd00::2 fd00::1", 0, NULL},
    {"four.example", FAKE_DNS_ANSWERS, 30, "10.0.0.9", NULL, 0, NULL},
    {"six.example", FAKE_DNS_ANSWERS, 30, NULL, "fd00::9", 0, NULL},
    {"alias.example", FAKE_DNS_ANSWERS, 20, "10.0.0.3", NULL, 0, "target.example"},
    {"twice.example", FAKE_DNS_ANSWERS, 20, "10.0.0.3 10.0.0.3", NULL, 0, NULL},
    {"nothing.example", FAKE_DNS_ANSWERS, 20, NULL, NULL, 0, NULL},
    {"dangling.example", FAKE_DNS_ANSWERS, 20, NULL, NULL, 0, "gone.example"},
    {"forever.example", FAKE_DNS_ANSWERS, 0xffffffff, "10.0.0.4", NULL, 0, NULL},
    {"fails.example", FAKE_DNS_FAILS, 0, NULL, NULL, 0, NULL},
    {"refuses.example", FAKE_DNS_REFUSES, 0, NULL, NULL, 0, NULL},
    {"garbage.example", FAKE_DNS_GARBAGE, 9, "10.0.0.5", "fd00::5", 0, NULL},
    {"no-six.example", FAKE_DNS_SILENT_V6, 9, "10.0.0.6", NULL, 0, NULL},
    {"late-six.example", FAKE_DNS_LATE_V6, 9, "10.0.0.7", "fd00::7", 0, NULL},
    {"sixty.example", FAKE_DNS_ANSWERS, 9, NULL, NULL, 60, NULL},
    {"hundreds.example", FAKE_DNS_ANSWERS, 9, NULL, NULL, 300, NULL},
    {"a.first.example", FAKE_DNS_ANSWERS, 9, "10.0.1.1", NULL, 0, NULL},
    {"a.second.example", FAKE_DNS_ANSWERS, 9, "10.0.2.1", "fd00::2:1", 0, NULL},
    {"b.second.example", FAKE_DNS_ANSWERS, 9, "10.0.2.2", NULL, 0, NULL},
    {"c.first.example", FAKE_DNS_FAILS, 0, NULL, NULL, 0, NULL},
    {"c.second.example", FAKE_DNS_ANSWERS, 9, "10.0.2.3", NULL, 0, NULL},
    {"d.first.example", FAKE_DNS_FAILS, 0, NULL, NULL, 0, NULL},
    {"w.x", FAKE_DNS_ANSWERS, 9, "10.0.3.1", NULL, 0, NULL},
    {"w.x.first.example", FAKE_DNS_ANSWERS, 9, "10.0.3.2", NULL, 0, NULL},
    {NULL, FAKE_DNS_DENIES, 0, NULL, NULL, 0, NULL},
};

static const struct {
    const char *name;
    enum name_result result;
    const char *text;
    uint32_t ttl_s;
} answers[] = {
    {"both.example.", NAME_OK, NULL, 60},
    {"four.example.", NAME_OK, "10.0.0.9", 30},
    {"FOUR.Example", NAME_OK, "10.0.0.9", 30},
    {"six.example.", NAME_OK, "fd00::9", 30},
    {"alias.example.", NAME_OK, "10.0.0.3", 20},
    {"twice.example.", NAME_OK, "10.0.0.3", 20},
    {"forever.example.", NAME_OK, "10.0.0.4", 0},
    {"nothing.example.", NAME_NO_ADDRESS, NULL, 0},
    {"dangling.example.", NAME_NO_ADDRESS, NULL, 0},
    {"unheard-of.example.", NAME_UNKNOWN, NULL, 0},
    {"fails.example.", NAME_SERVER_FAILURE, NULL, 0},
    {"refuses.example.", NAME_SERVER_FAILURE, NULL, 0},
    {"garbage.example.", NAME_SERVER_FAILURE, NULL, 0},
};

START_TEST(test_an_answer_is_told_as_what_it_is)
{
    struct fixture f;
    open_with(&f, rows, "");
    look_up(&f, answers[_i].name);
    ck_assert_msg(f.result == answers[_i].result, "%s: %s", answers[_i].name,
                  name_result_word(f.result));
    if (answers[_i].text != NULL)
        ck_assert_str_eq(f.text, answers[_i].text);
    if (f.result == NAME_OK)
        ck_assert_uint_eq(f.ttl_s, answers[_i].ttl_s);
    done(&f);
}
END_TEST

/* Within a family; which family's answer is first is the network's doing. */
START_TEST(test_addresses_keep_the_order_of_the_server)
{
    struct fixture f;
    open_with(&f, rows, "");
    look_up(&f, "both.example.");
    ck_assert_uint_eq(f.count, 4);
    ck_assert_ptr_nonnull(strstr(f.text, "10.0.0.2 10.0.0.1"));
    ck_assert_ptr_nonnull(strstr(f.text, "fd00::2 fd00::1"));
    done(&f);
}
END_TEST

START_TEST(test_an_answer_that_udp_cuts_is_fetched_by_tcp)
{
    struct fixture f;
    open_with(&f, rows, "");
    look_up(&f, "sixty.example.");
    ck_assert_int_eq(f.result, NAME_OK);
    ck_assert_uint_eq(f.count, 60);
    ck_assert_ptr_nonnull(strstr(f.text, "10.1.0.59 10.1.0.60"));
    ck_assert_uint_gt(f.dns.by_tcp, 0);
    ck_assert_uint_eq(f.dns.with_edns, f.dns.asked);
    ck_assert_uint_eq(f.left_out, 0);
    done(&f);
}
END_TEST

START_TEST(test_addresses_beyond_the_bound_are_left_out_and_counted)
{
    struct fixture f;
    open_with(&f, rows, "");
    look_up(&f, "hundreds.example.");
    ck_assert_int_eq(f.result, NAME_OK);
    ck_assert_uint_eq(f.count, IP_LIST_MAX);
    ck_assert_uint_ge(f.left_out, 1);
    done(&f);
}
END_TEST

/* --- one family is late ----------------------------------------------------------------------- */

START_TEST(test_the_other_family_is_told_later)
{
    struct fixture f;
    open_with(&f, rows, "");
    start(&f, "late-six.example.");
    while (f.parts == 0)
        uv_run(&f.loop, UV_RUN_ONCE);
    ck_assert_uint_eq(f.part_count, 1);
    ck_assert_uint_eq(f.ends, 0);
    fake_dns_release(&f.dns);
    while (f.ends == 0)
        uv_run(&f.loop, UV_RUN_ONCE);
    ck_assert_str_eq(f.text, "10.0.0.7 fd00::7");
    ck_assert_uint_eq(f.parts, 1);
    done(&f);
}
END_TEST

START_TEST(test_a_server_that_never_answers_about_ipv6_hides_no_ipv4)
{
    struct fixture f;
    open_with(&f, rows, "");
    f.options.server_ms = 50; /* it is waited for in vain */
    look_up(&f, "no-six.example.");
    ck_assert_uint_eq(f.parts, 1);
    ck_assert_int_eq(f.result, NAME_OK);
    ck_assert_str_eq(f.text, "10.0.0.6");
    done(&f);
}
END_TEST

/* --- search domains --------------------------------------------------------------------------- */

static const struct {
    const char *conf, *name;
    enum name_result result;
    const char *text;
} searches[] = {
    {"search first.example second.example\n", "b", NAME_OK, "10.0.2.2"},
    {"search first.example second.example\n", "w.x", NAME_OK, "10.0.3.1"},
    {"search first.example\noptions ndots:2\n", "w.x", NAME_OK, "10.0.3.2"},
    {"search first.example\noptions ndots:2\n", "w.x.", NAME_OK, "10.0.3.1"},
    {"search first.example second.example\n", "b.", NAME_UNKNOWN, NULL},
    {"domain second.example\n", "b", NAME_OK, "10.0.2.2"},
    /* a domain whose servers fail hides no later one, but is not forgotten */
    {"search first.example second.example\n", "c", NAME_OK, "10.0.2.3"},
    {"search first.example second.example\n", "d", NAME_SERVER_FAILURE, NULL},
    /* families of two whole names are never mixed */
    {"search first.example second.example\n", "a", NAME_OK, "10.0.1.1"},
};

START_TEST(test_search_domains_and_ndots_count)
{
    struct fixture f;
    open_with(&f, rows, searches[_i].conf);
    look_up(&f, searches[_i].name);
    ck_assert_msg(f.result == searches[_i].result, "%s: %s", searches[_i].name,
                  name_result_word(f.result));
    if (searches[_i].text != NULL)
        ck_assert_str_eq(f.text, searches[_i].text);
    done(&f);
}
END_TEST

START_TEST(test_a_changed_resolv_conf_counts_from_the_next_look_up)
{
    struct fixture f;
    open_with(&f, rows, "search first.example\n");
    look_up(&f, "b");
    ck_assert_int_eq(f.result, NAME_UNKNOWN);
    temp_put(&f.dir, "resolv.conf", slice_str("search second.example\n"), 0600);
    look_up(&f, "b");
    ck_assert_str_eq(f.text, "10.0.2.2");
    done(&f);
}
END_TEST

/* --- several servers -------------------------------------------------------------------------- */

static const struct fake_dns_row silence[] = {
    {"four.example", FAKE_DNS_SILENT, 0, NULL, NULL, 0, NULL},
    {NULL, FAKE_DNS_DENIES, 0, NULL, NULL, 0, NULL},
};

START_TEST(test_a_silent_server_is_passed_over_and_then_asked_last)
{
    struct fixture f;
    char both[80];
    open_with(&f, rows, "");
    fake_dns_open(&f.other, &f.loop, silence);
    snprintf(both, sizeof both, "%s,%s", f.other.servers, f.dns.servers);
    f.options.servers = both;
    look_up(&f, "four.example.");
    ck_assert_str_eq(f.text, "10.0.0.9");
    ck_assert_uint_eq(f.passed, 1);
    unsigned asked = f.other.asked;
    ck_assert_uint_gt(asked, 0);
    f.options.skip = f.passed;
    look_up(&f, "four.example.");
    ck_assert_str_eq(f.text, "10.0.0.9");
    ck_assert_uint_eq(f.passed, 0);
    ck_assert_uint_eq(f.other.asked, asked);
    f.options.skip = 2; /* round again */
    look_up(&f, "four.example.");
    ck_assert_uint_gt(f.other.asked, asked);
    fake_dns_close(&f.other);
    done(&f);
}
END_TEST

static const struct fake_dns_row failures[] = {
    {"four.example", FAKE_DNS_FAILS, 0, NULL, NULL, 0, NULL},
    {"six.example", FAKE_DNS_REFUSES, 0, NULL, NULL, 0, NULL},
    {NULL, FAKE_DNS_DENIES, 0, NULL, NULL, 0, NULL},
};

START_TEST(test_a_server_that_fails_is_followed_by_the_next)
{
    static const char *const names[] = {"four.example.", "six.example."};
    struct fixture f;
    char both[80];
    open_with(&f, rows, "");
    fake_dns_open(&f.other, &f.loop, failures);
    snprintf(both, sizeof both, "%s,%s", f.other.servers, f.dns.servers);
    f.options.servers = both;
    look_up(&f, names[_i]);
    ck_assert_int_eq(f.result, NAME_OK);
    ck_assert_uint_eq(f.passed, 1);
    ck_assert_uint_eq(f.other.asked, 2);
    fake_dns_close(&f.other);
    done(&f);
}
END_TEST

START_TEST(test_servers_that_are_not_there_are_told_from_silent_ones)
{
    struct fixture f;
    char gone[32];
    open_with(&f, rows, "");
    fake_dns_open(&f.other, &f.loop, rows);
    snprintf(gone, sizeof gone, "%s", f.other.servers);
    fake_dns_close(&f.other);
    uv_run(&f.loop, UV_RUN_NOWAIT);
    f.options.servers = gone;
    look_up(&f, "four.example.");
    ck_assert_int_eq(f.result, NAME_UNREACHABLE);
    f.options.servers = f.dns.servers;
    f.dns.rows = silence;
    f.options.server_ms = 10;
    look_up(&f, "four.example.");
    ck_assert_int_eq(f.result, NAME_TIMEOUT);
    done(&f);
}
END_TEST

/* --- the end ---------------------------------------------------------------------------------- */

/* _i: turns of the loop before. */
START_TEST(test_a_canceled_look_up_is_silent_and_gone)
{
    struct fixture f;
    open_with(&f, silence, "");
    start(&f, "four.example.");
    for (int i = 0; i < _i; i++)
        uv_run(&f.loop, UV_RUN_ONCE);
    name_lookup_cancel(f.lookup);
    done(&f);
    ck_assert_uint_eq(f.ends + f.parts, 0);
}
END_TEST

START_TEST(test_each_result_has_a_word_and_a_reason)
{
    for (int r = 0; r < NAME_RESULT_COUNT; r++) {
        struct why why = {0};
        err_t err = name_result_why(&why, "web.example", (enum name_result)r);
        ck_assert_ptr_nonnull(strstr(why.text, "web.example: "));
        ck_assert_int_eq(err == ERR_OK, r == NAME_OK);
        for (int q = 0; q < r; q++)
            ck_assert_str_ne(name_result_word((enum name_result)q),
                             name_result_word((enum name_result)r));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("name_lookup");
    TCase *t = tcase_create("name_lookup");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_an_answer_is_told_as_what_it_is, 0,
                        sizeof answers / sizeof answers[0]);
    tcase_add_test(t, test_addresses_keep_the_order_of_the_server);
    tcase_add_test(t, test_an_answer_that_udp_cuts_is_fetched_by_tcp);
    tcase_add_test(t, test_addresses_beyond_the_bound_are_left_out_and_counted);
    tcase_add_test(t, test_the_other_family_is_told_later);
    tcase_add_test(t, test_a_server_that_never_answers_about_ipv6_hides_no_ipv4);
    tcase_add_loop_test(t, test_search_domains_and_ndots_count, 0,
                        sizeof searches / sizeof searches[0]);
    tcase_add_test(t, test_a_changed_resolv_conf_counts_from_the_next_look_up);
    tcase_add_test(t, test_a_silent_server_is_passed_over_and_then_asked_last);
    tcase_add_loop_test(t, test_a_server_that_fails_is_followed_by_the_next, 0, 2);
    tcase_add_test(t, test_servers_that_are_not_there_are_told_from_silent_ones);
    tcase_add_loop_test(t, test_a_canceled_look_up_is_silent_and_gone, 0, 4);
    tcase_add_test(t, test_each_result_has_a_word_and_a_reason);
    suite_add_tcase(s, t);
    return run_suite(s);
}

/* Mode, owner and users of a route's Unix socket, as a configuration writes them. */
#include "sidecar/config/route_socket.h"
#include "tests/support/runner.h"

#include <stdlib.h>
#include <string.h>

static struct why why;

static const struct {
    const char *text;
    int mode; /* -1: refused */
} modes[] = {
    {"0600", 0600}, {"600", 0600}, {"0660", 0660}, {"0666", 0666}, {"0640", 0640}, {"", -1},
    {"0", -1},      {"60", -1},    {"0777", -1},   {"0060", -1},   {"0400", -1},   {"0608", -1},
    {"06000", -1},  {"4660", -1},  {"rw-", -1},    {"0660 ", -1},  {"-660", -1},   {"384", -1},
};

START_TEST(test_a_mode_is_octal_and_leaves_the_owner_reading_and_writing)
{
    mode_t got = 0;
    err_t err = route_socket_mode(modes[_i].text, &got, &why);
    if (modes[_i].mode >= 0) {
        ck_assert_int_eq(err, ERR_OK);
        ck_assert_uint_eq(got, (mode_t)modes[_i].mode);
    } else {
        ck_assert_int_eq(err, ERR_CONFIG);
        ck_assert_ptr_nonnull(strstr(why.text, "expected the mode of a socket in octal"));
        ck_assert_ptr_nonnull(strstr(why.text, modes[_i].text));
    }
}
END_TEST

START_TEST(test_users_on_the_list_are_admitted_and_no_others)
{
    char *texts[] = {"1001", "0", "4294967294", NULL};
    struct route_uids u;
    ck_assert_int_eq(route_socket_uids(texts, &u, &why), ERR_OK);
    ck_assert(route_uids_admit(&u, 1001));
    ck_assert(route_uids_admit(&u, 0));
    ck_assert(route_uids_admit(&u, 4294967294u));
    ck_assert(!route_uids_admit(&u, 1000));
    ck_assert(!route_uids_admit(&u, 1002));
    route_uids_done(&u);
}
END_TEST

START_TEST(test_an_empty_list_admits_nobody_and_none_admits_all)
{
    char *none[] = {NULL};
    struct route_uids u;
    ck_assert_int_eq(route_socket_uids(none, &u, &why), ERR_OK);
    ck_assert(!route_uids_admit(&u, 0));
    route_uids_done(&u);
    ck_assert_int_eq(route_socket_uids(NULL, &u, &why), ERR_OK);
    ck_assert(route_uids_admit(&u, 0));
    ck_assert(route_uids_admit(&u, 1001));
    route_uids_done(&u);
}
END_TEST

static const char *const no_uids[] = {"shop", "-1",          "4294967295", "1001x",
                                      "",     "99999999999", "0x10"};

START_TEST(test_what_is_no_user_id_is_named)
{
    char *texts[] = {"1001", (char *)no_uids[_i], NULL};
    struct route_uids u;
    ck_assert_int_eq(route_socket_uids(texts, &u, &why), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(why.text, "expected numbers of users"));
    ck_assert_ptr_nonnull(strstr(why.text, no_uids[_i]));
}
END_TEST

static const struct {
    const char *text;
    long user, group; /* -1: as it is; -2: refused */
    const char *says;
} owners[] = {
    {"root:root", 0, 0, NULL},
    {"root", 0, -1, NULL},
    {":root", -1, 0, NULL},
    {"12345:23456", 12345, 23456, NULL},
    {"no-such-user-here:root", -2, -2, "there is no user \"no-such-user-here\""},
    {"root:no-such-group", -2, -2, "there is no group \"no-such-group\""},
    {"", -2, -2, "expected an owner"},
    {":", -2, -2, "expected an owner"},
    {"root:", -2, -2, "expected an owner"},
    {"a:b:c", -2, -2, "expected an owner"},
    {"4294967295", -2, -2, "there is no user"},
};

START_TEST(test_an_owner_is_found_by_name_or_number)
{
    uid_t user = 7;
    gid_t group = 7;
    err_t err = route_socket_owner(owners[_i].text, &user, &group, &why);
    if (owners[_i].user == -2) {
        ck_assert_int_eq(err, ERR_CONFIG);
        ck_assert_msg(strstr(why.text, owners[_i].says) != NULL, "%s", why.text);
        ck_assert_uint_eq(user, 7);
        ck_assert_uint_eq(group, 7);
    } else {
        ck_assert_msg(err == ERR_OK, "%s", why.text);
        ck_assert_uint_eq(user, (uid_t)owners[_i].user);
        ck_assert_uint_eq(group, (gid_t)owners[_i].group);
    }
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *s = suite_create("route_socket");
    TCase *t = tcase_create("route_socket");
    tcase_add_loop_test(t, test_a_mode_is_octal_and_leaves_the_owner_reading_and_writing, 0,
                        COUNT(modes));
    tcase_add_test(t, test_users_on_the_list_are_admitted_and_no_others);
    tcase_add_test(t, test_an_empty_list_admits_nobody_and_none_admits_all);
    tcase_add_loop_test(t, test_what_is_no_user_id_is_named, 0, COUNT(no_uids));
    tcase_add_loop_test(t, test_an_owner_is_found_by_name_or_number, 0, COUNT(owners));
    suite_add_tcase(s, t);
    return run_suite(s);
}

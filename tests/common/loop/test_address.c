/* Addresses of configuration and of SPIFFE_ENDPOINT_SOCKET (EP-4). */
#include "common/loop/address.h"
#include "tests/support/runner.h"

#include <netinet/in.h>
#include <sys/un.h>

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

static const struct good_case {
    const char *text, *again; /* as address_text writes it */
    int kind;
} good[] = {
    {"127.0.0.1:8080", "127.0.0.1:8080", ADDRESS_IP},
    {"0.0.0.0:0", "0.0.0.0:0", ADDRESS_IP},
    {"[::1]:8080", "[::1]:8080", ADDRESS_IP},
    {"[::]:65535", "[::]:65535", ADDRESS_IP},
    {"web:80", "web:80", ADDRESS_NAME},
    {"web.example.internal:8443", "web.example.internal:8443", ADDRESS_NAME},
    {"web.example.internal.:8443", "web.example.internal.:8443", ADDRESS_NAME},
    {"a_b-c.1x:1", "a_b-c.1x:1", ADDRESS_NAME},
    {"/run/app.sock", "unix:/run/app.sock", ADDRESS_UNIX},
    {"unix:///run/app.sock", "unix:/run/app.sock", ADDRESS_UNIX},
};

START_TEST(test_address_is_read_and_written_again)
{
    struct address a = {0};
    struct why why = {0};
    char text[ADDRESS_TEXT_LEN];
    ck_assert_msg(address_parse(slice_str(good[_i].text), &a, &why) == ERR_OK, "%s: %s",
                  good[_i].text, why_text(&why));
    ck_assert_int_eq(a.kind, good[_i].kind);
    ck_assert_str_eq(address_text(&a, text), good[_i].again);
}
END_TEST

START_TEST(test_socket_address_has_the_same_text)
{
    struct address a = {0};
    struct sockaddr_storage ss;
    socklen_t len = 0;
    char text[ADDRESS_TEXT_LEN];
    ck_assert_int_eq(address_parse(slice_str(good[_i].text), &a, NULL), ERR_OK);
    if (a.kind == ADDRESS_NAME) {
        ck_assert_int_eq(address_sockaddr(&a, &ss, &len), ERR_INTERNAL);
        return;
    }
    ck_assert_int_eq(address_sockaddr(&a, &ss, &len), ERR_OK);
    ck_assert_uint_ge(len, sizeof(sa_family_t));
    ck_assert_str_eq(sockaddr_text((struct sockaddr *)&ss, text), good[_i].again);
}
END_TEST

static const struct {
    const char *text;
    bool loopback;
} places[] = {
    {"127.0.0.1:1", true},
    {"127.255.255.254:1", true},
    {"126.0.0.1:1", false},
    {"128.0.0.1:1", false},
    {"0.0.0.0:1", false},
    {"[::1]:1", true},
    {"[::2]:1", false},
    {"[::]:1", false},
    {"[::ffff:127.0.0.1]:1", true},
    {"[::ffff:10.0.0.1]:1", false},
    {"localhost:1", true},
    {"LocalHost.:1", true},
    {"app.localhost:1", true},
    {"app.localhost.:1", true},
    {"notlocalhost:1", false},
    {"localhost.example:1", false},
    {"/run/app.sock", true},
};

START_TEST(test_loopback_is_this_machine_and_nothing_else)
{
    struct address a = {0};
    ck_assert_int_eq(address_parse(slice_str(places[_i].text), &a, NULL), ERR_OK);
    ck_assert_msg(address_is_loopback(&a) == places[_i].loopback, "%s", places[_i].text);
}
END_TEST

static const struct bad_case {
    const char *text, *because;
} bad[] = {
    {"", "is empty"},
    {"8080", "the port is missing"},
    {"127.0.0.1", "the port is missing"},
    {"127.0.0.1:", "the port must be a number"},
    {"127.0.0.1:65536", "the port must be a number"},
    {"127.0.0.1:999999", "the port must be a number"},
    {"127.0.0.1:80x", "the port must be a number"},
    {"127.0.0.1:-1", "the port must be a number"},
    {"127.0.0.1:+1", "the port must be a number"},
    {":8080", "the host is missing"},
    {"::1:80", "in brackets"},
    {"[::1]", "the port must be a number"},
    {"[::1]80:80", "in brackets"},
    {"[127.0.0.1]:80", "no IPv6 address"},
    {"[]:80", "neither an IP address nor a DNS name"},
    {"[fe80::1%eth0]:80", "no IPv6 address"},
    {"256.1.1.1:80", "neither an IP address"},
    {"1.2.3:80", "neither an IP address"},
    {"10.0.0.0.1:80", "neither an IP address"},
    {"web..x:80", "neither an IP address"},
    {".web:80", "neither an IP address"},
    {"-web:80", "neither an IP address"},
    {"web-:80", "neither an IP address"},
    {"web-.x:80", "neither an IP address"},
    {"web x:80", "neither an IP address"},
    {"http://web:80", "no scheme (http://) and no path: write web:80"},
    {"https://web.example/", "write web.example:PORT"},
    {"https://web.example:8443/a?b", "write web.example:8443"},
    {"tcp://[::1]:80", "write [::1]:80"},
    {"http://[::1]/x", "write [::1]:PORT"},
    {"grpc://web?x", "write web:PORT"},
    {"web\n:80", "control character"},
    {"unix://run/app.sock", "must be absolute"},
    {"unix://", "must be absolute"},
    {"/", "must be absolute"},
    {"/run/", "must not end in '/'"},
};

START_TEST(test_bad_address_says_what_is_wrong)
{
    struct address a = {.port = 77};
    struct why why = {0};
    ck_assert_msg(address_parse(slice_str(bad[_i].text), &a, &why) == ERR_CONFIG, "%s",
                  bad[_i].text);
    ck_assert_msg(strstr(why_text(&why), bad[_i].because) != NULL, "\"%s\": %s", bad[_i].text,
                  why_text(&why));
    ck_assert_uint_eq(a.port, 77);
}
END_TEST

START_TEST(test_socket_path_too_long_names_the_limit)
{
    char text[120];
    struct address a;
    struct why why = {0};
    memset(text, 'a', sizeof text);
    text[0] = '/';
    ck_assert_int_eq(address_parse(slice_of(text, 107), &a, &why), ERR_OK);
    ck_assert_int_eq(address_parse(slice_of(text, 108), &a, &why), ERR_CONFIG);
    ck_assert_str_eq(why_text(&why),
                     "the path of a Unix socket may have at most 107 bytes, this one has 108");
}
END_TEST

START_TEST(test_name_lengths_at_and_past_the_limits)
{
    char label[70], name[300];
    struct address a;
    memset(label, 'a', sizeof label);
    memcpy(label + 63, ":80", 3);
    ck_assert_int_eq(address_parse(slice_of(label, 66), &a, NULL), ERR_OK);
    memset(label, 'a', sizeof label);
    memcpy(label + 64, ":80", 3);
    ck_assert_int_eq(address_parse(slice_of(label, 67), &a, NULL), ERR_CONFIG);
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = i % 2 == 0 ? 'a' : '.';
    memcpy(name + 253, ":80", 3);
    ck_assert_int_eq(address_parse(slice_of(name, 256), &a, NULL), ERR_OK);
    name[253] = '.';
    memcpy(name + 254, ":80", 3);
    ck_assert_int_eq(address_parse(slice_of(name, 257), &a, NULL), ERR_CONFIG);
    ck_assert_int_eq(address_parse(slice_of("a\0b:80", 6), &a, NULL), ERR_CONFIG);
}
END_TEST

/* EP-4 */
static const struct endpoint_case {
    const char *text;
    const char *want; /* as address_text writes it, or NULL: refused */
} endpoints[] = {
    {"unix:///a", "unix:/a"},
    {"unix:///run/spindle/public/api.sock", "unix:/run/spindle/public/api.sock"},
    {"unix:/a", "unix:/a"}, /* no authority, absolute path: all that the standard asks */
    {"tcp://1.2.3.4:1", "1.2.3.4:1"},
    {"tcp://[::1]:65535", "[::1]:65535"},
    {"unix://h/a", NULL},
    {"unix://a", NULL},
    {"unix:a", NULL},
    {"unix:", NULL},
    {"unix://", NULL},
    {"unix:///", NULL},
    {"unix:///a?x=1", NULL},
    {"unix:///a#f", NULL},
    {"unix:///a%20b", NULL},
    {"unix://user@/a", NULL},
    {"UNIX:///a", NULL},
    {"/a", NULL},
    {"", NULL},
    {"tcp://localhost:1", NULL},
    {"tcp://1.2.3.4", NULL},
    {"tcp://1.2.3.4:", NULL},
    {"tcp://1.2.3.4:0", NULL},
    {"tcp://1.2.3.4:1/x", NULL},
    {"tcp://1.2.3.4:1/", NULL},
    {"tcp://1.2.3.4:1?x", NULL},
    {"tcp://u@1.2.3.4:1", NULL},
    {"tcp://::1:80", NULL},
    {"tcp:1.2.3.4:1", NULL},
    {"http://1.2.3.4:1", NULL},
    {"1.2.3.4:1", NULL},
};

START_TEST(test_endpoint_is_a_unix_path_or_ip_and_port)
{
    struct address a;
    char text[ADDRESS_TEXT_LEN];
    struct why why = {0};
    err_t err = address_parse_endpoint(slice_str(endpoints[_i].text), &a, &why);
    if (endpoints[_i].want == NULL) {
        ck_assert_msg(err == ERR_CONFIG, "\"%s\"", endpoints[_i].text);
        ck_assert_uint_gt(strlen(why.text), 0);
        return;
    }
    ck_assert_msg(err == ERR_OK, "\"%s\": %s", endpoints[_i].text, why_text(&why));
    ck_assert_str_eq(address_text(&a, text), endpoints[_i].want);
}
END_TEST

START_TEST(test_text_of_an_unnamed_unix_peer_is_short)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr other = {.sa_family = AF_UNSPEC};
    char text[ADDRESS_TEXT_LEN];
    ck_assert_str_eq(sockaddr_text((struct sockaddr *)&un, text), "unix:");
    ck_assert_str_eq(sockaddr_text(&other, text), "family 0");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("address");
    TCase *t = tcase_create("address");
    tcase_add_loop_test(t, test_loopback_is_this_machine_and_nothing_else, 0, COUNT(places));
    tcase_add_loop_test(t, test_address_is_read_and_written_again, 0, COUNT(good));
    tcase_add_loop_test(t, test_socket_address_has_the_same_text, 0, COUNT(good));
    tcase_add_loop_test(t, test_bad_address_says_what_is_wrong, 0, COUNT(bad));
    tcase_add_test(t, test_socket_path_too_long_names_the_limit);
    tcase_add_test(t, test_name_lengths_at_and_past_the_limits);
    tcase_add_loop_test(t, test_endpoint_is_a_unix_path_or_ip_and_port, 0, COUNT(endpoints));
    tcase_add_test(t, test_text_of_an_unnamed_unix_peer_is_short);
    suite_add_tcase(s, t);
    return run_suite(s);
}

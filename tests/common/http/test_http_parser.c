/* Requests from bytes, whole and in pieces, and what is refused with which status. */
#include "common/base/mem.h"
#include "common/http/http_parser.h"
#include "tests/support/runner.h"

#include <stdio.h>

static struct http_parser *p;

static void setup(void)
{
    ck_assert_int_eq(http_parser_new(&p), ERR_OK);
}

static void teardown(void)
{
    http_parser_free(p);
}

static enum http_progress feed(const char *text, size_t *used)
{
    return http_parser_feed(p, slice_str(text), used);
}

START_TEST(test_a_request_is_split_into_its_parts)
{
    struct http_request r;
    size_t used = 0;
    const char *text = "POST /conns/7?output=json&x=? HTTP/1.1\r\nHOST: a\r\naccept: text/plain\r\n"
                       "Accept: */*;q=0.1\r\nContent-Length: 4\r\n\r\nbodyGET";
    ck_assert_int_eq(feed(text, &used), HTTP_PARSER_REQUEST);
    ck_assert_uint_eq(used, strlen(text) - 3);
    http_parser_request(p, &r);
    ck_assert_str_eq(r.method, "POST");
    ck_assert(slice_eq_str(r.path, "/conns/7"));
    ck_assert(slice_eq_str(r.query, "output=json&x=?"));
    ck_assert(slice_eq_str(r.accept, "text/plain,*/*;q=0.1"));
    ck_assert(slice_eq_str(r.body, "body"));
    ck_assert(http_parser_keep_alive(p));
}
END_TEST

START_TEST(test_byte_by_byte_gives_the_same_request)
{
    const char *text =
        "GET /x HTTP/1.1\r\nHost: a\r\nAccept: b\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    struct http_request r;
    size_t used = 0, len = strlen(text);
    for (size_t i = 0; i + 1 < len; i++)
        ck_assert_int_eq(http_parser_feed(p, slice_of(text + i, 1), &used), HTTP_PARSER_MORE);
    ck_assert(http_parser_started(p));
    ck_assert_int_eq(http_parser_feed(p, slice_of(text + len - 1, 1), &used), HTTP_PARSER_REQUEST);
    ck_assert_uint_eq(used, 1);
    http_parser_request(p, &r);
    ck_assert(slice_eq_str(r.path, "/x"));
    ck_assert(slice_eq_str(r.accept, "b"));
    ck_assert(slice_eq_str(r.body, "abcde"));
}
END_TEST

START_TEST(test_an_absolute_target_is_taken_by_its_path)
{
    struct http_request r;
    size_t used = 0;
    ck_assert_int_eq(feed("GET http://h:1/metrics?a HTTP/1.1\r\nHost: h\r\n\r\n", &used),
                     HTTP_PARSER_REQUEST);
    http_parser_request(p, &r);
    ck_assert(slice_eq_str(r.path, "/metrics"));
    http_parser_reset(p);
    ck_assert(!http_parser_started(p));
    ck_assert_int_eq(feed("GET http://h:1 HTTP/1.1\r\nHost: h\r\n\r\n", &used),
                     HTTP_PARSER_REQUEST);
    http_parser_request(p, &r);
    ck_assert(slice_eq_str(r.path, "/"));
}
END_TEST

static const struct {
    const char *text;
    bool keep_alive;
} endings[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
    {"GET / HTTP/1.0\r\n\r\n", false},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", true},
    {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", true},
};

START_TEST(test_keep_alive_follows_version_and_header)
{
    size_t used = 0;
    ck_assert_int_eq(feed(endings[_i].text, &used), HTTP_PARSER_REQUEST);
    ck_assert_uint_eq(used, strlen(endings[_i].text));
    ck_assert_int_eq(http_parser_keep_alive(p), endings[_i].keep_alive);
    http_parser_reset(p);
    ck_assert_int_eq(feed(endings[0].text, &used), HTTP_PARSER_REQUEST);
}
END_TEST

static const struct {
    const char *text;
    int status;
} refused[] = {
    {"hello\r\n\r\n", 400},
    {"\x16\x03\x01\x02", 400},
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01z\r\n\r\n", 400},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
    {"GET / HTTP/7.3\r\nHost: a\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", 413},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
};

START_TEST(test_what_cannot_be_understood_is_refused_for_good)
{
    size_t used = 0;
    ck_assert_msg(feed(refused[_i].text, &used) == HTTP_PARSER_BAD, "accepted: %s",
                  refused[_i].text);
    ck_assert_int_eq(http_parser_status(p), refused[_i].status);
    ck_assert_int_eq(feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &used), HTTP_PARSER_BAD);
}
END_TEST

/* Feeds `unit` until the parser gives up; it must, within `most` bytes. */
static void check_flood(const char *start, const char *unit, size_t most, int status)
{
    size_t used = 0, fed = 0;
    enum http_progress got = feed(start, &used);
    while (got == HTTP_PARSER_MORE && fed <= most) {
        got = feed(unit, &used);
        fed += strlen(unit);
    }
    ck_assert_int_eq(got, HTTP_PARSER_BAD);
    ck_assert_int_eq(http_parser_status(p), status);
}

#define A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
static const struct {
    const char *start, *unit;
    size_t most;
    int status;
} floods[] = {
    {"GET /", A50, HTTP_HEAD_MAX + 100, 431},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: ", A50, HTTP_HEAD_MAX + 100, 431},
    {"GET / HTTP/1.1\r\nHost: a\r\nAccept: ", A50, HTTP_HEAD_MAX + 100, 431},
    {"GET / HTTP/1.1\r\nHost: a\r\nX", A50, HTTP_HEAD_MAX + 100, 431},
    {"GET / HTTP/1.1\r\nHost: a\r\n", "a:\r\n", HTTP_HEAD_MAX + 100, 431},
    {"GET / HTTP/1.1\r\nHost: a\r\n", "Accept:\r\n", HTTP_HEAD_MAX + 9000, 431},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "32\r\n" A50 "\r\n",
     HTTP_BODY_MAX + 9000, 413},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", A50,
     2 * (HTTP_BODY_MAX + HTTP_HEAD_MAX) + 100, 413},
    {"", "\r\n", 2 * (HTTP_BODY_MAX + HTTP_HEAD_MAX) + 100, 413},
};

START_TEST(test_endless_input_is_cut_at_its_bound)
{
    check_flood(floods[_i].start, floods[_i].unit, floods[_i].most, floods[_i].status);
}
END_TEST

START_TEST(test_every_failed_allocation_is_an_error)
{
    const char *text = "POST /some/path HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n"
                       "Content-Length: 4\r\n\r\nbody";
    for (long n = 0;; n++) {
        struct http_parser *one = NULL;
        size_t used = 0;
        mem_fail_after(n);
        err_t err = http_parser_new(&one);
        enum http_progress got =
            err == ERR_OK ? http_parser_feed(one, slice_str(text), &used) : HTTP_PARSER_BAD;
        int failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert_int_eq(got, failed ? HTTP_PARSER_BAD : HTTP_PARSER_REQUEST);
        if (err == ERR_OK && failed)
            ck_assert_int_eq(http_parser_status(one), 500);
        http_parser_free(one);
        if (!failed)
            break;
    }
    http_parser_free(NULL);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

int main(void)
{
    Suite *s = suite_create("http_parser");
    TCase *t = tcase_create("http_parser");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_a_request_is_split_into_its_parts);
    tcase_add_test(t, test_byte_by_byte_gives_the_same_request);
    tcase_add_test(t, test_an_absolute_target_is_taken_by_its_path);
    tcase_add_loop_test(t, test_keep_alive_follows_version_and_header, 0, COUNT(endings));
    tcase_add_loop_test(t, test_what_cannot_be_understood_is_refused_for_good, 0, COUNT(refused));
    tcase_add_loop_test(t, test_endless_input_is_cut_at_its_bound, 0, COUNT(floods));
    tcase_add_test(t, test_every_failed_allocation_is_an_error);
    suite_add_tcase(s, t);
    return run_suite(s);
}

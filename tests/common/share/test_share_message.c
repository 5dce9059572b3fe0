/* Messages of share.sock: what goes in comes out, and what a stranger may send is refused whole. */
#include "common/share/share_message.h"
#include "tests/support/descriptors.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define ID "spiffe://example.org/web"

static struct share_packet packet;
static struct share_message got;
static struct why why;
static int pair[2];

static void setup(void)
{
    why = (struct why){0};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

static void teardown(void)
{
    close(pair[0]);
    if (pair[1] >= 0)
        close(pair[1]);
}

static struct share_message hello(void)
{
    return (struct share_message){.type = SHARE_HELLO,
                                  .hello = {.program = slice_str("0.2.0"),
                                            .spiffe_id = slice_str(ID),
                                            .name = slice_str("größe")}};
}

/* One of each type. */
static struct share_message sample(int type)
{
    struct share_message m = {.type = (enum share_type)type};
    if (type == SHARE_HELLO)
        return hello();
    if (type == SHARE_WELCOME) {
        m.welcome.program = slice_str("0.2.0");
        m.welcome.longest_life_s = 3610;
    } else if (type == SHARE_REFUSED) {
        m.refused.reason = slice_str("no_entry");
        m.refused.text = slice_str("no entry gives it");
    } else {
        m.cache.generation = UINT64_MAX - 1;
    }
    return m;
}

static void encode(const struct share_message *m)
{
    ck_assert_int_eq(share_encode(m, &packet, &why), ERR_OK);
}

static err_t decode(void)
{
    return share_decode(slice_of(packet.bytes, packet.len), &got, &why);
}

/* The bytes are the contract between releases: written out once. */
START_TEST(test_a_message_is_these_bytes)
{
    struct share_message m = {.type = SHARE_CHANGED, .cache.generation = 0x0102030405060708};
    static const uint8_t expected[] = {'S', 'P', 'S', 'H', 1, 0, 4, 0, 20, 0,
                                       0,   0,   8,   7,   6, 5, 4, 3, 2,  1};
    encode(&m);
    ck_assert_uint_eq(packet.len, sizeof expected);
    ck_assert_mem_eq(packet.bytes, expected, sizeof expected);
    m = (struct share_message){.type = SHARE_REFUSED,
                               .refused = {.reason = slice_str("io"), .text = slice_str("x")}};
    static const uint8_t refused[] = {'S', 'P', 'S', 'H', 1,   0,   6, 0, 19, 0,
                                      0,   0,   2,   0,   'i', 'o', 1, 0, 'x'};
    encode(&m);
    ck_assert_uint_eq(packet.len, sizeof refused);
    ck_assert_mem_eq(packet.bytes, refused, sizeof refused);
}
END_TEST

START_TEST(test_each_type_comes_back_as_it_went)
{
    struct share_message m = sample(_i);
    encode(&m);
    ck_assert_int_eq(packet.descriptor, -1);
    ck_assert_int_eq(decode(), ERR_OK);
    ck_assert_int_eq(got.type, _i);
    switch (got.type) {
    case SHARE_HELLO:
        ck_assert(slice_eq_str(got.hello.program, "0.2.0"));
        ck_assert(slice_eq_str(got.hello.spiffe_id, ID));
        ck_assert(slice_eq_str(got.hello.name, "größe"));
        break;
    case SHARE_WELCOME:
        ck_assert(slice_eq_str(got.welcome.program, "0.2.0"));
        ck_assert_int_eq(got.welcome.longest_life_s, 3610);
        break;
    case SHARE_CACHE:
    case SHARE_CHANGED:
        ck_assert_uint_eq(got.cache.generation, UINT64_MAX - 1);
        break;
    case SHARE_REFUSED:
        ck_assert(slice_eq_str(got.refused.reason, "no_entry"));
        ck_assert(slice_eq_str(got.refused.text, "no entry gives it"));
        break;
    case SHARE_OTHER:
    case SHARE_PAGE:
        break;
    }
    ck_assert_str_ne(share_type_name(got.type), "");
}
END_TEST

/* Cut at each byte, as the sender's length says or not: never taken, nothing written. */
START_TEST(test_every_truncation_is_refused)
{
    struct share_message m = sample(_i);
    encode(&m);
    for (size_t len = 0; len < packet.len; len++) {
        struct share_message kept = {.type = SHARE_OTHER, .cache.generation = 42};
        struct slice cut = slice_of(packet.bytes, len);
        ck_assert_int_eq(share_decode(cut, &kept, &why), ERR_PARSE);
        if (len >= 12) {
            packet.bytes[8] = (uint8_t)len;
            ck_assert_int_eq(share_decode(cut, &kept, &why), ERR_PARSE);
            packet.bytes[8] = (uint8_t)packet.len;
        }
        ck_assert_uint_eq(kept.cache.generation, 42);
    }
}
END_TEST

static void append(const char *bytes, size_t len)
{
    memcpy(packet.bytes + packet.len, bytes, len);
    packet.len += len;
    packet.bytes[8] = (uint8_t)packet.len;
    packet.bytes[9] = (uint8_t)(packet.len >> 8);
}

START_TEST(test_fields_of_a_newer_program_are_ignored)
{
    struct share_message m = sample(_i);
    encode(&m);
    append("more", 4);
    ck_assert_int_eq(decode(), ERR_OK);
    ck_assert_int_eq(got.type, _i);
}
END_TEST

START_TEST(test_a_type_of_a_newer_program_is_other)
{
    static const unsigned types[] = {0, SHARE_REFUSED + 1, 0xffff};
    struct share_message m = hello();
    encode(&m);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        packet.bytes[6] = (uint8_t)types[i];
        packet.bytes[7] = (uint8_t)(types[i] >> 8);
        ck_assert_int_eq(decode(), ERR_OK);
        ck_assert_int_eq(got.type, SHARE_OTHER);
    }
}
END_TEST

START_TEST(test_another_version_is_refused_with_both_numbers)
{
    struct share_message m = hello();
    encode(&m);
    packet.bytes[4] = 7;
    ck_assert_int_eq(decode(), ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(why.text, "version 7 "));
    ck_assert_ptr_nonnull(strstr(why.text, "version 1;"));
}
END_TEST

/* Headers that are none. */
START_TEST(test_a_header_that_is_wrong_is_refused)
{
    static const struct {
        size_t at;
        uint8_t byte;
    } cases[] = {{0, 's'}, {3, 0}, {8, 0}, {8, 21}, {9, 1}, {10, 1}, {11, 0x80}};
    struct share_message m = sample(SHARE_CACHE);
    encode(&m);
    packet.bytes[cases[_i].at] = cases[_i].byte;
    ck_assert_int_eq(decode(), ERR_PARSE);
}
END_TEST

static const struct text_case {
    const char *text;
    size_t len;
    bool fine;
} texts[] = {
    {"", 0, true},
    {"plain", 5, true},
    {"\xc3\xb6", 2, true},
    {"\xe2\x82\xac", 3, true},
    {"\xf0\x9f\x94\x92", 4, true},
    {"\xf4\x8f\xbf\xbf", 4, true},
    {"a\0b", 3, false},
    {"a\nb", 3, false},
    {"\x7f", 1, false},
    {"\xc2\x85", 2, false}, /* a control character of Latin 1 */
    {"\x80", 1, false},     /* a continuation alone */
    {"\xc3", 1, false},     /* cut */
    {"\xe2\x82", 2, false},
    {"\xc3x", 2, false},
    {"\xc0\xaf", 2, false}, /* longer than need be */
    {"\xe0\x80\xaf", 3, false},
    {"\xf0\x80\x80\xaf", 4, false},
    {"\xed\xa0\x80", 3, false},     /* a surrogate */
    {"\xf4\x90\x80\x80", 4, false}, /* past the last character */
    {"\xff", 1, false},
    {"\xf8\x88\x80\x80\x80", 5, false},
};

/* A name ends up in logs and as a metric's label. */
START_TEST(test_texts_are_utf8_without_control_characters)
{
    const struct text_case *c = &texts[_i];
    struct share_message m = hello(), empty = hello();
    m.hello.name = slice_of(c->text, c->len);
    err_t expected = c->fine ? ERR_OK : ERR_PARSE;
    ck_assert_int_eq(share_encode(&m, &packet, &why), expected);
    empty.hello.name = slice_of(NULL, 0);
    encode(&empty);
    packet.len -= 2; /* its length */
    char tail[16] = {(char)c->len, 0};
    memcpy(tail + 2, c->text, c->len);
    append(tail, c->len + 2);
    ck_assert_int_eq(decode(), expected);
    if (c->fine)
        ck_assert(slice_eq(got.hello.name, slice_of(c->text, c->len)));
}
END_TEST

START_TEST(test_a_text_past_its_maximum_is_refused)
{
    static char longest[SHARE_SPIFFE_ID_MAX + 1];
    memset(longest, 'a', sizeof longest);
    struct share_message m = hello();
    m.hello.spiffe_id = slice_of(longest, SHARE_SPIFFE_ID_MAX);
    m.hello.name = slice_of(longest, SHARE_NAME_MAX);
    m.hello.program = slice_of(longest, SHARE_PROGRAM_MAX);
    encode(&m);
    ck_assert_int_eq(decode(), ERR_OK);
    ck_assert_uint_eq(got.hello.spiffe_id.len, SHARE_SPIFFE_ID_MAX);
    m.hello.name.len++;
    ck_assert_int_eq(share_encode(&m, &packet, &why), ERR_TOO_LARGE);
    m.hello.name.len--;
    m.hello.spiffe_id.len++;
    ck_assert_int_eq(share_encode(&m, &packet, &why), ERR_TOO_LARGE);
    m.hello.spiffe_id.len = 0;
    ck_assert_int_eq(share_encode(&m, &packet, &why), ERR_PARSE);
}
END_TEST

START_TEST(test_a_life_below_zero_is_refused)
{
    struct share_message m = sample(SHARE_WELCOME);
    m.welcome.longest_life_s = -1;
    encode(&m);
    ck_assert_int_eq(decode(), ERR_PARSE);
}
END_TEST

/* --- the socket ------------------------------------------------------------------------------- */

START_TEST(test_a_descriptor_travels_and_closes_on_exec)
{
    struct share_message m = sample(SHARE_CACHE);
    struct share_packet in;
    char text[4];
    encode(&m);
    packet.descriptor = memory_file("page");
    ck_assert_int_eq(share_send(pair[0], &packet, &why), ERR_OK);
    ck_assert_int_eq(share_receive(pair[1], &in, &why), ERR_OK);
    ck_assert_uint_eq(in.len, packet.len);
    ck_assert_int_ge(in.descriptor, 0);
    ck_assert_int_eq(pread(in.descriptor, text, 4, 0), 4);
    ck_assert_mem_eq(text, "page", 4);
    ck_assert_int_eq(fcntl(in.descriptor, F_GETFD), FD_CLOEXEC);
    close(in.descriptor);
    close(packet.descriptor);
}
END_TEST

START_TEST(test_nothing_waits_is_no_error_and_the_end_is)
{
    struct share_packet in;
    ck_assert_int_eq(share_receive(pair[1], &in, &why), ERR_OK);
    ck_assert_uint_eq(in.len, 0);
    ck_assert_int_eq(in.descriptor, -1);
    close(pair[1]);
    pair[1] = -1;
    ck_assert_int_eq(share_receive(pair[0], &in, &why), ERR_PEER_CLOSED);
    struct share_message m = sample(SHARE_CHANGED);
    encode(&m);
    ck_assert_int_eq(share_send(pair[0], &packet, &why), ERR_PEER_CLOSED);
}
END_TEST

/* Who goes with our message unread resets the connection; its last word is heard all the same. */
START_TEST(test_the_last_word_is_heard_after_a_reset)
{
    struct share_message hello_ = hello(), refused = sample(SHARE_REFUSED);
    struct share_packet in;
    encode(&hello_);
    ck_assert_int_eq(share_send(pair[0], &packet, &why), ERR_OK);
    encode(&refused);
    ck_assert_int_eq(share_send(pair[1], &packet, &why), ERR_OK);
    close(pair[1]);
    pair[1] = -1;
    ck_assert_int_eq(share_receive(pair[0], &in, &why), ERR_OK);
    ck_assert_uint_eq(in.len, packet.len);
    ck_assert_int_eq(share_receive(pair[0], &in, &why), ERR_PEER_CLOSED);
}
END_TEST

START_TEST(test_who_does_not_read_fills_a_bounded_queue)
{
    struct share_message m = sample(SHARE_CHANGED);
    encode(&m);
    err_t err = ERR_OK;
    for (int i = 0; i < 100000 && err == ERR_OK; i++)
        err = share_send(pair[0], &packet, &why);
    ck_assert_int_eq(err, ERR_LIMIT);
}
END_TEST

/* --- what a stranger sends -------------------------------------------------------------------- */

static void send_raw(const void *bytes, size_t len, const int *fds, size_t count)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(8 * sizeof(int))];
    } c = {.bytes = {0}};
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        h.msg_control = c.bytes;
        h.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&h);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(head), fds, count * sizeof(int));
    }
    ck_assert_int_eq(sendmsg(pair[0], &h, 0), (ssize_t)len);
}

static const size_t descriptor_counts[] = {2, 3, 8};

START_TEST(test_more_descriptors_than_one_are_refused_and_closed)
{
    struct share_packet in;
    int fds[8];
    fds[0] = memory_file("page");
    for (size_t i = 1; i < 8; i++)
        fds[i] = fds[0];
    send_raw("x", 1, fds, descriptor_counts[_i]);
    size_t before = open_descriptors();
    ck_assert_int_eq(share_receive(pair[1], &in, &why), ERR_PARSE);
    ck_assert_uint_eq(open_descriptors(), before);
    ck_assert_int_eq(in.descriptor, -1);
    close(fds[0]);
}
END_TEST

/* Too long, or empty, with a descriptor: the message is refused, the descriptor closed. */
START_TEST(test_the_descriptor_of_a_refused_message_is_closed)
{
    static const uint8_t large[SHARE_PACKET_MAX + 1];
    struct share_packet in;
    int fd = memory_file("page");
    size_t before = open_descriptors();
    send_raw(large, sizeof large, &fd, 1);
    ck_assert_int_eq(share_receive(pair[1], &in, &why), ERR_TOO_LARGE);
    ck_assert_uint_eq(open_descriptors(), before);
    send_raw("", 0, &fd, 1);
    ck_assert_int_eq(share_receive(pair[1], &in, &why), ERR_PEER_CLOSED);
    ck_assert_uint_eq(open_descriptors(), before);
    close(fd);
}
END_TEST

/* --- the path --------------------------------------------------------------------------------- */

START_TEST(test_share_sock_lies_beside_the_workload_api)
{
    char out[SHARE_PATH_MAX], path[256];
    ck_assert_int_eq(share_path("/run/spindle/public/api.sock", out, &why), ERR_OK);
    ck_assert_str_eq(out, "/run/spindle/public/share.sock");
    ck_assert_int_eq(share_path("/api.sock", out, &why), ERR_OK);
    ck_assert_str_eq(out, "/share.sock");
    ck_assert_int_eq(share_path("api.sock", out, &why), ERR_OK);
    ck_assert_str_eq(out, "share.sock");
    ck_assert_int_eq(share_path("/run/share.sock", out, &why), ERR_CONFIG);
    snprintf(path, sizeof path, "/%096d/a", 0);
    ck_assert_int_eq(share_path(path, out, &why), ERR_CONFIG);
    snprintf(path, sizeof path, "/%095d/a", 0);
    ck_assert_int_eq(share_path(path, out, &why), ERR_OK);
    ck_assert_uint_eq(strlen(out), SHARE_PATH_MAX - 1);
    snprintf(path, sizeof path, "/%0200d/a", 0);
    ck_assert_int_eq(share_path(path, out, &why), ERR_CONFIG);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("share_message");
    TCase *tc = tcase_create("messages");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_a_message_is_these_bytes);
    tcase_add_loop_test(tc, test_each_type_comes_back_as_it_went, SHARE_HELLO, SHARE_REFUSED + 1);
    tcase_add_loop_test(tc, test_every_truncation_is_refused, SHARE_HELLO, SHARE_REFUSED + 1);
    tcase_add_loop_test(tc, test_fields_of_a_newer_program_are_ignored, SHARE_HELLO,
                        SHARE_REFUSED + 1);
    tcase_add_test(tc, test_a_type_of_a_newer_program_is_other);
    tcase_add_test(tc, test_another_version_is_refused_with_both_numbers);
    tcase_add_loop_test(tc, test_a_header_that_is_wrong_is_refused, 0, 7);
    tcase_add_loop_test(tc, test_texts_are_utf8_without_control_characters, 0,
                        sizeof texts / sizeof texts[0]);
    tcase_add_test(tc, test_a_text_past_its_maximum_is_refused);
    tcase_add_test(tc, test_a_life_below_zero_is_refused);
    tcase_add_test(tc, test_a_descriptor_travels_and_closes_on_exec);
    tcase_add_test(tc, test_nothing_waits_is_no_error_and_the_end_is);
    tcase_add_test(tc, test_the_last_word_is_heard_after_a_reset);
    tcase_add_test(tc, test_who_does_not_read_fills_a_bounded_queue);
    tcase_add_loop_test(tc, test_more_descriptors_than_one_are_refused_and_closed, 0, 3);
    tcase_add_test(tc, test_the_descriptor_of_a_refused_message_is_closed);
    tcase_add_test(tc, test_share_sock_lies_beside_the_workload_api);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

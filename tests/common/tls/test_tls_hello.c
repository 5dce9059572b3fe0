/* ClientHellos that are odd and valid, and those that are neither, byte by byte against our server:
 * what RFC 8446 allows is answered with a ServerHello or a HelloRetryRequest for a group that was
 * offered; the rest with the alert it names, and the right reason in our log. */
#include "common/tls/tls.h"
#include "common/tls/tls_limits.h"
#include "tests/support/certs.h"
#include "tests/support/hello.h"
#include "tests/support/runner.h"

#include <string.h>

#define WIRE_MAX (1u << 20)

enum { HELLO = -1, RETRY = -2 }; /* answers; an alert is its number */

static const struct odd {
    const char *name;
    int answer; /* 0 is HELLO */
    int then;   /* an alert behind it */
    err_t reason;
    struct hello_odd hello;
} odds[] = {
    {.name = "as of any client"},
    {.name = "a record of version 0x0301", .hello = {.record_version = 0x0301}},
    {.name = "a record of version 0x03ff", .hello = {.record_version = 0x03ff}},
    {.name = "legacy_version 0x0302", .hello = {.legacy_version = 0x0302}},
    {.name = "legacy_version 0x0301", .hello = {.legacy_version = 0x0301}},
    {.name = "a session id of 32 bytes", .hello = {.session_id = 32}},
    {.name = "a session id of 7 bytes", .hello = {.session_id = 7}},
    {.name = "150 other cipher suites", .hello = {.other_suites = 150}},
    {.name = "32,000 other cipher suites", .hello = {.other_suites = 32000}},
    {.name = "ChaCha20 alone", .hello = {.suites = BYTES("\x13\x03")}},
    {.name = "AES-256 alone", .hello = {.suites = BYTES("\x13\x02")}},
    {.name = "a suite twice, a GREASE one", .hello = {.suites = BYTES("\x0a\x0a\x13\x01\x13\x01")}},
    {.name = "2,000 other groups", .hello = {.other_groups = 2000}},
    {.name = "300 other signature algorithms", .hello = {.other_algorithms = 300}},
    {.name = "40 key shares of other groups", .hello = {.other_shares = 40}},
    {.name = "P-256 alone",
     .hello = {.groups = BYTES("\x00\x17"), .shares = {{.group = HELLO_P256, .len = 65}}}},
    {.name = "X25519MLKEM768 alone",
     .hello = {.groups = BYTES("\x11\xec"),
               .shares = {{.group = HELLO_HYBRID, .len = 1216, .fill = 0}}}},
    {.name = "no key share, X25519 offered", .answer = RETRY, .hello = {.no_shares = true}},
    {.name = "a key share of another group, P-256 offered",
     .answer = RETRY,
     .hello = {.groups = BYTES("\x00\x18\x00\x17"),
               .shares = {{.group = 24, .len = 97, .fill = 4}}}},
    {.name = "500 unknown extensions", .hello = {.other_extensions = 500}},
    {.name = "an unknown extension of 60,000 bytes",
     .hello = {.extra = {{.type = 0x7a7a, .len = 60000}}}},
    {.name = "padding", .hello = {.extra = {{.type = 21, .len = 9000}}}},
    {.name = "encrypted client hello of nobody",
     .hello = {.extra = {{.type = 0xfe0d, .len = 250}}}},
    {.name = "compress_certificate",
     .hello = {.extra = {{.type = 27, .bytes = BYTES("\x02\x00\x02")}}}},
    {.name = "max_fragment_length", .hello = {.extra = {{.type = 1, .bytes = BYTES("\x02")}}}},
    {.name = "record_size_limit", .hello = {.extra = {{.type = 28, .bytes = BYTES("\x40\x01")}}}},
    {.name = "ALPN",
     .hello = {.extra = {{.type = 16, .bytes = BYTES("\x00\x0c\x02h2\x08http/1.1")}}}},
    {.name = "a name that is an address",
     .hello = {.extra = {{.type = 0,
                          .bytes = BYTES("\x00\x0c\x00\x00\x09"
                                         "127.0.0.1")}}}},
    {.name = "a name of a kind that nobody knows",
     .hello = {.extra = {{.type = 0, .bytes = BYTES("\x00\x04\x07\x00\x01x")}}}},
    {.name = "status_request, its second version, certificate timestamps",
     .hello = {.extra = {{.type = 5, .bytes = BYTES("\x01\x00\x00\x00\x00")},
                         {.type = 17, .bytes = BYTES("\x00\x07\x02\x00\x04\x00\x00\x00\x00")},
                         {.type = 18}}}},
    {.name = "certificate_authorities",
     .hello = {.extra = {{.type = 47, .bytes = BYTES("\x00\x04\x00\x02\x30\x00")}}}},
    {.name = "signature_algorithms_cert",
     .hello = {.extra = {{.type = 50, .bytes = BYTES("\x00\x02\x04\x03")}}}},
    {.name = "post_handshake_auth", .hello = {.extra = {{.type = 49}}}},
    {.name = "what is left of TLS 1.2",
     .hello = {.extra = {{.type = 22},
                         {.type = 23},
                         {.type = 11, .bytes = BYTES("\x01\x00")},
                         {.type = 0xff01, .bytes = BYTES("\x00")}}}},
    {.name = "a session ticket of TLS 1.2", .hello = {.extra = {{.type = 35, .len = 200}}}},
    {.name = "certificate types",
     .hello = {.extra = {{.type = 19, .bytes = BYTES("\x01\x00")},
                         {.type = 20, .bytes = BYTES("\x01\x00")}}}},
    {.name = "use_srtp, heartbeat",
     .hello = {.extra = {{.type = 14, .bytes = BYTES("\x00\x02\x00\x01\x00")},
                         {.type = 15, .bytes = BYTES("\x01")}}}},
    {.name = "transport parameters of QUIC", .hello = {.extra = {{.type = 57, .len = 30}}}},
    {.name = "versions of GREASE, drafts, and 1.3",
     .hello = {.versions = BYTES("\x1a\x1a\x7f\x1c\x03\x04\x03\x03")}},
    {.name = "modes of pre-shared keys alone",
     .hello = {.extra = {{.type = HELLO_EXT_MODES, .bytes = BYTES("\x02\x00\x01")}}}},
    {.name = "a pre-shared key that we do not know, with early data",
     .hello = {.extra = {{.type = HELLO_EXT_MODES, .bytes = BYTES("\x01\x01")},
                         {.type = 42},
                         {.type = HELLO_EXT_PSK,
                          .bytes = BYTES("\x00\x0a\x00\x04name\x00\x00\x00\x00\x00\x21\x20"
                                         "01234567890123456789012345678901")}},
               .extra_last = true}},
    {.name = "a pre-shared key with a name of 40,000 bytes",
     .hello = {.extra = {{.type = HELLO_EXT_MODES, .bytes = BYTES("\x01\x01")},
                         {.type = HELLO_EXT_PSK, .len = 40000}},
               .extra_last = true}},
    {.name = "a cookie that nobody gave",
     .hello = {.extra = {{.type = 44, .bytes = BYTES("\x00\x01x")}}}},
    /* nothing in common */
    {.name = "P-384 alone",
     .answer = 40,
     .reason = ERR_TLS_NO_COMMON,
     .hello = {.groups = BYTES("\x00\x18"), .shares = {{.group = 24, .len = 97, .fill = 4}}}},
    {.name = "P-384 alone, no key share",
     .answer = 40,
     .reason = ERR_TLS_NO_COMMON,
     .hello = {.groups = BYTES("\x00\x18"), .no_shares = true}},
    {.name = "groups of GREASE alone",
     .answer = 40,
     .reason = ERR_TLS_NO_COMMON,
     .hello = {.groups = BYTES("\x3a\x3a"), .no_shares = true}},
    {.name = "no suite of ours",
     .answer = 40,
     .reason = ERR_TLS_NO_COMMON,
     .hello = {.suites = BYTES("\x13\x04\x13\x05")}},
    {.name = "suites of TLS 1.2",
     .answer = 40,
     .reason = ERR_TLS_NO_COMMON,
     .hello = {.suites = BYTES("\xc0\x2b\xc0\x2f")}},
    {.name = "many suites, none of ours",
     .answer = 40,
     .reason = ERR_TLS_NO_COMMON,
     .hello = {.no_suites = true, .other_suites = 1000}},
    {.name = "no algorithm for our key",
     .answer = 40,
     .reason = ERR_TLS_NO_COMMON,
     .hello = {.algorithms = BYTES("\x08\x04\x08\x05")}},
    {.name = "algorithms nobody has",
     .answer = 40,
     .reason = ERR_TLS_NO_COMMON,
     .hello = {.algorithms = BYTES("\x7a\x7a")}},
    {.name = "TLS 1.2 in supported_versions",
     .answer = 70,
     .reason = ERR_TLS_VERSION,
     .hello = {.versions = BYTES("\x03\x03")}},
    {.name = "no supported_versions",
     .answer = 70,
     .reason = ERR_TLS_VERSION,
     .hello = {.no_versions = true}},
    /* malformed */
    {.name = "no key_share",
     .answer = 109,
     .reason = ERR_TLS_PROTOCOL,
     .hello = {.no_share_extension = true}},
    {.name = "no supported_groups",
     .answer = 109,
     .reason = ERR_TLS_PROTOCOL,
     .hello = {.no_groups = true}},
    {.name = "no signature_algorithms",
     .answer = 109,
     .reason = ERR_TLS_PROTOCOL,
     .hello = {.no_algorithms = true}},
    {.name = "an extension twice",
     .answer = 47,
     .reason = ERR_TLS_PROTOCOL,
     .hello = {.extra = {{.type = HELLO_EXT_MODES, .bytes = BYTES("\x01\x01")},
                         {.type = HELLO_EXT_MODES, .bytes = BYTES("\x01\x01")}}}},
    {.name = "a key share twice",
     .answer = 47,
     .reason = ERR_TLS_PROTOCOL,
     .hello = {.shares = {{.group = HELLO_X25519, .len = 32, .fill = 9},
                          {.group = HELLO_X25519, .len = 32, .fill = 9}}}},
    {.name = "a key share of 31 bytes",
     .then = 47,
     .reason = ERR_TLS_PROTOCOL,
     .hello = {.shares = {{.group = HELLO_X25519, .len = 31, .fill = 9}}}},
    {.name = "a key share whose secret is zero",
     .then = 47,
     .reason = ERR_TLS_PROTOCOL,
     .hello = {.shares = {{.group = HELLO_X25519, .len = 32, .fill = 0}}}},
    {.name = "a key share that is no point",
     .then = 47,
     .reason = ERR_TLS_PROTOCOL,
     .hello = {.groups = BYTES("\x00\x17"),
               .shares = {{.group = HELLO_P256, .len = 65, .fill = 4}}}},
    {.name = "half a key share of X25519MLKEM768",
     .answer = 47,
     .reason = ERR_TLS_PROTOCOL,
     .hello = {.groups = BYTES("\x11\xec"),
               .shares = {{.group = HELLO_HYBRID, .len = 600, .fill = 1}}}},
    {.name = "an ML-KEM key that is not reduced",
     .answer = 47,
     .reason = ERR_TLS_PROTOCOL,
     .hello = {.groups = BYTES("\x11\xec"),
               .shares = {{.group = HELLO_HYBRID, .len = 1216, .fill = 0xff}}}},
    {.name = "a pre-shared key that is not last",
     .answer = 47,
     .reason = ERR_TLS_PROTOCOL,
     .hello = {.extra = {{.type = HELLO_EXT_PSK, .len = 60}}}},
    {.name = "compression",
     .answer = 47,
     .reason = ERR_TLS_PROTOCOL,
     .hello = {.compression = BYTES("\x01\x01")}},
    {.name = "a session id of 33 bytes",
     .answer = 47,
     .reason = ERR_TLS_PROTOCOL,
     .hello = {.session_id = 33}},
    {.name = "no suite at all",
     .answer = 50,
     .reason = ERR_TLS_PROTOCOL,
     .hello = {.no_suites = true}},
    {.name = "bytes behind its end",
     .answer = 50,
     .reason = ERR_TLS_PROTOCOL,
     .hello = {.trailing = BYTES("xyz")}},
};

/* --- our server ------------------------------------------------------------------------------ */

struct server {
    struct cert *root, *leaf;
    struct tls_context *ctx;
    struct tls *tls;
    struct buf in, out;
    struct why why;
};

static err_t accept_any(void *arg, const struct slice *chain, size_t count, struct why *why)
{
    (void)arg, (void)chain, (void)count, (void)why;
    return ERR_OK;
}

static void setup(struct server *s)
{
    struct tls_events events = {.verify = accept_any, .arg = s};
    struct bundle_set bundles;
    struct identity *me = NULL;
    memset(s, 0, sizeof *s);
    s->root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    s->leaf = cert_make(&(struct cert_knobs){.uri = "spiffe://example.org/web"}, s->root);
    bundle_set_init(&bundles);
    cert_trust(&bundles, "example.org", s->root);
    ck_assert_int_eq(
        identity_new(cert_der(s->leaf), key_pkcs8(s->leaf->key), "", &bundles, &me, &s->why), 0);
    ck_assert_int_eq(tls_context_new(TLS_SERVER, TLS_CLIENT_REQUIRED, me, &s->ctx, &s->why), 0);
    identity_unref(me);
    ck_assert_int_eq(tls_new(s->ctx, &events, &s->tls, &s->why), ERR_OK);
    buf_init(&s->in, WIRE_MAX);
    buf_init(&s->out, WIRE_MAX);
}

static void teardown(struct server *s)
{
    tls_free(s->tls);
    tls_context_unref(s->ctx);
    buf_done(&s->in);
    buf_done(&s->out);
    cert_free(s->leaf);
    cert_free(s->root);
}

/* What the first record of the answer is: HELLO, RETRY, an alert's number; 0 for none. */
static int answer_of(const struct buf *out)
{
    static const uint8_t retry[] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11};
    if (out->len < 7)
        return 0;
    if (out->data[0] == 21)
        return out->data[6];
    ck_assert_int_eq(out->data[0], 22);
    ck_assert_int_eq(out->data[5], 2);
    return memcmp(out->data + 11, retry, sizeof retry) == 0 ? RETRY : HELLO;
}

/* The alert in the last record, which is not encrypted; 0 for none. */
static int last_alert(const struct buf *out)
{
    int alert = 0;
    for (size_t at = 0; at + 7 <= out->len;) {
        const uint8_t *record = out->data + at;
        size_t len = (size_t)record[3] << 8 | record[4];
        alert = record[0] == 21 && len == 2 ? record[6] : 0;
        at += 5 + len;
    }
    return alert;
}

static void check_answer(struct server *s, const char *name, int answer, err_t reason)
{
    enum tls_progress p = tls_handshake(s->tls, buf_slice(&s->in), &s->out, &s->why);
    ck_assert_msg(answer_of(&s->out) == answer, "%s: answered with %d, not %d: %s", name,
                  answer_of(&s->out), answer, why_text(&s->why));
    if (reason == ERR_OK) {
        ck_assert_msg(p == TLS_PROGRESS_WANT, "%s: %s", name, why_text(&s->why));
        return;
    }
    ck_assert_msg(p == TLS_PROGRESS_ERROR && s->why.err == reason, "%s: %s: %s", name,
                  err_name(s->why.err), why_text(&s->why));
}

START_TEST(test_an_odd_hello_is_answered_as_the_standard_says)
{
    const struct odd *o = &odds[_i];
    struct server s;
    struct buf hello;
    setup(&s);
    buf_init(&hello, WIRE_MAX);
    hello_write(&hello, &o->hello);
    hello_records(&s.in, o->hello.record_version > 0 ? o->hello.record_version : 0x0301, &hello,
                  TLS_RECORD_MAX);
    check_answer(&s, o->name, o->answer == 0 ? HELLO : o->answer, o->reason);
    ck_assert_msg(o->then == 0 || last_alert(&s.out) == o->then, "%s: then %d", o->name,
                  last_alert(&s.out));
    buf_done(&hello);
    teardown(&s);
}
END_TEST

/* Records that are not as they should be, as the first that a server sees. */
static const struct raw {
    const char *name;
    int answer;
    err_t reason;
    struct slice bytes;
    size_t zeros; /* behind */
} raws[] = {
    {"a message of 16 MiB is claimed", 50, ERR_TLS_LIMIT,
     BYTES("\x16\x03\x01\x00\x04\x01\xff\xff\xff"), 0},
    {"certificates of 16 MiB are claimed", 80, ERR_TLS_LIMIT,
     BYTES("\x16\x03\x01\x00\x04\x0b\xff\xff\xff"), 0},
    {"a message one byte past the limit", 50, ERR_TLS_LIMIT,
     BYTES("\x16\x03\x01\x00\x04\x01\x02\x01\x45"), 0},
    {"an empty handshake record", 10, ERR_TLS_PROTOCOL, BYTES("\x16\x03\x01\x00\x00"), 0},
    {"a record of 2^14 + 1 bytes", 22, ERR_TLS_PROTOCOL, BYTES("\x16\x03\x01\x40\x01"), 16385},
    {"a Finished", 10, ERR_TLS_PROTOCOL, BYTES("\x16\x03\x03\x00\x04\x14\x00\x00\x00"), 0},
    {"a message of an unknown type", 10, ERR_TLS_PROTOCOL,
     BYTES("\x16\x03\x03\x00\x04\x63\x00\x00\x00"), 0},
    {"application data between the parts of a hello", 10, ERR_TLS_PROTOCOL,
     BYTES("\x16\x03\x01\x00\x04\x01\x00\x01\x00\x17\x03\x03\x00\x01x"), 0},
    {"a record of an unknown type behind the first part", 10, ERR_TLS_PROTOCOL,
     BYTES("\x16\x03\x01\x00\x04\x01\x00\x01\x00\x63\x03\x03\x00\x01x"), 0},
    {"change_cipher_spec before the hello is there", 10, ERR_TLS_PROTOCOL,
     BYTES("\x16\x03\x01\x00\x04\x01\x00\x01\x00\x14\x03\x03\x00\x01\x01"), 0},
};

START_TEST(test_a_record_out_of_place_gets_its_alert)
{
    const struct raw *r = &raws[_i];
    struct server s;
    setup(&s);
    hello_bytes(&s.in, r->bytes.data, r->bytes.len);
    hello_fill(&s.in, 0, r->zeros);
    check_answer(&s, r->name, r->answer, r->reason);
    teardown(&s);
}
END_TEST

/* The longest message that is no certificate, to the byte; what it holds is not looked at before.
 */
START_TEST(test_a_message_as_long_as_the_limit_is_read_to_its_end)
{
    struct server s;
    struct buf hello;
    setup(&s);
    buf_init(&hello, WIRE_MAX);
    hello_number(&hello, 1, 1);
    hello_number(&hello, TLS_MESSAGE_MAX, 3);
    hello_fill(&hello, 3, TLS_MESSAGE_MAX - 1);
    hello_records(&s.in, 0x0301, &hello, 1000);
    ck_assert_int_eq(tls_handshake(s.tls, buf_slice(&s.in), &s.out, &s.why), TLS_PROGRESS_WANT);
    ck_assert_uint_eq(s.out.len, 0);
    buf_done(&hello);
    teardown(&s);
}
END_TEST

static const unsigned sizes[] = {1, 2, 3, 4, 5, 64, 16383};

START_TEST(test_a_hello_in_records_of_any_size_is_answered)
{
    struct server s;
    struct buf hello;
    setup(&s);
    buf_init(&hello, WIRE_MAX);
    hello_write(&hello, &(struct hello_odd){.other_suites = 9000});
    hello_records(&s.in, 0x0301, &hello, sizes[_i]);
    check_answer(&s, "in pieces", HELLO, ERR_OK);
    buf_done(&hello);
    teardown(&s);
}
END_TEST

/* RFC 8446 5: change_cipher_spec is dropped, however many; as many as empty records in a row. */
START_TEST(test_change_cipher_spec_is_dropped_up_to_the_limit)
{
    static const uint8_t record[] = {20, 3, 3, 0, 1, 1};
    struct server s;
    setup(&s);
    struct buf hello;
    buf_init(&hello, WIRE_MAX);
    hello_write(&hello, &(struct hello_odd){0});
    hello_records(&s.in, 0x0301, &hello, TLS_RECORD_MAX);
    for (int i = 0; i < TLS_EMPTY_RECORDS_MAX - 1; i++)
        hello_bytes(&s.in, record, sizeof record);
    check_answer(&s, "as many as may be", HELLO, ERR_OK);
    ck_assert_int_eq(tls_handshake(s.tls, slice_of(record, sizeof record), &s.out, &s.why),
                     TLS_PROGRESS_ERROR);
    ck_assert_int_eq(s.why.err, ERR_TLS_LIMIT);
    buf_done(&hello);
    teardown(&s);
}
END_TEST

/* RFC 8446 4.2.10: early data is skipped, up to the limit; behind it a broken record is broken. */
START_TEST(test_early_data_is_skipped_up_to_the_limit)
{
    struct server s;
    struct buf hello;
    struct hello_odd o = {.extra = {{.type = 42}}};
    size_t record = 16000;
    setup(&s);
    buf_init(&hello, WIRE_MAX);
    o.no_shares = _i == 1; /* behind a HelloRetryRequest nothing is encrypted yet */
    hello_write(&hello, &o);
    hello_records(&s.in, 0x0301, &hello, TLS_RECORD_MAX);
    for (size_t i = 0; i < TLS_EARLY_DATA_MAX / record; i++) {
        hello_number(&s.in, 0x170303, 3);
        hello_number(&s.in, record, 2);
        hello_fill(&s.in, 0x77, record);
    }
    check_answer(&s, "with early data", _i == 1 ? RETRY : HELLO, ERR_OK);
    uint8_t more[16005] = {0x17, 3, 3, 0x3e, 0x80};
    ck_assert_int_eq(tls_handshake(s.tls, slice_of(more, sizeof more), &s.out, &s.why),
                     TLS_PROGRESS_ERROR);
    ck_assert_int_eq(s.why.err, ERR_TLS_PROTOCOL);
    buf_done(&hello);
    teardown(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tls_hello");
    TCase *t = tcase_create("tls_hello");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, test_an_odd_hello_is_answered_as_the_standard_says, 0,
                        sizeof odds / sizeof odds[0]);
    tcase_add_loop_test(t, test_a_record_out_of_place_gets_its_alert, 0,
                        sizeof raws / sizeof raws[0]);
    tcase_add_test(t, test_a_message_as_long_as_the_limit_is_read_to_its_end);
    tcase_add_loop_test(t, test_a_hello_in_records_of_any_size_is_answered, 0,
                        sizeof sizes / sizeof sizes[0]);
    tcase_add_test(t, test_change_cipher_spec_is_dropped_up_to_the_limit);
    tcase_add_loop_test(t, test_early_data_is_skipped_up_to_the_limit, 0, 2);
    suite_add_tcase(s, t);
    return run_suite(s);
}

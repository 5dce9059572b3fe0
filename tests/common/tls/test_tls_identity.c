/* Whatever identity is accepted when it is loaded, a handshake carries it, both ways, up to the
 * very limits; what no handshake could carry is refused then, and the limit is named. */
#include "common/tls/tls.h"
#include "common/tls/tls_limits.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#include <string.h>

#define WIRE_MAX (4u << 20)
#define BALLAST_MAX X509_DER_MAX

struct end {
    struct tls_context *ctx;
    struct tls *tls;
    struct buf out;
    enum tls_progress progress;
    struct why why;
    size_t seen, certs; /* bytes and number of the peer's chain */
};

static const uint8_t ballast[BALLAST_MAX];

/* A certificate of exactly `size` bytes, where that is larger than a plain one. */
static struct cert *cert_of(struct cert_knobs knobs, size_t size, const struct cert *issuer)
{
    struct cert *made = cert_make(&knobs, issuer);
    size_t fill = size > cert_der(made).len ? size - cert_der(made).len : 0;
    while (fill > 0 && cert_der(made).len != size) {
        knobs.extra[0] =
            (struct cert_extension){.oid = BYTES("\x2a\x03\x04"), .value = slice_of(ballast, fill)};
        struct cert *next = cert_make(&knobs, issuer);
        fill -= cert_der(next).len > size ? cert_der(next).len - size : 0;
        fill += cert_der(next).len < size ? size - cert_der(next).len : 0;
        cert_free(made);
        made = next;
    }
    return made;
}

static err_t make_identity(enum key_kind kind, size_t size, size_t count, struct identity **ret,
                           struct why *why)
{
    struct cert *root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    struct cert *above = cert_of((struct cert_knobs){.ca = true, .cn = "above"}, size, root);
    struct cert *leaf = cert_of(
        (struct cert_knobs){.uri = "spiffe://example.org/web", .key_kind = kind}, size, above);
    struct bundle_set bundles;
    struct buf chain;
    bundle_set_init(&bundles);
    cert_trust(&bundles, "example.org", root);
    buf_init(&chain, WIRE_MAX);
    for (size_t i = 0; i < count; i++) {
        struct slice der = cert_der(i == 0 ? leaf : above);
        ck_assert_int_eq(buf_append(&chain, der.data, der.len), ERR_OK);
    }
    err_t err = identity_new(buf_slice(&chain), key_pkcs8(leaf->key), "", &bundles, ret, why);
    bundle_set_done(&bundles);
    buf_done(&chain);
    cert_free(leaf);
    cert_free(above);
    cert_free(root);
    return err;
}

static err_t accept_any(void *arg, const struct slice *chain, size_t count, struct why *why)
{
    struct end *e = arg;
    (void)why;
    e->certs = count;
    for (size_t i = 0; i < count; i++)
        e->seen += chain[i].len;
    return ERR_OK;
}

static void open_end(struct end *e, enum tls_side side, struct identity *me)
{
    struct tls_events events = {.verify = accept_any, .arg = e};
    memset(e, 0, sizeof *e);
    buf_init(&e->out, WIRE_MAX);
    ck_assert_msg(tls_context_new(side, TLS_CLIENT_REQUIRED, me, &e->ctx, &e->why) == ERR_OK, "%s",
                  why_text(&e->why));
    ck_assert_int_eq(tls_new(e->ctx, &events, &e->tls, &e->why), ERR_OK);
}

static void close_end(struct end *e)
{
    tls_free(e->tls);
    tls_context_unref(e->ctx);
    buf_done(&e->out);
}

static void step(struct end *e, struct end *other)
{
    if (e->progress != TLS_PROGRESS_WANT)
        return;
    e->progress = tls_handshake(e->tls, buf_slice(&other->out), &e->out, &e->why);
    buf_clear(&other->out);
}

static void check_carried(struct identity *me)
{
    struct end server, client;
    open_end(&server, TLS_SERVER, me);
    open_end(&client, TLS_CLIENT, me);
    for (int i = 0; i < 4; i++) {
        step(&client, &server);
        step(&server, &client);
    }
    ck_assert_msg(client.progress == TLS_PROGRESS_DONE, "%s", why_text(&client.why));
    ck_assert_msg(server.progress == TLS_PROGRESS_DONE, "%s", why_text(&server.why));
    ck_assert_uint_eq(client.seen, identity_chain(me).len);
    ck_assert_uint_eq(server.seen, identity_chain(me).len);
    ck_assert_uint_eq(server.certs, identity_cert_count(me));
    close_end(&server);
    close_end(&client);
}

static const enum key_kind kinds[] = {KEY_EC_P256, KEY_EC_P384, KEY_RSA_2048, KEY_RSA_3072,
                                      KEY_ED25519};

START_TEST(test_an_identity_of_every_kind_of_key_is_carried)
{
    struct identity *me = NULL;
    struct why why = {0};
    ck_assert_msg(make_identity(kinds[_i], 0, 2, &me, &why) == ERR_OK, "%s", why_text(&why));
    check_carried(me);
    identity_unref(me);
}
END_TEST

static const struct {
    size_t size, count;
} chains[] = {{0, 1},     {16000, 1},        {16384, 1},
              {17000, 2}, {X509_DER_MAX, 1}, {X509_DER_MAX, SVID_CHAIN_MAX}};

START_TEST(test_a_chain_of_any_size_that_is_loaded_is_carried)
{
    struct identity *me = NULL;
    struct why why = {0};
    ck_assert_msg(make_identity(KEY_EC_P256, chains[_i].size, chains[_i].count, &me, &why) ==
                      ERR_OK,
                  "%s", why_text(&why));
    check_carried(me);
    identity_unref(me);
}
END_TEST

START_TEST(test_a_chain_that_no_handshake_carries_is_refused_when_it_is_loaded)
{
    struct identity *me = NULL;
    struct why why = {0};
    ck_assert_int_eq(make_identity(KEY_EC_P256, 0, SVID_CHAIN_MAX + 1, &me, &why),
                     ERR_CHAIN_TOO_LONG);
    ck_assert_msg(strstr(why.text, "8") != NULL, "%s", why.text);
    ck_assert_int_ne(make_identity(KEY_EC_P256, X509_DER_MAX + 1, 1, &me, &why), ERR_OK);
    ck_assert_msg(strstr(why.text, "65536") != NULL, "%s", why.text);
    ck_assert_ptr_null(me);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tls_identity");
    TCase *t = tcase_create("tls_identity");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, test_an_identity_of_every_kind_of_key_is_carried, 0,
                        sizeof kinds / sizeof kinds[0]);
    tcase_add_loop_test(t, test_a_chain_of_any_size_that_is_loaded_is_carried, 0,
                        sizeof chains / sizeof chains[0]);
    tcase_add_test(t, test_a_chain_that_no_handshake_carries_is_refused_when_it_is_loaded);
    suite_add_tcase(s, t);
    return run_suite(s);
}

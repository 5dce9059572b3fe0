#include "tests/support/rotation_case.h"

#include "common/crypto/vector_registers.h"
#include "common/spiffe/svid_verify.h"
#include "common/tls/tls.h"
#include "tests/support/certs.h"

#include <assert.h>
#include <string.h>

#define WIRE_MAX (1u << 20)
#define ROUNDS_MAX 8

struct end {
    enum tls_side side;
    const char *id;
    struct tls_context *ctx; /* owned; the identity is in it */
    struct tls *tls;
    struct buf out; /* for the other end */
    enum tls_progress progress;
    struct why why;
};

struct site {
    struct cert *root, *issuer;
    struct end ends[2];
};

int __real_spindle_rand_block(unsigned char *out, unsigned len);
int __wrap_spindle_rand_block(unsigned char *out, unsigned len);

static bool dirty_draws;

int __wrap_spindle_rand_block(unsigned char *out, unsigned len)
{
    int rc = __real_spindle_rand_block(out, len);
    if (dirty_draws)
        vector_registers_dirty();
    return rc;
}

static err_t verify(void *arg, const struct slice *chain, size_t count, struct why *why)
{
    struct end *e = arg;
    struct svid_peer peer;
    struct svid_verify_options opt = {
        .bundles = identity_bundles(tls_context_identity(e->ctx)),
        .peer_role = e->side == TLS_SERVER ? SVID_ROLE_CLIENT : SVID_ROLE_SERVER,
        .now = CERTS_NOW,
    };
    return svid_verify(chain, count, &opt, &peer, why);
}

/* Mostly P-256, as the agent issues; the others that peers may have now and then. */
static enum key_kind kind_of(long rotation)
{
    return rotation % 10 == 8 ? KEY_ED25519 : rotation % 10 == 9 ? KEY_EC_P384 : KEY_EC_P256;
}

static void rotate(const struct site *s, struct end *e, long rotation)
{
    struct cert *leaf = cert_make(
        &(struct cert_knobs){.uri = e->id, .cn = "leaf", .key_kind = kind_of(rotation)}, s->issuer);
    struct bundle_set bundles;
    struct buf chain;
    struct identity *identity = NULL;
    bundle_set_init(&bundles);
    buf_init(&chain, WIRE_MAX);
    cert_trust(&bundles, "example.org", s->root);
    err_t err = buf_append(&chain, cert_der(leaf).data, cert_der(leaf).len);
    if (err == ERR_OK)
        err = buf_append(&chain, cert_der(s->issuer).data, cert_der(s->issuer).len);
    if (err == ERR_OK)
        err =
            identity_new(buf_slice(&chain), key_pkcs8(leaf->key), "", &bundles, &identity, &e->why);
    assert(err == ERR_OK);
    tls_context_unref(e->ctx);
    err = tls_context_new(e->side, TLS_CLIENT_REQUIRED, identity, &e->ctx, &e->why);
    assert(err == ERR_OK);
    identity_unref(identity);
    buf_done(&chain);
    cert_free(leaf);
}

static void open_session(struct end *e)
{
    struct tls_events events = {.verify = verify, .arg = e};
    buf_init(&e->out, WIRE_MAX);
    err_t err = tls_new(e->ctx, &events, &e->tls, &e->why);
    assert(err == ERR_OK);
    e->progress = TLS_PROGRESS_WANT;
}

static void close_session(struct end *e)
{
    tls_free(e->tls);
    buf_done(&e->out);
}

static void step(struct end *e, struct end *other)
{
    if (e->progress != TLS_PROGRESS_WANT)
        return;
    e->progress = tls_handshake(e->tls, buf_slice(&other->out), &e->out, &e->why);
    buf_clear(&other->out);
}

static bool shake(struct site *s, struct why *why)
{
    struct end *server = &s->ends[0], *client = &s->ends[1];
    open_session(server);
    open_session(client);
    for (int i = 0; i < ROUNDS_MAX; i++) {
        step(client, server);
        step(server, client);
    }
    bool done = client->progress == TLS_PROGRESS_DONE && server->progress == TLS_PROGRESS_DONE;
    if (!done)
        *why = client->progress == TLS_PROGRESS_ERROR ? client->why : server->why;
    close_session(server);
    close_session(client);
    return done;
}

struct rotation_counts rotation_case_run(long rotations, int handshakes_each,
                                         void (*progress)(const struct rotation_counts *so_far))
{
    struct rotation_counts n = {0};
    struct site s = {.ends = {{.side = TLS_SERVER, .id = "spiffe://example.org/web"},
                              {.side = TLS_CLIENT, .id = "spiffe://example.org/client"}}};
    s.root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    s.issuer = cert_make(&(struct cert_knobs){.ca = true, .cn = "issuer"}, s.root);
    rotate(&s, &s.ends[0], 0);
    while (n.rotations < rotations) {
        n.rotations++;
        rotate(&s, &s.ends[n.rotations % 2], n.rotations);
        for (int i = 0; i < handshakes_each; i++) {
            struct why why = {0};
            dirty_draws = i % 2 == 1;
            bool good = shake(&s, &why);
            dirty_draws = false;
            n.handshakes++;
            if (!good && n.failed++ == 0)
                n.first = why;
        }
        if (progress != NULL)
            progress(&n);
    }
    for (int i = 0; i < 2; i++)
        tls_context_unref(s.ends[i].ctx);
    cert_free(s.issuer);
    cert_free(s.root);
    return n;
}

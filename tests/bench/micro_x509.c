/* CPU time of one step of certificate work, for who changes it: micro_x509 [seconds per step].
 * Build it in the release preset. */
#include "common/crypto/key_store.h"
#include "common/spiffe/identity.h"
#include "common/x509/sigverify.h"
#include "common/x509/x509_build.h"
#include "tests/support/certs.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct cert *root, *issuer, *leaf;
static struct bundle_set bundles;
static struct slice chain[2];
static struct buf out;

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void must(err_t err)
{
    if (err == ERR_OK)
        return;
    fprintf(stderr, "micro_x509: %s\n", err_name(err));
    exit(1);
}

static void parse(void)
{
    struct x509 c;
    must(x509_parse(chain[0], &c, NULL));
}

static void verify_signature(void)
{
    must(x509_check_signature(&leaf->x509, issuer->x509.spki, NULL));
}

static void verify_chain(void)
{
    struct svid_verify_options opt = {
        .bundles = &bundles, .peer_role = SVID_ROLE_CLIENT, .now = CERTS_NOW};
    struct svid_peer peer;
    must(svid_verify(chain, 2, &opt, &peer, NULL));
}

static void generate(void)
{
    struct key *k = NULL;
    must(key_generate(KEY_EC_P256, &k, NULL));
    key_free(k);
}

static void sign(void)
{
    buf_clear(&out);
    must(key_sign(issuer->key, leaf->x509.tbs, &out, NULL));
}

static void build_for(const struct key *k)
{
    struct slice uri = leaf->x509.uri[0];
    struct x509_template t = {
        .serial = leaf->x509.serial,
        .issuer = issuer->x509.subject,
        .subject = leaf->x509.subject,
        .not_before = CERTS_NOW,
        .not_after = CERTS_NOW + 3600,
        .spki = key_spki(k),
        .path_len = -1,
        .key_usage = X509_KU_DIGITAL_SIGNATURE,
        .ext_key_usage = X509_EKU_SERVER_AUTH | X509_EKU_CLIENT_AUTH,
        .uris = &uri,
        .uri_count = 1,
        .subject_key_id = leaf->x509.subject_key_id,
        .authority_key_id = leaf->x509.authority_key_id,
    };
    struct signer signer = signer_of_key(issuer->key);
    buf_clear(&out);
    must(x509_build(&t, &signer, &out, NULL));
}

static void build(void)
{
    build_for(leaf->key);
}

static void mint(void)
{
    struct key *k = NULL;
    must(key_generate(KEY_EC_P256, &k, NULL));
    build_for(k);
    key_free(k);
}

static void make_identity(void)
{
    struct bundle_set none;
    struct identity *id = NULL;
    bundle_set_init(&none);
    must(identity_new(chain[0], key_pkcs8(leaf->key), "", &none, &id, NULL));
    identity_unref(id);
}

static const struct {
    const char *what;
    void (*run)(void);
} steps[] = {
    {"parse a leaf", parse},
    {"check one P-256 signature", verify_signature},
    {"verify a chain of two", verify_chain},
    {"make a P-256 key", generate},
    {"sign with P-256", sign},
    {"build and sign a leaf", build},
    {"mint: key and leaf", mint},
    {"make an identity", make_identity},
};

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.5;
    root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    issuer = cert_make(&(struct cert_knobs){.ca = true, .cn = "issuer"}, root);
    leaf = cert_make(&(struct cert_knobs){.uri = "spiffe://example.org/web"}, issuer);
    chain[0] = cert_der(leaf);
    chain[1] = cert_der(issuer);
    bundle_set_init(&bundles);
    cert_trust(&bundles, "example.org", root);
    buf_init(&out, 1 << 16);
    printf("%-28s %12s %12s\n", "step", "ns", "per second");
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        int64_t start = cpu_ns(), end = start;
        long n = 0;
        while ((double)(end - start) < seconds * 1e9) {
            for (int k = 0; k < 50; k++)
                steps[i].run();
            n += 50;
            end = cpu_ns();
        }
        double each = (double)(end - start) / (double)n;
        printf("%-28s %12.0f %12.0f\n", steps[i].what, each, 1e9 / each);
    }
    buf_done(&out);
    bundle_set_done(&bundles);
    cert_free(leaf);
    cert_free(issuer);
    cert_free(root);
    return 0;
}

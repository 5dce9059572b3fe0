/* Chains a peer may show, good and hostile, in both roles: each refusal has its one reason. */
#include "common/base/mem.h"
#include "common/encode/der.h"
#include "common/encode/oid.h"
#include "common/spiffe/svid_verify.h"
#include "tests/support/chain_case.h"
#include "tests/support/runner.h"

#define CRITICAL(o)                                                                                \
    {                                                                                              \
        {                                                                                          \
            .oid = BYTES(o), .value = BYTES("\x30\x00"), .critical = true                          \
        }                                                                                          \
    }
static struct bundle_set bundles;
static struct why why;
static struct svid_peer peer;

static void start(void)
{
    bundle_set_init(&bundles);
    why = (struct why){0};
}

static void stop(void)
{
    bundle_set_done(&bundles);
}

static struct svid_verify_options options(void)
{
    return (struct svid_verify_options){
        .bundles = &bundles, .peer_role = SVID_ROLE_CLIENT, .now = CERTS_NOW};
}

static err_t verify(struct cert *const *shown, size_t count, const struct svid_verify_options *opt)
{
    struct slice chain[16] = {{NULL, 0}};
    for (size_t i = 0; i < count; i++)
        chain[i] = cert_der(shown[i]);
    why = (struct why){0};
    return svid_verify(chain, count, opt, &peer, &why);
}

static struct cert *make_root(const char *cn)
{
    return cert_make(&(struct cert_knobs){.ca = true, .cn = cn}, NULL);
}

static struct cert *make_ca(const char *cn, const struct cert *issuer)
{
    return cert_make(&(struct cert_knobs){.ca = true, .cn = cn}, issuer);
}

static struct cert *make_leaf(const struct cert *issuer)
{
    return cert_make(&(struct cert_knobs){.uri = WEB}, issuer);
}

static const struct chain_case cases[] = {
    {"a good chain", ERR_OK, NULL, .no_uri = false},
    {"a good chain with the root shown", ERR_OK, NULL, .show = SHOW_ROOT_TOO},

    /* X5-13 */
    {"no URI name", ERR_LEAF_NO_URI, "none", .no_uri = true},
    {"no URI name, but a DNS name", ERR_LEAF_NO_URI, "none", .no_uri = true,
     .leaf = {.names = {DNS("web.example.org")}}},
    {"no SAN at all, the ID in the CN", ERR_LEAF_NO_URI, WEB, .no_uri = true,
     .leaf = {.cn = WEB, .omit = CERT_OMIT_SAN}},
    {"two SPIFFE IDs", ERR_LEAF_URI_COUNT, "found 2",
     .leaf = {.names = {URI("spiffe://example.org/db")}}},
    {"the same SPIFFE ID twice", ERR_LEAF_URI_COUNT, "found 2", .leaf = {.names = {URI(WEB)}}},
    {"a SPIFFE ID and an https URI", ERR_LEAF_URI_COUNT, "found 2",
     .leaf = {.names = {URI("https://example.org/web")}}},
    {"six URIs", ERR_LEAF_URI_COUNT, "found 6",
     .leaf = {.names = {URI("a:b"), URI("a:b"), URI("a:b"), URI("a:b"), URI("a:b")}}},

    /* X5-14, ID-1 to ID-4 */
    {"an https URI", ERR_LEAF_ID_INVALID, NULL, .leaf = {.uri = "https://example.org/web"}},
    {"the ID of the trust domain", ERR_LEAF_ID_ROOT_PATH, NULL,
     .leaf = {.uri = "spiffe://example.org"}},
    {"an ID with a slash for a path", ERR_LEAF_ID_INVALID, NULL,
     .leaf = {.uri = "spiffe://example.org/"}},
    {"an ID with a slash at the end", ERR_LEAF_ID_INVALID, NULL, .leaf = {.uri = WEB "/"}},
    {"an ID with a port", ERR_LEAF_ID_INVALID, NULL,
     .leaf = {.uri = "spiffe://example.org:443/web"}},
    {"an ID in upper case", ERR_LEAF_ID_INVALID, NULL, .leaf = {.uri = "spiffe://Example.org/web"}},
    {"an ID with an upper case scheme", ERR_LEAF_ID_INVALID, NULL,
     .leaf = {.uri = "SPIFFE://example.org/web"}},
    {"an ID with an escape", ERR_LEAF_ID_INVALID, NULL,
     .leaf = {.uri = "spiffe://example.org/%77eb"}},
    {"an ID with a dot segment", ERR_LEAF_ID_INVALID, NULL,
     .leaf = {.uri = "spiffe://example.org/../web"}},
    {"an ID with a query", ERR_LEAF_ID_INVALID, NULL, .leaf = {.uri = WEB "?x"}},
    {"an ID with a NUL", ERR_LEAF_ID_INVALID, NULL, .no_uri = true,
     .leaf = {.names = {URI(WEB "\0.evil")}}},
    {"an ID in UTF-8", ERR_LEAF_ID_INVALID, NULL,
     .leaf = {.uri = "spiffe://example.org/w\xc3\xa9"
                     "b"}},
    {"an empty URI", ERR_LEAF_ID_INVALID, NULL, .no_uri = true, .leaf = {.names = {URI("")}}},

    /* X5-12, X5-17 */
    {"a CA certificate", ERR_LEAF_IS_CA, "cA=TRUE", .leaf = {.ca = true, .cn = "x"}},
    {"a CA certificate without a URI", ERR_LEAF_IS_CA, NULL, .no_uri = true,
     .leaf = {.ca = true, .cn = "x"}},
    {"a leaf with keyCertSign", ERR_CERT_KEY_USAGE, "keyCertSign",
     .leaf = {.key_usage = X509_KU_DIGITAL_SIGNATURE | X509_KU_CERT_SIGN}},
    {"a leaf with cRLSign", ERR_CERT_KEY_USAGE, "cRLSign",
     .leaf = {.key_usage = X509_KU_DIGITAL_SIGNATURE | X509_KU_CRL_SIGN}},

    /* X5-18, X5-6 */
    {"a leaf without digitalSignature", ERR_CERT_KEY_USAGE, "lacks digitalSignature",
     .leaf = {.key_usage = X509_KU_KEY_ENCIPHERMENT}},
    {"a leaf without key usage", ERR_CERT_KEY_USAGE, "missing",
     .leaf = {.omit = CERT_OMIT_KEY_USAGE}},
    {"a leaf with all three usages", ERR_OK, NULL,
     .leaf = {.key_usage =
                  X509_KU_DIGITAL_SIGNATURE | X509_KU_KEY_ENCIPHERMENT | X509_KU_KEY_AGREEMENT}},
    {"a leaf without basicConstraints", ERR_OK, NULL,
     .leaf = {.omit = CERT_OMIT_BASIC_CONSTRAINTS}},

    /* X5-8: the role, or any */
    {"a leaf for servers only, as a client", ERR_CERT_EXT_KEY_USAGE, "clientAuth",
     .leaf = {.ext_key_usage = X509_EKU_SERVER_AUTH}, .role = ROLE_CLIENT},
    {"a leaf for clients only, as a server", ERR_CERT_EXT_KEY_USAGE, "serverAuth",
     .leaf = {.ext_key_usage = X509_EKU_CLIENT_AUTH}, .role = ROLE_SERVER},
    {"a leaf for clients only, as a client", ERR_OK, NULL,
     .leaf = {.ext_key_usage = X509_EKU_CLIENT_AUTH}, .role = ROLE_CLIENT},
    {"a leaf for signing code", ERR_CERT_EXT_KEY_USAGE, NULL,
     .leaf = {.ext_key_usage = X509_EKU_OTHER}},
    {"a leaf for any use", ERR_OK, NULL, .leaf = {.ext_key_usage = X509_EKU_ANY}},
    {"a leaf without extended key usage", ERR_OK, NULL, .leaf = {.omit = CERT_OMIT_EXT_KEY_USAGE}},
    {"an issuer for servers only, a client's chain", ERR_CERT_EXT_KEY_USAGE, "intermediate",
     .issuer = {.ext_key_usage = X509_EKU_SERVER_AUTH}, .role = ROLE_CLIENT},
    {"an issuer for clients only, a client's chain", ERR_OK, NULL,
     .issuer = {.ext_key_usage = X509_EKU_CLIENT_AUTH}, .role = ROLE_CLIENT},
    {"an issuer for any use", ERR_OK, NULL, .issuer = {.ext_key_usage = X509_EKU_ANY}},
    {"a root for signing code", ERR_OK, NULL, .root = {.ext_key_usage = X509_EKU_OTHER}},

    /* X5-11: critical extensions */
    {"an unknown critical extension in the leaf", ERR_CERT_UNKNOWN_CRITICAL, "certificate spiffe",
     .leaf = {.extra = CRITICAL("\x2a\x03")}},
    {"one in the issuer", ERR_CERT_UNKNOWN_CRITICAL, "intermediate",
     .issuer = {.extra = CRITICAL("\x2a\x03")}},
    {"one in the root", ERR_OK, NULL, .root = {.extra = CRITICAL("\x2a\x03")}},
    {"the number of an unknown critical extension", ERR_CERT_UNKNOWN_CRITICAL,
     "extension 2.5.29.99", .issuer = {.extra = CRITICAL(OID_CE "\x63")}},
    {"critical certificate policies", ERR_OK, NULL,
     .issuer = {.extra = CRITICAL(OID_CERTIFICATE_POLICIES)}},

    /* X5-11: times */
    {"an expired leaf", ERR_CERT_EXPIRED,
     "valid until 2026-09-21T14:13:19Z, our clock says 2026-09-21T14:13:20Z",
     .leaf = {.not_before = CERTS_NOW - 100, .not_after = CERTS_NOW - 1}},
    {"a leaf in its last second", ERR_OK, NULL,
     .leaf = {.not_before = CERTS_NOW - 100, .not_after = CERTS_NOW}},
    {"a leaf in its first second", ERR_OK, NULL, .leaf = {.not_before = CERTS_NOW}},
    {"a leaf not yet valid", ERR_CERT_NOT_YET_VALID,
     "valid from 2026-09-21T14:13:21Z, our clock says 2026-09-21T14:13:20Z",
     .leaf = {.not_before = CERTS_NOW + 1}},
    {"an expired issuer", ERR_CERT_EXPIRED, "intermediate CN=issuer",
     .issuer = {.not_before = CERTS_NOW - 100, .not_after = CERTS_NOW - 1}},
    {"an issuer not yet valid", ERR_CERT_NOT_YET_VALID, "intermediate",
     .issuer = {.not_before = CERTS_NOW + 1}},
    {"an expired root", ERR_CERT_EXPIRED, "trusted root CN=root",
     .root = {.not_before = CERTS_NOW - 100, .not_after = CERTS_NOW - 1}},
    {"a leaf that lives as long as allowed", ERR_OK, NULL, .max_lifetime_s = 3610},
    {"a leaf that lives too long", ERR_LIFETIME_TOO_LONG, "3610 s", .max_lifetime_s = 3609},

    /* X5-11: who may issue */
    {"an issuer that is no CA", ERR_CHAIN_ISSUER_NOT_CA, "cA",
     .issuer = {.omit = CERT_OMIT_BASIC_CONSTRAINTS}},
    {"an issuer without keyCertSign", ERR_CHAIN_ISSUER_NOT_CA, "keyCertSign",
     .issuer = {.key_usage = X509_KU_CRL_SIGN}},
    {"an issuer without key usage", ERR_OK, NULL, .issuer = {.omit = CERT_OMIT_KEY_USAGE}},
    {"an issuer with digitalSignature too (X5-7)", ERR_OK, NULL,
     .issuer = {.key_usage = X509_KU_CERT_SIGN | X509_KU_DIGITAL_SIGNATURE}},
    {"a root that does not say cA", ERR_OK, NULL, .root = {.omit = CERT_OMIT_BASIC_CONSTRAINTS}},
    {"a root of path length 0 above an issuer", ERR_OK, NULL, .root = {.path_len = 1}},
    {"a root of path length 1", ERR_OK, NULL, .root = {.path_len = 2}},
    {"an issuer of path length 0", ERR_OK, NULL, .issuer = {.path_len = 1}},
    {"a missing intermediate", ERR_CHAIN_INCOMPLETE, "CN=issuer", .show = SHOW_LEAF},

    /* X5-11: signatures */
    {"a leaf with a broken signature", ERR_CERT_SIGNATURE, "certificate spiffe",
     .leaf = {.sign = CERT_BROKEN}},
    {"a leaf signed by another key", ERR_CERT_SIGNATURE, "certificate spiffe",
     .leaf = {.sign = CERT_OTHER_KEY}},
    {"an issuer with a broken signature", ERR_CERT_SIGNATURE, "intermediate",
     .issuer = {.sign = CERT_BROKEN}},
    {"a root with a broken signature is still a root", ERR_OK, NULL, .root = {.sign = CERT_BROKEN}},
    {"an empty signature", ERR_CERT_SIGNATURE, NULL, .leaf = {.signature = BYTES("\x30\x00")}},
    {"a zero signature", ERR_CERT_SIGNATURE, NULL,
     .leaf = {.signature = BYTES("\x30\x06\x02\x01\x00\x02\x01\x00")}},
    {"a signature not in DER", ERR_CERT_SIGNATURE, "DER",
     .leaf = {.signature = BYTES("\x30\x81\x06\x02\x01\x01\x02\x01\x01")}},
    {"SHA-1", ERR_CERT_ALGORITHM, "ECDSA with SHA-1",
     .leaf = {.algorithm = BYTES("\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01")}},
    {"MD5 with RSA", ERR_CERT_ALGORITHM, NULL,
     .leaf = {.algorithm = BYTES("\x30\x0d\x06\x09" OID_PKCS1 "\x04\x05\x00")}},
    {"ECDSA with parameters", ERR_CERT_ALGORITHM, "parameters",
     .leaf = {.algorithm = BYTES("\x30\x0c\x06\x08" OID_ECDSA_SHA256 "\x05\x00")}},
    {"an RSA signature by an EC key", ERR_CERT_SIGNATURE, "another kind",
     .leaf = {.algorithm = BYTES("\x30\x0d\x06\x09" OID_RSA_SHA256 "\x05\x00")}},
    {"PSS with SHA-1 defaults", ERR_CERT_ALGORITHM, NULL,
     .leaf = {.algorithm = BYTES("\x30\x0d\x06\x09" OID_RSA_PSS "\x30\x00")}},
    {"a leaf key on a curve of our dreams", ERR_CERT_ALGORITHM, "curve",
     .leaf = {.spki = BYTES("\x30\x15\x30\x0f\x06\x07" OID_EC_KEY
                            "\x06\x04\x2a\x03\x04\x05\x03\x02\x00\x04")}},
    {"a leaf with a weak RSA key", ERR_CERT_ALGORITHM, "RSA key of 8 bits; 2048",
     .leaf = {.spki = BYTES("\x30\x1b\x30\x0d\x06\x09" OID_RSA_KEY
                            "\x05\x00\x03\x0a\x00\x30\x07\x02\x02\x00\xff\x02\x01\x03")}},

};

/* X5-8 X5-11 X5-12 X5-13 X5-14 X5-17 X5-18 */
START_TEST(test_each_chain_gets_its_verdict_in_both_roles)
{
    chain_case_check(&cases[_i]);
}
END_TEST

/* X5-15, FD-13: each way round. */
START_TEST(test_an_authority_speaks_for_its_own_trust_domain_only)
{
    struct cert *a = make_root("a"), *b = make_root("b");
    cert_trust(&bundles, "example.org", a);
    cert_trust(&bundles, "other.test", b);
    struct cert *wrong_a = make_leaf(b);
    struct cert *wrong_b = cert_make(&(struct cert_knobs){.uri = "spiffe://other.test/web"}, a);
    struct svid_verify_options opt = options();
    ck_assert_int_eq(verify(&wrong_a, 1, &opt), ERR_CHAIN_FOREIGN_ROOT);
    ck_assert_ptr_nonnull(strstr(why.text, "\"other.test\""));
    ck_assert(slice_eq_str(peer.id.text, WEB));
    ck_assert_int_eq(verify(&wrong_b, 1, &opt), ERR_CHAIN_FOREIGN_ROOT);
    cert_free(wrong_a);
    cert_free(wrong_b);
    cert_free(a);
    cert_free(b);
}
END_TEST

/* X5-15: names and key ids of authorities are no proof, all roots of SPIRE have one name. */
START_TEST(test_a_foreign_root_with_our_roots_name_is_told_by_its_signature)
{
    struct cert *ours = make_root("root"), *theirs = make_root("root");
    cert_trust(&bundles, "example.org", ours);
    cert_trust(&bundles, "other.test", theirs);
    struct cert *issuer = make_ca("issuer", theirs);
    struct cert *shown[] = {make_leaf(issuer), issuer, theirs};
    struct svid_verify_options opt = options();
    ck_assert_int_eq(verify(shown, 3, &opt), ERR_CHAIN_FOREIGN_ROOT);
    ck_assert_int_eq(verify(shown, 2, &opt), ERR_CHAIN_FOREIGN_ROOT);
    cert_free(shown[0]);
    cert_free(issuer);
    cert_free(ours);
    cert_free(theirs);
}
END_TEST

/* X5-16 */
START_TEST(test_a_trust_domain_without_roots_is_unknown)
{
    struct cert *root = make_root("root");
    cert_trust(&bundles, "other.test", root);
    struct cert *leaf = make_leaf(root);
    struct svid_verify_options opt = options();
    ck_assert_int_eq(verify(&leaf, 1, &opt), ERR_TRUST_DOMAIN_UNKNOWN);
    ck_assert_int_eq(bundle_set_put(&bundles, slice_str("example.org"), slice_str(""), &why),
                     ERR_OK);
    ck_assert_int_eq(verify(&leaf, 1, &opt), ERR_TRUST_DOMAIN_UNKNOWN);
    ck_assert(peer.id_parsed);
    cert_free(leaf);
    cert_free(root);
}
END_TEST

/* X5-11: same name, same key id, another key. */
START_TEST(test_an_impostor_of_our_root_fails_by_its_signature)
{
    struct cert *root = make_root("root");
    struct cert_knobs same = {
        .ca = true, .cn = "root", .subject_key_id = root->x509.subject_key_id};
    struct cert *impostor = cert_make(&same, NULL);
    cert_trust(&bundles, "example.org", root);
    struct cert *issuer = make_ca("issuer", impostor);
    struct cert *shown[] = {make_leaf(issuer), issuer, impostor};
    struct svid_verify_options opt = options();
    ck_assert_int_eq(verify(shown, 3, &opt), ERR_CERT_SIGNATURE);
    ck_assert_ptr_nonnull(strstr(why.text, "in the name of \"CN=root\""));
    ck_assert_int_eq(verify(shown, 2, &opt), ERR_CERT_SIGNATURE);
    struct cert *direct = make_leaf(impostor);
    ck_assert_int_eq(verify(&direct, 1, &opt), ERR_CERT_SIGNATURE);
    cert_free(direct);
    cert_free(shown[0]);
    cert_free(issuer);
    cert_free(impostor);
    cert_free(root);
}
END_TEST

START_TEST(test_of_anchors_with_one_name_and_key_id_each_is_tried)
{
    struct cert *first = make_root("root");
    struct cert_knobs same = {
        .ca = true, .cn = "root", .subject_key_id = first->x509.subject_key_id};
    struct cert *second = cert_make(&same, NULL);
    cert_trust(&bundles, "example.org", first);
    cert_trust(&bundles, "example.org", second);
    struct cert *a = make_leaf(first), *b = make_leaf(second);
    struct svid_verify_options opt = options();
    ck_assert_int_eq(verify(&a, 1, &opt), ERR_OK);
    ck_assert_int_eq(verify(&b, 1, &opt), ERR_OK);
    cert_free(a);
    cert_free(b);
    cert_free(first);
    cert_free(second);
}
END_TEST

/* A wrong key id is a wrong hint, not a refusal. */
START_TEST(test_key_ids_are_hints)
{
    struct cert *root = make_root("root");
    cert_trust(&bundles, "example.org", root);
    struct cert *leaf =
        cert_make(&(struct cert_knobs){.uri = WEB, .authority_key_id = OID("wrong")}, root);
    struct cert *none =
        cert_make(&(struct cert_knobs){.uri = WEB, .omit = CERT_OMIT_KEY_IDS}, root);
    struct svid_verify_options opt = options();
    ck_assert_int_eq(verify(&leaf, 1, &opt), ERR_OK);
    ck_assert_int_eq(verify(&none, 1, &opt), ERR_OK);
    cert_free(leaf);
    cert_free(none);
    cert_free(root);
}
END_TEST

/* X5-19 */
START_TEST(test_an_intermediate_may_be_an_anchor)
{
    struct cert *root = make_root("root"), *issuer = make_ca("issuer", root);
    cert_trust(&bundles, "example.org", issuer);
    struct cert *shown[] = {make_leaf(issuer), issuer};
    struct svid_verify_options opt = options();
    ck_assert_int_eq(verify(shown, 1, &opt), ERR_OK);
    ck_assert_int_eq(verify(shown, 2, &opt), ERR_OK);
    cert_free(shown[0]);
    cert_free(issuer);
    cert_free(root);
}
END_TEST

/* A peer's own root, self-signed or not, is no anchor. */
START_TEST(test_what_the_peer_shows_is_never_an_anchor)
{
    struct cert *root = make_root("root"), *own = make_root("own");
    cert_trust(&bundles, "example.org", root);
    struct cert *shown[] = {make_leaf(own), own};
    struct svid_verify_options opt = options();
    ck_assert_int_eq(verify(shown, 2, &opt), ERR_CHAIN_INCOMPLETE);
    struct cert *self = make_leaf(NULL);
    ck_assert_int_eq(verify(&self, 1, &opt), ERR_CHAIN_INCOMPLETE);
    cert_free(self);
    cert_free(shown[0]);
    cert_free(own);
    cert_free(root);
}
END_TEST

/* X5-20: what a peer is called is its ID; DNS names and CN say nothing. */
START_TEST(test_the_identity_is_the_uri_whatever_dns_and_cn_say)
{
    struct cert *root = make_root("root");
    struct cert *leaf = cert_make(&(struct cert_knobs){.uri = "spiffe://example.org/db",
                                                       .cn = WEB,
                                                       .names = {{DER_CONTEXT(2), BYTES("web")}}},
                                  root);
    cert_trust(&bundles, "example.org", root);
    struct svid_verify_options opt = options();
    ck_assert_int_eq(verify(&leaf, 1, &opt), ERR_OK);
    ck_assert(slice_eq_str(peer.id.text, "spiffe://example.org/db"));
    ck_assert(slice_eq(peer.leaf.der, cert_der(leaf)));
    cert_free(leaf);
    cert_free(root);
}
END_TEST

START_TEST(test_no_certificate_and_garbage_are_refused)
{
    struct svid_verify_options opt = options();
    ck_assert_int_eq(verify(NULL, 0, &opt), ERR_PEER_NO_CERT);
    struct cert *root = make_root("root"), *leaf = make_leaf(root);
    cert_trust(&bundles, "example.org", root);
    struct slice chain[2] = {cert_der(leaf), OID("garbage")};
    ck_assert_int_eq(svid_verify(chain, 2, &opt, &peer, &why), ERR_CERT_MALFORMED);
    ck_assert_ptr_nonnull(strstr(why.text, "certificate 2 of 2"));
    ck_assert(peer.leaf_parsed && !peer.id_parsed);
    ck_assert_int_eq(svid_verify(chain + 1, 1, &opt, &peer, NULL), ERR_CERT_MALFORMED);
    ck_assert(!peer.leaf_parsed);
    cert_free(leaf);
    cert_free(root);
}
END_TEST

static const enum key_kind kinds[] = {KEY_EC_P256, KEY_EC_P384, KEY_ED25519, KEY_RSA_2048};

START_TEST(test_chains_of_every_kind_of_key_verify)
{
    struct cert *root =
        cert_make(&(struct cert_knobs){.ca = true, .cn = "root", .key_kind = kinds[_i]}, NULL);
    struct cert *leaf = cert_make(&(struct cert_knobs){.uri = WEB, .key_kind = kinds[_i]}, root);
    cert_trust(&bundles, "example.org", root);
    struct svid_verify_options opt = options();
    ck_assert_msg(verify(&leaf, 1, &opt) == ERR_OK, "%s", why.text);
    cert_free(leaf);
    cert_free(root);
}
END_TEST

/* ID-6: 2048 bytes pass, 2049 do not; the cause stays one line. */
START_TEST(test_the_longest_id_passes)
{
    char id[2050];
    memset(id, 'x', sizeof id);
    memcpy(id, "spiffe://example.org/", 21);
    id[2048 + _i] = '\0';
    struct cert *root = make_root("root");
    struct cert *leaf = cert_make(&(struct cert_knobs){.uri = id}, root);
    cert_trust(&bundles, "example.org", root);
    struct svid_verify_options opt = options();
    ck_assert_int_eq(verify(&leaf, 1, &opt), _i == 0 ? ERR_OK : ERR_LEAF_ID_INVALID);
    opt.now += 100000;
    ck_assert_int_eq(verify(&leaf, 1, &opt), _i == 0 ? ERR_CERT_EXPIRED : ERR_LEAF_ID_INVALID);
    ck_assert_ptr_null(strchr(why.text, '\n'));
    cert_free(leaf);
    cert_free(root);
}
END_TEST

/* Every changed byte of leaf or issuer refuses the chain. */
START_TEST(test_a_changed_byte_never_passes)
{
    struct cert *root = make_root("root"), *issuer = make_ca("issuer", root);
    struct cert *shown[] = {make_leaf(issuer), issuer};
    cert_trust(&bundles, "example.org", root);
    struct svid_verify_options opt = options();
    struct cert *changed = shown[_i];
    for (size_t i = 0; i < changed->der.len; i++) {
        changed->der.data[i] ^= (uint8_t)(1u << i % 8);
        ck_assert_msg(verify(shown, 2, &opt) != ERR_OK, "byte %zu", i);
        changed->der.data[i] ^= (uint8_t)(1u << i % 8);
    }
    ck_assert_int_eq(verify(shown, 2, &opt), ERR_OK);
    cert_free(shown[0]);
    cert_free(issuer);
    cert_free(root);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *s = suite_create("svid_verify");
    TCase *t = tcase_create("svid_verify");
    tcase_add_checked_fixture(t, start, stop);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_each_chain_gets_its_verdict_in_both_roles, 0, COUNT(cases));
    tcase_add_test(t, test_an_authority_speaks_for_its_own_trust_domain_only);
    tcase_add_test(t, test_a_foreign_root_with_our_roots_name_is_told_by_its_signature);
    tcase_add_test(t, test_a_trust_domain_without_roots_is_unknown);
    tcase_add_test(t, test_an_impostor_of_our_root_fails_by_its_signature);
    tcase_add_test(t, test_of_anchors_with_one_name_and_key_id_each_is_tried);
    tcase_add_test(t, test_key_ids_are_hints);
    tcase_add_test(t, test_an_intermediate_may_be_an_anchor);
    tcase_add_test(t, test_what_the_peer_shows_is_never_an_anchor);
    tcase_add_test(t, test_the_identity_is_the_uri_whatever_dns_and_cn_say);
    tcase_add_test(t, test_no_certificate_and_garbage_are_refused);
    tcase_add_loop_test(t, test_chains_of_every_kind_of_key_verify, 0, COUNT(kinds));
    tcase_add_loop_test(t, test_the_longest_id_passes, 0, 2);
    tcase_add_loop_test(t, test_a_changed_byte_never_passes, 0, 2);
    suite_add_tcase(s, t);
    return run_suite(s);
}

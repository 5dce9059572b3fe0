/* Bytes as concatenated certificates: the last one is the trusted root, those before it are what a
 * peer shows. Every slice of a parsed certificate lies inside its bytes, verdicts repeat, and
 * nothing passes that breaks the leaf rules. */
#include "common/spiffe/svid_verify.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct slice whole, struct slice part)
{
    if (part.len > 0 && (part.data < whole.data || part.len > whole.len ||
                         part.data > whole.data + whole.len - part.len))
        abort();
}

static void check_text(const char *text, size_t size)
{
    for (size_t i = 0; text[i] != '\0'; i++)
        if (i >= size || text[i] < ' ' || text[i] > '~')
            abort();
}

static void check_parsed(struct slice der)
{
    struct x509 c;
    if (x509_parse(der, &c, NULL) != ERR_OK)
        return;
    const struct slice parts[] = {
        c.tbs,
        c.serial,
        c.issuer,
        c.subject,
        c.spki,
        c.san,
        c.signature,
        c.signature_algorithm,
        c.uri[0],
        c.uri[1],
        c.uri[2],
        c.uri[3],
        c.unknown_critical,
        c.subject_key_id,
        c.authority_key_id,
        c.name_constraints,
        c.crl_distribution_points,
        c.authority_info_access,
        c.policies,
        c.policy_mappings,
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        check_inside(der, parts[i]);
    if (c.serial.len == 0 || c.serial.len > 20)
        abort();
    char text[200];
    check_text(x509_describe(&c, text, sizeof text), sizeof text);
    check_text(x509_name_text(c.issuer, text, 40), 40);
}

/* What is taken as an anchor lies inside its bytes too. */
static void check_anchor(struct slice der)
{
    struct x509 c;
    check_inside(der, x509_subject_of(der));
    if (x509_parse_anchor(der, &c, NULL) != ERR_OK)
        return;
    const struct slice parts[] = {c.subject, c.spki, c.name_constraints, c.subject_key_id,
                                  c.serial};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        check_inside(der, parts[i]);
    if (!x509_names_match(c.subject, c.subject))
        abort();
}

static void check_verdict(const struct slice *chain, size_t count, const struct bundle_set *bundles)
{
    struct svid_verify_options opt = {.bundles = bundles, .now = 1795254000};
    for (int role = 0; role < 2; role++) {
        struct svid_peer peer, again;
        struct why why = {0};
        opt.peer_role = role == 0 ? SVID_ROLE_CLIENT : SVID_ROLE_SERVER;
        err_t err = svid_verify(chain, count, &opt, &peer, &why);
        if (err != svid_verify(chain, count, &opt, &again, NULL))
            abort();
        if (err != ERR_OK && (why.err != err || why.text[0] == '\0'))
            abort();
        if (err == ERR_OK && (!peer.id_parsed || peer.leaf.uri_count != 1 || peer.leaf.is_ca))
            abort();
        check_text(why.text, sizeof why.text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice certs[SVID_CHAIN_MAX + 2];
    size_t count = 0;
    check_parsed(slice_of(data, size));
    if (x509_split(slice_of(data, size), certs, SVID_CHAIN_MAX + 2, &count, NULL) != ERR_OK)
        return 0;
    for (size_t i = 0; i < count; i++) {
        check_parsed(certs[i]);
        check_anchor(certs[i]);
    }
    struct bundle_set bundles;
    bundle_set_init(&bundles);
    if (count > 0 &&
        bundle_set_put(&bundles, slice_str("example.org"), certs[count - 1], NULL) == ERR_OK)
        check_verdict(certs, count - 1, &bundles);
    bundle_set_done(&bundles);
    return 0;
}

#include "tests/support/chain_case.h"

#include <check.h>

static void check_verdict(const struct chain_case *c, const struct slice *chain, size_t count,
                          const struct svid_verify_options *opt)
{
    struct why why = {0};
    struct svid_peer peer;
    err_t err = svid_verify(chain, count, opt, &peer, &why);
    ck_assert_msg(err == c->want, "%s: %s: %s", c->what, err_name(err), why_text(&why));
    ck_assert_msg(c->says == NULL || strstr(why.text, c->says) != NULL, "%s: %s", c->what,
                  why.text);
    ck_assert(err == ERR_OK || (why.err == err && strlen(why.text) > 20));
    ck_assert(peer.leaf_parsed);
    ck_assert(err != ERR_OK || peer.id_parsed);
}

void chain_case_check(const struct chain_case *c)
{
    struct cert_knobs root_knobs = c->root, issuer_knobs = c->issuer, leaf_knobs = c->leaf;
    root_knobs.ca = (root_knobs.omit & CERT_OMIT_BASIC_CONSTRAINTS) == 0;
    issuer_knobs.ca = (issuer_knobs.omit & CERT_OMIT_BASIC_CONSTRAINTS) == 0;
    root_knobs.cn = "root";
    issuer_knobs.cn = "issuer";
    if (leaf_knobs.uri == NULL && !c->no_uri)
        leaf_knobs.uri = WEB;
    struct cert *root = cert_make(&root_knobs, NULL);
    struct cert *issuer = cert_make(&issuer_knobs, root);
    struct cert *leaf = cert_make(&leaf_knobs, issuer);
    struct bundle_set bundles;
    bundle_set_init(&bundles);
    cert_trust(&bundles, "example.org", root);
    cert_trust(&bundles, "10.0.0.1", root);
    const struct slice chain[] = {cert_der(leaf), cert_der(issuer), cert_der(root)};
    size_t count = c->show == SHOW_LEAF ? 1 : c->show == SHOW_BOTH ? 2 : 3;
    struct svid_verify_options opt = {
        .bundles = &bundles, .now = CERTS_NOW, .max_lifetime_s = c->max_lifetime_s};
    opt.peer_role = SVID_ROLE_CLIENT;
    if (c->role != ROLE_SERVER)
        check_verdict(c, chain, count, &opt);
    opt.peer_role = SVID_ROLE_SERVER;
    if (c->role != ROLE_CLIENT)
        check_verdict(c, chain, count, &opt);
    bundle_set_done(&bundles);
    cert_free(leaf);
    cert_free(issuer);
    cert_free(root);
}

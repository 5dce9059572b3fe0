#include "sidecar/identity/identity_files.h"

#include "common/base/file.h"
#include "common/encode/der.h"
#include "common/encode/pem.h"

/* RFC 7468 section 5.1 knows an older word for the same. */
static bool is_certificate(struct slice label)
{
    return slice_eq_str(label, "CERTIFICATE") || slice_eq_str(label, "X509 CERTIFICATE");
}

/* A block that is not one DER value would make nonsense of those after it: in a SEQUENCE of its own
 * it is one certificate that cannot be parsed. */
static err_t append_certificate(struct buf *ders, struct slice block)
{
    struct der_reader r = der_reader_of(block);
    der_get_raw(&r, DER_SEQUENCE);
    if (der_at_end(&r))
        return buf_append(ders, block.data, block.len);
    struct der_writer w;
    der_writer_init(&w, ders);
    der_put(&w, DER_SEQUENCE, block);
    return der_writer_end(&w);
}

/* Appends the DER of every CERTIFICATE block of a file; other blocks are passed over and noted. */
static err_t read_certificates(const char *path, struct pem_unused *unused, struct buf *der,
                               struct why *why)
{
    struct buf text, block;
    buf_init_secret(&text, IDENTITY_FILE_MAX); /* a key may stand in the same file */
    buf_init_secret(&block, IDENTITY_FILE_MAX);
    err_t err = file_read(path, file_check_regular, &text, why);
    if (err != ERR_OK) {
        why_add(why, err, "%s", path);
        goto out;
    }
    struct slice rest = buf_slice(&text);
    for (;;) {
        struct slice label;
        buf_clear(&block);
        err = pem_next(&rest, &label, &block, why);
        if (err == ERR_NOT_FOUND)
            break;
        if (err == ERR_OK && is_certificate(label))
            err = append_certificate(der, buf_slice(&block));
        else if (err == ERR_OK)
            pem_unused_add(unused, path, label);
        if (err != ERR_OK) {
            why_add(why, err, "%s", path);
            goto out;
        }
    }
    err = ERR_OK;
    if (der->len == 0)
        err = why_set(why, ERR_PARSE,
                      "%s: no \"BEGIN CERTIFICATE\" block in %zu bytes; expected PEM certificates",
                      path, text.len);
out:
    buf_wipe(&block);
    buf_wipe(&text);
    return err;
}

/* The trust domain that the leaf belongs to: the bundle file's roots are for it alone (X5-15). */
static err_t leaf_domain(struct slice chain, struct spiffeid *ret, struct why *why)
{
    struct slice certs[SVID_CHAIN_MAX];
    size_t count = 0;
    err_t err = x509_split(chain, certs, SVID_CHAIN_MAX, &count, why);
    if (err != ERR_OK)
        return err;
    struct x509 leaf;
    err = x509_parse(certs[0], &leaf, why);
    if (err != ERR_OK)
        return err;
    if (leaf.uri_count != 1)
        return why_set(why, leaf.uri_count == 0 ? ERR_LEAF_NO_URI : ERR_LEAF_URI_COUNT,
                       "the first certificate has %zu URI names; an X509-SVID has exactly one, its "
                       "SPIFFE ID",
                       leaf.uri_count);
    return spiffeid_parse(leaf.uri[0], ret, why);
}

/* Would a peer that trusts this bundle accept this chain, in either role? */
static err_t check_chain(const struct identity *id, int64_t now, struct why *why)
{
    struct slice certs[SVID_CHAIN_MAX];
    size_t count = 0;
    err_t err = x509_split(identity_chain(id), certs, SVID_CHAIN_MAX, &count, why);
    if (err != ERR_OK)
        return err;
    struct svid_verify_options opt = {
        .bundles = identity_bundles(id), .peer_role = SVID_ROLE_SERVER, .now = now};
    struct svid_peer peer;
    err = svid_verify(certs, count, &opt, &peer, why);
    if (err == ERR_CERT_EXT_KEY_USAGE) {
        opt.peer_role = SVID_ROLE_CLIENT;
        err = svid_verify(certs, count, &opt, &peer, why);
    }
    return err;
}

err_t identity_files_load(const struct identity_files *files, int64_t now,
                          struct pem_unused *unused, struct identity **ret, struct why *why)
{
    struct buf chain, roots;
    struct bundle_set bundles;
    struct key *key = NULL;
    struct identity *id = NULL;
    struct spiffeid domain = {0};
    buf_init(&chain, IDENTITY_FILE_MAX);
    buf_init(&roots, IDENTITY_FILE_MAX);
    bundle_set_init(&bundles);
    /* In one file for both each is the other's unused block. */
    struct pem_unused *noted = strcmp(files->certificate, files->key) == 0 ? NULL : unused;
    err_t err = read_certificates(files->certificate, noted, &chain, why);
    if (err == ERR_OK)
        err = read_certificates(files->bundle, unused, &roots, why);
    if (err == ERR_OK)
        err = key_read_file(files->key, noted, &key, why);
    if (err != ERR_OK)
        goto out;
    err = leaf_domain(buf_slice(&chain), &domain, why);
    if (err != ERR_OK) {
        why_add(why, err, "%s", files->certificate);
        goto out;
    }
    err = bundle_set_put(&bundles, domain.trust_domain, buf_slice(&roots), why);
    if (err != ERR_OK) {
        why_add(why, err, "%s", files->bundle);
        goto out;
    }
    err = identity_new(buf_slice(&chain), key_pkcs8(key), NULL, &bundles, &id, why);
    if (err != ERR_OK) {
        why_add(why, err, "%s with %s", files->certificate, files->key);
        goto out;
    }
    err = check_chain(id, now, why);
    if (err != ERR_OK) {
        why_add(why, err, "%s against %s", files->certificate, files->bundle);
        goto out;
    }
    *ret = id;
    id = NULL;
out:
    identity_unref(id);
    bundle_set_done(&bundles);
    key_free(key);
    buf_done(&roots);
    buf_done(&chain);
    return err;
}

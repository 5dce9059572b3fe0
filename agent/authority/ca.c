#include "agent/authority/ca.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/spiffe/spiffeid.h"
#include "common/x509/sigverify.h"
#include "common/x509/x509_build.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SERIAL_LEN = 16,
    COMMON_NAME_MAX = 64, /* RFC 5280, ub-common-name */
    DOMAIN_SHOWN_MAX = 40,
    RETRY_S = 10,
    CHAIN_MAX = 64 * 1024,
};

static const char organization[] = "Spindle";

struct ca {
    const struct key_store *keys;
    char *dir;          /* owned */
    char *trust_domain; /* owned */
    char uri[SPIFFEID_MAX + 1];
    int64_t issuer_ttl_s;
    struct authority_cert root, issuer;
    struct buf leaf_subject; /* of leaves without DNS names */
    int64_t retry_at;        /* after a failed renewal, else 0 */
};

/* 128 random bits, but for the two highest: positive and always of the same length. */
static void draw_serial(uint8_t serial[static SERIAL_LEN])
{
    rand_bytes(serial, SERIAL_LEN);
    serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40);
}

/* Making certificates of our own. */

/* "O=Spindle, CN=example.org root 4a1f0c22": for people, and of a different name each time. */
static err_t make_name(const struct ca *a, const char *role, const uint8_t *serial, struct buf *out)
{
    char common_name[COMMON_NAME_MAX + 1];
    snprintf(common_name, sizeof common_name, "%.*s %s %02x%02x%02x%02x", DOMAIN_SHOWN_MAX,
             a->trust_domain, role, serial[0], serial[1], serial[2], serial[3]);
    return x509_build_name(out, NULL, organization, common_name);
}

struct signing_ca {
    const struct authority_cert *parent; /* NULL: signs itself */
    const char *role;
    int path_len;
    int64_t not_before, not_after;
};

static err_t build_ca(const struct ca *a, const struct signing_ca *ca, const struct signer *key,
                      struct buf *der, struct why *why)
{
    uint8_t serial[SERIAL_LEN], key_id[X509_KEY_ID_LEN];
    struct slice uri = slice_str(a->uri);
    struct buf subject;
    buf_init(&subject, 1024);
    draw_serial(serial);
    struct slice spki = key->spki(key->self);
    err_t err = make_name(a, ca->role, serial, &subject);
    if (err == ERR_OK)
        err = x509_key_id(spki, key_id);
    struct slice own_id = slice_of(key_id, sizeof key_id);
    struct x509_template t = {
        .serial = slice_of(serial, sizeof serial),
        .issuer = ca->parent != NULL ? ca->parent->cert.subject : buf_slice(&subject),
        .subject = buf_slice(&subject),
        .not_before = ca->not_before,
        .not_after = ca->not_after,
        .spki = spki,
        .is_ca = true,
        .path_len = ca->path_len,
        .key_usage = X509_KU_CERT_SIGN | X509_KU_CRL_SIGN,
        .uris = &uri,
        .uri_count = 1,
        .subject_key_id = own_id,
        .authority_key_id = ca->parent != NULL ? ca->parent->cert.subject_key_id : own_id,
    };
    if (err == ERR_OK)
        err = x509_build(&t, ca->parent != NULL ? &ca->parent->signer : key, der, why);
    else
        why_set(why, err, "building a certificate");
    buf_done(&subject);
    return err;
}

static int64_t min_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A new certificate with a new key, in memory. */
static err_t make_cert(const struct ca *a, const struct signing_ca *ca, struct authority_cert *ret,
                       struct why *why)
{
    struct authority_cert c = {0};
    buf_init(&c.der, CHAIN_MAX);
    err_t err = a->keys->make(a->keys->self, &c.signer, why);
    if (err == ERR_OK) {
        c.keys = a->keys;
        err = build_ca(a, ca, &c.signer, &c.der, why);
    }
    if (err == ERR_OK)
        err = x509_parse(buf_slice(&c.der), &c.cert, why);
    if (err != ERR_OK) {
        authority_cert_done(&c);
        return why_add(why, err, "making the %s certificate", ca->role);
    }
    *ret = c;
    return ERR_OK;
}

static err_t make_root(struct ca *a, int64_t now, struct why *why)
{
    const struct signing_ca ca = {
        .role = "root",
        .path_len = 1,
        .not_before = now - AUTHORITY_BACKDATE_S,
        .not_after = now + CA_ROOT_TTL_S,
    };
    err_t err = make_cert(a, &ca, &a->root, why);
    return err == ERR_OK ? authority_file_write(a->dir, ca.role, &a->root, why) : err;
}

/* Signed by the root, in memory. */
static err_t make_issuer(const struct ca *a, int64_t now, struct authority_cert *ret,
                         struct why *why)
{
    const struct signing_ca ca = {
        .parent = &a->root,
        .role = "issuer",
        .path_len = 0,
        .not_before = now - AUTHORITY_BACKDATE_S,
        .not_after = min_of(now + a->issuer_ttl_s, a->root.cert.not_after),
    };
    return make_cert(a, &ca, ret, why);
}

/* Checking what was read. */

/* The trust domain that the certificate says, as text for messages. */
static struct slice domain_of(const struct x509 *cert)
{
    struct spiffeid id;
    if (cert->uri_count != 1 || spiffeid_parse(cert->uri[0], &id, NULL) != ERR_OK)
        return slice_str("(none)");
    return id.trust_domain;
}

static err_t check_ca(const struct ca *a, const struct x509 *cert, const char *role,
                      struct why *why)
{
    if (!cert->is_ca || (cert->key_usage & X509_KU_CERT_SIGN) == 0)
        return why_set(why, ERR_CHAIN_ISSUER_NOT_CA, "%s/%s: the certificate may not sign others",
                       a->dir, role);
    struct slice domain = domain_of(cert);
    if (cert->uri_count != 1 || !slice_eq_str(cert->uri[0], a->uri))
        return why_set(why, ERR_CONFIG,
                       "%s/%s belongs to trust domain %.*s, the configuration says %s: set "
                       "trust_domain back, or move %s away to begin with a new root",
                       a->dir, role, SLICE_ARG(domain), a->trust_domain, a->dir);
    return ERR_OK;
}

static err_t check_root(const struct ca *a, int64_t now, struct why *why)
{
    const struct x509 *root = &a->root.cert;
    char text[CLOCK_TEXT_LEN];
    err_t err = check_ca(a, root, "root", why);
    if (err == ERR_OK)
        err = x509_check_signature(root, root->spki, why);
    if (err != ERR_OK)
        return err;
    if (now >= root->not_after)
        return why_set(why, ERR_CERT_EXPIRED,
                       "%s/root expired at %s: move %s away to begin with a new root", a->dir,
                       clock_format_s(root->not_after, text), a->dir);
    if (now < root->not_before)
        return why_set(why, ERR_CERT_NOT_YET_VALID,
                       "%s/root is valid from %s only: check this machine's clock", a->dir,
                       clock_format_s(root->not_before, text));
    return ERR_OK;
}

static err_t check_issuer(const struct ca *a, struct why *why)
{
    const struct x509 *issuer = &a->issuer.cert, *root = &a->root.cert;
    err_t err = check_ca(a, issuer, "issuer", why);
    if (err != ERR_OK)
        return err;
    if (!slice_eq(issuer->issuer, root->subject) ||
        x509_check_signature(issuer, root->spki, why) != ERR_OK)
        return why_set(why, ERR_CERT_SIGNATURE,
                       "%s/issuer was not signed by %s/root: restore both from one backup, or "
                       "remove the issuer to have a new one made",
                       a->dir, a->dir);
    return ERR_OK;
}

/* Opening. */

static err_t open_dir(const char *dir, struct why *why)
{
    struct stat st;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return why_errno(why, ERR_IO, "cannot make the authority's folder %s", dir);
    if (stat(dir, &st) != 0)
        return why_errno(why, ERR_IO, "cannot look at the authority's folder %s", dir);
    if (!S_ISDIR(st.st_mode))
        return why_set(why, ERR_IO, "expected a folder %s, found something else", dir);
    if (st.st_uid != geteuid())
        return why_set(why, ERR_FILE_MODE,
                       "%s belongs to user %u, the agent runs as user %u: chown it", dir,
                       (unsigned)st.st_uid, (unsigned)geteuid());
    if ((st.st_mode & 077) != 0)
        return why_set(why, ERR_FILE_MODE, "%s: expected mode 0700, found %04o: chmod 700 it", dir,
                       (unsigned)(st.st_mode & 07777));
    return ERR_OK;
}

/* ERR_NOT_FOUND without a message of its own; other failures say what to do. */
static err_t read_part(const struct ca *a, const char *name, const char *advice,
                       struct authority_cert *ret, struct why *why)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", a->dir, name) >= PATH_MAX)
        return why_set(why, ERR_TOO_LARGE, "the path of the authority's files is too long");
    err_t err = authority_file_read(path, a->keys, ret, why);
    bool is_broken = err != ERR_OK && err != ERR_NOT_FOUND && err != ERR_NO_MEMORY &&
                     err != ERR_FILE_MODE && err != ERR_UNSUPPORTED && err != ERR_IO;
    if (!is_broken)
        return err;
    struct why cause = {0};
    why_set(&cause, err, "%s", why_text(why));
    return why_set(why, err, "%.300s; %s", why_text(&cause), advice);
}

static err_t open_root(struct ca *a, bool has_issuer, int64_t now, struct why *why)
{
    err_t err = read_part(a, "root",
                          "restore it from a backup, or move the folder away to begin with a new "
                          "root",
                          &a->root, why);
    if (err == ERR_OK)
        return check_root(a, now, why);
    if (err != ERR_NOT_FOUND)
        return err;
    if (has_issuer)
        return why_set(why, ERR_NOT_FOUND,
                       "%s/root is missing, but %s/issuer is there: restore the root from a "
                       "backup, or remove the issuer to begin with a new root",
                       a->dir, a->dir);
    return make_root(a, now, why);
}

static bool is_due(const struct ca *a, int64_t now)
{
    const struct x509 *c = &a->issuer.cert;
    return now < c->not_before || now >= c->not_before + (c->not_after - c->not_before) / 2;
}

static err_t open_parts(struct ca *a, int64_t now, struct why *why)
{
    err_t found =
        read_part(a, "issuer", "restore it from a backup, or remove it to have a new one made",
                  &a->issuer, why);
    if (found != ERR_OK && found != ERR_NOT_FOUND)
        return found;
    err_t err = open_root(a, found == ERR_OK, now, why);
    if (err == ERR_OK && found == ERR_OK)
        err = check_issuer(a, why);
    if (err != ERR_OK || (found == ERR_OK && !is_due(a, now)))
        return err;
    struct authority_cert next = {0};
    err = make_issuer(a, now, &next, why);
    if (err == ERR_OK)
        err = authority_file_write(a->dir, "issuer", &next, why);
    ca_renewed(a, &next, err, now);
    return err;
}

err_t ca_open(const char *dir, const char *trust_domain, int64_t issuer_ttl_s,
              const struct key_store *keys, int64_t now, struct ca **ret, struct why *why)
{
    struct ca *a = mem_alloc(sizeof *a);
    if (a == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for the authority");
    a->keys = keys;
    a->issuer_ttl_s = issuer_ttl_s;
    buf_init(&a->leaf_subject, 256);
    a->dir = mem_strdup(dir);
    a->trust_domain = mem_strdup(trust_domain);
    snprintf(a->uri, sizeof a->uri, "spiffe://%s", trust_domain);
    err_t err = a->dir != NULL && a->trust_domain != NULL ? ERR_OK : ERR_NO_MEMORY;
    if (err == ERR_OK)
        err = x509_build_name(&a->leaf_subject, NULL, "SPIFFE", NULL);
    if (err != ERR_OK)
        why_set(why, err, "no memory for the authority");
    if (err == ERR_OK)
        err = open_dir(dir, why);
    if (err == ERR_OK)
        err = open_parts(a, now, why);
    if (err != ERR_OK) {
        ca_close(a);
        return err;
    }
    *ret = a;
    return ERR_OK;
}

void ca_close(struct ca *a)
{
    if (a == NULL)
        return;
    authority_cert_done(&a->root);
    authority_cert_done(&a->issuer);
    buf_done(&a->leaf_subject);
    mem_free(a->dir);
    mem_free(a->trust_domain);
    mem_free(a);
}

/* It lasts as long as the root: a new one could not last longer. */
static bool is_last(const struct ca *a)
{
    return a->issuer.cert.not_after >= a->root.cert.not_after;
}

err_t ca_next(const struct ca *a, int64_t now, struct authority_cert *ret, struct why *why)
{
    struct authority_cert next = {0};
    err_t err = is_due(a, now) && !is_last(a) ? make_issuer(a, now, &next, why) : ERR_OK;
    if (err != ERR_OK)
        return why_add(why, err, "renewing the issuing certificate");
    *ret = next;
    return ERR_OK;
}

err_t ca_store(const struct ca *a, const struct authority_cert *next, struct why *why)
{
    err_t err = authority_file_write(a->dir, "issuer", next, why);
    return err == ERR_OK ? err : why_add(why, err, "renewing the issuing certificate");
}

void ca_renewed(struct ca *a, struct authority_cert *next, err_t err, int64_t now)
{
    bool is_new = err == ERR_OK && next->keys != NULL;
    a->retry_at = err == ERR_OK ? 0 : now + RETRY_S;
    authority_cert_done(is_new ? &a->issuer : next);
    if (is_new)
        a->issuer = *next;
    *next = (struct authority_cert){0};
}

int64_t ca_next_at(const struct ca *a)
{
    const struct x509 *c = &a->issuer.cert;
    if (a->retry_at != 0)
        return a->retry_at;
    if (is_last(a))
        return c->not_after;
    return c->not_before + (c->not_after - c->not_before) / 2;
}

/* Issuing. */

static err_t leaf_subject(const struct ca *a, const struct authority_request *req, struct buf *own,
                          struct slice *ret)
{
    const char *first = req->dns_names != NULL ? req->dns_names[0] : NULL;
    *ret = buf_slice(&a->leaf_subject);
    if (first == NULL || strlen(first) > COMMON_NAME_MAX)
        return ERR_OK;
    err_t err = x509_build_name(own, NULL, "SPIFFE", first);
    *ret = buf_slice(own);
    return err;
}

static err_t build_leaf(const struct ca *a, const struct authority_request *req,
                        const struct authority_answer *answer, struct buf *chain, struct why *why)
{
    struct slice dns[AUTHORITY_DNS_MAX], uri = slice_str(req->spiffe_id), subject;
    size_t dns_count = 0;
    for (; req->dns_names != NULL && req->dns_names[dns_count] != NULL; dns_count++) {
        if (dns_count == AUTHORITY_DNS_MAX)
            return why_set(why, ERR_TOO_LARGE, "expected at most %d DNS names", AUTHORITY_DNS_MAX);
        dns[dns_count] = slice_str(req->dns_names[dns_count]);
    }
    uint8_t key_id[X509_KEY_ID_LEN];
    struct buf own_subject;
    buf_init(&own_subject, 512);
    err_t err = leaf_subject(a, req, &own_subject, &subject);
    if (err == ERR_OK)
        err = x509_key_id(req->spki, key_id);
    if (err != ERR_OK) {
        buf_done(&own_subject);
        return why_set(why, err, "building the leaf's names");
    }
    const struct x509_template t = {
        .serial = slice_of(answer->serial, SERIAL_LEN),
        .issuer = a->issuer.cert.subject,
        .subject = subject,
        .not_before = answer->not_before,
        .not_after = answer->not_after,
        .spki = req->spki,
        .path_len = -1,
        .key_usage = X509_KU_DIGITAL_SIGNATURE,
        .ext_key_usage = X509_EKU_SERVER_AUTH | X509_EKU_CLIENT_AUTH,
        .uris = &uri,
        .uri_count = 1,
        .dns_names = dns,
        .dns_count = dns_count,
        .subject_key_id = slice_of(key_id, sizeof key_id),
        .authority_key_id = a->issuer.cert.subject_key_id,
    };
    err = x509_build(&t, &a->issuer.signer, chain, why);
    buf_done(&own_subject);
    return err;
}

err_t ca_issue(struct ca *a, const struct authority_request *req, struct buf *chain,
               struct authority_answer *ret, struct why *why)
{
    const struct x509 *issuer = &a->issuer.cert;
    char from[CLOCK_TEXT_LEN], to[CLOCK_TEXT_LEN];
    if (req->now < issuer->not_before || req->now + 1 >= issuer->not_after)
        return why_set(why, ERR_SIGNER,
                       "the issuing certificate is valid from %s to %s only, and its renewal has "
                       "failed",
                       clock_format_s(issuer->not_before, from),
                       clock_format_s(issuer->not_after, to));
    struct authority_answer answer = {
        .not_before = req->now - AUTHORITY_BACKDATE_S,
        .not_after = min_of(req->now + req->ttl_s, issuer->not_after),
    };
    draw_serial(answer.serial);
    err_t err = x509_key_id(issuer->spki, answer.issuer);
    if (err != ERR_OK)
        return why_set(why, err, "the issuer's key identifier");
    size_t before = chain->len;
    err = build_leaf(a, req, &answer, chain, why);
    if (err == ERR_OK) {
        err = buf_append(chain, a->issuer.der.data, a->issuer.der.len);
        if (err != ERR_OK)
            why_set(why, err, "no room for the chain");
    }
    if (err != ERR_OK) {
        chain->len = before;
        return err;
    }
    answer.chain = slice_of(chain->data + before, chain->len - before);
    *ret = answer;
    return ERR_OK;
}

struct slice ca_bundle(const struct ca *a)
{
    return buf_slice(&a->root.der);
}

struct authority_times ca_times(const struct ca *a)
{
    return (struct authority_times){.issuer_not_before = a->issuer.cert.not_before,
                                    .issuer_not_after = a->issuer.cert.not_after,
                                    .root_not_after = a->root.cert.not_after};
}

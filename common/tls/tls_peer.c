/* The peer of a session, judged by us alone: wolfSSL hands over the Certificate message as it came
 * and the signature of CertificateVerify, and believes what it is told (our patch of it). The key
 * that the signature is checked with is the one of the very leaf that the verifier saw. */
#include "common/base/mem.h"
#include "common/tls/tls_internal.h"
#include "common/x509/sigverify.h"

#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

/* RFC 8446 section 6. One for all refusals: a peer is never told why. */
enum { ALERT_UNKNOWN_CA = 48, ALERT_INTERNAL_ERROR = 80 };

static int alert_of(err_t err)
{
    switch (err) {
    case ERR_OK:
        return 0;
    case ERR_NO_MEMORY:
    case ERR_INTERNAL:
        return ALERT_INTERNAL_ERROR;
    default:
        return ALERT_UNKNOWN_CA;
    }
}

static err_t keep_key(struct tls_peer *p, struct slice leaf, struct why *why)
{
    struct x509 cert;
    err_t err = x509_parse(leaf, &cert, why);
    if (err != ERR_OK)
        return err;
    p->spki = mem_dup(cert.spki.data, cert.spki.len);
    p->spki_len = cert.spki.len;
    return p->spki != NULL ? ERR_OK : why_set(why, ERR_NO_MEMORY, "key of the peer");
}

static err_t judge(struct tls_peer *p, const WOLFSSL_BUFFER_INFO *certs, size_t count)
{
    struct slice chain[SVID_CHAIN_MAX + 1];
    size_t known = count <= SVID_CHAIN_MAX ? count : SVID_CHAIN_MAX + 1;
    for (size_t i = 0; i < known; i++)
        chain[i] = slice_of(certs[i].buffer, certs[i].length);
    err_t err = p->events.verify(p->events.arg, chain, known, &p->verdict);
    return err == ERR_OK ? keep_key(p, chain[0], &p->verdict) : err;
}

int tls_peer_judge(WOLFSSL *wolf, const WOLFSSL_BUFFER_INFO *certs, int count, void *arg)
{
    struct tls_peer *p = arg;
    (void)wolf;
    if (p->judged) /* there is one Certificate message in a handshake, and none after it */
        return ALERT_INTERNAL_ERROR;
    p->judged = true;
    err_t err = judge(p, certs, count > 0 ? (size_t)count : 0);
    p->verdict.err = err;
    return alert_of(err);
}

int tls_peer_prove(WOLFSSL *wolf, unsigned scheme, const unsigned char *msg, unsigned msg_len,
                   const unsigned char *sig, unsigned sig_len, void *arg)
{
    struct tls_peer *p = arg;
    struct why why = {0};
    (void)wolf;
    if (!p->judged || p->verdict.err != ERR_OK || p->spki == NULL)
        return SIG_VERIFY_E;
    err_t err = x509_check_tls_proof(slice_of(p->spki, p->spki_len), scheme, slice_of(msg, msg_len),
                                     slice_of(sig, sig_len), &why);
    if (err == ERR_OK) {
        p->proven = true;
        return 0;
    }
    bool ours = err == ERR_NO_MEMORY;
    p->verdict.err = ours ? why_set(&p->verdict, err, "%s", why_text(&why))
                          : why_set(&p->verdict, ERR_PEER_PROOF, "%s: %s", err_text(ERR_PEER_PROOF),
                                    why_text(&why));
    return ours ? MEMORY_E : SIG_VERIFY_E;
}

void tls_peer_done(struct tls_peer *p)
{
    mem_free(p->spki);
    p->spki = NULL;
}

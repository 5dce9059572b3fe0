/* What the files of the TLS engine share: tls.c (sessions), tls_context.c, tls_peer.c (the verdict
 * on the other end), tls_reason.c. */
#ifndef SPINDLE_COMMON_TLS_TLS_INTERNAL_H
#define SPINDLE_COMMON_TLS_TLS_INTERNAL_H

#include "common/tls/tls.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

struct tls_context {
    unsigned refs; /* one thread */
    enum tls_side side;
    enum tls_client_auth auth;
    WOLFSSL_CTX *wolf;
    struct identity *identity; /* shared */
    struct key *key;           /* owned: a copy, as one thread signs with a key */
};

/* The other end of a session; judged once, before it proves its key. */
struct tls_peer {
    struct tls_events events;
    uint8_t *spki; /* owned: the key of the leaf that was judged */
    size_t spki_len;
    bool judged;        /* the verifier has spoken */
    bool proven;        /* CertificateVerify is by that key */
    struct why verdict; /* err is ERR_OK when it accepted */
};

/* wolfSSL's callbacks about the other end of a session. The argument is a tls_peer. */
int tls_peer_judge(WOLFSSL *wolf, const WOLFSSL_BUFFER_INFO *certs, int count, void *arg);
int tls_peer_prove(WOLFSSL *wolf, unsigned scheme, const unsigned char *msg, unsigned msg_len,
                   const unsigned char *sig, unsigned sig_len, void *arg);
void tls_peer_done(struct tls_peer *p);

/* Each session is told of its context's key. */
void tls_context_sign(const struct tls_context *ctx, WOLFSSL *wolf);

/* What a code of wolfSSL is in our words (tls_reason.def); with its text in `why`, in which a limit
 * of ours is named; and wolfSSL's own words. */
err_t tls_reason_err(int code);
err_t tls_reason_set(struct why *why, int code);
const char *tls_reason_text(int code);
/* The name of an alert, RFC 8446 section 6; "unnamed". */
#define TLS_ALERT_PROTOCOL_VERSION 70
const char *tls_alert_name(int alert);

#endif

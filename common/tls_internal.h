/* What the files of the TLS engine share: tls.c (sessions), tls_context.c, tls_reason.c. */
#ifndef SPINDLE_COMMON_TLS_INTERNAL_H
#define SPINDLE_COMMON_TLS_INTERNAL_H

#include "common/tls.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

struct tls_context {
    unsigned refs; /* one thread */
    enum tls_side side;
    enum tls_client_auth auth;
    WOLFSSL_CTX *wolf;
    struct identity *identity; /* shared */
    bool holds_ca;             /* wolfSSL may have kept a peer's intermediate: unload it */
};

/* wolfSSL's callbacks of a session. */
int tls_pull(WOLFSSL *wolf, char *to, int size, void *arg);
int tls_push(WOLFSSL *wolf, char *from, int size, void *arg);
int tls_judge(int preverify, WOLFSSL_X509_STORE_CTX *store);

/* What a code of wolfSSL is in our words, and wolfSSL's own. */
err_t tls_reason_err(int code);
const char *tls_reason_text(int code);
/* The name of an alert, RFC 8446 section 6; "unnamed". */
#define TLS_ALERT_PROTOCOL_VERSION 70
const char *tls_alert_name(int alert);

#endif

/* TLS 1.3 without sockets: bytes in, bytes out. The only user of WOLFSSL objects.
 *
 * A tls_context is made from one identity and never edited; a new identity means a new context, and
 * the old one dies with its last session. Contexts hold no CA and parse no certificate: the peer's
 * whole chain goes to the session's `verify`, whose verdict is final (docs/adr/0003).
 *
 * A session never blocks and keeps no bytes of the caller's: what tls_put takes is consumed whole.
 * After an error every call returns that error. One thread per context and its sessions. */
#ifndef SPINDLE_COMMON_TLS_TLS_H
#define SPINDLE_COMMON_TLS_TLS_H

#include "common/base/buf.h"
#include "common/spiffe/identity.h"

enum tls_side { TLS_SERVER, TLS_CLIENT };
enum tls_client_auth { TLS_CLIENT_REQUIRED, TLS_CLIENT_OPTIONAL, TLS_CLIENT_NONE };

struct tls_context;
struct tls;

/* Takes a reference of the identity. */
err_t tls_context_new(enum tls_side side, enum tls_client_auth auth, struct identity *identity,
                      struct tls_context **ret, struct why *why) MUST_CHECK;
struct tls_context *tls_context_ref(struct tls_context *ctx);
void tls_context_unref(struct tls_context *ctx);
const struct identity *tls_context_identity(const struct tls_context *ctx);

struct tls_events {
    /* The peer's chain, leaf first, once a handshake. Not ERR_OK refuses the peer with an alert. */
    err_t (*verify)(void *arg, const struct slice *chain, size_t count, struct why *why);
    void *arg;
};

err_t tls_new(struct tls_context *ctx, const struct tls_events *events, struct tls **ret,
              struct why *why) MUST_CHECK;
void tls_free(struct tls *t);

enum tls_progress {
    TLS_PROGRESS_WANT,  /* needs bytes from the peer */
    TLS_PROGRESS_DONE,  /* handshake finished / data taken */
    TLS_PROGRESS_EOF,   /* the peer said close_notify: it sends no more */
    TLS_PROGRESS_ERROR, /* see `why`; an alert for the peer may be in `out` */
};

/* Where a call's results go: bytes for the peer are appended to `out`. */

/* Steps the handshake with `in` from the peer (may be empty: a client's first flight). Bytes of
 * application data that came with the last flight stay inside, for tls_get. */
enum tls_progress tls_handshake(struct tls *t, struct slice in, struct buf *out, struct why *why);
/* Decrypts `in`, appending plaintext to `plain` (room for in.len + TLS_RECORD_MAX is enough).
 * Key updates may add to `out`; ERR_LIMIT: too many records without data (tls_records.h). WANT: all
 * of it taken, more may come. */
enum tls_progress tls_get(struct tls *t, struct slice in, struct buf *plain, struct buf *out,
                          struct why *why);
/* How much of the peer to read before the next tls_get, that the call takes no longer than others
 * can wait: less after small records. SIZE_MAX: as much as there is room for. */
size_t tls_read_room(const struct tls *t);
/* Encrypts all of `plain` into `out` (room for tls_sealed_max). DONE or ERROR. */
enum tls_progress tls_put(struct tls *t, struct slice plain, struct buf *out, struct why *why);
/* Appends our close_notify: we send no more, the peer may. */
enum tls_progress tls_close_write(struct tls *t, struct buf *out, struct why *why);

#define TLS_RECORD_MAX 16384u
/* Upper bound of what `len` plain bytes become. */
static inline size_t tls_sealed_max(size_t len)
{
    return len + (len / TLS_RECORD_MAX + 2) * 64;
}

/* After the handshake: "X25519MLKEM768", "TLS_AES_128_GCM_SHA256"; static text. */
const char *tls_group_name(const struct tls *t);
const char *tls_suite_name(const struct tls *t);
/* Tests: would wolfSSL itself take `der` for signed by something the context holds? Never. */
bool tls_context_trusts(const struct tls_context *ctx, struct slice der);

#endif

/* TLS sessions. wolfSSL drives the protocol over two callbacks: `pull` takes from the bytes at
 * hand, `push` appends to the caller's buffer. Certificates are judged by the session's own
 * verifier only. */
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/tls/tls_internal.h"
#include "common/tls/tls_limits.h"
#include "common/tls/tls_records.h"

#include <wolfssl/error-ssl.h>

struct tls {
    WOLFSSL *wolf;
    struct tls_context *ctx; /* shared */
    struct tls_peer peer;
    struct slice in;  /* borrowed, for the duration of a call */
    struct buf stash; /* bytes that came behind the handshake's last flight */
    struct buf *out;  /* borrowed, for the duration of a call */
    bool any_in;      /* the first byte has been seen */
    bool said_close;  /* our close_notify is out: nothing may follow it */
    err_t unsent;     /* why bytes for the peer could not be kept */
    err_t failed;     /* sticky */
    bool established; /* records are counted: the handshake has its own limits */
    bool flooded;     /* too many of them had no data */
    struct tls_records records;
};

#define STASH_MAX (1u << 20)
static_assert(TLS_CERTIFICATE_MESSAGE_MAX == 4 + SVID_CHAIN_MAX * (X509_DER_MAX + 5),
              "a Certificate message carries what svid_verify takes");

static err_t alert_why(struct tls *t, struct why *why)
{
    WOLFSSL_ALERT_HISTORY history = {0};
    int code = -1;
    if (wolfSSL_get_alert_history(t->wolf, &history) == WOLFSSL_SUCCESS)
        code = history.last_rx.code;
    if (code < 0) /* wolfSSL gave up for a reason that it does not name */
        return tls_reason_set(why, FATAL_ERROR);
    return why_set(why, code == TLS_ALERT_PROTOCOL_VERSION ? ERR_TLS_VERSION : ERR_TLS_ALERT,
                   "the peer answered with alert %d (%s)", code, tls_alert_name(code));
}

/* The session is over: finds the reason, makes it stick. A verdict of ours outranks what wolfSSL
 * made of it. */
static enum tls_progress fail(struct tls *t, int code, struct why *why)
{
    if (t->flooded) {
        t->failed = why_set(why, ERR_LIMIT,
                            "the peer sent more than %u TLS records without data at once (key "
                            "updates, empty records)",
                            TLS_SILENT_BURST);
    } else if (t->peer.verdict.err != ERR_OK) {
        if (why != NULL)
            *why = t->peer.verdict;
        t->failed = t->peer.verdict.err;
    } else if (t->unsent != ERR_OK) {
        t->failed =
            why_set(why, t->unsent, "bytes for the peer do not fit: %s", err_text(t->unsent));
    } else if (code == FATAL_ERROR) {
        t->failed = alert_why(t, why);
    } else {
        t->failed = tls_reason_set(why, code);
    }
    return TLS_PROGRESS_ERROR;
}

static enum tls_progress fail_again(const struct tls *t, struct why *why)
{
    why_set(why, t->failed, "%s (earlier)", err_text(t->failed));
    return TLS_PROGRESS_ERROR;
}

/* --- wolfSSL's callbacks --------------------------------------------------------------------- */

/* wolfSSL comes for another record without having given data of the last ones. */
static bool is_flood(struct tls *t)
{
    t->flooded = t->flooded || (t->established && !tls_records_pay(&t->records, clock_mono_ns()));
    return t->flooded;
}

static int gave(struct tls *t, const char *bytes, size_t n)
{
    if (t->established)
        tls_records_saw(&t->records, (const uint8_t *)bytes, n);
    return (int)n;
}

static int pull(WOLFSSL *wolf, char *to, int size, void *arg)
{
    struct tls *t = arg;
    size_t want = (size_t)size;
    (void)wolf;
    if (is_flood(t))
        return WOLFSSL_CBIO_ERR_GENERAL;
    if (t->stash.len > 0) {
        size_t n = want < t->stash.len ? want : t->stash.len;
        memcpy(to, t->stash.data, n);
        buf_consume(&t->stash, n);
        return gave(t, to, n);
    }
    if (t->in.len == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    size_t n = want < t->in.len ? want : t->in.len;
    memcpy(to, t->in.data, n);
    t->in = slice_of(t->in.data + n, t->in.len - n);
    return gave(t, to, n);
}

static int push(WOLFSSL *wolf, char *from, int size, void *arg)
{
    struct tls *t = arg;
    (void)wolf;
    if (t->said_close) /* the answer to a key update: RFC 8446 6.1 wants it unsaid */
        return size;
    t->unsent = t->out != NULL ? buf_append(t->out, from, (size_t)size) : ERR_INTERNAL;
    return t->unsent == ERR_OK ? size : WOLFSSL_CBIO_ERR_GENERAL;
}

/* --- sessions -------------------------------------------------------------------------------- */

err_t tls_new(struct tls_context *ctx, const struct tls_events *events, struct tls **ret,
              struct why *why)
{
    struct tls *t = mem_alloc(sizeof *t);
    if (t == NULL)
        return why_set(why, ERR_NO_MEMORY, "TLS session");
    t->ctx = tls_context_ref(ctx);
    t->peer.events = *events;
    buf_init(&t->stash, STASH_MAX);
    t->wolf = wolfSSL_new(ctx->wolf);
    bool ok = t->wolf != NULL;
    if (ok) {
        wolfSSL_SSLSetIORecv(t->wolf, pull);
        wolfSSL_SSLSetIOSend(t->wolf, push);
        wolfSSL_SetIOReadCtx(t->wolf, t);
        wolfSSL_SetIOWriteCtx(t->wolf, t);
        wolfSSL_SetCertCbCtx(t->wolf, &t->peer);
        tls_context_sign(ctx, t->wolf);
    }
    if (ok && ctx->side == TLS_CLIENT)
        ok = wolfSSL_UseKeyShare(t->wolf, WOLFSSL_X25519MLKEM768) == WOLFSSL_SUCCESS;
    if (!ok) {
        tls_free(t);
        return why_set(why, ERR_NO_MEMORY, "TLS session");
    }
    *ret = t;
    return ERR_OK;
}

void tls_free(struct tls *t)
{
    if (t == NULL)
        return;
    wolfSSL_free(t->wolf);
    tls_peer_done(&t->peer);
    buf_done(&t->stash);
    tls_context_unref(t->ctx);
    mem_free(t);
}

static void begin(struct tls *t, struct slice in, struct buf *out)
{
    t->in = in;
    t->out = out;
}

static void end(struct tls *t)
{
    t->in = slice_of(NULL, 0);
    t->out = NULL;
}

/* A TLS peer starts with a handshake record; a server may also start with an alert. */
static bool looks_like_tls(struct tls *t, struct slice in)
{
    if (t->any_in || in.len == 0)
        return true;
    t->any_in = true;
    return in.data[0] == 22 || (t->ctx->side == TLS_CLIENT && in.data[0] == 21);
}

/* A finished handshake that our verifier did not bless is a bug that must not pass. A client that
 * need not show a certificate, and did not, is not judged. */
static bool is_judged(const struct tls *t)
{
    if (t->peer.judged)
        return t->peer.verdict.err == ERR_OK && t->peer.proven;
    return t->ctx->side == TLS_SERVER && t->ctx->auth != TLS_CLIENT_REQUIRED;
}

static enum tls_progress handshake_step(struct tls *t, struct why *why)
{
    int ret = t->ctx->side == TLS_SERVER ? wolfSSL_accept(t->wolf) : wolfSSL_connect(t->wolf);
    if (ret != WOLFSSL_SUCCESS) {
        int code = wolfSSL_get_error(t->wolf, ret);
        return code == WOLFSSL_ERROR_WANT_READ ? TLS_PROGRESS_WANT : fail(t, code, why);
    }
    if (!is_judged(t)) {
        t->failed = why_set(why, ERR_INTERNAL, "handshake without a verdict on the peer");
        return TLS_PROGRESS_ERROR;
    }
    tls_peer_done(&t->peer); /* its key has done its work */
    if (t->in.len > 0) {
        t->failed = buf_append(&t->stash, t->in.data, t->in.len);
        if (t->failed != ERR_OK) {
            why_set(why, t->failed, "data behind the handshake");
            return TLS_PROGRESS_ERROR;
        }
    }
    t->established = true;
    tls_records_init(&t->records, clock_mono_ns(), t->ctx->side == TLS_CLIENT);
    return TLS_PROGRESS_DONE;
}

/* A client that refuses our certificate may say so before it encrypts: an alert in the clear,
 * perhaps behind a change_cipher_spec (RFC 8446 D.4), which wolfSSL takes for a broken record. */
static bool is_plain_alert(struct slice in, int *ret_code)
{
    static const uint8_t change[] = {20, 3, 3, 0, 1, 1};
    if (in.len >= sizeof change && memcmp(in.data, change, sizeof change) == 0)
        in = slice_of(in.data + sizeof change, in.len - sizeof change);
    if (in.len < 7 || in.data[0] != 21 || in.data[1] != 3 || in.data[3] != 0 || in.data[4] != 2)
        return false;
    *ret_code = in.data[6];
    return true;
}

enum tls_progress tls_handshake(struct tls *t, struct slice in, struct buf *out, struct why *why)
{
    int alert;
    if (t->failed != ERR_OK)
        return fail_again(t, why);
    if (!looks_like_tls(t, in)) {
        t->failed =
            why_set(why, ERR_TLS_NOT_TLS, "the peer's first byte is 0x%02x, not TLS", in.data[0]);
        return TLS_PROGRESS_ERROR;
    }
    begin(t, in, out);
    enum tls_progress progress = handshake_step(t, why);
    end(t);
    if (progress == TLS_PROGRESS_ERROR && t->failed == ERR_TLS_PROTOCOL &&
        is_plain_alert(in, &alert))
        t->failed = why_set(why, ERR_TLS_ALERT, "the peer answered with alert %d (%s)", alert,
                            tls_alert_name(alert));
    return progress;
}

static enum tls_progress get_step(struct tls *t, struct buf *plain, struct why *why)
{
    for (;;) {
        err_t err = buf_reserve(plain, TLS_RECORD_MAX);
        if (err != ERR_OK) {
            t->failed = why_set(why, err, "room for decrypted data");
            return TLS_PROGRESS_ERROR;
        }
        int n = wolfSSL_read(t->wolf, plain->data + plain->len, (int)(plain->cap - plain->len));
        if (n > 0) {
            plain->len += (size_t)n;
            tls_records_data(&t->records, (size_t)n);
            continue;
        }
        int code = wolfSSL_get_error(t->wolf, n);
        if (code == WOLFSSL_ERROR_WANT_READ)
            return TLS_PROGRESS_WANT;
        return code == WOLFSSL_ERROR_ZERO_RETURN ? TLS_PROGRESS_EOF : fail(t, code, why);
    }
}

enum tls_progress tls_get(struct tls *t, struct slice in, struct buf *plain, struct buf *out,
                          struct why *why)
{
    if (t->failed != ERR_OK)
        return fail_again(t, why);
    begin(t, in, out);
    tls_records_start(&t->records);
    enum tls_progress progress = get_step(t, plain, why);
    end(t);
    return progress;
}

size_t tls_read_room(const struct tls *t)
{
    return tls_records_room(&t->records);
}

enum tls_progress tls_put(struct tls *t, struct slice plain, struct buf *out, struct why *why)
{
    if (t->failed != ERR_OK)
        return fail_again(t, why);
    begin(t, slice_of(NULL, 0), out);
    enum tls_progress progress = TLS_PROGRESS_DONE;
    if (plain.len > 0) {
        int n = wolfSSL_write(t->wolf, plain.data, (int)plain.len);
        if (n != (int)plain.len)
            progress = fail(t, wolfSSL_get_error(t->wolf, n), why);
    }
    end(t);
    return progress;
}

enum tls_progress tls_close_write(struct tls *t, struct buf *out, struct why *why)
{
    if (t->failed != ERR_OK)
        return fail_again(t, why);
    begin(t, slice_of(NULL, 0), out);
    int ret = wolfSSL_shutdown(t->wolf);
    t->said_close = true;
    end(t);
    if (ret == WOLFSSL_SUCCESS || ret == WOLFSSL_SHUTDOWN_NOT_DONE)
        return TLS_PROGRESS_DONE;
    return fail(t, wolfSSL_get_error(t->wolf, ret), why);
}

const char *tls_group_name(const struct tls *t)
{
    const char *name = wolfSSL_get_curve_name(t->wolf);
    return name != NULL ? name : "unknown";
}

/* RFC 8446 B.4 */
const char *tls_suite_name(const struct tls *t)
{
    switch (wolfSSL_get_current_cipher_suite(t->wolf)) {
    case 0x1301:
        return "TLS_AES_128_GCM_SHA256";
    case 0x1302:
        return "TLS_AES_256_GCM_SHA384";
    case 0x1303:
        return "TLS_CHACHA20_POLY1305_SHA256";
    default:
        return "unknown";
    }
}

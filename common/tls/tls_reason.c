/* What wolfSSL says, in our words. */
#include "common/tls/tls_internal.h"
#include "common/tls/tls_limits.h"

#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#define TLS_DIGITS(number) #number
#define TLS_NUMBER(limit) TLS_DIGITS(limit)

static const struct reason_row {
    int code;
    err_t err;
    const char *text;
} reason_rows[] = {
#define X(code, err, text) {code, ERR_##err, text},
#include "common/tls/tls_reason.def"
#undef X
};

static const struct reason_row *row_of(int code)
{
    for (size_t i = 0; i < sizeof reason_rows / sizeof reason_rows[0]; i++) {
        if (reason_rows[i].code == code)
            return &reason_rows[i];
    }
    return NULL;
}

const char *tls_reason_text(int code)
{
    return wolfSSL_ERR_reason_error_string((unsigned long)code);
}

err_t tls_reason_err(int code)
{
    const struct reason_row *row = row_of(code);
    return row != NULL ? row->err : ERR_INTERNAL;
}

err_t tls_reason_set(struct why *why, int code)
{
    const struct reason_row *row = row_of(code);
    err_t err = tls_reason_err(code);
    if (row == NULL)
        return why_set(why, err, "%s: wolfSSL's error %d (%s) in a TLS session", err_text(err),
                       code, tls_reason_text(code));
    return why_set(why, err, "%s: %s", err_text(err),
                   row->text != NULL ? row->text : tls_reason_text(code));
}

/* RFC 8446 section 6. */
static const struct {
    int code;
    const char *name;
} alert_rows[] = {
    {0, "close_notify"},
    {10, "unexpected_message"},
    {20, "bad_record_mac"},
    {22, "record_overflow"},
    {40, "handshake_failure"},
    {42, "bad_certificate"},
    {43, "unsupported_certificate"},
    {44, "certificate_revoked"},
    {45, "certificate_expired"},
    {46, "certificate_unknown"},
    {47, "illegal_parameter"},
    {48, "unknown_ca"},
    {49, "access_denied"},
    {50, "decode_error"},
    {51, "decrypt_error"},
    {70, "protocol_version"},
    {71, "insufficient_security"},
    {80, "internal_error"},
    {86, "inappropriate_fallback"},
    {90, "user_canceled"},
    {109, "missing_extension"},
    {110, "unsupported_extension"},
    {112, "unrecognized_name"},
    {113, "bad_certificate_status_response"},
    {115, "unknown_psk_identity"},
    {116, "certificate_required"},
    {120, "no_application_protocol"},
    {121, "ech_required"},
};

const char *tls_alert_name(int alert)
{
    for (size_t i = 0; i < sizeof alert_rows / sizeof alert_rows[0]; i++) {
        if (alert_rows[i].code == alert)
            return alert_rows[i].name;
    }
    return "unnamed";
}

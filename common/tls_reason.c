/* What wolfSSL says, in our words. */
#include "common/tls_internal.h"

#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

const char *tls_reason_text(int code)
{
    return wolfSSL_ERR_reason_error_string((unsigned long)code);
}

struct code_row {
    int wolf;
    err_t err;
};
static const struct code_row code_rows[] = {
    {NO_PEER_CERT, ERR_PEER_NO_CERT},
    {VERSION_ERROR, ERR_TLS_VERSION},
    {MATCH_SUITE_ERROR, ERR_TLS_NO_COMMON},
    {KEY_SHARE_ERROR, ERR_TLS_NO_COMMON},
    {BAD_KEY_SHARE_DATA, ERR_TLS_NO_COMMON},
    {ECC_CURVE_ERROR, ERR_TLS_NO_COMMON},
    {INVALID_PARAMETER, ERR_TLS_NO_COMMON},
    {SIG_VERIFY_E, ERR_PEER_PROOF},
    {VERIFY_SIGN_ERROR, ERR_PEER_PROOF},
    {VERIFY_CERT_ERROR, ERR_PEER_PROOF},
    {PEER_KEY_ERROR, ERR_CERT_ALGORITHM},
    {ECC_KEY_SIZE_E, ERR_CERT_ALGORITHM},
    {RSA_KEY_SIZE_E, ERR_CERT_ALGORITHM},
    {ASN_PARSE_E, ERR_CERT_MALFORMED},
    {BUFFER_E, ERR_CERT_MALFORMED},
    {ASN_VERSION_E, ERR_CERT_MALFORMED},
    {MAX_CHAIN_ERROR, ERR_CHAIN_TOO_LONG},
    {UNKNOWN_RECORD_TYPE, ERR_TLS_NOT_TLS},
    {MEMORY_E, ERR_NO_MEMORY},
    {MEMORY_ERROR, ERR_NO_MEMORY},
    {SOCKET_PEER_CLOSED_E, ERR_PEER_CLOSED},
    {WOLFSSL_ERROR_ZERO_RETURN, ERR_PEER_CLOSED}, /* close_notify, where more had to come */
};

err_t tls_reason_err(int code)
{
    for (size_t i = 0; i < sizeof code_rows / sizeof code_rows[0]; i++) {
        if (code_rows[i].wolf == code)
            return code_rows[i].err;
    }
    return ERR_TLS_PROTOCOL;
}

/* RFC 8446 section 6. */
static const struct {
    int code;
    const char *name;
} alert_rows[] = {
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
    {90, "user_canceled"},
    {109, "missing_extension"},
    {110, "unsupported_extension"},
    {112, "unrecognized_name"},
    {116, "certificate_required"},
    {120, "no_application_protocol"},
};

const char *tls_alert_name(int alert)
{
    for (size_t i = 0; i < sizeof alert_rows / sizeof alert_rows[0]; i++) {
        if (alert_rows[i].code == alert)
            return alert_rows[i].name;
    }
    return "unnamed";
}

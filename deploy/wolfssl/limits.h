/* Given to every file of wolfSSL, behind common/tls/tls_limits.h: the limits in wolfSSL's own
 * names. Its defaults are certificates of 2 KB. (deploy/deps) */
#define MAX_CERTIFICATE_SZ TLS_CERTIFICATE_MESSAGE_MAX
#define MAX_HANDSHAKE_SZ TLS_MESSAGE_MAX
#define WOLFSSL_MAX_EMPTY_RECORDS TLS_EMPTY_RECORDS_MAX
#define WOLFSSL_SKIP_EARLY_DATA_SZ TLS_EARLY_DATA_MAX

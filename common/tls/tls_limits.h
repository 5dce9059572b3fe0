/* What a TLS peer may make us take, before and after we know who it is. deploy/deps gives the same
 * numbers to wolfSSL (deploy/wolfssl/limits.h). Read by the assembler too: nothing but numbers. */
#ifndef SPINDLE_COMMON_TLS_TLS_LIMITS_H
#define SPINDLE_COMMON_TLS_TLS_LIMITS_H

/* Bytes of a Certificate message: as many certificates as a chain may have, of the greatest size
 * that we look at, with their framing. Memory grows with what has arrived, so this is also the most
 * that a peer we do not know yet makes us hold. */
#define TLS_CERTIFICATE_MESSAGE_MAX 524332
/* Any other handshake message: the longest ClientHello that RFC 8446 4.1.2 can express; it leaves
 * no other message longer. */
#define TLS_MESSAGE_MAX 131396
/* Records in a row that carry nothing: empty application data, or change_cipher_spec. */
#define TLS_EMPTY_RECORDS_MAX 32
/* Early data of a client that takes us for the server it knew: records to skip, RFC 8446 4.2.10. */
#define TLS_EARLY_DATA_MAX 65536

#endif

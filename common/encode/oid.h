/* Object identifiers we know, as the content bytes of their DER. Used with OID() and OID_IS(). */
#ifndef SPINDLE_COMMON_ENCODE_OID_H
#define SPINDLE_COMMON_ENCODE_OID_H

#include "common/base/slice.h"

#define OID(literal) slice_of(literal, sizeof(literal) - 1)
#define OID_IS(oid, literal) slice_eq(oid, OID(literal))

/* Keys: RFC 3279, 5480, 8410 */
#define OID_EC_KEY "\x2a\x86\x48\xce\x3d\x02\x01"
#define OID_P256 "\x2a\x86\x48\xce\x3d\x03\x01\x07"
#define OID_P384 "\x2b\x81\x04\x00\x22"
#define OID_P521 "\x2b\x81\x04\x00\x23"
#define OID_RSA_KEY "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
#define OID_ED25519 "\x2b\x65\x70"

/* Signatures: RFC 4055, 5758 */
#define OID_PKCS1 "\x2a\x86\x48\x86\xf7\x0d\x01\x01"
#define OID_MGF1 OID_PKCS1 "\x08"
#define OID_RSA_PSS OID_PKCS1 "\x0a"
#define OID_RSA_SHA256 OID_PKCS1 "\x0b"
#define OID_RSA_SHA384 OID_PKCS1 "\x0c"
#define OID_RSA_SHA512 OID_PKCS1 "\x0d"
#define OID_ECDSA_SHA1 "\x2a\x86\x48\xce\x3d\x04\x01"
#define OID_ECDSA_SHA256 "\x2a\x86\x48\xce\x3d\x04\x03\x02"
#define OID_ECDSA_SHA384 "\x2a\x86\x48\xce\x3d\x04\x03\x03"
#define OID_ECDSA_SHA512 "\x2a\x86\x48\xce\x3d\x04\x03\x04"

/* Hashes */
#define OID_SHA2 "\x60\x86\x48\x01\x65\x03\x04\x02"
#define OID_SHA256 OID_SHA2 "\x01"
#define OID_SHA384 OID_SHA2 "\x02"
#define OID_SHA512 OID_SHA2 "\x03"

/* Certificate extensions and what is in them: RFC 5280 4.2 */
#define OID_CE "\x55\x1d" /* id-ce; one more byte */
#define OID_SUBJECT_KEY_ID OID_CE "\x0e"
#define OID_KEY_USAGE OID_CE "\x0f"
#define OID_SUBJECT_ALT_NAME OID_CE "\x11"
#define OID_BASIC_CONSTRAINTS OID_CE "\x13"
#define OID_NAME_CONSTRAINTS OID_CE "\x1e"
#define OID_CRL_DISTRIBUTION_POINTS OID_CE "\x1f"
#define OID_CERTIFICATE_POLICIES OID_CE "\x20"
#define OID_AUTHORITY_KEY_ID OID_CE "\x23"
#define OID_EXT_KEY_USAGE OID_CE "\x25"
#define OID_ANY_EXT_KEY_USAGE OID_CE "\x25\x00"
#define OID_AUTHORITY_INFO_ACCESS "\x2b\x06\x01\x05\x05\x07\x01\x01"
#define OID_SERVER_AUTH "\x2b\x06\x01\x05\x05\x07\x03\x01"
#define OID_CLIENT_AUTH "\x2b\x06\x01\x05\x05\x07\x03\x02"

/* Attributes of names: X.520, PKCS #9 */
#define OID_COMMON_NAME "\x55\x04\x03"
#define OID_COUNTRY "\x55\x04\x06"
#define OID_ORGANIZATION "\x55\x04\x0a"
#define OID_EMAIL_ADDRESS "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"

#endif

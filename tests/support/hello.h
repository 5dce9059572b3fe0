/* ClientHellos for tests, written byte by byte: as of any client, with knobs for what is odd. */
#ifndef SPINDLE_TESTS_HELLO_H
#define SPINDLE_TESTS_HELLO_H

#include "common/base/buf.h"

enum { HELLO_P256 = 23, HELLO_X25519 = 29, HELLO_HYBRID = 0x11ec };
enum {
    HELLO_EXT_GROUPS = 10,
    HELLO_EXT_ALGORITHMS = 13,
    HELLO_EXT_PSK = 41,
    HELLO_EXT_VERSIONS = 43,
    HELLO_EXT_MODES = 45,
    HELLO_EXT_SHARES = 51
};

struct hello_share {
    unsigned group;
    size_t len;
    uint8_t fill;
};

struct hello_extension {
    unsigned type;
    size_t len; /* zeros, when there are no bytes */
    struct slice bytes;
};

/* What is odd about a ClientHello; 0 everywhere: one as of any client. */
struct hello_odd {
    unsigned record_version, legacy_version;
    size_t session_id, other_suites, other_groups, other_algorithms, other_shares, other_extensions;
    struct slice suites, compression, versions, groups, algorithms;
    struct hello_share shares[3]; /* group 0: X25519; len 0 in the second: none */
    bool no_shares;               /* an empty list */
    bool no_suites, no_versions, no_groups, no_algorithms, no_share_extension;
    struct hello_extension extra[4];
    bool extra_last;
    struct slice trailing;
};

/* Append; a buffer that is full ends the test. */
void hello_bytes(struct buf *b, const void *data, size_t len);
void hello_number(struct buf *b, size_t number, unsigned bytes);
void hello_fill(struct buf *b, uint8_t fill, size_t len);
/* The handshake message. */
void hello_write(struct buf *out, const struct hello_odd *o);
/* A message in records of at most `size` bytes. */
void hello_records(struct buf *out, unsigned version, const struct buf *message, size_t size);

#endif

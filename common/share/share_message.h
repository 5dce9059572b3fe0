/* What agent and sidecars say on share.sock (docs/share.md). SOCK_SEQPACKET, one message a packet,
 * little endian, at most one descriptor with it:
 *   header   magic "SPSH", version u16, type u16, length u32 of the whole packet
 *   fields   in the order of the struct; texts are u16 length and UTF-8 without control characters
 * A newer program may append fields and send types of its own: what follows the fields known here
 * is ignored, an unknown type is SHARE_OTHER. Anything else asks for another version. Encode and
 * decode are pure; every byte of a packet is the sender's choice. Any thread. */
#ifndef SPINDLE_COMMON_SHARE_SHARE_MESSAGE_H
#define SPINDLE_COMMON_SHARE_SHARE_MESSAGE_H

#include "common/base/slice.h"
#include "common/base/why.h"

#define SHARE_VERSION 1
#define SHARE_PACKET_MAX 4096
#define SHARE_PROGRAM_MAX 64
#define SHARE_SPIFFE_ID_MAX 2048
#define SHARE_NAME_MAX 255
#define SHARE_REASON_MAX 64
#define SHARE_TEXT_MAX 480

enum share_type {
    SHARE_OTHER = 0,
    SHARE_HELLO = 1,   /* sidecar: who I am */
    SHARE_WELCOME = 2, /* agent: what holds here; again when it changes */
    SHARE_CACHE = 3,   /* agent: a revocation cache, the descriptor; replaces the one before */
    SHARE_CHANGED = 4, /* agent: the cache has changed, look again at live connections */
    SHARE_PAGE = 5,    /* sidecar: I count in pages, and have this one (or no descriptor);
                          agent: count in this one from now on, the descriptor */
    SHARE_REFUSED = 6, /* agent: no, and why; it closes then */
};

/* Slices borrow: the encoder's caller's, or the packet that was decoded. */
struct share_message {
    enum share_type type;
    union {
        struct {
            struct slice program;   /* version of the program, for the other side's log */
            struct slice spiffe_id; /* the identity it serves */
            struct slice name;      /* of several sidecars of one identity; may be empty */
        } hello;
        struct {
            struct slice program;
            int64_t longest_life_s; /* of any SVID of this agent, backdate included */
        } welcome;
        struct {
            uint64_t generation; /* CACHE and CHANGED */
        } cache;
        struct {
            struct slice reason; /* err_name */
            struct slice text;
        } refused;
    };
};

struct share_packet {
    uint8_t bytes[SHARE_PACKET_MAX];
    size_t len;
    int descriptor; /* -1: none came */
};

/* ERR_TOO_LARGE: a text over its maximum; ERR_PARSE: a text that the other side would refuse. */
err_t share_encode(const struct share_message *m, struct share_packet *ret,
                   struct why *why) MUST_CHECK;
/* ERR_PARSE, ERR_TOO_LARGE; ERR_UNSUPPORTED for another version, naming both. */
err_t share_decode(struct slice packet, struct share_message *ret, struct why *why) MUST_CHECK;
/* May a sidecar have this name? */
err_t share_check_name(struct slice name, struct why *why) MUST_CHECK;
/* "HELLO"; for logs. */
const char *share_type_name(enum share_type type);

/* Never block. The packet's bytes, and its descriptor unless -1, which stays the caller's.
 * ERR_LIMIT: no room until the socket is writable; ERR_PEER_CLOSED, ERR_IO. */
err_t share_send(int fd, const struct share_packet *p, struct why *why) MUST_CHECK;
/* A descriptor that came is the caller's to close. ERR_OK with len 0: nothing waits.
 * ERR_PEER_CLOSED at the end, ERR_TOO_LARGE, ERR_PARSE for more than one descriptor, ERR_IO. */
err_t share_receive(int fd, struct share_packet *ret, struct why *why) MUST_CHECK;

/* Where share.sock is: beside the Workload API's socket. ERR_CONFIG when that has its name, or the
 * path is longer than a socket's may be. */
#define SHARE_PATH_MAX 108
err_t share_path(const char *api_socket, char out[static SHARE_PATH_MAX],
                 struct why *why) MUST_CHECK;

#endif

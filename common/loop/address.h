/* Socket addresses as configuration writes them: 127.0.0.1:8080, [::1]:8080, name:8080,
 * /run/app.sock, unix:///run/app.sock. Pure parsing; resolving is the dialler's work. */
#ifndef SPINDLE_COMMON_LOOP_ADDRESS_H
#define SPINDLE_COMMON_LOOP_ADDRESS_H

#include "common/base/slice.h"
#include "common/base/why.h"

#include <sys/socket.h>

struct address {
    enum { ADDRESS_IP, ADDRESS_NAME, ADDRESS_UNIX } kind;
    char host[256]; /* IP literal without brackets, DNS name, or socket path */
    uint16_t port;  /* 0 for ADDRESS_UNIX, and allowed for a listener: the kernel picks */
};

/* ERR_CONFIG with what was expected. A Unix path longer than sun_path allows is refused by name. */
err_t address_parse(struct slice text, struct address *ret, struct why *why) MUST_CHECK;
/* ADDRESS_IP and ADDRESS_UNIX only. */
err_t address_sockaddr(const struct address *a, struct sockaddr_storage *ret,
                       socklen_t *ret_len) MUST_CHECK;
/* Does it lead to this machine and nowhere else? 127.0.0.0/8, ::1, the same as IPv4-mapped, a Unix
 * socket, `localhost` and names below it (RFC 6761 section 6.3). */
bool address_is_loopback(const struct address *a);
/* 0.0.0.0 or :: */
bool address_is_any(const struct address *a);
/* "127.0.0.1:80", "[::1]:80", "unix:/path"; returns out. */
#define ADDRESS_TEXT_LEN 280
const char *address_text(const struct address *a, char out[static ADDRESS_TEXT_LEN]);
const char *sockaddr_text(const struct sockaddr *sa, char out[static ADDRESS_TEXT_LEN]);

/* 0 for Unix sockets. */
uint16_t sockaddr_port(const struct sockaddr *sa);

/* SPIFFE_ENDPOINT_SOCKET syntax (Workload Endpoint section 4; EP-4): unix:///abs/path (also
 * unix:/abs/path, which has no authority either) or tcp://IP:port and nothing else. */
err_t address_parse_endpoint(struct slice text, struct address *ret, struct why *why) MUST_CHECK;

#endif

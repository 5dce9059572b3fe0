/* One look-up of a name on a loop, by c-ares: /etc/hosts and name servers in the order that
 * nsswitch.conf says, search domains, TCP for long answers. Its configuration is read anew each
 * time, so changed files count from the next look-up on. Addresses of both families are asked for
 * at once; order is what the file or the server gives. Loop thread only. */
#ifndef SPINDLE_COMMON_RESOLVE_NAME_LOOKUP_H
#define SPINDLE_COMMON_RESOLVE_NAME_LOOKUP_H

#include "common/resolve/ip_list.h"
#include "common/resolve/name_result.h"

#include <uv.h>

#define NAME_LOOKUP_LIMIT_MS 10000  /* all of one look-up, whatever files and servers it asks */
#define NAME_LOOKUP_SERVER_MS 500   /* for a server's first answer; doubles each round */
#define NAME_LOOKUP_ROUNDS 4        /* over all servers */
#define NAME_LOOKUP_DELAY_MS 50     /* IPv4 addresses wait for IPv6's: RFC 8305 section 3 */
#define NAME_LOOKUP_EDNS_SIZE 1232u /* bytes of an answer over UDP that no path has to cut */

struct name_found {
    enum name_result result;
    struct ip_list *list; /* borrowed; with NAME_OK alone */
    uint32_t ttl_s;       /* of the list: the shortest; 0 from a file */
    bool part;            /* one family's answer is still awaited: this is called once more */
    size_t left_out;      /* addresses beyond IP_LIST_MAX */
    unsigned passed;      /* servers, silent or failing, before one answered */
};
struct name_lookup_options {
    const char *resolv_conf; /* borrowed; NULL: the machine's */
    const char *servers;     /* borrowed; "127.0.0.1:53,…" instead of resolv.conf's, or NULL */
    unsigned skip;           /* so many of the first servers are asked last */
    int server_ms;           /* 0: NAME_LOOKUP_SERVER_MS */
};

struct name_lookup; /* opaque */

/* Never before name_lookup_start has returned; the last time without `part`, and nothing of it is
 * left then. */
typedef void (*name_lookup_done)(void *arg, const struct name_found *found);
err_t name_lookup_start(uv_loop_t *loop, const char *name,
                        const struct name_lookup_options *options, name_lookup_done done, void *arg,
                        struct name_lookup **ret, struct why *why) MUST_CHECK;
/* done is not called any more. Not from inside done. */
void name_lookup_cancel(struct name_lookup *l);

#endif

/* Whom a request was meant for, by its Host. A page in a browser of this machine can be made to ask
 * a loopback address under a name of the page's own (DNS rebinding) and to read the answer; it
 * cannot choose another Host than that name. So a listener on a loopback address answers to
 * addresses, to localhost and to names it was told of, and to no other. Pure. */
#ifndef SPINDLE_COMMON_HTTP_HTTP_HOST_H
#define SPINDLE_COMMON_HTTP_HTTP_HOST_H

#include "common/loop/address.h"

/* Does a listener on this address ask for the Host? Loopback addresses alone. */
bool http_host_matters(const struct address *listen_on);
/* `host` as the request has it, port included; empty where the client named none (HTTP/1.0, or no
 * name to give), which no browser does. `names`: more that are ours, NULL-terminated, or NULL. */
bool http_host_is_ours(struct slice host, char *const *names);
/* A name of one label ("web", port or not): of a container or a machine, and no page's on the
 * Internet. Good enough for probes, which tell nothing that a page would want. */
bool http_host_is_bare(struct slice host);

#endif

/* Is this verified peer welcome on this route? Pure. X5-20: by the whole SPIFFE ID, nothing else.
 */
#ifndef SPINDLE_SIDECAR_PEER_POLICY_H
#define SPINDLE_SIDECAR_PEER_POLICY_H

#include "sidecar/config/config.h"

/* The rule that admits the ID: its index, or rule_count. */
size_t policy_find(const struct route_config *route, const struct spiffeid *id);
/* The list as one line, cut where it gets long. */
void policy_list_text(const struct route_config *route, const char *between, char *out,
                      size_t size);
/* ERR_PEER_NOT_ALLOWED with the ID and the list. */
err_t policy_check(const struct route_config *route, const struct spiffeid *id,
                   struct why *why) MUST_CHECK;

#endif

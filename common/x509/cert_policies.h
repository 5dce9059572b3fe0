/* Certificate policies along a path (RFC 5280 6.1.2 to 6.1.5). Pure. Any policy will do for us, so
 * a path fails only where an authority wants an explicit policy (policyConstraints) and none holds
 * from that authority down to the leaf: the "valid policy tree" is kept as the set of its lowest
 * names. */
#ifndef SPINDLE_COMMON_X509_CERT_POLICIES_H
#define SPINDLE_COMMON_X509_CERT_POLICIES_H

#include "common/x509/x509.h"

#define POLICIES_MAX 64 /* policies, and mappings, of one certificate; and of the set */

/* `path` is leaf first, without the anchor. ERR_CERT_UNKNOWN_CRITICAL when no policy is left where
 * one is wanted, ERR_CERT_MALFORMED for policies that are none, or more than are looked at. */
err_t cert_policies_check(const struct x509 *const *path, size_t count, struct why *why) MUST_CHECK;

#endif

/* Name constraints of authorities (RFC 5280 4.2.1.10; X5-10). Pure. URI, DNS, IP, mail and
 * directory names are understood; a constraint of another kind refuses a certificate that has such
 * a name.
 *
 * Stricter than the text where it leaves room: a permitted directory name must match byte for byte,
 * an excluded one matches whatever case, spaces and string type it is written in. */
#ifndef SPINDLE_COMMON_X509_NAME_CONSTRAINTS_H
#define SPINDLE_COMMON_X509_NAME_CONSTRAINTS_H

#include "common/x509/x509.h"

/* Comparisons one verification may spend: names times constraints, all certificates together. */
#define NAME_COMPARISONS_MAX 20000u

/* Do the constraints of `ca`, which has some, allow the names of `below`? *budget counts down.
 * ERR_CERT_NAME_CONSTRAINTS with the name and the constraint; also for constraints that are
 * malformed, and when the budget is spent. */
err_t name_constraints_check(const struct x509 *ca, const struct x509 *below, unsigned *budget,
                             struct why *why) MUST_CHECK;

#endif

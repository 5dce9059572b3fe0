/* In which order, and how soon after one another, the addresses of a name are tried (RFC 8305): by
 * the precedence of RFC 6724's table, else as they came, the two families in turn. Pure. */
#ifndef SPINDLE_SIDECAR_CONN_ADDRESS_ORDER_H
#define SPINDLE_SIDECAR_CONN_ADDRESS_ORDER_H

#include "common/base/why.h"
#include "common/resolve/ip_list.h"

#define ATTEMPT_DELAY_MS 250    /* for an address to answer before the next is tried beside it */
#define ATTEMPT_DELAY_MIN_MS 10 /* where there are many and little time */

struct address_order { /* zeroed at first */
    struct ip *items;  /* owned; the first `tried` of them have had their turn */
    size_t count, tried;
};

/* Adds those that are new to it; those tried keep their place. ERR_NO_MEMORY: as it was. */
err_t address_order_add(struct address_order *o, const struct ip_list *more) MUST_CHECK;
/* The next to be tried, borrowed until the next add; NULL: none is left. */
const struct ip *address_order_next(struct address_order *o);
size_t address_order_left(const struct address_order *o);
void address_order_done(struct address_order *o);

/* How long to wait before the next of `left` is tried, so that each has its turn, and the last one
 * some time, within what remains. */
uint64_t address_order_delay(size_t left, uint64_t remaining_ms);

#endif

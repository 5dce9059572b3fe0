/* The addresses of a name: a list that never changes, counted, read by any thread. */
#ifndef SPINDLE_COMMON_RESOLVE_IP_LIST_H
#define SPINDLE_COMMON_RESOLVE_IP_LIST_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define IP_LIST_MAX 256 /* addresses of one name; those beyond are left out */

struct ip {
    uint8_t family;    /* AF_INET, AF_INET6 */
    uint8_t bytes[16]; /* 4 of them for AF_INET, the others 0 */
};
struct ip_list {
    _Atomic unsigned refs;
    size_t count;
    struct ip items[];
};

bool ip_eq(const struct ip *a, const struct ip *b);
/* bytes: 4 or 16, as the family has. */
struct ip ip_of(int family, const void *bytes);
void ip_sockaddr(const struct ip *a, uint16_t port, struct sockaddr_storage *ret,
                 socklen_t *ret_len);

/* Gathers a list: each address once, in the order of coming. */
struct ip_set {
    size_t count, left_out;
    struct ip items[IP_LIST_MAX];
};
void ip_set_add(struct ip_set *s, struct ip a);

/* NULL: no memory. */
struct ip_list *ip_list_new(const struct ip *items, size_t count);
struct ip_list *ip_list_ref(struct ip_list *l);
void ip_list_unref(struct ip_list *l); /* NULL is fine */

#endif

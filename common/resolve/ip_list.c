#include "common/resolve/ip_list.h"

#include "common/base/mem.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

bool ip_eq(const struct ip *a, const struct ip *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

struct ip ip_of(int family, const void *bytes)
{
    struct ip a = {.family = (uint8_t)family};
    memcpy(a.bytes, bytes, family == AF_INET ? 4 : 16);
    return a;
}

void ip_sockaddr(const struct ip *a, uint16_t port, struct sockaddr_storage *ret,
                 socklen_t *ret_len)
{
    struct sockaddr_storage ss = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ss;
    if (a->family == AF_INET) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        memcpy(&v4->sin_addr, a->bytes, 4);
        *ret_len = sizeof *v4;
    } else {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        memcpy(&v6->sin6_addr, a->bytes, 16);
        *ret_len = sizeof *v6;
    }
    *ret = ss;
}

void ip_set_add(struct ip_set *s, struct ip a)
{
    for (size_t i = 0; i < s->count; i++) {
        if (ip_eq(&s->items[i], &a))
            return;
    }
    if (s->count == IP_LIST_MAX)
        s->left_out++;
    else
        s->items[s->count++] = a;
}

struct ip_list *ip_list_new(const struct ip *items, size_t count)
{
    struct ip_list *l = mem_alloc(sizeof *l + count * sizeof l->items[0]);
    if (l == NULL)
        return NULL;
    l->refs = 1;
    l->count = count;
    if (count > 0)
        memcpy(l->items, items, count * sizeof l->items[0]);
    return l;
}

struct ip_list *ip_list_ref(struct ip_list *l)
{
    l->refs++;
    return l;
}

void ip_list_unref(struct ip_list *l)
{
    if (l != NULL && --l->refs == 0)
        mem_free(l);
}

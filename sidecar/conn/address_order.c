#include "sidecar/conn/address_order.h"

#include "common/base/mem.h"

#include <string.h>

/* RFC 6724 section 2.1. Rules that need a source address are left to the network: an address that
 * cannot be reached from here fails at once, and the next has its turn. */
static const struct {
    uint8_t prefix[4]; /* of IPv6; 32 bits are enough for all that counts */
    unsigned bits;
    int precedence;
} table[] = {
    {{0xfc}, 7, 3},        /* unique local */
    {{0x20, 0x01}, 32, 5}, /* Teredo */
    {{0x20, 0x02}, 16, 30} /* 6to4 */
};

static bool has_prefix(const uint8_t *bytes, const uint8_t *prefix, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(bytes, prefix, whole) != 0)
        return false;
    return rest == 0 || (bytes[whole] ^ prefix[whole]) >> (8 - rest) == 0;
}

static int precedence(const struct ip *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t loopback[16] = {[15] = 1};
    if (a->family == AF_INET || memcmp(a->bytes, mapped, sizeof mapped) == 0)
        return 35;
    if (memcmp(a->bytes, loopback, sizeof loopback) == 0)
        return 50;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (has_prefix(a->bytes, table[i].prefix, table[i].bits))
            return table[i].precedence;
    }
    return 40;
}

/* Stable: equals stay in the order in which they came. Lists are short. */
static void sort(struct ip *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct ip one = items[i];
        size_t at = i;
        for (; at > 0 && precedence(&items[at - 1]) < precedence(&one); at--)
            items[at] = items[at - 1];
        items[at] = one;
    }
}

/* The first one of the family from `from` on; count when there is none. */
static size_t find_family(const struct ip *items, size_t from, size_t count, uint8_t family)
{
    while (from < count && items[from].family != family)
        from++;
    return from;
}

/* Families in turn, from `family` on while there are any of it. */
static void interleave(struct ip *items, size_t count, uint8_t family)
{
    for (size_t i = 0; i < count; i++) {
        size_t from = find_family(items, i, count, family);
        if (from == count)
            return; /* the rest is of one family */
        struct ip one = items[from];
        memmove(&items[i + 1], &items[i], (from - i) * sizeof items[0]);
        items[i] = one;
        family = one.family == AF_INET ? AF_INET6 : AF_INET;
    }
}

static bool holds(const struct address_order *o, const struct ip *a)
{
    for (size_t i = 0; i < o->count; i++) {
        if (ip_eq(&o->items[i], a))
            return true;
    }
    return false;
}

/* After an address of one family the other has its turn. */
static void arrange(struct address_order *o)
{
    struct ip *rest = o->items + o->tried;
    size_t count = o->count - o->tried;
    if (count == 0)
        return;
    sort(rest, count);
    uint8_t family = rest[0].family;
    if (o->tried > 0)
        family = rest[-1].family == AF_INET ? AF_INET6 : AF_INET;
    interleave(rest, count, family);
}

err_t address_order_add(struct address_order *o, const struct ip_list *more)
{
    struct ip *items = mem_resize(o->items, (o->count + more->count) * sizeof *items);
    if (items == NULL)
        return ERR_NO_MEMORY;
    o->items = items;
    for (size_t i = 0; i < more->count; i++) {
        if (!holds(o, &more->items[i]))
            items[o->count++] = more->items[i];
    }
    arrange(o);
    return ERR_OK;
}

const struct ip *address_order_next(struct address_order *o)
{
    return o->tried < o->count ? &o->items[o->tried++] : NULL;
}

size_t address_order_left(const struct address_order *o)
{
    return o->count - o->tried;
}

void address_order_done(struct address_order *o)
{
    mem_free(o->items);
    *o = (struct address_order){.items = NULL};
}

uint64_t address_order_delay(size_t left, uint64_t remaining_ms)
{
    uint64_t share = remaining_ms / (left + 1);
    if (share > ATTEMPT_DELAY_MS)
        return ATTEMPT_DELAY_MS;
    return share > ATTEMPT_DELAY_MIN_MS ? share : ATTEMPT_DELAY_MIN_MS;
}

/* Messages of share.sock: what is taken can be said again, and says the same. */
#include "common/share/share_message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_same(const struct share_message *a, const struct share_message *b)
{
    check(a->type == b->type);
    switch (a->type) {
    case SHARE_HELLO:
        check(slice_eq(a->hello.program, b->hello.program));
        check(slice_eq(a->hello.spiffe_id, b->hello.spiffe_id) && a->hello.spiffe_id.len > 0);
        check(slice_eq(a->hello.name, b->hello.name));
        break;
    case SHARE_WELCOME:
        check(slice_eq(a->welcome.program, b->welcome.program));
        check(a->welcome.longest_life_s == b->welcome.longest_life_s &&
              a->welcome.longest_life_s >= 0);
        break;
    case SHARE_CACHE:
    case SHARE_CHANGED:
        check(a->cache.generation == b->cache.generation);
        break;
    case SHARE_REFUSED:
        check(slice_eq(a->refused.reason, b->refused.reason));
        check(slice_eq(a->refused.text, b->refused.text));
        break;
    case SHARE_PAGE:
    case SHARE_OTHER:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct share_message m, again;
    struct share_packet packet;
    struct why why = {0};
    if (share_decode(slice_of(data, size), &m, &why) != ERR_OK) {
        check(why.err != ERR_OK);
        return 0;
    }
    check(share_encode(&m, &packet, &why) == ERR_OK);
    check(packet.len <= size && packet.descriptor == -1);
    check(share_decode(slice_of(packet.bytes, packet.len), &again, &why) == ERR_OK);
    check_same(&m, &again);
    return 0;
}

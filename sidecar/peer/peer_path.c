#include "sidecar/peer/peer_path.h"

#include "common/base/mem.h"

#include <assert.h>

void peer_link_set(struct peer_link *link, const struct svid_link *from)
{
    assert(from->serial.len <= sizeof link->serial);
    memcpy(link->issuer, from->issuer, sizeof link->issuer);
    memcpy(link->serial, from->serial.data, from->serial.len);
    link->serial_len = (uint8_t)from->serial.len;
}

struct peer_path *peer_path_new(const struct svid_peer *seen)
{
    assert(seen->path_len > 0);
    struct peer_path *path = mem_alloc(sizeof *path + seen->path_len * sizeof path->link[0]);
    if (path == NULL)
        return NULL;
    path->id = revocation_id_of(seen->id.text);
    path->count = (uint8_t)seen->path_len;
    for (size_t i = 0; i < seen->path_len; i++)
        peer_link_set(&path->link[i], &seen->path[i]);
    return path;
}

void peer_path_free(struct peer_path *path)
{
    mem_free(path);
}

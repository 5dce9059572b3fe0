#include "sidecar/peer_path.h"

#include "common/mem.h"

#include <assert.h>

struct peer_path *peer_path_new(const struct svid_peer *seen)
{
    assert(seen->path_len > 0);
    struct peer_path *path = mem_alloc(sizeof *path + seen->path_len * sizeof path->link[0]);
    if (path == NULL)
        return NULL;
    path->id = revocation_id_of(seen->id.text);
    path->count = (uint8_t)seen->path_len;
    for (size_t i = 0; i < seen->path_len; i++) {
        const struct svid_link *from = &seen->path[i];
        struct peer_link *to = &path->link[i];
        assert(from->serial.len <= sizeof to->serial);
        memcpy(to->issuer, from->issuer, sizeof to->issuer);
        memcpy(to->serial, from->serial.data, from->serial.len);
        to->serial_len = (uint8_t)from->serial.len;
    }
    return path;
}

void peer_path_free(struct peer_path *path)
{
    mem_free(path);
}

/* What can be seen of a connection from outside: its state (states.def), and its row in `conns`.
 * Plain data. */
#ifndef SPINDLE_SIDECAR_CONN_CONN_VIEW_H
#define SPINDLE_SIDECAR_CONN_CONN_VIEW_H

#include "sidecar/config/config.h"

enum conn_state {
#define S(name, deadline, text) CONN_##name,
#include "sidecar/conn/states.def"
#undef S
    CONN_STATES
};
const char *conn_state_name(enum conn_state state); /* "relay" */

/* What `conns` shows; a copy, so that it is safe to keep. */
struct conn_view {
    uint64_t id;
    enum route_direction direction;
    enum conn_state state;
    char from[ADDRESS_TEXT_LEN];
    char forward[ADDRESS_TEXT_LEN];
    char peer_id[SPIFFEID_MAX + 1]; /* "" before the handshake */
    uint64_t age_ms;
    uint64_t bytes_to_app, bytes_from_app; /* the app beside this sidecar */
};

#endif

#include "sidecar/conn/conn_view.h"

const char *conn_state_name(enum conn_state state)
{
    static const char *const names[CONN_STATES] = {
#define S(name, deadline, text) [CONN_##name] = #name,
#include "sidecar/conn/states.def"
#undef S
    };
    return state < CONN_STATES ? names[state] : "?";
}

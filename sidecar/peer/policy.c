#include "sidecar/peer/policy.h"

#include <stdio.h>

size_t policy_find(const struct route_config *route, const struct spiffeid *id)
{
    size_t i = 0;
    while (i < route->rule_count && !spiffeid_rule_matches(&route->rules[i], id))
        i++;
    return i;
}

void policy_list_text(const struct route_config *route, const char *between, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < route->rule_count && len + 1 < size; i++) {
        int n = snprintf(out + len, size - len, "%s%s", i > 0 ? between : "", route->peers[i]);
        len = n > 0 ? len + (size_t)n : size;
    }
}

err_t policy_check(const struct route_config *route, const struct spiffeid *id, struct why *why)
{
    if (policy_find(route, id) < route->rule_count)
        return ERR_OK;
    bool inbound = route->direction == ROUTE_INBOUND;
    char list[256];
    policy_list_text(route, ", ", list, sizeof list);
    return why_set(why, ERR_PEER_NOT_ALLOWED, "%.*s is not in `%s` (%s)", SLICE_ARG(id->text),
                   inbound ? "allow" : "expect", list[0] != '\0' ? list : "empty: admits nobody");
}

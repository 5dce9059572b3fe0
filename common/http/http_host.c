#include "common/http/http_host.h"

#include "common/resolve/dns_name.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_LEN 255u /* of a DNS name, RFC 1035 section 3.1 */

bool http_host_matters(const struct address *a)
{
    return a->kind == ADDRESS_IP && address_is_loopback(a);
}

/* Only digits, at most five. */
static bool is_port(struct slice s)
{
    bool ok = s.len <= 5;
    for (size_t i = 0; ok && i < s.len; i++)
        ok = s.data[i] >= '0' && s.data[i] <= '9';
    return ok;
}

/* NUL-terminated name of `host` without port, without brackets. False: malformed. */
static bool name_of(struct slice host, char out[static NAME_MAX_LEN + 1], bool *ret_brackets)
{
    const uint8_t *end = memchr(host.data, ']', host.len);
    *ret_brackets = host.data[0] == '[' && end != NULL;
    size_t skip = *ret_brackets ? 1 : 0;
    const uint8_t *colon = *ret_brackets ? end + 1 : memchr(host.data, ':', host.len);
    const uint8_t *stop = host.data + host.len;
    if (colon == NULL || colon > stop)
        colon = stop;
    struct slice port = slice_of(colon, (size_t)(stop - colon));
    if (port.len > 0 && (port.data[0] != ':' || !is_port(slice_of(port.data + 1, port.len - 1))))
        return false;
    size_t len = (size_t)((*ret_brackets ? end : colon) - host.data) - skip;
    if (len > NAME_MAX_LEN || memchr(host.data, '\0', host.len) != NULL)
        return false;
    memcpy(out, host.data + skip, len);
    out[len] = '\0';
    if (len > 1 && out[len - 1] == '.') /* the root that every name ends in */
        out[len - 1] = '\0';
    return true;
}

static bool is_address(const char *name, bool brackets)
{
    struct in6_addr room;
    return inet_pton(brackets ? AF_INET6 : AF_INET, name, &room) == 1;
}

bool http_host_is_ours(struct slice host, char *const *names)
{
    char name[NAME_MAX_LEN + 1];
    bool brackets = false;
    if (host.len == 0)
        return true;
    if (!name_of(host, name, &brackets))
        return false;
    if (is_address(name, brackets))
        return true;
    if (brackets)
        return false;
    for (; names != NULL && *names != NULL; names++) {
        if (strcasecmp(name, *names) == 0)
            return true;
    }
    return dns_name_is_localhost(name);
}

bool http_host_is_bare(struct slice host)
{
    char name[NAME_MAX_LEN + 1];
    bool brackets = false, letter = false;
    if (host.len == 0 || !name_of(host, name, &brackets) || brackets)
        return false;
    for (const char *c = name; *c != '\0'; c++) {
        bool alpha = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
        letter = letter || alpha;
        if (!alpha && !(*c >= '0' && *c <= '9') && *c != '-' && *c != '_')
            return false;
    }
    return letter; /* digits alone are an address to some resolvers */
}

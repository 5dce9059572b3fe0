#include "common/loop/address.h"

#include "common/resolve/dns_name.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#define UNIX_PATH_MAX_LEN (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
#define DNS_NAME_MAX 253
#define DNS_LABEL_MAX 63

static struct slice skip(struct slice text, size_t n)
{
    return slice_of(text.data + n, text.len - n);
}

static void set_host(struct address *a, struct slice host)
{
    memcpy(a->host, host.data, host.len);
    a->host[host.len] = '\0';
}

static bool is_printable(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < ' ' || text.data[i] == 0x7f)
            return false;
    }
    return true;
}

static err_t parse_unix(struct slice path, struct address *ret, struct why *why)
{
    if (path.len < 2 || path.data[0] != '/')
        return why_set(why, ERR_CONFIG, "the path of a Unix socket must be absolute");
    if (path.data[path.len - 1] == '/')
        return why_set(why, ERR_CONFIG, "the path of a Unix socket must not end in '/'");
    if (path.len > UNIX_PATH_MAX_LEN)
        return why_set(why, ERR_CONFIG,
                       "the path of a Unix socket may have at most %zu bytes, this one has %zu",
                       UNIX_PATH_MAX_LEN, path.len);
    *ret = (struct address){.kind = ADDRESS_UNIX};
    set_host(ret, path);
    return ERR_OK;
}

static err_t parse_port(struct slice text, uint16_t *ret, struct why *why)
{
    uint32_t port = 0;
    bool ok = text.len > 0 && text.len <= 5;
    for (size_t i = 0; ok && i < text.len; i++) {
        ok = text.data[i] >= '0' && text.data[i] <= '9';
        port = port * 10 + (uint32_t)(text.data[i] - '0');
    }
    if (!ok || port > UINT16_MAX)
        return why_set(why, ERR_CONFIG, "the port must be a number from 0 to 65535");
    *ret = (uint16_t)port;
    return ERR_OK;
}

static bool is_ip(struct slice host, int family)
{
    char text[INET6_ADDRSTRLEN + 1];
    struct in6_addr out;
    if (host.len == 0 || host.len >= sizeof text)
        return false;
    memcpy(text, host.data, host.len);
    text[host.len] = '\0';
    return inet_pton(family, text, &out) == 1;
}

static bool is_name_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* Letters, digits, '-', '_' in labels of 1 to 63; a last label of digits alone is no name but a
 * broken IPv4 address. */
static bool is_name(struct slice host)
{
    size_t label = 0;
    bool digits = true;
    if (host.len == 0 || host.len > DNS_NAME_MAX)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.data[i];
        if (c == '.') {
            if (label == 0 || host.data[i - 1] == '-')
                return false;
            label = 0;
            digits = digits && i + 1 == host.len;
            if (i + 1 < host.len)
                digits = true;
            continue;
        }
        if (!is_name_byte(c) || (label == 0 && c == '-') || ++label > DNS_LABEL_MAX)
            return false;
        digits = digits && c >= '0' && c <= '9';
    }
    return !digits && host.data[host.len - 1] != '-';
}

/* "host:port" or "[v6]:port"; names only when the caller allows them. */
static err_t parse_inet(struct slice text, bool names, struct address *ret, struct why *why)
{
    size_t colon = text.len;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return why_set(why, ERR_CONFIG, "the port is missing");
    struct slice host = slice_of(text.data, colon - 1);
    struct address a = {.kind = ADDRESS_IP};
    err_t err = parse_port(skip(text, colon), &a.port, why);
    if (err != ERR_OK)
        return err;
    if (host.len == 0)
        return why_set(why, ERR_CONFIG, "the host is missing (0.0.0.0 stands for all addresses)");
    if (host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']') {
        host = slice_of(host.data + 1, host.len - 2);
        if (!is_ip(host, AF_INET6))
            return why_set(why, ERR_CONFIG, "no IPv6 address between the brackets");
    } else if (memchr(host.data, ':', host.len) != NULL) {
        return why_set(why, ERR_CONFIG, "an IPv6 address stands in brackets, as in [::1]:8080");
    } else if (!is_ip(host, AF_INET)) {
        if (!names)
            return why_set(why, ERR_CONFIG, "the host must be an IP address");
        if (!is_name(host))
            return why_set(why, ERR_CONFIG, "the host is neither an IP address nor a DNS name");
        a.kind = ADDRESS_NAME;
    }
    set_host(&a, host);
    *ret = a;
    return ERR_OK;
}

/* "https://web.example:8443/" -> what would have been right. */
static err_t refuse_scheme(struct slice text, struct why *why)
{
    const uint8_t *colon = memmem(text.data, text.len, "://", 3);
    struct slice scheme = slice_of(text.data, (size_t)(colon - text.data));
    struct slice rest = skip(text, scheme.len + 3);
    size_t host = 0;
    while (host < rest.len && rest.data[host] != '/' && rest.data[host] != '?')
        host++;
    bool port = host > 0 && rest.data[host - 1] != ']' && memchr(rest.data, ':', host) != NULL;
    return why_set(why, ERR_CONFIG, "an address has no scheme (%.*s://) and no path: write %.*s%s",
                   scheme.len < 16 ? (int)scheme.len : 16, (const char *)scheme.data,
                   host < 128 ? (int)host : 128, (const char *)rest.data, port ? "" : ":PORT");
}

err_t address_parse(struct slice text, struct address *ret, struct why *why)
{
    if (text.len == 0)
        return why_set(why, ERR_CONFIG, "the address is empty");
    if (!is_printable(text))
        return why_set(why, ERR_CONFIG, "the address holds a control character");
    if (text.data[0] == '/')
        return parse_unix(text, ret, why);
    if (slice_starts_with(text, "unix://"))
        return parse_unix(skip(text, 7), ret, why);
    if (memmem(text.data, text.len, "://", 3) != NULL)
        return refuse_scheme(text, why);
    return parse_inet(text, true, ret, why);
}

err_t address_parse_endpoint(struct slice text, struct address *ret, struct why *why)
{
    if (!is_printable(text) || memchr(text.data, '%', text.len) != NULL ||
        memchr(text.data, '?', text.len) != NULL || memchr(text.data, '#', text.len) != NULL)
        return why_set(why, ERR_CONFIG,
                       "escapes, query, fragment and control characters are not allowed");
    if (slice_starts_with(text, "unix:///"))
        return parse_unix(skip(text, 7), ret, why);
    if (slice_starts_with(text, "unix:/") && !slice_starts_with(text, "unix://"))
        return parse_unix(skip(text, 5), ret, why);
    if (slice_starts_with(text, "unix:"))
        return why_set(why, ERR_CONFIG,
                       "expected unix:// and an absolute path, as in "
                       "unix:///run/spindle/public/api.sock");
    if (!slice_starts_with(text, "tcp://"))
        return why_set(why, ERR_CONFIG, "expected unix:///PATH or tcp://IP:PORT");
    struct address a;
    err_t err = parse_inet(skip(text, 6), false, &a, why);
    if (err == ERR_OK && a.port == 0)
        err = why_set(why, ERR_CONFIG, "port 0 cannot be dialled");
    if (err == ERR_OK)
        *ret = a;
    return err;
}

static err_t sockaddr_inet(const struct address *a, struct sockaddr_storage *ret,
                           socklen_t *ret_len)
{
    struct sockaddr_storage ss = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ss;
    if (inet_pton(AF_INET, a->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(a->port);
        *ret_len = sizeof *v4;
    } else if (inet_pton(AF_INET6, a->host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(a->port);
        *ret_len = sizeof *v6;
    } else {
        return ERR_INTERNAL;
    }
    *ret = ss;
    return ERR_OK;
}

err_t address_sockaddr(const struct address *a, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    if (a->kind == ADDRESS_IP)
        return sockaddr_inet(a, ret, ret_len);
    size_t len = strlen(a->host);
    if (a->kind != ADDRESS_UNIX || len > UNIX_PATH_MAX_LEN)
        return ERR_INTERNAL;
    struct sockaddr_storage ss = {0};
    struct sockaddr_un *un = (struct sockaddr_un *)&ss;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, a->host, len + 1);
    *ret = ss;
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return ERR_OK;
}

bool address_is_any(const struct address *a)
{
    return a->kind == ADDRESS_IP && (strcmp(a->host, "0.0.0.0") == 0 || strcmp(a->host, "::") == 0);
}

bool address_is_loopback(const struct address *a)
{
    struct in6_addr v6;
    struct in_addr v4;
    switch (a->kind) {
    case ADDRESS_UNIX:
        return true;
    case ADDRESS_NAME:
        return dns_name_is_localhost(a->host);
    case ADDRESS_IP:
        break;
    }
    if (inet_pton(AF_INET, a->host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == IN_LOOPBACKNET;
    if (inet_pton(AF_INET6, a->host, &v6) != 1)
        return false;
    return IN6_IS_ADDR_LOOPBACK(&v6) ||
           (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == IN_LOOPBACKNET);
}

const char *address_text(const struct address *a, char out[static ADDRESS_TEXT_LEN])
{
    if (a->kind == ADDRESS_UNIX)
        snprintf(out, ADDRESS_TEXT_LEN, "unix:%s", a->host);
    else if (strchr(a->host, ':') != NULL)
        snprintf(out, ADDRESS_TEXT_LEN, "[%s]:%u", a->host, a->port);
    else
        snprintf(out, ADDRESS_TEXT_LEN, "%s:%u", a->host, a->port);
    return out;
}

const char *sockaddr_text(const struct sockaddr *sa, char out[static ADDRESS_TEXT_LEN])
{
    char ip[INET6_ADDRSTRLEN] = "";
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
        inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip);
        snprintf(out, ADDRESS_TEXT_LEN, "%s:%u", ip, ntohs(v4->sin_port));
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;
        inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof ip);
        snprintf(out, ADDRESS_TEXT_LEN, "[%s]:%u", ip, ntohs(v6->sin6_port));
    } else if (sa->sa_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)sa;
        snprintf(out, ADDRESS_TEXT_LEN, "unix:%.*s", (int)UNIX_PATH_MAX_LEN, un->sun_path);
    } else {
        snprintf(out, ADDRESS_TEXT_LEN, "family %d", sa->sa_family);
    }
    return out;
}

uint16_t sockaddr_port(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)sa)->sin_port);
    if (sa->sa_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)sa)->sin6_port);
    return 0;
}

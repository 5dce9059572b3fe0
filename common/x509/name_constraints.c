#include "common/x509/name_constraints.h"

#include "common/encode/der.h"
#include "common/encode/oid.h"

#include <arpa/inet.h>
#include <stdio.h>

enum name_tag {
    NAME_MAIL = DER_CONTEXT(1),
    NAME_DNS = DER_CONTEXT(2),
    NAME_DIRECTORY = DER_CONTEXT_CONSTRUCTED(4),
    NAME_URI = DER_CONTEXT(6),
    NAME_IP = DER_CONTEXT(7),
};

struct name {
    unsigned tag;
    struct slice value;
};

/* What is walked: the two lists of one authority, and what may still be spent. */
struct check {
    struct slice permitted, excluded; /* GeneralSubtrees, content */
    unsigned *budget;
};

enum match { MATCH_NO, MATCH_YES, MATCH_CANNOT };

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool same_text(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    return true;
}

static struct slice tail_of(struct slice s, size_t from)
{
    return slice_of(s.data + from, s.len - from);
}

static struct slice without_final_dot(struct slice s)
{
    return s.len > 0 && s.data[s.len - 1] == '.' ? slice_of(s.data, s.len - 1) : s;
}

/* "a.example.org" is below "example.org" and below ".example.org"; neither is below itself. */
static bool is_below(struct slice host, struct slice domain)
{
    if (domain.len > 0 && domain.data[0] == '.')
        domain = tail_of(domain, 1);
    if (host.len <= domain.len + 1 || host.data[host.len - domain.len - 1] != '.')
        return false;
    return same_text(tail_of(host, host.len - domain.len), domain);
}

/* URI and mail hosts: a constraint is one host, or with a leading dot all hosts below it. */
static bool host_matches(struct slice host, struct slice base)
{
    host = without_final_dot(host);
    base = without_final_dot(base);
    if (base.len == 0)
        return true;
    return base.data[0] == '.' ? is_below(host, base) : same_text(host, base);
}

/* DNS: a constraint is a domain and all below it. */
static bool dns_matches(struct slice name, struct slice base, bool excluded)
{
    name = without_final_dot(name);
    base = without_final_dot(base);
    if (base.len == 0 || is_below(name, base) || same_text(name, base))
        return true;
    /* *.example.org also covers an excluded a.example.org. */
    bool wildcard = name.len > 2 && name.data[0] == '*' && name.data[1] == '.';
    return excluded && wildcard && is_below(base, tail_of(name, 1));
}

static size_t find(struct slice s, size_t from, const char *any)
{
    size_t i = from;
    while (i < s.len && (s.data[i] == 0 || strchr(any, s.data[i]) == NULL))
        i++;
    return i;
}

/* The host of scheme://[user@]host[:port][/...]; false when there is none or it is an address. */
static bool uri_host(struct slice uri, struct slice *ret_host)
{
    size_t colon = find(uri, 0, ":/?#");
    if (uri.len - colon < 3 || memcmp(uri.data + colon, "://", 3) != 0)
        return false;
    struct slice authority = tail_of(uri, colon + 3);
    authority.len = find(authority, 0, "/?#");
    for (size_t at; (at = find(authority, 0, "@")) < authority.len;)
        authority = tail_of(authority, at + 1);
    struct slice host = slice_of(authority.data, find(authority, 0, ":"));
    char text[INET_ADDRSTRLEN] = "";
    struct in_addr address;
    if (host.len == 0 || host.data[0] == '[')
        return false;
    if (host.len < sizeof text)
        memcpy(text, host.data, host.len);
    if (inet_pton(AF_INET, text, &address) == 1)
        return false;
    *ret_host = host;
    return true;
}

/* RFC 5280: a URI whose host is not a domain name cannot be judged, so it is refused. */
static enum match uri_match(struct slice uri, struct slice base)
{
    struct slice host;
    if (!uri_host(uri, &host))
        return MATCH_CANNOT;
    return host_matches(host, base) ? MATCH_YES : MATCH_NO;
}

static enum match mail_match(struct slice mail, struct slice base)
{
    size_t at = find(mail, 0, "@");
    if (at == mail.len || find(mail, at + 1, "@") != mail.len)
        return MATCH_CANNOT;
    struct slice host = tail_of(mail, at + 1);
    size_t base_at = find(base, 0, "@");
    if (base_at == base.len)
        return host_matches(host, base) ? MATCH_YES : MATCH_NO;
    bool same = slice_eq(slice_of(mail.data, at), slice_of(base.data, base_at)) &&
                same_text(host, tail_of(base, base_at + 1));
    return same ? MATCH_YES : MATCH_NO;
}

/* The base is an address and a mask, together twice the address. */
static enum match ip_match(struct slice ip, struct slice base)
{
    if (base.len != 8 && base.len != 32)
        return MATCH_CANNOT;
    if (base.len != 2 * ip.len)
        return MATCH_NO;
    for (size_t i = 0; i < ip.len; i++)
        if (((ip.data[i] ^ base.data[i]) & base.data[ip.len + i]) != 0)
            return MATCH_NO;
    return MATCH_YES;
}

static bool plain_string(unsigned tag)
{
    return tag == DER_UTF8 || tag == DER_PRINTABLE || tag == DER_IA5;
}

/* Equal but for case, spaces and string type. Types that are not read count as equal. */
static bool loosely_equal(unsigned tag_a, struct slice a, unsigned tag_b, struct slice b)
{
    if (!plain_string(tag_a) || !plain_string(tag_b))
        return true;
    size_t i = 0, j = 0;
    for (;;) {
        while (i < a.len && a.data[i] == ' ')
            i++;
        while (j < b.len && b.data[j] == ' ')
            j++;
        if (i == a.len || j == b.len)
            return i == a.len && j == b.len;
        if (lower(a.data[i++]) != lower(b.data[j++]))
            return false;
    }
}

static bool rdn_loosely_equal(struct slice a, struct slice b)
{
    struct der_reader x = der_reader_of(a), y = der_reader_of(b);
    while (x.rest.len > 0 && y.rest.len > 0) {
        struct der_reader p = der_enter(&x, DER_SEQUENCE), q = der_enter(&y, DER_SEQUENCE);
        if (!slice_eq(der_get(&p, DER_OID), der_get(&q, DER_OID)))
            return false;
        unsigned tag_p = der_peek(&p), tag_q = der_peek(&q);
        struct slice value_p = der_get(&p, tag_p), value_q = der_get(&q, tag_q);
        if (x.bad || y.bad || p.bad || q.bad)
            return true;
        if (!loosely_equal(tag_p, value_p, tag_q, value_q))
            return false;
    }
    return x.rest.len == 0 && y.rest.len == 0;
}

/* The base's RDNs must be the first ones of the name. */
static enum match directory_match(struct slice name, struct slice base, bool excluded)
{
    struct der_reader name_whole = der_reader_of(name), base_whole = der_reader_of(base);
    struct der_reader n = der_enter(&name_whole, DER_SEQUENCE);
    struct der_reader b = der_enter(&base_whole, DER_SEQUENCE);
    if (!der_at_end(&base_whole) || !der_at_end(&name_whole))
        return MATCH_CANNOT;
    while (b.rest.len > 0) {
        if (n.rest.len == 0)
            return MATCH_NO;
        struct slice rdn_n = der_get(&n, DER_SET), rdn_b = der_get(&b, DER_SET);
        if (n.bad || b.bad)
            return MATCH_CANNOT;
        bool same = excluded ? rdn_loosely_equal(rdn_n, rdn_b) : slice_eq(rdn_n, rdn_b);
        if (!same)
            return MATCH_NO;
    }
    return MATCH_YES;
}

static enum match match_name(const struct name *name, struct slice base, bool excluded)
{
    switch (name->tag) {
    case NAME_URI:
        return uri_match(name->value, base);
    case NAME_DNS:
        return dns_matches(name->value, base, excluded) ? MATCH_YES : MATCH_NO;
    case NAME_IP:
        return ip_match(name->value, base);
    case NAME_MAIL:
        return mail_match(name->value, base);
    case NAME_DIRECTORY:
        return directory_match(name->value, base, excluded);
    default:
        return MATCH_CANNOT; /* a kind we do not read */
    }
}

/* The name for an error line: its kind, and its text where it is text. */
static const char *name_text(const struct name *name, char *out, size_t size)
{
    char raw[96];
    size_t n = name->value.len < sizeof raw - 1 ? name->value.len : sizeof raw - 1;
    for (size_t i = 0; i < n; i++)
        raw[i] =
            (char)(name->value.data[i] >= 0x20 && name->value.data[i] < 0x7f ? name->value.data[i]
                                                                             : '?');
    raw[n] = '\0';
    switch (name->tag) {
    case NAME_URI:
        snprintf(out, size, "URI \"%s\"", raw);
        break;
    case NAME_DNS:
        snprintf(out, size, "DNS name \"%s\"", raw);
        break;
    case NAME_MAIL:
        snprintf(out, size, "mail address \"%s\"", raw);
        break;
    case NAME_DIRECTORY:
        snprintf(out, size, "directory name");
        break;
    case NAME_IP:
        snprintf(out, size, "IP address");
        break;
    default:
        snprintf(out, size, "name of kind [%u]", name->tag & 0x1fu);
        break;
    }
    return out;
}

static err_t refuse(struct why *why, const struct name *name, const char *what)
{
    char text[160];
    return why_set(why, ERR_CERT_NAME_CONSTRAINTS, "%s %s", name_text(name, text, sizeof text),
                   what);
}

/* One name against one list. *ret_any: the list has a constraint of the name's kind. */
static err_t walk_list(const struct check *c, const struct name *name, bool excluded, bool *ret_any,
                       bool *ret_match, struct why *why)
{
    struct der_reader list = der_reader_of(excluded ? c->excluded : c->permitted);
    while (list.rest.len > 0) {
        struct der_reader tree = der_enter(&list, DER_SEQUENCE);
        unsigned tag = der_peek(&tree);
        struct slice base = der_get(&tree, tag);
        if (!der_at_end(&tree)) /* minimum and maximum, which RFC 5280 forbids, end here too */
            return why_set(why, ERR_CERT_NAME_CONSTRAINTS, "a constraint is malformed");
        if ((*c->budget)-- == 0) {
            *c->budget = 0;
            return why_set(why, ERR_CERT_NAME_CONSTRAINTS, "more than %u comparisons are needed",
                           NAME_COMPARISONS_MAX);
        }
        if (tag != name->tag)
            continue;
        *ret_any = true;
        enum match m = match_name(name, base, excluded);
        if (m == MATCH_CANNOT)
            return refuse(why, name, "cannot be compared with a constraint of its kind");
        *ret_match = *ret_match || m == MATCH_YES;
    }
    return ERR_OK;
}

static err_t check_name(const struct check *c, const struct name *name, struct why *why)
{
    bool any = false, match = false;
    err_t err = walk_list(c, name, true, &any, &match, why);
    if (err != ERR_OK)
        return err;
    if (match)
        return refuse(why, name, "is excluded");
    any = false;
    err = walk_list(c, name, false, &any, &match, why);
    if (err != ERR_OK)
        return err;
    return any && !match ? refuse(why, name, "is not among the permitted") : ERR_OK;
}

/* The subject, and mail addresses in it: old certificates have them there and nowhere else. */
static err_t check_subject(const struct check *c, const struct x509 *cert, struct why *why)
{
    struct der_reader whole = der_reader_of(cert->subject);
    struct der_reader rdns = der_enter(&whole, DER_SEQUENCE);
    if (rdns.rest.len == 0)
        return ERR_OK;
    err_t err = check_name(c, &(struct name){NAME_DIRECTORY, cert->subject}, why);
    while (err == ERR_OK && !rdns.bad && rdns.rest.len > 0) {
        struct der_reader rdn = der_enter(&rdns, DER_SET);
        while (err == ERR_OK && !rdn.bad && rdn.rest.len > 0) {
            struct der_reader attribute = der_enter(&rdn, DER_SEQUENCE);
            bool mail = OID_IS(der_get(&attribute, DER_OID), OID_EMAIL_ADDRESS);
            struct slice value = der_get(&attribute, der_peek(&attribute));
            if (mail)
                err = check_name(c, &(struct name){NAME_MAIL, value}, why);
        }
    }
    return err;
}

err_t name_constraints_check(const struct x509 *ca, const struct x509 *below, unsigned *budget,
                             struct why *why)
{
    struct check c = {.budget = budget};
    struct der_reader trees = der_reader_of(ca->name_constraints);
    der_get_optional(&trees, DER_CONTEXT_CONSTRUCTED(0), &c.permitted);
    der_get_optional(&trees, DER_CONTEXT_CONSTRUCTED(1), &c.excluded);
    err_t err = check_subject(&c, below, why);
    struct der_reader names = der_reader_of(below->san);
    while (err == ERR_OK && names.rest.len > 0 && !names.bad) {
        struct name name = {.tag = der_peek(&names)};
        name.value = der_get(&names, name.tag);
        err = check_name(&c, &name, why);
    }
    return err;
}

#include "sidecar/peer/explain.h"

#include "common/base/nearest.h"
#include "sidecar/peer/policy.h"

#include <stdio.h>
#include <strings.h>

/* --- which rule is nearest -------------------------------------------------------------------- */

/* The next segment of a path such as "/ns/shop"; *rest goes behind it. */
static struct slice next_segment(struct slice *rest)
{
    const uint8_t *start = rest->data + 1; /* the '/' */
    const uint8_t *end = rest->len > 1 ? memchr(start, '/', rest->len - 1) : NULL;
    size_t len = end != NULL ? (size_t)(end - start) : rest->len - 1;
    *rest = slice_of(start + len, rest->len - 1 - len);
    return slice_of(start, len);
}

/* Path and trust domain of a rule, whose text is that of an ID but for the `*`. */
static void split(const struct spiffeid_rule *rule, struct slice *ret_domain,
                  struct slice *ret_path)
{
    static const char scheme[] = "spiffe://";
    struct slice rest =
        slice_of(rule->prefix.data + (sizeof scheme - 1), rule->prefix.len - (sizeof scheme - 1));
    const uint8_t *slash = memchr(rest.data, '/', rest.len);
    size_t len = slash != NULL ? (size_t)(slash - rest.data) : rest.len;
    *ret_domain = slice_of(rest.data, len);
    *ret_path = slice_of(rest.data + len, rest.len - len);
    if (rule->wildcard && ret_path->len > 0)
        ret_path->len--; /* the last '/' */
}

/* How many segments both begin with; what follows is left in the two paths. */
static size_t skip_common(struct slice *a, struct slice *b)
{
    size_t n = 0;
    while (a->len > 0 && b->len > 0) {
        struct slice rest_a = *a, rest_b = *b;
        if (!slice_eq(next_segment(&rest_a), next_segment(&rest_b)))
            break;
        *a = rest_a;
        *b = rest_b;
        n++;
    }
    return n;
}

static bool same_but_for_case(struct slice a, struct slice b)
{
    return a.len == b.len && strncasecmp((const char *)a.data, (const char *)b.data, a.len) == 0;
}

static size_t edits(struct slice a, struct slice b)
{
    char word[NEAREST_WORD_MAX + 1];
    struct nearest near = nearest_to(a);
    if (b.len > NEAREST_WORD_MAX)
        return SIZE_MAX;
    memcpy(word, b.data, b.len);
    word[b.len] = '\0';
    nearest_offer(&near, word);
    return near.distance;
}

struct likeness {
    bool same_domain;
    size_t common;   /* segments */
    size_t distance; /* of the first that differs, or of the trust domains */
};

static struct likeness compare(const struct spiffeid_rule *rule, const struct spiffeid *id)
{
    struct slice domain, path, own = id->path;
    split(rule, &domain, &path);
    struct likeness l = {.same_domain = slice_eq(domain, id->trust_domain)};
    if (!l.same_domain) {
        l.distance = edits(domain, id->trust_domain);
        return l;
    }
    l.common = skip_common(&path, &own);
    l.distance = path.len > 0 && own.len > 0 ? edits(next_segment(&path), next_segment(&own)) : 0;
    return l;
}

static bool is_nearer(const struct likeness *a, const struct likeness *b)
{
    if (a->same_domain != b->same_domain)
        return a->same_domain;
    if (a->common != b->common)
        return a->common > b->common;
    return a->distance < b->distance;
}

static size_t nearest_rule(const struct route_config *route, const struct spiffeid *id)
{
    struct likeness best = {.distance = SIZE_MAX};
    size_t at = route->rule_count > 0 ? 0 : route->rule_count;
    for (size_t i = 0; i < route->rule_count; i++) {
        struct likeness l = compare(&route->rules[i], id);
        if (i == 0 || is_nearer(&l, &best)) {
            best = l;
            at = i;
        }
    }
    return at;
}

/* --- what differs ----------------------------------------------------------------------------- */

static void say_rest(const struct spiffeid_rule *rule, struct slice path, struct slice own,
                     char *out, size_t size)
{
    if (path.len == 0 && own.len == 0) /* the ID of the folder that the wildcard is in */
        snprintf(out, size, "the rule wants at least one segment more behind it");
    else if (path.len == 0)
        snprintf(out, size, "the ID goes on with \"%.*s\" where the rule ends", SLICE_ARG(own));
    else if (own.len == 0)
        snprintf(out, size, "the ID ends where the rule goes on with \"%.*s%s\"", SLICE_ARG(path),
                 rule->wildcard ? "/*" : "");
}

static void say_difference(const struct spiffeid_rule *rule, const struct spiffeid *id, char *out,
                           size_t size)
{
    struct slice domain, path, own = id->path;
    split(rule, &domain, &path);
    if (!slice_eq(domain, id->trust_domain)) {
        snprintf(out, size, "trust domain \"%.*s\" in the ID, \"%.*s\" in the rule",
                 SLICE_ARG(id->trust_domain), SLICE_ARG(domain));
        return;
    }
    size_t n = skip_common(&path, &own);
    if (path.len == 0 || own.len == 0) {
        say_rest(rule, path, own, out, size);
        return;
    }
    struct slice wanted = next_segment(&path), found = next_segment(&own);
    snprintf(out, size, "segment %zu is \"%.*s\" in the ID, \"%.*s\" in the rule%s", n + 1,
             SLICE_ARG(found), SLICE_ARG(wanted),
             same_but_for_case(wanted, found) ? ": they differ in case alone" : "");
}

void explain_rules(const struct route_config *route, const struct spiffeid *id,
                   struct explain_rule *ret)
{
    ret->admits = policy_find(route, id);
    ret->nearest = route->rule_count;
    ret->differs[0] = '\0';
    if (ret->admits < route->rule_count)
        return;
    ret->nearest = nearest_rule(route, id);
    if (ret->nearest < route->rule_count)
        say_difference(&route->rules[ret->nearest], id, ret->differs, sizeof ret->differs);
}

/* --- the verdict ------------------------------------------------------------------------------ */

const char *explain_verdict_name(enum explain_verdict v)
{
    static const char *const names[] = {
        [EXPLAIN_ACCEPTED] = "accepted",     [EXPLAIN_NO_IDENTITY] = "no_identity",
        [EXPLAIN_NO_TRUST] = "no_trust",     [EXPLAIN_HELD] = "held",
        [EXPLAIN_NOT_LISTED] = "not_listed",
    };
    return names[v];
}

/* In the order in which a handshake would find out. */
enum explain_verdict explain_judge(const struct explain_peer *p)
{
    if (!p->has_identity)
        return EXPLAIN_NO_IDENTITY;
    if (!p->is_trusted)
        return EXPLAIN_NO_TRUST;
    if (p->checks_revocation && p->held.state == REVOCATION_REVOKED)
        return EXPLAIN_HELD;
    return p->accepting > 0 ? EXPLAIN_ACCEPTED : EXPLAIN_NOT_LISTED;
}

/* What its newest refusal hints at, when its ID would do. */
static const char *hint_for(err_t err)
{
    switch (err) {
    case ERR_CERT_EXPIRED:
    case ERR_CERT_NOT_YET_VALID:
        return "Its certificate was not valid at that moment: does it still renew it (is its agent "
               "running?), and do both machines' clocks agree?";
    case ERR_CERT_REVOKED:
        return "One of its certificates is revoked by its serial number: a new one would do "
               "(spindle-agent svids renew on its node).";
    case ERR_REVOCATION_UNKNOWN:
        return "The agent does not know its certificate, and revocation.policy is hard: was it "
               "issued by another agent?";
    case ERR_CHAIN_INCOMPLETE:
    case ERR_CHAIN_FOREIGN_ROOT:
    case ERR_CERT_SIGNATURE:
        return "Its certificate does not lead to a root that this sidecar has: is it from another "
               "authority with the same trust domain, or from before the authority was made anew?";
    case ERR_LIFETIME_TOO_LONG:
        return "Its certificate lives longer than this node's agent issues any: which authority is "
               "it from?";
    case ERR_TLS_ALERT:
        return "It was the peer that refused this sidecar: ask explain there, with this sidecar's "
               "ID.";
    case ERR_PEER_NOT_ALLOWED:
        return "The list was another one then.";
    default:
        return "The reason of the last refusal is above; docs/reference/errors.md explains it.";
    }
}

static err_t next_for_accepted(const struct explain_peer *p, struct buf *out)
{
    err_t err = buf_append_str(out, "Nothing to change in the lists.");
    if (err == ERR_OK && p->last != ERR_OK)
        err = buf_printf(out, " It was refused all the same. %s", hint_for(p->last));
    return err;
}

err_t explain_next(const struct explain_peer *p, struct buf *out)
{
    switch (explain_judge(p)) {
    case EXPLAIN_ACCEPTED:
        return next_for_accepted(p, out);
    case EXPLAIN_NO_IDENTITY:
        return buf_printf(out,
                          "This sidecar has no identity, so it accepts nobody. Ask the agent why: "
                          "spindle-agent explain --pid %d",
                          p->own_pid);
    case EXPLAIN_NO_TRUST:
        return buf_append_str(out, "This sidecar has no roots of that trust domain. They come with "
                                   "its identity: federate with it (federates_with in the "
                                   "sidecar's entry), or correct the ID.");
    case EXPLAIN_HELD:
        return buf_printf(out,
                          "It was revoked on this node and is refused until that is lifted. When "
                          "the cause is gone: spindle-agent revoke --lift %s",
                          p->id);
    case EXPLAIN_NOT_LISTED:
        return buf_printf(out,
                          "Add \"%s\" to `allow` (or `expect`) of the route that it uses; the "
                          "sidecar reads the changed file by itself.",
                          p->id);
    }
    return ERR_OK;
}

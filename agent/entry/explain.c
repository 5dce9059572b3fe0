#include "agent/entry/explain.h"

#include "common/base/nearest.h"

/* Entries whose text is held against what was found; more would take too long for a loop. */
#define DISTANCES_MAX 1000

const char *explain_verdict_name(enum explain_verdict v)
{
    static const char *const names[] = {
        [EXPLAIN_ENTITLED] = "entitled",     [EXPLAIN_HELD] = "held",
        [EXPLAIN_NO_ENTRY] = "no_entry",     [EXPLAIN_NO_ENTRIES] = "no_entries",
        [EXPLAIN_NO_PROCESS] = "no_process", [EXPLAIN_NOT_ATTESTED] = "not_attested",
    };
    return names[v];
}

/* --- which entry is nearest ------------------------------------------------------------------- */

/* "unix:uid:" of "unix:uid:1000": the kind, with its colons. */
static size_t kind_len(const char *selector)
{
    const char *colon = strchr(selector, ':');
    colon = colon != NULL ? strchr(colon + 1, ':') : NULL;
    return colon != NULL ? (size_t)(colon + 1 - selector) : strlen(selector);
}

size_t explain_alike(const struct selector_set *found, const char *wanted, const char **out,
                     size_t max)
{
    size_t len = kind_len(wanted), n = 0;
    for (size_t i = 0; i < found->count && n < max; i++)
        if (kind_len(found->items[i]) == len && memcmp(found->items[i], wanted, len) == 0)
            out[n++] = found->items[i];
    return n;
}

/* Edits between the end of the selector wanted and what was found of its kind: of a long path the
 * end says most. */
static size_t distance_of(const struct selector_set *found, const char *wanted)
{
    const char *alike[EXPLAIN_ALIKE_MAX];
    size_t kind = kind_len(wanted), count = explain_alike(found, wanted, alike, EXPLAIN_ALIKE_MAX);
    struct slice value = slice_str(wanted + kind);
    if (value.len > NEAREST_WORD_MAX)
        value = slice_of(value.data + value.len - NEAREST_WORD_MAX, NEAREST_WORD_MAX);
    struct nearest near = nearest_to(value);
    for (size_t i = 0; i < count; i++) {
        const char *text = alike[i] + kind;
        size_t len = strlen(text);
        nearest_offer(&near, len > NEAREST_WORD_MAX ? text + len - NEAREST_WORD_MAX : text);
    }
    return near.distance;
}

static size_t distance_of_all(const struct entry *e, const struct selector_set *found)
{
    size_t sum = 0;
    for (size_t i = 0; i < e->selectors.count; i++) {
        const char *wanted = e->selectors.items[i];
        if (selector_set_has(found, slice_str(wanted)))
            continue;
        size_t distance = distance_of(found, wanted);
        sum = distance == SIZE_MAX || sum == SIZE_MAX ? SIZE_MAX : sum + distance;
    }
    return sum;
}

/* Without the text: below 0 when a is nearer. */
static int compare_counts(const struct explain_near *a, const struct explain_near *b)
{
    if (a->missing != b->missing)
        return a->missing < b->missing ? -1 : 1;
    if (a->present != b->present)
        return a->present > b->present ? -1 : 1;
    return 0;
}

static bool is_nearer(const struct explain_near *a, const struct explain_near *b)
{
    int by_counts = compare_counts(a, b);
    return by_counts < 0 || (by_counts == 0 && a->distance < b->distance);
}

static void offer(struct explanation *x, const struct explain_near *near)
{
    size_t at = x->nearest_count;
    while (at > 0 && is_nearer(near, &x->nearest[at - 1]))
        at--;
    if (at == EXPLAIN_NEAREST_MAX)
        return;
    x->nearest_count += x->nearest_count < EXPLAIN_NEAREST_MAX;
    for (size_t i = x->nearest_count - 1; i > at; i--)
        x->nearest[i] = x->nearest[i - 1];
    x->nearest[at] = *near;
}

static struct explain_near measure(const struct entry *e, const struct selector_set *found)
{
    struct explain_near near = {.entry = e, .distance = SIZE_MAX};
    for (size_t i = 0; i < e->selectors.count; i++)
        near.present += selector_set_has(found, slice_str(e->selectors.items[i]));
    near.missing = e->selectors.count - near.present;
    return near;
}

static void find_nearest(const struct entry_set *set, const struct selector_set *found,
                         struct explanation *x)
{
    size_t distances = 0;
    for (size_t i = 0; i < set->count; i++) {
        struct explain_near near = measure(&set->items[i], found);
        const struct explain_near *last = &x->nearest[EXPLAIN_NEAREST_MAX - 1];
        bool may_count = x->nearest_count < EXPLAIN_NEAREST_MAX || compare_counts(&near, last) <= 0;
        if (!may_count)
            continue;
        if (distances++ < DISTANCES_MAX)
            near.distance = distance_of_all(near.entry, found);
        offer(x, &near);
    }
}

void explain_entries(const struct entry_set *set, const struct selector_set *found,
                     struct explanation *ret)
{
    *ret = (struct explanation){.match_count = 0};
    ret->match_count = entries_match(set, found, ret->matches, EXPLAIN_MATCHES_MAX);
    if (ret->match_count == 0)
        find_nearest(set, found, ret);
}

/* --- what to do ------------------------------------------------------------------------------- */

static err_t put_own_selectors(const struct selector_set *found, struct buf *out)
{
    const char *uid = NULL, *path = NULL;
    if (explain_alike(found, "unix:uid:", &uid, 1) == 0)
        return ERR_OK;
    if (explain_alike(found, "unix:path:", &path, 1) == 0)
        return buf_printf(out, ", such as [\"%s\"]", uid);
    return buf_printf(out, ", such as [\"%s\", \"%s\"]", uid, path);
}

/* Said once of the first that fails: there is rarely more than one. */
static err_t put_hint(const char *wanted, const char *found, struct buf *out)
{
    size_t kind = kind_len(wanted);
    if (strncmp(wanted, "unix:sha256:", kind) == 0 && found != NULL)
        return buf_append_str(out, " After an update of the program the entry needs its new hash.");
    if (strncmp(wanted, "unix:path:", kind) == 0 && found == NULL)
        return buf_append_str(out, " The program's path is not known: it was replaced or deleted "
                                   "since it started (restart the workload), or it runs in a "
                                   "container with files of its own.");
    if (strncmp(wanted, "unix:supplementary_g", sizeof "unix:supplementary_g" - 1) == 0)
        return buf_append_str(out, " A process keeps the groups that it had at its start: after "
                                   "adding the user to a group, restart the workload.");
    return ERR_OK;
}

static err_t next_for_no_entry(const struct explain_case *c, struct buf *out)
{
    const struct entry *e = c->what->nearest[0].entry;
    const char *alike = NULL;
    size_t i = 0;
    while (i + 1 < e->selectors.count &&
           selector_set_has(c->found, slice_str(e->selectors.items[i])))
        i++; /* one of them fails: else the entry would match */
    const char *wanted = e->selectors.items[i];
    if (explain_alike(c->found, wanted, &alike, 1) == 0)
        alike = NULL;
    err_t err = buf_printf(out, "If it is meant to be %s (entry %s), ", e->spiffe_id, e->id);
    if (err == ERR_OK && alike != NULL)
        err = buf_printf(out, "run it so that %s holds (it has %s), ", wanted, alike);
    else if (err == ERR_OK)
        err = buf_printf(out, "run it so that %s holds, ", wanted);
    if (err == ERR_OK)
        err = buf_append_str(out, "or change that entry's selectors to what it has; otherwise add "
                                  "an entry for it with selectors that are listed here");
    if (err == ERR_OK)
        err = put_own_selectors(c->found, out);
    if (err == ERR_OK)
        err = buf_append_str(out, ". The agent reads changed entries by itself.");
    return err == ERR_OK ? put_hint(wanted, alike, out) : err;
}

static err_t next_for_attestation(const struct explain_case *c, struct buf *out)
{
    switch (c->err) {
    case ERR_LIMIT:
        return buf_append_str(out, "The agent attests many callers now, or is short of "
                                   "descriptors: try again; if it stays so, look at the agent's "
                                   "process_open_fds and its log.");
    case ERR_NO_MEMORY:
        return buf_append_str(out, "The agent is short of memory.");
    default:
        return buf_append_str(out, "The agent must be able to read /proc of that process: it needs "
                                   "CAP_SYS_PTRACE for processes of other users "
                                   "(docs/privileges.md). Its log says more.");
    }
}

err_t explain_next(const struct explain_case *c, struct buf *out)
{
    switch (c->verdict) {
    case EXPLAIN_ENTITLED:
        if (c->held != NULL)
            return buf_printf(out,
                              "Of what it is entitled to, %s is revoked, and it gets the rest "
                              "alone. When the cause is gone: spindle-agent revoke --lift %s",
                              c->held, c->held);
        return buf_append_str(out, "Nothing to change here. If the workload has no identity all "
                                   "the same: does it use this agent's Workload API socket "
                                   "(SPIFFE_ENDPOINT_SOCKET), and does it ask as this very "
                                   "process? The agent's log has a line for each refusal.");
    case EXPLAIN_HELD:
        return buf_printf(out,
                          "It gets nothing until the revocation is lifted. When its cause is gone: "
                          "spindle-agent revoke --lift %s",
                          c->held);
    case EXPLAIN_NO_ENTRY:
        return next_for_no_entry(c, out);
    case EXPLAIN_NO_ENTRIES: {
        err_t err = buf_append_str(out, "The agent has no registration entries, so nobody gets an "
                                        "identity: name a file of them with the key `entries` of "
                                        "its configuration, and add one with selectors that are "
                                        "listed here");
        err = err == ERR_OK ? put_own_selectors(c->found, out) : err;
        return err == ERR_OK ? buf_append_str(out, ".") : err;
    }
    case EXPLAIN_NO_PROCESS:
        return buf_printf(
            out,
            "Is %d the number that the agent's own pid namespace has for it, and is "
            "it still running? Numbers seen within a container are others. `pgrep` on "
            "the agent's host finds it.",
            c->pid);
    case EXPLAIN_NOT_ATTESTED:
        return next_for_attestation(c, out);
    }
    return ERR_OK;
}

#include "agent/api/audience.h"

#include "agent/api/x509_message.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/log/log.h"

#include <assert.h>

struct audience {
    struct map_node in_map;
    LIST_ENTRY(audience) in_changed; /* on_change is due */
    struct audiences *all;
    struct selector_set selectors;
    unsigned refs;
    bool lingers;       /* nobody holds it; kept for the next caller */
    int64_t idle_since; /* when the last one left */
    struct subscribers subscribers;

    const struct entry **entries; /* owned array of borrowed entries; NULL: none, or no memory */
    struct svid **svids;          /* for each entry, counted, or NULL; NULL: not asked for */
    size_t count;
    struct rpc_message *svid_message, *bundle_message;
    bool svids_stale, bundles_stale; /* encode anew when asked */
};

struct audiences {
    struct audience_options opt;
    const struct entry_set *entries;
    struct map map; /* by selectors */
    LIST_HEAD(, audience) changed;
    size_t lingering;
    bool reloading; /* changes are told when all is matched */
};

/* --- pure ------------------------------------------------------------------------------------- */

static uint32_t hash_selectors(const struct selector_set *s)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < s->count; i++)
        hash = map_hash_more(hash, slice_str(s->items[i]));
    return hash;
}

static bool audience_is(const void *audience, const void *selectors)
{
    return selector_set_eq(&((const struct audience *)audience)->selectors, selectors);
}

/* --- what an audience has --------------------------------------------------------------------- */

/* Puts the new message in place of the old one, unless they say the same: streams compare
 * pointers first, and two copies are one too many. */
static err_t keep_message(struct rpc_message **slot, struct rpc_message *m, struct why *why)
{
    if (m == NULL)
        return why_set(why, ERR_NO_MEMORY, "response");
    if (rpc_message_eq(*slot, m)) {
        rpc_message_unref(m);
        return ERR_OK;
    }
    rpc_message_unref(*slot);
    *slot = m;
    return ERR_OK;
}

static void release_svids(struct audiences *all, const struct entry **entries, struct svid **svids,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (svids[i] != NULL)
            svid_unref(svids[i]);
        minter_release(all->opt.minter, entries[i]->id);
    }
    mem_free(svids);
}

/* One subscription with the minter for each entry, all or none. */
static err_t acquire_svids(struct audiences *all, const struct entry **entries, size_t count,
                           struct svid ***ret, struct why *why)
{
    struct svid **svids = mem_array(count, sizeof *svids);
    if (svids == NULL)
        return why_set(why, ERR_NO_MEMORY, "SVIDs");
    for (size_t i = 0; i < count; i++) {
        struct svid *svid = NULL;
        err_t err = minter_acquire(all->opt.minter, entries[i], &svid, why);
        if (err != ERR_OK) {
            release_svids(all, entries, svids, i);
            return why_add(why, err, "entry %s", entries[i]->id);
        }
        svids[i] = svid != NULL ? svid_ref(svid) : NULL;
    }
    *ret = svids;
    return ERR_OK;
}

static void drop_svids(struct audience *a)
{
    if (a->svids != NULL)
        release_svids(a->all, a->entries, a->svids, a->count);
    a->svids = NULL;
}

/* The entries of the current set, with their callers' hints unique (WA-14). */
static err_t match(struct audience *a, const struct entry ***ret, size_t *ret_count)
{
    const struct entry *some[64];
    size_t room = sizeof some / sizeof *some;
    size_t found = entries_match(a->all->entries, &a->selectors, some, room);
    size_t count = found < AUDIENCE_ENTRIES_MAX ? found : AUDIENCE_ENTRIES_MAX;
    const struct entry **list = mem_array(count, sizeof *list);
    if (list == NULL)
        return ERR_NO_MEMORY;
    if (count <= room)
        memcpy(list, some, count * sizeof *list);
    else
        entries_match(a->all->entries, &a->selectors, list, count);
    *ret = list;
    *ret_count = entries_drop_same_hints(list, count);
    if (count < found)
        log_warn("identities_left_out", log_int("matching", found), log_int("limit", count),
                 log_str("first_entry", list[0]->id));
    if (*ret_count < count)
        log_warn("same_hint_left_out", log_int("matching", count), log_int("kept", *ret_count),
                 log_str("first_entry", list[0]->id));
    return ERR_OK;
}

static void mark_changed(struct audience *a)
{
    if (!LIST_IS_IN(a, in_changed))
        LIST_INSERT_HEAD(&a->all->changed, a, in_changed);
}

/* Takes what the current set gives; with SVIDs when it had them. Without memory it has nothing. */
static void rematch(struct audience *a)
{
    const struct entry **entries = NULL;
    struct svid **svids = NULL;
    size_t count = 0;
    bool wanted = a->svids != NULL;
    if (a->all->entries != NULL && match(a, &entries, &count) == ERR_OK && wanted && count > 0 &&
        acquire_svids(a->all, entries, count, &svids, NULL) != ERR_OK)
        svids = NULL; /* tried again when asked for */
    drop_svids(a);
    mem_free(a->entries);
    a->entries = entries;
    a->count = count;
    a->svids = svids;
    a->svids_stale = a->bundles_stale = true;
    mark_changed(a);
}

static void warn_too_large(const struct audience *a)
{
    size_t len = rpc_message_bytes(a->svid_message).len;
    if (len > X509_MESSAGE_CLIENT_MAX)
        log_error("response_too_large", log_int("bytes", len), log_int("identities", a->count),
                  log_int("client_limit", X509_MESSAGE_CLIENT_MAX),
                  log_str("first_entry", a->entries[0]->id),
                  log_str("help", "clients refuse it: give this caller fewer entries"));
}

static bool has_svid(const struct audience *a)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->svids[i] != NULL)
            return true;
    return false;
}

/* All of them: if one merely cannot be signed now there is hope without an operator. */
static bool is_held(const struct audience *a)
{
    size_t held = 0;
    for (size_t i = 0; i < a->count; i++)
        held += minter_is_held(a->all->opt.minter, a->entries[i]->id);
    return held == a->count;
}

static err_t check_entitled(const struct audience *a, struct why *why)
{
    if (a->all->entries == NULL)
        return why_set(why, ERR_NOT_SYNCED, "registration entries are not loaded yet");
    if (a->entries == NULL)
        return why_set(why, ERR_NO_MEMORY, "entries of the caller");
    if (a->count == 0)
        return why_set(why, ERR_NO_ENTRY, "no registration entry matches the caller");
    return ERR_OK;
}

err_t audience_svids(struct audience *a, struct rpc_message **ret, struct why *why)
{
    err_t err = check_entitled(a, why);
    if (err == ERR_OK && a->svids == NULL) {
        err = acquire_svids(a->all, a->entries, a->count, &a->svids, why);
        a->svids_stale = true;
    }
    if (err != ERR_OK)
        return err;
    if (!has_svid(a) && is_held(a))
        return why_set(why, ERR_REVOKED, "%s was revoked and has not been lifted",
                       a->entries[0]->spiffe_id);
    if (!has_svid(a))
        return why_set(why, ERR_SIGNER, "the SVIDs ran out and cannot be renewed");
    if (a->svids_stale) {
        struct slice roots = authority_bundle(a->all->opt.authority);
        err = keep_message(&a->svid_message,
                           x509_svid_message(a->entries, a->svids, a->count, roots), why);
        if (err != ERR_OK)
            return err;
        a->svids_stale = false;
        warn_too_large(a);
    }
    *ret = a->svid_message;
    return ERR_OK;
}

err_t audience_bundles(struct audience *a, struct rpc_message **ret, struct why *why)
{
    err_t err = check_entitled(a, why);
    if (err == ERR_OK && a->bundles_stale) {
        struct slice roots = authority_bundle(a->all->opt.authority);
        err = keep_message(&a->bundle_message,
                           x509_bundles_message(a->all->opt.trust_domain, roots), why);
        a->bundles_stale = err != ERR_OK;
    }
    if (err == ERR_OK)
        *ret = a->bundle_message;
    return err;
}

struct subscribers *audience_subscribers(struct audience *a)
{
    return &a->subscribers;
}

/* --- life ------------------------------------------------------------------------------------- */

static void audience_free(struct audience *a)
{
    map_remove(&a->all->map, a);
    LIST_LEAVE(a, in_changed);
    if (a->refs == 0 && a->lingers)
        a->all->lingering--;
    drop_svids(a);
    mem_free(a->entries);
    rpc_message_unref(a->svid_message);
    rpc_message_unref(a->bundle_message);
    selector_set_done(&a->selectors);
    mem_free(a);
}

err_t audience_get(struct audiences *all, struct selector_set *selectors, struct audience **ret,
                   struct why *why)
{
    uint32_t hash = hash_selectors(selectors);
    struct audience *a = map_find(&all->map, hash, selectors);
    if (a != NULL) {
        selector_set_done(selectors);
    } else {
        a = mem_alloc(sizeof *a);
        if (a == NULL || map_add(&all->map, a, hash) != ERR_OK) {
            mem_free(a);
            return why_set(why, ERR_NO_MEMORY, "caller");
        }
        a->all = all;
        a->selectors = *selectors;
        rematch(a);
        LIST_LEAVE(a, in_changed);
    }
    selector_set_init(selectors);
    if (a->lingers)
        all->lingering--;
    a->lingers = false;
    a->refs++;
    *ret = a;
    return ERR_OK;
}

void audience_release(struct audience *a, int64_t now_s)
{
    assert(a->refs > 0);
    if (--a->refs > 0)
        return;
    if (a->svids == NULL || a->all->lingering >= AUDIENCE_LINGERING_MAX) {
        audience_free(a);
        return;
    }
    a->lingers = true;
    a->all->lingering++;
    a->idle_since = now_s;
}

/* --- all of them ------------------------------------------------------------------------------ */

/* on_change may release and make audiences. */
static void tell_changed(struct audiences *all)
{
    for (struct audience *a; !all->reloading && (a = LIST_FIRST(&all->changed)) != NULL;) {
        LIST_LEAVE(a, in_changed);
        if (a->refs > 0)
            all->opt.on_change(all->opt.arg, a);
    }
}

void audiences_set_entries(struct audiences *all, const struct entry_set *entries)
{
    struct audience *a;
    all->entries = entries;
    all->reloading = true;
    if (entries != NULL)
        minter_entries_changed(all->opt.minter, entries);
    all->reloading = false;
    MAP_FOREACH(a, &all->map)
        rematch(a);
    tell_changed(all);
}

static void take_svid(struct audience *a, const char *entry_id, struct svid *svid)
{
    for (size_t i = 0; i < a->count && a->svids != NULL; i++) {
        if (strcmp(a->entries[i]->id, entry_id) != 0)
            continue;
        if (a->svids[i] != NULL)
            svid_unref(a->svids[i]);
        a->svids[i] = svid != NULL ? svid_ref(svid) : NULL;
        a->svids_stale = true;
        mark_changed(a);
    }
}

void audiences_svid_changed(struct audiences *all, const char *entry_id, struct svid *svid)
{
    struct audience *a;
    MAP_FOREACH(a, &all->map)
        take_svid(a, entry_id, svid);
}

void audiences_settled(struct audiences *all)
{
    tell_changed(all);
}

void audiences_bundle_changed(struct audiences *all)
{
    struct audience *a;
    MAP_FOREACH(a, &all->map) {
        a->svids_stale = a->bundles_stale = true;
        mark_changed(a);
    }
    tell_changed(all);
}

void audiences_tick(struct audiences *all, int64_t now_s)
{
    struct audience *a, *next;
    if (all->lingering == 0)
        return;
    MAP_FOREACH_SAFE(a, &all->map, next)
        if (a->lingers && now_s - a->idle_since >= AUDIENCE_LINGER_S)
            audience_free(a);
}

err_t audiences_new(const struct audience_options *opt, struct audiences **ret, struct why *why)
{
    struct audiences *all = mem_alloc(sizeof *all);
    if (all == NULL)
        return why_set(why, ERR_NO_MEMORY, "audiences");
    all->opt = *opt;
    all->map = (struct map)MAP_OF(struct audience, in_map, audience_is);
    *ret = all;
    return ERR_OK;
}

void audiences_free(struct audiences *all)
{
    struct audience *a, *next;
    if (all == NULL)
        return;
    MAP_FOREACH_SAFE(a, &all->map, next) {
        assert(a->refs == 0);
        audience_free(a);
    }
    map_done(&all->map);
    mem_free(all);
}

const struct selector_set *audience_selectors(const struct audience *a)
{
    return &a->selectors;
}

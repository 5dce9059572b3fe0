#include "agent/api/entitlement.h"

#include "agent/api/x509_message.h"
#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/log/log.h"

#include <assert.h>

#define LINGER_NS (ENTITLEMENT_LINGER_S * UINT64_C(1000000000))

struct entitlement {
    struct entitlements *all;
    struct map_node in_all;
    struct selector_set selectors;
    LIST_HEAD(, entitlement_holder) holders;
    uint64_t idle_ns; /* nobody holds it: when the last one left; kept for the next caller */

    const struct entry **entries; /* owned array of borrowed entries; NULL: none, or no memory */
    struct svid **svids;          /* for each entry, counted, or NULL; NULL: not asked for */
    size_t count;
    struct rpc_message *svid_message, *bundle_message;
    bool svids_stale, bundles_stale;     /* encode anew when asked */
    TAILQ_ENTRY(entitlement) in_changed; /* its holders are to be told */
};

struct entitlements {
    struct entitlement_options opt;
    const struct entry_set *entries;
    struct map map; /* by selectors */
    TAILQ_HEAD(, entitlement) changed;
    size_t lingering; /* nobody holds them */
    bool reloading;   /* changes are told when all is matched */
};

static uint32_t entitlement_hash(const struct selector_set *s)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < s->count; i++)
        hash = map_hash_more(hash, slice_str(s->items[i]));
    return hash;
}

static bool entitlement_is(const void *item, const void *key)
{
    const struct entitlement *e = item;
    return selector_set_eq(&e->selectors, key);
}

/* --- what it has ------------------------------------------------------------------------------ */

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

static void release_svids(struct entitlements *all, const struct entry **entries,
                          struct svid **svids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        svid_unref(svids[i]);
        minter_release(all->opt.minter, entries[i]->id);
    }
    mem_free(svids);
}

/* One subscription with the minter for each entry, all or none. */
static err_t acquire_svids(struct entitlements *all, const struct entry **entries, size_t count,
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

static void entitlement_drop_svids(struct entitlement *e)
{
    if (e->svids != NULL)
        release_svids(e->all, e->entries, e->svids, e->count);
    e->svids = NULL;
}

/* The entries of the current set, with their callers' hints unique (WA-14). */
static err_t entitlement_entries(struct entitlement *e, const struct entry ***ret,
                                 size_t *ret_count)
{
    const struct entry *some[64];
    size_t room = sizeof some / sizeof *some;
    size_t found = entries_match(e->all->entries, &e->selectors, some, room);
    size_t count = found < ENTITLEMENT_ENTRIES_MAX ? found : ENTITLEMENT_ENTRIES_MAX;
    const struct entry **list = mem_array(count, sizeof *list);
    if (list == NULL)
        return ERR_NO_MEMORY;
    if (count <= room)
        memcpy(list, some, count * sizeof *list);
    else
        entries_match(e->all->entries, &e->selectors, list, count);
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

/* Takes what the current set gives; with SVIDs when it had them. Without memory it has nothing. */
static void entitlement_match(struct entitlement *e)
{
    const struct entry **entries = NULL;
    struct svid **svids = NULL;
    size_t count = 0;
    bool wanted = e->svids != NULL;
    if (e->all->entries != NULL && entitlement_entries(e, &entries, &count) == ERR_OK && wanted &&
        count > 0 && acquire_svids(e->all, entries, count, &svids, NULL) != ERR_OK)
        svids = NULL; /* tried again when asked for */
    entitlement_drop_svids(e);
    mem_free(e->entries);
    e->entries = entries;
    e->count = count;
    e->svids = svids;
    e->svids_stale = e->bundles_stale = true;
}

static void warn_too_large(const struct entitlement *e)
{
    size_t len = rpc_message_bytes(e->svid_message).len;
    if (len > X509_MESSAGE_CLIENT_MAX)
        log_error("response_too_large", log_int("bytes", len), log_int("identities", e->count),
                  log_int("client_limit", X509_MESSAGE_CLIENT_MAX),
                  log_str("first_entry", e->entries[0]->id),
                  log_str("help", "clients refuse it: give this caller fewer entries"));
}

static bool entitlement_has_svid(const struct entitlement *e)
{
    for (size_t i = 0; i < e->count; i++)
        if (e->svids[i] != NULL)
            return true;
    return false;
}

/* All of them: if one merely cannot be signed now there is hope without an operator. */
static bool entitlement_is_held(const struct entitlement *e)
{
    size_t held = 0;
    for (size_t i = 0; i < e->count; i++)
        held += minter_is_held(e->all->opt.minter, e->entries[i]->id);
    return held == e->count;
}

/* A part of them would be all that who fetches once ever gets. The last one asked for is likely to
 * be the last answered. */
static bool entitlement_is_awaited(const struct entitlement *e)
{
    for (size_t i = e->count; i-- > 0;)
        if (minter_is_awaited(e->all->opt.minter, e->entries[i]->id))
            return true;
    return false;
}

static err_t check_entitled(const struct entitlement *e, struct why *why)
{
    if (e->all->entries == NULL)
        return why_set(why, ERR_NOT_SYNCED, "registration entries are not loaded yet");
    if (e->entries == NULL)
        return why_set(why, ERR_NO_MEMORY, "entries of the caller");
    if (e->count == 0)
        return why_set(why, ERR_NO_ENTRY, "no registration entry matches the caller");
    return ERR_OK;
}

err_t entitlement_svids(struct entitlement *e, struct rpc_message **ret, struct why *why)
{
    err_t err = check_entitled(e, why);
    if (err == ERR_OK && e->svids == NULL) {
        err = acquire_svids(e->all, e->entries, e->count, &e->svids, why);
        e->svids_stale = true;
    }
    if (err != ERR_OK)
        return err;
    if (entitlement_is_awaited(e)) {
        *ret = NULL;
        return ERR_OK;
    }
    if (!entitlement_has_svid(e) && entitlement_is_held(e))
        return why_set(why, ERR_REVOKED, "%s was revoked and has not been lifted",
                       e->entries[0]->spiffe_id);
    if (!entitlement_has_svid(e))
        return why_set(why, ERR_SIGNER, "the SVIDs ran out and cannot be renewed");
    if (e->svids_stale) {
        struct slice roots = e->all->opt.authority->bundle(e->all->opt.authority->self);
        err = keep_message(&e->svid_message,
                           x509_svid_message(e->entries, e->svids, e->count, roots), why);
        if (err != ERR_OK)
            return err;
        e->svids_stale = false;
        warn_too_large(e);
    }
    *ret = e->svid_message;
    return ERR_OK;
}

err_t entitlement_bundles(struct entitlement *e, struct rpc_message **ret, struct why *why)
{
    err_t err = check_entitled(e, why);
    if (err == ERR_OK && e->bundles_stale) {
        struct slice roots = e->all->opt.authority->bundle(e->all->opt.authority->self);
        err = keep_message(&e->bundle_message,
                           x509_bundles_message(e->all->opt.trust_domain, roots), why);
        e->bundles_stale = err != ERR_OK;
    }
    if (err == ERR_OK)
        *ret = e->bundle_message;
    return err;
}

/* --- life ------------------------------------------------------------------------------------- */

static void entitlement_free(struct entitlement *e)
{
    map_remove(&e->all->map, e);
    TAILQ_LEAVE(&e->all->changed, e, in_changed);
    entitlement_drop_svids(e);
    mem_free(e->entries);
    rpc_message_unref(e->svid_message);
    rpc_message_unref(e->bundle_message);
    selector_set_done(&e->selectors);
    mem_free(e);
}

static err_t entitlement_new(struct entitlements *all, struct selector_set *selectors,
                             uint32_t hash, struct entitlement **ret)
{
    struct entitlement *e = mem_alloc(sizeof *e);
    if (e == NULL || map_add(&all->map, e, hash) != ERR_OK) {
        mem_free(e);
        return ERR_NO_MEMORY;
    }
    e->all = all;
    e->selectors = *selectors;
    selector_set_init(selectors);
    entitlement_match(e);
    all->lingering++; /* until it is held */
    *ret = e;
    return ERR_OK;
}

err_t entitlement_hold(struct entitlements *all, struct selector_set *selectors,
                       struct entitlement_holder *h, struct why *why)
{
    uint32_t hash = entitlement_hash(selectors);
    struct entitlement *e = map_find(&all->map, hash, selectors);
    if (e == NULL && entitlement_new(all, selectors, hash, &e) != ERR_OK)
        return why_set(why, ERR_NO_MEMORY, "caller");
    selector_set_done(selectors);
    if (h->entitlement == e)
        return ERR_OK;
    if (LIST_EMPTY(&e->holders))
        all->lingering--;
    entitlement_leave(h);
    LIST_INSERT_HEAD(&e->holders, h, in_entitlement);
    h->entitlement = e;
    return ERR_OK;
}

void entitlement_leave(struct entitlement_holder *h)
{
    struct entitlement *e = h->entitlement;
    if (e == NULL)
        return;
    LIST_REMOVE(h, in_entitlement);
    h->entitlement = NULL;
    if (!LIST_EMPTY(&e->holders))
        return;
    if (e->svids == NULL || e->all->lingering >= ENTITLEMENT_LINGERING_MAX) {
        entitlement_free(e);
        return;
    }
    e->all->lingering++;
    e->idle_ns = clock_mono_ns();
}

/* --- all of them ------------------------------------------------------------------------------ */

static void entitlement_changed(struct entitlement *e)
{
    if (!TAILQ_IS_IN(e, in_changed))
        TAILQ_INSERT_TAIL(&e->all->changed, e, in_changed);
}

void entitlements_settled(struct entitlements *all)
{
    struct entitlement *e;
    struct entitlement_holder *h, *next;
    while (!all->reloading && (e = TAILQ_FIRST(&all->changed)) != NULL) {
        TAILQ_LEAVE(&all->changed, e, in_changed);
        LIST_FOREACH_SAFE(h, &e->holders, in_entitlement, next)
            all->opt.on_change(all->opt.arg, h);
    }
}

void entitlements_set_entries(struct entitlements *all, const struct entry_set *entries)
{
    struct entitlement *e;
    all->entries = entries;
    all->reloading = true;
    if (entries != NULL)
        minter_entries_changed(all->opt.minter, entries);
    all->reloading = false;
    MAP_FOREACH(e, &all->map) {
        entitlement_match(e);
        entitlement_changed(e);
    }
    entitlements_settled(all);
}

static void entitlement_take(struct entitlement *e, const char *entry_id, struct svid *svid)
{
    for (size_t i = 0; i < e->count && e->svids != NULL; i++) {
        if (strcmp(e->entries[i]->id, entry_id) != 0)
            continue;
        svid_unref(e->svids[i]);
        e->svids[i] = svid != NULL ? svid_ref(svid) : NULL;
        e->svids_stale = true;
        entitlement_changed(e);
    }
}

void entitlements_svid_changed(struct entitlements *all, const char *entry_id, struct svid *svid)
{
    struct entitlement *e;
    MAP_FOREACH(e, &all->map)
        entitlement_take(e, entry_id, svid);
}

void entitlements_bundle_changed(struct entitlements *all)
{
    struct entitlement *e;
    MAP_FOREACH(e, &all->map) {
        e->svids_stale = e->bundles_stale = true;
        entitlement_changed(e);
    }
    entitlements_settled(all);
}

void entitlements_tick(struct entitlements *all)
{
    uint64_t now_ns = clock_mono_ns();
    struct entitlement *e, *next;
    if (all->lingering == 0)
        return;
    MAP_FOREACH_SAFE(e, &all->map, next) {
        if (LIST_EMPTY(&e->holders) && now_ns - e->idle_ns >= LINGER_NS) {
            all->lingering--;
            entitlement_free(e);
        }
    }
}

err_t entitlements_new(const struct entitlement_options *opt, struct entitlements **ret,
                       struct why *why)
{
    struct entitlements *all = mem_alloc(sizeof *all);
    if (all == NULL)
        return why_set(why, ERR_NO_MEMORY, "entitlements");
    all->opt = *opt;
    all->map = (struct map)MAP_OF(struct entitlement, in_all, entitlement_is);
    TAILQ_INIT(&all->changed);
    *ret = all;
    return ERR_OK;
}

void entitlements_free(struct entitlements *all)
{
    struct entitlement *e, *next;
    if (all == NULL)
        return;
    MAP_FOREACH_SAFE(e, &all->map, next) {
        assert(LIST_EMPTY(&e->holders));
        entitlement_free(e);
    }
    map_done(&all->map);
    mem_free(all);
}

const struct selector_set *entitlement_selectors(const struct entitlement *e)
{
    return &e->selectors;
}

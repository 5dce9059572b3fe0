#include "agent/api/workload_api.h"

#include "common/base/mem.h"
#include "common/log/log_limit.h"
#include "common/loop/closing.h"

#include <assert.h>
#include <stddef.h>

enum { TICK_MS = 5000 };
enum { LINE_IDENTITY, LINE_CALL }; /* what log lines are limited by */

/* One stream. */
struct subscriber {
    struct call call;
    struct workload_api *api;
    struct entitlement_holder holder; /* of none until attested */
    LIST_ENTRY(subscriber) in_all;
    struct attestation *attestation; /* under way, or NULL */
    unsigned kinds;                  /* SELECTOR_KIND_* it was attested for */
    bool postponed;                  /* no room to attest it anew yet */
};

struct workload_api {
    struct workload_api_options opt;
    struct entitlements *entitlements;
    LIST_HEAD(, subscriber) all;
    unsigned kinds; /* of the entries in use */
    bool postponed; /* some streams are to be attested anew when there is room */
    uv_timer_t tick;
    struct log_limits lines; /* of refusals */
    struct closing closing;
};

static void on_end(struct call *c)
{
    struct subscriber *s = (struct subscriber *)c; /* its first member */
    attestation_cancel(&s->attestation);
    entitlement_leave(&s->holder);
    LIST_REMOVE(s, in_all);
    mem_free(s);
}

/* --- answers ---------------------------------------------------------------------------------- */

static const char *client_text(err_t err)
{
    switch (err) {
    case ERR_ATTESTATION:
        return "workload attestation failed";
    case ERR_NO_ENTRY:
        return "no identity issued";
    case ERR_NOT_SYNCED:
        return "registration entries are not loaded yet";
    case ERR_SIGNER:
        return "the authority cannot sign now";
    default:
        return err_text(err);
    }
}

/* Known where some entry asks for it. */
static struct slice subscriber_program(const struct subscriber *s)
{
    static const char kind[] = "unix:path:";
    if (s->holder.entitlement == NULL)
        return slice_of(NULL, 0);
    const struct selector_set *set = entitlement_selectors(s->holder.entitlement);
    for (size_t i = 0; i < set->count; i++)
        if (strncmp(set->items[i], kind, sizeof kind - 1) == 0)
            return slice_str(set->items[i] + sizeof kind - 1);
    return slice_of(NULL, 0);
}

/* The cause goes to the log; the client gets one sentence that gives nothing away. */
static void subscriber_refuse(struct subscriber *s, err_t err, const struct why *why)
{
    const struct peer *p = &s->call.connection->peer;
    enum log_level level = err == ERR_NO_ENTRY ? LOG_INFO : LOG_WARN;
    if (s->call.ended)
        return;
    LOG_LIMITED(log_limits_of(&s->api->lines, LINE_IDENTITY, err), level, "identity_refused",
                log_err("reason", err), log_int("pid", p->pid), log_int("uid", p->uid),
                log_int("gid", p->gid), log_str("code", rpc_code_name((int)call_code(err))),
                log_str("cause", why_text(why)));
    call_audit_refused(s->api->opt.audit, err, s->call.method->name, p, subscriber_program(s),
                       why_text(why));
    call_end(&s->call, err, client_text(err));
}

/* Was it attested for all that the entries ask for? If not it is about to be attested anew. */
static bool subscriber_is_current(const struct subscriber *s)
{
    return (s->api->kinds & ~s->kinds) == 0;
}

static void subscriber_push(struct subscriber *s)
{
    struct rpc_message *m = NULL;
    struct why why = {.err = ERR_OK};
    err_t err = s->call.method->label == METHOD_FETCH_X509_SVID
                    ? entitlement_svids(s->holder.entitlement, &m, &why)
                    : entitlement_bundles(s->holder.entitlement, &m, &why);
    if (err == ERR_OK && m != NULL)
        call_offer(&s->call, m);
    if (err != ERR_OK)
        subscriber_refuse(s,
                          err == ERR_NO_ENTRY || err == ERR_NOT_SYNCED || err == ERR_NO_MEMORY ||
                                  err == ERR_REVOKED
                              ? err
                              : ERR_SIGNER,
                          &why);
}

/* --- attestation ------------------------------------------------------------------------------ */

static unsigned on_kinds(void *arg)
{
    const struct subscriber *s = arg;
    return s->api->kinds;
}

static void on_attested(void *arg, err_t err, struct selector_set *selectors, const struct why *why)
{
    struct subscriber *s = arg;
    struct why own = {.err = ERR_OK};
    s->kinds = s->api->kinds;
    if (err == ERR_LIMIT && s->holder.entitlement != NULL) { /* keeps it until there is room */
        s->kinds = 0;
        s->postponed = s->api->postponed = true;
        return;
    }
    if (err == ERR_OK) {
        minter_check(s->api->opt.minter); /* after a clock jump SVIDs in hand may be past */
        why = &own;
        err = entitlement_hold(s->api->entitlements, selectors, &s->holder, &own);
    }
    if (err == ERR_OK)
        subscriber_push(s);
    else
        subscriber_refuse(s, err == ERR_NO_MEMORY || err == ERR_LIMIT ? err : ERR_ATTESTATION, why);
}

static void subscriber_attest(struct subscriber *s)
{
    struct connection *c = s->call.connection;
    struct why why = {.err = ERR_OK};
    const struct attestation_question q = {.attestors = s->api->opt.attestors,
                                           .peer = &c->peer,
                                           .metrics = s->api->opt.metrics,
                                           .kinds = on_kinds,
                                           .done = on_attested,
                                           .arg = s};
    s->kinds = s->api->kinds;
    s->postponed = false;
    err_t err = attestation_start(&q, &s->attestation, &why);
    if (err == ERR_ATTESTATION)
        connection_doom(c); /* whoever holds it did not make it (AG-2) */
    if (err != ERR_OK)
        subscriber_refuse(s, err, &why);
    if (err == ERR_ATTESTATION)
        call_end_all(c, err, client_text(err));
}

static void workload_api_serve(void *self, struct rpc_call *rpc, struct connection *connection,
                               const struct method *method)
{
    struct workload_api *w = self;
    struct why why = {.err = ERR_OK};
    struct subscriber *s = mem_alloc(sizeof *s);
    err_t err = s == NULL
                    ? ERR_NO_MEMORY
                    : call_init(&s->call, rpc, connection, method, w->opt.metrics, on_end, &why);
    if (err != ERR_OK) {
        mem_free(s);
        LOG_LIMITED(log_limits_of(&w->lines, LINE_CALL, err), LOG_WARN, "call_refused",
                    log_err("reason", err), log_int("pid", connection->peer.pid),
                    log_int("uid", connection->peer.uid), log_str("cause", why_text(&why)));
        call_audit_refused(w->opt.audit, err, method->name, &connection->peer, slice_of(NULL, 0),
                           why_text(&why));
        call_refuse(rpc, method->label, w->opt.metrics, err, client_text(err));
        return;
    }
    s->api = w;
    LIST_INSERT_HEAD(&w->all, s, in_all);
    subscriber_attest(s);
}

struct service workload_api_service(struct workload_api *w)
{
    static const struct method methods[] = {
        {"FetchX509SVID", METHOD_FETCH_X509_SVID, workload_api_serve},
        {"FetchX509Bundles", METHOD_FETCH_X509_BUNDLES, workload_api_serve}};
    return (struct service){.prefix = "/SpiffeWorkloadAPI/",
                            .needs_security_header = true,
                            .methods = methods,
                            .method_count = 2,
                            .self = w};
}

/* --- changes ---------------------------------------------------------------------------------- */

static void on_entitlement_change(void *arg, struct entitlement_holder *h)
{
    (void)arg;
    struct subscriber *s =
        (struct subscriber *)(void *)((char *)h - offsetof(struct subscriber, holder));
    if (subscriber_is_current(s) || s->postponed)
        subscriber_push(s);
}

/* Who was attested for less than the entries now ask for may be entitled to more. */
static void workload_api_attest_anew(struct workload_api *w)
{
    struct subscriber *s;
    w->postponed = false;
    LIST_FOREACH(s, &w->all, in_all) {
        if (!w->postponed && !subscriber_is_current(s) && s->attestation == NULL && !s->call.ended)
            subscriber_attest(s);
    }
}

void workload_api_set_entries(struct workload_api *w, const struct entry_set *entries)
{
    w->kinds = entries != NULL ? entries->kinds_used : 0;
    entitlements_set_entries(w->entitlements, entries);
    workload_api_attest_anew(w);
}

void workload_api_svid_changed(struct workload_api *w, const char *entry_id, struct svid *svid)
{
    entitlements_svid_changed(w->entitlements, entry_id, svid);
}

void workload_api_svids_settled(struct workload_api *w)
{
    entitlements_settled(w->entitlements);
}

void workload_api_bundle_changed(struct workload_api *w)
{
    entitlements_bundle_changed(w->entitlements);
}

/* --- life ------------------------------------------------------------------------------------- */

static void on_tick(uv_timer_t *h)
{
    struct workload_api *w = h->data;
    if (w->postponed)
        workload_api_attest_anew(w);
    entitlements_tick(w->entitlements);
}

err_t workload_api_open(uv_loop_t *loop, const struct workload_api_options *opt,
                        struct workload_api **ret, struct why *why)
{
    struct workload_api *w = mem_alloc(sizeof *w);
    if (w == NULL)
        return why_set(why, ERR_NO_MEMORY, "Workload API");
    w->opt = *opt;
    struct entitlement_options e = {.minter = opt->minter,
                                    .authority = opt->authority,
                                    .trust_domain = opt->trust_domain,
                                    .on_change = on_entitlement_change,
                                    .arg = w};
    err_t err = entitlements_new(&e, &w->entitlements, why);
    if (err != ERR_OK) {
        mem_free(w);
        return err;
    }
    int rc = uv_timer_init(loop, &w->tick);
    assert(rc == 0);
    w->tick.data = w;
    rc = uv_timer_start(&w->tick, on_tick, TICK_MS, TICK_MS);
    assert(rc == 0);
    (void)rc;
    *ret = w;
    return ERR_OK;
}

static void workload_api_free(void *noun)
{
    struct workload_api *w = noun;
    entitlements_free(w->entitlements);
    mem_free(w);
}

void workload_api_close(struct workload_api *w, void (*done)(void *arg), void *arg)
{
    assert(LIST_EMPTY(&w->all));
    if (closing_begin(&w->closing, workload_api_free, w, done, arg))
        closing_handle(&w->closing, &w->tick);
}

/* What the agent keeps of what it issued and revoked: how both are opened, and whom they tell. */
#include "agent/agent_internal.h"
#include "agent/telemetry/audit_events.h"
#include "common/spiffe/bundle.h"

#include <limits.h>
#include <stdio.h>

/* --- the record of issuance ------------------------------------------------------------------- */

err_t agent_open_record(struct agent *a, struct why *why)
{
    char dir[PATH_MAX];
    if (snprintf(dir, sizeof dir, "%s/record", a->config->data_dir) >= (int)sizeof dir)
        return why_set(why, ERR_CONFIG, "data_dir is longer than a path may be");
    struct record_options opt = {.dir = dir,
                                 .max_records = (uint64_t)a->config->record_max,
                                 .keep_s = a->config->record_keep_s,
                                 .on_failure = a->config->record_on_failure,
                                 .metrics = a->metrics};
    return record_open(&a->loop, &opt, &a->record, why);
}

void agent_close_record(struct agent *a)
{
    record_close(a->record, agent_part_closed, a);
}

err_t agent_on_issued(void *arg, const struct svid *svid, enum svid_why because, struct why *why)
{
    struct agent *a = arg;
    struct record_item item = {.spiffe_id = svid->spiffe_id,
                               .entry_id = svid->entry_id,
                               .not_before = svid->not_before,
                               .not_after = svid->not_after,
                               .issued_at = svid->issued_at,
                               .flags = because == SVID_FIRST         ? 0
                                        : because == SVID_BY_OPERATOR ? RECORD_BY_OPERATOR
                                                                      : RECORD_RENEWAL};
    memcpy(item.serial, svid->serial, sizeof item.serial);
    memcpy(item.issuer, svid->issuer, sizeof item.issuer);
    revoker_issuer(a->revoker, svid->issuer, authority_issuer_not_after(a->authority));
    err_t err = record_issued(a->record, &item, why);
    if (err != ERR_OK)
        return err;
    audit_issued(a->audit,
                 &(struct audit_certificate){.spiffe_id = svid->spiffe_id,
                                             .entry = svid->entry_id,
                                             .serial = slice_of(svid->serial, sizeof svid->serial),
                                             .not_before = svid->not_before,
                                             .not_after = svid->not_after,
                                             .why = svid_why_name(because)});
    return ERR_OK;
}

/* --- revocation ------------------------------------------------------------------------------- */

const struct entry_set *agent_entries(void *arg)
{
    struct agent *a = arg;
    return a->entries;
}

static void on_cache(void *arg, int fd)
{
    struct agent *a = arg;
    if (a->share != NULL)
        share_set_cache(a->share, fd, revoker_generation(a->revoker));
}

static void on_cache_changed(void *arg, uint64_t generation)
{
    struct agent *a = arg;
    if (a->share != NULL)
        share_changed(a->share, generation);
}

static size_t on_sidecars(void *arg)
{
    struct agent *a = arg;
    return a->share != NULL ? share_sidecars(a->share) : 0;
}

static void on_revocation(void *arg, const struct revocation_change *change)
{
    struct agent *a = arg;
    if (!a->serving)
        return;
    if (change->kind != REVOKE_SERIAL)
        minter_holds_changed(a->minter);
    for (size_t i = 0; i < change->count && !change->lift && change->kind == REVOKE_SERIAL; i++)
        minter_discard(a->minter, change->revoked[i].serial);
}

/* Our root signed the issuers, so its list is complete too; without it a sidecar whose policy is
 * hard admits nobody. */
static void vouch_for_roots(struct agent *a)
{
    struct slice ders[BUNDLE_ROOTS_MAX];
    size_t count = 0;
    if (x509_split(authority_bundle(a->authority), ders, BUNDLE_ROOTS_MAX, &count, NULL) != ERR_OK)
        return; /* cannot be: the authority made them */
    for (size_t i = 0; i < count; i++) {
        struct x509 root;
        uint8_t key[X509_KEY_ID_LEN];
        if (x509_parse(ders[i], &root, NULL) == ERR_OK && x509_key_id(root.spki, key) == ERR_OK)
            revoker_issuer(a->revoker, key, root.not_after);
    }
}

err_t agent_open_revoker(struct agent *a, struct why *why)
{
    struct revoker_options opt = {.data_dir = a->config->data_dir,
                                  .record = a->record,
                                  .metrics = a->metrics,
                                  .audit = a->audit,
                                  .entries = agent_entries,
                                  .sidecars = on_sidecars,
                                  .on_cache = on_cache,
                                  .on_cache_changed = on_cache_changed,
                                  .on_change = on_revocation,
                                  .arg = a};
    err_t err = revoker_open(&a->loop, &opt, &a->revoker, why);
    if (err == ERR_OK)
        vouch_for_roots(a);
    return err;
}

void agent_close_revoker(struct agent *a)
{
    revoker_close(a->revoker, agent_part_closed, a);
}

err_t agent_may_issue(void *arg, const struct entry *e, struct why *why)
{
    struct agent *a = arg;
    return revoker_may_issue(a->revoker, e->spiffe_id, e->id, why);
}

#include "agent/revoke/revocation_feed.h"

#include "agent/telemetry/metrics.h"
#include "common/base/mem.h"
#include "common/log/log.h"

struct issuer_row {
    uint8_t id[REVOCATION_ISSUER_LEN]; /* of its key */
    int64_t until;
};

struct revocation_feed {
    struct revocation_feed_options opt;
    struct revocation_writer *writer;
    struct issuer_row issuers[REVOCATION_ISSUERS_MAX];
    size_t issuer_count;
    uint64_t generation;
    int64_t refreshed;
    bool is_behind; /* the cache lacks something of the set */
};

static void commit(struct revocation_feed *f)
{
    f->generation = revocation_writer_commit(f->writer);
    metric_set(f->opt.metrics, M_REVOCATION_CACHE_ROWS, 0, 0, 0,
               (double)revocation_writer_count(f->writer));
    metric_set(f->opt.metrics, M_REVOCATION_CACHE_BYTES, 0, 0, 0,
               (double)revocation_writer_bytes(f->writer));
    metric_set(f->opt.metrics, M_REVOCATION_GENERATION, 0, 0, 0, (double)f->generation);
}

/* Said once, until it is whole again. */
static void fell_behind(struct revocation_feed *f, err_t err, const struct why *why)
{
    if (!f->is_behind)
        log_error("revocation_cache_behind", log_err("reason", err),
                  log_str("cause", why_text(why)),
                  log_str("next", "sidecars do not see all revocations; trying again each second"));
    f->is_behind = true;
}

/* --- what the set says ------------------------------------------------------------------------ */

/* Of a lost issuer: under each that we have. */
static err_t write_row(struct revocation_feed *f, const uint8_t *issuer, const uint8_t *serial,
                       const struct revocation_status *status, struct why *why)
{
    struct slice text = slice_of(serial, REVOKED_SERIAL_LEN);
    err_t err = ERR_OK;
    if (!revocation_issuer_is_lost(issuer))
        return revocation_writer_set(f->writer, issuer, text, status, why);
    for (size_t i = 0; i < f->issuer_count && err == ERR_OK; i++)
        err = revocation_writer_set(f->writer, f->issuers[i].id, text, status, why);
    return err;
}

static err_t write_certificate(struct revocation_feed *f, const struct revocation_certificate *c,
                               struct why *why)
{
    struct revocation_status status = {
        .state = REVOCATION_REVOKED, .reason = c->reason, .at = c->at};
    return write_row(f, c->issuer, c->serial, &status, why);
}

static void erase_certificate(struct revocation_feed *f, const uint8_t *issuer,
                              const uint8_t *serial)
{
    struct revocation_status status = {.state = REVOCATION_UNKNOWN};
    err_t err = write_row(f, issuer, serial, &status, NULL);
    (void)err; /* forgetting never fails */
}

static err_t write_hold(struct revocation_feed *f, const struct revocation_hold *h, struct why *why)
{
    struct revocation_status status = {
        .state = REVOCATION_REVOKED, .reason = h->reason, .at = h->at, .held = true};
    if (h->kind != REVOKE_ID) /* others may have the same SPIFFE ID by another entry */
        return ERR_OK;
    return revocation_writer_hold(f->writer, slice_str(h->target), &status, why);
}

static err_t write_all(struct revocation_feed *f, struct why *why)
{
    const struct revocation_set *set = f->opt.set;
    size_t holds = revocation_set_holds(set, REVOKE_ID) + revocation_set_holds(set, REVOKE_ENTRY);
    err_t err = ERR_OK;
    for (size_t i = 0; i < holds && err == ERR_OK; i++) {
        struct revocation_hold h = revocation_set_hold_at(set, i);
        err = write_hold(f, &h, why);
    }
    for (size_t i = 0; i < revocation_set_certificates(set) && err == ERR_OK; i++) {
        struct revocation_certificate c = revocation_set_certificate_at(set, i);
        err = write_certificate(f, &c, why);
    }
    return err;
}

static err_t write_revoked(struct revocation_feed *f, const struct revocation_change *change,
                           struct why *why)
{
    struct revocation_hold h;
    err_t err = ERR_OK;
    if (change->kind != REVOKE_SERIAL &&
        revocation_set_held(f->opt.set, change->kind, change->target, &h))
        err = write_hold(f, &h, why);
    for (size_t i = 0; i < change->count && err == ERR_OK; i++) {
        struct revocation_certificate c;
        if (revocation_set_find(f->opt.set, change->revoked[i].serial, &c))
            err = write_certificate(f, &c, why);
    }
    return err;
}

static void erase_lifted(struct revocation_feed *f, const struct revocation_change *change)
{
    struct revocation_status status = {.state = REVOCATION_UNKNOWN};
    err_t err = ERR_OK;
    if (change->kind == REVOKE_ID)
        err = revocation_writer_hold(f->writer, change->target, &status, NULL);
    (void)err; /* releasing never fails */
    for (size_t i = 0; i < change->count; i++)
        erase_certificate(f, change->revoked[i].issuer, change->revoked[i].serial);
}

void revocation_feed_forget(struct revocation_feed *f, const struct revocation_certificate *c)
{
    erase_certificate(f, c->issuer, c->serial);
}

/* Those whose issuer was lost, now that there is one more that it may be. */
static err_t write_lost(struct revocation_feed *f, struct why *why)
{
    err_t err = ERR_OK;
    for (size_t i = 0; i < revocation_set_certificates(f->opt.set) && err == ERR_OK; i++) {
        struct revocation_certificate c = revocation_set_certificate_at(f->opt.set, i);
        if (revocation_issuer_is_lost(c.issuer))
            err = write_certificate(f, &c, why);
    }
    return err;
}

/* --- issuers ---------------------------------------------------------------------------------- */

static void write_issuer(struct revocation_feed *f, const struct issuer_row *row, int64_t now)
{
    struct why why = {.err = ERR_OK};
    struct revocation_issuer list = {.complete = !f->is_behind,
                                     .source = REVOCATION_SOURCE_AGENT,
                                     .this_update = now,
                                     .next_update = now + REVOCATION_FRESH_S};
    err_t err = revocation_writer_issuer(f->writer, row->id, &list, &why);
    if (err != ERR_OK)
        fell_behind(f, err, &why);
}

static struct issuer_row *find_issuer(struct revocation_feed *f, const uint8_t *issuer)
{
    for (size_t i = f->issuer_count; i-- > 0;) /* the newest is asked for most */
        if (memcmp(f->issuers[i].id, issuer, REVOCATION_ISSUER_LEN) == 0)
            return &f->issuers[i];
    return NULL;
}

void revocation_feed_issuer(struct revocation_feed *f,
                            const uint8_t issuer[static REVOCATION_ISSUER_LEN], int64_t until,
                            int64_t now)
{
    struct why why = {.err = ERR_OK};
    struct issuer_row *row = find_issuer(f, issuer);
    if (revocation_issuer_is_lost(issuer))
        return;
    if (row != NULL) {
        row->until = until > row->until ? until : row->until;
        return;
    }
    if (f->issuer_count == REVOCATION_ISSUERS_MAX) {
        log_warn("revocation_issuers_full", log_int("limit", REVOCATION_ISSUERS_MAX),
                 log_str("help", "certificates of one more issuer count as unknown"));
        return;
    }
    row = &f->issuers[f->issuer_count++];
    memcpy(row->id, issuer, sizeof row->id);
    row->until = until;
    err_t err = write_lost(f, &why);
    if (err != ERR_OK)
        fell_behind(f, err, &why);
    write_issuer(f, row, now);
    commit(f);
}

static void refresh_issuers(struct revocation_feed *f, int64_t now)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->issuer_count; i++) {
        if (f->issuers[i].until < now) {
            revocation_writer_forget_issuer(f->writer, f->issuers[i].id);
            continue;
        }
        f->issuers[kept++] = f->issuers[i];
        write_issuer(f, &f->issuers[kept - 1], now);
    }
    f->issuer_count = kept;
    f->refreshed = now;
    commit(f);
}

static void tell(struct revocation_feed *f)
{
    commit(f);
    if (f->opt.on_changed != NULL)
        f->opt.on_changed(f->opt.arg, f->generation);
}

err_t revocation_feed_change(struct revocation_feed *f, const struct revocation_change *change,
                             int64_t now, struct why *why)
{
    struct why own = {.err = ERR_OK};
    err_t err = ERR_OK;
    if (change->lift)
        erase_lifted(f, change);
    else
        err = write_revoked(f, change, &own);
    if (err != ERR_OK) {
        fell_behind(f, err, &own);
        refresh_issuers(f, now);
        why_set(why, err, "%s", why_text(&own));
    }
    tell(f);
    return err;
}

/* --- life ------------------------------------------------------------------------------------- */

static void catch_up(struct revocation_feed *f, int64_t now)
{
    if (write_all(f, NULL) != ERR_OK)
        return;
    f->is_behind = false;
    log_info("revocation_cache_whole", log_int("rows", revocation_writer_count(f->writer)));
    refresh_issuers(f, now);
    tell(f);
}

void revocation_feed_tick(struct revocation_feed *f, int64_t now)
{
    if (f->is_behind)
        catch_up(f, now);
    if (now - f->refreshed >= REVOCATION_REFRESH_S || now < f->refreshed)
        refresh_issuers(f, now);
    revocation_writer_alive(f->writer, now);
}

err_t revocation_feed_new(const struct revocation_feed_options *opt, struct revocation_feed **ret,
                          struct why *why)
{
    struct revocation_feed *f = mem_alloc(sizeof *f);
    if (f == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for the revocation cache");
    f->opt = *opt;
    size_t rows = revocation_set_certificates(opt->set) + revocation_set_holds(opt->set, REVOKE_ID);
    err_t err = revocation_writer_new(rows, opt->on_replaced, opt->arg, &f->writer, why);
    if (err == ERR_OK)
        err = write_all(f, why);
    if (err != ERR_OK) {
        revocation_feed_free(f);
        return err;
    }
    commit(f);
    *ret = f;
    return ERR_OK;
}

void revocation_feed_free(struct revocation_feed *f)
{
    if (f == NULL)
        return;
    revocation_writer_free(f->writer);
    mem_free(f);
}

int revocation_feed_fd(const struct revocation_feed *f)
{
    return revocation_writer_fd(f->writer);
}

uint64_t revocation_feed_generation(const struct revocation_feed *f)
{
    return f->generation;
}

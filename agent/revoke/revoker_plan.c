#include "agent/revoke/revoker_plan.h"

#include "agent/record/record.h"
#include "common/base/mem.h"
#include "common/spiffe/spiffeid.h"

#define ROW_MAX (128u << 20)
/* A certificate counts as unexpired a little longer: the peers' clocks may be behind. */
#define SLACK_S 60
/* Expired ones revoked with an entry: connections that they opened may live. */
#define EXPIRED_MAX 65536

static err_t no_memory(struct why *why)
{
    return why_set(why, ERR_NO_MEMORY, "no memory to revoke; nothing was changed");
}

/* --- the request ------------------------------------------------------------------------------ */

/* As our listings and as openssl print it: with or without colons, either case; openssl leaves out
 * zeros in front. */
static bool parse_serial(const char *text, uint8_t ret[static REVOKED_SERIAL_LEN])
{
    char digits[2 * REVOKED_SERIAL_LEN];
    size_t count = 0;
    for (; *text != '\0'; text++) {
        if (*text == ':')
            continue;
        if (slice_hex_digit(*text) < 0 || count == sizeof digits)
            return false;
        digits[count++] = *text;
    }
    memset(ret, 0, REVOKED_SERIAL_LEN);
    for (size_t i = 0; i < count; i++) {
        size_t at = sizeof digits - count + i;
        ret[at / 2] = (uint8_t)(ret[at / 2] << 4 | slice_hex_digit(digits[i]));
    }
    return count > 0;
}

static err_t parse_target(const char *text, struct revoker_plan *op, struct why *why)
{
    struct spiffeid id;
    struct why cause = {.err = ERR_OK};
    const char *target = text;
    if (strncmp(text, "serial:", 7) == 0) {
        op->kind = REVOKE_SERIAL;
        target = text + 7;
        if (!parse_serial(target, op->serial))
            return why_set(why, ERR_USAGE,
                           "%.100s: expected 1 to 32 hexadecimal digits after serial:", text);
    } else if (strncmp(text, "entry:", 6) == 0) {
        op->kind = REVOKE_ENTRY;
        target = text + 6;
        if (target[0] == '\0' || strlen(target) > ENTRY_ID_MAX)
            return why_set(why, ERR_USAGE,
                           "expected an entry's id of 1 to %d bytes after entry:", ENTRY_ID_MAX);
    } else {
        op->kind = REVOKE_ID;
        if (strncmp(text, "spiffe:", 7) != 0)
            return why_set(why, ERR_USAGE,
                           "%.100s: expected a SPIFFE ID, serial:HEX or entry:ID to revoke", text);
        if (spiffeid_parse(slice_str(text), &id, &cause) != ERR_OK)
            return why_set(why, ERR_USAGE, "%.100s: %s", text, why_text(&cause));
        if (id.path.len == 0)
            return why_set(why, ERR_USAGE, "%.100s: expected a workload's SPIFFE ID, with a path",
                           text);
    }
    op->text = mem_strdup(text);
    if (op->text == NULL)
        return no_memory(why);
    op->target = op->text + (target - text);
    return ERR_OK;
}

static err_t parse_reason(const char *text, struct revoker_plan *op, struct why *why)
{
    struct buf names;
    op->has_reason = text != NULL;
    if (text == NULL || revocation_reason_parse(text, &op->reason))
        return ERR_OK;
    buf_init(&names, 1024);
    err_t err = ERR_OK;
    for (size_t i = 0; i < revocation_reason_count() && err == ERR_OK; i++)
        err = buf_printf(&names, " %s", revocation_reason_name(revocation_reason_at(i)));
    why_set(why, ERR_USAGE, "%.100s is no reason; there are%.*s", text,
            SLICE_ARG(buf_slice(&names)));
    buf_done(&names);
    return ERR_USAGE;
}

err_t revoker_plan_parse(const struct revoker_request *req, struct revoker_plan *ret,
                         struct why *why)
{
    struct revoker_plan op = {.lift = req->lift,
                              .reason = REVOCATION_UNSPECIFIED,
                              .by_uid = req->by_uid,
                              .by_pid = req->by_pid};
    buf_init(&op.row, ROW_MAX);
    err_t err = parse_reason(req->reason, &op, why);
    if (err == ERR_OK && req->lift && req->reason != NULL)
        err = why_set(why, ERR_USAGE, "a reason goes with revoking, not with lifting");
    if (err == ERR_OK)
        err = parse_target(req->target, &op, why);
    if (err == ERR_OK)
        *ret = op;
    return err;
}

void revoker_plan_done(struct revoker_plan *op)
{
    mem_free(op->text);
    buf_done(&op->row);
}

/* --- its row ---------------------------------------------------------------------------------- */

static err_t begin_row(struct revoker_plan *op, int64_t now, struct why *why)
{
    struct revocation_change change = {.kind = op->kind,
                                       .lift = op->lift,
                                       .reason = op->reason,
                                       .at = now,
                                       .by_uid = op->by_uid,
                                       .by_pid = op->by_pid};
    if (op->kind != REVOKE_SERIAL)
        change.target = slice_str(op->target);
    return revocation_row_begin(&op->row, &change) == ERR_OK ? ERR_OK : no_memory(why);
}

static err_t add_certificate(struct revoker_plan *op, const uint8_t *issuer, const uint8_t *serial,
                             int64_t not_after)
{
    struct revoked c;
    memcpy(c.issuer, issuer, sizeof c.issuer);
    memcpy(c.serial, serial, sizeof c.serial);
    revoked_set_not_after(&c, not_after);
    err_t err = buf_append(&op->row, &c, sizeof c);
    op->count += err == ERR_OK;
    return err;
}

/* Closes the row, or takes it back when there is nothing to say. */
static err_t end_row(const struct revoker_sources *r, struct revoker_plan *op, bool is_change,
                     struct why *why)
{
    struct revocation_change change;
    if (!is_change) {
        buf_clear(&op->row);
        return ERR_OK;
    }
    revocation_row_end(&op->row, 0);
    revocation_row_parse(buf_slice(&op->row), &change);
    return revocation_set_reserve(r->set, &change, why);
}

struct collect {
    const struct revoker_sources *r;
    struct revoker_plan *op;
    int64_t now;
    err_t err;
    size_t seen;
    size_t left;     /* how many more may be added */
    bool is_damaged; /* a certificate, or who signed it, cannot be read */
    bool is_cut;     /* there are more */
};

/* What expired is revoked as if it expired now, so that sidecars have time to see it. */
static int64_t raised(int64_t not_after, int64_t now)
{
    return not_after > now ? not_after : now;
}

/* Not yet revoked, or for another reason: by the one given, or that of the hold. */
static bool collect(void *arg, const struct record_item *item)
{
    struct collect *c = arg;
    struct revocation_certificate had;
    c->seen++;
    c->is_damaged = c->is_damaged || revocation_issuer_is_lost(item->issuer);
    if (revocation_set_find(c->r->set, item->serial, &had) &&
        (!c->op->has_reason || had.reason == c->op->reason))
        return true;
    c->is_cut = c->left == 0;
    if (c->is_cut)
        return false;
    c->left--;
    c->err = add_certificate(c->op, item->issuer, item->serial, raised(item->not_after, c->now));
    return c->err == ERR_OK;
}

/* What cannot be read must not keep the rest from being revoked. */
static err_t collect_each(struct collect *c, const struct record_query *query, struct why *why)
{
    err_t err = record_each_unexpired(c->r->record, query, collect, c, why);
    if (c->err != ERR_OK)
        return no_memory(why);
    if (err != ERR_PARSE && err != ERR_IO)
        return err;
    c->seen++;
    c->is_damaged = true;
    return ERR_OK;
}

/* The cache holds no entries: to peers its connections are those of its certificates. */
static err_t collect_expired(struct collect *c, const struct record_query *unexpired,
                             struct why *why)
{
    struct record_query query = *unexpired;
    size_t had = revocation_set_certificates(c->r->set) + c->op->count;
    size_t room = had < REVOKED_MAX ? REVOKED_MAX - had : 0;
    query.expires_before = query.now;
    query.now = 0;
    c->left = room < EXPIRED_MAX ? room : EXPIRED_MAX;
    return collect_each(c, &query, why);
}

static const char *note_of_hold(const struct collect *c, bool is_known)
{
    if (!is_known)
        return "no entry has this SPIFFE ID and no certificate of it is recorded here; it is held "
               "all the same";
    if (c->is_cut)
        return "it has had so many certificates that connections opened with the oldest may go on: "
               "revoke its SPIFFE ID to be sure";
    if (!c->is_damaged)
        return NULL;
    if (c->op->kind == REVOKE_ID)
        return "the record is damaged, so that a certificate of it may not be listed as revoked; "
               "it is held, so that peers refuse it all the same";
    return "the record is damaged, so that a certificate of it may not be revoked: revoke its "
           "SPIFFE ID to be sure";
}

static bool entry_is_known(const struct revoker_sources *r, const struct revoker_plan *op)
{
    const struct entry_set *set = r->entries(r->arg);
    if (set == NULL)
        return false;
    if (op->kind == REVOKE_ENTRY)
        return entries_find(set, op->target) != NULL;
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->items[i].spiffe_id, op->target) == 0)
            return true;
    return false;
}

static err_t plan_hold(const struct revoker_sources *r, struct revoker_plan *op, int64_t now,
                       struct why *why)
{
    struct revocation_hold had;
    struct collect c = {.r = r, .op = op, .now = now, .left = SIZE_MAX};
    bool held = revocation_set_held(r->set, op->kind, slice_str(op->target), &had);
    bool same = held && (!op->has_reason || had.reason == op->reason);
    if (same)
        op->reason = had.reason;
    struct record_query query = {.spiffe_id = op->kind == REVOKE_ID ? op->target : NULL,
                                 .entry_id = op->kind == REVOKE_ENTRY ? op->target : NULL,
                                 .now = now - SLACK_S};
    err_t err = begin_row(op, now, why);
    if (err == ERR_OK)
        err = collect_each(&c, &query, why);
    if (err == ERR_OK && op->kind == REVOKE_ENTRY && !same)
        err = collect_expired(&c, &query, why);
    if (err != ERR_OK)
        return err;
    bool known = held || c.seen > 0 || entry_is_known(r, op);
    if (!known && op->kind == REVOKE_ENTRY)
        return why_set(why, ERR_NOT_FOUND,
                       "no entry has the id %s, and the record has no certificate of it; "
                       "spindle-agent entries lists them",
                       op->target);
    op->note = note_of_hold(&c, known);
    if (same && op->count == 0)
        op->note = "it was revoked before; nothing changed";
    return end_row(r, op, !same || op->count > 0, why);
}

static err_t plan_lift(const struct revoker_sources *r, struct revoker_plan *op, int64_t now,
                       struct why *why)
{
    struct revocation_hold had;
    if (!revocation_set_held(r->set, op->kind, slice_str(op->target), &had)) {
        op->note = "it was not held; nothing changed";
        return ERR_OK;
    }
    op->reason = had.reason;
    op->note = "certificates that were revoked stay revoked; new ones are issued";
    err_t err = begin_row(op, now, why);
    return err == ERR_OK ? end_row(r, op, true, why) : err;
}

/* --- one certificate -------------------------------------------------------------------------- */

static err_t one_row(const struct revoker_sources *r, struct revoker_plan *op,
                     const uint8_t *issuer, int64_t not_after, int64_t now, struct why *why)
{
    err_t err = begin_row(op, now, why);
    if (err == ERR_OK && add_certificate(op, issuer, op->serial, not_after) != ERR_OK)
        err = no_memory(why);
    return err == ERR_OK ? end_row(r, op, true, why) : err;
}

static err_t find_recorded(const struct revoker_sources *r, const struct revoker_plan *op,
                           struct record_item *ret, struct why *why)
{
    err_t err = record_find_serial(r->record, op->serial, ret, why);
    if (err == ERR_NOT_FOUND)
        return why_set(why, err,
                       "no certificate with the serial %s is recorded here: this agent did not "
                       "issue it, or it expired long ago; its SPIFFE ID can be revoked",
                       op->target);
    return err;
}

static err_t plan_serial(const struct revoker_sources *r, struct revoker_plan *op, int64_t now,
                         struct why *why)
{
    struct revocation_certificate had;
    struct record_item item;
    bool revoked = revocation_set_find(r->set, op->serial, &had);
    if (revoked && (!op->has_reason || had.reason == op->reason)) {
        op->reason = had.reason;
        op->note = "it was revoked before; nothing changed";
        return ERR_OK;
    }
    if (revoked)
        return one_row(r, op, had.issuer, had.not_after, now, why);
    err_t err = find_recorded(r, op, &item, why);
    if (err == ERR_OK && item.not_after < now - SLACK_S)
        op->note = "it has expired; connections that it opened are cut";
    if (err == ERR_OK && revocation_issuer_is_lost(item.issuer))
        op->note = "the record is damaged and does not say who signed it: peers refuse it when one "
                   "of the known authorities did; revoke its SPIFFE ID to be sure";
    return err == ERR_OK ? one_row(r, op, item.issuer, raised(item.not_after, now), now, why) : err;
}

static err_t plan_lift_serial(const struct revoker_sources *r, struct revoker_plan *op, int64_t now,
                              struct why *why)
{
    struct revocation_certificate had;
    struct record_item item;
    if (!revocation_set_find(r->set, op->serial, &had)) {
        op->note = "it was not revoked; nothing changed";
        return find_recorded(r, op, &item, why);
    }
    op->reason = had.reason;
    err_t err = one_row(r, op, had.issuer, had.not_after, now, why);
    struct revocation_hold hold;
    if (err == ERR_OK && record_find_serial(r->record, op->serial, &item, NULL) == ERR_OK &&
        revocation_set_held(r->set, REVOKE_ID, slice_str(item.spiffe_id), &hold))
        op->note = "its SPIFFE ID is held, so that peers refuse it all the same";
    return err;
}

err_t revoker_plan_make(struct revoker_plan *p, const struct revoker_sources *from, int64_t now,
                        struct why *why)
{
    if (p->kind == REVOKE_SERIAL)
        return p->lift ? plan_lift_serial(from, p, now, why) : plan_serial(from, p, now, why);
    return p->lift ? plan_lift(from, p, now, why) : plan_hold(from, p, now, why);
}

#include "agent/revoke/revocation_set.h"

#include "common/base/mem.h"

#include <assert.h>

enum { NONE = 0, FIRST = 64, ROW_HEAD = 40 };

struct hold {
    char *target; /* owned */
    int64_t at;
    uint32_t by_uid;
    uint32_t next; /* of its bucket, index + 1 */
    uint8_t kind, reason;
};

struct certificate {
    uint8_t serial[REVOKED_SERIAL_LEN];
    uint8_t issuer[20];
    uint32_t next; /* of its bucket, index + 1 */
    int64_t at, not_after;
    uint8_t reason;
};

/* Two arrays without gaps, each with buckets that hold indexes + 1. Serials are our authority's
 * random numbers, targets are the operators': no stranger chooses where they fall. */
struct revocation_set {
    struct hold *holds;
    uint32_t *hold_buckets;
    size_t hold_count, hold_room;
    size_t id_count;
    struct certificate *certificates;
    uint32_t *buckets;
    size_t count, room;
    size_t cursor; /* of revocation_set_expire */
    char *spare;   /* owned; the target of the hold that is about to be made */
};

bool revocation_issuer_is_lost(const uint8_t issuer[static 20])
{
    static const uint8_t lost[20];
    return memcmp(issuer, lost, sizeof lost) == 0;
}

/* --- finding ---------------------------------------------------------------------------------- */

static uint32_t *hold_slot(const struct revocation_set *s, enum revoke_kind kind,
                           struct slice target)
{
    uint64_t h = 14695981039346656037u + kind; /* FNV-1a */
    for (size_t i = 0; i < target.len; i++)
        h = (h ^ target.data[i]) * 1099511628211u;
    uint32_t *at = &s->hold_buckets[(h ^ h >> 32) & (s->hold_room - 1)];
    while (*at != NONE &&
           (s->holds[*at - 1].kind != kind || !slice_eq_str(target, s->holds[*at - 1].target)))
        at = &s->holds[*at - 1].next;
    return at;
}

static uint32_t *slot(const struct revocation_set *s, const uint8_t *serial)
{
    uint64_t high, low;
    memcpy(&high, serial, sizeof high);
    memcpy(&low, serial + sizeof high, sizeof low);
    uint64_t h = (high ^ low * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u; /* counters too spread */
    uint32_t *at = &s->buckets[(h >> 40) & (s->room - 1)];
    while (*at != NONE && memcmp(s->certificates[*at - 1].serial, serial, REVOKED_SERIAL_LEN) != 0)
        at = &s->certificates[*at - 1].next;
    return at;
}

struct revocation_hold revocation_set_hold_at(const struct revocation_set *s, size_t index)
{
    const struct hold *h = &s->holds[index];
    assert(index < s->hold_count);
    return (struct revocation_hold){.kind = (enum revoke_kind)h->kind,
                                    .target = h->target,
                                    .reason = (enum revocation_reason)h->reason,
                                    .at = h->at,
                                    .by_uid = h->by_uid};
}

struct revocation_certificate revocation_set_certificate_at(const struct revocation_set *s,
                                                            size_t index)
{
    const struct certificate *c = &s->certificates[index];
    assert(index < s->count);
    return (struct revocation_certificate){.issuer = c->issuer,
                                           .serial = c->serial,
                                           .reason = (enum revocation_reason)c->reason,
                                           .at = c->at,
                                           .not_after = c->not_after};
}

bool revocation_set_held(const struct revocation_set *s, enum revoke_kind kind, struct slice target,
                         struct revocation_hold *ret)
{
    if (s->hold_count == 0)
        return false;
    uint32_t at = *hold_slot(s, kind, target);
    if (at != NONE)
        *ret = revocation_set_hold_at(s, at - 1);
    return at != NONE;
}

bool revocation_set_find(const struct revocation_set *s,
                         const uint8_t serial[static REVOKED_SERIAL_LEN],
                         struct revocation_certificate *ret)
{
    if (s->count == 0)
        return false;
    uint32_t at = *slot(s, serial);
    if (at != NONE)
        *ret = revocation_set_certificate_at(s, at - 1);
    return at != NONE;
}

size_t revocation_set_holds(const struct revocation_set *s, enum revoke_kind kind)
{
    return kind == REVOKE_ID ? s->id_count : s->hold_count - s->id_count;
}

size_t revocation_set_certificates(const struct revocation_set *s)
{
    return s->count;
}

/* --- room ------------------------------------------------------------------------------------- */

static err_t grow_holds(struct revocation_set *s, size_t room)
{
    struct hold *holds = mem_resize(s->holds, room * sizeof *holds);
    if (holds == NULL)
        return ERR_NO_MEMORY;
    s->holds = holds;
    uint32_t *buckets = mem_array(room, sizeof *buckets);
    if (buckets == NULL)
        return ERR_NO_MEMORY;
    mem_free(s->hold_buckets);
    s->hold_buckets = buckets;
    s->hold_room = room;
    for (size_t i = 0; i < s->hold_count; i++)
        s->holds[i].next = NONE;
    for (size_t i = 0; i < s->hold_count; i++)
        *hold_slot(s, (enum revoke_kind)holds[i].kind, slice_str(holds[i].target)) =
            (uint32_t)i + 1;
    return ERR_OK;
}

static err_t grow_certificates(struct revocation_set *s, size_t room)
{
    struct certificate *certificates = mem_resize(s->certificates, room * sizeof *certificates);
    if (certificates == NULL)
        return ERR_NO_MEMORY;
    s->certificates = certificates;
    uint32_t *buckets = mem_array(room, sizeof *buckets);
    if (buckets == NULL)
        return ERR_NO_MEMORY;
    mem_free(s->buckets);
    s->buckets = buckets;
    s->room = room;
    for (size_t i = 0; i < s->count; i++)
        certificates[i].next = NONE;
    for (size_t i = 0; i < s->count; i++)
        *slot(s, certificates[i].serial) = (uint32_t)i + 1;
    return ERR_OK;
}

static size_t doubled(size_t room, size_t wanted)
{
    for (room = room > 0 ? room : FIRST; room < wanted;)
        room *= 2;
    return room;
}

static err_t reserve_hold(struct revocation_set *s, struct slice target, struct why *why)
{
    if (s->hold_count >= REVOCATION_HOLDS_MAX)
        return why_set(why, ERR_LIMIT, "%d SPIFFE IDs and entries are held, which is the most",
                       REVOCATION_HOLDS_MAX);
    char *spare = mem_alloc(target.len + 1);
    if (spare == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory to hold it");
    memcpy(spare, target.data, target.len);
    mem_free(s->spare);
    s->spare = spare;
    if (s->hold_count + 1 > s->hold_room &&
        grow_holds(s, doubled(s->hold_room, s->hold_count + 1)) != ERR_OK)
        return why_set(why, ERR_NO_MEMORY, "no memory to hold it");
    return ERR_OK;
}

static size_t count_new(const struct revocation_set *s, const struct revocation_change *c)
{
    struct revocation_certificate had;
    size_t count = 0;
    for (size_t i = 0; i < c->count; i++)
        count += !revocation_set_find(s, c->revoked[i].serial, &had);
    return count;
}

err_t revocation_set_reserve(struct revocation_set *s, const struct revocation_change *c,
                             struct why *why)
{
    err_t err = ERR_OK;
    size_t more = c->count;
    if (c->lift)
        return ERR_OK;
    if (s->count + more > s->room)
        more = count_new(s, c);
    if (more > REVOKED_MAX - s->count)
        return why_set(why, ERR_LIMIT,
                       "%zu certificates more would be revoked, %zu are and %u may be", more,
                       s->count, REVOKED_MAX);
    if (c->kind != REVOKE_SERIAL)
        err = reserve_hold(s, c->target, why);
    if (err == ERR_OK && s->count + more > s->room &&
        grow_certificates(s, doubled(s->room, s->count + more)) != ERR_OK)
        err = why_set(why, ERR_NO_MEMORY, "no memory for %zu revoked certificates", more);
    return err;
}

/* --- changing --------------------------------------------------------------------------------- */

static void hold(struct revocation_set *s, const struct revocation_change *c)
{
    uint32_t *at = hold_slot(s, c->kind, c->target);
    if (*at != NONE) {
        s->holds[*at - 1].reason = (uint8_t)c->reason;
        return;
    }
    assert(s->hold_count < s->hold_room && s->spare != NULL);
    *at = (uint32_t)s->hold_count + 1;
    s->holds[s->hold_count++] = (struct hold){.target = s->spare,
                                              .at = c->at,
                                              .by_uid = c->by_uid,
                                              .kind = (uint8_t)c->kind,
                                              .reason = (uint8_t)c->reason};
    s->spare = NULL;
    s->id_count += c->kind == REVOKE_ID;
}

static void release(struct revocation_set *s, const struct revocation_change *c)
{
    uint32_t *at = s->hold_count > 0 ? hold_slot(s, c->kind, c->target) : NULL;
    if (at == NULL || *at == NONE)
        return;
    uint32_t index = *at - 1, last = (uint32_t)s->hold_count - 1;
    *at = s->holds[index].next;
    mem_free(s->holds[index].target);
    s->id_count -= c->kind == REVOKE_ID;
    if (index != last) {
        struct hold *h = &s->holds[last];
        *hold_slot(s, (enum revoke_kind)h->kind, slice_str(h->target)) = index + 1;
        s->holds[index] = *h;
    }
    s->hold_count--;
}

static void revoke(struct revocation_set *s, const struct revocation_change *change,
                   const struct revoked *r)
{
    uint32_t *at = slot(s, r->serial);
    if (*at != NONE) {
        s->certificates[*at - 1].reason = (uint8_t)change->reason;
        return;
    }
    assert(s->count < s->room);
    *at = (uint32_t)s->count + 1;
    struct certificate *c = &s->certificates[s->count++];
    *c = (struct certificate){
        .at = change->at, .not_after = revoked_not_after(r), .reason = (uint8_t)change->reason};
    memcpy(c->serial, r->serial, sizeof c->serial);
    memcpy(c->issuer, r->issuer, sizeof c->issuer);
}

static void forget(struct revocation_set *s, const uint8_t *serial)
{
    uint32_t *at = s->count > 0 ? slot(s, serial) : NULL;
    if (at == NULL || *at == NONE)
        return;
    uint32_t index = *at - 1, last = (uint32_t)s->count - 1;
    *at = s->certificates[index].next;
    if (index != last) {
        *slot(s, s->certificates[last].serial) = index + 1;
        s->certificates[index] = s->certificates[last];
    }
    s->count--;
}

void revocation_set_apply(struct revocation_set *s, const struct revocation_change *c)
{
    if (c->kind != REVOKE_SERIAL && c->lift)
        release(s, c);
    else if (c->kind != REVOKE_SERIAL)
        hold(s, c);
    for (size_t i = 0; i < c->count; i++) {
        if (c->lift)
            forget(s, c->revoked[i].serial);
        else
            revoke(s, c, &c->revoked[i]);
    }
}

void revocation_set_expire(struct revocation_set *s, int64_t now, size_t some,
                           void (*fn)(void *arg, const struct revocation_certificate *c), void *arg)
{
    for (; some > 0 && s->count > 0; some--) {
        if (s->cursor >= s->count)
            s->cursor = 0;
        struct revocation_certificate c = revocation_set_certificate_at(s, s->cursor);
        if (c.not_after >= now) {
            s->cursor++;
            continue;
        }
        fn(arg, &c);
        forget(s, c.serial);
    }
}

/* --- writing ---------------------------------------------------------------------------------- */

static err_t write_hold(const struct hold *h, struct buf *out)
{
    size_t start = out->len;
    err_t err = revocation_row_begin(
        out, &(struct revocation_change){.kind = (enum revoke_kind)h->kind,
                                         .reason = (enum revocation_reason)h->reason,
                                         .at = h->at,
                                         .by_uid = h->by_uid,
                                         .target = slice_str(h->target)});
    if (err == ERR_OK)
        revocation_row_end(out, start);
    return err;
}

static bool same_row(const struct certificate *a, const struct certificate *b)
{
    return a->at == b->at && a->reason == b->reason;
}

/* One row for those that lie together and were revoked together. */
static err_t write_run(const struct certificate *c, size_t count, size_t *ret_used, struct buf *out)
{
    size_t start = out->len, i = 0;
    err_t err = revocation_row_begin(
        out, &(struct revocation_change){
                 .kind = REVOKE_SERIAL, .reason = (enum revocation_reason)c->reason, .at = c->at});
    for (; i < count && same_row(c, &c[i]) && err == ERR_OK; i++) {
        struct revoked r;
        memcpy(r.issuer, c[i].issuer, sizeof r.issuer);
        memcpy(r.serial, c[i].serial, sizeof r.serial);
        revoked_set_not_after(&r, c[i].not_after);
        err = buf_append(out, &r, sizeof r);
    }
    if (err == ERR_OK)
        revocation_row_end(out, start);
    *ret_used = i;
    return err;
}

err_t revocation_set_write(const struct revocation_set *s, struct buf *out)
{
    err_t err = revocation_journal_header(out);
    for (size_t i = 0; i < s->hold_count && err == ERR_OK; i++)
        err = write_hold(&s->holds[i], out);
    for (size_t i = 0, used = 0; i < s->count && err == ERR_OK; i += used)
        err = write_run(&s->certificates[i], s->count - i, &used, out);
    return err;
}

size_t revocation_set_written_len(const struct revocation_set *s)
{
    size_t len = 0;
    for (size_t i = 0; i < s->hold_count; i++)
        len += ROW_HEAD + strlen(s->holds[i].target);
    return len + s->count * sizeof(struct revoked);
}

/* --- life ------------------------------------------------------------------------------------- */

err_t revocation_set_new(struct revocation_set **ret)
{
    struct revocation_set *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return ERR_NO_MEMORY;
    *ret = s;
    return ERR_OK;
}

void revocation_set_free(struct revocation_set *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->hold_count; i++)
        mem_free(s->holds[i].target);
    mem_free(s->holds);
    mem_free(s->hold_buckets);
    mem_free(s->certificates);
    mem_free(s->buckets);
    mem_free(s->spare);
    mem_free(s);
}

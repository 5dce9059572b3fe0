#include "agent/svid/svid.h"

#include "agent/svid/rotation.h"
#include "common/base/mem.h"
#include "common/base/secret.h"
#include "common/crypto/key.h"

#include <assert.h>
#include <stddef.h>

struct parts {
    const char *entry_id, *spiffe_id, *hint;
    struct slice chain, key;
};

const char *svid_why_name(enum svid_why why)
{
    static const char *const names[] = {
        [SVID_FIRST] = "first", [SVID_RENEWAL] = "renewal", [SVID_BY_OPERATOR] = "operator"};
    return names[why];
}

static void *parts_put(uint8_t **at, const void *data, size_t len)
{
    uint8_t *here = *at;
    memcpy(here, data, len);
    *at += len;
    return here;
}

static struct svid *svid_compose(const struct parts *p)
{
    size_t id = strlen(p->entry_id) + 1, name = strlen(p->spiffe_id) + 1,
           hint = strlen(p->hint) + 1;
    struct svid *s = mem_alloc(sizeof *s + id + name + hint + p->chain.len);
    uint8_t *key = secret_alloc(p->key.len);
    if (s == NULL || key == NULL) {
        mem_free(s);
        secret_free(key);
        return NULL;
    }
    uint8_t *at = (uint8_t *)(s + 1);
    s->refs = 1;
    s->entry_id = parts_put(&at, p->entry_id, id);
    s->spiffe_id = parts_put(&at, p->spiffe_id, name);
    s->hint = parts_put(&at, p->hint, hint);
    s->chain = parts_put(&at, p->chain.data, p->chain.len);
    s->chain_len = p->chain.len;
    s->key = key;
    memcpy(s->key, p->key.data, p->key.len);
    s->key_len = p->key.len;
    return s;
}

static void on_signed(struct authority_job *job, err_t err, const struct authority_answer *answer,
                      const struct why *why)
{
    struct svid_order *o =
        (struct svid_order *)(void *)((char *)job - offsetof(struct svid_order, job));
    struct svid *s = NULL;
    struct why own = {.err = ERR_OK};
    if (err == ERR_OK) {
        s = svid_compose(&(struct parts){.entry_id = o->entry->id,
                                         .spiffe_id = o->entry->spiffe_id,
                                         .hint = o->entry->hint,
                                         .chain = answer->chain,
                                         .key = key_pkcs8(o->key)});
        err = s != NULL ? ERR_OK : why_set(&own, ERR_NO_MEMORY, "no memory for an SVID");
        why = &own;
    }
    key_free(o->key);
    o->key = NULL;
    if (s != NULL) {
        s->issued_at = o->now;
        s->not_before = answer->not_before;
        s->not_after = answer->not_after;
        s->renew_at = rotation_time(o->now, answer->not_before, answer->not_after, o->jitter);
        memcpy(s->serial, answer->serial, sizeof s->serial);
        memcpy(s->issuer, answer->issuer, sizeof s->issuer);
    }
    o->done(o, err, s, why);
}

void svid_issue(const struct authority *authority, struct svid_order *o)
{
    struct why why = {.err = ERR_OK};
    err_t err = key_generate(KEY_EC_P256, &o->key, &why);
    if (err != ERR_OK) {
        o->done(o, err, NULL, &why);
        return;
    }
    o->job.done = on_signed;
    o->job.request = (struct authority_request){
        .spiffe_id = o->entry->spiffe_id,
        .dns_names = (const char *const *)o->entry->dns_names,
        .spki = key_spki(o->key),
        .now = o->now,
        .ttl_s = o->ttl_s,
    };
    authority->sign(authority->self, &o->job);
}

void svid_cancel(const struct authority *authority, struct svid_order *o)
{
    if (o->key == NULL)
        return;
    authority->cancel(authority->self, &o->job);
    key_free(o->key);
    o->key = NULL;
}

err_t svid_with_hint(const struct svid *s, const char *hint, struct svid **ret)
{
    struct svid *copy = svid_compose(&(struct parts){.entry_id = s->entry_id,
                                                     .spiffe_id = s->spiffe_id,
                                                     .hint = hint,
                                                     .chain = slice_of(s->chain, s->chain_len),
                                                     .key = slice_of(s->key, s->key_len)});
    if (copy == NULL)
        return ERR_NO_MEMORY;
    copy->issued_at = s->issued_at;
    copy->not_before = s->not_before;
    copy->not_after = s->not_after;
    copy->renew_at = s->renew_at;
    memcpy(copy->serial, s->serial, sizeof copy->serial);
    memcpy(copy->issuer, s->issuer, sizeof copy->issuer);
    *ret = copy;
    return ERR_OK;
}

struct svid *svid_ref(struct svid *s)
{
    s->refs++;
    return s;
}

void svid_unref(struct svid *s)
{
    if (s == NULL)
        return;
    assert(s->refs > 0);
    if (--s->refs > 0)
        return;
    secret_free(s->key);
    mem_free(s);
}

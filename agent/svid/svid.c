#include "agent/svid/svid.h"

#include "agent/svid/rotation.h"
#include "common/base/mem.h"
#include "common/base/secret.h"
#include "common/crypto/key.h"

#include <assert.h>

enum { CHAIN_MAX = 256 * 1024, CHAIN_USUAL = 2048 };

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

static void *put(uint8_t **at, const void *data, size_t len)
{
    uint8_t *here = *at;
    memcpy(here, data, len);
    *at += len;
    return here;
}

static struct svid *compose(const struct parts *p)
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
    s->entry_id = put(&at, p->entry_id, id);
    s->spiffe_id = put(&at, p->spiffe_id, name);
    s->hint = put(&at, p->hint, hint);
    s->chain = put(&at, p->chain.data, p->chain.len);
    s->chain_len = p->chain.len;
    s->key = key;
    memcpy(s->key, p->key.data, p->key.len);
    s->key_len = p->key.len;
    return s;
}

err_t svid_issue(struct authority *authority, const struct entry *e, int64_t ttl_s, int64_t now,
                 unsigned jitter, struct svid **ret, struct why *why)
{
    struct key *key = NULL;
    struct svid *s = NULL;
    struct buf chain;
    struct authority_answer answer;
    buf_init(&chain, CHAIN_MAX);
    err_t err = buf_reserve(&chain, CHAIN_USUAL);
    if (err != ERR_OK)
        why_set(why, err, "no memory for a certificate");
    if (err == ERR_OK)
        err = key_generate(KEY_EC_P256, &key, why);
    if (err != ERR_OK)
        goto out;
    const struct authority_request req = {
        .spiffe_id = e->spiffe_id,
        .dns_names = (const char *const *)e->dns_names,
        .spki = key_spki(key),
        .now = now,
        .ttl_s = ttl_s,
    };
    err = authority_issue(authority, &req, &chain, &answer, why);
    if (err != ERR_OK)
        goto out;
    s = compose(&(struct parts){.entry_id = e->id,
                                .spiffe_id = e->spiffe_id,
                                .hint = e->hint,
                                .chain = buf_slice(&chain),
                                .key = key_pkcs8(key)});
    if (s == NULL) {
        err = why_set(why, ERR_NO_MEMORY, "no memory for an SVID");
        goto out;
    }
    s->issued_at = now;
    s->not_before = answer.not_before;
    s->not_after = answer.not_after;
    s->renew_at = rotation_time(now, answer.not_before, answer.not_after, jitter);
    memcpy(s->serial, answer.serial, sizeof s->serial);
    memcpy(s->issuer, answer.issuer, sizeof s->issuer);
    *ret = s;
out:
    key_free(key);
    buf_done(&chain);
    return err;
}

err_t svid_with_hint(const struct svid *s, const char *hint, struct svid **ret)
{
    struct svid *copy = compose(&(struct parts){.entry_id = s->entry_id,
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

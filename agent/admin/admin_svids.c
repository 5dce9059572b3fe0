#include "agent/admin/admin_svids.h"

#include "agent/admin/admin_sources.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/quantity.h"
#include "common/encode/query.h"
#include "common/x509/x509.h"

enum { VALUE_MAX = 4096, HEX_LEN = 2 * RECORD_ISSUER_LEN + 1 };

/* What a request may say, decoded. */
enum value {
    VALUE_AFTER,
    VALUE_ENTRY,
    VALUE_EXPIRES_AFTER,
    VALUE_EXPIRES_BEFORE,
    VALUE_FROM,
    VALUE_ID,
    VALUE_LIMIT,
    VALUE_SERIAL,
    VALUE_STATE,
    VALUE_TARGET,
    VALUES
};
static const char *const value_names[VALUES] = {
    [VALUE_AFTER] = "after",
    [VALUE_ENTRY] = "entry",
    [VALUE_EXPIRES_AFTER] = "expires_after",
    [VALUE_EXPIRES_BEFORE] = "expires_before",
    [VALUE_FROM] = "from",
    [VALUE_ID] = "id",
    [VALUE_LIMIT] = "limit",
    [VALUE_SERIAL] = "serial",
    [VALUE_STATE] = "state",
    [VALUE_TARGET] = "target",
};
struct values {
    struct buf at[VALUES]; /* text, or empty */
};

/* Rows. */

static void set_hex(json_t *row, const char *name, const uint8_t *bytes, size_t len)
{
    char text[HEX_LEN];
    json_object_set_new(row, name,
                        json_string(x509_serial_text(slice_of(bytes, len), text, sizeof text)));
}

static const char *because_of(unsigned flags)
{
    if ((flags & RECORD_BY_OPERATOR) != 0)
        return "operator";
    return (flags & RECORD_RENEWAL) != 0 ? "renewal" : "first";
}

/* valid, expired or revoked. */
static const char *state_of(const struct admin_sources *src, const struct record_item *item,
                            struct revocation_status *ret)
{
    *ret = revoker_status(src->revoker, item->issuer, item->serial);
    if (ret->state == REVOCATION_REVOKED)
        return "revoked";
    return item->not_after < clock_wall_s() ? "expired" : "valid";
}

static void set_state(json_t *row, const struct admin_sources *src, const struct record_item *item)
{
    struct revocation_status status;
    json_object_set_new(row, "state", json_string(state_of(src, item, &status)));
    if (status.state != REVOCATION_REVOKED)
        return;
    json_object_set_new(row, "reason", json_string(revocation_reason_name(status.reason)));
    json_answer_time(row, "revoked_at", status.at);
}

static json_t *item_json(const struct admin_sources *src, const struct record_item *item)
{
    unsigned subscribers = 0;
    const struct svid *live = minter_find(src->minter, item->entry_id, &subscribers);
    bool in_use = live != NULL && memcmp(live->serial, item->serial, sizeof item->serial) == 0;
    json_t *row = json_pack("{s:s, s:s, s:s, s:b}", "spiffe_id", item->spiffe_id, "entry",
                            item->entry_id, "because", because_of(item->flags), "in_use", in_use);
    set_hex(row, "serial", item->serial, sizeof item->serial);
    set_hex(row, "issuer", item->issuer, sizeof item->issuer);
    json_answer_time(row, "issued_at", item->issued_at);
    json_answer_time(row, "not_before", item->not_before);
    json_answer_time(row, "not_after", item->not_after);
    set_state(row, src, item);
    if (in_use) {
        json_answer_time(row, "renew_at", live->renew_at);
        json_object_set_new(row, "subscribers", json_integer(subscribers));
    }
    return row;
}

static struct record_item item_of(const struct svid *s)
{
    struct record_item item = {.spiffe_id = s->spiffe_id,
                               .entry_id = s->entry_id,
                               .not_before = s->not_before,
                               .not_after = s->not_after,
                               .issued_at = s->issued_at};
    memcpy(item.serial, s->serial, sizeof item.serial);
    memcpy(item.issuer, s->issuer, sizeof item.issuer);
    return item;
}

static json_t *svid_json(const struct admin_sources *src, const struct svid *s)
{
    struct record_item item = item_of(s);
    json_t *row = item_json(src, &item);
    json_object_del(row, "because"); /* the record knows */
    json_object_set_new(row, "hint", json_string(s->hint));
    return row;
}

/* {"svids": rows}, "next" behind it. */
static void answer_rows(struct http_response *res, json_t *rows, json_t *next)
{
    json_t *whole = json_pack("{s:o}", "svids", rows);
    if (next != NULL)
        json_object_set_new(whole, "next", next);
    json_answer(res, whole);
}

/* Parameters. */

static void values_done(struct values *v)
{
    for (size_t i = 0; i < VALUES; i++)
        buf_done(&v->at[i]);
}

/* values_done after a failure too. */
static err_t values_read(struct values *v, const struct http_request *req, struct why *why)
{
    for (size_t i = 0; i < VALUES; i++)
        buf_init(&v->at[i], VALUE_MAX);
    for (size_t i = 0; i < VALUES; i++) {
        err_t err = query_find(req->query, value_names[i], &v->at[i]);
        if (err == ERR_NO_MEMORY)
            return why_set(why, err, "no memory for an answer");
        if (err != ERR_OK && err != ERR_NOT_FOUND)
            return why_set(why, ERR_USAGE, "%s: expected at most %d bytes, percent-encoded",
                           value_names[i], VALUE_MAX - 1);
    }
    return ERR_OK;
}

/* NULL when it was not given. */
static const char *text_of(const struct values *v, enum value which)
{
    return v->at[which].len > 0 ? (const char *)v->at[which].data : NULL;
}

static err_t number_of(const struct values *v, enum value which, uint64_t otherwise, uint64_t max,
                       uint64_t *ret, struct why *why)
{
    const char *text = text_of(v, which);
    *ret = otherwise;
    if (text == NULL || quantity_parse_number(text, max, ret) == ERR_OK)
        return ERR_OK;
    return why_set(why, ERR_USAGE, "%s: expected a number from 0 to %llu, found \"%.40s\"",
                   value_names[which], (unsigned long long)max, text);
}

static err_t limit_of(const struct values *v, size_t *ret, struct why *why)
{
    uint64_t limit = 0;
    err_t err = number_of(v, VALUE_LIMIT, ADMIN_SVIDS_PAGE, UINT32_MAX, &limit, why);
    if (err != ERR_OK)
        return err;
    *ret = limit < ADMIN_SVIDS_PAGE ? (size_t)limit : ADMIN_SVIDS_PAGE;
    return ERR_OK;
}

/* The first digits of a serial; colons between bytes are fine. */
static err_t serial_of(const char *text, uint8_t serial[static RECORD_SERIAL_LEN],
                       unsigned *ret_digits, struct why *why)
{
    unsigned count = 0;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == ':')
            continue;
        int value = slice_hex_digit(*c);
        if (value < 0 || count == 2 * RECORD_SERIAL_LEN)
            return why_set(why, ERR_USAGE,
                           "serial: expected up to %d hexadecimal digits, found \"%.60s\"",
                           2 * RECORD_SERIAL_LEN, text);
        serial[count / 2] |= (uint8_t)((unsigned)value << (count % 2 == 0 ? 4 : 0));
        count++;
    }
    *ret_digits = count;
    return ERR_OK;
}

/* The SVIDs in use. */

/* The first ones by entry id, in order; one more than asked for tells that there are more. */
struct page {
    const char *after;
    const struct svid *items[ADMIN_SVIDS_PAGE + 1];
    size_t count, max;
};

static void put_svid(void *arg, const struct svid *s, unsigned subscribers)
{
    struct page *p = arg;
    size_t low = 0, high = p->count;
    (void)subscribers;
    if (p->after != NULL && strcmp(s->entry_id, p->after) <= 0)
        return;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(p->items[middle]->entry_id, s->entry_id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == p->max)
        return;
    p->count -= p->count == p->max; /* the last one gives way */
    memmove(p->items + low + 1, p->items + low, (p->count - low) * sizeof p->items[0]);
    p->items[low] = s;
    p->count++;
}

void admin_svids_list(void *arg, const struct http_request *req, struct http_response *res)
{
    const struct admin_sources *src = arg;
    struct values v;
    struct why why = {0};
    struct page page = {0};
    size_t limit = 0;
    err_t err = values_read(&v, req, &why);
    if (err == ERR_OK)
        err = limit_of(&v, &limit, &why);
    if (err == ERR_OK) {
        json_t *rows = json_array(), *next = NULL;
        page.after = text_of(&v, VALUE_AFTER);
        page.max = limit + 1;
        minter_each(src->minter, put_svid, &page);
        for (size_t i = 0; i < page.count && i < limit; i++)
            json_array_append_new(rows, svid_json(src, page.items[i]));
        if (page.count > limit && limit > 0)
            next = json_string(page.items[limit - 1]->entry_id);
        answer_rows(res, rows, next);
    } else {
        json_answer_error(res, err, &why);
    }
    values_done(&v);
}

/* The record. */

struct hits {
    const struct admin_sources *src;
    json_t *rows;
    const char *state; /* NULL: any */
};

static bool put_item(void *arg, const struct record_item *item)
{
    struct hits *hits = arg;
    struct revocation_status status;
    if (hits->state != NULL && strcmp(state_of(hits->src, item, &status), hits->state) != 0)
        return false;
    json_array_append_new(hits->rows, item_json(hits->src, item));
    return true;
}

static err_t read_state(const char *text, enum record_state *ret, struct why *why)
{
    if (text == NULL || strcmp(text, "revoked") == 0)
        *ret = RECORD_ANY;
    else if (strcmp(text, "valid") == 0)
        *ret = RECORD_VALID;
    else if (strcmp(text, "expired") == 0)
        *ret = RECORD_EXPIRED;
    else
        return why_set(why, ERR_USAGE, "state: expected valid, expired or revoked, found \"%.40s\"",
                       text);
    return ERR_OK;
}

static err_t search_of(const struct values *v, struct record_search *ret, struct why *why)
{
    const char *serial = text_of(v, VALUE_SERIAL);
    uint64_t before = 0, after = 0;
    struct record_search s = {.spiffe_id = text_of(v, VALUE_ID),
                              .entry_id = text_of(v, VALUE_ENTRY),
                              .now = clock_wall_s()};
    err_t err = limit_of(v, &s.limit, why);
    if (err == ERR_OK && serial != NULL)
        err = serial_of(serial, s.serial, &s.serial_digits, why);
    if (err == ERR_OK)
        err = read_state(text_of(v, VALUE_STATE), &s.state, why);
    if (err == ERR_OK)
        err = number_of(v, VALUE_EXPIRES_BEFORE, 0, INT64_MAX, &before, why);
    if (err == ERR_OK)
        err = number_of(v, VALUE_EXPIRES_AFTER, 0, INT64_MAX, &after, why);
    if (err == ERR_OK)
        err = number_of(v, VALUE_FROM, 0, UINT64_MAX, &s.from, why);
    s.expires_before = (int64_t)before;
    s.expires_after = (int64_t)after;
    *ret = s;
    return err;
}

void admin_svids_search(void *arg, const struct http_request *req, struct http_response *res)
{
    const struct admin_sources *src = arg;
    struct values v;
    struct why why = {0};
    struct record_search search;
    uint64_t next = 0;
    struct hits hits = {.src = src, .rows = json_array()};
    err_t err = values_read(&v, req, &why);
    if (err == ERR_OK)
        err = search_of(&v, &search, &why);
    if (err == ERR_OK) {
        hits.state = text_of(&v, VALUE_STATE);
        err = record_search(src->record, &search, put_item, &hits, &next, &why);
    }
    if (err == ERR_OK) {
        answer_rows(res, hits.rows, next != 0 ? json_integer((json_int_t)next) : NULL);
    } else {
        json_decref(hits.rows);
        json_answer_error(res, err, &why);
    }
    values_done(&v);
}

/* Renewing. */

static bool keep_one(void *arg, const struct record_item *item)
{
    *(struct record_item *)arg = *item;
    return true;
}

/* The entry of a serial that is in use; its text is the record's. */
static err_t entry_of_serial(const struct admin_sources *src, const char *text, const char **ret,
                             struct why *why)
{
    struct record_search search = {.now = clock_wall_s(), .limit = 1};
    struct record_item item = {.entry_id = NULL};
    unsigned subscribers = 0;
    uint64_t next = 0;
    err_t err = serial_of(text, search.serial, &search.serial_digits, why);
    if (err == ERR_OK && search.serial_digits < 2 * RECORD_SERIAL_LEN)
        err = why_set(why, ERR_USAGE, "expected a whole serial of %d digits, found \"%.60s\"",
                      2 * RECORD_SERIAL_LEN, text);
    if (err == ERR_OK)
        err = record_search(src->record, &search, keep_one, &item, &next, why);
    if (err != ERR_OK)
        return err;
    if (item.entry_id == NULL)
        return why_set(why, ERR_NOT_FOUND, "the record has no certificate with serial %.60s", text);
    const struct svid *live = minter_find(src->minter, item.entry_id, &subscribers);
    if (live == NULL || memcmp(live->serial, search.serial, sizeof live->serial) != 0)
        return why_set(why, ERR_NOT_FOUND,
                       "serial %.60s is not in use any more: renew entry:%.80s instead", text,
                       item.entry_id);
    *ret = live->entry_id;
    return ERR_OK;
}

/* What one renewal needs until it is answered, which may be after the admin socket was closed. */
struct renewing {
    struct minter_renewal renewal;
    struct admin_sources src;
    struct http_deferred *deferred;
    struct values values;
    char entry[ENTRY_ID_MAX + 1];
    json_t *rows;
};

static err_t target_of(struct renewing *job, const char *text, struct why *why)
{
    const char *entry = NULL;
    err_t err = ERR_OK;
    if (text != NULL && strncmp(text, "spiffe://", 9) == 0)
        job->renewal.spiffe_id = text;
    else if (text != NULL && strncmp(text, "entry:", 6) == 0)
        entry = text + 6;
    else if (text != NULL && strncmp(text, "serial:", 7) == 0)
        err = entry_of_serial(&job->src, text + 7, &entry, why);
    else
        err =
            why_set(why, ERR_USAGE, "expected a SPIFFE ID, serial:HEX or entry:ID, found \"%.80s\"",
                    text != NULL ? text : "");
    if (err == ERR_OK && entry != NULL) { /* the live one goes */
        snprintf(job->entry, sizeof job->entry, "%s", entry);
        job->renewal.entry_id = job->entry;
    }
    return err;
}

static void put_renewed(void *arg, const struct svid *s, unsigned subscribers)
{
    struct renewing *job = arg;
    const struct minter_renewal *r = &job->renewal;
    (void)subscribers;
    if ((r->spiffe_id == NULL || strcmp(s->spiffe_id, r->spiffe_id) == 0) &&
        (r->entry_id == NULL || strcmp(s->entry_id, r->entry_id) == 0) &&
        json_array_size(job->rows) < MINTER_BATCH)
        json_array_append_new(job->rows, svid_json(&job->src, s));
}

static void renewing_free(struct renewing *job)
{
    values_done(&job->values);
    mem_free(job);
}

static void on_renewed(struct minter_renewal *r, err_t err, const struct why *why)
{
    struct renewing *job = (struct renewing *)(void *)r; /* its first member */
    struct http_response *res = http_deferred_response(job->deferred);
    if (err == ERR_OK) {
        job->rows = json_array();
        minter_each(job->src.minter, put_renewed, job);
        answer_rows(res, job->rows, NULL);
    } else {
        json_answer_error(res, err, why);
    }
    http_deferred_finish(job->deferred);
    renewing_free(job);
}

void admin_svids_renew(void *arg, const struct http_request *req, struct http_response *res)
{
    const struct admin_sources *src = arg;
    struct why why = {0};
    struct renewing *job = mem_alloc(sizeof *job);
    if (job == NULL) {
        json_answer_error(res, why_set(&why, ERR_NO_MEMORY, "no memory for an answer"), &why);
        return;
    }
    job->src = *src;
    job->renewal.done = on_renewed;
    err_t err = values_read(&job->values, req, &why);
    if (err == ERR_OK)
        err = target_of(job, text_of(&job->values, VALUE_TARGET), &why);
    if (err == ERR_OK && (job->deferred = http_defer(res)) == NULL)
        err = why_set(&why, ERR_NO_MEMORY, "no memory for an answer");
    if (err == ERR_OK) {
        minter_renew(src->minter, &job->renewal);
        return;
    }
    json_answer_error(res, err, &why);
    renewing_free(job);
}

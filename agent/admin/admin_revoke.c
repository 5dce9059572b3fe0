#include "agent/admin/admin_revoke.h"

#include "agent/admin/admin_sources.h"
#include "common/base/quantity.h"
#include "common/encode/query.h"
#include "common/x509/x509.h"

enum { VALUE_MAX = 4096, HEX_LEN = 2 * REVOKED_SERIAL_LEN + 1 };

/* The decoded value of `name`; NULL in *ret when it was not given. The caller ends `room`. */
static err_t value_of(const struct http_request *req, const char *name, struct buf *room,
                      const char **ret, struct why *why)
{
    buf_init(room, VALUE_MAX);
    err_t err = query_find(req->query, name, room);
    *ret = err == ERR_OK ? (const char *)room->data : NULL;
    if (err == ERR_OK || err == ERR_NOT_FOUND)
        return ERR_OK;
    if (err == ERR_NO_MEMORY)
        return why_set(why, err, "no memory for an answer");
    return why_set(why, ERR_USAGE, "%s: expected at most %d bytes, percent-encoded", name,
                   VALUE_MAX - 1);
}

/* --- revoking --------------------------------------------------------------------------------- */

static void on_done(void *arg, err_t err, const struct revoker_result *r, const struct why *why)
{
    struct http_deferred *deferred = arg;
    struct http_response *res = http_deferred_response(deferred);
    if (err != ERR_OK) {
        json_answer_error(res, err, why);
    } else {
        json_t *json = json_pack("{s:s, s:s, s:b, s:b, s:s, s:I, s:I, s:I}", "target", r->target,
                                 "kind", revoker_kind_name(r->kind), "lift", r->lift, "changed",
                                 r->changed, "reason", revocation_reason_name(r->reason),
                                 "certificates", (json_int_t)r->certificates, "generation",
                                 (json_int_t)r->generation, "sidecars", (json_int_t)r->sidecars);
        if (r->note != NULL)
            json_object_set_new(json, "note", json_string(r->note));
        json_answer(res, json);
    }
    http_deferred_finish(deferred);
}

static err_t check_request(const struct revoker_request *req, const char *lift, struct why *why)
{
    if (req->target == NULL)
        return why_set(why, ERR_USAGE, "target: expected a SPIFFE ID, serial:HEX or entry:ID");
    if (lift != NULL && strcmp(lift, "true") != 0 && strcmp(lift, "false") != 0)
        return why_set(why, ERR_USAGE, "lift: expected true or false, found \"%.40s\"", lift);
    return ERR_OK;
}

void admin_revoke(void *arg, const struct http_request *req, struct http_response *res)
{
    const struct admin_sources *src = arg;
    struct buf target, reason, lift;
    struct why why = {.err = ERR_OK};
    const char *lift_text = NULL;
    struct http_deferred *deferred = NULL;
    struct revoker_request ask = {.by_uid = req->caller.uid, .by_pid = (uint32_t)req->caller.pid};
    err_t err = value_of(req, "target", &target, &ask.target, &why);
    err_t reason_err = value_of(req, "reason", &reason, &ask.reason, &why);
    err_t lift_err = value_of(req, "lift", &lift, &lift_text, &why);
    err = err != ERR_OK ? err : reason_err != ERR_OK ? reason_err : lift_err;
    if (err == ERR_OK)
        err = check_request(&ask, lift_text, &why);
    ask.lift = lift_text != NULL && strcmp(lift_text, "true") == 0;
    if (err == ERR_OK && (deferred = http_defer(res)) == NULL)
        err = why_set(&why, ERR_NO_MEMORY, "no memory for an answer");
    if (err == ERR_OK)
        revoker_do(src->revoker, &ask, on_done, deferred);
    else
        json_answer_error(res, err, &why);
    buf_done(&target);
    buf_done(&reason);
    buf_done(&lift);
}

/* --- listing ---------------------------------------------------------------------------------- */

static json_t *hold_json(const struct revocation_hold *h)
{
    json_t *row = json_pack("{s:s, s:s+, s:s, s:I}", "kind", revoker_kind_name(h->kind), "target",
                            h->kind == REVOKE_ENTRY ? "entry:" : "", h->target, "reason",
                            revocation_reason_name(h->reason), "by_uid", (json_int_t)h->by_uid);
    json_answer_time(row, "at", h->at);
    return row;
}

static json_t *certificate_json(struct record *record, const struct revocation_certificate *c)
{
    char hex[HEX_LEN];
    struct record_item item;
    x509_serial_text(slice_of(c->serial, REVOKED_SERIAL_LEN), hex, sizeof hex);
    json_t *row = json_pack("{s:s, s:s+, s:s}", "kind", revoker_kind_name(REVOKE_SERIAL), "target",
                            "serial:", hex, "reason", revocation_reason_name(c->reason));
    json_answer_time(row, "at", c->at);
    json_answer_time(row, "not_after", c->not_after);
    if (record_find_serial(record, c->serial, &item, NULL) == ERR_OK) {
        json_object_set_new(row, "spiffe_id", json_string(item.spiffe_id));
        json_object_set_new(row, "entry", json_string(item.entry_id));
    }
    return row;
}

static err_t number_of(const struct http_request *req, const char *name, uint64_t otherwise,
                       uint64_t *ret, struct why *why)
{
    struct buf room;
    const char *text = NULL;
    err_t err = value_of(req, name, &room, &text, why);
    *ret = otherwise;
    if (err == ERR_OK && text != NULL && quantity_parse_number(text, SIZE_MAX, ret) != ERR_OK)
        err = why_set(why, ERR_USAGE, "%s: expected a number, found \"%.40s\"", name, text);
    buf_done(&room);
    return err;
}

/* Rows by position: what changes meanwhile may be missing, or come twice. */
static json_t *rows_of(const struct admin_sources *src, size_t from, size_t limit, size_t *ret_all)
{
    const struct revocation_set *set = revoker_set(src->revoker);
    size_t holds = revocation_set_holds(set, REVOKE_ID) + revocation_set_holds(set, REVOKE_ENTRY);
    size_t all = holds + revocation_set_certificates(set);
    json_t *rows = json_array();
    for (size_t i = from; i < all && i - from < limit; i++) {
        if (i < holds) {
            struct revocation_hold h = revocation_set_hold_at(set, i);
            json_array_append_new(rows, hold_json(&h));
        } else {
            struct revocation_certificate c = revocation_set_certificate_at(set, i - holds);
            json_array_append_new(rows, certificate_json(src->record, &c));
        }
    }
    *ret_all = all;
    return rows;
}

void admin_revocations(void *arg, const struct http_request *req, struct http_response *res)
{
    struct why why = {.err = ERR_OK};
    uint64_t from = 0, limit = 0;
    size_t all = 0;
    err_t err = number_of(req, "from", 0, &from, &why);
    if (err == ERR_OK)
        err = number_of(req, "limit", ADMIN_REVOCATIONS_PAGE, &limit, &why);
    if (err != ERR_OK) {
        json_answer_error(res, err, &why);
        return;
    }
    limit = limit < ADMIN_REVOCATIONS_PAGE ? limit : ADMIN_REVOCATIONS_PAGE;
    json_t *rows = rows_of(arg, from, limit, &all);
    json_t *whole = json_pack("{s:o, s:I}", "revocations", rows, "total", (json_int_t)all);
    if (limit > 0 && from < all && all - from > limit)
        json_object_set_new(whole, "next", json_integer((json_int_t)(from + limit)));
    json_answer(res, whole);
}

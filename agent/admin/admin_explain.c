#include "agent/admin/admin_explain.h"

#include "agent/admin/admin_sources.h"
#include "agent/attest/attestation.h"
#include "agent/attest/proc.h"
#include "agent/entry/explain.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/base/quantity.h"
#include "common/encode/query.h"
#include "common/x509/x509.h"

#include <limits.h>

enum {
    TARGET_MAX = 2048 + 8,
    NEXT_MAX = 16 * 1024,
    NUMBER_MAX = 32,
    ANSWER_ENTRY_SELECTORS_MAX = 1024
};

struct explain_jobs {
    const struct attestors *attestors;
    LIST_HEAD(, job) jobs;
};

struct job {
    LIST_ENTRY(job) in_jobs;
    const struct admin_sources *src;
    struct http_deferred *deferred;
    struct peer peer;
    struct attestation *attestation; /* under way, or NULL */
    json_t *problems;                /* owned */
};

struct explain_jobs *explain_jobs_new(const struct attestors *attestors)
{
    struct explain_jobs *all = mem_alloc(sizeof *all);
    if (all != NULL)
        all->attestors = attestors;
    return all;
}

static void job_free(struct job *j)
{
    LIST_REMOVE(j, in_jobs);
    peer_done(&j->peer);
    json_decref(j->problems);
    mem_free(j);
}

void explain_jobs_free(struct explain_jobs *all)
{
    struct job *j, *next;
    LIST_FOREACH_SAFE(j, &all->jobs, in_jobs, next) {
        attestation_cancel(&j->attestation);
        http_deferred_response(j->deferred)->status = 503;
        http_deferred_finish(j->deferred);
        job_free(j);
    }
    mem_free(all);
}

/* --- the answer ------------------------------------------------------------------------------- */

/* Paths and names may be any bytes; JSON is UTF-8, and it ends in somebody's terminal. */
static json_t *any_text(const char *text)
{
    char *copy = mem_strdup(text);
    if (copy == NULL)
        return NULL;
    for (unsigned char *c = (unsigned char *)copy; *c != '\0'; c++)
        if (*c < ' ' || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0)) /* controls, and those of C1 */
            *c = '?';
    json_t *json = json_string(copy);
    for (char *c = copy; json == NULL && *c != '\0'; c++)
        *c = (unsigned char)*c < 0x80 ? *c : '?';
    json = json != NULL ? json : json_string(copy);
    mem_free(copy);
    return json;
}

static json_t *texts(const char *const *items, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, any_text(items[i]));
    return list;
}

static void add_problem(json_t *problems, const char *part, err_t err, const char *detail)
{
    json_array_append_new(problems, json_pack("{s:s, s:s, s:o}", "part", part, "reason",
                                              err_name(err), "detail", any_text(detail)));
}

/* What to lift so that the entry gives its identity again; false: nothing is held. */
static bool held_target(const struct admin_sources *src, const struct entry *e,
                        char out[static TARGET_MAX])
{
    const struct revocation_set *set = revoker_set(src->revoker);
    struct revocation_hold hold;
    if (revocation_set_held(set, REVOKE_ID, slice_str(e->spiffe_id), &hold))
        snprintf(out, TARGET_MAX, "%s", e->spiffe_id);
    else if (revocation_set_held(set, REVOKE_ENTRY, slice_str(e->id), &hold))
        snprintf(out, TARGET_MAX, "entry:%s", e->id);
    else
        return false;
    return true;
}

static json_t *match_json(const struct admin_sources *src, const struct entry *e)
{
    unsigned subscribers = 0;
    char serial[2 * RECORD_SERIAL_LEN + 1], lift[TARGET_MAX];
    bool held = held_target(src, e, lift);
    json_t *row = json_pack("{s:s, s:s, s:s, s:s}", "entry", e->id, "spiffe_id", e->spiffe_id,
                            "hint", e->hint, "state", held ? "held" : "ok");
    const struct svid *live = minter_find(src->minter, e->id, &subscribers);
    if (held) {
        struct revocation_status status = revoker_held(src->revoker, e->spiffe_id, e->id);
        json_object_set_new(row, "reason", json_string(revocation_reason_name(status.reason)));
        json_answer_time(row, "since", status.at);
        json_object_set_new(row, "lift", json_string(lift));
    }
    if (live != NULL) {
        x509_serial_text(slice_of(live->serial, sizeof live->serial), serial, sizeof serial);
        json_object_set_new(row, "serial", json_string(serial));
        json_answer_time(row, "not_after", live->not_after);
    }
    json_object_set_new(row, "subscribers", json_integer(subscribers));
    return row;
}

static json_t *near_json(const struct explain_near *near, const struct selector_set *found)
{
    json_t *missing = json_array(), *present = json_array();
    const struct selector_set *s = &near->entry->selectors;
    for (size_t i = 0; i < s->count && i < ANSWER_ENTRY_SELECTORS_MAX; i++) {
        const char *alike[EXPLAIN_ALIKE_MAX];
        if (selector_set_has(found, slice_str(s->items[i]))) {
            json_array_append_new(present, any_text(s->items[i]));
            continue;
        }
        size_t n = explain_alike(found, s->items[i], alike, EXPLAIN_ALIKE_MAX);
        json_array_append_new(missing, json_pack("{s:o, s:o}", "selector", any_text(s->items[i]),
                                                 "found", texts(alike, n)));
    }
    return json_pack("{s:s, s:s, s:o, s:o}", "entry", near->entry->id, "spiffe_id",
                     near->entry->spiffe_id, "present", present, "missing", missing);
}

static void add_entries(json_t *top, const struct admin_sources *src, const struct explanation *x,
                        const struct selector_set *found)
{
    json_t *matches = json_array(), *nearest = json_array();
    for (size_t i = 0; i < x->match_count && i < EXPLAIN_MATCHES_MAX; i++)
        json_array_append_new(matches, match_json(src, x->matches[i]));
    for (size_t i = 0; i < x->nearest_count; i++)
        json_array_append_new(nearest, near_json(&x->nearest[i], found));
    json_object_set_new(top, "match_count", json_integer((json_int_t)x->match_count));
    json_object_set_new(top, "matches", matches);
    json_object_set_new(top, "nearest", nearest);
}

static enum explain_verdict judge(const struct admin_sources *src, const struct entry_set *set,
                                  const struct explanation *x, char ret_held[static TARGET_MAX])
{
    char other[TARGET_MAX];
    bool entitled = false;
    ret_held[0] = '\0';
    if (set == NULL || set->count == 0)
        return EXPLAIN_NO_ENTRIES;
    if (x->match_count == 0)
        return EXPLAIN_NO_ENTRY;
    for (size_t i = 0; i < x->match_count && i < EXPLAIN_MATCHES_MAX; i++)
        entitled |= !held_target(src, x->matches[i], ret_held[0] == '\0' ? ret_held : other);
    return entitled ? EXPLAIN_ENTITLED : EXPLAIN_HELD;
}

static void add_next(json_t *top, const struct explain_case *c)
{
    struct buf text;
    buf_init(&text, NEXT_MAX);
    err_t err = explain_next(c, &text);
    if (err == ERR_OK)
        err = buf_append(&text, "", 1);
    if (err == ERR_OK)
        json_object_set_new(top, "next", any_text((const char *)text.data));
    buf_done(&text);
    json_object_set_new(top, "verdict", json_string(explain_verdict_name(c->verdict)));
}

static void explain_answer(struct job *j, err_t err, const struct selector_set *selectors,
                           const struct why *why)
{
    static const struct selector_set nothing = {0};
    char comm[PROC_COMM_MAX], held[TARGET_MAX];
    const struct selector_set *found = selectors != NULL ? selectors : &nothing;
    const struct entry_set *set = j->src->entries(j->src->arg);
    struct explanation x = {.match_count = 0};
    struct explain_case c = {.what = &x, .found = found, .pid = (int)j->peer.pid, .err = err};
    proc_comm(j->peer.pid, comm);
    json_t *top =
        json_pack("{s:i, s:o, s:I, s:I, s:o, s:O}", "pid", (int)j->peer.pid, "comm", any_text(comm),
                  "uid", (json_int_t)j->peer.uid, "gid", (json_int_t)j->peer.gid, "selectors",
                  texts((const char *const *)found->items, found->count), "problems", j->problems);
    if (err == ERR_OK && set != NULL)
        explain_entries(set, found, &x);
    if (err == ERR_OK) {
        c.verdict = judge(j->src, set, &x, held);
        c.held = held[0] != '\0' ? held : NULL;
    } else {
        c.verdict = err == ERR_ATTESTATION ? EXPLAIN_NO_PROCESS : EXPLAIN_NOT_ATTESTED;
        add_problem(j->problems, "process", err, why_text(why));
    }
    add_entries(top, j->src, &x, found);
    add_next(top, &c);
    json_answer(http_deferred_response(j->deferred), top);
    http_deferred_finish(j->deferred);
    job_free(j);
}

/* --- the question ----------------------------------------------------------------------------- */

static void on_problem(void *arg, const char *part, err_t err, const struct why *why)
{
    struct job *j = arg;
    add_problem(j->problems, part, err, why_text(why));
}

/* A user without a name is no error to an attestor, but one to who wrote unix:user. */
static void note_nameless(struct job *j, const struct selector_set *found)
{
    const char *name = NULL;
    char text[96];
    if (explain_alike(found, "unix:user:", &name, 1) > 0)
        return;
    snprintf(text, sizeof text, "the agent's user database has no name for uid %u",
             (unsigned)j->peer.uid);
    add_problem(j->problems, "user", ERR_NOT_FOUND, text);
}

static void on_attested(void *arg, err_t err, struct selector_set *selectors, const struct why *why)
{
    struct job *j = arg;
    if (err == ERR_OK)
        note_nameless(j, selectors);
    explain_answer(j, err, selectors, why);
}

static err_t read_pid(const struct http_request *req, pid_t *ret, struct why *why)
{
    struct buf text;
    uint64_t n = 0;
    buf_init(&text, NUMBER_MAX);
    err_t err = query_find(req->query, "pid", &text);
    if (err == ERR_OK)
        err = quantity_parse_number((const char *)text.data, INT_MAX, &n);
    buf_done(&text);
    if (err != ERR_OK || n == 0)
        return why_set(why, ERR_USAGE, "pid: expected the number of a process, 1 or more");
    *ret = (pid_t)n;
    return ERR_OK;
}

static struct job *job_new(const struct admin_sources *src, struct http_response *res)
{
    struct job *j = mem_alloc(sizeof *j);
    if (j == NULL)
        return NULL;
    *j = (struct job){.src = src, .peer.pidfd = -1};
    LIST_INSERT_HEAD(&src->explain->jobs, j, in_jobs);
    j->problems = json_array();
    j->deferred = j->problems != NULL ? http_defer(res) : NULL;
    if (j->deferred == NULL) {
        job_free(j);
        return NULL;
    }
    return j;
}

/* With all kinds of selectors, also those that no entry asks for yet. */
void admin_explain(void *arg, const struct http_request *req, struct http_response *res)
{
    const struct admin_sources *src = arg;
    struct why why = {.err = ERR_OK};
    pid_t pid = 0;
    err_t err = read_pid(req, &pid, &why);
    struct job *j = err == ERR_OK ? job_new(src, res) : NULL;
    if (err == ERR_OK && j == NULL)
        err = why_set(&why, ERR_NO_MEMORY, "no memory for an answer");
    if (err != ERR_OK) {
        json_answer_error(res, err, &why);
        return;
    }
    err = peer_of_pid(pid, &j->peer, &why);
    if (err != ERR_OK)
        j->peer = (struct peer){.pid = pid, .pidfd = -1};
    const struct attestation_question q = {.attestors = src->explain->attestors,
                                           .peer = &j->peer,
                                           .done = on_attested,
                                           .on_problem = on_problem,
                                           .arg = j};
    if (err == ERR_OK)
        err = attestation_start(&q, &j->attestation, &why);
    if (err != ERR_OK)
        explain_answer(j, err, NULL, &why);
}

/* svids list|show|search|renew: the certificates that the agent issued. */
#include "agent/cli/commands.h"
#include "agent/cli/listing.h"
#include "common/base/clock.h"
#include "common/base/quantity.h"

#include <time.h>

enum { SEARCH_LIMIT = 100 };

static const char too_long[] = "what is asked for is too long";

/* Rows. */

static void print_live(FILE *out, const json_t *row)
{
    fprintf(out, "%s\n  entry %s, serial %s, %s, %s to %s, renewed at %s, subscribers %lld\n",
            admin_client_text(row, "spiffe_id"), admin_client_text(row, "entry"),
            admin_client_text(row, "serial"), admin_client_text(row, "state"),
            admin_client_text(row, "not_before"), admin_client_text(row, "not_after"),
            admin_client_text(row, "renew_at"), admin_client_number(row, "subscribers"));
}

static void print_recorded(FILE *out, const json_t *row)
{
    fprintf(out, "%s\n  entry %s, serial %s, %s%s, issued %s (%s), until %s\n",
            admin_client_text(row, "spiffe_id"), admin_client_text(row, "entry"),
            admin_client_text(row, "serial"), admin_client_text(row, "state"),
            json_is_true(json_object_get(row, "in_use")) ? ", in use" : "",
            admin_client_text(row, "issued_at"), admin_client_text(row, "because"),
            admin_client_text(row, "not_after"));
}

static void print_whole(FILE *out, const json_t *row)
{
    static const struct {
        const char *title, *key;
    } lines[] = {
        {"SPIFFE ID:", "spiffe_id"},
        {"Entry:", "entry"},
        {"Hint:", "hint"},
        {"Serial:", "serial"},
        {"Issuer key:", "issuer"},
        {"State:", "state"},
        {"Reason:", "reason"},
        {"Revoked at:", "revoked_at"},
        {"Issued at:", "issued_at"},
        {"Issued because:", "because"},
        {"Valid from:", "not_before"},
        {"Valid until:", "not_after"},
        {"Renewed at:", "renew_at"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const char *text = admin_client_text(row, lines[i].key);
        if (strcmp(text, "-") != 0)
            fprintf(out, "%-16s %s\n", lines[i].title, text);
    }
    if (json_is_true(json_object_get(row, "in_use")))
        fprintf(out, "%-16s by %lld\n", "In use:", admin_client_number(row, "subscribers"));
    else
        fprintf(out, "%-16s no\n", "In use:");
}

/* Commands. */

static struct listing listing_of(const struct command_line *line, size_t limit)
{
    return (struct listing){
        .line = line, .name = "svids", .more = " (there are more: --limit)", .limit = limit};
}

/* With --limit over `limit`. */
static err_t begin(struct listing *l, const struct command_line *line, size_t limit,
                   struct why *why)
{
    const char *text = command_flag_value(line, "limit");
    uint64_t n = limit;
    if (text != NULL && (quantity_parse_number(text, UINT32_MAX, &n) != ERR_OK || n == 0))
        return why_set(why, ERR_USAGE, "--limit: expected a number from 1, found \"%s\"", text);
    *l = listing_of(line, n);
    return listing_begin(l, why);
}

/* Ends the listing. */
static err_t show(struct listing *l, err_t err, void (*print)(FILE *out, const json_t *row))
{
    if (err == ERR_OK)
        listing_print(l, print);
    json_decref(l->rows);
    return err;
}

err_t cli_svids_list(const struct command_line *line, struct why *why)
{
    const struct admin_question q = {"GET", "/v1/svids", .too_long = too_long};
    struct listing l;
    err_t err = begin(&l, line, SIZE_MAX, why);
    if (err != ERR_OK)
        return err;
    return show(&l, listing_fetch(&l, &q, "after", why), print_live);
}

/* "2026-11-21T08:00:00Z", or a duration from now. */
static err_t parse_time(const char *flag, const char *text, int64_t *ret, struct why *why)
{
    struct tm parts = {0};
    int64_t ms = 0;
    if (quantity_parse_duration(slice_str(text), &ms, NULL) == ERR_OK) {
        *ret = clock_wall_s() + ms / 1000;
        return ERR_OK;
    }
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    if (end == NULL || *end != '\0')
        return why_set(why, ERR_USAGE,
                       "--%s: expected a time such as 2026-11-21T08:00:00Z, or a duration from now "
                       "such as 10m, found \"%s\"",
                       flag, text);
    *ret = (int64_t)timegm(&parts);
    return ERR_OK;
}

/* Seconds, for the query; NULL when the flag was not given. */
static err_t time_of(const struct command_line *line, const char *flag, char number[static 24],
                     const char **ret, struct why *why)
{
    const char *text = command_flag_value(line, flag);
    int64_t at = 0;
    err_t err = text != NULL ? parse_time(flag, text, &at, why) : ERR_OK;
    if (err != ERR_OK)
        return err;
    snprintf(number, 24, "%lld", (long long)(at > 0 ? at : 1));
    *ret = text != NULL ? number : NULL;
    return ERR_OK;
}

err_t cli_svids_search(const struct command_line *line, struct why *why)
{
    struct listing l;
    char numbers[2][24];
    const char *before = NULL, *after = NULL;
    err_t err = begin(&l, line, SEARCH_LIMIT, why);
    if (err == ERR_OK)
        err = time_of(line, "expires-before", numbers[0], &before, why);
    if (err == ERR_OK)
        err = time_of(line, "expires-after", numbers[1], &after, why);
    if (err != ERR_OK)
        return err;
    const struct admin_question q = {"GET",
                                     "/v1/svids/search",
                                     {{"id", command_flag_value(line, "id")},
                                      {"entry", command_flag_value(line, "entry")},
                                      {"serial", command_flag_value(line, "serial")},
                                      {"state", command_flag_value(line, "state")},
                                      {"expires_before", before},
                                      {"expires_after", after}},
                                     too_long};
    return show(&l, listing_fetch(&l, &q, "from", why), print_recorded);
}

/* What the query says of a target. */
static err_t ask_for(const char *target, struct admin_question *q, struct why *why)
{
    q->params[1] = (struct admin_param){"state", "valid"};
    if (strncmp(target, "serial:", 7) == 0) {
        q->params[0] = (struct admin_param){"serial", target + 7};
        q->params[1] = (struct admin_param){NULL, NULL};
    } else if (strncmp(target, "entry:", 6) == 0) {
        q->params[0] = (struct admin_param){"entry", target + 6};
    } else if (strncmp(target, "spiffe://", 9) == 0) {
        q->params[0] = (struct admin_param){"id", target};
    } else {
        return why_set(why, ERR_USAGE, "expected a SPIFFE ID, serial:HEX or entry:ID, found \"%s\"",
                       target);
    }
    return ERR_OK;
}

err_t cli_svids_show(const struct command_line *line, struct why *why)
{
    struct admin_question q = {"GET", "/v1/svids/search", .too_long = too_long};
    struct listing l;
    const char *target = line->arguments[0];
    err_t err = begin(&l, line, SEARCH_LIMIT, why);
    if (err == ERR_OK)
        err = ask_for(target, &q, why);
    if (err != ERR_OK)
        return err;
    l.whole = true;
    err = listing_fetch(&l, &q, "from", why);
    if (err == ERR_OK && json_array_size(l.rows) == 0)
        err = why_set(why, ERR_NOT_FOUND,
                      "the record has no %scertificate of %s; `svids search` finds expired ones",
                      strncmp(target, "serial:", 7) == 0 ? "" : "valid ", target);
    return show(&l, err, print_whole);
}

err_t cli_svids_renew(const struct command_line *line, struct why *why)
{
    const struct admin_question q = {
        "POST", "/v1/svids/renew", {{"target", line->arguments[0]}}, too_long};
    struct listing l = listing_of(line, 0);
    json_t *answer = NULL;
    err_t err = listing_begin(&l, why);
    if (err == ERR_OK)
        err = admin_client_ask(line, &l.socket, &q, &answer, why);
    l.rows = json_incref(json_object_get(answer, l.name));
    json_decref(answer);
    return show(&l, err, print_live);
}

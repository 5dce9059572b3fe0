/* svids list|show|search|renew: the certificates that the agent issued. */
#include "agent/cli/cli_endpoint.h"
#include "agent/cli/commands.h"
#include "common/base/clock.h"
#include "common/base/quantity.h"
#include "common/cli/admin_client.h"
#include "common/encode/query.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { PATH_LEN_MAX = 16 * 1024, SEARCH_LIMIT = 100, PAGE_MAX = 1000000 };

/* A listing that comes in pages. */
struct listing {
    const struct command_line *line;
    struct address socket;
    const char *place; /* the parameter that "next" goes into */
    size_t limit;      /* rows, of all pages */
    json_t *rows;
    bool has_more;
};

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

/* Pages. */

static err_t add_page(struct listing *l, const char *path, const char *next, json_t **ret,
                      struct why *why)
{
    struct buf whole;
    char number[24];
    size_t left = l->limit - json_array_size(l->rows);
    snprintf(number, sizeof number, "%zu", left < PAGE_MAX ? left : PAGE_MAX);
    buf_init(&whole, PATH_LEN_MAX);
    err_t err = buf_append_str(&whole, path);
    if (err == ERR_OK)
        err = query_add(&whole, "limit", number);
    if (err == ERR_OK && next != NULL)
        err = query_add(&whole, l->place, next);
    if (err == ERR_OK)
        err = buf_append(&whole, "", 1);
    if (err != ERR_OK)
        why_set(why, ERR_USAGE, "what is asked for is too long");
    else
        err = admin_client_ask(l->line, &l->socket, "GET", (const char *)whole.data, ret, why);
    buf_done(&whole);
    return err;
}

/* What the server said comes next, as text; NULL: nothing. */
static const char *next_of(const json_t *page, char number[static 24])
{
    const json_t *next = json_object_get(page, "next");
    if (!json_is_integer(next))
        return json_string_value(next);
    snprintf(number, 24, "%lld", (long long)json_integer_value(next));
    return number;
}

static err_t fetch(struct listing *l, const char *path, struct why *why)
{
    json_t *page = NULL;
    char number[24];
    const char *next = NULL;
    err_t err = ERR_OK;
    l->rows = json_array();
    do {
        json_t *fresh = NULL;
        err = add_page(l, path, next, &fresh, why);
        json_decref(page);
        page = fresh;
        if (err != ERR_OK)
            break;
        json_array_extend(l->rows, json_object_get(page, "svids"));
        next = next_of(page, number);
    } while (next != NULL && json_array_size(l->rows) < l->limit);
    l->has_more = err == ERR_OK && next != NULL;
    json_decref(page);
    return err;
}

static err_t print(struct listing *l, void (*print_row)(FILE *out, const json_t *row),
                   struct why *why)
{
    FILE *out = l->line->out;
    size_t i = 0;
    const json_t *row = NULL;
    bool as_json = false;
    err_t err = command_output_json(l->line, &as_json, why);
    if (err != ERR_OK)
        return err;
    if (as_json) {
        json_t *whole = json_pack("{s:O, s:b}", "svids", l->rows, "more", l->has_more);
        admin_client_json(out, whole);
        json_decref(whole);
        return ERR_OK;
    }
    json_array_foreach(l->rows, i, row)
    {
        if (print_row == print_whole && i > 0)
            fputc('\n', out);
        print_row(out, row);
    }
    if (print_row != print_whole)
        fprintf(out, "svids: %zu%s\n", json_array_size(l->rows),
                l->has_more ? " (there are more: --limit)" : "");
    return ERR_OK;
}

static err_t begin(struct listing *l, const struct command_line *line, size_t limit,
                   struct why *why)
{
    const char *text = command_flag_value(line, "limit");
    char *end = NULL;
    bool as_json = false;
    *l = (struct listing){.line = line, .limit = limit};
    err_t err = command_output_json(line, &as_json, why);
    if (err != ERR_OK)
        return err;
    if (text != NULL) {
        errno = 0;
        unsigned long n = strtoul(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n == 0 ||
            n > UINT32_MAX)
            return why_set(why, ERR_USAGE, "--limit: expected a number from 1, found \"%s\"", text);
        l->limit = n;
    }
    return cli_admin_socket(line, &l->socket, why);
}

/* Commands. */

err_t cli_svids_list(const struct command_line *line, struct why *why)
{
    struct listing l;
    err_t err = begin(&l, line, SIZE_MAX, why);
    if (err != ERR_OK)
        return err;
    l.place = "after";
    err = fetch(&l, "/v1/svids", why);
    if (err == ERR_OK)
        err = print(&l, print_live, why);
    json_decref(l.rows);
    return err;
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

static err_t add_time(struct buf *path, const struct command_line *line, const char *flag,
                      const char *name, struct why *why)
{
    const char *text = command_flag_value(line, flag);
    char number[24];
    int64_t at = 0;
    if (text == NULL)
        return ERR_OK;
    err_t err = parse_time(flag, text, &at, why);
    if (err != ERR_OK)
        return err;
    snprintf(number, sizeof number, "%lld", (long long)(at > 0 ? at : 1));
    return query_add(path, name, number);
}

static err_t add_flag(struct buf *path, const struct command_line *line, const char *name)
{
    const char *text = command_flag_value(line, name);
    return text != NULL ? query_add(path, name, text) : ERR_OK;
}

static err_t search(struct listing *l, struct buf *path, struct why *why)
{
    l->place = "from";
    err_t err = buf_append(path, "", 1);
    return err == ERR_OK ? fetch(l, (const char *)path->data, why)
                         : why_set(why, ERR_USAGE, "what is asked for is too long");
}

err_t cli_svids_search(const struct command_line *line, struct why *why)
{
    struct listing l;
    struct buf path;
    err_t err = begin(&l, line, SEARCH_LIMIT, why);
    if (err != ERR_OK)
        return err;
    buf_init(&path, PATH_LEN_MAX);
    err = buf_append_str(&path, "/v1/svids/search");
    if (err == ERR_OK)
        err = add_flag(&path, line, "id");
    if (err == ERR_OK)
        err = add_flag(&path, line, "entry");
    if (err == ERR_OK)
        err = add_flag(&path, line, "serial");
    if (err == ERR_OK)
        err = add_flag(&path, line, "state");
    if (err == ERR_OK)
        err = add_time(&path, line, "expires-before", "expires_before", why);
    if (err == ERR_OK)
        err = add_time(&path, line, "expires-after", "expires_after", why);
    if (err == ERR_TOO_LARGE)
        why_set(why, ERR_USAGE, "what is asked for is too long");
    if (err == ERR_OK)
        err = search(&l, &path, why);
    if (err == ERR_OK)
        err = print(&l, print_recorded, why);
    json_decref(l.rows);
    buf_done(&path);
    return err;
}

/* What the query says of a target. */
static err_t add_target(struct buf *path, const char *target, struct why *why)
{
    err_t err = ERR_OK;
    if (strncmp(target, "serial:", 7) == 0)
        return query_add(path, "serial", target + 7);
    if (strncmp(target, "entry:", 6) == 0)
        err = query_add(path, "entry", target + 6);
    else if (strncmp(target, "spiffe://", 9) == 0)
        err = query_add(path, "id", target);
    else
        return why_set(why, ERR_USAGE, "expected a SPIFFE ID, serial:HEX or entry:ID, found \"%s\"",
                       target);
    return err == ERR_OK ? query_add(path, "state", "valid") : err;
}

err_t cli_svids_show(const struct command_line *line, struct why *why)
{
    struct listing l;
    struct buf path;
    const char *target = line->arguments[0];
    err_t err = begin(&l, line, SEARCH_LIMIT, why);
    if (err != ERR_OK)
        return err;
    buf_init(&path, PATH_LEN_MAX);
    err = buf_append_str(&path, "/v1/svids/search");
    if (err == ERR_OK)
        err = add_target(&path, target, why);
    if (err == ERR_OK)
        err = search(&l, &path, why);
    if (err == ERR_OK && json_array_size(l.rows) == 0)
        err = why_set(why, ERR_NOT_FOUND,
                      "the record has no %scertificate of %s; `svids search` finds expired ones",
                      strncmp(target, "serial:", 7) == 0 ? "" : "valid ", target);
    if (err == ERR_OK)
        err = print(&l, print_whole, why);
    json_decref(l.rows);
    buf_done(&path);
    return err;
}

err_t cli_svids_renew(const struct command_line *line, struct why *why)
{
    struct listing l = {.line = line};
    struct buf path;
    json_t *answer = NULL;
    bool as_json = false;
    err_t err = command_output_json(line, &as_json, why);
    if (err == ERR_OK)
        err = cli_admin_socket(line, &l.socket, why);
    if (err != ERR_OK)
        return err;
    buf_init(&path, PATH_LEN_MAX);
    err = buf_append_str(&path, "/v1/svids/renew");
    if (err == ERR_OK)
        err = query_add(&path, "target", line->arguments[0]);
    if (err == ERR_OK)
        err = buf_append(&path, "", 1);
    if (err != ERR_OK)
        why_set(why, ERR_USAGE, "what is asked for is too long");
    if (err == ERR_OK)
        err = admin_client_ask(line, &l.socket, "POST", (const char *)path.data, &answer, why);
    if (err == ERR_OK) {
        l.rows = json_incref(json_object_get(answer, "svids"));
        err = print(&l, print_live, why);
        json_decref(l.rows);
    }
    json_decref(answer);
    buf_done(&path);
    return err;
}

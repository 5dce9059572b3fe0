/* revoke, revocations: what must not be used any more. */
#include "agent/cli/cli_endpoint.h"
#include "agent/cli/commands.h"
#include "common/cli/admin_client.h"
#include "common/encode/query.h"

#include <errno.h>
#include <stdlib.h>

enum { PATH_LEN_MAX = 16 * 1024 };

static err_t add(struct buf *path, const char *name, const char *value)
{
    return value != NULL ? query_add(path, name, value) : ERR_OK;
}

/* --- revoke ----------------------------------------------------------------------------------- */

static void print_result(FILE *out, const json_t *r)
{
    const char *kind = admin_client_text(r, "kind"), *reason = admin_client_text(r, "reason");
    const char *note = json_string_value(json_object_get(r, "note"));
    bool lift = json_is_true(json_object_get(r, "lift"));
    fprintf(out, "%s: ", admin_client_text(r, "target"));
    if (!json_is_true(json_object_get(r, "changed"))) {
        fprintf(out, "%s\n", note != NULL ? note : "nothing changed");
        return;
    }
    if (lift)
        fprintf(out, "lifted");
    else if (strcmp(kind, "serial") == 0)
        fprintf(out, "revoked (%s)", reason);
    else
        fprintf(out, "revoked (%s), %lld certificates, held until it is lifted", reason,
                admin_client_number(r, "certificates"));
    fprintf(out, "; sidecars told: %lld\n", admin_client_number(r, "sidecars"));
    if (note != NULL)
        fprintf(out, "  note: %s\n", note);
}

static err_t post_revoke(const struct command_line *line, const struct address *socket,
                         json_t **ret, struct why *why)
{
    struct buf path;
    buf_init(&path, PATH_LEN_MAX);
    err_t err = buf_append_str(&path, "/v1/revoke");
    if (err == ERR_OK)
        err = query_add(&path, "target", line->arguments[0]);
    if (err == ERR_OK)
        err = add(&path, "reason", command_flag_value(line, "reason"));
    if (err == ERR_OK && command_flag_value(line, "lift") != NULL)
        err = query_add(&path, "lift", "true");
    if (err == ERR_OK)
        err = buf_append(&path, "", 1);
    if (err != ERR_OK)
        why_set(why, ERR_USAGE, "the target or reason is too long");
    else
        err = admin_client_ask(line, socket, "POST", (const char *)path.data, ret, why);
    buf_done(&path);
    return err == ERR_TOO_LARGE ? ERR_USAGE : err;
}

err_t cli_revoke(const struct command_line *line, struct why *why)
{
    struct address socket;
    json_t *result = NULL;
    bool as_json = false;
    err_t err = command_output_json(line, &as_json, why);
    if (err == ERR_OK)
        err = cli_admin_socket(line, &socket, why);
    if (err == ERR_OK)
        err = post_revoke(line, &socket, &result, why);
    if (err != ERR_OK)
        return err;
    if (as_json)
        admin_client_json(line->out, result);
    else
        print_result(line->out, result);
    json_decref(result);
    return ERR_OK;
}

/* --- revocations ------------------------------------------------------------------------------ */

static void print_row(FILE *out, const json_t *row)
{
    const char *kind = admin_client_text(row, "kind");
    if (strcmp(kind, "serial") == 0)
        fprintf(out, "%s\n  revoked %s (%s), of %s, until %s\n", admin_client_text(row, "target"),
                admin_client_text(row, "at"), admin_client_text(row, "reason"),
                admin_client_text(row, "spiffe_id"), admin_client_text(row, "not_after"));
    else
        fprintf(out, "%s\n  held since %s (%s), by uid %lld\n", admin_client_text(row, "target"),
                admin_client_text(row, "at"), admin_client_text(row, "reason"),
                admin_client_number(row, "by_uid"));
}

static err_t limit_of(const struct command_line *line, size_t *ret, struct why *why)
{
    const char *text = command_flag_value(line, "limit");
    char *end = NULL;
    *ret = SIZE_MAX;
    if (text == NULL)
        return ERR_OK;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        return why_set(why, ERR_USAGE, "--limit %s: expected a number", text);
    *ret = n;
    return ERR_OK;
}

/* Adds the rows from `*from` on; *from is then where the next page begins, or 0. */
static err_t add_page(const struct command_line *line, const struct address *socket, size_t limit,
                      long long *from, json_t *rows, struct why *why)
{
    char path[96];
    json_t *page = NULL;
    snprintf(path, sizeof path, "/v1/revocations?from=%lld&limit=%zu", *from,
             limit - json_array_size(rows));
    err_t err = admin_client_ask(line, socket, "GET", path, &page, why);
    if (err != ERR_OK)
        return err;
    json_array_extend(rows, json_object_get(page, "revocations"));
    *from = admin_client_number(page, "next");
    json_decref(page);
    return ERR_OK;
}

static void print_rows(const struct command_line *line, json_t *rows, bool as_json, bool more)
{
    size_t i = 0;
    const json_t *row = NULL;
    if (as_json) {
        json_t *whole = json_pack("{s:O, s:b}", "revocations", rows, "more", more);
        admin_client_json(line->out, whole);
        json_decref(whole);
        return;
    }
    json_array_foreach(rows, i, row) print_row(line->out, row);
    fprintf(line->out, "revocations: %zu%s\n", json_array_size(rows), more ? ", and more" : "");
}

err_t cli_revocations(const struct command_line *line, struct why *why)
{
    struct address socket;
    bool as_json = false;
    size_t limit = 0;
    long long next = 0;
    json_t *rows = json_array();
    err_t err = command_output_json(line, &as_json, why);
    if (err == ERR_OK)
        err = limit_of(line, &limit, why);
    if (err == ERR_OK)
        err = cli_admin_socket(line, &socket, why);
    do {
        if (err == ERR_OK)
            err = add_page(line, &socket, limit, &next, rows, why);
    } while (err == ERR_OK && next > 0 && json_array_size(rows) < limit);
    if (err == ERR_OK)
        print_rows(line, rows, as_json, next > 0);
    json_decref(rows);
    return err;
}

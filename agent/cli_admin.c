/* svids, entries: what the agent's admin socket tells. */
#include "agent/cli_endpoint.h"
#include "agent/commands.h"
#include "common/http_client.h"

#include <jansson.h>

#define ANSWER_TIMEOUT_MS 10000

/* Puts what to do behind the cause. */
static err_t explain(err_t err, struct why *why)
{
    char cause[256];
    if (err != ERR_CONNECT)
        return err;
    snprintf(cause, sizeof cause, "%s", why_text(why));
    return why_set(why, err,
                   "%s; is spindle-agent running, and is this its user? --admin PATH names another "
                   "socket",
                   cause);
}

/* GET `path`, an object with the array `name` in it; the caller drops *ret. */
static err_t get_list(const struct command_line *line, const char *path, const char *name,
                      json_t **ret, struct why *why)
{
    struct address socket;
    struct http_answer answer;
    char where[ADDRESS_TEXT_LEN];
    err_t err = cli_admin_socket(line, &socket, why);
    if (err != ERR_OK)
        return err;
    err = http_client_call(&socket, "GET", path, ANSWER_TIMEOUT_MS, &answer, why);
    if (err != ERR_OK)
        return explain(err, why);
    json_t *json = answer.status == 200
                       ? json_loadb((const char *)answer.body.data, answer.body.len, 0, NULL)
                       : NULL;
    if (answer.status != 200)
        err = why_set(why, ERR_RPC, "%s answered %s with HTTP status %d",
                      address_text(&socket, where), path, answer.status);
    else if (!json_is_array(json_object_get(json, name)))
        err = why_set(why, ERR_PARSE, "%s answered %s with something else than a list of %s",
                      address_text(&socket, where), path, name);
    buf_done(&answer.body);
    if (err == ERR_OK)
        *ret = json;
    else
        json_decref(json);
    return err;
}

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text != NULL && text[0] != '\0' ? text : "-";
}

static void print_list(FILE *out, const json_t *list)
{
    size_t i = 0;
    const json_t *item = NULL;
    json_array_foreach(list, i, item)
        fprintf(out, "%s%s", i > 0 ? " " : "", json_string_value(item));
}

static void print_svid(FILE *out, const json_t *row)
{
    fprintf(out, "%s\n  entry %s, serial %s, %s to %s, renewed at %s, subscribers %lld\n",
            text_of(row, "spiffe_id"), text_of(row, "entry"), text_of(row, "serial"),
            text_of(row, "not_before"), text_of(row, "not_after"), text_of(row, "renew_at"),
            (long long)json_integer_value(json_object_get(row, "subscribers")));
}

static void print_entry(FILE *out, const json_t *row)
{
    fprintf(out, "%s\n  entry %s, hint %s, selectors ", text_of(row, "spiffe_id"),
            text_of(row, "id"), text_of(row, "hint"));
    print_list(out, json_object_get(row, "selectors"));
    fputc('\n', out);
}

static err_t list(const struct command_line *line, const char *path, const char *name,
                  void (*print)(FILE *out, const json_t *row), struct why *why)
{
    bool as_json = false;
    json_t *json = NULL;
    err_t err = command_output_json(line, &as_json, why);
    if (err == ERR_OK)
        err = get_list(line, path, name, &json, why);
    if (err != ERR_OK)
        return err;
    const json_t *rows = json_object_get(json, name);
    if (as_json) {
        json_dumpf(json, line->out, JSON_INDENT(2));
        fputc('\n', line->out);
    } else {
        size_t i = 0;
        const json_t *row = NULL;
        json_array_foreach(rows, i, row) print(line->out, row);
        fprintf(line->out, "%s: %zu\n", name, json_array_size(rows));
    }
    json_decref(json);
    return ERR_OK;
}

err_t cli_svids(const struct command_line *line, struct why *why)
{
    return list(line, "/v1/svids", "svids", print_svid, why);
}

err_t cli_entries(const struct command_line *line, struct why *why)
{
    return list(line, "/v1/entries", "entries", print_entry, why);
}

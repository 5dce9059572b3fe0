#include "common/cli/admin_client.h"

#include "common/cli/cli_common.h"
#include "common/http/http_client.h"

#define ANSWER_TIMEOUT_MS 10000
#define WIDTH 92 /* of a paragraph */

static err_t ask(const struct command_line *line, const struct address *socket, const char *method,
                 const char *path, struct http_answer *ret, struct why *why)
{
    struct http_answer answer;
    struct why cause = {0};
    char where[ADDRESS_TEXT_LEN];
    err_t err = http_client_call(socket, method, path, ANSWER_TIMEOUT_MS, &answer, &cause);
    if (err == ERR_CONNECT)
        return why_set(why, err,
                       "%s; is %s running, and is this its user? --admin PATH names another socket",
                       why_text(&cause), line->program->name);
    if (err == ERR_PEER_CLOSED)
        return why_set(why, err, "%s; only root and the user %s runs as may ask", why_text(&cause),
                       line->program->name);
    if (err == ERR_PARSE)
        return why_set(why, err, "%s; --admin wants the admin socket, this is another",
                       why_text(&cause));
    if (err != ERR_OK)
        return why_set(why, err, "%s", why_text(&cause));
    if (answer.status == 400 || answer.status == 404 || answer.status == 409) {
        while (answer.body.len > 0 && answer.body.data[answer.body.len - 1] == '\n')
            answer.body.len--;
        err = answer.status == 400 ? ERR_USAGE : answer.status == 404 ? ERR_NOT_FOUND : ERR_RPC;
        why_set(why, err, "%.*s", SLICE_ARG(buf_slice(&answer.body))); /* one line, for people */
        buf_done(&answer.body);
        return err;
    }
    if (answer.status < 200 || answer.status > 299) {
        why_set(why, ERR_RPC, "%s answered %s %s with HTTP status %d: %.*s",
                address_text(socket, where), method, path, answer.status,
                (int)(answer.body.len < 200 ? answer.body.len : 200),
                (const char *)answer.body.data);
        buf_done(&answer.body);
        return ERR_RPC;
    }
    *ret = answer;
    return ERR_OK;
}

err_t admin_client_ask(const struct command_line *line, const struct address *socket,
                       const char *method, const char *path, json_t **ret, struct why *why)
{
    struct http_answer answer = {0};
    char where[ADDRESS_TEXT_LEN];
    err_t err = ask(line, socket, method, path, &answer, why);
    if (err != ERR_OK)
        return err;
    json_t *json = json_loadb((const char *)answer.body.data, answer.body.len, 0, NULL);
    buf_done(&answer.body);
    if (!json_is_object(json)) {
        json_decref(json);
        return why_set(why, ERR_PARSE, "%s answered %s with something else than JSON",
                       address_text(socket, where), path);
    }
    *ret = json;
    return ERR_OK;
}

err_t admin_client_list(const struct command_line *line, const struct address *socket,
                        const char *path, const char *name,
                        void (*print)(FILE *out, const json_t *row), struct why *why)
{
    char where[ADDRESS_TEXT_LEN];
    json_t *json = NULL;
    bool as_json = false;
    err_t err = command_output_json(line, &as_json, why);
    if (err == ERR_OK)
        err = admin_client_ask(line, socket, "GET", path, &json, why);
    if (err != ERR_OK)
        return err;
    const json_t *rows = json_object_get(json, name);
    if (!json_is_array(rows)) {
        json_decref(json);
        return why_set(why, ERR_PARSE, "%s answered %s with something else than a list of %s",
                       address_text(socket, where), path, name);
    }
    if (as_json) {
        admin_client_json(line->out, json);
    } else {
        size_t i = 0;
        const json_t *row = NULL;
        json_array_foreach(rows, i, row) print(line->out, row);
        fprintf(line->out, "%s: %zu\n", name, json_array_size(rows));
    }
    json_decref(json);
    return ERR_OK;
}

err_t admin_client_post(const struct command_line *line, const struct address *socket,
                        const char *path, struct why *why)
{
    struct http_answer answer = {0};
    err_t err = ask(line, socket, "POST", path, &answer, why);
    if (err != ERR_OK)
        return err;
    fprintf(line->out, "%.*s", SLICE_ARG(buf_slice(&answer.body)));
    buf_done(&answer.body);
    return ERR_OK;
}

void admin_client_json(FILE *out, const json_t *value)
{
    json_dumpf(value, out, JSON_INDENT(2));
    fputc('\n', out);
}

void admin_client_rows(FILE *out, const char *title, const json_t *list,
                       void (*print)(FILE *out, const json_t *row))
{
    size_t i = 0;
    const json_t *row = NULL;
    if (json_array_size(list) > 0)
        fprintf(out, "%s:\n", title);
    json_array_foreach(list, i, row) print(out, row);
}

void admin_client_verdict(FILE *out, const json_t *answer)
{
    fprintf(out, "verdict: %s\nwhat to do:", admin_client_text(answer, "verdict"));
    cli_wrap(out, admin_client_text(answer, "next"), "  ", WIDTH);
}

const char *admin_client_text(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text != NULL && text[0] != '\0' ? text : "-";
}

long long admin_client_number(const json_t *row, const char *key)
{
    return (long long)json_number_value(json_object_get(row, key));
}

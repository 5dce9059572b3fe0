#include "common/cli/admin_client.h"

#include "common/cli/cli_common.h"
#include "common/encode/query.h"
#include "common/http/http_client.h"

#define ANSWER_TIMEOUT_MS 10000
#define WIDTH 92 /* of a paragraph */
#define PATH_LEN_MAX (16 * 1024)

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

/* The path with what is asked, percent-encoded. */
static err_t whole_path(const struct admin_question *q, struct buf *path)
{
    err_t err = buf_append_str(path, q->path);
    for (const struct admin_param *p = q->params; err == ERR_OK && p->name != NULL; p++)
        if (p->value != NULL)
            err = query_add(path, p->name, p->value);
    return err == ERR_OK ? buf_append(path, "", 1) : err;
}

err_t admin_client_ask(const struct command_line *line, const struct address *socket,
                       const struct admin_question *q, json_t **ret, struct why *why)
{
    struct http_answer answer = {0};
    struct buf path;
    char where[ADDRESS_TEXT_LEN];
    buf_init(&path, PATH_LEN_MAX);
    err_t err = whole_path(q, &path);
    if (err != ERR_OK)
        err = why_set(why, ERR_USAGE, "%s", q->too_long);
    else
        err = ask(line, socket, q->method, (const char *)path.data, &answer, why);
    if (err == ERR_OK) {
        json_t *json = json_loadb((const char *)answer.body.data, answer.body.len, 0, NULL);
        buf_done(&answer.body);
        if (json_is_object(json)) {
            *ret = json;
        } else {
            json_decref(json);
            err = why_set(why, ERR_PARSE, "%s answered %s with something else than JSON",
                          address_text(socket, where), (const char *)path.data);
        }
    }
    buf_done(&path);
    return err;
}

err_t admin_client_show(const struct command_line *line, const struct admin_question *q,
                        void (*print)(FILE *out, const json_t *answer), struct why *why)
{
    struct address socket;
    json_t *answer = NULL;
    bool as_json = false;
    err_t err = command_output_json(line, &as_json, why);
    if (err == ERR_OK)
        err = cli_admin_socket(line, &socket, why);
    if (err == ERR_OK)
        err = admin_client_ask(line, &socket, q, &answer, why);
    if (err == ERR_OK && as_json)
        admin_client_json(line->out, answer);
    else if (err == ERR_OK)
        print(line->out, answer);
    json_decref(answer);
    return err;
}

/* How many there are. */
static size_t print_each(FILE *out, const json_t *list, void (*print)(FILE *out, const json_t *row))
{
    size_t i = 0;
    const json_t *row = NULL;
    json_array_foreach(list, i, row) print(out, row);
    return i;
}

err_t admin_client_list(const struct command_line *line, const char *path, const char *name,
                        void (*print)(FILE *out, const json_t *row), struct why *why)
{
    const struct admin_question q = {.method = "GET", .path = path};
    struct address socket;
    char where[ADDRESS_TEXT_LEN];
    json_t *json = NULL;
    bool as_json = false;
    err_t err = cli_admin_socket(line, &socket, why);
    if (err == ERR_OK)
        err = command_output_json(line, &as_json, why);
    if (err == ERR_OK)
        err = admin_client_ask(line, &socket, &q, &json, why);
    if (err != ERR_OK)
        return err;
    const json_t *rows = json_object_get(json, name);
    if (!json_is_array(rows))
        err = why_set(why, ERR_PARSE, "%s answered %s with something else than a list of %s",
                      address_text(&socket, where), path, name);
    else if (as_json)
        admin_client_json(line->out, json);
    else
        fprintf(line->out, "%s: %zu\n", name, print_each(line->out, rows, print));
    json_decref(json);
    return err;
}

err_t admin_client_post(const struct command_line *line, const char *path, struct why *why)
{
    struct http_answer answer = {0};
    struct address socket;
    err_t err = cli_admin_socket(line, &socket, why);
    if (err == ERR_OK)
        err = ask(line, &socket, "POST", path, &answer, why);
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
    if (json_array_size(list) > 0)
        fprintf(out, "%s:\n", title);
    print_each(out, list, print);
}

void admin_client_verdict(FILE *out, const json_t *answer)
{
    fprintf(out, "verdict: %s\nwhat to do:\n  ", admin_client_text(answer, "verdict"));
    command_prose(out, admin_client_text(answer, "next"), 2, WIDTH);
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

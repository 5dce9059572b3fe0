/* What commands do with a program's admin socket: fetch a list and print it, or tell it to do
 * something. Blocking, for a main thread that does nothing else. */
#ifndef SPINDLE_COMMON_CLI_ADMIN_CLIENT_H
#define SPINDLE_COMMON_CLI_ADMIN_CLIENT_H

#include "common/cli/command.h"
#include "common/loop/address.h"

#include <jansson.h>

struct admin_param {
    const char *name, *value; /* value NULL: not sent */
};
struct admin_question {
    const char *method, *path;
    struct admin_param params[10]; /* a name NULL ends them */
    const char *too_long;          /* what to say when no request holds them */
};

/* Asks and gives the JSON object that came, owned by the caller. A status 400, 404 or 409 is told
 * in the server's own line: ERR_USAGE, ERR_NOT_FOUND, ERR_RPC. Other errors name the socket. */
err_t admin_client_ask(const struct command_line *line, const struct address *socket,
                       const struct admin_question *q, json_t **ret, struct why *why) MUST_CHECK;
/* What a command does that asks one thing of the program's admin socket: the answer whole with
 * --output json, else by `print`. */
err_t admin_client_show(const struct command_line *line, const struct admin_question *q,
                        void (*print)(FILE *out, const json_t *answer), struct why *why) MUST_CHECK;
/* GET `path`: a JSON object with the array `name` in it. Prints it whole with --output json, else
 * each row with `print` and the count. Errors name the socket and what to do. */
err_t admin_client_list(const struct command_line *line, const char *path, const char *name,
                        void (*print)(FILE *out, const json_t *row), struct why *why) MUST_CHECK;
/* POST `path`; prints the answer's text. Any status from 200 to 299 is a success. */
err_t admin_client_post(const struct command_line *line, const char *path,
                        struct why *why) MUST_CHECK;
/* For --output json: the value whole, indented, and a line's end. */
void admin_client_json(FILE *out, const json_t *value);
/* "title:" and each of the list's rows; nothing of an empty list. */
void admin_client_rows(FILE *out, const char *title, const json_t *list,
                       void (*print)(FILE *out, const json_t *row));
/* How an explanation ends: its "verdict", and its "next" as a paragraph. */
void admin_client_verdict(FILE *out, const json_t *answer);
/* For `print`: the text under `key`, "-" when there is none. Borrowed. */
const char *admin_client_text(const json_t *row, const char *key);
long long admin_client_number(const json_t *row, const char *key);

#endif

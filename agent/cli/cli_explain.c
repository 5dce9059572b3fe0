/* explain: why a process gets an identity or none, as the running agent sees it. */
#include "agent/cli/commands.h"
#include "common/cli/admin_client.h"

static void put_list(FILE *out, const char *before, const json_t *list)
{
    size_t i = 0;
    const json_t *item = NULL;
    json_array_foreach(list, i, item) fprintf(out, "%s%s\n", before, json_string_value(item));
}

static void put_match(FILE *out, const json_t *row)
{
    fprintf(out, "  %s (entry %s)\n", admin_client_text(row, "spiffe_id"),
            admin_client_text(row, "entry"));
    if (json_object_get(row, "since") != NULL)
        fprintf(out, "    REVOKED since %s, reason %s; lifted by: spindle-agent revoke --lift %s\n",
                admin_client_text(row, "since"), admin_client_text(row, "reason"),
                admin_client_text(row, "lift"));
    if (json_object_get(row, "serial") != NULL)
        fprintf(out, "    in use: serial %s, until %s, subscribers %lld\n",
                admin_client_text(row, "serial"), admin_client_text(row, "not_after"),
                admin_client_number(row, "subscribers"));
    else
        fprintf(out, "    nobody asks for it now\n");
}

static void put_missing(FILE *out, const json_t *row)
{
    size_t i = 0;
    const json_t *item = NULL, *found = json_object_get(row, "found");
    fprintf(out, "    FAILS  %s", admin_client_text(row, "selector"));
    json_array_foreach(found, i, item)
        fprintf(out, "%s%s", i == 0 ? "   it has " : ", ", json_string_value(item));
    fprintf(out, "%s\n", json_array_size(found) == 0 ? "   nothing of this kind was found" : "");
}

static void put_near(FILE *out, const json_t *row)
{
    size_t i = 0;
    const json_t *item = NULL;
    fprintf(out, "  %s (entry %s)\n", admin_client_text(row, "spiffe_id"),
            admin_client_text(row, "entry"));
    put_list(out, "    holds  ", json_object_get(row, "present"));
    json_array_foreach(json_object_get(row, "missing"), i, item) put_missing(out, item);
}

static void put_problems(FILE *out, const json_t *list)
{
    size_t i = 0;
    const json_t *row = NULL;
    if (json_array_size(list) > 0)
        fprintf(out, "not found out:\n");
    json_array_foreach(list, i, row)
        fprintf(out, "  %s: %s (%s)\n", admin_client_text(row, "part"),
                admin_client_text(row, "detail"), admin_client_text(row, "reason"));
}

static void put_answer(FILE *out, const json_t *top)
{
    const json_t *selectors = json_object_get(top, "selectors");
    fprintf(out, "process %lld", admin_client_number(top, "pid"));
    if (json_array_size(selectors) > 0)
        fprintf(out, " (%s), uid %lld, gid %lld\nselectors:\n", admin_client_text(top, "comm"),
                admin_client_number(top, "uid"), admin_client_number(top, "gid"));
    else
        fputc('\n', out);
    put_list(out, "  ", selectors);
    put_problems(out, json_object_get(top, "problems"));
    admin_client_rows(out, "entitled to", json_object_get(top, "matches"), put_match);
    admin_client_rows(out, "no entry matches; nearest", json_object_get(top, "nearest"), put_near);
    admin_client_verdict(out, top);
}

err_t cli_explain(const struct command_line *line, struct why *why)
{
    const char *pid = command_flag_value(line, "pid");
    char too_long[64];
    if (pid == NULL)
        return why_set(why, ERR_USAGE, "name the process with --pid N");
    snprintf(too_long, sizeof too_long, "--pid %.40s: too long", pid);
    const struct admin_question q = {"GET", "/v1/explain", {{"pid", pid}}, too_long};
    return admin_client_show(line, &q, put_answer, why);
}

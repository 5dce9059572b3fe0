/* entries: the registration entries, by the agent's admin socket. */
#include "agent/cli/commands.h"
#include "common/cli/admin_client.h"

static void print_entry(FILE *out, const json_t *row)
{
    size_t i = 0;
    const json_t *selector = NULL;
    fprintf(out, "%s\n  entry %s, hint %s, selectors", admin_client_text(row, "spiffe_id"),
            admin_client_text(row, "id"), admin_client_text(row, "hint"));
    json_array_foreach(json_object_get(row, "selectors"), i, selector)
        fprintf(out, " %s", json_string_value(selector));
    fputc('\n', out);
}

err_t cli_entries(const struct command_line *line, struct why *why)
{
    return admin_client_list(line, "/v1/entries", "entries", print_entry, why);
}

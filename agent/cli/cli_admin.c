/* entries: the registration entries, by the agent's admin socket. */
#include "agent/cli/cli_endpoint.h"
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
    struct address socket;
    err_t err = cli_admin_socket(line, &socket, why);
    return err == ERR_OK
               ? admin_client_list(line, &socket, "/v1/entries", "entries", print_entry, why)
               : err;
}

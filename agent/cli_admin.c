/* svids, entries: what the agent's admin socket tells. */
#include "agent/cli_endpoint.h"
#include "agent/commands.h"
#include "common/admin_client.h"

static void print_svid(FILE *out, const json_t *row)
{
    fprintf(out, "%s\n  entry %s, serial %s, %s to %s, renewed at %s, subscribers %lld\n",
            admin_client_text(row, "spiffe_id"), admin_client_text(row, "entry"),
            admin_client_text(row, "serial"), admin_client_text(row, "not_before"),
            admin_client_text(row, "not_after"), admin_client_text(row, "renew_at"),
            admin_client_number(row, "subscribers"));
}

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

err_t cli_svids(const struct command_line *line, struct why *why)
{
    struct address socket;
    err_t err = cli_admin_socket(line, &socket, why);
    return err == ERR_OK ? admin_client_list(line, &socket, "/v1/svids", "svids", print_svid, why)
                         : err;
}

err_t cli_entries(const struct command_line *line, struct why *why)
{
    struct address socket;
    err_t err = cli_admin_socket(line, &socket, why);
    return err == ERR_OK
               ? admin_client_list(line, &socket, "/v1/entries", "entries", print_entry, why)
               : err;
}

/* conns, drain, quit: the sidecar's admin socket from the command line. */
#include "common/cli/admin_client.h"
#include "sidecar/cli/commands.h"

static void print_conn(FILE *out, const json_t *row)
{
    fprintf(out, "%lld %s %s from %s to %s peer %s, %lld s, %lld bytes to the app, %lld back\n",
            admin_client_number(row, "id"), admin_client_text(row, "direction"),
            admin_client_text(row, "state"), admin_client_text(row, "from"),
            admin_client_text(row, "forward"), admin_client_text(row, "peer_id"),
            admin_client_number(row, "age_seconds"), admin_client_number(row, "bytes_to_app"),
            admin_client_number(row, "bytes_from_app"));
}

err_t cli_conns(const struct command_line *line, struct why *why)
{
    return admin_client_list(line, "/v1/conns", "connections", print_conn, why);
}

err_t cli_drain(const struct command_line *line, struct why *why)
{
    return admin_client_post(line, "/v1/drain", why);
}

err_t cli_quit(const struct command_line *line, struct why *why)
{
    return admin_client_post(line, "/v1/quit", why);
}

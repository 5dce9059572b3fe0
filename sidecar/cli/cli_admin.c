/* conns, drain, quit: the sidecar's admin socket from the command line. */
#include "sidecar/cli/cli_admin.h"

#include "common/cli/admin_client.h"
#include "common/cli/cli_common.h"
#include "sidecar/cli/commands.h"
#include "sidecar/config/config.h"

#define REPORT_MAX (64u * 1024u)

err_t cli_admin_socket(const struct command_line *line, struct address *ret, struct why *why)
{
    const char *sets[COMMAND_FLAGS_MAX + 1];
    const char *flag = command_flag_value(line, "admin");
    const char *path = command_flag_value(line, "config");
    struct sidecar_config *config = NULL;
    struct buf report;
    if (flag != NULL) {
        err_t err = cli_unix_socket(flag, ret, why);
        return err == ERR_OK ? err : why_add(why, ERR_USAGE, "--admin");
    }
    path = path != NULL ? path : SIDECAR_CONFIG_DEFAULT;
    buf_init(&report, REPORT_MAX);
    command_flag_values(line, "set", sets);
    err_t err = sidecar_config_load(path, sets, &report, &config, why);
    if (err != ERR_OK) {
        fprintf(line->err, "%.*s", SLICE_ARG(buf_slice(&report)));
        fprintf(line->err, "name the sidecar's socket with --admin PATH, or its configuration with "
                           "--config PATH\n");
    } else if (config->admin_socket == NULL) {
        err = why_set(why, ERR_CONFIG,
                      "%s: admin.socket is not set, so this sidecar has no admin socket", path);
    } else {
        err = address_parse(slice_str(config->admin_socket), ret, why);
    }
    sidecar_config_unref(config);
    buf_done(&report);
    return err;
}

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
    struct address socket;
    err_t err = cli_admin_socket(line, &socket, why);
    return err == ERR_OK
               ? admin_client_list(line, &socket, "/v1/conns", "connections", print_conn, why)
               : err;
}

err_t cli_drain(const struct command_line *line, struct why *why)
{
    struct address socket;
    err_t err = cli_admin_socket(line, &socket, why);
    return err == ERR_OK ? admin_client_post(line, &socket, "/v1/drain", why) : err;
}

err_t cli_quit(const struct command_line *line, struct why *why)
{
    struct address socket;
    err_t err = cli_admin_socket(line, &socket, why);
    return err == ERR_OK ? admin_client_post(line, &socket, "/v1/quit", why) : err;
}

#include "agent/cli/cli_endpoint.h"

#include "agent/config/config.h"
#include "common/base/quantity.h"
#include "common/cli/cli_common.h"
#include "common/rpc/rpc_code.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORKLOAD_SOCKET_DEFAULT "/run/spindle/public/api.sock"
#define ADMIN_SOCKET_DEFAULT "/run/spindle/admin.sock"

enum which_socket { SOCKET_WORKLOAD, SOCKET_ADMIN };

/* A command of a workload seldom may read the agent's configuration, and need not: without --config
 * or --set, what cannot be read is passed over for the program's default. */
static err_t configured_socket(const struct command_line *line, enum which_socket which,
                               struct address *ret, struct why *why)
{
    const char *sets[COMMAND_FLAGS_MAX + 1];
    const char *path = command_flag_value(line, "config");
    struct agent_config *config = NULL;
    struct buf report;
    buf_init(&report, 64u * 1024u);
    command_flag_values(line, "set", sets);
    bool asked_for = path != NULL || sets[0] != NULL;
    if (path == NULL && access(AGENT_CONFIG_DEFAULT, R_OK) == 0)
        path = AGENT_CONFIG_DEFAULT;
    err_t err = ERR_OK;
    if (path != NULL || asked_for)
        err = agent_config_load(path, sets, &report, &config, why);
    if (err != ERR_OK && asked_for) {
        fprintf(line->err, "%.*s", SLICE_ARG(buf_slice(&report)));
        buf_done(&report);
        return err;
    }
    const char *socket = which == SOCKET_WORKLOAD ? WORKLOAD_SOCKET_DEFAULT : ADMIN_SOCKET_DEFAULT;
    if (config != NULL)
        socket = which == SOCKET_WORKLOAD ? config->workload_api_socket : config->admin_socket;
    err = address_parse(slice_str(socket), ret, why);
    agent_config_free(config);
    buf_done(&report);
    return err;
}

err_t cli_workload_socket(const struct command_line *line, struct address *ret, struct why *why)
{
    const char *flag = command_flag_value(line, "socket");
    const char *variable = getenv("SPIFFE_ENDPOINT_SOCKET");
    if (flag != NULL && strchr(flag, ':') == NULL) {
        err_t err = cli_unix_socket(flag, ret, why);
        return err == ERR_OK ? err : why_add(why, ERR_USAGE, "--socket");
    }
    if (flag != NULL) {
        err_t err = address_parse_endpoint(slice_str(flag), ret, why);
        return err == ERR_OK ? err : why_add(why, ERR_USAGE, "--socket %s", flag);
    }
    if (variable != NULL && variable[0] != '\0') {
        err_t err = address_parse_endpoint(slice_str(variable), ret, why); /* EP-4 */
        return err == ERR_OK ? err : why_add(why, ERR_USAGE, "SPIFFE_ENDPOINT_SOCKET=%s", variable);
    }
    return configured_socket(line, SOCKET_WORKLOAD, ret, why);
}

err_t cli_configured_admin(const struct command_line *line, struct address *ret, struct why *why)
{
    return configured_socket(line, SOCKET_ADMIN, ret, why);
}

err_t cli_timeout(const struct command_line *line, uint64_t otherwise, uint64_t *ret_ms,
                  struct why *why)
{
    const char *flag = command_flag_value(line, "timeout");
    int64_t ms = (int64_t)otherwise;
    if (flag != NULL) {
        err_t err = quantity_parse_duration(slice_str(flag), &ms, why);
        if (err != ERR_OK)
            return why_add(why, ERR_USAGE, "--timeout %s", flag);
        if (ms <= 0)
            return why_set(why, ERR_USAGE, "--timeout %s: expected more than nothing", flag);
    }
    *ret_ms = (uint64_t)ms;
    return ERR_OK;
}

/* A socket that is not there, or not for us, is the commonest trouble: said without gRPC's words.
 */
static err_t explain_path(const char *path, struct why *why)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return why_set(why, ERR_CONNECT,
                       "no socket at %s (%s); is spindle-agent running? --socket PATH or "
                       "SPIFFE_ENDPOINT_SOCKET name another",
                       path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return why_set(why, ERR_CONNECT, "%s is not a socket", path);
    if (access(path, W_OK) != 0)
        return why_set(why, ERR_CONNECT, "this user may not connect to %s: %s", path,
                       strerror(errno));
    return ERR_OK;
}

err_t cli_explain_rpc(const struct address *socket, int code, const char *message, struct why *why)
{
    char where[ADDRESS_TEXT_LEN];
    const char *name = rpc_code_name(code);
    address_text(socket, where);
    switch (code) {
    case RPC_PERMISSION_DENIED:
        if (strcmp(message, err_text(ERR_REVOKED)) == 0)
            return why_set(why, ERR_REVOKED,
                           "%s from %s: %s; spindle-agent revocations lists what is held", name,
                           where, message);
        return why_set(why, ERR_NO_ENTRY,
                       "%s from %s: no registration entry matches this process (uid %u, gid %u): "
                       "%s; an entry with the selector unix:uid:%u would",
                       name, where, geteuid(), getegid(), message, geteuid());
    case RPC_UNAVAILABLE:
        if (socket->kind == ADDRESS_UNIX && explain_path(socket->host, why) != ERR_OK)
            return ERR_CONNECT;
        return why_set(why, ERR_CONNECT, "%s from %s: %s; try again when the agent is ready", name,
                       where, message);
    case RPC_UNIMPLEMENTED:
    case RPC_INVALID_ARGUMENT:
        return why_set(why, ERR_RPC, "%s from %s: %s; is that a SPIFFE Workload API?", name, where,
                       message);
    case RPC_DEADLINE_EXCEEDED:
        return why_set(why, ERR_TIMEOUT, "no answer from %s in time (--timeout)", where);
    default:
        return why_set(why, ERR_RPC, "%s from %s: %s", name, where, message);
    }
}

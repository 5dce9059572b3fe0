/* Which socket a command talks to, and what to tell a person when it does not go well. */
#ifndef SPINDLE_AGENT_CLI_CLI_ENDPOINT_H
#define SPINDLE_AGENT_CLI_CLI_ENDPOINT_H

#include "common/cli/command.h"
#include "common/loop/address.h"

/* --socket (a path or EP-4's syntax), else SPIFFE_ENDPOINT_SOCKET, else the configured one. */
err_t cli_workload_socket(const struct command_line *line, struct address *ret,
                          struct why *why) MUST_CHECK;
/* As program_facts.admin_socket wants it. */
err_t cli_configured_admin(const struct command_line *line, struct address *ret,
                           struct why *why) MUST_CHECK;
/* --timeout in ms, else `otherwise`. */
err_t cli_timeout(const struct command_line *line, uint64_t otherwise, uint64_t *ret_ms,
                  struct why *why) MUST_CHECK;

/* Turns a failed call into one line: which socket, which gRPC code, what to do. Returns an error.
 */
err_t cli_explain_rpc(const struct address *socket, int code, const char *message, struct why *why);

#endif

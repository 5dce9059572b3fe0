/* Which admin socket a command talks to. Main thread only. */
#ifndef SPINDLE_SIDECAR_CLI_CLI_ADMIN_H
#define SPINDLE_SIDECAR_CLI_CLI_ADMIN_H

#include "common/cli/command.h"
#include "common/loop/address.h"

/* --admin, else the configured one; a sidecar has none unless it is configured. */
err_t cli_admin_socket(const struct command_line *line, struct address *ret,
                       struct why *why) MUST_CHECK;

#endif

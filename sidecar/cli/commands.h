/* The functions behind spindle-sidecar's commands, one for each row of commands.def, and the
 * program as the engine of common/cli/command.h wants it. Main thread only. */
#ifndef SPINDLE_SIDECAR_CLI_COMMANDS_H
#define SPINDLE_SIDECAR_CLI_COMMANDS_H

#include "common/cli/cli_common.h"

#define COMMAND(words, arguments, flags, function, summary) command_fn function;
#include "sidecar/cli/commands.def"
#undef COMMAND

extern const struct command_program sidecar_program;

#endif

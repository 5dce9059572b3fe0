/* The functions behind spindle-agent's commands, one for each row of commands.def, and the program
 * as the engine of common/cli/command.h wants it. Main thread only. */
#ifndef SPINDLE_AGENT_CLI_COMMANDS_H
#define SPINDLE_AGENT_CLI_COMMANDS_H

#include "common/cli/cli_common.h"

#define COMMAND(words, arguments, flags, function, summary) command_fn function;
#include "agent/cli/commands.def"
#undef COMMAND

extern const struct command_program agent_program;

#endif

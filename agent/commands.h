/* The functions behind spindle-agent's commands, one for each row of commands.def, and the program
 * as the engine of common/command.h wants it. Main thread only. */
#ifndef SPINDLE_AGENT_COMMANDS_H
#define SPINDLE_AGENT_COMMANDS_H

#include "common/command.h"

#define COMMAND(words, arguments, flags, function, summary) command_fn function;
#include "agent/commands.def"
#undef COMMAND

extern const struct command_program agent_program;

#endif

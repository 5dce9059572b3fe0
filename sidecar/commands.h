/* The functions behind spindle-sidecar's commands, one for each row of commands.def, and the
 * program as the engine of common/command.h wants it. Main thread only. */
#ifndef SPINDLE_SIDECAR_COMMANDS_H
#define SPINDLE_SIDECAR_COMMANDS_H

#include "common/command.h"

#define COMMAND(words, arguments, flags, function, summary) command_fn function;
#include "sidecar/commands.def"
#undef COMMAND

extern const struct command_program sidecar_program;

#endif

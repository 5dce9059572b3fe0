/* The functions behind spindle-agent's commands, one for each row of commands.def, and the program
 * as the engine of common/cli/command.h wants it. Main thread only. */
#ifndef SPINDLE_AGENT_CLI_COMMANDS_H
#define SPINDLE_AGENT_CLI_COMMANDS_H

#include "common/cli/cli_common.h"

#define COMMAND(words, arguments, flags, function, summary) command_fn function;
#include "agent/cli/commands.def"
#undef COMMAND

/* As program_facts.check wants it. */
err_t agent_config_check(const char *path, const char *const *sets, struct buf *report,
                         struct why *why) MUST_CHECK;

extern const struct command_program agent_program;

#endif

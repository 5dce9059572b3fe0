/* The command that runs the agent. */
#include "agent/agent.h"
#include "agent/commands.h"
#include "agent/config.h"

err_t cli_run(const struct command_line *line, struct why *why)
{
    const char *sets[COMMAND_FLAGS_MAX + 1];
    const char *path = command_flag_value(line, "config");
    command_flag_values(line, "set", sets);
    return agent_run(path != NULL ? path : AGENT_CONFIG_DEFAULT, sets, why);
}

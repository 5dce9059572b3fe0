/* The command that runs the agent. */
#include "agent/agent.h"
#include "agent/cli/commands.h"
#include "common/cli/cli_common.h"
#include "common/crypto/selftest.h"

err_t cli_run(const struct command_line *line, struct why *why)
{
    const char *sets[COMMAND_FLAGS_MAX + 1];
    const char *path = NULL;
    err_t err = selftest_run(why);
    if (err == ERR_OK)
        err = cli_config_path(line, &path, why);
    command_flag_values(line, "set", sets);
    return err == ERR_OK ? agent_run(path, sets, why) : err;
}

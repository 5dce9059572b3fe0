/* The command that runs the program. */
#include "common/cli/cli_common.h"
#include "common/crypto/selftest.h"
#include "sidecar/cli/commands.h"
#include "sidecar/sidecar.h"

err_t cli_run(const struct command_line *line, struct why *why)
{
    const char *sets[COMMAND_FLAGS_MAX + 1];
    const char *path = NULL;
    err_t err = selftest_run(why);
    if (err == ERR_OK)
        err = cli_config_path(line, &path, why);
    command_flag_values(line, "set", sets);
    return err == ERR_OK ? sidecar_run(path, sets, why) : err;
}

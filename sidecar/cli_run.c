/* The command that runs the program. */
#include "sidecar/commands.h"
#include "sidecar/config.h"
#include "sidecar/sidecar.h"

err_t cli_run(const struct command_line *line, struct why *why)
{
    const char *sets[COMMAND_FLAGS_MAX + 1];
    const char *path = command_flag_value(line, "config");
    command_flag_values(line, "set", sets);
    return sidecar_run(path != NULL ? path : SIDECAR_CONFIG_DEFAULT, sets, why);
}

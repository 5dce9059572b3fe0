#include "sidecar/cli/commands.h"

#include "sidecar/config/config.h"
#include "sidecar/telemetry/audit_events.h"
#include "sidecar/telemetry/metrics.h"

static const struct command commands[] = {
#define COMMAND(words, arguments, flags, function, summary)                                        \
    {words, arguments, flags, function, summary},
#include "sidecar/cli/commands.def"
#undef COMMAND
};

static const struct command_flag flags[] = {
#define FLAG(name, value, help) {name, value, help},
#include "sidecar/cli/flags.def"
#undef FLAG
};

static void help_keys(FILE *out)
{
    option_help(&sidecar_options, out);
}

static const struct program_facts facts = {
    .options = &sidecar_options,
    .metrics = sidecar_families,
    .metric_count = SIDECAR_METRIC_COUNT,
    .config_default = SIDECAR_CONFIG_DEFAULT,
    .audit = &sidecar_audit_table,
    .check = sidecar_config_check,
};

const struct command_program sidecar_program = {
    .name = "spindle-sidecar",
    .about = "carries an app's traffic over mutual TLS with its SPIFFE identity.",
    .commands = commands,
    .command_count = sizeof commands / sizeof commands[0],
    .flags = flags,
    .flag_count = sizeof flags / sizeof flags[0],
    .help_keys = help_keys,
    .version = cli_print_crypto,
    .facts = &facts,
};

#include "agent/cli/commands.h"

#include "agent/config/config.h"
#include "agent/telemetry/audit_events.h"
#include "agent/telemetry/metrics.h"

static const struct command commands[] = {
#define COMMAND(words, arguments, flags, function, summary)                                        \
    {words, arguments, flags, function, summary},
#include "agent/cli/commands.def"
#undef COMMAND
};

static const struct command_flag flags[] = {
#define FLAG(name, value, help) {name, value, help},
#include "agent/cli/flags.def"
#undef FLAG
};

static void help_keys(FILE *out)
{
    option_help(&agent_options, out);
}

static const struct program_facts facts = {
    .options = &agent_options,
    .metrics = agent_metrics,
    .metric_count = AGENT_METRIC_COUNT,
    .config_default = AGENT_CONFIG_DEFAULT,
    .audit = &agent_audit_table,
    .check = agent_config_check,
};

const struct command_program agent_program = {
    .name = "spindle-agent",
    .about = "issues SPIFFE identities to the workloads of this node.",
    .commands = commands,
    .command_count = sizeof commands / sizeof commands[0],
    .flags = flags,
    .flag_count = sizeof flags / sizeof flags[0],
    .help_keys = help_keys,
    .version = cli_print_crypto,
    .facts = &facts,
};

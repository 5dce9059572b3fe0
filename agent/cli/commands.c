#include "agent/cli/commands.h"

#include "agent/agent.h"
#include "agent/cli/cli_endpoint.h"
#include "agent/config/config.h"
#include "agent/entry/entry_advice.h"
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

/* As program_facts.check wants it. */
static err_t check(const char *path, const char *const *sets, struct buf *report, struct why *why)
{
    struct agent_config *c = NULL;
    struct entry_set *entries = NULL;
    err_t err = agent_config_load(path, sets, report, &c, why);
    if (err != ERR_OK)
        return err;
    err = agent_config_check_files(c, report);
    option_set_err(&err, entries_load(c->entries, c->trust_domain, report, &entries, why));
    if (entries != NULL)
        entry_advise(entries, &(struct entry_advice){.issuer_ttl_s = c->issuer_ttl_s}, report);
    entries_free(entries);
    agent_config_free(c);
    return err;
}

static const struct program_facts facts = {
    .options = &agent_options,
    .metrics = agent_metrics,
    .metric_count = AGENT_METRIC_COUNT,
    .config_default = AGENT_CONFIG_DEFAULT,
    .audit = &agent_audit_table,
    .check = check,
    .run = agent_run,
    .admin_socket = cli_configured_admin,
};

const struct command_program agent_program = {
    .name = "spindle-agent",
    .about = "issues SPIFFE identities to the workloads of this node.",
    .commands = commands,
    .command_count = sizeof commands / sizeof commands[0],
    .flags = flags,
    .flag_count = sizeof flags / sizeof flags[0],
    .help_keys = cli_help_keys,
    .version = cli_print_crypto,
    .facts = &facts,
};

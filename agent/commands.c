#include "agent/commands.h"

#include "agent/config.h"

static const struct command commands[] = {
#define COMMAND(words, arguments, flags, function, summary)                                        \
    {words, arguments, flags, function, summary},
#include "agent/commands.def"
#undef COMMAND
};

static const struct command_flag flags[] = {
#define FLAG(name, value, help) {name, value, help},
#include "agent/flags.def"
#undef FLAG
};

static void help_keys(FILE *out)
{
    option_help(&agent_options, out);
}

const struct command_program agent_program = {
    .name = "spindle-agent",
    .about = "issues SPIFFE identities to the workloads of this node.",
    .commands = commands,
    .command_count = sizeof commands / sizeof commands[0],
    .flags = flags,
    .flag_count = sizeof flags / sizeof flags[0],
    .help_keys = help_keys,
};

err_t cli_docs_commands(const struct command_line *line, struct why *why)
{
    (void)why;
    command_docs(line->program, line->out);
    return ERR_OK;
}

err_t cli_docs_errors(const struct command_line *line, struct why *why)
{
    (void)why;
    command_docs_errors(line->program, line->out);
    return ERR_OK;
}

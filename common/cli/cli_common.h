/* The commands that both programs have: run, check the configuration, print the reference pages.
 * What differs between the programs is in the facts that their command_program points to. Main
 * thread.
 */
#ifndef SPINDLE_COMMON_CLI_CLI_COMMON_H
#define SPINDLE_COMMON_CLI_CLI_COMMON_H

#include "common/audit/audit_table.h"
#include "common/base/buf.h"
#include "common/cli/command.h"
#include "common/config/option.h"
#include "common/loop/address.h"
#include "common/metric/metric.h"

struct program_facts {
    const struct option_table *options;
    const struct metric_family *metrics;
    size_t metric_count;
    const struct audit_table *audit;
    const char *config_default; /* path */
    /* Everything that `run` would refuse, and what only a reader of the files can see: a line each
     * in `report`, ERR_CONFIG then. Opens for reading only, creates nothing. */
    err_t (*check)(const char *path, const char *const *sets, struct buf *report, struct why *why);
    err_t (*run)(const char *path, const char *const *sets, struct why *why);
    /* The admin socket that the configuration names. */
    err_t (*admin_socket)(const struct command_line *line, struct address *ret, struct why *why);
};

/* The whole of main(): what the process knows is kept to itself first of all. */
int cli_main(const struct command_program *p, int argc, char **argv);

/* A Unix socket as a person names it: a path, relative ones from the current folder, or
 * unix://PATH. ERR_USAGE. */
err_t cli_unix_socket(const char *text, struct address *ret, struct why *why) MUST_CHECK;

/* --admin, else the configured one. */
err_t cli_admin_socket(const struct command_line *line, struct address *ret,
                       struct why *why) MUST_CHECK;

/* What does the cryptography, in lines for people. */
void cli_print_crypto(FILE *out);

/* For command_program.help_keys. */
void cli_help_keys(const struct command_program *p, FILE *out);

command_fn cli_run, cli_config_check, cli_docs_audit, cli_docs_commands, cli_docs_errors,
    cli_docs_metrics, cli_docs_options;

#endif

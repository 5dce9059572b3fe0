#include "sidecar/cli/commands.h"

#include "common/base/clock.h"
#include "sidecar/config/config.h"
#include "sidecar/sidecar.h"
#include "sidecar/telemetry/audit_events.h"
#include "sidecar/telemetry/metrics.h"

#define REPORT_MAX (64u * 1024u)

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

/* As program_facts.check wants it. */
static err_t check(const char *path, const char *const *sets, struct buf *report, struct why *why)
{
    struct sidecar_config *c = NULL;
    err_t err = sidecar_config_load(path, sets, report, &c, why);
    if (err != ERR_OK)
        return err;
    err = sidecar_config_check_files(c, clock_wall_s(), report);
    sidecar_config_unref(c);
    return err;
}

/* As program_facts.admin_socket wants it. */
static err_t configured_admin(const struct command_line *line, struct address *ret, struct why *why)
{
    const char *sets[COMMAND_FLAGS_MAX + 1];
    const char *path = command_flag_value(line, "config");
    struct sidecar_config *config = NULL;
    struct buf report;
    path = path != NULL ? path : SIDECAR_CONFIG_DEFAULT;
    buf_init(&report, REPORT_MAX);
    command_flag_values(line, "set", sets);
    err_t err = sidecar_config_load(path, sets, &report, &config, why);
    if (err != ERR_OK) {
        fprintf(line->err, "%.*s", SLICE_ARG(buf_slice(&report)));
        fprintf(line->err, "name the sidecar's socket with --admin PATH, or its configuration with "
                           "--config PATH\n");
    } else if (config->admin_socket == NULL) {
        err = why_set(why, ERR_CONFIG,
                      "%s: admin.socket is not set, so this sidecar has no admin socket", path);
    } else {
        err = address_parse(slice_str(config->admin_socket), ret, why);
    }
    sidecar_config_unref(config);
    buf_done(&report);
    return err;
}

static const struct program_facts facts = {
    .options = &sidecar_options,
    .metrics = sidecar_families,
    .metric_count = SIDECAR_METRIC_COUNT,
    .config_default = SIDECAR_CONFIG_DEFAULT,
    .audit = &sidecar_audit_table,
    .check = check,
    .run = sidecar_run,
    .admin_socket = configured_admin,
};

const struct command_program sidecar_program = {
    .name = "spindle-sidecar",
    .about = "carries an app's traffic over mutual TLS with its SPIFFE identity.",
    .commands = commands,
    .command_count = sizeof commands / sizeof commands[0],
    .flags = flags,
    .flag_count = sizeof flags / sizeof flags[0],
    .help_keys = cli_help_keys,
    .version = cli_print_crypto,
    .facts = &facts,
};

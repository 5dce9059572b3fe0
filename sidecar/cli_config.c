/* The commands about the configuration: check it, print the reference pages. */
#include "common/metric_text.h"
#include "sidecar/commands.h"
#include "sidecar/config.h"
#include "sidecar/metrics.h"

#define REPORT_MAX (1u << 20)

/* Everything that `run` would refuse, and what only a reader of the files can see. */
static err_t check(const char *path, const char *const *sets, struct buf *report, struct why *why)
{
    struct sidecar_config *c = NULL;
    err_t err = sidecar_config_load(path, sets, report, &c, why);
    if (err != ERR_OK)
        return err;
    err = sidecar_config_check_files(c, report);
    sidecar_config_unref(c);
    return err;
}

err_t cli_config_check(const struct command_line *line, struct why *why)
{
    const char *sets[COMMAND_FLAGS_MAX + 1];
    const char *path = command_flag_value(line, "config");
    struct buf report;
    command_flag_values(line, "set", sets);
    buf_init(&report, REPORT_MAX);
    err_t err = check(path != NULL ? path : SIDECAR_CONFIG_DEFAULT, sets, &report, why);
    if (report.len > 0)
        fwrite(report.data, 1, report.len, line->err);
    if (err == ERR_CONFIG && report.len > 0)
        why->text[0] = '\0'; /* the lines say it all */
    if (err == ERR_OK)
        fputs("configuration is valid\n", line->out);
    buf_done(&report);
    return err;
}

err_t cli_docs_options(const struct command_line *line, struct why *why)
{
    (void)why;
    option_docs(&sidecar_options, line->program->name, line->out);
    return ERR_OK;
}

err_t cli_docs_metrics(const struct command_line *line, struct why *why)
{
    struct metrics *m = NULL;
    struct buf out;
    buf_init(&out, METRIC_TEXT_MAX);
    err_t err = metrics_new(sidecar_metrics, SIDECAR_METRIC_COUNT, "spindle_", &m, why);
    if (err == ERR_OK)
        err = metric_docs_write(m, "spindle-sidecar: metrics", &out);
    if (err == ERR_OK) {
        fputs("<!-- Made by `spindle-sidecar docs metrics`; edit the table, not this page. -->\n",
              line->out);
        fwrite(out.data, 1, out.len, line->out);
    }
    metrics_free(m);
    buf_done(&out);
    return err;
}

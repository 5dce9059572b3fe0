#include "common/cli/cli_common.h"

#include "common/base/inherited.h"
#include "common/crypto/crypto_facts.h"
#include "common/crypto/selftest.h"
#include "common/metric/metric_text.h"
#include "common/sandbox/process_guard.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REPORT_MAX (1u << 20)

int cli_main(const struct command_program *p, int argc, char **argv)
{
    struct why why = {0};
    inherited_settle(argv);
    if (process_guard_enter(&why) != ERR_OK) {
        fprintf(stderr, "%s: %s\n", p->name, why_text(&why));
        return COMMAND_FAILED;
    }
    return command_main(p, argc, argv, stdout, stderr);
}

err_t cli_unix_socket(const char *text, struct address *ret, struct why *why)
{
    char folder[PATH_MAX], path[2 * PATH_MAX];
    err_t err = ERR_OK;
    if (text[0] == '/' || text[0] == '\0' || strncmp(text, "unix:", 5) == 0)
        err = address_parse(slice_str(text), ret, why);
    else if (getcwd(folder, sizeof folder) == NULL)
        err =
            why_errno(why, ERR_USAGE, "%s: a relative path, and the current folder is gone", text);
    else if (snprintf(path, sizeof path, "%s/%s", folder, text) >= (int)sizeof path)
        err = why_set(why, ERR_USAGE, "the path is too long");
    else
        err = address_parse(slice_str(path), ret, why);
    if (err == ERR_OK && ret->kind != ADDRESS_UNIX)
        err = why_set(why, ERR_USAGE, "expected the path of a Unix socket");
    return err == ERR_OK ? err : why_add(why, ERR_USAGE, "%s", text);
}

err_t cli_admin_socket(const struct command_line *line, struct address *ret, struct why *why)
{
    const char *flag = command_flag_value(line, "admin");
    if (flag == NULL)
        return line->program->facts->admin_socket(line, ret, why);
    err_t err = cli_unix_socket(flag, ret, why);
    return err == ERR_OK ? err : why_add(why, ERR_USAGE, "--admin");
}

/* What a command that reads the configuration goes by: --config, else the program's own place for
 * it; *ret_path is NULL when there is none and --set says it all. ERR_CONFIG when there is nothing
 * to read. */
static err_t begin(const struct command_line *line, const char **ret_path,
                   const char *ret_sets[static COMMAND_FLAGS_MAX + 1], struct why *why)
{
    const char *otherwise = line->program->facts->config_default;
    const char *path = command_flag_value(line, "config");
    err_t err = selftest_run(why);
    if (err != ERR_OK)
        return err;
    if (path == NULL && access(otherwise, F_OK) == 0)
        path = otherwise;
    command_flag_values(line, "set", ret_sets);
    if (path == NULL && ret_sets[0] == NULL)
        return why_set(
            why, ERR_CONFIG,
            "no configuration: %s does not exist; name a file with --config PATH, or give "
            "keys with --set KEY=VALUE",
            otherwise);
    *ret_path = path;
    return ERR_OK;
}

err_t cli_run(const struct command_line *line, struct why *why)
{
    const char *sets[COMMAND_FLAGS_MAX + 1];
    const char *path = NULL;
    err_t err = begin(line, &path, sets, why);
    return err == ERR_OK ? line->program->facts->run(path, sets, why) : err;
}

void cli_print_crypto(FILE *out)
{
    char cpu[CRYPTO_CPU_MAX];
    crypto_facts_cpu(cpu);
    fprintf(out, "%s\ncpu: %s\npatches: %s\n", crypto_facts_library(), cpu, crypto_facts_patches());
}

err_t cli_config_check(const struct command_line *line, struct why *why)
{
    const struct program_facts *facts = line->program->facts;
    const char *sets[COMMAND_FLAGS_MAX + 1];
    const char *path = NULL;
    struct buf report;
    err_t err = begin(line, &path, sets, why);
    if (err != ERR_OK)
        return err;
    buf_init(&report, REPORT_MAX);
    err = facts->check(path, sets, &report, why);
    if (report.len > 0)
        fwrite(report.data, 1, report.len, line->err);
    if (err == ERR_CONFIG && report.len > 0)
        why->text[0] = '\0'; /* the lines say it all */
    if (err == ERR_OK) {
        fputs("configuration is valid\n", line->out);
        cli_print_crypto(line->out);
    }
    buf_done(&report);
    return err;
}

void cli_help_keys(const struct command_program *p, FILE *out)
{
    option_help(p->facts->options, out);
}

err_t cli_docs_commands(const struct command_line *line, struct why *why)
{
    (void)why;
    command_docs(line->program, line->out);
    return ERR_OK;
}

err_t cli_docs_audit(const struct command_line *line, struct why *why)
{
    (void)why;
    audit_docs(line->program->facts->audit, line->program->name, line->out);
    return ERR_OK;
}

err_t cli_docs_errors(const struct command_line *line, struct why *why)
{
    (void)why;
    command_docs_errors(line->program, line->out);
    return ERR_OK;
}

err_t cli_docs_options(const struct command_line *line, struct why *why)
{
    (void)why;
    option_docs(line->program->facts->options, line->program->name, line->out);
    return ERR_OK;
}

err_t cli_docs_metrics(const struct command_line *line, struct why *why)
{
    const struct program_facts *facts = line->program->facts;
    struct metrics *m = NULL;
    struct buf title, page;
    buf_init(&title, 256);
    buf_init(&page, METRIC_TEXT_MAX);
    err_t err = metrics_new(facts->metrics, facts->metric_count, "spindle_", &m, why);
    if (err == ERR_OK)
        err = buf_printf(&title, "%s: metrics%c", line->program->name, '\0');
    if (err == ERR_OK)
        err = metric_docs_write(m, (const char *)title.data, &page);
    if (err == ERR_OK) {
        fprintf(line->out, "<!-- Made by `%s docs metrics`; edit the table, not this page. -->\n",
                line->program->name);
        fwrite(page.data, 1, page.len, line->out);
    }
    metrics_free(m);
    buf_done(&title);
    buf_done(&page);
    return err;
}

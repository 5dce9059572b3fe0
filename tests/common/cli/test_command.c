/* The command engine: dispatch, flags, help, hints and exit codes, on a table of its own. */
#include "common/cli/cli_common.h"
#include "tests/support/runner.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

static err_t fetch(const struct command_line *line, struct why *why)
{
    bool json = false;
    const char *values[COMMAND_FLAGS_MAX + 1];
    err_t err = command_output_json(line, &json, why);
    if (err != ERR_OK)
        return err;
    const char *config = command_flag_value(line, "config");
    command_flag_values(line, "set", values);
    fprintf(line->out, "fetch json=%d config=%s set=", json, config != NULL ? config : "-");
    for (size_t i = 0; values[i] != NULL; i++)
        fprintf(line->out, "[%s]", values[i]);
    fprintf(line->out, " force=%d\n", command_flag_value(line, "force") != NULL);
    return ERR_OK;
}

static err_t show(const struct command_line *line, struct why *why)
{
    (void)why;
    fputs("show", line->out);
    for (size_t i = 0; i < line->argument_count; i++)
        fprintf(line->out, " %s", line->arguments[i]);
    fputc('\n', line->out);
    return ERR_OK;
}

static err_t fail_io(const struct command_line *line, struct why *why)
{
    (void)line;
    return why_set(why, ERR_IO, "no such socket");
}

static err_t fail_config(const struct command_line *line, struct why *why)
{
    (void)why;
    fputs("x.yaml:1: said already\n", line->err);
    return ERR_CONFIG;
}

static const struct command commands[] = {
    {"run", "", "", fail_io, "Run."},
    {"config check", "", "config set", fail_config, "Check."},
    {"api fetch", "", "output config set force", fetch, "Fetch something."},
    {"api fetch all", "", "", fail_io, "Fetch all."},
    {"show", "ID [NAME]", "", show, "Show one."},
    {"list", "FILE...", "", show, "List."},
};
static const struct command_flag flags[] = {
    {"config", "PATH", "The file."},
    {"set", "KEY=VALUE", "One key."},
    {"output", "FORMAT", "text or json."},
    {"force", "", "Do it."},
};

static void help_keys(const struct command_program *p, FILE *out)
{
    (void)p;
    fputs("  trust_domain\n", out);
}

static const struct command_program program = {
    .name = "prog",
    .about = "does things.",
    .commands = commands,
    .command_count = COUNT(commands),
    .flags = flags,
    .flag_count = COUNT(flags),
    .help_keys = help_keys,
    .version = cli_print_crypto,
};

struct outcome {
    int code;
    char *out, *err;
};

static struct outcome call(const char *line)
{
    char *copy = strdup(line), *argv[160] = {(char *)"prog"};
    int argc = 1;
    for (char *save = NULL, *word = strtok_r(copy, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    struct outcome o = {0};
    size_t out_len = 0, err_len = 0;
    FILE *out = open_memstream(&o.out, &out_len), *err = open_memstream(&o.err, &err_len);
    o.code = command_main(&program, argc, argv, out, err);
    fclose(out);
    fclose(err);
    free(copy);
    return o;
}

static const struct call_case {
    const char *line;
    int code;
    const char *out, *err; /* parts that must be there; "" means nothing at all */
} cases[] = {
    {"api fetch", 0, "fetch json=0 config=- set= force=0\n", ""},
    {"api fetch --output json", 0, "fetch json=1", ""},
    {"api fetch --output=text", 0, "fetch json=0", ""},
    {"api fetch --set a=1 --config=/x --set b=2 --force", 0, "config=/x set=[a=1][b=2] force=1",
     ""},
    {"--config /x api fetch", 0, "config=/x", ""},
    {"api --config /x fetch --config /y", 0, "config=/y", ""},
    {"show a", 0, "show a\n", ""},
    {"show a b", 0, "show a b\n", ""},
    {"show -- --weird", 0, "show --weird\n", ""},
    {"show -", 0, "show -\n", ""},
    {"list a b c d", 0, "show a b c d\n", ""},
    {"--version", 0, "prog " SPINDLE_VERSION "\n", ""},
    {"--help", 0, "Usage: prog COMMAND [OPTIONS]\n\nCommands:\n  run ", ""},
    {"-h", 0, "  show ID [NAME] ", ""},
    {"api --help", 0, "Usage: prog api COMMAND [OPTIONS]\n\nCommands:\n  api fetch ", ""},
    {"api fetch --help", 0, "Usage: prog api fetch [OPTIONS]\n\nOptions:\n  --config PATH ", ""},
    {"config check --help", 0, "--set KEY=VALUE):\n  trust_domain\n", ""},
    {"show --help", 0, "Show one.\n\nUsage: prog show ID [NAME]\n", ""},
    {"run", 1, "", "prog: no such socket\n"},
    {"api fetch all", 1, "", "prog: no such socket\n"},
    {"config check", 2, "", "x.yaml:1: said already\n"},
    {"", 2, "", "Commands:\n"},
    {"api", 2, "", "Usage: prog api COMMAND"},
    {"rum", 2, "", "prog: unknown command \"rum\", did you mean \"run\"?\n"},
    {"config chekc", 2, "",
     "prog: unknown command \"config chekc\", did you mean \"config check\"?\n"},
    {"dance", 2, "", "prog: unknown command \"dance\"; `prog --help` lists them\n"},
    {"dance --help", 2, "", "unknown command \"dance\""},
    {"run now", 2, "", "prog: run takes no arguments, found \"now\"\n"},
    {"run --force", 2, "", "prog: run does not take --force\n"},
    {"run --forse", 2, "", "prog: unknown option --forse, did you mean --force?\n"},
    {"run --zzzzzz", 2, "", "prog: unknown option --zzzzzz\n"},
    {"run -x", 2, "", "prog: unknown option -x: options start with two dashes\n"},
    {"api fetch --config", 2, "", "prog: --config needs a value: --config PATH\n"},
    {"api fetch --force=1", 2, "", "prog: --force takes no value\n"},
    {"api fetch --output yaml", 2, "", "prog: --output: expected json or text, found \"yaml\"\n"},
    {"show", 2, "", "prog: show: expected ID [NAME], found 0 arguments\n"},
    {"show a b c", 2, "", "prog: show: expected ID [NAME], found 3 arguments\n"},
    {"list", 2, "", "prog: list: expected FILE..., found 0 arguments\n"},
};

static void check_part(const char *line, const char *got, const char *want)
{
    if (want[0] == '\0')
        ck_assert_msg(got[0] == '\0', "%s: %s", line, got);
    else
        ck_assert_msg(strstr(got, want) != NULL, "%s: %s", line, got);
}

START_TEST(test_call_gives_its_output_and_exit_code)
{
    const struct call_case *c = &cases[_i];
    struct outcome o = call(c->line);
    ck_assert_msg(o.code == c->code, "%s: exit %d, %s", c->line, o.code, o.err);
    check_part(c->line, o.out, c->out);
    check_part(c->line, o.err, c->err);
    free(o.out);
    free(o.err);
}
END_TEST

START_TEST(test_too_many_words_or_flags_are_refused)
{
    char line[2048] = "list";
    for (int i = 0; i < 70; i++)
        strncat(line, " a", sizeof line - strlen(line) - 1);
    struct outcome o = call(line);
    ck_assert_int_eq(o.code, 2);
    ck_assert_str_eq(o.err, "prog: more than 64 arguments\n");
    free(o.out);
    free(o.err);
    strcpy(line, "api fetch");
    for (int i = 0; i < 130; i++)
        strncat(line, " --force", sizeof line - strlen(line) - 1);
    o = call(line);
    ck_assert_int_eq(o.code, 2);
    ck_assert_str_eq(o.err, "prog: more than 128 options\n");
    free(o.out);
    free(o.err);
}
END_TEST

START_TEST(test_output_that_cannot_be_written_is_a_failure)
{
    char *argv[] = {(char *)"prog", (char *)"show", (char *)"a", NULL};
    FILE *full = fopen("/dev/full", "we");
    char *text = NULL;
    size_t len = 0;
    FILE *err = open_memstream(&text, &len);
    ck_assert_ptr_nonnull(full);
    ck_assert_int_eq(command_main(&program, 3, argv, full, err), 1);
    fclose(full);
    fclose(err);
    ck_assert_str_eq(text, "prog: the output could not be written\n");
    free(text);
}
END_TEST

START_TEST(test_output_that_nobody_reads_any_more_ends_without_a_word)
{
    char *argv[] = {(char *)"prog", (char *)"show", (char *)"a", NULL};
    char *text = NULL;
    size_t len = 0;
    int fds[2];
    void (*before)(int) = signal(SIGPIPE, SIG_IGN); /* as inherited_settle leaves it */
    FILE *err = open_memstream(&text, &len);
    ck_assert_int_eq(pipe(fds), 0);
    FILE *out = fdopen(fds[1], "we");
    ck_assert(!command_reader_left(out));
    close(fds[0]);
    ck_assert(command_reader_left(out));
    ck_assert_int_eq(command_main(&program, 3, argv, out, err), 1);
    fclose(out);
    fclose(err);
    signal(SIGPIPE, before);
    ck_assert_str_eq(text, "");
    free(text);
}
END_TEST

START_TEST(test_reference_page_lists_each_command_and_its_options)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    command_docs(&program, out);
    command_docs_errors(&program, out);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "\n## prog show ID [NAME]\n\nShow one.\n"));
    ck_assert_ptr_nonnull(strstr(text, "| `--config PATH` | The file. |\n"));
    ck_assert_ptr_nonnull(strstr(text, "| `no_memory` | 1001 | yes | out of memory |\n"));
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("command");
    TCase *t = tcase_create("command");
    tcase_add_loop_test(t, test_call_gives_its_output_and_exit_code, 0, COUNT(cases));
    tcase_add_test(t, test_too_many_words_or_flags_are_refused);
    tcase_add_test(t, test_output_that_cannot_be_written_is_a_failure);
    tcase_add_test(t, test_output_that_nobody_reads_any_more_ends_without_a_word);
    tcase_add_test(t, test_reference_page_lists_each_command_and_its_options);
    suite_add_tcase(s, t);
    return run_suite(s);
}

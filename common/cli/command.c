#include "common/cli/command.h"

#include "common/base/nearest.h"

#include <assert.h>
#include <poll.h>

#define FLAG_COLUMN 26
#define HELP_WIDTH 100

/* How many words at the front of `given` make up `words` (0: they do not). */
static size_t match_words(const char *words, const char *const *given, size_t count)
{
    size_t matched = 0;
    for (struct slice word; (word = slice_next_word(&words)).len > 0; matched++)
        if (matched == count || !slice_eq_str(word, given[matched]))
            return 0;
    return matched;
}

/* The words given so far, as a group: "api" is one when "api fetch x509" is a command. */
static bool in_group(const char *words, const char *const *given, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!slice_eq_str(slice_next_word(&words), given[i]))
            return false;
    return *words != '\0';
}

static const struct command_flag *find_flag(const struct command_program *p, const char *name,
                                            size_t len)
{
    for (size_t i = 0; i < p->flag_count; i++) {
        if (strlen(p->flags[i].name) == len && memcmp(p->flags[i].name, name, len) == 0)
            return &p->flags[i];
    }
    return NULL;
}

static void print_padded(FILE *out, const char *text, int width)
{
    fprintf(out, "  %-*s ", width, text);
}

void command_prose(FILE *out, const char *text, int indent, int width)
{
    int column = indent;
    for (struct slice word; (word = slice_next_word(&text)).len > 0;) {
        if (column > indent && column + 1 + (int)word.len > width) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fwrite(word.data, 1, word.len, out);
        column += (int)word.len;
    }
    fputc('\n', out);
}

static void print_flag(FILE *out, const struct command_flag *f)
{
    char head[64];
    snprintf(head, sizeof head, "--%s%s%s", f->name, f->value[0] != '\0' ? " " : "", f->value);
    print_padded(out, head, FLAG_COLUMN);
    if (strlen(head) > FLAG_COLUMN)
        fprintf(out, "\n%*s", FLAG_COLUMN + 3, "");
    command_prose(out, f->help, FLAG_COLUMN + 3, HELP_WIDTH);
}

static void help_command(const struct command_program *p, const struct command *c, FILE *out)
{
    fprintf(out, "%s\n\nUsage: %s %s%s%s%s\n", c->summary, p->name, c->words,
            c->arguments[0] != '\0' ? " " : "", c->arguments,
            c->flags[0] != '\0' ? " [OPTIONS]" : "");
    if (c->flags[0] != '\0')
        fputs("\nOptions:\n", out);
    for (size_t i = 0; i < p->flag_count; i++) {
        if (slice_is_word_of(c->flags, slice_str(p->flags[i].name)))
            print_flag(out, &p->flags[i]);
    }
    /* Where the configuration is the whole input; elsewhere it only says which socket. */
    if (strcmp(c->flags, "config set") == 0 && p->help_keys != NULL) {
        fputs("\nConfiguration keys (in the file, or as --set KEY=VALUE):\n", out);
        p->help_keys(p, out);
    }
}

/* The commands whose words start with the `count` words given. */
static void help_group(const struct command_program *p, const char *const *given, size_t count,
                       FILE *out)
{
    fprintf(out, "%s %s: %s\n\nUsage: %s", p->name, SPINDLE_VERSION, p->about, p->name);
    for (size_t i = 0; i < count; i++)
        fprintf(out, " %s", given[i]);
    fputs(" COMMAND [OPTIONS]\n\nCommands:\n", out);
    for (size_t i = 0; i < p->command_count; i++) {
        const struct command *c = &p->commands[i];
        char head[96];
        if (!in_group(c->words, given, count))
            continue;
        snprintf(head, sizeof head, "%s%s%s", c->words, c->arguments[0] != '\0' ? " " : "",
                 c->arguments);
        print_padded(out, head, FLAG_COLUMN);
        if (strlen(head) > FLAG_COLUMN)
            fprintf(out, "\n%*s", FLAG_COLUMN + 3, "");
        command_prose(out, c->summary, FLAG_COLUMN + 3, HELP_WIDTH);
    }
    fprintf(out, "\n`%s COMMAND --help` tells more about one. --version prints the version.\n",
            p->name);
}

/* The parts of a call that parsing finds beside the command line itself. */
struct call {
    struct command_line line;
    bool help, version;
};

static err_t parse_flag(struct call *call, const char *arg, const char *next, bool *ret_took_next,
                        struct why *why)
{
    struct command_line *line = &call->line;
    const char *name = arg + 2;
    size_t len = strcspn(name, "=");
    const struct command_flag *flag = find_flag(line->program, name, len);
    if (flag == NULL) {
        struct nearest near = nearest_to(slice_of(name, len));
        for (size_t i = 0; i < line->program->flag_count; i++)
            nearest_offer(&near, line->program->flags[i].name);
        const char *best = nearest_best(&near);
        return why_set(why, ERR_USAGE, "unknown option --%.*s%s%s%s", (int)len, name,
                       best != NULL ? ", did you mean --" : "", best != NULL ? best : "",
                       best != NULL ? "?" : "");
    }
    if (line->flag_count == COMMAND_FLAGS_MAX)
        return why_set(why, ERR_USAGE, "more than %d options", COMMAND_FLAGS_MAX);
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    if (flag->value[0] == '\0' && value != NULL)
        return why_set(why, ERR_USAGE, "--%s takes no value", flag->name);
    if (flag->value[0] != '\0' && value == NULL) {
        if (next == NULL)
            return why_set(why, ERR_USAGE, "--%s needs a value: --%s %s", flag->name, flag->name,
                           flag->value);
        value = next;
        *ret_took_next = true;
    }
    line->flags[line->flag_count].flag = flag;
    line->flags[line->flag_count].value = value != NULL ? value : "";
    line->flag_count++;
    return ERR_OK;
}

/* Splits argv into flags and words; which flags the command takes is seen later. */
static err_t parse_arguments(struct call *call, int argc, char **argv, struct why *why)
{
    bool flags_end = false;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        bool took_next = false;
        err_t err = ERR_OK;
        if (!flags_end && strcmp(arg, "--") == 0) {
            flags_end = true;
        } else if (!flags_end && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
            call->help = true;
        } else if (!flags_end && strcmp(arg, "--version") == 0) {
            call->version = true;
        } else if (!flags_end && strncmp(arg, "--", 2) == 0) {
            err = parse_flag(call, arg, i + 1 < argc ? argv[i + 1] : NULL, &took_next, why);
        } else if (!flags_end && arg[0] == '-' && arg[1] != '\0') {
            err = why_set(why, ERR_USAGE, "unknown option %s: options start with two dashes", arg);
        } else if (call->line.argument_count == COMMAND_ARGUMENTS_MAX) {
            err = why_set(why, ERR_USAGE, "more than %d arguments", COMMAND_ARGUMENTS_MAX);
        } else {
            call->line.arguments[call->line.argument_count++] = arg;
        }
        if (err != ERR_OK)
            return err;
        i += took_next ? 1 : 0;
    }
    return ERR_OK;
}

/* Takes the command's own words off the front of the arguments; the longest command wins. */
static bool find_command(struct command_line *line)
{
    size_t best = 0;
    for (size_t i = 0; i < line->program->command_count; i++) {
        const struct command *c = &line->program->commands[i];
        size_t n = match_words(c->words, line->arguments, line->argument_count);
        if (n > best) {
            best = n;
            line->command = c;
        }
    }
    memmove(line->arguments, line->arguments + best,
            (line->argument_count - best + 1) * sizeof line->arguments[0]);
    line->argument_count -= best;
    return best > 0;
}

static err_t unknown_command(const struct command_line *line, struct why *why)
{
    char given[256] = "";
    size_t len = 0;
    for (size_t i = 0; i < line->argument_count && i < COMMAND_WORDS_MAX && len < sizeof given; i++)
        len += (size_t)snprintf(given + len, sizeof given - len, "%s%s", i > 0 ? " " : "",
                                line->arguments[i]);
    struct nearest near = nearest_to(slice_str(given));
    for (size_t i = 0; i < line->program->command_count; i++)
        nearest_offer(&near, line->program->commands[i].words);
    const char *best = nearest_best(&near);
    if (best != NULL)
        return why_set(why, ERR_USAGE, "unknown command \"%s\", did you mean \"%s\"?", given, best);
    return why_set(why, ERR_USAGE, "unknown command \"%s\"; `%s --help` lists them", given,
                   line->program->name);
}

/* "ID [NAME] FILE...": at least 2, no upper bound. */
static err_t check_count(const struct command_line *line, struct why *why)
{
    size_t least = 0, most = 0;
    const char *rest = line->command->arguments;
    for (struct slice w; (w = slice_next_word(&rest)).len > 0;) {
        least += w.data[0] != '[' ? 1 : 0;
        bool many = w.len > 3 && memcmp(w.data + w.len - 3, "...", 3) == 0;
        most = many || most == SIZE_MAX ? SIZE_MAX : most + 1;
    }
    const char *words = line->command->words;
    if (most == 0 && line->argument_count > 0)
        return why_set(why, ERR_USAGE, "%s takes no arguments, found \"%s\"", words,
                       line->arguments[0]);
    if (line->argument_count < least || line->argument_count > most)
        return why_set(why, ERR_USAGE, "%s: expected %s, found %zu argument%s", words,
                       line->command->arguments, line->argument_count,
                       line->argument_count == 1 ? "" : "s");
    return ERR_OK;
}

static err_t check_line(const struct command_line *line, struct why *why)
{
    for (size_t i = 0; i < line->flag_count; i++) {
        if (!slice_is_word_of(line->command->flags, slice_str(line->flags[i].flag->name)))
            return why_set(why, ERR_USAGE, "%s does not take --%s", line->command->words,
                           line->flags[i].flag->name);
    }
    return check_count(line, why);
}

/* Asked of the descriptor, as the errno of a write that failed may be long gone. */
bool command_reader_left(FILE *out)
{
    struct pollfd p = {.fd = fileno(out)};
    return p.fd >= 0 && poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)) != 0;
}

static int finish(const struct command_line *line, err_t err, const struct why *why)
{
    if (fflush(line->out) != 0 || ferror(line->out) != 0) {
        if (!command_reader_left(line->out))
            fprintf(line->err, "%s: the output could not be written\n", line->program->name);
        return COMMAND_FAILED;
    }
    if (err == ERR_OK)
        return COMMAND_DONE;
    if (why->text[0] != '\0')
        fprintf(line->err, "%s: %s\n", line->program->name, why->text);
    return err == ERR_USAGE || err == ERR_CONFIG ? COMMAND_WRONG_USE : COMMAND_FAILED;
}

/* Help and version; true when that was all. */
static bool answer_early(struct call *call, bool known, int *ret_code)
{
    const struct command_line *line = &call->line;
    bool group = false;
    for (size_t i = 0; !known && i < line->program->command_count; i++)
        group = group ||
                in_group(line->program->commands[i].words, line->arguments, line->argument_count);
    if (call->version) {
        fprintf(line->out, "%s %s\n", line->program->name, SPINDLE_VERSION);
        if (line->program->version != NULL)
            line->program->version(line->out);
    } else if (call->help && known) {
        help_command(line->program, line->command, line->out);
    } else if (call->help && group) {
        help_group(line->program, line->arguments, line->argument_count, line->out);
    } else if (group) {
        help_group(line->program, line->arguments, line->argument_count, line->err);
        *ret_code = COMMAND_WRONG_USE;
        return true;
    } else {
        return false;
    }
    *ret_code = finish(line, ERR_OK, NULL);
    return true;
}

int command_main(const struct command_program *p, int argc, char **argv, FILE *out, FILE *err_out)
{
    struct call call = {.line = {.program = p, .out = out, .err = err_out}};
    struct why why = {0};
    int code = 0;
    err_t err = parse_arguments(&call, argc, argv, &why);
    if (err != ERR_OK)
        return finish(&call.line, err, &why);
    bool known = find_command(&call.line);
    if (answer_early(&call, known, &code))
        return code;
    err = known ? check_line(&call.line, &why) : unknown_command(&call.line, &why);
    if (err == ERR_OK)
        err = call.line.command->run(&call.line, &why);
    return finish(&call.line, err, &why);
}

const char *command_flag_value(const struct command_line *line, const char *name)
{
    const char *value = NULL;
    assert(slice_is_word_of(line->command->flags, slice_str(name)));
    for (size_t i = 0; i < line->flag_count; i++) {
        if (strcmp(line->flags[i].flag->name, name) == 0)
            value = line->flags[i].value;
    }
    return value;
}

void command_flag_values(const struct command_line *line, const char *name,
                         const char *ret_values[static COMMAND_FLAGS_MAX + 1])
{
    size_t n = 0;
    assert(slice_is_word_of(line->command->flags, slice_str(name)));
    for (size_t i = 0; i < line->flag_count; i++) {
        if (strcmp(line->flags[i].flag->name, name) == 0)
            ret_values[n++] = line->flags[i].value;
    }
    ret_values[n] = NULL;
}

err_t command_output_json(const struct command_line *line, bool *ret_json, struct why *why)
{
    const char *value = command_flag_value(line, "output");
    if (value != NULL && strcmp(value, "json") != 0 && strcmp(value, "text") != 0)
        return why_set(why, ERR_USAGE, "--output: expected json or text, found \"%s\"", value);
    *ret_json = value != NULL && strcmp(value, "json") == 0;
    return ERR_OK;
}

void command_docs(const struct command_program *p, FILE *out)
{
    fprintf(out, "<!-- Made by `%s docs commands`; edit the tables, not this page. -->\n", p->name);
    fprintf(out, "# %s: commands\n\n%s %s\n\n", p->name, p->name, p->about);
    fputs("Exit codes: 0 done, 1 refused or failed, 2 wrong usage or configuration. When whoever "
          "reads the output\nleaves (`| head`), the command ends with 1, without a word.\n",
          out);
    for (size_t i = 0; i < p->command_count; i++) {
        const struct command *c = &p->commands[i];
        fprintf(out, "\n## %s %s%s%s\n\n%s\n", p->name, c->words,
                c->arguments[0] != '\0' ? " " : "", c->arguments, c->summary);
        if (c->flags[0] != '\0')
            fputs("\n| option | meaning |\n|---|---|\n", out);
        for (size_t j = 0; j < p->flag_count; j++) {
            const struct command_flag *f = &p->flags[j];
            if (slice_is_word_of(c->flags, slice_str(f->name)))
                fprintf(out, "| `--%s%s%s` | %s |\n", f->name, f->value[0] != '\0' ? " " : "",
                        f->value, f->help);
        }
    }
}

void command_docs_errors(const struct command_program *p, FILE *out)
{
    fprintf(out, "<!-- Made by `%s docs errors`; edit common/base/errors.def, not this page. -->\n",
            p->name);
    fputs("# Errors\n\nThe name is the stable word in logs, in metrics and in JSON output.\n\n"
          "| name | code | worth another try | meaning |\n|---|---|---|---|\n",
          out);
    for (size_t i = 0; i < err_count(); i++) {
        err_t err = err_at(i);
        fprintf(out, "| `%s` | %d | %s | %s |\n", err_name(err), (int)err,
                err_is_transient(err) ? "yes" : "no", err_text(err));
    }
}

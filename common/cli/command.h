/* Command lines as tables: a program is a list of commands and a list of flags. From these come
 * dispatch, --help at each level, --version, hints for typing errors, and the reference page.
 *
 * To add a command: one row in PROGRAM/commands.def,
 *     COMMAND("api fetch x509", "", "socket output write", cli_api_fetch_x509, "Fetch ...")
 * (words, arguments, flags it takes, function, one sentence), and the function, which
 * PROGRAM/commands.h declares from that row. Arguments: "ID [NAME] FILE...". A new flag is one row
 * in PROGRAM/flags.def: FLAG("write", "DIR", "Write ... into DIR."), value "" for a plain switch.
 *
 * A function prints results on line->out and returns ERR_OK (exit 0), ERR_USAGE or ERR_CONFIG
 * (exit 2) or another error (exit 1). The engine prints `why` on line->err as one line; when the
 * function has said everything itself it leaves `why` empty. Main thread only. */
#ifndef SPINDLE_COMMON_CLI_COMMAND_H
#define SPINDLE_COMMON_CLI_COMMAND_H

#include "common/base/why.h"

#include <stdio.h>

#define COMMAND_WORDS_MAX 4      /* of one command */
#define COMMAND_ARGUMENTS_MAX 64 /* words and arguments of one call */
#define COMMAND_FLAGS_MAX 128    /* flags of one call */

enum command_exit { COMMAND_DONE = 0, COMMAND_FAILED = 1, COMMAND_WRONG_USE = 2 };

struct command_line;
struct program_facts;
typedef err_t command_fn(const struct command_line *line, struct why *why);

struct command {
    const char *words, *arguments, *flags; /* words separated by one space */
    command_fn *run;
    const char *summary;
};
struct command_flag {
    const char *name, *value, *help; /* without dashes; value: its name in help, "" for a switch */
};
struct command_program {
    const char *name, *about;
    const struct command *commands;
    size_t command_count;
    const struct command_flag *flags;
    size_t flag_count;
    /* Configuration keys, for commands that take --set; or NULL. */
    void (*help_keys)(const struct command_program *p, FILE *out);
    void (*version)(FILE *out);        /* what --version says beside name and version; or NULL */
    const struct program_facts *facts; /* for cli_common.h; the engine does not look */
};

/* One call, parsed. Strings are those of argv. */
struct command_line {
    const struct command_program *program;
    const struct command *command;
    FILE *out, *err;
    const char *arguments[COMMAND_ARGUMENTS_MAX + 1]; /* NULL-terminated */
    size_t argument_count;
    struct {
        const struct command_flag *flag;
        const char *value;
    } flags[COMMAND_FLAGS_MAX];
    size_t flag_count;
};

/* The whole of main(): parses, runs, prints what went wrong, returns the exit code. */
int command_main(const struct command_program *p, int argc, char **argv, FILE *out, FILE *err);

/* The last value given, "" for a switch, or NULL. The command's row must list the flag. */
const char *command_flag_value(const struct command_line *line, const char *name);
/* All values of a flag that may be repeated, NULL-terminated, at most COMMAND_FLAGS_MAX. */
void command_flag_values(const struct command_line *line, const char *name,
                         const char *ret_values[static COMMAND_FLAGS_MAX + 1]);
/* --output json? ERR_USAGE for anything but json and text. */
err_t command_output_json(const struct command_line *line, bool *ret_json,
                          struct why *why) MUST_CHECK;

/* Has whoever reads `out` (a pipe, a socket, a terminal) gone? A command that goes on for long asks
 * now and then, and ends; the engine then exits with 1, without a word. */
bool command_reader_left(FILE *out);

/* A paragraph that begins at column `indent`, as its further lines do; at most `width` columns
 * where words allow it. */
void command_prose(FILE *out, const char *text, int indent, int width);

/* The reference page, markdown. */
void command_docs(const struct command_program *p, FILE *out);
/* The table of errors, markdown. */
void command_docs_errors(const struct command_program *p, FILE *out);

#endif

#include "common/audit/audit_table.h"

#include "common/base/slice.h"

static const struct {
    const char *name, *type, *help;
} fields[] = {
#define FIELD(name, type, help) {name, type, help},
#include "common/audit/audit_fields.def"
#undef FIELD
};
#define FIELD_COUNT (sizeof fields / sizeof fields[0])

/* What the writer adds for all programs. */
static const struct audit_event_row lost = {
    "lost", "count", "Events that belong here could not be recorded: the disk was full or slow."};

static bool is_used(const struct audit_table *t, const char *name)
{
    if (strcmp(name, "suppressed") == 0 || slice_is_word_of(lost.fields, slice_str(name)))
        return true;
    for (size_t i = 0; i < t->count; i++)
        if (slice_is_word_of(t->rows[i].fields, slice_str(name)))
            return true;
    return false;
}

static void put_event(FILE *out, const struct audit_event_row *row)
{
    fprintf(out, "| `%s` |", row->name);
    const char *rest = row->fields;
    for (struct slice name; (name = slice_next_word(&rest)).len > 0;)
        fprintf(out, " `%.*s`", SLICE_ARG(name));
    fprintf(out, " | %s |\n", row->help);
}

void audit_docs(const struct audit_table *t, const char *program, FILE *out)
{
    fprintf(out, "<!-- Made by `%s docs audit`; edit the table, not this page. -->\n", program);
    fprintf(out,
            "# %s: audit events\n\nOne JSON object a line in `audit.file`, each with `time` (UTC, "
            "milliseconds) and `event`, then the fields below in this order. A field that is not "
            "known is left out. See [the audit log](../audit.md).\n\n"
            "| event | fields | written when |\n|---|---|---|\n",
            program);
    for (size_t i = 0; i < t->count; i++)
        put_event(out, &t->rows[i]);
    put_event(out, &lost);
    fprintf(out, "\n| field | type | meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (is_used(t, fields[i].name))
            fprintf(out, "| `%s` | %s | %s |\n", fields[i].name, fields[i].type, fields[i].help);
}

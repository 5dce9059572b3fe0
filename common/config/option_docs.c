/* The option table as text: for --help, for the reference page, and the check of the table itself.
 */
#include "common/base/mem.h"
#include "common/config/option.h"
#include "common/config/option_type.h"

#define KEY_COLUMN 44

/* "expected" and "default" of one row for people: "TEXT", "tcp | http (not built yet)". */
static void show_type(const struct option *o, const char *separator, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    if (o->words == NULL) {
        snprintf(out, size, "%s", option_title(o));
        return;
    }
    for (const struct option_word *w = o->words; w->name != NULL && len < size; w++) {
        if (w->built)
            len +=
                (size_t)snprintf(out + len, size - len, "%s%s", len > 0 ? separator : "", w->name);
    }
}

static void show_default(const struct option *o, char *out, size_t size)
{
    switch (o->need.kind) {
    case NEED_DEFAULT:
        snprintf(out, size, "default %s", o->need.text[0] != '\0' ? o->need.text : "empty");
        break;
    case NEED_REQUIRED:
        snprintf(out, size, "required");
        break;
    case NEED_WITH_SECTION:
        snprintf(out, size, "required in its section");
        break;
    default:
        snprintf(out, size, "optional");
        break;
    }
}

static void help_rows(const struct option_table *t, const char *prefix, FILE *out)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct option *o = &t->rows[i];
        char head[192], type[128], value[96];
        show_type(o, "|", type, sizeof type);
        show_default(o, value, sizeof value);
        snprintf(head, sizeof head, "%s%s %s", prefix, o->key, type);
        fprintf(out, "  %-*s %s%s%s\n      %s\n", KEY_COLUMN, head, value,
                o->range != NULL ? ", " : "", o->range != NULL ? o->range : "", o->help);
        if (o->type == OPTION_ITEMS) {
            char inner[192];
            snprintf(inner, sizeof inner, "%s%s[].", prefix, o->key);
            help_rows(o->items, inner, out);
        }
    }
}

void option_help(const struct option_table *t, FILE *out)
{
    help_rows(t, "", out);
}

static void docs_rows(const struct option_table *t, const char *prefix, FILE *out)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct option *o = &t->rows[i];
        char type[128], value[96];
        show_type(o, "`, `", type, sizeof type);
        show_default(o, value, sizeof value);
        fprintf(out, "| `%s%s` | `%s` | %s | %s | %s | %s | %s |\n", prefix, o->key, type, value,
                o->range != NULL ? o->range : "", o->reload ? "reload" : "restart", o->since,
                o->help);
        if (o->type == OPTION_ITEMS) {
            char inner[192];
            snprintf(inner, sizeof inner, "%s%s[].", prefix, o->key);
            docs_rows(o->items, inner, out);
        }
    }
}

void option_docs(const struct option_table *t, const char *name, FILE *out)
{
    fprintf(out, "<!-- Made by `%s docs options`; edit the table, not this page. -->\n", name);
    fprintf(out, "# %s: configuration\n\n", name);
    fputs("Each key stands in the file, or is given as `--set KEY=VALUE`, which wins. Dots are "
          "levels of "
          "nesting; `[]` is each element of a list. A key marked *reload* takes effect when the "
          "file changes or on SIGHUP, one marked *restart* when the program starts.\n\n"
          "| key | value | default | range | takes effect | since | meaning |\n"
          "|---|---|---|---|---|---|---|\n",
          out);
    docs_rows(t, "", out);
}

static const char *row_flaw(const struct option *o)
{
    size_t len = strlen(o->help);
    uint64_t field[64] = {0};
    if (o->size != option_field_size(o->type))
        return "the field has another size than the type";
    if (o->since[0] == '\0' || len < 10 || o->help[len - 1] != '.' || strchr(o->help, '|') != NULL)
        return "since or help is missing, or help is no sentence";
    if ((o->type == OPTION_WORD) && o->words == NULL)
        return "a word without words";
    if ((o->type == OPTION_ITEMS) != (o->items != NULL))
        return "items without a table, or a table without items";
    if (!option_range_sound(o))
        return "a range that is not MIN..MAX of a number";
    if (o->need.kind == NEED_DEFAULT && option_is_scalar(o)) {
        struct yaml_node node = {
            .kind = YAML_SCALAR, .quoted = true, .text = slice_str(o->need.text)};
        if (option_value_read(o, &node, field, NULL) != ERR_OK)
            return "the default is not a value of it";
        option_value_free(o, field);
    }
    return NULL;
}

const char *option_table_flaw(const struct option_table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        const char *flaw = row_flaw(&t->rows[i]);
        if (flaw == NULL && t->rows[i].items != NULL)
            flaw = option_table_flaw(t->rows[i].items);
        if (flaw != NULL)
            return flaw;
    }
    return NULL;
}

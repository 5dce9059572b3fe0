/* The option table as text: for --help and for the reference page. */
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

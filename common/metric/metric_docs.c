/* The reference page of a program's metrics, from the table that the program counts in. */
#include "common/metric/metric_text.h"

static const char *type_word(const struct metric_family *f)
{
    static const char *const words[] = {"counter", "gauge", "histogram"};
    return words[f->type];
}

static err_t put_row(const struct metrics *m, size_t family, struct buf *out)
{
    const struct metric_family *f = metrics_family(m, family);
    const char *prefix = strncmp(f->name, "process_", 8) == 0 ? "" : metrics_prefix(m);
    err_t err = buf_printf(out, "| `%s%s` | %s | ", prefix, f->name, type_word(f));
    for (size_t i = 0; err == ERR_OK && i < metric_label_count(f); i++)
        err = buf_printf(out, "%s%s", i > 0 ? ", " : "", f->label[i].name);
    if (err == ERR_OK)
        err = buf_printf(out, " | %s |\n", f->help);
    return err;
}

/* Labels with one value, or with values known at run time only, say enough by their name. */
static bool is_listed(const struct metric_label *l)
{
    return l->count > 1;
}

static err_t put_label(const struct metrics *m, size_t family, size_t label, struct buf *out)
{
    const struct metric_label *l = &metrics_family(m, family)->label[label];
    err_t err = buf_printf(out, "| `%s` | %s | ", metrics_family(m, family)->name, l->name);
    for (size_t i = 0; err == ERR_OK && i < l->count; i++)
        err = buf_printf(out, "%s%s", i > 0 ? ", " : "", metric_label_text(m, family, label, i));
    return err == ERR_OK ? buf_append_str(out, " |\n") : err;
}

static err_t put_labels(const struct metrics *m, size_t family, struct buf *out)
{
    const struct metric_family *f = metrics_family(m, family);
    err_t err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < metric_label_count(f); i++) {
        if (is_listed(&f->label[i]))
            err = put_label(m, family, i, out);
    }
    return err;
}

static err_t put_buckets(const struct metrics *m, size_t family, struct buf *out)
{
    const struct metric_family *f = metrics_family(m, family);
    err_t err = buf_printf(out, "| `%s` |", f->name);
    for (size_t i = 0; err == ERR_OK && i < f->bucket_count; i++)
        err = buf_printf(out, " %g", f->buckets[i]);
    return err == ERR_OK ? buf_append_str(out, " |\n") : err;
}

err_t metric_docs_write(const struct metrics *m, const char *title, struct buf *out)
{
    err_t err = buf_printf(
        out,
        "# %s\n\nGenerated from the program's table; do not edit. The prefix is `metrics.prefix`.\n"
        "All series of the label values below exist from start with 0.\n\n"
        "| metric | type | labels | meaning |\n|---|---|---|---|\n",
        title);
    for (size_t i = 0; err == ERR_OK && i < metrics_count(m); i++)
        err = put_row(m, i, out);
    if (err == ERR_OK)
        err = buf_append_str(out,
                             "\n## Label values\n\n| metric | label | values |\n|---|---|---|\n");
    for (size_t i = 0; err == ERR_OK && i < metrics_count(m); i++)
        err = put_labels(m, i, out);
    if (err == ERR_OK)
        err = buf_append_str(out,
                             "\n## Bucket bounds in seconds\n\n| metric | bounds |\n|---|---|\n");
    for (size_t i = 0; err == ERR_OK && i < metrics_count(m); i++) {
        if (metrics_family(m, i)->type == METRIC_HISTOGRAM)
            err = put_buckets(m, i, out);
    }
    return err;
}

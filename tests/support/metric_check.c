#include "tests/support/metric_check.h"

#include <check.h>
#include <string.h>

static void check_suffix(const struct metric_family *f, const char *end, bool want)
{
    size_t len = strlen(f->name), n = strlen(end);
    bool has = len > n && strcmp(f->name + len - n, end) == 0;
    ck_assert_msg(has == want, "%s and its end %s", f->name, end);
}

static void check_unit(const struct metric_family *f)
{
    char end[64] = "_";
    strncat(end, f->unit, 20);
    if (f->unit[0] != '\0' && f->type == METRIC_COUNTER)
        strcat(end, "_total");
    if (f->unit[0] != '\0')
        check_suffix(f, end, true);
}

static void check_names(const struct metric_family *f)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
    ck_assert_uint_eq(strspn(f->name, letters), strlen(f->name));
    check_suffix(f, "_total", f->type == METRIC_COUNTER);
    check_suffix(f, "_count", false);
    check_suffix(f, "_bucket", false);
    check_unit(f);
    ck_assert_msg(f->help[strlen(f->help) - 1] == '.', "%s: help is a sentence", f->name);
}

/* Values of a label that another one is tied to may repeat: the pair is what differs. */
static void check_values(const struct metrics *m, size_t family, size_t label)
{
    const struct metric_label *l = &metrics_family(m, family)->label[label];
    bool may_repeat = label + 1 < METRIC_LABELS_MAX && l[1].tied;
    for (size_t a = 0; a < l->count; a++) {
        if (l->errors != NULL)
            ck_assert_str_ne(metric_label_text(m, family, label, a), "unknown");
        for (size_t b = 0; b < a && !may_repeat; b++)
            ck_assert_str_ne(metric_label_text(m, family, label, a),
                             metric_label_text(m, family, label, b));
    }
}

static void check_labels(const struct metrics *m, size_t family)
{
    const struct metric_family *f = metrics_family(m, family);
    for (size_t i = 0; i < metric_label_count(f); i++) {
        ck_assert_str_ne(f->label[i].name, "le");
        check_values(m, family, i);
    }
}

static size_t series_count(const struct metrics *m, size_t family)
{
    const struct metric_family *f = metrics_family(m, family);
    size_t series = f->type == METRIC_HISTOGRAM ? f->bucket_count + 3 : 1;
    for (size_t i = 0; i < metric_label_count(f); i++) {
        if (!f->label[i].tied)
            series *= metric_label_values(m, family, i);
    }
    return series;
}

void check_metric_table(const struct metric_family *table, size_t count, size_t series_max)
{
    struct metrics *m = NULL;
    size_t series = 0;
    ck_assert_int_eq(metrics_new(table, count, "spindle_", &m, NULL), ERR_OK);
    for (size_t i = 0; i < count; i++) {
        check_names(&table[i]);
        check_labels(m, i);
        for (size_t j = 0; j < i; j++)
            ck_assert_str_ne(table[i].name, table[j].name);
        for (size_t j = 1; j < table[i].bucket_count; j++)
            ck_assert(table[i].buckets[j - 1] < table[i].buckets[j]);
        series += series_count(m, i);
    }
    ck_assert_msg(series <= series_max, "%zu series, expected at most %zu", series, series_max);
    metrics_free(m);
}

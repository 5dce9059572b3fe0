#include "common/metric/metric_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DECIMALS_MAX 9
#define EXACT_MAX 9007199254740992.0 /* 2^53 */
#define STANDARD_PREFIX "process_"   /* names that all programs share keep them without ours */

/* One write. After an error the rest is skipped and the error stays. */
struct page {
    const struct metrics *m;
    enum metric_format format;
    const char *labels; /* before each series' own */
    unsigned leave_out;
    struct buf *out;
    err_t err;
};

static void put(struct page *p, const char *text, size_t len)
{
    if (p->err != ERR_OK)
        return;
    if (p->out->cap - p->out->len < len)
        p->err = buf_reserve(p->out, len);
    if (p->err != ERR_OK)
        return;
    memcpy(p->out->data + p->out->len, text, len);
    p->out->len += len;
}

static void put_str(struct page *p, const char *text)
{
    put(p, text, strlen(text));
}

static bool is_plain(char c)
{
    return c >= ' ' && c <= '~' && c != '\\' && c != '"';
}

/* Label values and help: backslash, quote and line feed escaped, what is not ASCII replaced. */
static void put_escaped(struct page *p, const char *text, bool quotes)
{
    while (*text != '\0') {
        size_t plain = 0;
        while (is_plain(text[plain]))
            plain++;
        put(p, text, plain);
        text += plain;
        if (*text == '\0')
            return;
        if (*text == '\n')
            put(p, "\\n", 2);
        else if (*text == '\\' || (*text == '"' && quotes))
            put(p, (const char[]){'\\', *text}, 2);
        else
            put(p, *text == '"' ? text : "?", 1);
        text++;
    }
}

static void put_whole(struct page *p, uint64_t value)
{
    char text[20];
    size_t at = sizeof text;
    do
        text[--at] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    put(p, text + at, sizeof text - at);
}

/* Short decimals, as most numbers are: where the digits and the power of ten are exact in a double,
 * their quotient is what the text reads back as. */
static bool put_decimal(struct page *p, double value)
{
    char digits[DECIMALS_MAX];
    uint64_t scale = 10;
    for (size_t n = 1; n <= DECIMALS_MAX && value * (double)scale < EXACT_MAX; n++, scale *= 10) {
        uint64_t scaled = (uint64_t)(value * (double)scale + 0.5);
        if ((double)scaled / (double)scale != value)
            continue;
        put_whole(p, scaled / scale);
        for (size_t at = n; at > 0; at--, scaled /= 10)
            digits[at - 1] = (char)('0' + scaled % 10);
        put(p, ".", 1);
        put(p, digits, n);
        return true;
    }
    return false;
}

/* The shortest text that reads back as the same number. */
static void put_number(struct page *p, double value, bool with_point)
{
    char text[40];
    if (!isfinite(value)) {
        put_str(p, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
        return;
    }
    if (value < 0)
        put(p, "-", 1);
    value = fabs(value);
    if (value < 1e15 && value == (double)(uint64_t)value) {
        put_whole(p, (uint64_t)value);
        put_str(p, with_point ? ".0" : "");
        return;
    }
    if (put_decimal(p, value))
        return;
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    put_str(p, text);
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);
    return len >= n && strcmp(text + len - n, end) == 0;
}

static bool is_info(const struct metric_family *f)
{
    return f->type == METRIC_GAUGE && ends_with(f->name, "_info");
}

/* OpenMetrics names families without the suffix that their samples carry. */
static void put_family_name(struct page *p, const struct metric_family *f)
{
    size_t len = strlen(f->name);
    if (p->format == METRIC_OPENMETRICS && f->type == METRIC_COUNTER)
        len -= strlen("_total");
    else if (p->format == METRIC_OPENMETRICS && is_info(f))
        len -= strlen("_info");
    if (strncmp(f->name, STANDARD_PREFIX, strlen(STANDARD_PREFIX)) != 0)
        put_str(p, metrics_prefix(p->m));
    put(p, f->name, len);
}

static const char *type_name(const struct page *p, const struct metric_family *f)
{
    static const char *const names[] = {"counter", "gauge", "histogram"};
    return p->format == METRIC_OPENMETRICS && is_info(f) ? "info" : names[f->type];
}

static void put_meta(struct page *p, const struct metric_family *f, const char *keyword,
                     const char *text, bool quotes)
{
    put_str(p, "# ");
    put_str(p, keyword);
    put_str(p, " ");
    put_family_name(p, f);
    put_str(p, " ");
    put_escaped(p, text, quotes);
    put_str(p, "\n");
}

static void put_head(struct page *p, const struct metric_family *f)
{
    if (p->format == METRIC_TEXT) {
        put_meta(p, f, "HELP", f->help, false);
        put_meta(p, f, "TYPE", type_name(p, f), false);
        return;
    }
    put_meta(p, f, "TYPE", type_name(p, f), false);
    if (f->unit[0] != '\0')
        put_meta(p, f, "UNIT", f->unit, false);
    put_meta(p, f, "HELP", f->help, true);
}

/* One series: its family and the index of each label, ties resolved. */
struct series {
    const struct metric_family *f;
    size_t family;
    size_t labels;
    size_t index[3];                 /* as metric_add takes them */
    size_t value[METRIC_LABELS_MAX]; /* index of each label's value */
};

static void put_series_name(struct page *p, const struct series *s, const char *suffix,
                            const double *bound)
{
    if (strncmp(s->f->name, STANDARD_PREFIX, strlen(STANDARD_PREFIX)) != 0)
        put_str(p, metrics_prefix(p->m));
    put_str(p, s->f->name);
    put_str(p, suffix);
    const char *before = p->labels[0] != '\0' ? "," : "{";
    if (p->labels[0] != '\0') {
        put(p, "{", 1);
        put_str(p, p->labels);
    }
    for (size_t i = 0; i < s->labels; i++) {
        put_str(p, before);
        put_str(p, s->f->label[i].name);
        put_str(p, "=\"");
        put_escaped(p, metric_label_text(p->m, s->family, i, s->value[i]), true);
        put_str(p, "\"");
        before = ",";
    }
    if (bound != NULL) {
        put_str(p, before);
        put_str(p, "le=\"");
        put_number(p, *bound, true);
        put_str(p, "\"");
    }
    put_str(p, *before == ',' || bound != NULL ? "} " : " ");
}

static void put_sample(struct page *p, const struct series *s, const char *suffix,
                       const double *bound, double value)
{
    put_series_name(p, s, suffix, bound);
    put_number(p, value, false);
    put_str(p, "\n");
}

/* Each slot is read once, so that buckets never fall and the last one is the count. */
static void put_histogram(struct page *p, const struct series *s)
{
    const struct metric_family *f = s->f;
    const double infinite = INFINITY;
    double count = 0;
    for (size_t i = 0; i <= f->bucket_count; i++) {
        count += metric_slot(p->m, s->family, s->index, i);
        put_sample(p, s, "_bucket", i < f->bucket_count ? &f->buckets[i] : &infinite, count);
    }
    put_sample(p, s, "_sum", NULL, metric_slot(p->m, s->family, s->index, f->bucket_count + 1));
    put_sample(p, s, "_count", NULL, count);
}

/* Spreads the untied indexes to label values. */
static void resolve(struct series *s)
{
    size_t dimension = 0;
    for (size_t i = 0; i < s->labels; i++) {
        if (s->f->label[i].tied)
            s->value[i] = s->value[i - 1];
        else
            s->value[i] = dimension < 3 ? s->index[dimension++] : 0;
    }
}

/* How many values each untied label has, in order. */
static void sizes_of(const struct metrics *m, size_t family, size_t size[static 3])
{
    const struct metric_family *f = metrics_family(m, family);
    size_t dimension = 0;
    size[0] = size[1] = size[2] = 1;
    for (size_t i = 0; i < metric_label_count(f) && dimension < 3; i++) {
        if (!f->label[i].tied)
            size[dimension++] = metric_label_values(m, family, i);
    }
}

/* A series that never counted, where the family's others and the sums beside it say enough. */
static bool is_idle(const struct page *p, const struct series *s)
{
    const struct metric_family *f = s->f;
    bool may_be_left_out = f->type == METRIC_HISTOGRAM;
    for (size_t i = 0; i < s->labels && f->type == METRIC_COUNTER; i++)
        may_be_left_out = may_be_left_out || f->label[i].errors != NULL || f->label[i].count == 0;
    return may_be_left_out &&
           metric_read(p->m, s->family, s->index[0], s->index[1], s->index[2]) == 0;
}

/* Open labels have no values between the last one and "other". */
static bool is_there(const struct page *p, const struct series *s)
{
    return s->labels == 0 || metric_label_text(p->m, s->family, 0, s->value[0]) != NULL;
}

static void put_series(struct page *p, const struct series *s)
{
    if (!is_there(p, s))
        return;
    if ((p->leave_out & METRIC_LEAVE_IDLE) != 0 && is_idle(p, s))
        return;
    if (s->f->type == METRIC_HISTOGRAM)
        put_histogram(p, s);
    else
        put_sample(p, s, "", NULL, metric_slot(p->m, s->family, s->index, 0));
}

static void put_all_series(struct page *p, size_t family)
{
    struct series s = {.f = metrics_family(p->m, family), .family = family};
    size_t size[3];
    if ((p->leave_out & METRIC_LEAVE_GAUGES) != 0 && s.f->type == METRIC_GAUGE)
        return;
    s.labels = metric_label_count(s.f);
    sizes_of(p->m, family, size);
    for (size_t n = 0; n < size[0] * size[1] * size[2] && p->err == ERR_OK; n++) {
        s.index[0] = n / (size[1] * size[2]);
        s.index[1] = n / size[2] % size[1];
        s.index[2] = n % size[2];
        resolve(&s);
        put_series(p, &s);
    }
}

err_t metric_text_head(const struct metrics *m, size_t family, enum metric_format format,
                       struct buf *out)
{
    struct page p = {.m = m, .format = format, .labels = "", .out = out};
    put_head(&p, metrics_family(m, family));
    return p.err;
}

err_t metric_text_series(const struct metrics *m, size_t family, const char *labels,
                         unsigned leave_out, struct buf *out)
{
    struct page p = {.m = m, .labels = labels, .leave_out = leave_out, .out = out};
    put_all_series(&p, family);
    return p.err;
}

err_t metric_text_end(enum metric_format format, struct buf *out)
{
    return format == METRIC_OPENMETRICS ? buf_append_str(out, "# EOF\n") : ERR_OK;
}

err_t metric_text_value(const char *text, struct buf *out)
{
    struct page p = {.out = out};
    put_escaped(&p, text, true);
    return p.err;
}

err_t metric_text_write(const struct metrics *m, enum metric_format format, struct buf *out)
{
    err_t err = ERR_OK;
    metrics_scrape(m);
    for (size_t i = 0; i < metrics_count(m) && err == ERR_OK; i++) {
        err = metric_text_head(m, i, format, out);
        if (err == ERR_OK)
            err = metric_text_series(m, i, "", METRIC_LEAVE_NONE, out);
    }
    return err == ERR_OK ? metric_text_end(format, out) : err;
}

const char *metric_format_type(enum metric_format format)
{
    return format == METRIC_OPENMETRICS
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
               : "text/plain; version=0.0.4; charset=utf-8";
}

#include "agent/share/node_text.h"

#include "common/base/mem.h"
#include "common/metric/metric_page.h"
#include "common/share/sidecar_families.h"

#include <string.h>

/* --- the agent's own -------------------------------------------------------------------------- */

static err_t write_own(struct node_text *t)
{
    err_t err = ERR_OK;
    metrics_scrape(t->metrics);
    for (size_t i = 0; i < metrics_count(t->metrics) && err == ERR_OK; i++) {
        err = metric_text_head(t->metrics, i, t->format, &t->own);
        if (err == ERR_OK)
            err = metric_text_series(t->metrics, i, "", METRIC_LEAVE_NONE, &t->own);
        t->own_end[i] = t->own.len;
    }
    return err;
}

err_t node_text_start(struct node_text *t, const struct metrics *m, enum metric_format format,
                      struct node_page *pages, size_t count, struct why *why)
{
    *t = (struct node_text){.metrics = m, .format = format, .page = pages, .page_count = count};
    buf_init(&t->own, METRIC_TEXT_MAX);
    t->own_end = mem_array(metrics_count(m), sizeof *t->own_end);
    err_t err = t->own_end != NULL ? write_own(t) : ERR_NO_MEMORY;
    return err == ERR_OK ? err : why_set(why, err, "the agent's own metrics");
}

void node_text_done(struct node_text *t)
{
    buf_done(&t->own);
    mem_free(t->own_end);
    mem_free(t->page);
}

/* --- those of the sidecars -------------------------------------------------------------------- */

static size_t find_family(const struct metric_family *table, size_t count, const char *name)
{
    size_t i = 0;
    while (i < count && strcmp(table[i].name, name) != 0)
        i++;
    return i;
}

static void read_pages(struct node_text *t)
{
    size_t up = find_family(sidecar_families, sidecar_families_count(), "sidecar_up");
    for (size_t i = 0; i < t->page_count; i++) {
        struct node_page *p = &t->page[i];
        p->err = metric_page_read(p->page->fd, p->page->copy, NULL);
        if (p->err == ERR_OK)
            metric_set(p->page->copy, up, 0, 0, 0, p->is_here);
    }
}

/* The series of one family, of the first `count` pages. */
static err_t write_series(const struct node_text *t, size_t family, size_t count, struct buf *out)
{
    bool is_up = strcmp(sidecar_families[family].name, "sidecar_up") == 0;
    err_t err = ERR_OK;
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        const struct node_page *p = &t->page[i];
        unsigned leave_out = METRIC_LEAVE_IDLE;
        if (!p->is_here && !is_up)
            leave_out |= METRIC_LEAVE_GAUGES;
        if (p->err == ERR_OK)
            err = metric_text_series(p->page->copy, family, p->page->labels, leave_out, out);
    }
    return err;
}

/* Families that agent and sidecars have both: the sidecars' series go behind the agent's. */
static err_t write_agent_families(const struct node_text *t, size_t count, struct buf *out)
{
    size_t families = sidecar_families_count(), begin = 0;
    err_t err = ERR_OK;
    for (size_t i = 0; i < metrics_count(t->metrics) && err == ERR_OK; i++) {
        const char *name = metrics_family(t->metrics, i)->name;
        size_t same = find_family(sidecar_families, families, name);
        err = buf_append(out, t->own.data + begin, t->own_end[i] - begin);
        begin = t->own_end[i];
        if (err == ERR_OK && same < families)
            err = write_series(t, same, count, out);
    }
    return err;
}

static err_t write_sidecar_families(const struct node_text *t, size_t count, struct buf *out)
{
    const struct metric_family *own = metrics_family(t->metrics, 0);
    err_t err = ERR_OK;
    for (size_t i = 0; i < sidecar_families_count() && err == ERR_OK; i++) {
        const char *name = sidecar_families[i].name;
        if (find_family(own, metrics_count(t->metrics), name) < metrics_count(t->metrics))
            continue;
        err = metric_text_head(t->page[0].page->copy, i, t->format, out);
        if (err == ERR_OK)
            err = write_series(t, i, count, out);
    }
    return err;
}

static err_t write_all(const struct node_text *t, size_t count, struct buf *out)
{
    err_t err = write_agent_families(t, count, out);
    if (err == ERR_OK && count > 0)
        err = write_sidecar_families(t, count, out);
    return err == ERR_OK ? metric_text_end(t->format, out) : err;
}

err_t node_text_write(struct node_text *t, struct buf *out)
{
    size_t count = t->page_count, start = out->len;
    read_pages(t);
    err_t err = write_all(t, count, out);
    while (err == ERR_TOO_LARGE && count > 0) {
        count -= (count + 3) / 4; /* fewer, until they fit */
        out->len = start;
        err = write_all(t, count, out);
    }
    t->dropped = t->page_count - count;
    return err;
}

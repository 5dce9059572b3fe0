/* What a scrape of a node's sidecars costs the agent: pages read and written out. By hand:
 *   build/release/tests/micro_node [sidecars [scrapes]]
 * Each sidecar counts as a busy one does: both directions used, and every cause of failure once
 * when the third argument is "all". */
#include "agent/share/node_text.h"
#include "agent/telemetry/metrics.h"
#include "common/base/mem.h"
#include "common/metric/metric_page.h"
#include "common/share/sidecar_families.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SIDECARS = 200, SCRAPES = 20, OUT_MAX = 64 << 20 };

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void must(err_t err, const char *what)
{
    if (err == ERR_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, err_name(err));
    exit(1);
}

/* Every series of the family has counted; of causes of failure all or none. */
static void fill(struct metrics *m, size_t family, bool all)
{
    const struct metric_family *f = &sidecar_families[family];
    size_t size[3] = {1, 1, 1}, dimension = 0;
    for (size_t i = 0; i < metric_label_count(f); i++) {
        if (f->label[i].errors != NULL && !all)
            return;
        if (f->label[i].count == 0)
            (void)metric_dynamic(m, family, "example.org");
        if (!f->label[i].tied && dimension < 3)
            size[dimension++] = metric_label_values(m, family, i);
    }
    for (size_t n = 0; n < size[0] * size[1] * size[2]; n++) {
        size_t a = n / (size[1] * size[2]), b = n / size[2] % size[1], c = n % size[2];
        if (f->type == METRIC_GAUGE)
            metric_set(m, family, a, b, c, 1790000000.5 + (double)n);
        else if (f->type == METRIC_COUNTER)
            metric_add(m, family, a, b, c, 123456789 + n);
        else
            metric_observe_ns(m, family, a, b, c, 1234567);
    }
}

static void add_sidecar(struct page_store *store, size_t number, bool all)
{
    char id[96], name[32];
    struct metrics *m = NULL;
    snprintf(id, sizeof id, "spiffe://example.org/ns/shop/sa/service-%03zu", number);
    snprintf(name, sizeof name, "pod-%03zu", number);
    must(metrics_new(sidecar_families, sidecar_families_count(), "", &m, NULL), "metrics");
    int page = page_store_give(store, id, name, -1, 0);
    must(metrics_adopt_page(m, fcntl(page, F_DUPFD_CLOEXEC, 0), NULL), "page");
    for (size_t i = 0; i < sidecar_families_count(); i++)
        fill(m, i, all);
    metrics_free(m);
}

static void start(struct node_text *t, struct metrics *m, struct page_store *store)
{
    struct page **held = NULL;
    size_t count = 0;
    must(page_store_hold(store, 0, &held, &count, NULL), "pages");
    struct node_page *pages = mem_array(count + 1, sizeof *pages);
    if (pages == NULL)
        must(ERR_NO_MEMORY, "pages");
    for (size_t i = 0; i < count; i++) {
        pages[i] = (struct node_page){.page = held[i], .is_here = true};
        page_unref(held[i]);
    }
    mem_free(held);
    must(node_text_start(t, m, METRIC_TEXT, pages, count, NULL), "own metrics");
}

static size_t count_lines(const struct buf *b, const char *word)
{
    size_t n = 0, len = strlen(word);
    for (size_t i = 0; i + len <= b->len; i++)
        n += memcmp(b->data + i, word, len) == 0;
    return n;
}

int main(int argc, char **argv)
{
    size_t sidecars = argc > 1 ? strtoul(argv[1], NULL, 10) : SIDECARS;
    size_t scrapes = argc > 2 ? strtoul(argv[2], NULL, 10) : SCRAPES;
    bool all = argc > 3 && strcmp(argv[3], "all") == 0;
    struct metrics *m = NULL;
    struct page_store *store = NULL;
    must(metrics_new(agent_metrics, AGENT_METRIC_COUNT, "spindle_", &m, NULL), "metrics");
    must(page_store_new(m, sidecars, &store, NULL), "store");
    for (size_t i = 0; i < sidecars; i++)
        add_sidecar(store, i, all);
    double worst = 0, begin = cpu_ms();
    for (size_t i = 0; i < scrapes; i++) {
        struct node_text text;
        struct buf out;
        double before = cpu_ms();
        buf_init(&out, OUT_MAX);
        start(&text, m, store);
        must(node_text_write(&text, &out), "scrape");
        node_text_done(&text);
        double took = cpu_ms() - before;
        worst = took > worst ? took : worst;
        if (i + 1 == scrapes)
            printf("%zu sidecars, %zu series each, %.2f MiB\n", sidecars,
                   count_lines(&out, "name=\"pod-000\""), (double)out.len / (1 << 20));
        buf_done(&out);
    }
    printf("scrape: %.1f ms CPU, worst %.1f\n", (cpu_ms() - begin) / (double)scrapes, worst);
    page_store_free(store);
    metrics_free(m);
    return 0;
}

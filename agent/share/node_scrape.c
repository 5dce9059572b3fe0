#include "agent/share/node_scrape.h"

#include "agent/share/node_text.h"
#include "agent/telemetry/metrics.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/log/log.h"
#include "common/loop/closing.h"

#include <assert.h>

/* One scrape, from its request to its answer. */
struct job {
    struct node_scrape *scrape;
    STAILQ_ENTRY(job) in_waiting;
    enum metric_format format;
    struct http_deferred *answer;
    struct node_text text;
    struct buf out; /* what the thread writes */
    uint64_t ns;    /* how long it took */
    err_t err;
    uv_work_t work;
};

struct node_scrape {
    uv_loop_t *loop;
    struct metrics *metrics;
    struct page_store *pages;
    struct job *running;
    STAILQ_HEAD(, job) waiting;
    size_t waiting_count;
    struct closing closing; /* held by the job that runs */
};

static void run_next(struct node_scrape *s);

/* --- an answer -------------------------------------------------------------------------------- */

static void job_answer(struct job *j)
{
    struct http_response *res = http_deferred_response(j->answer);
    if (j->err == ERR_OK) {
        res->content_type = metric_format_type(j->format);
        buf_done(&res->body);
        res->body = j->out;
        buf_init(&j->out, 0);
    } else {
        res->status = 500;
    }
    http_deferred_finish(j->answer);
}

static void job_free(struct job *j)
{
    for (size_t i = 0; i < j->text.page_count; i++)
        page_unref(j->text.page[i].page);
    node_text_done(&j->text);
    buf_done(&j->out);
    mem_free(j);
}

/* Nobody counts in it yet is no fault of the page. */
static bool is_fault(err_t err)
{
    return err != ERR_OK && err != ERR_NOT_FOUND && err != ERR_NO_MEMORY;
}

static void count_page(struct node_scrape *s, const struct node_page *read)
{
    struct page *p = read->page;
    bool bad = is_fault(read->err);
    if (bad)
        metric_add(s->metrics, M_METRICS_PAGES_BAD, 0, 0, 0, 1);
    if (bad && !p->is_bad)
        log_warn("metrics_page_bad", log_str("spiffe_id", p->spiffe_id), log_str("name", p->name),
                 log_err("reason", read->err),
                 log_str("next", "it is left out of /metrics until its sidecar starts again"));
    p->is_bad = bad;
}

static void job_count(const struct job *j)
{
    struct node_scrape *s = j->scrape;
    for (size_t i = 0; i < j->text.page_count; i++)
        count_page(s, &j->text.page[i]);
    metric_add(s->metrics, M_METRICS_SERIES_DROPPED, 0, 0, 0, j->text.dropped);
    metric_observe_ns(s->metrics, M_NODE_SCRAPE_DURATION, 0, 0, 0, j->ns);
}

static void job_finish(struct job *j)
{
    job_answer(j);
    job_free(j);
}

/* --- loop glue -------------------------------------------------------------------------------- */

static void on_work(uv_work_t *work)
{
    struct job *j = work->data;
    uint64_t start = clock_mono_ns();
    j->err = node_text_write(&j->text, &j->out);
    j->ns = clock_mono_ns() - start;
}

static void on_worked(uv_work_t *work, int status)
{
    struct job *j = work->data;
    struct node_scrape *s = j->scrape;
    (void)status; /* it is not canceled */
    job_count(j);
    job_finish(j);
    s->running = NULL;
    run_next(s);
    closing_drop(&s->closing);
}

static void set_gauges(struct node_scrape *s, const struct node_page *pages, size_t count)
{
    size_t here = 0;
    for (size_t i = 0; i < count; i++)
        here += pages[i].is_here;
    metric_set(s->metrics, M_METRICS_PAGES, PAGE_CONNECTED, 0, 0, (double)here);
    metric_set(s->metrics, M_METRICS_PAGES, PAGE_GONE, 0, 0, (double)(count - here));
}

/* The job's own text, from now; holds the pages. */
static err_t start_text(struct job *j)
{
    struct node_scrape *s = j->scrape;
    struct page **held = NULL;
    size_t n = 0;
    err_t err = page_store_hold(s->pages, clock_mono_ns(), &held, &n, NULL);
    if (err != ERR_OK)
        return err;
    struct node_page *pages = mem_array(n > 0 ? n : 1, sizeof *pages);
    for (size_t i = 0; i < n; i++) {
        if (pages == NULL)
            page_unref(held[i]);
        else
            pages[i] = (struct node_page){.page = held[i], .is_here = held[i]->users > 0};
    }
    mem_free(held);
    if (pages == NULL)
        return ERR_NO_MEMORY;
    set_gauges(s, pages, n);
    return node_text_start(&j->text, s->metrics, j->format, pages, n, NULL);
}

static void run_next(struct node_scrape *s)
{
    for (struct job *j; s->running == NULL && (j = STAILQ_FIRST(&s->waiting)) != NULL;) {
        STAILQ_REMOVE_HEAD(&s->waiting, in_waiting);
        s->waiting_count--;
        j->err = start_text(j);
        if (j->err != ERR_OK) {
            job_finish(j);
            continue;
        }
        s->running = j; /* the thread's until on_worked */
        int rc = uv_queue_work(s->loop, &j->work, on_work, on_worked);
        assert(rc == 0);
        (void)rc; /* fails without a callback only */
        closing_hold(&s->closing);
    }
}

void node_scrape_answer(void *arg, const struct http_request *req, struct http_response *res)
{
    struct node_scrape *s = arg;
    struct job *j = s->waiting_count < NODE_SCRAPES_WAITING ? mem_alloc(sizeof *j) : NULL;
    struct http_deferred *d = j != NULL ? http_defer(res) : NULL;
    if (d == NULL) {
        res->status = 503;
        mem_free(j);
        return;
    }
    j->scrape = s;
    j->answer = d;
    j->format = metric_format_of(req->accept);
    j->work.data = j;
    buf_init(&j->out, NODE_SCRAPE_MAX);
    STAILQ_INSERT_TAIL(&s->waiting, j, in_waiting);
    s->waiting_count++;
    run_next(s);
}

err_t node_scrape_new(uv_loop_t *loop, struct metrics *metrics, struct page_store *pages,
                      struct node_scrape **ret, struct why *why)
{
    struct node_scrape *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return why_set(why, ERR_NO_MEMORY, "metrics of the node");
    *s = (struct node_scrape){.loop = loop, .metrics = metrics, .pages = pages};
    STAILQ_INIT(&s->waiting);
    *ret = s;
    return ERR_OK;
}

void node_scrape_close(struct node_scrape *s, void (*done)(void *arg), void *arg)
{
    if (closing_begin(&s->closing, mem_free, s, done, arg))
        closing_drop(closing_hold(&s->closing)); /* the end, if nothing runs */
}

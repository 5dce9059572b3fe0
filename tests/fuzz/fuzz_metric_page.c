/* The reader of metrics pages: a good page with bytes of the input written over it, read, and
 * written out as a scrape does. Input: records of offset (2 bytes), length (1), bytes. */
#include "common/metric/metric_page.h"
#include "common/metric/metric_text.h"
#include "common/share/sidecar_families.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct metrics *copy;
static struct metric_page *good; /* what a sidecar made of an empty page */
static int page_fd;

static struct metrics *new_metrics(void)
{
    struct metrics *m = NULL;
    if (metrics_new(sidecar_families, sidecar_families_count(), "spindle_", &m, NULL) != ERR_OK)
        abort();
    return m;
}

static void prepare(void)
{
    struct metrics *sidecar = new_metrics();
    copy = new_metrics();
    good = malloc(sizeof *good);
    if (good == NULL || metric_page_create(1, &page_fd, NULL) != ERR_OK ||
        metrics_adopt_page(sidecar, dup(page_fd), NULL) != ERR_OK)
        abort();
    for (size_t i = 0; i < sidecar_families_count(); i++) {
        if (sidecar_families[i].label[0].name != NULL && sidecar_families[i].label[0].count == 0)
            (void)metric_dynamic(sidecar, i, "example.org");
    }
    if (pread(page_fd, good, sizeof *good, 0) != (ssize_t)sizeof *good)
        abort();
    metrics_free(sidecar);
}

static void write_over(const uint8_t *data, size_t size)
{
    while (size >= 3) {
        size_t at = (size_t)data[0] << 8 | data[1], len = data[2];
        data += 3;
        size -= 3;
        len = len < size ? len : size;
        if (pwrite(page_fd, data, len, (off_t)at) != (ssize_t)len)
            abort();
        data += len;
        size -= len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out;
    if (good == NULL)
        prepare();
    if (pwrite(page_fd, good, sizeof *good, 0) != (ssize_t)sizeof *good)
        abort();
    write_over(data, size);
    buf_init(&out, METRIC_TEXT_MAX);
    err_t err = metric_page_read(page_fd, copy, NULL);
    for (size_t i = 0; i < sidecar_families_count() && err == ERR_OK; i++)
        err = metric_text_series(copy, i, "name=\"fuzz\"", METRIC_LEAVE_NONE, &out);
    buf_done(&out);
    return 0;
}

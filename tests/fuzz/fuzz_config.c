/* The configuration of both programs: YAML and the option engine. Whatever the bytes, an error
 * comes with a line of its own, and what was read can be compared with itself and freed. */
#include "agent/config/config.h"
#include "common/config/yaml.h"
#include "sidecar/config/config.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* Every line ends, and none is empty or holds a control character. */
static void check_report(err_t err, const struct buf *report)
{
    check(err == ERR_OK || err == ERR_CONFIG);
    check(err == ERR_OK || report->len > 0);
    for (size_t i = 0; i < report->len; i++) {
        check(report->data[i] >= ' ' || report->data[i] == '\n');
        check(report->data[i] != '\n' || (i > 0 && report->data[i - 1] != '\n'));
    }
}

static void load_agent(const char *path, const char *const *sets, struct buf *report)
{
    struct agent_config *c = NULL;
    err_t err = agent_config_load(path, sets, report, &c, NULL);
    check_report(err, report);
    check((c != NULL) == (err == ERR_OK));
    if (c != NULL)
        check(agent_config_check_reload(c, c, report) == ERR_OK);
    agent_config_free(c);
    buf_clear(report);
}

static void load_sidecar(const char *path, const char *const *sets, struct buf *report)
{
    struct sidecar_config *c = NULL;
    err_t err = sidecar_config_load(path, sets, report, &c, NULL);
    check_report(err, report);
    check((c != NULL) == (err == ERR_OK));
    if (c != NULL)
        check(sidecar_config_check_reload(c, c, report) == ERR_OK);
    sidecar_config_unref(c);
    buf_clear(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct buf report;
    int fd = memfd_create("config", MFD_CLOEXEC);
    if (size > 4096 || fd < 0 || write(fd, data, size) != (ssize_t)size)
        goto out;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    buf_init(&report, 1u << 20);
    load_agent(path, NULL, &report);
    load_sidecar(path, NULL, &report);
    char *set = strndup((const char *)data, size); /* and all of it as one --set */
    const char *sets[] = {set, NULL};
    if (set != NULL) {
        load_agent(NULL, sets, &report);
        load_sidecar(NULL, sets, &report);
    }
    free(set);
    buf_done(&report);
out:
    if (fd >= 0)
        close(fd);
    return 0;
}

#include "common/metric/process_metrics.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/log/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct process_metrics {
    struct metrics *metrics; /* borrowed */
    int statm;               /* owned */
    DIR *fds;                /* owned: /proc/self/fd */
};

/* Clock ticks after boot: field 22 of stat, counted behind the last ')' as the name may hold any.
 */
static bool read_start_ticks(unsigned long long *ret)
{
    char text[1024];
    if (file_peek("/proc/self/stat", text, sizeof text) <= 0)
        return false;
    const char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return false;
    *ret = strtoull(at, NULL, 10);
    return true;
}

/* Boot in Unix time, from the line btime of /proc/stat, whose first lines grow with the cores. */
static bool read_boot_time(unsigned long long *ret)
{
    char line[256];
    bool found = false;
    FILE *f = fopen("/proc/stat", "re");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
        found = sscanf(line, "btime %llu", ret) == 1;
    if (f != NULL)
        fclose(f);
    return found;
}

static void set_start_time(struct metrics *m)
{
    unsigned long long ticks = 0, boot = 0;
    long per_second = sysconf(_SC_CLK_TCK);
    if (per_second > 0 && read_start_ticks(&ticks) && read_boot_time(&boot))
        metric_set(m, M_PROCESS_START_TIME, 0, 0, 0,
                   (double)boot + (double)ticks / (double)per_second);
}

static void set_memory(const struct process_metrics *p)
{
    char text[128];
    unsigned long long all = 0, resident = 0;
    ssize_t n = pread(p->statm, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    if (sscanf(text, "%llu %llu", &all, &resident) == 2)
        metric_set(p->metrics, M_PROCESS_RESIDENT_MEMORY, 0, 0, 0,
                   (double)resident * (double)sysconf(_SC_PAGESIZE));
}

/* The kernel tells the number as the directory's size from 6.2 on; before, they are counted. */
static size_t count_fds(const struct process_metrics *p)
{
    struct stat st;
    size_t n = 0;
    if (fstat(dirfd(p->fds), &st) == 0 && st.st_size > 0)
        return (size_t)st.st_size;
    rewinddir(p->fds);
    for (const struct dirent *e = readdir(p->fds); e != NULL; e = readdir(p->fds))
        n += e->d_name[0] != '.';
    return n;
}

static void on_scrape(void *arg)
{
    struct process_metrics *p = arg;
    struct rlimit limit;
    struct timespec cpu;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        metric_mirror(p->metrics, M_PROCESS_CPU, 0, 0, 0,
                      (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        metric_set(p->metrics, M_PROCESS_MAX_FDS, 0, 0, 0, (double)limit.rlim_cur);
    set_memory(p);
    metric_set(p->metrics, M_PROCESS_OPEN_FDS, 0, 0, 0, (double)count_fds(p));
    metric_mirror(p->metrics, M_LOG_DROPPED, 0, 0, 0, log_dropped());
}

err_t process_metrics_new(struct metrics *m, struct process_metrics **ret, struct why *why)
{
    struct process_metrics *p = mem_alloc(sizeof *p);
    if (p == NULL)
        return why_set(why, ERR_NO_MEMORY, "process metrics");
    p->metrics = m;
    p->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    p->fds = opendir("/proc/self/fd");
    err_t err = ERR_OK;
    if (p->statm < 0 || p->fds == NULL)
        err = why_errno(why, ERR_IO, "cannot read /proc/self");
    else
        err = metrics_on_scrape(m, on_scrape, p, why);
    if (err != ERR_OK) {
        process_metrics_free(p);
        return err;
    }
    metric_set(m, M_BUILD_INFO, 0, 0, 0, 1);
    metric_set(m, M_CONFIG_RELOADED, 0, 0, 0, 1);
    set_start_time(m);
    *ret = p;
    return ERR_OK;
}

void process_metrics_free(struct process_metrics *p)
{
    if (p == NULL)
        return;
    if (p->statm >= 0)
        close(p->statm);
    if (p->fds != NULL)
        closedir(p->fds);
    mem_free(p);
}

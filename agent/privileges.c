#include "agent/privileges.h"

#include "common/sandbox/sandbox_list.h"

#include <linux/capability.h>
#include <sys/syscall.h>

/* Looking at programs of other users: /proc/PID/exe, and files that are not readable by all. */
static const int keep_capabilities[] = {CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, -1};

static const int syscalls[] = {SYS_pidfd_open, SYS_timer_create, SYS_timer_settime,
                               SYS_timer_delete, SYSCALL_END};

struct pool {
    uv_loop_t *loop;
    uv_work_t work;
};

static void do_nothing(uv_work_t *work)
{
    (void)work;
}

/* The first work starts all threads of the pool. */
static void start_pool(void *arg)
{
    struct pool *pool = arg;
    if (uv_queue_work(pool->loop, &pool->work, do_nothing, NULL) == 0)
        uv_run(pool->loop, UV_RUN_DEFAULT);
}

static void list_paths(const struct agent_config *config, const char *config_path,
                       struct sandbox_list *l)
{
    sandbox_list_init(l);
    sandbox_list_add(l, "/proc", false);
    sandbox_list_add_parent(l, config_path, false);
    sandbox_list_add(l, config->entries, false);
    sandbox_list_add_parent(l, config->entries, false);
    sandbox_list_add(l, config->data_dir, true);
    sandbox_list_add_parent(l, config->audit_file, true);
    sandbox_list_add_parent(l, config->workload_api_socket, true);
    sandbox_list_add_parent(l, config->admin_socket, true);
    if (config->metrics_on && config->metrics_listen.kind == ADDRESS_UNIX)
        sandbox_list_add_parent(l, config->metrics_listen.host, true);
}

err_t agent_privileges_enter(const struct agent_config *config, const char *config_path,
                             uv_loop_t *loop, struct buf *notes, struct why *why)
{
    struct sandbox_list paths;
    struct pool pool = {.loop = loop};
    if (!config->sandbox)
        return buf_append_str(notes, "sandbox: off by configuration, all privileges are kept\n");
    list_paths(config, config_path, &paths);
    const struct sandbox_rules rules = {.syscalls = syscalls,
                                        .paths = paths.items,
                                        .keep_capabilities = keep_capabilities,
                                        .before_landlock = start_pool,
                                        .arg = &pool};
    err_t err = paths.err != ERR_OK ? why_set(why, paths.err, "sandbox: list of paths")
                                    : sandbox_enter(&rules, notes, why);
    sandbox_list_done(&paths);
    return err;
}

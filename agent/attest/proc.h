/* What /proc says of a process. Every call may block: on the thread pool, but for proc_groups
 * and proc_comm, which touch kernel memory alone. ERR_ATTESTATION when the process has ended. */
#ifndef SPINDLE_AGENT_ATTEST_PROC_H
#define SPINDLE_AGENT_ATTEST_PROC_H

#include "common/base/slice.h"
#include "common/base/why.h"

#include <limits.h>
#include <sys/types.h>
#include <time.h>

/* Which file, and in which state: content changes change one of these. */
struct file_id {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime, ctime;
};
bool file_id_eq(const struct file_id *a, const struct file_id *b);
err_t file_id_of(int fd, struct file_id *ret, struct why *why) MUST_CHECK;

/* The process's name, which it chooses itself, for log lines; "" when it has ended. Never blocks.
 */
#define PROC_COMM_MAX 32
void proc_comm(pid_t pid, char out[static PROC_COMM_MAX]);
/* Supplementary groups from /proc/PID/status: the first `max`, *ret_count of them. */
err_t proc_groups(pid_t pid, gid_t *out, size_t max, size_t *ret_count, struct why *why) MUST_CHECK;
/* The same from the text of a status file. Pure. */
err_t proc_parse_groups(struct slice text, gid_t *out, size_t max, size_t *ret_count,
                        struct why *why) MUST_CHECK;

/* The path of the program, only when that path names the very same file here: not when it was
 * deleted or replaced, nor when the process lives in a mount namespace where it (or its owner) may
 * put another file under that name. ERR_NOT_FOUND then. */
err_t proc_exe_path(pid_t pid, char ret_path[static PATH_MAX], struct why *why) MUST_CHECK;
/* The program's file for reading: *ret_fd is the caller's. Refuses file systems in user space,
 * whose bytes may differ from reader to reader. */
err_t proc_exe_open(pid_t pid, int *ret_fd, struct file_id *ret_id, struct why *why) MUST_CHECK;

#endif

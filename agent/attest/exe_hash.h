/* SHA-256 of program files, for unix:sha256. Hashed on the thread pool, one file at a time, so that
 * large files leave the pool's other threads alone; those who ask for the same file share the work.
 * Results are kept by the file's identity (device, inode, size, mtime, ctime), the least recently
 * used go first. Loop thread only. */
#ifndef SPINDLE_AGENT_ATTEST_EXE_HASH_H
#define SPINDLE_AGENT_ATTEST_EXE_HASH_H

#include "agent/attest/proc.h"
#include "common/base/list.h"

#include <uv.h>

#define EXE_HASH_KEPT_MAX 256
#define EXE_HASH_QUEUE_MAX 256 /* different files waiting: each holds a descriptor */
#define EXE_HASH_TEXT_LEN 65   /* 64 lower-case hex digits and NUL */
#define EXE_HASH_FILE_MAX ((off_t)256 * 1024 * 1024)

struct exe_hash; /* opaque */
/* Embedded by the one who waits; untouched by others from exe_hash_start to done. */
struct exe_hash_waiter {
    LIST_ENTRY(exe_hash_waiter) link;
    /* err: ERR_TOO_LARGE past file_max, ERR_IO, ERR_LIMIT, ERR_NO_MEMORY. hex is borrowed. */
    void (*done)(void *arg, err_t err, const char *hex, const struct why *why);
    void *arg;
};

err_t exe_hash_open(uv_loop_t *loop, off_t file_max, struct exe_hash **ret) MUST_CHECK;
/* Nobody may wait any more. Frees once the work under way ended (perhaps before it returns), then
 * calls done. */
void exe_hash_close(struct exe_hash *h, void (*done)(void *arg), void *arg);

/* Takes fd. Calls the waiter's done exactly once: before this returns when the hash is known or
 * cannot be started, else from the loop. */
void exe_hash_start(struct exe_hash *h, int fd, const struct file_id *id,
                    struct exe_hash_waiter *w);
/* done is not called any more. */
void exe_hash_cancel(struct exe_hash_waiter *w);
/* Files read so far, for tests and metrics. */
uint64_t exe_hash_files_read(const struct exe_hash *h);

#endif

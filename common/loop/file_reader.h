/* Files that are read anew when one of them has changed, or when asked, and never on the loop:
 * watches them (file_watch.h), tells by device, inode, size and times whether there is anything
 * new, and has their owner's reading run on the thread pool, one at a time; what comes up meanwhile
 * is read once more behind it. Of a folder all files in it count. Loop thread only. */
#ifndef SPINDLE_COMMON_LOOP_FILE_READER_H
#define SPINDLE_COMMON_LOOP_FILE_READER_H

#include "common/base/why.h"

#include <uv.h>

struct file_reader; /* opaque */

struct file_reader_options {
    const char *const *paths; /* copied, what they point to is borrowed; see FILE_WATCH_PATHS_MAX */
    size_t count;             /* 0: read when asked alone, nothing is watched */
    /* One that is not there is between two versions, and mode, owner and links are of no interest:
     * no change, all of these. */
    bool contents_alone;
    /* On the pool. What it fills is nobody else's until on_read, or the close, is through. */
    void (*read)(void *arg);
    /* On the loop, behind it; not after the close. False: the next hint reads again, changed or
     * not. */
    bool (*on_read)(void *arg);
    void *arg;
};

/* The files as they are now count as read. ERR_NO_MEMORY, ERR_LIMIT */
err_t file_reader_open(uv_loop_t *loop, const struct file_reader_options *opt,
                       struct file_reader **ret, struct why *why) MUST_CHECK;
/* Now, changed or not. */
void file_reader_now(struct file_reader *r);
/* From on_read: its owner is not through yet, and what comes up waits until it is. */
void file_reader_pause(struct file_reader *r, bool paused);
/* Frees itself in the last callback, with no reading under way, then calls done (may be NULL). */
void file_reader_close(struct file_reader *r, void (*done)(void *arg), void *arg);

#endif

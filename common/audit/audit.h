/* The audit log: what was decided about whom, one JSON object a line, in a file of its own
 * (docs/audit.md). A thread writes it, from a bounded store of lines: audit_event never waits for a
 * disk and never allocates. What the store cannot take, while the disk is slow, full or read-only,
 * is counted (audit_lost_total) and told in the file, at the place where it is missing:
 * {"time":"...","event":"lost","count":3}. Rotation is in audit_file.h.
 *
 *   audit_event(a, "revoked", log_str("target", id), log_int("uid", uid));
 *   {"time":"2026-11-21T08:00:00.123Z","event":"revoked","target":"...","uid":0}
 *
 * The fields are those of log.h; one whose text is NULL is left out. Peer-chosen bytes are escaped.
 * A line is at most LOG_LINE_MAX: put peers' long strings last. Never pass keys or tokens. */
#ifndef SPINDLE_COMMON_AUDIT_AUDIT_H
#define SPINDLE_COMMON_AUDIT_AUDIT_H

#include "common/base/why.h"
#include "common/log/log.h"
#include "common/metric/metric.h"

#include <sys/types.h>

struct audit; /* opaque */

struct audit_options {
    const char *path;
    int64_t max_size, keep;  /* bytes of a file; old files, at least 1 */
    struct metrics *metrics; /* borrowed, may be NULL */
};

/* Opens the file, so that mistakes are told at start: errors as audit_file_open. Events are kept
 * from here on and written from audit_start on: open before a sandbox, start inside it. */
err_t audit_open(const struct audit_options *opt, struct audit **ret, struct why *why) MUST_CHECK;
/* The writer's thread. ERR_NO_MEMORY. */
err_t audit_start(struct audit *a, struct why *why) MUST_CHECK;
/* Waits up to a second for what is not written yet; a writer stuck in a disk is left behind, and
 * what it did not write is logged as lost. NULL: nothing. */
void audit_close(struct audit *a);

/* Any thread; NULL `a`: nothing. At most AUDIT_FIELDS_MAX fields. */
#define AUDIT_FIELDS_MAX 24
void audit_write(struct audit *a, const char *event, const struct log_field *fields);
#define audit_event(a, event, ...)                                                                 \
    audit_write(a, event, (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}})
/* Fields that are left out where nothing is known: no text, no time, nobody (whose pid is 0). */
struct log_field audit_text(const char *key, const char *text); /* may be NULL */
struct log_field audit_time(const char *key, int64_t at);
struct log_field audit_id(const char *key, pid_t who, int64_t id);
/* For what others can cause at will: at most AUDIT_OFTEN_BURST at once and AUDIT_OFTEN_PER_S later
 * for each `key` (a user, a reason), so that a flood does not push the rest out of the old files.
 * The next line of that key has the field suppressed, audit_suppressed_total counts. */
#define AUDIT_OFTEN_BURST 200
#define AUDIT_OFTEN_PER_S 1
#define audit_event_often(a, often_key, event, ...)                                                \
    audit_write_often(a, often_key, event,                                                         \
                      (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}})
void audit_write_often(struct audit *a, uint64_t key, const char *event,
                       const struct log_field *fields);
/* The file was renamed by somebody else (logrotate): the writer opens the path anew. Any thread;
 * NULL: nothing. */
void audit_reopen(struct audit *a);
/* Events lost until now. Any thread. */
uint64_t audit_lost(const struct audit *a);

#endif

/* One YAML document of registration entries, read into an array; every problem is a line in the
 * report (entries.h). Pure. */
#ifndef SPINDLE_AGENT_ENTRY_ENTRY_READER_H
#define SPINDLE_AGENT_ENTRY_ENTRY_READER_H

#include "agent/entry/entry.h"
#include "common/base/buf.h"
#include "common/config/yaml.h"

/* What has been read so far, of all files. Embedded; zero it to begin. */
struct entry_reader {
    const char *trust_domain;     /* borrowed */
    struct buf *report;           /* borrowed */
    struct entry *items;          /* owned */
    struct entry_origin *origins; /* owned, one an entry */
    char **files;                 /* owned; NULL-terminated */
    size_t count, file_count;
    size_t problems;
};

/* Appends the entries of the document. ERR_OK also when there were problems: they are counted.
 * ERR_NO_MEMORY else. */
err_t entry_reader_read(struct entry_reader *r, const char *file,
                        const struct yaml *doc) MUST_CHECK;
/* Counts a problem and writes its line: "FILE:LINE: WHERE: ..."; a full report stays as it is. */
void entry_reader_problem(struct entry_reader *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void entry_reader_done(struct entry_reader *r);

#endif

/* What the suites of the audit log share: a log in a folder of its own, events with numbers, and
 * readers that parse every line. Failures abort the test. */
#ifndef SPINDLE_TESTS_AUDIT_CASE_H
#define SPINDLE_TESTS_AUDIT_CASE_H

#include "common/audit/audit.h"
#include "common/audit/audit_table.h"
#include "tests/support/temp_dir.h"

#include <jansson.h>

#define AUDIT_BIG (INT64_C(64) << 20)
#define AUDIT_NUMBER_LINE 100 /* bytes of a line of audit_numbers with four digits */

extern struct temp_dir audit_dir;
extern char audit_path[TEMP_PATH_MAX]; /* audit.log in it */

void audit_case_begin(void);
void audit_case_end(void);
/* Opened and started. */
struct audit *audit_case_open(int64_t max_size, int64_t keep);
/* Events {"n":from} up to to - 1. */
void audit_numbers(struct audit *a, int from, int to);
/* The file's bytes, to be freed; "" when it is not there. */
char *audit_read(const char *name);
/* Each line through a real parser. */
void audit_each_line(const char *text, void (*fn)(void *arg, const json_t *line), void *arg);
/* Until the file has this in it. */
void audit_wait_for(const char *name, const char *wanted);
/* The path of the i-th old file; 0: the one in use. Returns out. */
const char *audit_old_name(int i, char out[static TEMP_PATH_MAX]);

/* What a file tells of events numbered next, next + 1, ... by one thread. */
struct audit_tally {
    int64_t next, seen, lost, gaps;
};
void audit_tally_line(void *arg, const json_t *line);
struct audit_tally audit_tally_text(const char *text);

/* Every line of the file is an event of the table with all of its fields, in order, and each event
 * stands there at least once. Closes the log. */
void audit_check_golden(struct audit *a, const struct audit_table *table);

#endif

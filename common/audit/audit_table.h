/* The table of a program's audit events, for its reference page and for tests. */
#ifndef SPINDLE_COMMON_AUDIT_AUDIT_TABLE_H
#define SPINDLE_COMMON_AUDIT_AUDIT_TABLE_H

#include <stddef.h>
#include <stdio.h>

struct audit_event_row {
    const char *name, *fields, *help; /* fields: their names, in order, separated by one space */
};
struct audit_table {
    const struct audit_event_row *rows;
    size_t count;
};

/* The reference page, markdown. */
void audit_docs(const struct audit_table *t, const char *program, FILE *out);

#endif

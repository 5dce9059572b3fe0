/* Descriptors to pass around, and how many are open. Failures abort the test. */
#ifndef SPINDLE_TESTS_DESCRIPTORS_H
#define SPINDLE_TESTS_DESCRIPTORS_H

#include <stddef.h>

/* A memfd with this content; the caller's. */
int memory_file(const char *content);
/* The same, sealed against every change. */
int sealed_file(const void *bytes, size_t len);
/* Of this process, below 1024. */
size_t open_descriptors(void);
/* Lowers the limit so far that none can be opened; back to what it was. One at a time. */
void leave_no_descriptor(void);
void give_descriptors_back(void);

#endif

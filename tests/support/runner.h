/* The main of every unit test program: one suite, one exit code. */
#ifndef SPINDLE_TESTS_RUNNER_H
#define SPINDLE_TESTS_RUNNER_H

#include <check.h>

/* Runs the suite; 0 when everything passed. CK_FORK=no and CK_RUN_CASE work as libcheck says. */
int run_suite(Suite *suite);

#endif

/* What is wrong with an option table: its rows are our own, so the tests look, not the program. */
#ifndef SPINDLE_TESTS_SUPPORT_OPTION_FLAW_H
#define SPINDLE_TESTS_SUPPORT_OPTION_FLAW_H

#include "common/config/option.h"

const char *option_flaw(const struct option_table *t); /* NULL when it is sound */

#endif

/* One value of one option: read, compare, free. Part of the option engine (option.h). Pure. */
#ifndef SPINDLE_COMMON_CONFIG_OPTION_TYPE_H
#define SPINDLE_COMMON_CONFIG_OPTION_TYPE_H

#include "common/base/why.h"
#include "common/config/option_table.h"
#include "common/config/yaml.h"

/* Reads a value that is one scalar into the field. ERR_CONFIG, or ERR_UNSUPPORTED for what is known
 * but not built, with the whole message behind the key ("expected ..., found ..."). */
err_t option_value_read(const struct option *o, const struct yaml_node *node, void *field,
                        struct why *why) MUST_CHECK;
/* Checks one element of OPTION_STRINGS or OPTION_RULES. */
err_t option_element_check(const struct option *o, const struct yaml_node *node,
                           struct why *why) MUST_CHECK;
/* STRINGS, RULES and ITEMS are not scalars. */
bool option_is_scalar(const struct option *o);
/* What the type expects, in words; for OPTION_WORD the words that are built. Returns out. */
#define OPTION_EXPECTED_LEN 256
const char *option_expected(const struct option *o, char out[static OPTION_EXPECTED_LEN]);
/* What --help calls a value of it. */
const char *option_title(const struct option *o);
size_t option_field_size(enum option_type type);

/* Is the row's range none, or two values of a type that is a number? For tests of tables. */
bool option_range_sound(const struct option *o);

bool option_value_eq(const struct option *o, const void *a, const void *b); /* not ITEMS */
void option_value_free(const struct option *o, void *field);                /* not ITEMS */

#endif

/* For clang's analyzer alone (check_tidy.sh): it looks at one file at a time, and has to be told
 * that why_set and why_add return the error that they are given. */
#include "common/base/why.h"

#define why_set(why, err, ...) ((void)why_set(why, err, __VA_ARGS__), (err))
#define why_add(why, err, ...) ((void)why_add(why, err, __VA_ARGS__), (err))
#define why_errno(why, err, ...) ((void)why_errno(why, err, __VA_ARGS__), (err))

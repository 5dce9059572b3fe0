/* What may come of looking a name up: one table for the counters' label, the error, and the words.
 */
#ifndef SPINDLE_COMMON_RESOLVE_NAME_RESULT_H
#define SPINDLE_COMMON_RESOLVE_NAME_RESULT_H

#include "common/base/why.h"

#include <stdbool.h>

/* X(NAME, "word in metrics", error, "words after the name") */
#define NAME_RESULTS(X)                                                                            \
    X(OK, "ok", ERR_OK, "resolved")                                                                \
    X(UNKNOWN, "no_such_name", ERR_RESOLVE, "no such name")                                        \
    X(NO_ADDRESS, "no_address", ERR_RESOLVE, "the name has no address")                            \
    X(SERVER_FAILURE, "server_failure", ERR_RESOLVE_SERVER, "the name servers cannot answer")      \
    X(UNREACHABLE, "unreachable", ERR_RESOLVE_SERVER, "no name server can be reached")             \
    X(TIMEOUT, "timeout", ERR_RESOLVE_TIMEOUT, "no name server answered in time")                  \
    X(LIMIT, "limit", ERR_LIMIT, "too many look-ups under way")                                    \
    X(FAILED, "failed", ERR_RESOLVE_SERVER, "the look-up failed on this machine")

enum name_result {
#define X(name, word, err, text) NAME_##name,
    NAME_RESULTS(X)
#undef X
        NAME_RESULT_COUNT
};
const char *name_result_word(enum name_result result);
err_t name_result_why(struct why *why, const char *name, enum name_result result);
/* A server said so, rather than none being able to say. */
bool name_result_is_final(enum name_result result);

#endif

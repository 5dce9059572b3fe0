#include "common/resolve/name_result.h"

static const struct {
    const char *word, *text;
    err_t err;
} results[NAME_RESULT_COUNT] = {
#define X(name, word, err, text) [NAME_##name] = {word, text, err},
    NAME_RESULTS(X)
#undef X
};

const char *name_result_word(enum name_result result)
{
    return results[result].word;
}

err_t name_result_why(struct why *why, const char *name, enum name_result result)
{
    return why_set(why, results[result].err, "%s: %s", name, results[result].text);
}

bool name_result_is_final(enum name_result result)
{
    return result == NAME_OK || result == NAME_UNKNOWN || result == NAME_NO_ADDRESS;
}

#include "common/config/log_words.h"

#include "common/log/log.h"

const struct option_word log_levels[] = {
    {"error", LOG_ERROR, true}, {"warn", LOG_WARN, true}, {"info", LOG_INFO, true},
    {"debug", LOG_DEBUG, true}, {NULL, 0, false},
};

const struct option_word log_formats[] = {
    {"text", LOG_TEXT, true},
    {"json", LOG_JSON, true},
    {NULL, 0, false},
};

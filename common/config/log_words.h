/* The words of log.level and log.format, for the option tables of both programs. */
#ifndef SPINDLE_COMMON_CONFIG_LOG_WORDS_H
#define SPINDLE_COMMON_CONFIG_LOG_WORDS_H

#include "common/config/option_table.h"

extern const struct option_word log_levels[];
extern const struct option_word log_formats[];

#endif

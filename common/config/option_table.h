/* The rows of an option table, as PROGRAM/options.def fills them. The engine is in option.h.
 *
 * A row of options.def:
 *   OPTION("svid.x509_ttl", OPTION_SECONDS, x509_ttl_s, OPTION_DEFAULT("1h"), "2s..90d", RELOAD,
 *          "0.1", "Life of an X.509-SVID.")
 * (key path, type, field of the config struct, default, range, RELOAD or RESTART, since, prose).
 * Types with words or rows of their own: OPTION_ENUM(words), OPTION_LIST(words),
 * OPTION_SECTIONS(table). The field's C type is in option_types.def. */
#ifndef SPINDLE_COMMON_CONFIG_OPTION_TABLE_H
#define SPINDLE_COMMON_CONFIG_OPTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>

enum option_type { /* field type of the config struct */
#define T(name, ctype, title, expected) OPTION_##name,
#include "common/config/option_types.def"
#undef T
};
struct option_word {
    const char *name; /* NULL ends the list */
    int value;
    bool built; /* else refused by name as not built yet */
};
extern const struct option_word log_levels[], log_formats[]; /* for the rows that all tables have */
struct option_need {
    enum { NEED_DEFAULT, NEED_REQUIRED, NEED_OPTIONAL, NEED_WITH_SECTION } kind;
    const char *text; /* of the default */
};
#define OPTION_DEFAULT(text)                                                                       \
    {                                                                                              \
        NEED_DEFAULT, text                                                                         \
    }
#define OPTION_REQUIRED                                                                            \
    {                                                                                              \
        NEED_REQUIRED, NULL                                                                        \
    }
#define OPTION_OPTIONAL                                                                            \
    {                                                                                              \
        NEED_OPTIONAL, NULL                                                                        \
    }
#define OPTION_WITH_SECTION                                                                        \
    {                                                                                              \
        NEED_WITH_SECTION, NULL                                                                    \
    } /* required when its section is written */
#define OPTION_ENUM(words_) OPTION_WORD, .words = (words_)
#define OPTION_LIST(words_) OPTION_STRINGS, .words = (words_)
#define OPTION_SECTIONS(table_) OPTION_ITEMS, .items = &(table_)

struct option {
    const char *key;
    enum option_type type;
    const struct option_word *words;  /* allowed words; NULL: any */
    const struct option_table *items; /* OPTION_ITEMS: the rows of one item */
    size_t offset, size;              /* of the field */
    struct option_need need;
    const char *range; /* "min..max", each as a user writes it or left out; NULL: none */
    bool reload;       /* may change while the program runs */
    const char *since, *help;
};
struct option_table {
    const struct option *rows;
    size_t count;
    size_t size; /* of the config struct, or of one item */
};
struct option_items { /* the field of OPTION_ITEMS */
    void *items;      /* owned array */
    size_t count;
};

/* Rows: #define OPTION_STRUCT struct agent_config, then include options.def in an initializer. */
#define OPTION(key_, type_, field_, need_, range_, reload_, since_, help_)                         \
    {.key = (key_),                                                                                \
     .type = type_,                                                                                \
     .offset = offsetof(OPTION_STRUCT, field_),                                                    \
     .size = sizeof(((OPTION_STRUCT *)0)->field_),                                                 \
     .need = need_,                                                                                \
     .range = (range_),                                                                            \
     .reload = OPTION_##reload_,                                                                   \
     .since = (since_),                                                                            \
     .help = (help_)},
enum { OPTION_RESTART = 0, OPTION_RELOAD = 1 };

#endif

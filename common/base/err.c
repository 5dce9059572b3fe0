#include "common/base/err.h"

struct err_row {
    err_t err;
    bool transient;
    const char *name; /* upper case, from the table */
    const char *text;
};

enum retry { PERMANENT, TRANSIENT };

static const struct err_row rows[] = {
#define X(name, code, retry, text) {ERR_##name, (retry) == TRANSIENT, #name, text},
#include "common/base/errors.def"
#undef X
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

/* The same names in lower case, made by the preprocessor's hand: filled from the table once. */
static char names[ROW_COUNT][32];

__attribute__((constructor)) static void names_fill(void)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        for (size_t j = 0; rows[i].name[j] != '\0' && j + 1 < sizeof names[i]; j++) {
            char c = rows[i].name[j];
            names[i][j] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        }
    }
}

static const struct err_row *row_of(err_t err, size_t *index)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (rows[i].err == err) {
            *index = i;
            return &rows[i];
        }
    }
    return NULL;
}

const char *err_name(err_t err)
{
    size_t i = 0;
    if (err == ERR_OK)
        return "ok";
    return row_of(err, &i) != NULL ? names[i] : "unknown";
}

const char *err_text(err_t err)
{
    size_t i = 0;
    const struct err_row *row = row_of(err, &i);
    if (err == ERR_OK)
        return "no error";
    return row != NULL ? row->text : "an error outside the table";
}

bool err_is_transient(err_t err)
{
    size_t i = 0;
    const struct err_row *row = row_of(err, &i);
    return row != NULL && row->transient;
}

size_t err_count(void)
{
    return ROW_COUNT;
}

err_t err_at(size_t index)
{
    return index < ROW_COUNT ? rows[index].err : ERR_INTERNAL;
}

size_t err_index(err_t err)
{
    size_t i = 0;
    return row_of(err, &i) != NULL ? i : 0;
}

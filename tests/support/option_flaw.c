#include "tests/support/option_flaw.h"

#include "common/config/option_type.h"

static const char *row_flaw(const struct option *o)
{
    size_t len = strlen(o->help);
    uint64_t field[64] = {0};
    if (o->size != option_field_size(o->type))
        return "the field has another size than the type";
    if (o->since[0] == '\0' || len < 10 || o->help[len - 1] != '.' || strchr(o->help, '|') != NULL)
        return "since or help is missing, or help is no sentence";
    if ((o->type == OPTION_WORD) && o->words == NULL)
        return "a word without words";
    if ((o->type == OPTION_ITEMS) != (o->items != NULL))
        return "items without a table, or a table without items";
    if (!option_range_sound(o))
        return "a range that is not MIN..MAX of a number";
    if (o->need.kind == NEED_DEFAULT && option_is_scalar(o)) {
        struct yaml_node node = {
            .kind = YAML_SCALAR, .quoted = true, .text = slice_str(o->need.text)};
        if (option_value_read(o, &node, field, NULL) != ERR_OK)
            return "the default is not a value of it";
        option_value_free(o, field);
    }
    return NULL;
}

const char *option_flaw(const struct option_table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        const char *flaw = row_flaw(&t->rows[i]);
        if (flaw == NULL && t->rows[i].items != NULL)
            flaw = option_flaw(t->rows[i].items);
        if (flaw != NULL)
            return flaw;
    }
    return NULL;
}

/* What a reload would change that only a restart can. */
#include "common/config/option.h"
#include "common/config/option_type.h"

struct comparison {
    const struct option_origins *origins; /* of the later configuration */
    struct buf *report;
    err_t err;
};

static void check(struct comparison *c, const char *prefix, const struct option *o)
{
    char key[256];
    snprintf(key, sizeof key, "%s%s", prefix, o->key);
    if (!o->reload)
        option_problem(c->origins, c->report, &c->err, key, "has changed, which needs a restart");
}

static void compare(struct comparison *c, const struct option_table *t, const char *prefix,
                    const char *from, const char *to)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct option *o = &t->rows[i];
        const void *a = from + o->offset, *b = to + o->offset;
        if (o->type != OPTION_ITEMS) {
            if (!option_value_eq(o, a, b))
                check(c, prefix, o);
            continue;
        }
        const struct option_items *x = a, *y = b;
        if (x->count != y->count)
            check(c, prefix, o);
        for (size_t j = 0; j < x->count && j < y->count; j++) {
            char item[256];
            snprintf(item, sizeof item, "%s%s[%zu].", prefix, o->key, j);
            compare(c, o->items, item, (const char *)x->items + j * o->items->size,
                    (const char *)y->items + j * o->items->size);
        }
    }
}

err_t option_check_reload(const struct option_table *t, const void *from, const void *to,
                          const struct option_origins *to_origins, struct buf *report)
{
    struct comparison c = {.origins = to_origins, .report = report};
    compare(&c, t, "", from, to);
    return c.err;
}

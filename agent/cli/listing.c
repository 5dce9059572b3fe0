#include "agent/cli/listing.h"

#include "common/cli/cli_common.h"

enum { PAGE_MAX = 1000000, NUMBER_LEN = 24 };

err_t listing_begin(struct listing *l, struct why *why)
{
    err_t err = command_output_json(l->line, &l->as_json, why);
    return err == ERR_OK ? cli_admin_socket(l->line, &l->socket, why) : err;
}

static err_t fetch_page(const struct listing *l, const struct admin_question *q, const char *place,
                        const char *next, json_t **ret, struct why *why)
{
    struct admin_question page = *q;
    struct admin_param *p = page.params;
    char number[NUMBER_LEN];
    size_t left = l->limit - json_array_size(l->rows);
    snprintf(number, sizeof number, "%zu", left < PAGE_MAX ? left : PAGE_MAX);
    while (p->name != NULL)
        p++;
    p[0] = (struct admin_param){"limit", number};
    p[1] = (struct admin_param){place, next};
    return admin_client_ask(l->line, &l->socket, &page, ret, why);
}

/* What the server said comes next, as text; NULL: nothing. */
static const char *next_of(const json_t *page, char number[static NUMBER_LEN])
{
    const json_t *next = json_object_get(page, "next");
    if (!json_is_integer(next))
        return json_string_value(next);
    snprintf(number, NUMBER_LEN, "%lld", (long long)json_integer_value(next));
    return number;
}

err_t listing_fetch(struct listing *l, const struct admin_question *q, const char *place,
                    struct why *why)
{
    json_t *page = NULL;
    char number[NUMBER_LEN];
    const char *next = NULL;
    err_t err = ERR_OK;
    l->rows = json_array();
    do {
        json_t *fresh = NULL;
        err = fetch_page(l, q, place, next, &fresh, why);
        json_decref(page);
        page = fresh;
        if (err != ERR_OK)
            break;
        json_array_extend(l->rows, json_object_get(page, l->name));
        next = next_of(page, number);
    } while (next != NULL && json_array_size(l->rows) < l->limit);
    l->has_more = err == ERR_OK && next != NULL;
    json_decref(page);
    return err;
}

void listing_print(const struct listing *l, void (*print)(FILE *out, const json_t *row))
{
    FILE *out = l->line->out;
    size_t i = 0;
    const json_t *row = NULL;
    if (l->as_json) {
        json_t *all = json_pack("{s:O, s:b}", l->name, l->rows, "more", l->has_more);
        admin_client_json(out, all);
        json_decref(all);
        return;
    }
    json_array_foreach(l->rows, i, row)
    {
        if (l->whole && i > 0)
            fputc('\n', out);
        print(out, row);
    }
    if (!l->whole)
        fprintf(out, "%s: %zu%s\n", l->name, i, l->has_more ? l->more : "");
}

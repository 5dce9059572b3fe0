#include "common/encode/query.h"

#include <string.h>

static bool is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr("-._~", c) != NULL; /* never NUL: texts end there */
}

err_t query_add(struct buf *path, const char *name, const char *value)
{
    bool is_first = path->len == 0 || memchr(path->data, '?', path->len) == NULL;
    err_t err = buf_printf(path, "%s%s=", is_first ? "?" : "&", name);
    for (const char *c = value; err == ERR_OK && *c != '\0'; c++)
        err = is_plain((uint8_t)*c) ? buf_append(path, c, 1)
                                    : buf_printf(path, "%%%02X", (unsigned)(uint8_t)*c);
    return err;
}

static err_t decode(struct slice value, struct buf *out)
{
    size_t before = out->len;
    err_t err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < value.len; i++) {
        uint8_t c = value.data[i];
        if (c == '%') {
            int high = i + 3 <= value.len ? slice_hex_digit((char)value.data[i + 1]) : -1;
            int low = i + 3 <= value.len ? slice_hex_digit((char)value.data[i + 2]) : -1;
            c = high >= 0 && low >= 0 ? (uint8_t)(16 * high + low) : 0;
            i += 2;
        }
        err = c != 0 ? buf_append(out, &c, 1) : ERR_PARSE;
    }
    if (err == ERR_OK)
        err = buf_append(out, "", 1);
    if (err != ERR_OK)
        out->len = before;
    return err;
}

err_t query_find(struct slice query, const char *name, struct buf *out)
{
    size_t len = strlen(name);
    while (query.len > 0) {
        const uint8_t *end = memchr(query.data, '&', query.len);
        struct slice pair =
            slice_of(query.data, end != NULL ? (size_t)(end - query.data) : query.len);
        if (pair.len > len && memcmp(pair.data, name, len) == 0 && pair.data[len] == '=')
            return decode(slice_of(pair.data + len + 1, pair.len - len - 1), out);
        size_t taken = pair.len + (end != NULL ? 1 : 0);
        query = slice_of(query.data + taken, query.len - taken);
    }
    return ERR_NOT_FOUND;
}

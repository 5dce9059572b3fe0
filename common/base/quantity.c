#include "common/base/quantity.h"

/* So many digits of the largest unit stay far inside 64 bits. */
#define DIGITS_MAX 9

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit durations[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
};
static const struct unit sizes[] = {
    {"B", 1},
    {"KiB", 1024},
    {"MiB", 1024 * 1024},
    {"GiB", 1024 * 1024 * 1024},
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool parse(struct slice text, const struct unit *units, size_t count, int64_t *ret)
{
    int64_t number = 0;
    size_t digits = 0;
    while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9') {
        if (digits == DIGITS_MAX)
            return false;
        number = number * 10 + (text.data[digits++] - '0');
    }
    if (digits == 0)
        return false;
    struct slice name = slice_of(text.data + digits, text.len - digits);
    for (size_t i = 0; i < count; i++) {
        if (slice_eq_str(name, units[i].name)) {
            *ret = number * units[i].factor;
            return true;
        }
    }
    return false;
}

err_t quantity_parse_number(const char *text, uint64_t max, uint64_t *ret)
{
    uint64_t number = 0;
    if (*text == '\0')
        return ERR_PARSE;
    for (; *text != '\0'; text++) {
        unsigned digit = (unsigned)(unsigned char)*text - '0';
        if (digit > 9 || number > (max - digit) / 10)
            return ERR_PARSE;
        number = number * 10 + digit;
    }
    *ret = number;
    return ERR_OK;
}

err_t quantity_parse_duration(struct slice text, int64_t *ret_ms, struct why *why)
{
    if (parse(text, durations, COUNT(durations), ret_ms))
        return ERR_OK;
    return why_set(why, ERR_PARSE, "expected a duration such as 90s, 10m or 1h");
}

err_t quantity_parse_size(struct slice text, int64_t *ret_bytes, struct why *why)
{
    if (parse(text, sizes, COUNT(sizes), ret_bytes))
        return ERR_OK;
    return why_set(why, ERR_PARSE, "expected a size such as 512B, 64KiB or 1MiB");
}

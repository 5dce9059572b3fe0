#include "common/config/option_type.h"

#include "common/base/mem.h"
#include "common/base/quantity.h"
#include "common/log/log.h"
#include "common/loop/address.h"
#include "common/spiffe/spiffeid.h"

#include <stdio.h>

#define TEXT_MAX 4096

const struct option_word log_levels[] = {
    {"error", LOG_ERROR, true}, {"warn", LOG_WARN, true}, {"info", LOG_INFO, true},
    {"debug", LOG_DEBUG, true}, {NULL, 0, false},
};

const struct option_word log_formats[] = {
    {"text", LOG_TEXT, true},
    {"json", LOG_JSON, true},
    {NULL, 0, false},
};

struct type_row {
    size_t size;
    const char *title, *expected;
};

static const struct type_row types[] = {
#define T(name, ctype, title, expected) [OPTION_##name] = {sizeof(ctype), title, expected},
#include "common/config/option_types.def"
#undef T
};

/* What a scalar reader fills: the field is written only when all of it went well. */
struct value {
    char *text; /* owned until stored */
    int64_t number;
    int word;
    struct address address;
};

bool option_is_scalar(const struct option *o)
{
    return o->type != OPTION_STRINGS && o->type != OPTION_RULES && o->type != OPTION_ITEMS;
}

size_t option_field_size(enum option_type type)
{
    return types[type].size;
}

const char *option_title(const struct option *o)
{
    return types[o->type].title;
}

/* "a, b or c" of the words that are built. */
static void list_words(const struct option_word *words, char *out, size_t size)
{
    size_t built = 0, seen = 0, len = 0;
    out[0] = '\0';
    for (const struct option_word *w = words; w->name != NULL; w++)
        built += w->built ? 1 : 0;
    for (const struct option_word *w = words; w->name != NULL && len < size; w++) {
        if (!w->built)
            continue;
        const char *joint = seen == 0 ? "" : seen + 1 == built ? " or " : ", ";
        len += (size_t)snprintf(out + len, size - len, "%s%s", joint, w->name);
        seen++;
    }
}

const char *option_expected(const struct option *o, char out[static OPTION_EXPECTED_LEN])
{
    if (o->type == OPTION_WORD)
        list_words(o->words, out, OPTION_EXPECTED_LEN);
    else
        snprintf(out, OPTION_EXPECTED_LEN, "%s", types[o->type].expected);
    return out;
}

/* `because` may be NULL. */
static err_t unexpected(const struct option *o, const struct yaml_node *node, const char *because,
                        struct why *why)
{
    char expected[OPTION_EXPECTED_LEN], shown[YAML_SHOW_LEN], reason[sizeof why->text] = "";
    if (because != NULL && strncmp(because, "expected ", 9) != 0) /* else said already */
        snprintf(reason, sizeof reason, ": %s", because);
    return why_set(why, ERR_CONFIG, "expected %s, found %s%s", option_expected(o, expected),
                   yaml_show(node, shown), reason);
}

static err_t read_int(struct slice text, int64_t *ret)
{
    int64_t n = 0;
    size_t i = text.len > 0 && text.data[0] == '-' ? 1 : 0;
    if (i == text.len || text.len > 16)
        return ERR_PARSE;
    for (; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return ERR_PARSE;
        n = n * 10 + (text.data[i] - '0');
    }
    *ret = text.data[0] == '-' ? -n : n;
    return ERR_OK;
}

/* A number as the type writes it, in the unit of the field. */
static err_t read_number(enum option_type type, struct slice text, int64_t *ret)
{
    err_t err;
    switch (type) {
    case OPTION_INT:
        return read_int(text, ret);
    case OPTION_SIZE:
        return quantity_parse_size(text, ret, NULL);
    default:
        err = quantity_parse_duration(text, ret, NULL);
        if (err == ERR_OK && type == OPTION_SECONDS) {
            if (*ret % 1000 != 0)
                return ERR_UNSUPPORTED;
            *ret /= 1000;
        }
        return err;
    }
}

static err_t check_range(const struct option *o, const struct yaml_node *node, int64_t number,
                         struct why *why)
{
    char shown[YAML_SHOW_LEN];
    const char *dots = o->range != NULL ? strstr(o->range, "..") : NULL;
    int64_t bound = 0;
    if (dots == NULL)
        return ERR_OK;
    struct slice min = slice_of(o->range, (size_t)(dots - o->range)), max = slice_str(dots + 2);
    if (min.len > 0 && read_number(o->type, min, &bound) == ERR_OK && number < bound)
        return why_set(why, ERR_CONFIG, "expected at least %.*s, found %s", SLICE_ARG(min),
                       yaml_show(node, shown));
    if (max.len > 0 && read_number(o->type, max, &bound) == ERR_OK && number > bound)
        return why_set(why, ERR_CONFIG, "expected at most %.*s, found %s", SLICE_ARG(max),
                       yaml_show(node, shown));
    return ERR_OK;
}

static bool is_number(const struct option *o)
{
    return o->type == OPTION_INT || o->type == OPTION_SIZE || o->type == OPTION_DURATION ||
           o->type == OPTION_SECONDS;
}

bool option_range_sound(const struct option *o)
{
    int64_t bound;
    if (o->range == NULL)
        return true;
    const char *dots = strstr(o->range, "..");
    if (dots == NULL || !is_number(o))
        return false;
    struct slice min = slice_of(o->range, (size_t)(dots - o->range)), max = slice_str(dots + 2);
    return (min.len == 0 || read_number(o->type, min, &bound) == ERR_OK) &&
           (max.len == 0 || read_number(o->type, max, &bound) == ERR_OK);
}

static err_t take_number(const struct option *o, const struct yaml_node *node, struct value *v,
                         struct why *why)
{
    err_t err = read_number(o->type, node->text, &v->number);
    if (err == ERR_UNSUPPORTED)
        return unexpected(o, node, "whole seconds are needed", why);
    if (err != ERR_OK)
        return unexpected(o, node, NULL, why);
    return check_range(o, node, v->number, why);
}

static err_t find_word(const struct option *o, const struct yaml_node *node, int *ret,
                       struct why *why)
{
    char words[OPTION_EXPECTED_LEN], shown[YAML_SHOW_LEN];
    list_words(o->words, words, sizeof words);
    for (const struct option_word *w = o->words; w->name != NULL; w++) {
        if (!slice_eq_str(node->text, w->name))
            continue;
        if (!w->built)
            return why_set(why, ERR_UNSUPPORTED, "%s is not built yet in this version; use %s",
                           w->name, words);
        *ret = w->value;
        return ERR_OK;
    }
    return why_set(why, ERR_CONFIG, "expected %s, found %s", words, yaml_show(node, shown));
}

static err_t take_bool(const struct option *o, const struct yaml_node *node, struct value *v,
                       struct why *why)
{
    v->number = slice_eq_str(node->text, "true") ? 1 : 0;
    if (v->number == 0 && !slice_eq_str(node->text, "false"))
        return unexpected(o, node, NULL, why);
    return ERR_OK;
}

static err_t take_address(const struct option *o, const struct yaml_node *node, struct value *v,
                          struct why *why)
{
    struct why inner = {0};
    if (o->type == OPTION_LISTEN_OR_OFF && slice_eq_str(node->text, "off"))
        return ERR_OK;
    if (address_parse(node->text, &v->address, &inner) != ERR_OK)
        return unexpected(o, node, why_text(&inner), why);
    if (o->type != OPTION_ADDRESS && v->address.kind == ADDRESS_NAME)
        return unexpected(o, node, "a name cannot be listened on, its IP address can", why);
    if (o->type == OPTION_ADDRESS && v->address.kind != ADDRESS_UNIX && v->address.port == 0)
        return unexpected(o, node, "port 0 cannot be dialled", why);
    return ERR_OK;
}

static bool is_prefix(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return text.len <= 64;
}

/* What a text must be, by type; *ret_text is the part of it that is kept. */
static err_t check_text(const struct option *o, const struct yaml_node *node,
                        struct slice *ret_text, struct why *why)
{
    struct why inner = {0};
    struct address address;
    struct spiffeid id;
    err_t err = ERR_OK;
    for (size_t i = 0; i < node->text.len; i++) {
        if (node->text.data[i] < ' ' || node->text.data[i] == 0x7f)
            return unexpected(o, node, "it holds a control character", why);
    }
    if (node->text.len > TEXT_MAX)
        return unexpected(o, node, "it is too long", why);
    switch (o->type) {
    case OPTION_PATH:
        return node->text.len > 0 ? ERR_OK : unexpected(o, node, NULL, why);
    case OPTION_SOCKET:
        if (node->text.len == 0 || (node->text.data[0] != '/' && node->text.data[0] != 'u'))
            return unexpected(o, node, NULL, why);
        err = address_parse(node->text, &address, &inner);
        if (err == ERR_OK && address.kind == ADDRESS_UNIX && node->text.data[0] == 'u')
            *ret_text = slice_of(node->text.data + 7, node->text.len - 7);
        else if (err == ERR_OK && address.kind != ADDRESS_UNIX)
            return unexpected(o, node, NULL, why);
        break;
    case OPTION_ENDPOINT:
        err = address_parse_endpoint(node->text, &address, &inner);
        break;
    case OPTION_PREFIX:
        return is_prefix(node->text) ? ERR_OK : unexpected(o, node, NULL, why);
    case OPTION_SPIFFE_ID:
        err = spiffeid_parse(node->text, &id, &inner);
        break;
    case OPTION_TRUST_DOMAIN:
        err = trust_domain_check(node->text, &inner);
        break;
    default:
        break;
    }
    return err == ERR_OK ? ERR_OK : unexpected(o, node, why_text(&inner), why);
}

static err_t take_text(const struct option *o, const struct yaml_node *node, struct value *v,
                       struct why *why)
{
    struct slice text = node->text;
    err_t err = check_text(o, node, &text, why);
    if (err != ERR_OK)
        return err;
    /* The text of a node ends in NUL, and so does any tail of it. */
    v->text = mem_strdup((const char *)text.data);
    return v->text != NULL ? ERR_OK : why_set(why, ERR_NO_MEMORY, "reading the configuration");
}

static void store(const struct option *o, const struct value *v, void *field)
{
    switch (o->type) {
    case OPTION_BOOL:
        *(bool *)field = v->number != 0;
        break;
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_SECONDS:
    case OPTION_SIZE:
        *(int64_t *)field = v->number;
        break;
    case OPTION_WORD:
        memcpy(field, &v->word, sizeof v->word);
        break;
    case OPTION_ADDRESS:
    case OPTION_LISTEN:
    case OPTION_LISTEN_OR_OFF:
        *(struct address *)field = v->address;
        break;
    default:
        *(char **)field = v->text;
        break;
    }
}

err_t option_value_read(const struct option *o, const struct yaml_node *node, void *field,
                        struct why *why)
{
    struct value v = {0};
    err_t err;
    if (node->kind != YAML_SCALAR || yaml_is_null(node))
        return unexpected(o, node, NULL, why);
    switch (o->type) {
    case OPTION_BOOL:
        err = take_bool(o, node, &v, why);
        break;
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_SECONDS:
    case OPTION_SIZE:
        err = take_number(o, node, &v, why);
        break;
    case OPTION_WORD:
        err = find_word(o, node, &v.word, why);
        break;
    case OPTION_ADDRESS:
    case OPTION_LISTEN:
    case OPTION_LISTEN_OR_OFF:
        err = take_address(o, node, &v, why);
        break;
    default:
        err = take_text(o, node, &v, why);
        break;
    }
    if (err == ERR_OK)
        store(o, &v, field);
    return err;
}

err_t option_element_check(const struct option *o, const struct yaml_node *node, struct why *why)
{
    static const char *const expected[] = {
        "text", "a SPIFFE ID such as spiffe://example.org/web or spiffe://example.org/*"};
    const char *want = expected[o->type == OPTION_RULES ? 1 : 0];
    char shown[YAML_SHOW_LEN];
    struct spiffeid_rule rule;
    struct why inner = {0};
    int word = 0;
    if (node->kind != YAML_SCALAR || yaml_is_null(node) || node->text.len == 0)
        return why_set(why, ERR_CONFIG, "expected %s, found %s", want, yaml_show(node, shown));
    if (o->type == OPTION_RULES && spiffeid_rule_parse(node->text, &rule, &inner) != ERR_OK)
        return why_set(why, ERR_CONFIG, "expected %s, found %s: %s", want, yaml_show(node, shown),
                       why_text(&inner));
    return o->words != NULL ? find_word(o, node, &word, why) : ERR_OK;
}

static bool text_eq(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool strings_eq(char *const *a, char *const *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    for (; *a != NULL && *b != NULL; a++, b++) {
        if (strcmp(*a, *b) != 0)
            return false;
    }
    return *a == *b;
}

bool option_value_eq(const struct option *o, const void *a, const void *b)
{
    const struct address *x = a, *y = b;
    switch (o->type) {
    case OPTION_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_SECONDS:
    case OPTION_SIZE:
        return *(const int64_t *)a == *(const int64_t *)b;
    case OPTION_WORD:
        return memcmp(a, b, sizeof(int)) == 0;
    case OPTION_ADDRESS:
    case OPTION_LISTEN:
    case OPTION_LISTEN_OR_OFF:
        return x->kind == y->kind && x->port == y->port && strcmp(x->host, y->host) == 0;
    case OPTION_STRINGS:
    case OPTION_RULES:
        return strings_eq(*(char *const *const *)a, *(char *const *const *)b);
    default:
        return text_eq(*(const char *const *)a, *(const char *const *)b);
    }
}

static void strings_free(char **list)
{
    for (char **at = list; at != NULL && *at != NULL; at++)
        mem_free(*at);
    mem_free(list);
}

void option_value_free(const struct option *o, void *field)
{
    switch (o->type) {
    case OPTION_STRINGS:
    case OPTION_RULES:
        strings_free(*(char ***)field);
        *(char ***)field = NULL;
        break;
    case OPTION_STRING:
    case OPTION_PATH:
    case OPTION_SOCKET:
    case OPTION_ENDPOINT:
    case OPTION_PREFIX:
    case OPTION_SPIFFE_ID:
    case OPTION_TRUST_DOMAIN:
        mem_free(*(char **)field);
        *(char **)field = NULL;
        break;
    default:
        break;
    }
}

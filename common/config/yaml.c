#include "common/config/yaml.h"

#include "common/base/file.h"
#include "common/base/mem.h"

#include <stdio.h>
#include <yaml.h>

/* A node with its key and text behind it in one allocation; all of a document hang in one list. */
struct owned_node {
    struct yaml_node node;
    struct owned_node *older;
    char bytes[];
};

struct yaml {
    struct owned_node *newest;
    const struct yaml_node *root;
};

/* An open list or mapping while its children come in. */
struct level {
    struct yaml_node *node;
    struct yaml_node *last; /* the child added last */
    char *key;              /* owned: a mapping's key that waits for its value */
    unsigned key_line;
    size_t count;
};

struct reader {
    const char *name;
    struct yaml_options opt;
    struct yaml *doc;
    struct level levels[YAML_DEPTH_MAX];
    size_t depth;
    size_t nodes;
    unsigned documents;
    struct why *why;
};

static err_t fail(struct reader *r, unsigned line, const char *text)
{
    return why_set(r->why, ERR_CONFIG, "%s:%u: %s", r->name, line, text);
}

static unsigned line_of(const yaml_event_t *event)
{
    return (unsigned)event->start_mark.line + 1;
}

static bool is_scalar(const yaml_event_t *event)
{
    return event->type == YAML_SCALAR_EVENT;
}

static struct slice event_text(const yaml_event_t *event)
{
    if (!is_scalar(event))
        return slice_of("", 0);
    return slice_of(event->data.scalar.value, event->data.scalar.length);
}

/* What strictness refuses in any event. */
static err_t check_event(struct reader *r, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return fail(r, line_of(event), "aliases (*name) are not supported: write the value out");
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor != NULL)
        return fail(r, line_of(event), "anchors (&name) are not supported: write the value out");
    if (tag != NULL)
        return fail(r, line_of(event), "tags (!name) are not supported");
    if (is_scalar(event) && memchr(event->data.scalar.value, 0, event->data.scalar.length) != NULL)
        return fail(r, line_of(event), "a value holds a NUL character");
    return ERR_OK;
}

static err_t set_key(struct reader *r, struct level *level, const yaml_event_t *event)
{
    struct slice text = event_text(event);
    if (!is_scalar(event))
        return fail(r, line_of(event), "a key must be plain text");
    if (text.len == 0)
        return fail(r, line_of(event), "a key is empty");
    if (++level->count > YAML_KEYS_MAX)
        return fail(r, line_of(event), "a mapping has more than 1024 keys");
    const struct yaml_node *same = yaml_get(level->node, (const char *)text.data);
    if (same != NULL) {
        char shown[YAML_SHOW_LEN];
        return why_set(r->why, ERR_CONFIG, "%s:%u: the key %s is there twice, first in line %u",
                       r->name, line_of(event), yaml_show(&(struct yaml_node){.text = text}, shown),
                       same->line);
    }
    level->key = mem_strdup((const char *)text.data);
    level->key_line = line_of(event);
    return level->key != NULL ? ERR_OK : why_set(r->why, ERR_NO_MEMORY, "reading %s", r->name);
}

/* A new node with its key; linked to its parent at once. */
static err_t add_node(struct reader *r, struct level *parent, enum yaml_kind kind,
                      const yaml_event_t *event, struct yaml_node **ret_node)
{
    struct slice text = event_text(event);
    const char *key = parent != NULL ? parent->key : NULL;
    size_t key_len = key != NULL ? strlen(key) + 1 : 0;
    if (++r->nodes > r->opt.max_nodes)
        return why_set(r->why, ERR_TOO_LARGE, "%s:%u: more than %zu values", r->name,
                       line_of(event), r->opt.max_nodes);
    struct owned_node *o = mem_alloc(sizeof *o + key_len + text.len + 1);
    if (o == NULL)
        return why_set(r->why, ERR_NO_MEMORY, "reading %s", r->name);
    if (key_len > 0)
        memcpy(o->bytes, key, key_len);
    memcpy(o->bytes + key_len, text.data, text.len);
    o->node = (struct yaml_node){
        .kind = kind,
        .line = key != NULL ? parent->key_line : line_of(event),
        .quoted = is_scalar(event) && event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE,
        .text = slice_of(o->bytes + key_len, text.len),
        .key = key != NULL ? o->bytes : NULL,
    };
    o->older = r->doc->newest;
    r->doc->newest = o;
    if (parent == NULL) {
        r->doc->root = &o->node;
    } else {
        if (parent->last != NULL)
            parent->last->next = &o->node;
        else
            parent->node->child = &o->node;
        parent->last = &o->node;
        mem_free(parent->key);
        parent->key = NULL;
    }
    *ret_node = &o->node;
    return ERR_OK;
}

static err_t on_value(struct reader *r, enum yaml_kind kind, const yaml_event_t *event)
{
    struct level *parent = r->depth > 0 ? &r->levels[r->depth - 1] : NULL;
    struct yaml_node *node = NULL;
    if (parent != NULL && parent->node->kind == YAML_MAPPING && parent->key == NULL)
        return set_key(r, parent, event);
    if (kind != YAML_SCALAR && r->depth == YAML_DEPTH_MAX)
        return fail(r, line_of(event), "nested deeper than 16 levels");
    err_t err = add_node(r, parent, kind, event, &node);
    if (err == ERR_OK && kind != YAML_SCALAR)
        r->levels[r->depth++] = (struct level){.node = node};
    return err;
}

static err_t on_event(struct reader *r, const yaml_event_t *event)
{
    err_t err = check_event(r, event);
    if (err != ERR_OK)
        return err;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (r->documents++ > 0)
            return fail(r, line_of(event), "a second document (---): only one is allowed");
        return ERR_OK;
    case YAML_SCALAR_EVENT:
        return on_value(r, YAML_SCALAR, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_value(r, YAML_LIST, event);
    case YAML_MAPPING_START_EVENT:
        return on_value(r, YAML_MAPPING, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        r->depth--;
        return ERR_OK;
    default:
        return ERR_OK;
    }
}

static err_t syntax_error(struct reader *r, const yaml_parser_t *parser, size_t offset)
{
    const char *problem = parser->problem != NULL ? parser->problem : "it cannot be read";
    if (parser->error == YAML_MEMORY_ERROR)
        return why_set(r->why, ERR_NO_MEMORY, "reading %s", r->name);
    if (parser->error == YAML_READER_ERROR)
        return why_set(r->why, ERR_CONFIG, "%s: not UTF-8 text at byte %zu: %s", r->name,
                       offset + parser->problem_offset + 1, problem);
    return why_set(r->why, ERR_CONFIG, "%s:%zu: not valid YAML: %s%s%s", r->name,
                   parser->problem_mark.line + 1, problem, parser->context != NULL ? " " : "",
                   parser->context != NULL ? parser->context : "");
}

static bool starts_with(struct slice text, size_t at, const char *mark)
{
    size_t len = strlen(mark);
    return text.len >= at + len && memcmp(text.data + at, mark, len) == 0;
}

/* Editors write a byte order mark in front of UTF-8 text; it says nothing and is passed over. Of
 * files written one behind the other it stands at the start of a line and would be part of the key.
 * The marks of other encodings are told apart from mere rubbish. Returns the length of the mark. */
static err_t skip_mark(struct reader *r, struct slice text, size_t *ret_len)
{
    static const char mark[] = "\xef\xbb\xbf";
    unsigned line = 1;
    if (starts_with(text, 0, "\xff\xfe") || starts_with(text, 0, "\xfe\xff"))
        return why_set(r->why, ERR_CONFIG, "%s: is UTF-16 text: save it as UTF-8", r->name);
    size_t len = starts_with(text, 0, mark) ? strlen(mark) : 0;
    for (size_t i = len; i < text.len; i++) {
        bool first = i == len || text.data[i - 1] == '\n';
        line += i > len && first ? 1 : 0;
        if (first && starts_with(text, i, mark))
            return fail(r, line, "a byte order mark (U+FEFF) in front of the line: remove it");
    }
    *ret_len = len;
    return ERR_OK;
}

static err_t read_events(struct reader *r, struct slice text)
{
    size_t mark = 0;
    err_t err = skip_mark(r, text, &mark);
    if (err != ERR_OK)
        return err;
    yaml_parser_t parser;
    bool more = true;
    if (yaml_parser_initialize(&parser) == 0)
        return why_set(r->why, ERR_NO_MEMORY, "reading %s", r->name);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, text.data + mark, text.len - mark);
    while (err == ERR_OK && more) {
        yaml_event_t event;
        if (yaml_parser_parse(&parser, &event) == 0) {
            err = syntax_error(r, &parser, mark);
            break;
        }
        more = event.type != YAML_STREAM_END_EVENT;
        err = on_event(r, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    for (size_t i = 0; i < YAML_DEPTH_MAX; i++)
        mem_free(r->levels[i].key);
    return err;
}

/* A file that holds something is a mapping; a bare value may be anything, nothing too. */
static err_t check_root(struct reader *r)
{
    const struct yaml_node *root = r->doc->root;
    char shown[YAML_SHOW_LEN];
    if (r->opt.expected == NULL && root == NULL) {
        struct yaml_node *node;
        yaml_event_t nothing = {.type = YAML_NO_EVENT};
        return add_node(r, NULL, YAML_SCALAR, &nothing, &node);
    }
    if (r->opt.expected == NULL)
        return ERR_OK;
    if (root == NULL || yaml_is_null(root))
        return why_set(r->why, ERR_CONFIG, "%s: is empty: expected %s", r->name, r->opt.expected);
    if (root->kind != YAML_MAPPING)
        return why_set(r->why, ERR_CONFIG, "%s:%u: expected %s, found %s", r->name, root->line,
                       r->opt.expected, yaml_show(root, shown));
    return ERR_OK;
}

err_t yaml_parse(const char *name, struct slice text, const struct yaml_options *opt,
                 struct yaml **ret, struct why *why)
{
    struct reader r = {.name = name, .why = why};
    if (opt != NULL)
        r.opt = *opt;
    if (r.opt.max_bytes == 0)
        r.opt.max_bytes = YAML_BYTES_DEFAULT;
    if (r.opt.max_nodes == 0)
        r.opt.max_nodes = YAML_NODES_DEFAULT;
    if (text.len > r.opt.max_bytes)
        return why_set(why, ERR_TOO_LARGE, "%s: larger than %zu bytes", name, r.opt.max_bytes);
    r.doc = mem_alloc(sizeof *r.doc);
    if (r.doc == NULL)
        return why_set(why, ERR_NO_MEMORY, "reading %s", name);
    err_t err = read_events(&r, text);
    if (err == ERR_OK)
        err = check_root(&r);
    if (err == ERR_OK)
        *ret = r.doc;
    else
        yaml_close(r.doc);
    return err;
}

err_t yaml_of_text(struct slice text, struct yaml **ret)
{
    struct yaml *doc = mem_alloc(sizeof *doc);
    struct owned_node *o = mem_alloc(sizeof *o + text.len + 1);
    if (doc == NULL || o == NULL) {
        mem_free(doc);
        mem_free(o);
        return ERR_NO_MEMORY;
    }
    memcpy(o->bytes, text.data, text.len);
    o->node = (struct yaml_node){
        .kind = YAML_SCALAR, .line = 1, .quoted = true, .text = slice_of(o->bytes, text.len)};
    doc->newest = o;
    doc->root = &o->node;
    *ret = doc;
    return ERR_OK;
}

err_t yaml_read_file(const char *path, const struct yaml_options *opt, struct yaml **ret,
                     struct why *why)
{
    struct buf text;
    size_t max = opt != NULL && opt->max_bytes > 0 ? opt->max_bytes : YAML_BYTES_DEFAULT;
    buf_init(&text, max);
    err_t err = file_read(path, NULL, &text, why);
    if (err != ERR_OK)
        why_add(why, err, err == ERR_TOO_LARGE ? "%s" : "%s: cannot be read", path);
    else
        err = yaml_parse(path, buf_slice(&text), opt, ret, why);
    buf_done(&text);
    return err;
}

void yaml_close(struct yaml *doc)
{
    if (doc == NULL)
        return;
    while (doc->newest != NULL) {
        struct owned_node *older = doc->newest->older;
        mem_free(doc->newest);
        doc->newest = older;
    }
    mem_free(doc);
}

const struct yaml_node *yaml_root(const struct yaml *doc)
{
    return doc->root;
}

const struct yaml_node *yaml_get(const struct yaml_node *node, const char *key)
{
    if (node == NULL || node->kind != YAML_MAPPING)
        return NULL;
    for (const struct yaml_node *n = node->child; n != NULL; n = n->next) {
        if (strcmp(n->key, key) == 0)
            return n;
    }
    return NULL;
}

const struct yaml_node *yaml_first(const struct yaml_node *node)
{
    return node != NULL ? node->child : NULL;
}

size_t yaml_count(const struct yaml_node *node)
{
    size_t count = 0;
    for (const struct yaml_node *n = yaml_first(node); n != NULL; n = n->next)
        count++;
    return count;
}

bool yaml_is_null(const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR && !node->quoted &&
           (node->text.len == 0 || slice_eq_str(node->text, "~") ||
            slice_eq_str(node->text, "null"));
}

/* NULL for a scalar that has a value. */
static const char *kind_text(const struct yaml_node *node)
{
    bool is_empty = yaml_count(node) == 0;
    if (node->kind == YAML_LIST)
        return is_empty ? "an empty list" : "a list";
    if (node->kind == YAML_MAPPING)
        return is_empty ? "an empty mapping" : "a mapping";
    return yaml_is_null(node) ? "nothing" : NULL;
}

const char *yaml_show(const struct yaml_node *node, char out[static YAML_SHOW_LEN])
{
    size_t len = 0;
    const char *kind = kind_text(node);
    if (kind != NULL) {
        snprintf(out, YAML_SHOW_LEN, "%s", kind);
        return out;
    }
    out[len++] = '"';
    for (size_t i = 0; i < node->text.len; i++) {
        uint8_t c = node->text.data[i];
        if (len + 10 > YAML_SHOW_LEN) {
            memcpy(out + len, "...", 3);
            len += 3;
            break;
        }
        if (c < ' ' || c == 0x7f || c == '"' || c == '\\')
            len += (size_t)snprintf(out + len, YAML_SHOW_LEN - len, "\\x%02x", c);
        else
            out[len++] = (char)c;
    }
    out[len++] = '"';
    out[len] = '\0';
    return out;
}

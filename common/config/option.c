#include "common/config/option.h"

#include "common/base/mem.h"
#include "common/base/nearest.h"
#include "common/config/option_type.h"
#include "common/config/yaml.h"

#include <limits.h>
#include <stdarg.h>
#include <unistd.h>

#define KEY_LEN 256
#define SETS_MAX 128
#define LIST_MAX 4096 /* elements of a list, sections of one key */

/* The file, or one --set with the key it sets; later ones win. */
struct source {
    struct yaml *doc; /* owned */
    char at[KEY_LEN]; /* the key of a --set, "" for the file */
};

struct loader {
    struct source sources[SETS_MAX + 1];
    size_t source_count;
    struct option_origins *origins;
    struct buf *report;
    err_t err; /* ERR_CONFIG when there was a problem; anything else ends the work */
};

/* Rows that are read at one place: the root, or one item of a list of sections. */
struct scope {
    const struct option_table *table;
    const char *prefix;           /* "" or "inbound[0]." */
    const struct yaml_node *item; /* the item as one source wrote it; NULL: by --set of its keys */
    size_t source;                /* of the item; newer ones set single keys of it */
};

/* A value and who wrote it. */
struct found {
    const struct yaml_node *node;
    size_t source;
    bool by_set;
};

/* What a --set names: a key of the root's table, or of the item of a list of sections. */
struct target {
    const struct option_table *table;
    char prefix[KEY_LEN]; /* "" or "inbound[0]." */
    const char *key;      /* behind the prefix; "" is the item itself */
};

/* A line about a node: its own line, not that of the key it belongs to. */
__attribute__((format(printf, 5, 6))) static void
problem(struct loader *l, bool by_set, unsigned line, const char *key, const char *fmt, ...)
{
    char text[sizeof((struct why *)0)->text + KEY_LEN], where[OPTION_WHERE_LEN];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (by_set)
        snprintf(where, sizeof where, "--set: %s", key);
    else
        snprintf(where, sizeof where, "%s:%u: %s", option_origins_file(l->origins), line, key);
    option_set_err(&l->err, ERR_CONFIG);
    option_report_line(l->report, &l->err, where, text);
}

static bool stopped(const struct loader *l)
{
    return l->err != ERR_OK && l->err != ERR_CONFIG;
}

static void note_origin(struct loader *l, const char *key, bool by_set, unsigned line)
{
    option_set_err(&l->err, option_note(l->origins, key, by_set, line));
}

static const struct option *find_row(const struct option_table *t, const char *key)
{
    for (size_t i = 0; i < t->count; i++) {
        if (strcmp(t->rows[i].key, key) == 0)
            return &t->rows[i];
    }
    return NULL;
}

static bool is_section(const struct option_table *t, const char *key)
{
    for (size_t i = 0; i < t->count; i++) {
        if (option_below(t->rows[i].key, key, strlen(key)) != NULL)
            return true;
    }
    return false;
}

static size_t depth_of(const char *key)
{
    size_t dots = 0;
    for (; *key != '\0'; key++)
        dots += *key == '.' ? 1 : 0;
    return dots;
}

/* Offers a key, or the section of it that is as deep as the wrong one: "metrics" for "metrcs". */
static void offer_key(struct nearest *near, const char *key, size_t depth)
{
    char part[KEY_LEN];
    size_t n = strcspn(key, ".");
    for (size_t i = 0; i < depth && key[n] != '\0'; i++)
        n += 1 + strcspn(key + n + 1, ".");
    snprintf(part, sizeof part, "%.*s", (int)n, key);
    if (depth_of(part) == depth)
        nearest_offer(near, part);
}

/* Hints at a near key, or at one of the same name in another section. */
static void unknown_key(struct loader *l, const struct scope *s, bool by_set, unsigned line,
                        const char *path)
{
    char key[KEY_LEN * 2];
    struct nearest near = nearest_to(slice_str(path));
    const char *dot = strrchr(path, '.'), *moved = NULL;
    const char *last = dot != NULL ? dot + 1 : path;
    for (size_t i = 0; i < s->table->count; i++) {
        const char *known = s->table->rows[i].key, *tail = strrchr(known, '.');
        offer_key(&near, known, depth_of(path));
        if (moved == NULL && strcmp(tail != NULL ? tail + 1 : known, last) == 0)
            moved = known;
    }
    const char *best = nearest_best(&near) != NULL ? nearest_best(&near) : moved;
    snprintf(key, sizeof key, "%s%s", s->prefix, path);
    if (best != NULL)
        problem(l, by_set, line, key, "unknown key, did you mean %s%s?", s->prefix, best);
    else
        problem(l, by_set, line, key, "unknown key; `config check --help` lists the known ones");
}

/* Is every key below `node` one of the table's? Notes where each was written. */
static void check_keys(struct loader *l, const struct scope *s, const char *base,
                       const struct yaml_node *node, bool by_set)
{
    for (const struct yaml_node *n = yaml_first(node); n != NULL && !stopped(l); n = n->next) {
        char path[KEY_LEN], full[KEY_LEN];
        snprintf(path, sizeof path, "%s%s%.100s", base, base[0] != '\0' ? "." : "", n->key);
        snprintf(full, sizeof full, "%s%s", s->prefix, path);
        bool known = find_row(s->table, path) != NULL, section = is_section(s->table, path);
        if (known || (section && n->kind == YAML_MAPPING))
            note_origin(l, full, by_set, n->line);
        if (!known && section && n->kind == YAML_MAPPING) {
            check_keys(l, s, path, n, by_set);
        } else if (!known && section) {
            char shown[YAML_SHOW_LEN];
            problem(l, by_set, n->line, full, "expected a mapping of keys, found %s",
                    yaml_show(n, shown));
        } else if (!known) {
            unknown_key(l, s, by_set, n->line, path);
        }
    }
}

/* "a.b" below a node; "" is the node itself. */
static const struct yaml_node *walk(const struct yaml_node *node, const char *path)
{
    while (node != NULL && *path != '\0') {
        char key[KEY_LEN];
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        node = yaml_get(node, key);
        path += n + (path[n] == '.' ? 1 : 0);
    }
    return node;
}

static struct found found_in(const struct loader *l, size_t source, const struct yaml_node *node)
{
    return (struct found){
        .node = node, .source = source, .by_set = l->sources[source].at[0] != '\0'};
}

/* What one source says of a full key, NULL: nothing. */
static const struct yaml_node *value_in(const struct source *source, const char *full)
{
    size_t len = strlen(source->at);
    if (len == 0)
        return walk(yaml_root(source->doc), full);
    const char *rest = strcmp(full, source->at) == 0 ? "" : option_below(full, source->at, len);
    return rest != NULL ? walk(yaml_root(source->doc), rest) : NULL;
}

static struct found find_value(const struct loader *l, const struct scope *s, const char *key)
{
    char full[KEY_LEN * 2];
    snprintf(full, sizeof full, "%s%s", s->prefix, key);
    size_t oldest = s->item != NULL ? s->source + 1 : 0;
    for (size_t i = l->source_count; i > oldest; i--) {
        const struct yaml_node *node = value_in(&l->sources[i - 1], full);
        if (node != NULL)
            return found_in(l, i - 1, node);
    }
    if (s->item != NULL)
        return found_in(l, s->source, walk(s->item, key));
    return (struct found){.node = NULL};
}

static void load_list(struct loader *l, const struct option *o, const char *key,
                      const struct found *f, char ***field)
{
    char expected[OPTION_EXPECTED_LEN], shown[YAML_SHOW_LEN];
    size_t count = yaml_count(f->node), i = 0;
    if (f->node->kind != YAML_LIST) {
        problem(l, f->by_set, f->node->line, key, "expected %s, found %s",
                option_expected(o, expected), yaml_show(f->node, shown));
        return;
    }
    if (count > LIST_MAX) {
        problem(l, f->by_set, f->node->line, key, "more than %d elements", LIST_MAX);
        return;
    }
    char **list = mem_array(count + 1, sizeof *list);
    *field = list;
    if (list == NULL) {
        option_set_err(&l->err, ERR_NO_MEMORY);
        return;
    }
    for (const struct yaml_node *n = yaml_first(f->node); n != NULL; n = n->next) {
        struct why why = {0};
        if (option_element_check(o, n, &why) != ERR_OK) {
            problem(l, f->by_set, n->line, key, "%s", why_text(&why));
            continue;
        }
        list[i] = mem_strdup((const char *)n->text.data);
        if (list[i++] == NULL) {
            option_set_err(&l->err, ERR_NO_MEMORY);
            return;
        }
    }
}

static void load_rows(struct loader *l, const struct scope *s, void *config);

/* The index in "KEY[7]..." of a --set, and what is behind the bracket; false: it has none. */
static bool item_index(const char *at, const char *key, size_t *ret_index, const char **ret_rest)
{
    size_t len = strlen(key), index = 0;
    if (strncmp(at, key, len) != 0 || at[len] != '[')
        return false;
    const char *digits = at + len + 1;
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || n > 4 || digits[n] != ']')
        return false;
    for (size_t i = 0; i < n; i++)
        index = index * 10 + (size_t)(digits[i] - '0');
    *ret_index = index;
    *ret_rest = digits + n + 1;
    return true;
}

/* The items that the list has, and those that a --set of their keys adds behind them. */
static size_t count_items(struct loader *l, const char *key, const struct found *list)
{
    size_t count = yaml_count(list->node), index;
    const char *rest;
    for (size_t i = list->node != NULL ? list->source + 1 : 0; i < l->source_count; i++) {
        if (!item_index(l->sources[i].at, key, &index, &rest))
            continue;
        if (index > count)
            problem(l, true, 0, l->sources[i].at, "there are %zu before it: the next is %s[%zu]",
                    count, key, count);
        else if (index == count)
            count++;
    }
    return count;
}

static void load_item(struct loader *l, const struct option *o, const char *name,
                      const struct yaml_node *node, const struct found *list, void *field)
{
    char prefix[KEY_LEN], shown[YAML_SHOW_LEN];
    snprintf(prefix, sizeof prefix, "%.240s.", name);
    struct scope item = {.table = o->items, .prefix = prefix, .item = node, .source = list->source};
    if (node != NULL && node->kind != YAML_MAPPING) {
        problem(l, list->by_set, node->line, name, "expected a mapping of keys, found %s",
                yaml_show(node, shown));
        return;
    }
    note_origin(l, name, node == NULL || list->by_set, node != NULL ? node->line : 0);
    check_keys(l, &item, "", node, list->by_set);
    load_rows(l, &item, field);
}

static void load_items(struct loader *l, const struct option *o, const char *key,
                       const struct found *f, struct option_items *field)
{
    char shown[YAML_SHOW_LEN], name[KEY_LEN];
    if (f->node != NULL && f->node->kind != YAML_LIST) {
        problem(l, f->by_set, f->node->line, key, "expected a list of sections, found %s",
                yaml_show(f->node, shown));
        return;
    }
    size_t count = count_items(l, key, f);
    if (count > LIST_MAX) {
        problem(l, f->by_set, f->node->line, key, "more than %d sections", LIST_MAX);
        return;
    }
    if (f->node == NULL && count > 0)
        note_origin(l, key, true, 0);
    field->items = mem_array(count, o->items->size);
    if (field->items == NULL) {
        option_set_err(&l->err, ERR_NO_MEMORY);
        return;
    }
    field->count = count;
    const struct yaml_node *n = yaml_first(f->node);
    for (size_t i = 0; i < count && !stopped(l); i++) {
        snprintf(name, sizeof name, "%.200s[%zu]", key, i);
        load_item(l, o, name, n, f, (char *)field->items + i * o->items->size);
        n = n != NULL ? n->next : NULL;
    }
}

/* A table's default is our own text: what it says is checked by tests. */
static void load_default(struct loader *l, const struct option *o, void *field)
{
    struct yaml_node word = {.kind = YAML_SCALAR, .quoted = true};
    struct yaml_node list = {.kind = YAML_LIST, .child = o->need.text[0] != '\0' ? &word : NULL};
    struct found f = {.node = &list};
    word.text = slice_str(o->need.text);
    if (option_is_scalar(o)) {
        err_t err = option_value_read(o, &word, field, NULL);
        if (err != ERR_OK)
            option_set_err(&l->err, err == ERR_NO_MEMORY ? err : ERR_INTERNAL);
    } else if (o->type != OPTION_ITEMS) {
        load_list(l, o, o->key, &f, field);
    }
}

static void load_missing(struct loader *l, const struct option *o, const char *key, void *field)
{
    char section[KEY_LEN], expected[OPTION_EXPECTED_LEN];
    bool required = o->need.kind == NEED_REQUIRED;
    if (o->need.kind == NEED_DEFAULT)
        load_default(l, o, field);
    snprintf(section, sizeof section, "%s", key);
    char *dot = strrchr(section, '.');
    if (o->need.kind == NEED_WITH_SECTION && dot != NULL) {
        *dot = '\0';
        required = option_given(l->origins, section);
    }
    if (required)
        option_problem(l->origins, l->report, &l->err, key, "is missing: expected %s",
                       option_expected(o, expected));
}

/* A relative path counts from the folder of the file that holds it, one of --set from where the
 * program was started; from here on it is whole, so that every message shows where it leads. */
static err_t resolve_path(const struct loader *l, bool by_set, char **field, struct why *why)
{
    char folder[PATH_MAX] = "", whole[2 * PATH_MAX];
    const char *file = by_set ? "" : option_origins_file(l->origins);
    const char *slash = strrchr(file, '/');
    int dir = slash != NULL ? (int)(slash - file) + 1 : 0;
    if ((*field)[0] == '/')
        return ERR_OK;
    const char *path = *field + (strncmp(*field, "./", 2) == 0 ? 2 : 0);
    if (file[0] != '/' && getcwd(folder, sizeof folder) == NULL)
        return why_errno(why, ERR_CONFIG, "\"%s\" is no whole path, and where we are", *field);
    snprintf(whole, sizeof whole, "%s%s%.*s%s", folder, folder[0] != '\0' ? "/" : "", dir, file,
             path);
    char *copy = mem_strdup(whole);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    mem_free(*field);
    *field = copy;
    return ERR_OK;
}

static void load_row(struct loader *l, const struct scope *s, const struct option *o, void *field)
{
    char key[KEY_LEN];
    struct why why = {0};
    snprintf(key, sizeof key, "%s%s", s->prefix, o->key);
    struct found f = find_value(l, s, o->key);
    if (f.node != NULL && f.by_set &&
        s->prefix[0] != '\0') /* over what the item's own source said */
        note_origin(l, key, true, 0);
    if (o->type == OPTION_ITEMS) {
        load_items(l, o, key, &f, field);
    } else if (f.node == NULL) {
        load_missing(l, o, key, field);
    } else if (!option_is_scalar(o)) {
        load_list(l, o, key, &f, field);
    } else {
        err_t err = option_value_read(o, f.node, field, &why);
        if (err == ERR_OK && o->type == OPTION_PATH)
            err = resolve_path(l, f.by_set, field, &why);
        if (err == ERR_NO_MEMORY)
            option_set_err(&l->err, err);
        else if (err != ERR_OK)
            problem(l, f.by_set, f.node->line, key, "%s", why_text(&why));
    }
}

static void load_rows(struct loader *l, const struct scope *s, void *config)
{
    for (size_t i = 0; i < s->table->count && !stopped(l); i++)
        load_row(l, s, &s->table->rows[i], (char *)config + s->table->rows[i].offset);
}

static void add_source(struct loader *l, struct yaml *doc, const char *at)
{
    struct source *s = &l->sources[l->source_count++];
    s->doc = doc;
    snprintf(s->at, sizeof s->at, "%s", at);
}

/* A line that already names its place. */
static void plain_problem(struct loader *l, const char *text)
{
    option_set_err(&l->err, ERR_CONFIG);
    option_report_line(l->report, &l->err, "", text);
}

static void read_file(struct loader *l, const struct option_table *t, const char *path)
{
    struct yaml_options opt = {0};
    char example[KEY_LEN];
    struct yaml *doc = NULL;
    struct why why = {0};
    snprintf(example, sizeof example, "configuration keys, such as %.*s: ...",
             (int)strcspn(t->rows[0].key, "."), t->rows[0].key);
    opt.expected = example;
    err_t err = yaml_read_file(path, &opt, &doc, &why);
    if (err == ERR_NO_MEMORY)
        option_set_err(&l->err, err);
    else if (err != ERR_OK)
        plain_problem(l, why_text(&why));
    else
        add_source(l, doc, "");
}

/* Finds the table that the key of a --set is in; an index that is none is left in the key. */
static struct target target_of(const struct option_table *t, const char *full)
{
    struct target target = {.table = t, .prefix = "", .key = full};
    for (size_t i = 0; i < t->count; i++) {
        size_t index;
        const char *rest;
        if (t->rows[i].type != OPTION_ITEMS || !item_index(full, t->rows[i].key, &index, &rest) ||
            (*rest != '.' && *rest != '\0'))
            continue;
        target.table = t->rows[i].items;
        target.key = *rest == '.' ? rest + 1 : rest;
        snprintf(target.prefix, sizeof target.prefix, "%.*s.", (int)(rest - full), full);
    }
    return target;
}

/* The value of a --set is YAML, so that lists and mappings can be given; where the key takes one
 * word, text that is no YAML scalar ([::1]:80, a#b) is taken as it stands. */
static void read_set(struct loader *l, const struct option_table *t, const char *set)
{
    size_t len = strcspn(set, "=");
    char key[KEY_LEN], text[128];
    struct yaml *doc = NULL;
    struct why why = {0};
    if (set[len] == '\0' || len == 0 || len >= sizeof key || l->source_count > SETS_MAX) {
        snprintf(text, sizeof text, "--set: expected KEY=VALUE, found \"%.64s\"", set);
        plain_problem(l, text);
        return;
    }
    snprintf(key, sizeof key, "%.*s", (int)len, set);
    struct target target = target_of(t, key);
    struct scope scope = {.table = target.table, .prefix = target.prefix};
    const struct option *o = find_row(target.table, target.key);
    if (o == NULL && target.key[0] != '\0' && !is_section(target.table, target.key)) {
        unknown_key(l, &scope, true, 0, target.key);
        return;
    }
    struct slice value = slice_str(set + len + 1);
    err_t err = yaml_parse("", value, NULL, &doc, &why);
    bool word = err == ERR_OK && yaml_root(doc)->kind == YAML_SCALAR;
    if (o != NULL && option_is_scalar(o) && !word && err != ERR_NO_MEMORY) {
        yaml_close(doc);
        doc = NULL;
        err = yaml_of_text(value, &doc);
    }
    if (err == ERR_OK)
        add_source(l, doc, key);
    else if (err == ERR_NO_MEMORY)
        option_set_err(&l->err, err);
    else /* without the line of the value, ":1: " */
        problem(l, true, 0, key, "%s", why.text + 1 + strspn(why.text + 1, "0123456789: "));
}

static void check_sources(struct loader *l, const struct option_table *t)
{
    char shown[YAML_SHOW_LEN];
    for (size_t i = 0; i < l->source_count && !stopped(l); i++) {
        const struct source *s = &l->sources[i];
        const struct yaml_node *node = yaml_root(s->doc);
        struct target target = target_of(t, s->at);
        struct scope scope = {.table = target.table, .prefix = target.prefix};
        bool by_set = s->at[0] != '\0';
        if (by_set)
            note_origin(l, s->at, true, 0);
        if (by_set && find_row(target.table, target.key) != NULL)
            continue;
        if (node->kind == YAML_MAPPING)
            check_keys(l, &scope, target.key, node, by_set);
        else
            problem(l, by_set, node->line, s->at, "expected a mapping of keys, found %s",
                    yaml_show(node, shown));
    }
}

err_t option_load(const struct option_table *t, const char *path, const char *const *sets,
                  void *config, struct buf *report, struct option_origins **ret_origins,
                  struct why *why)
{
    struct loader *l = mem_alloc(sizeof *l);
    struct scope root = {.table = t, .prefix = ""};
    struct option_origins *origins = option_origins_new(path != NULL ? path : "configuration");
    if (l == NULL || origins == NULL) {
        mem_free(l);
        option_origins_free(origins);
        return why_set(why, ERR_NO_MEMORY, "reading the configuration");
    }
    l->origins = origins;
    l->report = report;
    if (path != NULL)
        read_file(l, t, path);
    bool readable = l->err == ERR_OK;
    for (size_t i = 0; sets != NULL && sets[i] != NULL && !stopped(l); i++)
        read_set(l, t, sets[i]);
    if (readable) /* without its file every other line would only be noise */
        check_sources(l, t);
    if (readable && !stopped(l))
        load_rows(l, &root, config);
    err_t err = l->err;
    for (size_t i = 0; i < l->source_count; i++)
        yaml_close(l->sources[i].doc);
    mem_free(l);
    if (readable && (err == ERR_OK || err == ERR_CONFIG)) {
        *ret_origins = origins;
        return err;
    }
    option_origins_free(origins);
    if (err == ERR_CONFIG)
        return err;
    return why_set(why, err, "reading the configuration: %s", err_text(err));
}

void option_free(const struct option_table *t, void *config)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct option *o = &t->rows[i];
        void *field = (char *)config + o->offset;
        if (o->type != OPTION_ITEMS) {
            option_value_free(o, field);
            continue;
        }
        struct option_items *items = field;
        for (size_t j = 0; j < items->count; j++)
            option_free(o->items, (char *)items->items + j * o->items->size);
        mem_free(items->items);
        *items = (struct option_items){0};
    }
}

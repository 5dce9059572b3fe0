#include "agent/entry/entry_reader.h"

#include "common/base/mem.h"
#include "common/base/quantity.h"
#include "common/spiffe/spiffeid.h"

#include <stdarg.h>
#include <stdio.h>

/* More problems than these are counted, not written. */
enum { PROBLEMS_SHOWN = 100, DNS_NAME_MAX = 253, DNS_LABEL_MAX = 63 };

/* Where the reader is, for error lines. */
struct place {
    struct entry_reader *reader;
    const char *file;
    size_t position; /* of the entry in its file */
    char key[64];    /* entries[2].selectors[0] */
};

static void report_line(struct buf *report, const char *line)
{
    if (buf_append_str(report, line) != ERR_OK)
        return; /* a full report is cut; the count says that there is more */
}

void entry_reader_problem(struct entry_reader *r, const char *fmt, ...)
{
    char line[2048];
    r->problems++;
    if (r->problems > PROBLEMS_SHOWN + 1)
        return;
    if (r->problems > PROBLEMS_SHOWN) {
        report_line(r->report, "more problems follow\n");
        return;
    }
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(line, sizeof line - 1, fmt, args);
    va_end(args);
    size_t end = len < 0 ? 0 : len < (int)sizeof line - 2 ? (size_t)len : sizeof line - 2;
    line[end] = '\n';
    line[end + 1] = '\0';
    report_line(r->report, line);
}

static void wrong(struct place *p, const struct yaml_node *n, const char *text)
{
    entry_reader_problem(p->reader, "%s:%u: %s: %s", p->file, n->line, p->key, text);
}

static void expected(struct place *p, const struct yaml_node *n, const char *what)
{
    char shown[YAML_SHOW_LEN];
    entry_reader_problem(p->reader, "%s:%u: %s: expected %s, found %s", p->file, n->line, p->key,
                         what, yaml_show(n, shown));
}

static bool is_text(const struct yaml_node *n)
{
    return n->kind == YAML_SCALAR && n->text.len > 0 && !yaml_is_null(n);
}

/* `value` gets a copy of the text. */
static err_t take_text(const struct yaml_node *n, char **value)
{
    *value = mem_dup(n->text.data, n->text.len + 1);
    return *value != NULL ? ERR_OK : ERR_NO_MEMORY;
}

/* Fields: each reports its own problems and fails for want of memory only. */

static bool is_id(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '.' || c == '_' || c == '-';
        if (!ok)
            return false;
    }
    return text.len > 0 && text.len <= ENTRY_ID_MAX;
}

static err_t read_id(struct place *p, const struct yaml_node *n, struct entry *e)
{
    if (is_text(n) && is_id(n->text))
        return take_text(n, &e->id);
    expected(p, n, "at most 255 letters, digits, '.', '_' or '-'");
    return ERR_OK;
}

static bool is_reserved(struct slice path)
{
    return slice_eq_str(path, "/spire") || (path.len > 7 && memcmp(path.data, "/spire/", 7) == 0);
}

static err_t read_spiffe_id(struct place *p, const struct yaml_node *n, struct entry *e)
{
    char text[512];
    struct spiffeid id;
    struct why why = {0};
    if (!is_text(n)) {
        expected(p, n, "a SPIFFE ID");
        return ERR_OK;
    }
    if (spiffeid_parse(n->text, &id, &why) != ERR_OK) {
        wrong(p, n, why_text(&why));
        return ERR_OK;
    }
    snprintf(text, sizeof text, "a SPIFFE ID of our own trust domain, spiffe://%s/...",
             p->reader->trust_domain);
    if (!slice_eq_str(id.trust_domain, p->reader->trust_domain))
        expected(p, n, text);
    else if (id.path.len == 0) /* X509-SVID section 2: a leaf's ID has a path */
        expected(p, n, "a SPIFFE ID with a path");
    else if (is_reserved(id.path))
        expected(p, n, "a path outside /spire, which SPIRE reserves for itself");
    else
        return take_text(n, &e->spiffe_id);
    return ERR_OK;
}

static err_t read_selector(struct place *p, const struct yaml_node *n, struct entry *e)
{
    struct why why = {0};
    if (!is_text(n)) {
        expected(p, n, "a selector such as \"unix:uid:1000\"");
    } else if (selector_check(n->text, &why) != ERR_OK) {
        wrong(p, n, why_text(&why));
    } else if (selector_set_has(&e->selectors, n->text)) {
        expected(p, n, "each selector once");
    } else {
        err_t err = selector_set_add(&e->selectors, "%s", (const char *)n->text.data);
        if (err == ERR_LIMIT)
            expected(p, n, "at most 1024 selectors");
        return err == ERR_NO_MEMORY ? err : ERR_OK;
    }
    return ERR_OK;
}

typedef err_t read_fn(struct place *p, const struct yaml_node *n, struct entry *e);

/* Calls `read` for each item, with "[3]" behind the place's key. */
static err_t read_items(struct place *p, const struct yaml_node *list, struct entry *e,
                        read_fn *read)
{
    char key[sizeof p->key];
    memcpy(key, p->key, sizeof key);
    size_t i = 0;
    err_t err = ERR_OK;
    for (const struct yaml_node *n = yaml_first(list); n != NULL && err == ERR_OK; n = n->next) {
        snprintf(p->key, sizeof p->key, "%.40s[%zu]", key, i++);
        err = read(p, n, e);
    }
    memcpy(p->key, key, sizeof key);
    return err;
}

static err_t read_selectors(struct place *p, const struct yaml_node *n, struct entry *e)
{
    if (n->kind != YAML_LIST || yaml_count(n) == 0) {
        expected(p, n, "a list of at least one selector, such as [\"unix:uid:1000\"]");
        return ERR_OK;
    }
    return read_items(p, n, e, read_selector);
}

static void read_ttl(struct place *p, const struct yaml_node *n, int64_t *ttl_s)
{
    static const char what[] = "a duration of whole seconds from 2s to 7d, such as 1h";
    int64_t ms = 0;
    if (!is_text(n) || quantity_parse_duration(n->text, &ms, NULL) != ERR_OK || ms % 1000 != 0 ||
        ms / 1000 < ENTRY_TTL_MIN_S || ms / 1000 > ENTRY_TTL_MAX_S)
        expected(p, n, what);
    else
        *ttl_s = ms / 1000;
}

static err_t read_x509_ttl(struct place *p, const struct yaml_node *n, struct entry *e)
{
    read_ttl(p, n, &e->x509_ttl_s);
    return ERR_OK;
}

static err_t read_jwt_ttl(struct place *p, const struct yaml_node *n, struct entry *e)
{
    read_ttl(p, n, &e->jwt_ttl_s);
    return ERR_OK;
}

static bool is_dns_label(const uint8_t *at, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool letter = (at[i] >= 'a' && at[i] <= 'z') || (at[i] >= 'A' && at[i] <= 'Z') ||
                      (at[i] >= '0' && at[i] <= '9');
        if (!letter && (at[i] != '-' || i == 0 || i == len - 1))
            return false;
    }
    return len > 0 && len <= DNS_LABEL_MAX;
}

/* RFC 1123 host names; "*." may stand in front (RFC 6125 6.4.3). */
static bool is_dns_name(struct slice text)
{
    if (text.len > DNS_NAME_MAX)
        return false;
    if (text.len > 2 && text.data[0] == '*' && text.data[1] == '.')
        text = slice_of(text.data + 2, text.len - 2);
    for (;;) {
        const uint8_t *dot = memchr(text.data, '.', text.len);
        size_t len = dot != NULL ? (size_t)(dot - text.data) : text.len;
        if (!is_dns_label(text.data, len))
            return false;
        if (dot == NULL)
            return true;
        text = slice_of(dot + 1, text.len - len - 1);
    }
}

/* Appends to a NULL-terminated list that has room for ENTRY_NAMES_MAX and the NULL, or grows by
 * one; duplicates and too many are problems. */
static err_t add_name(struct place *p, const struct yaml_node *n, char ***list)
{
    size_t count = 0;
    for (; *list != NULL && (*list)[count] != NULL; count++) {
        if (strcasecmp((*list)[count], (const char *)n->text.data) == 0) {
            expected(p, n, "each name once");
            return ERR_OK;
        }
    }
    if (count == ENTRY_NAMES_MAX) {
        expected(p, n, "at most 256 names");
        return ERR_OK;
    }
    char *copy = NULL;
    char **longer = mem_resize(*list, (count + 2) * sizeof *longer);
    if (longer == NULL)
        return ERR_NO_MEMORY;
    *list = longer;
    longer[count] = NULL;
    err_t err = take_text(n, &copy);
    longer[count] = copy;
    longer[count + 1] = NULL;
    return err;
}

static err_t read_dns_name(struct place *p, const struct yaml_node *n, struct entry *e)
{
    if (is_text(n) && is_dns_name(n->text))
        return add_name(p, n, &e->dns_names);
    expected(p, n, "a DNS name such as web.example.internal");
    return ERR_OK;
}

static err_t read_dns_names(struct place *p, const struct yaml_node *n, struct entry *e)
{
    if (n->kind == YAML_LIST)
        return read_items(p, n, e, read_dns_name);
    expected(p, n, "a list of DNS names");
    return ERR_OK;
}

static err_t read_hint(struct place *p, const struct yaml_node *n, struct entry *e)
{
    bool is_plain = n->kind == YAML_SCALAR && !yaml_is_null(n);
    for (size_t i = 0; is_plain && i < n->text.len; i++)
        is_plain = n->text.data[i] >= ' ' && n->text.data[i] != 0x7f;
    if (!is_plain)
        expected(p, n, "a hint: text without line breaks");
    else if (n->text.len > ENTRY_HINT_MAX)
        expected(p, n, "a hint of at most 1024 bytes");
    else
        return take_text(n, &e->hint);
    return ERR_OK;
}

static err_t read_domain(struct place *p, const struct yaml_node *n, struct entry *e)
{
    struct why why = {0};
    if (!is_text(n))
        expected(p, n, "a trust domain such as partner.test");
    else if (trust_domain_check(n->text, &why) != ERR_OK)
        wrong(p, n, why_text(&why));
    else if (slice_eq_str(n->text, p->reader->trust_domain))
        expected(p, n, "another trust domain than our own");
    else
        return add_name(p, n, &e->federates_with);
    return ERR_OK;
}

static err_t read_federates_with(struct place *p, const struct yaml_node *n, struct entry *e)
{
    if (n->kind == YAML_LIST)
        return read_items(p, n, e, read_domain);
    expected(p, n, "a list of trust domains");
    return ERR_OK;
}

static const struct field {
    const char *name;
    read_fn *read;
} fields[] = {
    {"id", read_id},
    {"spiffe_id", read_spiffe_id},
    {"selectors", read_selectors},
    {"x509_ttl", read_x509_ttl},
    {"jwt_ttl", read_jwt_ttl},
    {"dns_names", read_dns_names},
    {"hint", read_hint},
    {"federates_with", read_federates_with},
};
enum { FIELD_COUNT = sizeof fields / sizeof fields[0] };

static const struct field *field_find(const char *name)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

static void unknown_key(struct place *p, const struct yaml_node *n)
{
    char shown[YAML_SHOW_LEN];
    const struct yaml_node key = {.text = slice_str(n->key)};
    entry_reader_problem(p->reader,
                         "%s:%u: entries[%zu]: unknown key %s; known are id, spiffe_id, selectors, "
                         "x509_ttl, jwt_ttl, dns_names, hint and federates_with",
                         p->file, n->line, p->position, yaml_show(&key, shown));
}

static err_t read_fields(struct place *p, const struct yaml_node *mapping, struct entry *e)
{
    err_t err = ERR_OK;
    for (const struct yaml_node *n = yaml_first(mapping); n != NULL && err == ERR_OK; n = n->next) {
        const struct field *f = field_find(n->key);
        if (f == NULL) {
            unknown_key(p, n);
            continue;
        }
        snprintf(p->key, sizeof p->key, "entries[%zu].%s", p->position, f->name);
        err = f->read(p, n, e);
    }
    return err;
}

static void require(struct place *p, const struct yaml_node *mapping, const char *key)
{
    if (yaml_get(mapping, key) != NULL)
        return;
    snprintf(p->key, sizeof p->key, "entries[%zu]", p->position);
    entry_reader_problem(p->reader, "%s:%u: %s: expected a key %s, found none", p->file,
                         mapping->line, p->key, key);
}

static err_t read_entry(struct place *p, const struct yaml_node *n, struct entry *e)
{
    snprintf(p->key, sizeof p->key, "entries[%zu]", p->position);
    if (n->kind != YAML_MAPPING) {
        expected(p, n, "an entry: a mapping with spiffe_id and selectors");
        return ERR_OK;
    }
    err_t err = read_fields(p, n, e);
    require(p, n, "spiffe_id");
    require(p, n, "selectors");
    if (err == ERR_OK && e->hint == NULL) {
        e->hint = mem_strdup("");
        err = e->hint != NULL ? ERR_OK : ERR_NO_MEMORY;
    }
    return err;
}

static const struct yaml_node *entry_list(struct entry_reader *r, const char *file,
                                          const struct yaml_node *root)
{
    char shown[YAML_SHOW_LEN];
    size_t problems = r->problems;
    const struct yaml_node *list = yaml_get(root, "entries");
    for (const struct yaml_node *n = yaml_first(root); n != NULL; n = n->next)
        if (n != list)
            entry_reader_problem(r, "%s:%u: unknown key %s; known is entries", file, n->line,
                                 yaml_show(&(struct yaml_node){.text = slice_str(n->key)}, shown));
    if (list == NULL && r->problems == problems)
        entry_reader_problem(r, "%s:%u: expected a key entries, found none", file, root->line);
    else if (list == NULL)
        return NULL;
    else if (list->kind != YAML_LIST)
        entry_reader_problem(r, "%s:%u: entries: expected a list of entries, found %s", file,
                             list->line, yaml_show(list, shown));
    return list;
}

/* Keeps a copy of the name for the origins of its entries. */
static err_t keep_name(struct entry_reader *r, const char *file)
{
    char **files = mem_resize(r->files, (r->file_count + 2) * sizeof *files);
    if (files == NULL)
        return ERR_NO_MEMORY;
    r->files = files;
    files[r->file_count] = mem_strdup(file);
    files[r->file_count + 1] = NULL;
    return files[r->file_count] != NULL ? ERR_OK : ERR_NO_MEMORY;
}

err_t entry_reader_read(struct entry_reader *r, const char *name, const struct yaml *doc)
{
    err_t err = keep_name(r, name);
    if (err != ERR_OK)
        return err;
    const char *file = r->files[r->file_count++];
    struct place p = {.reader = r, .file = file};
    const struct yaml_node *list = entry_list(r, file, yaml_root(doc));
    if (list == NULL || list->kind != YAML_LIST)
        return ERR_OK;
    for (const struct yaml_node *n = yaml_first(list); n != NULL && err == ERR_OK; n = n->next) {
        if (r->count == ENTRIES_MAX) {
            entry_reader_problem(r, "%s:%u: entries[%zu]: expected at most %d entries in all", file,
                                 n->line, p.position, ENTRIES_MAX);
            break;
        }
        if (!mem_grow(&r->items, r->count, sizeof *r->items) ||
            !mem_grow(&r->origins, r->count, sizeof *r->origins))
            return ERR_NO_MEMORY;
        r->items[r->count] = (struct entry){0};
        r->origins[r->count] =
            (struct entry_origin){.file = file, .line = n->line, .position = p.position};
        err = read_entry(&p, n, &r->items[r->count++]);
        p.position++;
    }
    return err;
}

void entry_reader_done(struct entry_reader *r)
{
    for (size_t i = 0; i < r->count; i++)
        entry_done(&r->items[i]);
    mem_free(r->items);
    mem_free(r->origins);
    entry_list_free(r->files);
    *r = (struct entry_reader){0};
}

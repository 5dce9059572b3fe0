#include "agent/entry/entries.h"

#include "agent/entry/entry_index.h"
#include "agent/entry/entry_reader.h"
#include "common/base/mem.h"
#include "common/config/yaml.h"
#include "common/crypto/sha256.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    FILES_MAX = 4096,
    HASH_LEN = 16, /* hex digits of a made id */
    FILE_BYTES_MAX = 64 * 1024 * 1024,
    FILE_NODES_MAX = 4 * 1024 * 1024,
};

static const struct yaml_options yaml_options = {
    .expected = "a list of entries", .max_bytes = FILE_BYTES_MAX, .max_nodes = FILE_NODES_MAX};

/* Ids and duplicates, once everything is read. */

struct made {
    char hash[HASH_LEN + 1]; /* of SPIFFE ID and selectors */
    size_t entry;
};

static err_t hash_entry(const struct entry *e, char out[static HASH_LEN + 1])
{
    struct sha256 *h = NULL;
    uint8_t digest[32];
    err_t err = sha256_new(&h);
    if (err == ERR_OK)
        err = sha256_add(h, slice_str(e->spiffe_id));
    for (size_t i = 0; err == ERR_OK && i < e->selectors.count; i++) {
        err = sha256_add(h, slice_of("\n", 1)); /* in no selector */
        if (err == ERR_OK)
            err = sha256_add(h, slice_str(e->selectors.items[i]));
    }
    if (err == ERR_OK)
        err = sha256_end(h, digest);
    sha256_free(h);
    for (size_t i = 0; err == ERR_OK && i < HASH_LEN / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return err;
}

static int made_order(const void *a, const void *b)
{
    const struct made *x = a, *y = b;
    int order = strcmp(x->hash, y->hash);
    if (order != 0)
        return order;
    return x->entry < y->entry ? -1 : x->entry > y->entry;
}

static void warn_same(struct entry_reader *r, const struct made *first, const struct made *other)
{
    const struct entry_origin *a = &r->origins[first->entry], *b = &r->origins[other->entry];
    err_t err = buf_printf(r->report,
                           "%s:%u: warning: entries[%zu]: same spiffe_id and selectors as "
                           "entries[%zu] in %s:%u: a workload gets both\n",
                           b->file, b->line, b->position, a->position, a->file, a->line);
    if (err != ERR_OK)
        return; /* a full report is cut */
}

/* "1f2e…", and "1f2e…-2" for the second of the same. */
static err_t make_id(struct entry *e, const char *hash, size_t ordinal)
{
    char text[HASH_LEN + 24];
    if (e->id != NULL)
        return ERR_OK;
    if (ordinal == 1)
        snprintf(text, sizeof text, "%s", hash);
    else
        snprintf(text, sizeof text, "%s-%zu", hash, ordinal);
    e->id = mem_strdup(text);
    return e->id != NULL ? ERR_OK : ERR_NO_MEMORY;
}

static err_t make_ids(struct entry_reader *r)
{
    struct made *made = mem_array(r->count, sizeof *made);
    err_t err = made != NULL ? ERR_OK : ERR_NO_MEMORY;
    for (size_t i = 0; err == ERR_OK && i < r->count; i++) {
        made[i].entry = i;
        err = hash_entry(&r->items[i], made[i].hash);
    }
    if (err == ERR_OK)
        qsort(made, r->count, sizeof *made, made_order);
    for (size_t i = 0, first = 0; err == ERR_OK && i < r->count; i++) {
        if (strcmp(made[first].hash, made[i].hash) != 0)
            first = i;
        if (first != i)
            warn_same(r, &made[first], &made[i]);
        err = make_id(&r->items[made[i].entry], made[i].hash, i - first + 1);
    }
    mem_free(made);
    return err;
}

static void check_ids(struct entry_reader *r, const struct entry_index *index)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct entry *e = &r->items[i], *other = entry_index_find(index, e->id);
        const struct entry_origin *a = &r->origins[other - r->items], *b = &r->origins[i];
        if (other != e)
            entry_reader_problem(r,
                                 "%s:%u: entries[%zu].id: expected an id of its own, found \"%s\", "
                                 "which entries[%zu] in %s:%u has too",
                                 b->file, b->line, b->position, e->id, a->position, a->file,
                                 a->line);
    }
}

/* The reader's entries become a set. */
static err_t entries_finish(struct entry_reader *r, struct entry_set **ret)
{
    struct entry_set *set = mem_alloc(sizeof *set);
    err_t err = set != NULL ? make_ids(r) : ERR_NO_MEMORY;
    if (err == ERR_OK)
        err = entry_index_new(r->items, r->count, &set->index);
    if (err == ERR_OK)
        check_ids(r, set->index);
    if (err != ERR_OK || r->problems > 0) {
        entries_free(set);
        return err;
    }
    set->items = r->items;
    set->origins = r->origins;
    set->files = r->files;
    set->count = r->count;
    r->items = NULL;
    r->origins = NULL;
    r->files = NULL;
    r->count = 0;
    for (size_t i = 0; i < set->count; i++)
        for (size_t k = 0; k < set->items[i].selectors.count; k++)
            set->kinds_used |= selector_kind_bits(slice_str(set->items[i].selectors.items[k]));
    *ret = set;
    return ERR_OK;
}

/* The last words of both ways to load. */
static err_t entries_conclude(struct entry_reader *r, err_t err, const char *name,
                              struct entry_set **ret, struct why *why)
{
    if (err == ERR_OK && r->problems == 0)
        err = entries_finish(r, ret);
    if (err == ERR_OK && r->problems > 0)
        err = why_set(why, ERR_CONFIG, "%zu problem%s in the entries of %s", r->problems,
                      r->problems == 1 ? "" : "s", name);
    else if (err != ERR_OK)
        why_set(why, err, "reading the entries of %s", name);
    entry_reader_done(r);
    return err;
}

/* A document that cannot be read is a problem like others; only memory ends the reading. */
static err_t read_doc(struct entry_reader *r, const char *name, err_t err, struct yaml *doc,
                      const struct why *why)
{
    if (err == ERR_OK)
        err = entry_reader_read(r, name, doc);
    else if (err != ERR_NO_MEMORY) {
        entry_reader_problem(r, "%s", why_text(why));
        err = ERR_OK;
    }
    yaml_close(doc);
    return err;
}

err_t entries_parse(const char *name, struct slice text, const char *trust_domain,
                    struct buf *report, struct entry_set **ret, struct why *why)
{
    struct entry_reader r = {.trust_domain = trust_domain, .report = report};
    struct yaml *doc = NULL;
    struct why cause = {0};
    err_t err = yaml_parse(name, text, &yaml_options, &doc, &cause);
    err = read_doc(&r, name, err, doc, &cause);
    return entries_conclude(&r, err, name, ret, why);
}

static err_t read_file(struct entry_reader *r, const char *path)
{
    struct yaml *doc = NULL;
    struct why cause = {0};
    err_t err = yaml_read_file(path, &yaml_options, &doc, &cause);
    return read_doc(r, path, err, doc, &cause);
}

/* Folders. */

/* Also keeps out what Kubernetes puts beside a mounted ConfigMap's files (..data). */
static bool is_entry_file(const char *name)
{
    const char *dot = strrchr(name, '.');
    return name[0] != '.' && dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

static int text_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static err_t join(const char *folder, const char *name, char **ret)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = mem_alloc(size);
    if (path == NULL)
        return ERR_NO_MEMORY;
    size_t len = strlen(folder);
    bool has_slash = len > 0 && folder[len - 1] == '/';
    snprintf(path, size, "%s%s%s", folder, has_slash ? "" : "/", name);
    *ret = path;
    return ERR_OK;
}

/* The paths, sorted; NULL-terminated. */
static err_t list_files(struct entry_reader *r, const char *folder, char ***ret)
{
    size_t count = 0;
    char **paths = mem_array(FILES_MAX + 1, sizeof *paths);
    if (paths == NULL)
        return ERR_NO_MEMORY;
    err_t err = ERR_OK;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        entry_reader_problem(r, "%s: cannot read the folder: %s", folder, strerror(errno));
    for (const struct dirent *d; dir != NULL && err == ERR_OK && (d = readdir(dir)) != NULL;) {
        if (!is_entry_file(d->d_name))
            continue;
        if (count == FILES_MAX) {
            entry_reader_problem(r, "%s: expected at most %d files", folder, FILES_MAX);
            break;
        }
        err = join(folder, d->d_name, &paths[count]);
        count += err == ERR_OK;
    }
    if (dir != NULL)
        closedir(dir);
    if (err != ERR_OK) {
        entry_list_free(paths);
        return err;
    }
    qsort(paths, count, sizeof *paths, text_order);
    *ret = paths;
    return ERR_OK;
}

static err_t read_folder(struct entry_reader *r, char *const *paths)
{
    err_t err = ERR_OK;
    struct stat st;
    for (size_t i = 0; err == ERR_OK && paths[i] != NULL; i++) {
        if (stat(paths[i], &st) == 0 && S_ISDIR(st.st_mode))
            continue;
        err = read_file(r, paths[i]);
    }
    return err;
}

err_t entries_load(const char *path, const char *trust_domain, struct buf *report,
                   struct entry_set **ret, struct why *why)
{
    struct entry_reader r = {.trust_domain = trust_domain, .report = report};
    char **paths = NULL;
    err_t err = ERR_OK;
    struct stat st;
    if (path == NULL)
        return entries_parse("entries", slice_str("entries: []\n"), trust_domain, report, ret, why);
    if (stat(path, &st) != 0) {
        entry_reader_problem(&r, "%s: cannot read the entries: %s", path, strerror(errno));
    } else if (S_ISDIR(st.st_mode)) {
        err = list_files(&r, path, &paths);
        if (err == ERR_OK)
            err = read_folder(&r, paths);
    } else {
        err = read_file(&r, path);
    }
    err = entries_conclude(&r, err, path, ret, why);
    entry_list_free(paths);
    return err;
}

void entries_free(struct entry_set *set)
{
    if (set == NULL)
        return;
    entry_index_free(set->index);
    for (size_t i = 0; i < set->count; i++)
        entry_done(&set->items[i]);
    mem_free(set->items);
    mem_free(set->origins);
    entry_list_free(set->files);
    mem_free(set);
}

size_t entries_match(const struct entry_set *set, const struct selector_set *caller,
                     const struct entry **out, size_t max)
{
    return entry_index_match(set->index, caller, out, max);
}

err_t entries_check_gives(const struct entry_set *set, const struct selector_set *caller,
                          struct slice spiffe_id, struct why *why)
{
    size_t count = entries_match(set, caller, NULL, 0);
    const struct entry **matching = mem_array(count, sizeof(struct entry *));
    if (matching == NULL)
        return why_set(why, ERR_NO_MEMORY, "entries of the caller");
    bool given = false;
    entries_match(set, caller, matching, count);
    for (size_t i = 0; !given && i < count; i++)
        given = slice_eq_str(spiffe_id, matching[i]->spiffe_id);
    mem_free(matching);
    if (given)
        return ERR_OK;
    return why_set(why, ERR_NO_ENTRY, "%zu entries match the caller, none gives it %.*s", count,
                   SLICE_ARG(spiffe_id));
}

int64_t entries_longest_x509_ttl(const struct entry_set *set, int64_t default_s)
{
    int64_t longest = default_s;
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].x509_ttl_s > longest)
            longest = set->items[i].x509_ttl_s;
    return longest;
}

const struct entry *entries_find(const struct entry_set *set, const char *id)
{
    return entry_index_find(set->index, id);
}

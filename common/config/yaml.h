/* Strict YAML, read whole into a small tree: scalars, lists and mappings, each with its line.
 * Refused: duplicate keys, anchors, aliases, tags, several documents, anything but UTF-8, and what
 * is past the bounds below. A scalar stays text as written (`off` is "off"); the reader of a value
 * decides what it means. One owner; the tree lives until yaml_close and is never changed.
 *
 *   struct yaml *doc;
 *   err = yaml_read_file(path, &(struct yaml_options){.expected = "a list of entries"}, &doc, why);
 *   const struct yaml_node *list = yaml_get(yaml_root(doc), "entries");
 *   for (const struct yaml_node *n = yaml_first(list); n != NULL; n = n->next) ...
 *   yaml_close(doc); */
#ifndef SPINDLE_COMMON_CONFIG_YAML_H
#define SPINDLE_COMMON_CONFIG_YAML_H

#include "common/base/slice.h"
#include "common/base/why.h"

#define YAML_BYTES_DEFAULT (1024u * 1024u)
#define YAML_NODES_DEFAULT 65536u
#define YAML_DEPTH_MAX 16u
#define YAML_KEYS_MAX 1024u /* of one mapping */

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    unsigned line;                 /* 1-based; in a mapping the line of the key */
    bool quoted;                   /* a scalar in quotes is text whatever it says */
    struct slice text;             /* scalars; data ends in NUL and holds none inside */
    const char *key;               /* in a mapping: never empty; else NULL */
    const struct yaml_node *child; /* the first of a list or mapping */
    const struct yaml_node *next;  /* the next of the same parent */
};

struct yaml; /* opaque: a document */

struct yaml_options {
    const char *expected; /* what the file should hold: it must be a mapping then, and not empty.
                             NULL: any root, and an empty text is an empty scalar */
    size_t max_bytes;     /* 0: YAML_BYTES_DEFAULT */
    size_t max_nodes;     /* 0: YAML_NODES_DEFAULT */
};

/* Errors say "NAME:LINE: what is wrong". ERR_CONFIG, ERR_IO, ERR_TOO_LARGE, ERR_NO_MEMORY.
 * opt may be NULL. name is what error lines call the text. */
err_t yaml_read_file(const char *path, const struct yaml_options *opt, struct yaml **ret,
                     struct why *why) MUST_CHECK;
err_t yaml_parse(const char *name, struct slice text, const struct yaml_options *opt,
                 struct yaml **ret, struct why *why) MUST_CHECK;
/* A document that is one scalar, the text as it stands. */
err_t yaml_of_text(struct slice text, struct yaml **ret) MUST_CHECK;
/* NULL is fine. (libyaml exports a yaml_free of its own.) */
void yaml_close(struct yaml *doc);

const struct yaml_node *yaml_root(const struct yaml *doc);
/* NULL when `node` is NULL, no mapping, or has no such key. */
const struct yaml_node *yaml_get(const struct yaml_node *node, const char *key);
/* The first child; NULL for a scalar, an empty list or mapping, or NULL. */
const struct yaml_node *yaml_first(const struct yaml_node *node);
size_t yaml_count(const struct yaml_node *node);
/* `key:` with nothing, ~ or null behind it, not in quotes. */
bool yaml_is_null(const struct yaml_node *node);
/* What a message calls the value: "a list", "a mapping", "nothing", or the text itself in double
 * quotes, escaped and cut to fit. Returns out. */
#define YAML_SHOW_LEN 80
const char *yaml_show(const struct yaml_node *node, char out[static YAML_SHOW_LEN]);

#endif

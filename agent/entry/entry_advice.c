#include "agent/entry/entry_advice.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct adviser {
    const struct entry_advice *advice;
    const struct entry_set *set;
    struct buf *report;
    size_t lines, lookups;
};

__attribute__((format(printf, 3, 4))) static void say(struct adviser *a, size_t entry,
                                                      const char *fmt, ...)
{
    const struct entry_origin *at = &a->set->origins[entry];
    char text[2 * SELECTOR_MAX];
    va_list args;
    if (a->lines++ > ENTRY_ADVICE_MAX)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    err_t put = a->lines > ENTRY_ADVICE_MAX
                    ? buf_append_str(a->report, "warning: more warnings about entries follow\n")
                    : buf_printf(a->report, "%s:%u: warning: entries[%zu]: %s\n", at->file,
                                 at->line, at->position, text);
    if (put != ERR_OK)
        a->lines = ENTRY_ADVICE_MAX + 1; /* a full report is cut */
}

/* --- names ------------------------------------------------------------------------------------ */

static int ask_nss(bool is_group, const char *name, uint32_t *ret_id)
{
    char bytes[16384];
    struct passwd pw, *user = NULL;
    struct group gr, *group = NULL;
    int error = is_group ? getgrnam_r(name, &gr, bytes, sizeof bytes, &group)
                         : getpwnam_r(name, &pw, bytes, sizeof bytes, &user);
    if (user != NULL || group != NULL) {
        *ret_id = is_group ? group->gr_gid : user->pw_uid;
        return 1;
    }
    /* Which errors stand for "not found" is NSS's secret; these do on Linux. */
    return error == 0 || error == ENOENT || error == ESRCH ? 0 : -1;
}

static int look_up(struct adviser *a, bool is_group, const char *name, uint32_t *ret_id)
{
    if (a->lookups++ >= ENTRY_LOOKUPS_MAX)
        return -1;
    return a->advice->lookup != NULL ? a->advice->lookup(is_group, name, ret_id)
                                     : ask_nss(is_group, name, ret_id);
}

/* --- selectors -------------------------------------------------------------------------------- */

/* Of these a process has one at a time, but for supplementary groups. */
static const struct kind {
    const char *prefix;
    bool single;
    enum { KIND_OTHER, KIND_USER, KIND_GROUP } names; /* the value is a name of NSS */
    const char *id_prefix;                            /* the same thing as a number */
} kinds[] = {
    {"unix:uid:", true, KIND_OTHER, NULL},
    {"unix:gid:", true, KIND_OTHER, NULL},
    {"unix:path:", true, KIND_OTHER, NULL},
    {"unix:sha256:", true, KIND_OTHER, NULL},
    {"unix:user:", true, KIND_USER, "unix:uid:"},
    {"unix:group:", true, KIND_GROUP, "unix:gid:"},
    {"unix:supplementary_group:", false, KIND_GROUP, NULL},
};

static const struct kind *kind_of(const char *selector)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strncmp(selector, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
            return &kinds[i];
    return NULL;
}

/* The entry's first selector of this kind, or NULL. */
static const char *first_of(const struct entry *e, const char *prefix)
{
    for (size_t i = 0; i < e->selectors.count; i++)
        if (strncmp(e->selectors.items[i], prefix, strlen(prefix)) == 0)
            return e->selectors.items[i];
    return NULL;
}

static void check_name(struct adviser *a, size_t at, const struct kind *k, const char *selector)
{
    const char *name = selector + strlen(k->prefix);
    const char *word = k->names == KIND_GROUP ? "group" : "user";
    uint32_t id = 0;
    int found = look_up(a, k->names == KIND_GROUP, name, &id);
    const char *other = k->id_prefix != NULL ? first_of(&a->set->items[at], k->id_prefix) : NULL;
    if (found == 0)
        say(a, at, "%s: this machine knows no %s of that name, so nobody matches", selector, word);
    else if (found > 0 && other != NULL &&
             strtoul(other + strlen(k->id_prefix), NULL, 10) != (unsigned long)id)
        say(a, at, "no process has both %s and %s: that %s has the id %u, so nobody matches",
            selector, other, word, (unsigned)id);
}

static void check_selectors(struct adviser *a, size_t at)
{
    const struct entry *e = &a->set->items[at];
    for (size_t i = 0; i < e->selectors.count; i++) {
        const char *selector = e->selectors.items[i];
        const struct kind *k = kind_of(selector);
        const char *first = k != NULL && k->single ? first_of(e, k->prefix) : selector;
        if (first != selector && k != NULL)
            say(a, at, "no process has both %s and %s, and all selectors must hold: nobody matches",
                first, selector);
        else if (k != NULL && k->names != KIND_OTHER)
            check_name(a, at, k, selector);
    }
}

/* --- the rest --------------------------------------------------------------------------------- */

static void check_ttl(struct adviser *a, size_t at)
{
    int64_t ttl = a->set->items[at].x509_ttl_s, whole = a->advice->issuer_ttl_s;
    if (ttl == 0 || whole == 0 || ttl <= whole / 2)
        return;
    say(a, at,
        "x509_ttl of %lld s will be cut: the issuing intermediate lives %lld s and is renewed at "
        "half of it; raise authority.issuer_ttl, or ask for at most %lld s",
        (long long)ttl, (long long)whole, (long long)(whole / 2));
}

static void check_federation(struct adviser *a, size_t at)
{
    const struct entry *e = &a->set->items[at];
    if (e->federates_with != NULL && e->federates_with[0] != NULL)
        say(a, at, "federates_with has no effect: federation is not built in this version");
}

void entry_advise(const struct entry_set *set, const struct entry_advice *advice,
                  struct buf *report)
{
    struct adviser a = {.advice = advice, .set = set, .report = report};
    for (size_t i = 0; i < set->count && a.lines <= ENTRY_ADVICE_MAX; i++) {
        check_selectors(&a, i);
        check_ttl(&a, i);
        check_federation(&a, i);
    }
}

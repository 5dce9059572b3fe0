#include "sidecar/config/route_socket.h"

#include "common/base/mem.h"
#include "common/base/quantity.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#define ID_MAX (UINT32_MAX - 1) /* the last one means nobody */
#define NAME_LEN 256u           /* of a user or group, with its end */
#define RECORD_LEN 65536u       /* of the database: a group with thousands of members */

err_t route_socket_mode(const char *text, mode_t *ret, struct why *why)
{
    unsigned mode = 0;
    size_t len = strlen(text);
    bool ok = len >= 3 && len <= 4 && (len == 3 || text[0] == '0');
    for (size_t i = 0; ok && i < len; i++) {
        ok = text[i] >= '0' && text[i] <= '7';
        mode = mode * 8 + (unsigned)(text[i] - '0');
    }
    if (!ok || (mode & 0111) != 0 || (mode & 0600) != 0600)
        return why_set(why, ERR_CONFIG,
                       "expected the mode of a socket in octal such as \"0660\" (in quotes), found "
                       "\"%.40s\"",
                       text);
    *ret = (mode_t)mode;
    return ERR_OK;
}

err_t route_socket_uids(char *const *texts, struct route_uids *ret, struct why *why)
{
    struct route_uids u = {.given = texts != NULL};
    size_t count = 0;
    while (texts != NULL && texts[count] != NULL)
        count++;
    u.uids = mem_array(count, sizeof *u.uids);
    if (u.uids == NULL)
        return why_set(why, ERR_NO_MEMORY, "list of user ids");
    for (; u.count < count; u.count++) {
        uint64_t n = 0;
        if (quantity_parse_number(texts[u.count], ID_MAX, &n) != ERR_OK) {
            err_t err =
                why_set(why, ERR_CONFIG, "expected numbers of users such as 1001, found \"%.40s\"",
                        texts[u.count]);
            route_uids_done(&u);
            return err;
        }
        u.uids[u.count] = (uid_t)n;
    }
    *ret = u;
    return ERR_OK;
}

void route_uids_done(struct route_uids *u)
{
    mem_free(u->uids);
    *u = (struct route_uids){.uids = NULL};
}

bool route_uids_admit(const struct route_uids *u, uid_t uid)
{
    for (size_t i = 0; i < u->count; i++) {
        if (u->uids[i] == uid)
            return true;
    }
    return !u->given;
}

/* --- owner ------------------------------------------------------------------------------------ */

struct owner {
    char user[NAME_LEN], group[NAME_LEN]; /* "" when not named */
};

static bool copy_name(char out[static NAME_LEN], const char *from, size_t len)
{
    if (len >= NAME_LEN)
        return false;
    memcpy(out, from, len);
    out[len] = '\0';
    return true;
}

static err_t split(const char *text, struct owner *ret, struct why *why)
{
    const char *colon = strchr(text, ':');
    size_t user = colon != NULL ? (size_t)(colon - text) : strlen(text);
    const char *group = colon != NULL ? colon + 1 : "";
    bool ok = copy_name(ret->user, text, user) && copy_name(ret->group, group, strlen(group)) &&
              strchr(group, ':') == NULL && (colon == NULL || group[0] != '\0') &&
              (ret->user[0] != '\0' || ret->group[0] != '\0');
    return ok ? ERR_OK
              : why_set(why, ERR_CONFIG,
                        "expected an owner such as \"shop:shop\", \"shop\" or \":shop\", found "
                        "\"%.80s\"",
                        text);
}

static err_t unknown(const char *kind, const char *name, int e, struct why *why)
{
    if (e == 0 || e == ENOENT || e == ESRCH)
        return why_set(why, ERR_CONFIG, "there is no %s \"%.80s\" on this machine", kind, name);
    errno = e;
    return why_errno(why, ERR_IO, "cannot look up the %s \"%.80s\"", kind, name);
}

/* The one of that name, else the number that the name is. */
static err_t find_id(const char *kind, const char *name, uint32_t *ret, struct why *why)
{
    bool is_user = strcmp(kind, "user") == 0;
    struct passwd user, *found_user = NULL;
    struct group group, *found_group = NULL;
    uint64_t n = 0;
    char *room = mem_alloc(RECORD_LEN);
    if (room == NULL)
        return why_set(why, ERR_NO_MEMORY, "owner of a socket");
    int e = is_user ? getpwnam_r(name, &user, room, RECORD_LEN, &found_user)
                    : getgrnam_r(name, &group, room, RECORD_LEN, &found_group);
    err_t err = ERR_OK;
    if (found_user != NULL)
        *ret = found_user->pw_uid;
    else if (found_group != NULL)
        *ret = found_group->gr_gid;
    else if (quantity_parse_number(name, ID_MAX, &n) == ERR_OK)
        *ret = (uint32_t)n;
    else
        err = unknown(kind, name, e, why);
    mem_free(room);
    return err;
}

err_t route_socket_owner_form(const char *text, struct why *why)
{
    struct owner o = {.user = ""};
    return split(text, &o, why);
}

err_t route_socket_owner(const char *text, uid_t *ret_user, gid_t *ret_group, struct why *why)
{
    struct owner o = {.user = ""};
    uid_t user = (uid_t)-1;
    gid_t group = (gid_t)-1;
    err_t err = split(text, &o, why);
    if (err == ERR_OK && o.user[0] != '\0')
        err = find_id("user", o.user, &user, why);
    if (err == ERR_OK && o.group[0] != '\0')
        err = find_id("group", o.group, &group, why);
    if (err != ERR_OK)
        return err;
    *ret_user = user;
    *ret_group = group;
    return ERR_OK;
}

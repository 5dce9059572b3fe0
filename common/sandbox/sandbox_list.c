#include "common/sandbox/sandbox_list.h"

#include "common/base/mem.h"

#include <limits.h>
#include <stdlib.h>

/* Name services load modules and read their files while the program runs; the resolver follows
 * /etc/resolv.conf to /run; malloc and gRPC count processors. */
static const struct sandbox_path system_paths[] = {
    {"/etc", false},
    {"/lib", false},
    {"/lib64", false},
    {"/usr/lib", false},
    {"/usr/lib64", false},
    {"/run/systemd/resolve", false},
    {"/run/resolvconf", false},
    {"/run/NetworkManager", false},
    {"/var/lib/extrausers", false},
    {"/var/lib/sss/mc", false},
    {"/sys/devices/system/cpu", false},
    {"/sys/fs/cgroup", false},
    {"/dev/null", true},
    {"/dev/urandom", false},
    {"/proc/self", false},
};

void sandbox_list_init(struct sandbox_list *l)
{
    *l = (struct sandbox_list){.err = ERR_OK};
    for (size_t i = 0; i < sizeof system_paths / sizeof system_paths[0]; i++)
        sandbox_list_add(l, system_paths[i].path, system_paths[i].write);
}

void sandbox_list_done(struct sandbox_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        mem_free((char *)l->items[i].path);
    mem_free(l->items);
    *l = (struct sandbox_list){.err = ERR_OK};
}

static bool is_there(struct sandbox_list *l, const char *path, bool write)
{
    for (size_t i = 0; i < l->count; i++) {
        if (strcmp(l->items[i].path, path) == 0) {
            l->items[i].write |= write;
            return true;
        }
    }
    return false;
}

void sandbox_list_add(struct sandbox_list *l, const char *path, bool write)
{
    if (l->err != ERR_OK || path == NULL || path[0] == '\0' || is_there(l, path, write))
        return;
    if (l->count == SANDBOX_LIST_MAX) {
        l->err = ERR_LIMIT;
        return;
    }
    struct sandbox_path *more = mem_resize(l->items, (l->count + 2) * sizeof *more);
    char *copy = more != NULL ? mem_strdup(path) : NULL;
    l->items = more != NULL ? more : l->items;
    if (copy == NULL) {
        l->err = ERR_NO_MEMORY;
        return;
    }
    l->items[l->count++] = (struct sandbox_path){copy, write};
    l->items[l->count] = (struct sandbox_path){NULL, false};
}

static void add_folder(struct sandbox_list *l, const char *file, bool write)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(file, '/');
    size_t len = slash != NULL ? (size_t)(slash - file) : 0;
    if (slash == NULL) {
        sandbox_list_add(l, ".", write);
    } else if (len < sizeof folder) {
        memcpy(folder, file, len);
        folder[len] = '\0';
        sandbox_list_add(l, len > 0 ? folder : "/", write);
    }
}

void sandbox_list_add_parent(struct sandbox_list *l, const char *file, bool write)
{
    char target[PATH_MAX];
    if (file == NULL || file[0] == '\0')
        return;
    add_folder(l, file, write);
    if (realpath(file, target) != NULL)
        add_folder(l, target, write);
}

#include "agent/api/service.h"

#include <string.h>

const struct service *service_find(const struct service *services, size_t count, const char *path,
                                   const struct method **ret_method)
{
    *ret_method = NULL;
    for (const struct service *s = services; s < services + count; s++) {
        size_t len = strlen(s->prefix);
        if (strncmp(path, s->prefix, len) != 0)
            continue;
        for (size_t i = 0; i < s->method_count; i++)
            if (strcmp(path + len, s->methods[i].name) == 0)
                *ret_method = &s->methods[i];
        return s;
    }
    return NULL;
}

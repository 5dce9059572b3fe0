#include "common/resolve/dns_name.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DNS_NAME_MAX_LEN 253

static size_t len_without_dot(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && name[len - 1] == '.' ? len - 1 : len;
}

bool dns_name_is_localhost(const char *name)
{
    static const char local[] = "localhost";
    size_t size = sizeof local - 1;
    size_t len = len_without_dot(name);
    if (len < size || strncasecmp(name + len - size, local, size) != 0)
        return false;
    return len == size || (len > size + 1 && name[len - size - 1] == '.');
}

void dns_name_fold(const char *name, char out[static DNS_NAME_SIZE])
{
    size_t i = 0;
    for (; name[i] != '\0' && i < DNS_NAME_SIZE - 1; i++)
        out[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] - 'A' + 'a') : name[i];
    out[i] = '\0';
}

static int dots_in(const char *name)
{
    int dots = 0;
    for (; *name != '\0'; name++)
        dots += *name == '.';
    return dots;
}

/* False: it would be too long. */
static bool join(const char *name, size_t len, const char *domain, char out[static DNS_NAME_SIZE])
{
    int n = domain != NULL ? snprintf(out, DNS_NAME_SIZE, "%.*s.%.*s", (int)len, name,
                                      (int)len_without_dot(domain), domain)
                           : snprintf(out, DNS_NAME_SIZE, "%.*s", (int)len, name);
    return n > 0 && n <= DNS_NAME_MAX_LEN;
}

bool dns_name_next(const char *name, const struct dns_search *search, size_t *index,
                   char out[static DNS_NAME_SIZE])
{
    size_t len = len_without_dot(name);
    bool whole = name[len] == '.';
    bool itself_first = whole || dots_in(name) >= search->ndots;
    size_t domains = whole ? 0 : search->count;
    while (*index <= domains) {
        size_t i = (*index)++;
        size_t itself = itself_first ? 0 : domains;
        const char *domain = i == itself ? NULL : search->domains[itself_first ? i - 1 : i];
        if (domain != NULL && len_without_dot(domain) == 0)
            continue; /* `search .` means the name itself, which has its turn */
        if (join(name, len, domain, out))
            return true;
    }
    return false;
}

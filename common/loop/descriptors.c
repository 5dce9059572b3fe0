#include "common/loop/descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>

#define LIMIT_MOST (1u << 20) /* no more are made use of, whatever the system allows */
#define LIMIT_UNKNOWN 1024u
#define LOOKED_AT 4096 /* who starts us with more than that open has other worries */
#define HTTP_PART 32   /* one descriptor in so many is for one HTTP socket */
#define HTTP_LEAST 2

static size_t usable(rlim_t limit)
{
    return limit > LIMIT_MOST ? LIMIT_MOST : (size_t)limit;
}

size_t descriptors_limit(void)
{
    struct rlimit files;
    return getrlimit(RLIMIT_NOFILE, &files) == 0 ? usable(files.rlim_max) : LIMIT_UNKNOWN;
}

/* Beyond the three that every program has. */
static size_t inherited(void)
{
    size_t open = 0;
    for (int fd = 3; fd < LOOKED_AT; fd++)
        open += fcntl(fd, F_GETFD) >= 0;
    return open;
}

size_t descriptors_raise(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return LIMIT_UNKNOWN;
    rlim_t before = files.rlim_cur;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        files.rlim_cur = before;
    size_t limit = usable(files.rlim_cur), taken = inherited();
    return limit > taken ? limit - taken : 0;
}

size_t descriptors_http_places(size_t limit)
{
    size_t places = limit / HTTP_PART;
    if (places > DESCRIPTORS_HTTP_PLACES)
        places = DESCRIPTORS_HTTP_PLACES;
    return places > HTTP_LEAST ? places : HTTP_LEAST;
}

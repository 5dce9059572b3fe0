/* Names of user and group ids. NSS may block (LDAP, sssd), so it is asked on the thread pool, one
 * batch at a time; answers, also "has none", are kept a minute. While NSS fails, a name known
 * before stays. Loop thread only. */
#ifndef SPINDLE_AGENT_ATTEST_NAME_CACHE_H
#define SPINDLE_AGENT_ATTEST_NAME_CACHE_H

#include "common/base/err.h"
#include "common/base/list.h"

#include <stdint.h>
#include <uv.h>

#define NAME_CACHE_MAX 8192

struct name_cache; /* opaque */
struct name_id {
    bool is_group;
    uint32_t id;
};
/* Embedded by the one who waits; untouched by others from name_cache_wait to done. */
struct name_waiter {
    TAILQ_ENTRY(name_waiter) link;
    bool is_served;            /* by the batch under way, or told */
    const struct name_id *ids; /* borrowed until done */
    size_t count;
    void (*done)(void *arg, err_t err);
    void *arg;
};

err_t name_cache_open(uv_loop_t *loop, struct name_cache **ret) MUST_CHECK;
/* Nobody may wait any more. Frees once the batch under way ended (perhaps before it returns), then
 * calls done. */
void name_cache_close(struct name_cache *c, void (*done)(void *arg), void *arg);

/* Is the answer known? *ret_name is borrowed until the loop runs on; NULL when there is no name. */
bool name_cache_find(const struct name_cache *c, struct name_id id, const char **ret_name);
/* Looks the waiter's ids up, then calls its done, exactly once: from the loop, or before this
 * returns when memory is out. */
void name_cache_wait(struct name_cache *c, struct name_waiter *w);
/* done is not called any more. */
void name_cache_cancel(struct name_cache *c, struct name_waiter *w);

#endif

/* Addresses of names for all threads of a program: one look-up of a name under way, whoever waits
 * for it; answers kept for their TTL; the last good one while no server can give a newer one
 * (common/resolve/name_cache.h has the rules). Look-ups run on the loop it was made for. A thread
 * asks at a desk of its own loop, and is answered there. docs/names.md is the operator's side of
 * it. */
#ifndef SPINDLE_COMMON_RESOLVE_RESOLVER_H
#define SPINDLE_COMMON_RESOLVE_RESOLVER_H

#include "common/resolve/name_cache.h"
#include "common/resolve/name_lookup.h"

#define RESOLVER_LOOKUPS_MAX 64  /* under way at once; further names queue */
#define RESOLVER_ASKS_MAX 16384  /* waiting at once; further ones are answered NAME_LIMIT */
#define RESOLVER_PATIENCE_MS 500 /* then those who wait get the answer that is too old, if any */
/* A name that failed, and that nobody asks for any more, counts so long as failing. */
#define RESOLVER_FAILING_MS (5 * 60 * 1000)

struct resolver; /* opaque */

enum resolver_source { RESOLVER_CACHE, RESOLVER_LOOKUP, RESOLVER_STALE, RESOLVER_NONE };
enum resolver_bound {
    RESOLVER_BOUND_NAMES,
    RESOLVER_BOUND_LOOKUPS,
    RESOLVER_BOUND_WAITING,
    RESOLVER_BOUND_ADDRESSES
};

/* What happens, for counters and log lines; no lock is held. */
struct resolver_watch {
    /* Loop thread; ns: since it was wanted. */
    void (*on_lookup)(void *arg, const char *name, enum name_result result, uint64_t ns);
    /* Loop thread. It does not resolve any more (stale: an old answer is used), or is back. */
    void (*on_turn)(void *arg, const char *name, enum name_result result, bool stale);
    /* Any thread: asks were answered. */
    void (*on_answer)(void *arg, enum resolver_source source, size_t count);
    /* Any thread: a bound was met. */
    void (*on_bound)(void *arg, enum resolver_bound bound, const char *name);
    void *arg;
};
struct resolver_options {
    struct name_lookup_options lookup; /* its strings are borrowed for life */
    struct resolver_watch watch;       /* all set, or none */
    int64_t (*now_ms)(void);           /* monotonic; NULL: the clock */
};

err_t resolver_new(uv_loop_t *loop, const struct resolver_options *options, struct resolver **ret,
                   struct why *why) MUST_CHECK;
/* Loop thread: ends what is under way. Who waits for it, and who asks from now on, is not answered:
 * they are being closed too. NULL is fine. */
void resolver_close(struct resolver *r);
/* Its loop has run dry and no desk is open. */
void resolver_free(struct resolver *r);

struct resolver_counts {
    size_t names, failing, running, queued, waiting;
};
struct resolver_counts resolver_counts(struct resolver *r);

struct name_answer {
    enum name_result result;
    struct ip_list *list; /* with NAME_OK: counted, the receiver's */
    bool last;            /* else the whole one comes by done */
};
typedef void (*resolver_done)(void *arg, struct name_answer answer);

/* One ask; embedded where the answer is wanted, zeroed at first. */
struct resolver_ask {
    TAILQ_ENTRY(resolver_ask) in_job, in_desk; /* in_desk: the answer lies there */
    struct resolver_desk *desk;
    struct name_job *job; /* NULL: waits for no look-up */
    bool told;            /* anything so far */
    struct name_answer answer;
    resolver_done done;
    void *arg;
};
TAILQ_HEAD(resolver_asks, resolver_ask);

/* Where a loop's answers come to. */
struct resolver_desk {
    struct resolver *resolver; /* NULL: none, all asks fail */
    uv_async_t bell;
    struct resolver_asks ready;
    bool open;
};
err_t resolver_desk_open(struct resolver_desk *d, struct resolver *r, uv_loop_t *loop,
                         struct why *why) MUST_CHECK;
/* No ask is left at it. Twice is fine. */
void resolver_desk_close(struct resolver_desk *d);

/* True: *ret is an answer. Without `last` in it, or with false, done is called from the desk's
 * loop, once or twice, until the last. */
bool resolver_ask(struct resolver_desk *d, struct resolver_ask *a, const char *name,
                  resolver_done done, void *arg, struct name_answer *ret);
/* done is not called any more. An ask that is over is fine. */
void resolver_forget(struct resolver_ask *a);

#endif

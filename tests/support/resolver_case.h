/* A resolver with a name server of the test's own, and those who ask it. */
#ifndef SPINDLE_TESTS_RESOLVER_CASE_H
#define SPINDLE_TESTS_RESOLVER_CASE_H

#include "common/resolve/resolver.h"
#include "tests/support/fake_dns.h"

struct asker {
    struct resolver_ask ask;
    unsigned answers; /* now or later */
    bool last;
    enum name_result result;
    size_t count;
    uint8_t low; /* last byte of the first address */
};

struct resolver_case {
    uv_loop_t loop;
    struct fake_dns dns;
    struct resolver *resolver;
    struct resolver_desk desk;
    unsigned lookups, turns, bounds, sources[4];
    enum name_result turned_to;
    bool turned_stale;
    enum resolver_bound bound;
};

extern int64_t resolver_case_ms; /* the resolver's clock: it stands but for what a test says */

void resolver_case_open(struct resolver_case *f, const struct fake_dns_row *rows, int server_ms);
void resolver_case_done(struct resolver_case *f);
/* True: answered now, and that is all. */
bool resolver_case_ask(struct resolver_case *f, struct asker *a, const char *name);
void resolver_case_turn(struct resolver_case *f);
void resolver_case_ask_to_end(struct resolver_case *f, struct asker *a, const char *name);

#endif

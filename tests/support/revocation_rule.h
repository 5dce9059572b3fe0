/* A revocation cache that is written all the time, and readers who can tell a wrong answer: what a
 * serial may ever say follows from its number, so any other answer was never written. Readers are
 * threads or processes; the struct rule_shared lies in memory they all see. */
#ifndef SPINDLE_TESTS_REVOCATION_RULE_H
#define SPINDLE_TESTS_REVOCATION_RULE_H

#include "common/revocation/revocation_table.h"

#define RULE_NOW 1800000000
#define RULE_READERS_MAX 16
#define RULE_CHANGING 3000 /* serials and IDs that change all the time */

/* Written before it is told here, told before it is forgotten: between `low` and `high` every
 * number of the rising kind is revoked. */
struct rule_shared {
    _Atomic uint64_t low, high;
    _Atomic uint64_t tables; /* made so far: a reader takes the newest before it judges */
    atomic_bool stop;
    _Atomic uint64_t asked[RULE_READERS_MAX], wrong[RULE_READERS_MAX];
};
struct rule_shared *rule_shared_new(void); /* inherited by fork */
void rule_shared_free(struct rule_shared *s);

struct rule_options {
    size_t capacity;     /* to start with */
    uint64_t fixed;      /* serials set at the start and never changed */
    uint64_t window;     /* how many numbers rise before they are forgotten again */
    uint64_t per_issuer; /* every so many of them an issuer of its own rises too */
    uint64_t issuers;    /* and so many at most */
    size_t readers;
};

struct rule_writer {
    struct revocation_writer *cache;
    struct rule_shared *shared;
    struct rule_options opt;
    int sockets[RULE_READERS_MAX]; /* to each reader: new tables go there */
    uint64_t random, changes;
    bool is_told;
};

/* Ends the program when something fails: nothing can be judged then. */
void rule_writer_open(struct rule_writer *w, struct rule_shared *shared,
                      const struct rule_options *opt, int ret_sockets[]);
void rule_writer_close(struct rule_writer *w);
void rule_writer_step(struct rule_writer *w); /* one change at random */

struct rule_reader {
    struct rule_shared *shared;
    const struct rule_options *opt;
    struct revocation_view *view;
    int socket;    /* -1: the view is given and stays */
    size_t number; /* of this reader */
    uint64_t tables, random, generation;
    uint64_t last[2][RULE_CHANGING]; /* newest write seen of each changing serial and ID */
};
/* A few look-ups of each kind. Counts in shared->asked and ->wrong; a wrong one is told on stderr.
 */
void rule_reader_step(struct rule_reader *r);
void rule_reader_run(struct rule_reader *r); /* until shared->stop */
void rule_reader_close(struct rule_reader *r);

uint64_t rule_sum(const _Atomic uint64_t counts[static RULE_READERS_MAX]);

#endif

/* The revocation cache for a long time, by hand: one writer that never rests, eight readers, half
 * of them threads beside it and half processes, each of whom can tell an answer that was never
 * written. soak_revocation_cache [seconds] [serials set from the start] Ends with exit code 0 when
 * no answer was wrong. Under the tsan preset too. */
#include "common/base/clock.h"
#include "tests/support/revocation_rule.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define READERS 8
#define NS_PER_S UINT64_C(1000000000)

static struct rule_shared *shared;
static struct rule_writer w;
static struct rule_reader readers[READERS];
static struct rule_options opt;

static void *run(void *arg)
{
    rule_reader_run(arg);
    return NULL;
}

static void start(uint64_t fixed)
{
    int sockets[RULE_READERS_MAX];
    opt = (struct rule_options){.fixed = fixed,
                                .window = 20000,
                                .per_issuer = 1024,
                                .issuers = UINT64_MAX,
                                .readers = READERS};
    rule_writer_open(&w, shared, &opt, sockets);
    for (size_t i = 0; i < READERS; i++) {
        readers[i].shared = shared;
        readers[i].opt = &opt;
        readers[i].number = readers[i].random = i;
        readers[i].socket = sockets[i];
    }
}

static void tell(uint64_t begin, const char *end)
{
    fprintf(stderr, "\r%5llu s, %llu changes, %llu tables, %llu look-ups, %llu wrong%s",
            (unsigned long long)((clock_mono_ns() - begin) / NS_PER_S),
            (unsigned long long)w.changes, (unsigned long long)atomic_load(&shared->tables),
            (unsigned long long)rule_sum(shared->asked),
            (unsigned long long)rule_sum(shared->wrong), end);
}

static void write_until(uint64_t begin, uint64_t end)
{
    uint64_t told = begin;
    for (uint64_t now = begin; now < end; now = clock_mono_ns()) {
        for (int i = 0; i < 1000; i++)
            rule_writer_step(&w);
        revocation_writer_alive(w.cache, clock_wall_s());
        if (now - told > NS_PER_S) {
            tell(begin, "");
            told = now;
        }
    }
    atomic_store(&shared->stop, true);
}

int main(int argc, char **argv)
{
    uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 600;
    uint64_t fixed = argc > 2 ? strtoull(argv[2], NULL, 10) : 50000;
    uint64_t begin = clock_mono_ns();
    pid_t children[READERS];
    pthread_t threads[READERS];
    bool good = fixed > 0;
    shared = rule_shared_new();
    start(fixed);
    for (size_t i = 0; i < READERS / 2; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            rule_reader_run(&readers[i]);
            _exit(0);
        }
    }
    for (size_t i = READERS / 2; i < READERS; i++)
        good &= pthread_create(&threads[i], NULL, run, &readers[i]) == 0;
    write_until(begin, good ? begin + seconds * NS_PER_S : begin);
    for (size_t i = 0; i < READERS / 2; i++) {
        int status = -1;
        good &= waitpid(children[i], &status, 0) == children[i] && status == 0;
    }
    for (size_t i = READERS / 2; i < READERS; i++)
        pthread_join(threads[i], NULL);
    tell(begin, "\n");
    good &= rule_sum(shared->wrong) == 0;
    printf("%s\n", good ? "passed" : "FAILED");
    return good ? 0 : 1;
}

#include "tests/support/resolver_case.h"

#include "tests/support/runner.h"

int64_t resolver_case_ms;

static int64_t test_now(void)
{
    return 1000000 + resolver_case_ms;
}

static void on_lookup(void *arg, const char *name, enum name_result result, uint64_t ns)
{
    struct resolver_case *f = arg;
    (void)name, (void)result, (void)ns;
    f->lookups++;
}

static void on_turn(void *arg, const char *name, enum name_result result, bool stale)
{
    struct resolver_case *f = arg;
    (void)name;
    f->turns++;
    f->turned_to = result;
    f->turned_stale = stale;
}

static void on_answer(void *arg, enum resolver_source source, size_t count)
{
    struct resolver_case *f = arg;
    __atomic_add_fetch(&f->sources[source], (unsigned)count, __ATOMIC_RELAXED);
}

static void on_bound(void *arg, enum resolver_bound bound, const char *name)
{
    struct resolver_case *f = arg;
    (void)name;
    f->bounds++;
    f->bound = bound;
}

void resolver_case_open(struct resolver_case *f, const struct fake_dns_row *rows, int server_ms)
{
    struct why why = {0};
    *f = (struct resolver_case){.lookups = 0};
    resolver_case_ms = 0;
    ck_assert_int_eq(uv_loop_init(&f->loop), 0);
    fake_dns_open(&f->dns, &f->loop, rows);
    struct resolver_options options = {
        .lookup = {.resolv_conf = "/dev/null", .servers = f->dns.servers, .server_ms = server_ms},
        .watch = {on_lookup, on_turn, on_answer, on_bound, f},
        .now_ms = test_now};
    ck_assert_int_eq(resolver_new(&f->loop, &options, &f->resolver, &why), ERR_OK);
    ck_assert_int_eq(resolver_desk_open(&f->desk, f->resolver, &f->loop, &why), ERR_OK);
}

void resolver_case_done(struct resolver_case *f)
{
    resolver_desk_close(&f->desk);
    resolver_close(f->resolver);
    fake_dns_close(&f->dns);
    ck_assert_int_eq(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&f->loop), 0);
    ck_assert_uint_eq(resolver_counts(f->resolver).waiting, 0);
    resolver_free(f->resolver);
}

static void take(struct asker *a, struct name_answer answer)
{
    ck_assert(!a->last);
    a->answers++;
    a->last = answer.last;
    a->result = answer.result;
    ck_assert_int_eq(answer.list != NULL, answer.result == NAME_OK);
    if (answer.list != NULL) {
        a->count = answer.list->count;
        a->low = answer.list->items[0].bytes[answer.list->items[0].family == AF_INET ? 3 : 15];
    }
    ip_list_unref(answer.list);
}

static void on_done(void *arg, struct name_answer answer)
{
    take(arg, answer);
}

bool resolver_case_ask(struct resolver_case *f, struct asker *a, const char *name)
{
    struct name_answer answer;
    *a = (struct asker){.answers = 0};
    if (resolver_ask(&f->desk, &a->ask, name, on_done, a, &answer))
        take(a, answer);
    return a->last;
}

void resolver_case_turn(struct resolver_case *f)
{
    uv_run(&f->loop, UV_RUN_ONCE);
}

void resolver_case_ask_to_end(struct resolver_case *f, struct asker *a, const char *name)
{
    resolver_case_ask(f, a, name);
    while (!a->last)
        resolver_case_turn(f);
    resolver_forget(&a->ask);
}

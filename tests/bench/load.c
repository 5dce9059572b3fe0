/* Load for measuring a pair of proxies from outside; tests/bench/run drives it. Loopback only.
 * Each command prints one line of JSON. The work it costs itself is not what is measured. */
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/bench/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define WORKERS_MAX 64
#define CHUNK (256u << 10)
#define PATIENCE_S 20

/* What the workers of `connect` and `handshake` share. */
struct crew {
    uint16_t port;
    long total;
    SSL_CTX *tls; /* NULL: plain connections */
    atomic_long next, failed;
};

static void complain(const char *what)
{
    fprintf(stderr, "bench_load: %s: %s\n", what, strerror(errno));
}

static bool send_all(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static int dial(uint16_t port)
{
    int fd = sink_dial(port);

    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = PATIENCE_S},
                   sizeof(struct timeval));
    return fd;
}

/* A connection that has proved its way to the app: one byte went there and came back. */
static int dial_echo(uint16_t port)
{
    int fd = dial(port);
    char back;

    if (fd < 0)
        return -1;
    if (send_all(fd, (char[]){SINK_ECHO, 'x'}, 2) && recv(fd, &back, 1, 0) == 1)
        return fd;
    close(fd);
    return -1;
}

static bool handshake_once(const struct crew *crew)
{
    int fd = dial(crew->port);
    SSL *tls = SSL_new(crew->tls);
    char back;
    bool ok = fd >= 0 && tls && SSL_set_fd(tls, fd) == 1 && SSL_connect(tls) == 1 &&
              SSL_write(tls, (char[]){SINK_ECHO, 'x'}, 2) == 2 && SSL_read(tls, &back, 1) == 1;

    if (ok)
        SSL_shutdown(tls);
    else
        ERR_print_errors_fp(stderr);
    SSL_free(tls);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool connect_once(const struct crew *crew)
{
    int fd = dial_echo(crew->port);

    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static void *work(void *arg)
{
    struct crew *crew = arg;

    while (atomic_fetch_add(&crew->next, 1) < crew->total) {
        bool ok = crew->tls ? handshake_once(crew) : connect_once(crew);
        if (!ok && atomic_fetch_add(&crew->failed, 1) == 0)
            complain("first failure");
    }
    return NULL;
}

static int run_crew(struct crew *crew, long workers)
{
    pthread_t threads[WORKERS_MAX];
    long started = 0;
    uint64_t begin = clock_mono_ns();

    while (started < workers && started < WORKERS_MAX &&
           pthread_create(&threads[started], NULL, work, crew) == 0)
        started++;
    for (long i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    double seconds = (double)(clock_mono_ns() - begin) / 1e9;
    printf("{\"done\": %ld, \"failed\": %ld, \"seconds\": %.6f}\n", crew->total, (long)crew->failed,
           seconds);
    return started > 0 ? 0 : 1;
}

static int cmd_connect(char **arg)
{
    struct crew crew = {.port = (uint16_t)atol(arg[0]), .total = atol(arg[1])};
    return run_crew(&crew, atol(arg[2]));
}

/* Straight at the inbound proxy: every handshake is a full one with X25519, as most clients do. */
static int cmd_handshake(char **arg)
{
    struct crew crew = {.port = (uint16_t)atol(arg[0]), .total = atol(arg[1])};
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    int rc = 1;

    if (tls && SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) == 1 &&
        SSL_CTX_set1_groups_list(tls, "X25519") == 1 &&
        SSL_CTX_use_certificate_chain_file(tls, arg[3]) == 1 &&
        SSL_CTX_use_PrivateKey_file(tls, arg[4], SSL_FILETYPE_PEM) == 1) {
        SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
        crew.tls = tls;
        rc = run_crew(&crew, atol(arg[2]));
    } else {
        ERR_print_errors_fp(stderr);
    }
    SSL_CTX_free(tls);
    return rc;
}

static int cmd_bulk(char **arg)
{
    int fd = dial((uint16_t)atol(arg[0]));
    uint64_t total = strtoull(arg[1], NULL, 10);
    static char chunk[CHUNK];
    uint8_t head[9] = {SINK_BULK};
    char back;
    uint64_t begin = clock_mono_ns();

    for (int i = 0; i < 8; i++)
        head[1 + i] = (uint8_t)(total >> (56 - 8 * i));
    bool ok = fd >= 0 && send_all(fd, head, sizeof head);
    for (uint64_t left = total; ok && left > 0;) {
        size_t n = left < CHUNK ? (size_t)left : CHUNK;
        ok = send_all(fd, chunk, n);
        left -= n;
    }
    if (!ok || recv(fd, &back, 1, 0) != 1) {
        complain("bulk");
        return 1;
    }
    printf("{\"bytes\": %llu, \"seconds\": %.6f}\n", (unsigned long long)total,
           (double)(clock_mono_ns() - begin) / 1e9);
    close(fd);
    return 0;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int cmd_roundtrip(char **arg)
{
    int fd = dial_echo((uint16_t)atol(arg[0]));
    long total = atol(arg[1]), done = 0;
    double *us = mem_array((size_t)total + 1, sizeof *us);
    char byte = 'x';
    int rc = 1;

    if (fd < 0 || !us)
        goto out;
    for (; done < total; done++) {
        uint64_t begin = clock_mono_ns();
        if (!send_all(fd, &byte, 1) || recv(fd, &byte, 1, 0) != 1)
            goto out;
        us[done] = (double)(clock_mono_ns() - begin) / 1e3;
    }
    qsort(us, (size_t)total, sizeof *us, by_size);
    printf("{\"done\": %ld, \"p50_us\": %.1f, \"p99_us\": %.1f}\n", total, us[total / 2],
           us[total * 99 / 100]);
    rc = 0;
out:
    if (rc != 0)
        complain("roundtrip");
    if (fd >= 0)
        close(fd);
    mem_free(us);
    return rc;
}

/* Connections that have carried a byte and then rest, until our standard input ends. */
static int cmd_hold(char **arg)
{
    long total = atol(arg[1]), held = 0;
    char byte;

    for (long i = 0; i < total; i++)
        held += dial_echo((uint16_t)atol(arg[0])) >= 0;
    printf("{\"held\": %ld}\n", held);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return held == total ? 0 : 1;
}

static int cmd_sink(char **arg)
{
    (void)arg;
    sink_run();
    complain("sink");
    return 1;
}

static const struct {
    const char *name;
    int args;
    int (*run)(char **arg);
    const char *usage;
} commands[] = {
    {"sink", 0, cmd_sink, ""},
    {"bulk", 2, cmd_bulk, "PORT BYTES"},
    {"connect", 3, cmd_connect, "PORT COUNT WORKERS"},
    {"handshake", 5, cmd_handshake, "PORT COUNT WORKERS CERTIFICATE KEY"},
    {"roundtrip", 2, cmd_roundtrip, "PORT COUNT"},
    {"hold", 2, cmd_hold, "PORT COUNT"},
};

int main(int argc, char **argv)
{
    struct rlimit files;

    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (argc == commands[i].args + 2 && strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argv + 2);
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(stderr, "usage: bench_load %s %s\n", commands[i].name, commands[i].usage);
    return 2;
}

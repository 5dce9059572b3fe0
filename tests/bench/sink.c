#include "tests/bench/sink.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_MAX 65536 /* by descriptor number */
#define DROP_AT_ONCE (1u << 20)

struct client {
    enum { AWAIT_MODE, ECHO, AWAIT_LENGTH, DROP } state;
    unsigned length_bytes;
    uint64_t left;
};

/* One step of one client; 0 when it would block, is finished or broken. */
static ssize_t step(int fd, struct client *c)
{
    uint8_t bytes[4096];
    ssize_t n;

    switch (c->state) {
    case AWAIT_MODE:
        n = recv(fd, bytes, 1, 0);
        if (n == 1)
            *c = (struct client){.state = bytes[0] == SINK_BULK ? AWAIT_LENGTH : ECHO};
        return n;
    case ECHO:
        n = recv(fd, bytes, sizeof bytes, 0);
        return n > 0 ? send(fd, bytes, (size_t)n, MSG_NOSIGNAL) : n;
    case AWAIT_LENGTH:
        n = recv(fd, bytes, 8 - c->length_bytes, 0);
        for (ssize_t i = 0; i < n; i++)
            c->left = c->left << 8 | bytes[i];
        c->length_bytes += n > 0 ? (unsigned)n : 0;
        if (c->length_bytes == 8)
            c->state = DROP;
        return n;
    case DROP:
        /* MSG_TRUNC without a buffer: the kernel frees the bytes and copies nothing. */
        n = recv(fd, NULL, c->left < DROP_AT_ONCE ? c->left : DROP_AT_ONCE, MSG_TRUNC);
        c->left -= n > 0 ? (uint64_t)n : 0;
        if (c->left == 0) {
            *c = (struct client){.state = AWAIT_MODE};
            return send(fd, &(char){SINK_DONE}, 1, MSG_NOSIGNAL);
        }
        return n;
    }
    return 0;
}

static void serve(int fd, struct client *c)
{
    ssize_t n;

    do {
        n = step(fd, c);
    } while (n > 0 && c->state != ECHO);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        close(fd);
}

static void admit(int epoll, int listener, struct client *clients)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        if (fd >= CLIENTS_MAX || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) != 0) {
            close(fd);
            continue;
        }
        clients[fd] = (struct client){.state = AWAIT_MODE};
    }
}

static int listen_somewhere(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        return -1;
    printf("address=127.0.0.1:%u\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

int sink_run(void)
{
    static struct client clients[CLIENTS_MAX];
    int listener = listen_somewhere();
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener};

    if (listener < 0 || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev) != 0)
        return -1;
    for (;;) {
        struct epoll_event ready[256];
        int n = epoll_wait(epoll, ready, 256, -1);
        if (n < 0 && errno != EINTR)
            return -1;
        for (int i = 0; i < n; i++) {
            if (ready[i].data.fd == listener)
                admit(epoll, listener, clients);
            else
                serve(ready[i].data.fd, &clients[ready[i].data.fd]);
        }
    }
}

int sink_dial(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        int cause = errno;
        close(fd);
        errno = cause;
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

#include "tests/support/fake_dns.h"

#include "common/base/mem.h"
#include "tests/support/runner.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define UDP_MAX 1232
#define ANSWER_MAX 16384
#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_AAAA 28

struct message {
    uint8_t bytes[ANSWER_MAX];
    size_t len;
};

struct question {
    char name[256];
    unsigned type;
    size_t end; /* of the question in the message */
    bool edns;
};

/* --- bytes ------------------------------------------------------------------------------------ */

static void put(struct message *m, const void *bytes, size_t len)
{
    ck_assert_uint_le(m->len + len, sizeof m->bytes);
    memcpy(m->bytes + m->len, bytes, len);
    m->len += len;
}

static void put16(struct message *m, unsigned v)
{
    const uint8_t b[] = {(uint8_t)(v >> 8), (uint8_t)v};
    put(m, b, 2);
}

static void put_name(struct message *m, const char *name)
{
    while (*name != '\0') {
        const char *dot = strchr(name, '.');
        uint8_t len = (uint8_t)(dot != NULL ? (size_t)(dot - name) : strlen(name));
        put(m, &len, 1);
        put(m, name, len);
        name += len + (dot != NULL ? 1 : 0);
    }
    put(m, "", 1);
}

static struct question parse(const uint8_t *in, size_t len)
{
    struct question q = {.end = 12};
    size_t at = 0;
    while (q.end < len && in[q.end] != 0) {
        size_t n = in[q.end++];
        at += (size_t)snprintf(q.name + at, sizeof q.name - at, "%s%.*s", at > 0 ? "." : "", (int)n,
                               (const char *)in + q.end);
        q.end += n;
    }
    ck_assert_uint_le(q.end + 5, len);
    q.type = (unsigned)in[q.end + 1] << 8 | in[q.end + 2];
    q.end += 5;
    q.edns = in[11] > 0;
    return q;
}

/* --- answers ---------------------------------------------------------------------------------- */

static const struct fake_dns_row *find(const struct fake_dns *s, const char *name)
{
    const struct fake_dns_row *row = s->rows;
    while (row->name != NULL && strcasecmp(row->name, name) != 0)
        row++;
    return row->name != NULL ? row : NULL;
}

static void put_record(struct message *m, const char *owner, unsigned type, uint32_t ttl,
                       const void *data, size_t len)
{
    put_name(m, owner);
    put16(m, type);
    put16(m, 1);
    put16(m, ttl >> 16);
    put16(m, ttl & 0xffff);
    put16(m, (unsigned)len);
    put(m, data, len);
}

static unsigned put_addresses(struct message *m, const struct fake_dns_row *row, const char *owner,
                              unsigned type)
{
    unsigned count = 0;
    char words[2048], *rest = words;
    const char *list = type == TYPE_A ? row->v4 : row->v6;
    snprintf(words, sizeof words, "%s", list != NULL ? list : "");
    for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL; count++) {
        uint8_t bytes[16];
        ck_assert_int_eq(inet_pton(type == TYPE_A ? AF_INET : AF_INET6, word, bytes), 1);
        put_record(m, owner, type, row->ttl, bytes, type == TYPE_A ? 4 : 16);
    }
    for (unsigned i = 0; type == TYPE_A && i < row->more_v4; i++, count++) {
        const uint8_t bytes[] = {10, 1, (uint8_t)((i + 1) >> 8), (uint8_t)(i + 1)};
        put_record(m, owner, type, row->ttl, bytes, 4);
    }
    return count;
}

static void answer(struct message *m, const uint8_t *in, const struct question *q,
                   const struct fake_dns_row *row, bool tcp)
{
    static const unsigned codes[] = {[FAKE_DNS_DENIES] = 3,
                                     [FAKE_DNS_FAILS] = 2,
                                     [FAKE_DNS_REFUSES] = 5,
                                     [FAKE_DNS_GARBAGE] = 0};
    unsigned code = row == NULL ? 3 : codes[row->mode], count = 0;
    m->len = 0;
    put(m, in, q->end);
    memset(m->bytes + 6, 0, 6);
    if (row != NULL && code == 0) {
        const char *owner = row->cname != NULL ? row->cname : row->name;
        if (row->cname != NULL) {
            struct message target = {.len = 0};
            put_name(&target, row->cname);
            put_record(m, row->name, TYPE_CNAME, row->ttl, target.bytes, target.len);
            count = 1;
        }
        count += put_addresses(m, row, owner, q->type);
        if (row->mode == FAKE_DNS_GARBAGE)
            m->len -= count > 0 ? 3 : 0;
    }
    bool cut = !tcp && m->len > UDP_MAX;
    m->bytes[2] = (uint8_t)(0x84 | (cut ? 2 : 0));
    m->bytes[3] = (uint8_t)(0x80 | code);
    m->bytes[6] = (uint8_t)(cut ? 0 : count >> 8);
    m->bytes[7] = (uint8_t)(cut ? 0 : count);
    m->len = cut ? q->end : m->len;
}

/* False: nothing is sent. */
static bool handle(struct fake_dns *s, const uint8_t *in, size_t len, bool tcp, struct message *m,
                   bool *ret_hold)
{
    struct question q = parse(in, len);
    const struct fake_dns_row *row = find(s, q.name);
    enum fake_dns_mode mode = row != NULL ? row->mode : FAKE_DNS_DENIES;
    bool v6 = q.type == TYPE_AAAA;
    s->asked++;
    s->asked_v4 += q.type == TYPE_A;
    s->asked_v6 += v6;
    s->by_tcp += tcp;
    s->with_edns += q.edns;
    if (mode == FAKE_DNS_SILENT || (mode == FAKE_DNS_SILENT_V6 && v6))
        return false;
    struct fake_dns_row plain = row != NULL ? *row : (struct fake_dns_row){.name = NULL};
    if (mode == FAKE_DNS_SILENT_V6 || mode == FAKE_DNS_LATE_V6 || mode == FAKE_DNS_LATE)
        plain.mode = FAKE_DNS_ANSWERS;
    answer(m, in, &q, row != NULL ? &plain : NULL, tcp);
    *ret_hold = mode == FAKE_DNS_LATE || (mode == FAKE_DNS_LATE_V6 && v6);
    return true;
}

/* --- udp -------------------------------------------------------------------------------------- */

static void send_to(struct fake_dns *s, const uint8_t *bytes, size_t len,
                    const struct sockaddr_in *to)
{
    uv_buf_t out = uv_buf_init((char *)bytes, (unsigned)len);
    (void)uv_udp_try_send(&s->udp, &out, 1, (const struct sockaddr *)to);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *ret)
{
    static char room[65536];
    (void)handle;
    (void)size;
    *ret = uv_buf_init(room, sizeof room);
}

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *in, const struct sockaddr *from,
                        unsigned flags)
{
    struct fake_dns *s = udp->data;
    static struct message m;
    bool hold = false;
    (void)flags;
    if (n <= 0 || from == NULL ||
        !handle(s, (const uint8_t *)in->base, (size_t)n, false, &m, &hold))
        return;
    if (!hold) {
        send_to(s, m.bytes, m.len, (const struct sockaddr_in *)from);
    } else if (s->held_count < FAKE_DNS_HELD) {
        memcpy(s->held[s->held_count].bytes, m.bytes, m.len);
        s->held[s->held_count].len = m.len;
        s->held[s->held_count++].to = *(const struct sockaddr_in *)from;
    }
}

void fake_dns_release(struct fake_dns *s)
{
    for (size_t i = 0; i < s->held_count; i++)
        send_to(s, s->held[i].bytes, s->held[i].len, &s->held[i].to);
    s->held_count = 0;
}

/* --- tcp: one question a read, as all who ask here do ----------------------------------------- */

static void on_gone(uv_handle_t *handle)
{
    struct fake_dns *s = handle->data;
    s->clients--;
    mem_free(handle);
}

static void on_stream(uv_stream_t *stream, ssize_t n, const uv_buf_t *in)
{
    struct fake_dns *s = stream->data;
    static struct message m;
    bool hold = false;
    if (n < 2) {
        uv_close((uv_handle_t *)stream, on_gone);
        return;
    }
    if (!handle(s, (const uint8_t *)in->base + 2, (size_t)n - 2, true, &m, &hold))
        return;
    uint8_t head[] = {(uint8_t)(m.len >> 8), (uint8_t)m.len};
    uv_buf_t out[] = {uv_buf_init((char *)head, 2), uv_buf_init((char *)m.bytes, (unsigned)m.len)};
    ck_assert_int_eq(uv_try_write(stream, out, 2), (int)m.len + 2);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct fake_dns *s = server->data;
    uv_tcp_t *client = mem_alloc(sizeof *client);
    ck_assert_int_eq(status, 0);
    uv_tcp_init(s->loop, client);
    client->data = s;
    s->clients++;
    ck_assert_int_eq(uv_accept(server, (uv_stream_t *)client), 0);
    uv_read_start((uv_stream_t *)client, on_alloc, on_stream);
}

/* --- life ------------------------------------------------------------------------------------- */

/* False: the port is taken by another's TCP. */
static bool bind_both(struct fake_dns *s)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int len = sizeof sa;
    uv_udp_init(s->loop, &s->udp);
    uv_tcp_init(s->loop, &s->tcp);
    s->udp.data = s->tcp.data = s;
    ck_assert_int_eq(uv_udp_bind(&s->udp, (struct sockaddr *)&sa, 0), 0);
    ck_assert_int_eq(uv_udp_getsockname(&s->udp, (struct sockaddr *)&sa, &len), 0);
    s->port = ntohs(sa.sin_port);
    if (uv_tcp_bind(&s->tcp, (struct sockaddr *)&sa, 0) == 0 &&
        uv_listen((uv_stream_t *)&s->tcp, 8, on_connection) == 0)
        return true;
    uv_close((uv_handle_t *)&s->udp, NULL);
    uv_close((uv_handle_t *)&s->tcp, NULL);
    uv_run(s->loop, UV_RUN_NOWAIT);
    return false;
}

void fake_dns_open(struct fake_dns *s, uv_loop_t *loop, const struct fake_dns_row *rows)
{
    *s = (struct fake_dns){.loop = loop, .rows = rows};
    for (int tries = 0; !bind_both(s); tries++)
        ck_assert_int_lt(tries, 100);
    uv_udp_recv_start(&s->udp, on_alloc, on_datagram);
    uv_unref((uv_handle_t *)&s->udp); /* the loop ends when those who ask have */
    uv_unref((uv_handle_t *)&s->tcp);
    snprintf(s->servers, sizeof s->servers, "127.0.0.1:%u", s->port);
}

void fake_dns_close(struct fake_dns *s)
{
    if (uv_is_closing((uv_handle_t *)&s->udp))
        return;
    uv_close((uv_handle_t *)&s->udp, NULL);
    uv_close((uv_handle_t *)&s->tcp, NULL);
}

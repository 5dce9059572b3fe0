#include "common/tls/tls_records.h"

#include <string.h>

#define SECOND_NS UINT64_C(1000000000)

void tls_records_init(struct tls_records *r, uint64_t now_ns, bool tickets)
{
    *r = (struct tls_records){.tokens = TLS_SILENT_BURST + (tickets ? TLS_TICKET_PIECES : 0),
                              .filled_ns = now_ns};
}

void tls_records_start(struct tls_records *r)
{
    r->records = r->taken = 0;
}

/* RFC 8446 section 5.1: type, version, length. */
static void end_head(struct tls_records *r)
{
    r->left = (uint32_t)r->head[3] << 8 | r->head[4];
    if (r->left > 0)
        return;
    r->head_len = 0;
    r->whole++;
    r->records++;
}

void tls_records_saw(struct tls_records *r, const uint8_t *bytes, size_t len)
{
    r->taken += len;
    while (len > 0) {
        bool in_head = r->head_len < sizeof r->head;
        size_t want = in_head ? sizeof r->head - r->head_len : r->left;
        size_t n = len < want ? len : want;
        if (in_head) {
            memcpy(r->head + r->head_len, bytes, n);
            r->head_len += (uint32_t)n;
            if (r->head_len == sizeof r->head)
                end_head(r);
        } else {
            r->left -= (uint32_t)n;
            if (r->left == 0) {
                r->head_len = 0;
                r->whole++;
                r->records++;
            }
        }
        bytes += n;
        len -= n;
    }
}

static void add_tokens(struct tls_records *r, uint64_t count)
{
    uint64_t room = r->tokens < TLS_SILENT_BURST ? TLS_SILENT_BURST - r->tokens : 0;
    r->tokens += (uint32_t)(count < room ? count : room);
}

void tls_records_data(struct tls_records *r, size_t len)
{
    if (r->whole > 0)
        r->whole--;
    r->bytes += len;
    if (r->bytes >= TLS_SILENT_BYTES) {
        add_tokens(r, r->bytes / TLS_SILENT_BYTES);
        r->bytes %= TLS_SILENT_BYTES;
    }
}

bool tls_records_pay(struct tls_records *r, uint64_t now_ns)
{
    if (r->whole == 0)
        return true;
    uint64_t seconds = now_ns > r->filled_ns ? (now_ns - r->filled_ns) / SECOND_NS : 0;
    add_tokens(r, seconds);
    r->filled_ns += seconds * SECOND_NS;
    bool enough = r->whole <= r->tokens;
    r->tokens -= enough ? (uint32_t)r->whole : r->tokens;
    r->whole = 0;
    return enough;
}

size_t tls_records_room(const struct tls_records *r)
{
    bool small = r->records > 1 && r->taken / r->records < TLS_SMALL_RECORD;
    return small ? TLS_SMALL_READ : SIZE_MAX;
}

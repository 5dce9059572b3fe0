/* The shared table from a hostile writer: bytes as they come, bytes behind a header that holds, and
 * a real table with some bytes changed. Every look-up ends inside the bytes with an answer that
 * makes sense. And the writer itself, against a list of what it was told. */
#include "common/revocation/revocation_table.h"

#include <stdlib.h>
#include <unistd.h>

#define NOW 1000
#define ALIGNMENT 64
#define SERIALS 96 /* more than the smallest table holds */
#define ISSUERS 2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t issuers[ISSUERS][REVOCATION_ISSUER_LEN] = {"one", "two"};
static const char *const ids[] = {"spiffe://example.org/a", "spiffe://example.org/b"};

static void must(bool right)
{
    if (!right)
        abort();
}

static uint8_t next(struct slice *in)
{
    uint8_t byte = in->len > 0 ? in->data[0] : 0;
    *in = in->len > 0 ? slice_of(in->data + 1, in->len - 1) : *in;
    return byte;
}

static void check_sense(const struct revocation_status *got, int64_t now)
{
    must(got->state == REVOCATION_UNKNOWN || got->state == REVOCATION_GOOD ||
         got->state == REVOCATION_REVOKED);
    must(revocation_reason_is_known((unsigned)got->reason));
    must(got->state != REVOCATION_GOOD || now < got->at);
    must(got->state != REVOCATION_UNKNOWN || (got->at == 0 && !got->held));
}

static void look_up_all(const struct revocation_view *v, struct slice in)
{
    static const int64_t times[] = {0, NOW, INT64_MAX, INT64_MIN};
    for (size_t t = 0; t < sizeof times / sizeof times[0]; t++) {
        for (size_t i = 0; i < ISSUERS; i++) {
            for (size_t len = 0; len <= 24 && len <= in.len; len++) {
                struct revocation_status got =
                    revocation_view_certificate(v, issuers[i], slice_of(in.data, len), times[t]);
                check_sense(&got, times[t]);
                must(!got.held);
            }
            struct revocation_issuer list;
            if (revocation_view_issuer(v, issuers[i], &list))
                must(list.source <= REVOCATION_SOURCE_OCSP && list.next_update >= 0);
            struct revocation_id id = revocation_id_of(slice_str(ids[i]));
            struct revocation_status got = revocation_view_id(v, &id);
            check_sense(&got, times[t]);
            must(got.state != REVOCATION_GOOD && got.held == (got.state == REVOCATION_REVOKED));
        }
    }
    (void)revocation_view_generation(v);
    (void)revocation_view_alive_at(v);
}

/* Takes bytes. */
static void look_at(void *bytes, size_t size, struct slice in)
{
    struct revocation_view *v = NULL;
    if (revocation_view_of(bytes, size, &v, NULL) == ERR_OK)
        look_up_all(v, in);
    revocation_view_unref(v);
    free(bytes);
}

static void *copy_of(const void *from, size_t len, size_t size)
{
    uint8_t *bytes = aligned_alloc(ALIGNMENT, (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    must(bytes != NULL);
    memset(bytes, 0, size);
    memcpy(bytes, from, len);
    return bytes;
}

/* The input over and over, behind a header of this size. */
static void behind_a_header(struct slice in)
{
    uint32_t issuer_count = 1u + next(&in) % 80, rows = 1u + next(&in) * 9u;
    size_t size = table_size(issuer_count, rows);
    uint8_t *bytes = copy_of("", 0, size);
    struct table_header *h = (struct table_header *)(void *)bytes;
    for (size_t i = sizeof *h; i < size && in.len > 0; i++)
        bytes[i] = in.data[i % in.len];
    h->magic = TABLE_MAGIC;
    h->version = TABLE_VERSION;
    h->issuer_capacity = issuer_count;
    h->row_capacity = rows;
    look_at(bytes, size, in);
}

static struct revocation_writer *new_writer(void)
{
    struct revocation_writer *w = NULL;
    must(revocation_writer_new(0, NULL, NULL, &w, NULL) == ERR_OK);
    return w;
}

static struct slice serial_of(uint8_t n, uint8_t out[static 3])
{
    out[0] = 0;
    out[1] = (uint8_t)(n / 2);
    out[2] = n;
    return slice_of(out, 3);
}

/* A table with some of everything, some bytes of it changed: pairs of place and byte. */
static void change_real(struct slice in)
{
    struct revocation_status status = {.state = REVOCATION_REVOKED, .at = NOW};
    struct revocation_issuer list = {.complete = true, .next_update = NOW + 1};
    struct revocation_writer *w = new_writer();
    uint8_t room[3];
    must(revocation_writer_issuer(w, issuers[0], &list, NULL) == ERR_OK);
    for (uint8_t n = 0; n < 40; n++)
        must(revocation_writer_set(w, issuers[n % ISSUERS], serial_of(n, room), &status, NULL) ==
             ERR_OK);
    must(revocation_writer_hold(w, slice_str(ids[0]), &status, NULL) == ERR_OK);
    size_t size = revocation_writer_bytes(w);
    uint8_t *bytes = copy_of(revocation_writer_map(w)->header, size, size);
    revocation_writer_free(w);
    while (in.len >= 3) {
        size_t at = (size_t)next(&in) << 8;
        at |= next(&in);
        bytes[at % size] ^= next(&in);
    }
    look_at(bytes, size, serial_of(in.len > 0 ? in.data[0] : 7, room));
}

/* What the writer was told of each serial, and nothing else, is what a view says. */
static void check_told(const struct revocation_writer *w,
                       const struct revocation_status told[ISSUERS][SERIALS])
{
    struct revocation_view *v = NULL;
    uint8_t room[3];
    size_t count = 0;
    must(revocation_view_open(dup(revocation_writer_fd(w)), &v, NULL) == ERR_OK);
    for (size_t i = 0; i < ISSUERS; i++) {
        for (uint8_t n = 0; n < SERIALS; n++) {
            const struct revocation_status *want = &told[i][n];
            struct revocation_status got =
                revocation_view_certificate(v, issuers[i], serial_of(n, room), NOW);
            must(got.state == want->state && got.reason == want->reason && got.at == want->at);
            count += want->state != REVOCATION_UNKNOWN;
        }
    }
    must(revocation_writer_count(w) == count);
    revocation_view_unref(v);
}

static void write_all(struct slice in)
{
    struct revocation_status told[ISSUERS][SERIALS] = {{{0}}};
    struct revocation_writer *w = new_writer();
    uint8_t room[3];
    while (in.len >= 2) {
        uint8_t op = next(&in), n = next(&in) % SERIALS;
        size_t i = op % ISSUERS;
        struct revocation_status status = {.state = REVOCATION_REVOKED,
                                           .reason =
                                               revocation_reason_at(op % revocation_reason_count()),
                                           .at = op * 7};
        if (op >= 0xf8) {
            revocation_writer_forget_issuer(w, issuers[i]);
            memset(told[i], 0, sizeof told[i]);
            continue;
        }
        if (op >= 0xa0)
            status = (struct revocation_status){.state = REVOCATION_UNKNOWN};
        must(revocation_writer_set(w, issuers[i], serial_of(n, room), &status, NULL) == ERR_OK);
        told[i][n] = status;
    }
    check_told(w, told);
    revocation_writer_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    switch (next(&in) % 4) {
    case 0:
        look_at(copy_of(in.data, in.len, in.len), in.len, in);
        break;
    case 1:
        behind_a_header(in);
        break;
    case 2:
        change_real(in);
        break;
    default:
        write_all(in);
    }
    return 0;
}

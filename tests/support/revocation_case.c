#include "tests/support/revocation_case.h"

#include <check.h>
#include <fcntl.h>

const uint8_t CASE_ISSUER_A[REVOCATION_ISSUER_LEN] = "issuer A";
const uint8_t CASE_ISSUER_B[REVOCATION_ISSUER_LEN] = "issuer B";

static void on_replaced(void *arg, int fd)
{
    struct revocation_case *c = arg;
    struct revocation_view *newer = NULL;
    ck_assert_int_eq(revocation_view_open(fcntl(fd, F_DUPFD_CLOEXEC, 0), &newer, &c->why), ERR_OK);
    revocation_view_unref(c->v);
    c->v = newer;
    c->replaced++;
}

void case_start(struct revocation_case *c, size_t expected)
{
    *c = (struct revocation_case){.w = NULL};
    ck_assert_int_eq(revocation_writer_new(expected, on_replaced, c, &c->w, &c->why), ERR_OK);
    on_replaced(c, revocation_writer_fd(c->w));
    c->replaced = 0;
}

void case_stop(struct revocation_case *c)
{
    revocation_view_unref(c->v);
    revocation_writer_free(c->w);
    c->v = NULL;
    c->w = NULL;
}

struct revocation_status case_revoked(enum revocation_reason reason, int64_t at)
{
    return (struct revocation_status){.state = REVOCATION_REVOKED, .reason = reason, .at = at};
}

void case_set(struct revocation_case *c, const uint8_t issuer[static REVOCATION_ISSUER_LEN],
              struct slice serial, struct revocation_status status)
{
    ck_assert_int_eq(revocation_writer_set(c->w, issuer, serial, &status, &c->why), ERR_OK);
}

void case_forget(struct revocation_case *c, const uint8_t issuer[static REVOCATION_ISSUER_LEN],
                 struct slice serial)
{
    case_set(c, issuer, serial, (struct revocation_status){.state = REVOCATION_UNKNOWN});
}

enum revocation_state case_state(const struct revocation_case *c,
                                 const uint8_t issuer[static REVOCATION_ISSUER_LEN],
                                 struct slice serial)
{
    return revocation_view_certificate(c->v, issuer, serial, CASE_NOW).state;
}

void case_complete(struct revocation_case *c, const uint8_t issuer[static REVOCATION_ISSUER_LEN],
                   bool is_complete, int64_t next_update)
{
    struct revocation_issuer list = {.complete = is_complete,
                                     .source = REVOCATION_SOURCE_CRL,
                                     .this_update = CASE_NOW - 60,
                                     .next_update = next_update};
    ck_assert_int_eq(revocation_writer_issuer(c->w, issuer, &list, &c->why), ERR_OK);
}

struct slice case_number(uint32_t n, uint8_t out[static 16])
{
    memset(out, 0x5a, 16);
    memcpy(out + 12, &n, sizeof n);
    return slice_of(out, 16);
}

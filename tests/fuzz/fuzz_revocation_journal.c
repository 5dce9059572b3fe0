/* The journal of revocations: whatever its bytes, reading ends, and what it takes can be taken into
 * memory and written anew to say the same. A check sum would keep a fuzzer at the door, so each row
 * that has the magic gets a right one in a second try. */
#include "agent/revoke/revocation_set.h"
#include "common/base/crc32c.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static err_t on_row(void *arg, const struct revocation_change *change)
{
    struct revocation_set *set = arg;
    check(change->target.len <= REVOKED_TARGET_MAX && change->count <= REVOKED_MAX);
    err_t err = revocation_set_reserve(set, change, NULL);
    if (err == ERR_OK)
        revocation_set_apply(set, change);
    return err;
}

static size_t read_into(struct slice file, struct revocation_set *set)
{
    struct why why = {.err = ERR_OK};
    size_t good = 0;
    err_t err = revocation_journal_read(file, on_row, set, &good, &why);
    check(err == ERR_OK || good == 0);
    check(good <= file.len);
    return good;
}

static void check_same(const struct revocation_set *a, const struct revocation_set *b)
{
    struct revocation_certificate c;
    struct revocation_hold h;
    size_t holds = revocation_set_holds(a, REVOKE_ID) + revocation_set_holds(a, REVOKE_ENTRY);
    check(revocation_set_certificates(a) == revocation_set_certificates(b));
    check(revocation_set_holds(a, REVOKE_ID) == revocation_set_holds(b, REVOKE_ID));
    for (size_t i = 0; i < revocation_set_certificates(a); i++)
        check(revocation_set_find(b, revocation_set_certificate_at(a, i).serial, &c));
    for (size_t i = 0; i < holds; i++) {
        struct revocation_hold want = revocation_set_hold_at(a, i);
        check(revocation_set_held(b, want.kind, slice_str(want.target), &h));
    }
}

static void try_file(struct slice file)
{
    struct revocation_set *set = NULL, *again = NULL;
    struct buf out;
    buf_init(&out, REVOCATION_JOURNAL_MAX);
    check(revocation_set_new(&set) == ERR_OK && revocation_set_new(&again) == ERR_OK);
    size_t good = read_into(file, set);
    if (good > 0) {
        check(revocation_set_write(set, &out) == ERR_OK);
        check(read_into(buf_slice(&out), again) == out.len);
        check_same(set, again);
    }
    revocation_set_free(set);
    revocation_set_free(again);
    buf_done(&out);
}

/* Walks the rows by their lengths. */
static void mend_sums(uint8_t *data, size_t size)
{
    for (size_t at = 16; size - at >= 40;) {
        uint32_t len = 0;
        for (int i = 3; i >= 0; i--)
            len = len << 8 | data[at + 8 + (size_t)i];
        if (len < 40 || len > size - at)
            return;
        uint32_t sum = crc32c(0, data + at + 8, len - 8);
        for (size_t i = 0; i < 4; i++)
            data[at + 4 + i] = (uint8_t)(sum >> 8 * i);
        at += len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf copy;
    if (size > 1 << 16)
        return 0;
    try_file(slice_of(data, size));
    buf_init(&copy, 1 << 17);
    check(revocation_journal_header(&copy) == ERR_OK);
    check(buf_append(&copy, data, size) == ERR_OK); /* rows without a header too */
    mend_sums(copy.data, copy.len);
    try_file(buf_slice(&copy));
    buf_done(&copy);
    return 0;
}

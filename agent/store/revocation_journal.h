/* The format of data_dir/revocations (docs/revocation.md): a header, then one row for each change,
 * appended and never edited. A row holds all of its change, the certificates too, behind one
 * CRC-32C: it is there whole or not at all. Pure. */
#ifndef SPINDLE_AGENT_STORE_REVOCATION_JOURNAL_H
#define SPINDLE_AGENT_STORE_REVOCATION_JOURNAL_H

#include "common/base/buf.h"
#include "common/base/why.h"
#include "common/revocation/revocation.h"

#define REVOCATION_JOURNAL_MAX (256u << 20)
#define REVOKED_MAX (1u << 20) /* certificates in one change, and in all */
#define REVOKED_TARGET_MAX 2048
#define REVOKED_SERIAL_LEN 16

enum revoke_kind { REVOKE_ID = 1, REVOKE_ENTRY = 2, REVOKE_SERIAL = 3 };

/* One certificate, as it lies in a row. */
struct revoked {
    uint8_t issuer[20]; /* key ID of who signed it */
    uint8_t serial[REVOKED_SERIAL_LEN];
    uint8_t not_after[8]; /* little endian */
};
int64_t revoked_not_after(const struct revoked *c);
void revoked_set_not_after(struct revoked *c, int64_t not_after);

struct revocation_change {
    enum revoke_kind kind;
    bool lift;
    enum revocation_reason reason;
    int64_t at; /* unix s */
    uint32_t by_uid, by_pid;
    struct slice target;           /* SPIFFE ID or entry id; of REVOKE_SERIAL empty */
    const struct revoked *revoked; /* count of them, all revoked (or lifted) with this change */
    size_t count;
};

typedef err_t revocation_fn(void *arg, const struct revocation_change *change);

err_t revocation_journal_header(struct buf *out) MUST_CHECK;
/* Appends a row; then certificates may be appended to the buffer as they are, and the row that
 * began at `start` is closed. `change` says count 0. */
err_t revocation_row_begin(struct buf *out, const struct revocation_change *change) MUST_CHECK;
void revocation_row_end(struct buf *out, size_t start);
/* A row of ours: borrows from it. */
void revocation_row_parse(struct slice row, struct revocation_change *ret);

/* Calls fn for each row until it fails. *ret_good is where the last whole row ends; what is behind
 * it is a torn append and can be cut off (0: not even the header is whole). ERR_PARSE: no journal,
 * or damaged before its end, so that a revocation may be missing; ERR_UNSUPPORTED: another version.
 */
err_t revocation_journal_read(struct slice file, revocation_fn *fn, void *arg, size_t *ret_good,
                              struct why *why) MUST_CHECK;

#endif

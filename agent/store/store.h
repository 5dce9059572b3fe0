/* Where the agent keeps what must outlive it, what it has issued and what is revoked, and finds the
 * registration entries. A table of functions, with one kind behind it: store_file.h. agent, reload,
 * record and revoker call it, nobody else; on the loop thread, all of it. Opening reads nothing;
 * load_* do, at start, before the others of their part. They block.
 *
 * What is to be kept is answered by one call of `done` with what came of it, on the loop; what was
 * lent is borrowed until then. ERR_OK: no end of this program loses it, each kind says what else
 * does. An error: it is not kept. What is kept is at hand: questions are answered at once, from
 * memory or this machine's disk. */
#ifndef SPINDLE_AGENT_STORE_STORE_H
#define SPINDLE_AGENT_STORE_STORE_H

#include "agent/entry/entries.h"
#include "agent/store/record_item.h"
#include "agent/store/revocation_journal.h"

struct store;
typedef void store_done(void *arg, err_t err, const struct why *why);

struct store_kind {
    /* --- who gets what --- */

    /* As entries_load: a new set, the asker's, or ERR_CONFIG and lines in `report`. */
    err_t (*load_entries)(struct store *s, struct buf *report, struct entry_set **ret,
                          struct why *why);
    /* The same, answered by `done`; one at a time. `report` and `ret` are lent. */
    void (*entries)(struct store *s, struct buf *report, struct entry_set **ret, store_done *done,
                    void *arg);

    /* --- what was issued --- */

    /* data_dir is ours. ERR_IO, ERR_FILE_MODE, ERR_UNSUPPORTED (of a newer version). */
    err_t (*load_record)(struct store *s, struct why *why);
    /* One that is about to leave; is answered before it returns. ERR_RECORD: full, or the disk is;
     * ERR_NO_MEMORY. */
    void (*record)(struct store *s, const struct record_item *item, store_done *done, void *arg);
    /* Could one be recorded now? One question at a time; may be answered before it returns. */
    void (*probe)(struct store *s, store_done *done, void *arg);
    /* How long an expired one stays, from now on. */
    void (*keep)(struct store *s, int64_t keep_s);
    /* As in record.h, of what is recorded. */
    err_t (*find)(struct store *s, const uint8_t serial[static RECORD_SERIAL_LEN],
                  struct record_item *ret, struct why *why);
    err_t (*each_unexpired)(struct store *s, const struct record_query *query, record_fn *fn,
                            void *arg, struct why *why);
    void (*each_issuer)(struct store *s,
                        void (*fn)(void *arg, const uint8_t issuer[RECORD_ISSUER_LEN]), void *arg);
    err_t (*search)(struct store *s, const struct record_search *search, record_fn *fn, void *arg,
                    uint64_t *ret_next, struct why *why);

    /* --- what is revoked --- */

    /* Each change that was kept, in order. ERR_PARSE, ERR_UNSUPPORTED, ERR_FILE_MODE say what to
     * do: a revocation may be missing. */
    err_t (*load_revocations)(struct store *s, revocation_fn *fn, void *arg, struct why *why);
    /* A row; or all of them anew, as `write` says, which is called on any thread. One of both at a
     * time, never answered before it returns; on the disk then. ERR_IO. */
    void (*revoke)(struct store *s, struct slice row, store_done *done, void *arg);
    void (*rewrite)(struct store *s, err_t (*write)(void *arg, struct buf *out), store_done *done,
                    void *arg);

    /* Nothing is asked any more. Keeps for good what is not yet, frees, calls done. */
    void (*close)(struct store *s, void (*done)(void *arg), void *arg);
};

/* To be read; the kind's. */
struct store {
    const struct store_kind *kind;
    /* When this file or folder changes, the entries may have. Watched together with the
     * configuration, so that a change of both is one reload. NULL: none; a kind that hears of
     * changes otherwise says so by an event given at its open, which is reload_now. */
    const char *entries_path;
    uint64_t records, issued_total; /* certificates: recorded now, and ever */
    uint64_t revocations_len;       /* bytes that the changes take */
};

#endif

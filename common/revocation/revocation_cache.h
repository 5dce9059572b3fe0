/* The revocation cache in shared memory: ONE WRITER (the agent), any number of readers in other
 * processes. A look-up takes no lock, makes no call and always ends; a writer that dies anywhere
 * blocks nobody. How the bytes lie: revocation_table.h.
 *
 * An answer is the state of one 64-bit word: nobody sees half a change. What was set before an
 * answer is asked for (in the order that the two processes can observe) is in the answer, as long
 * as the view is of the newest table: growth makes a new memfd, and the old one stays as it was.
 *
 * Issuer: the key ID of the certificate that signed, as x509_key_id() makes it. Serials:
 * big-endian, leading zeros do not count, at most 20 bytes as in RFC 5280 4.1.2.2. */
#ifndef SPINDLE_COMMON_REVOCATION_REVOCATION_CACHE_H
#define SPINDLE_COMMON_REVOCATION_REVOCATION_CACHE_H

#include "common/base/why.h"
#include "common/revocation/revocation.h"

#define REVOCATION_ISSUER_LEN 20

struct revocation_writer; /* opaque */
struct revocation_view;   /* opaque */

/* One issuer's list: absent from a complete one that is fresh means good. */
struct revocation_issuer {
    bool complete;
    enum revocation_source source;
    int64_t this_update, next_update; /* unix s; fresh is now < next_update */
};

/* --- Writer: agent loop thread only. The memfd is sealed against every other writer, resizing and
 * unsealing. Growth and clearing out make a new one: then on_replaced(arg, fd) is called, from
 * within whichever call needed it; it must not call the writer back. */
/* `expected` serials and IDs fit before it grows; no limit. on_replaced may be NULL.
 * ERR_NO_MEMORY, ERR_IO. */
err_t revocation_writer_new(size_t expected, void (*on_replaced)(void *arg, int fd), void *arg,
                            struct revocation_writer **ret, struct why *why) MUST_CHECK;
void revocation_writer_free(struct revocation_writer *w);    /* NULL is fine; views live on */
int revocation_writer_fd(const struct revocation_writer *w); /* borrowed, until replaced */

/* Adds an issuer or changes what is said of its list. Set its serials first, then complete.
 * ERR_LIMIT, ERR_NO_MEMORY, ERR_IO: nothing changed. */
err_t revocation_writer_issuer(struct revocation_writer *w,
                               const uint8_t issuer[static REVOCATION_ISSUER_LEN],
                               const struct revocation_issuer *list, struct why *why) MUST_CHECK;
/* Forgets an issuer and all its serials, e.g. when its certificate has run out. */
void revocation_writer_forget_issuer(struct revocation_writer *w,
                                     const uint8_t issuer[static REVOCATION_ISSUER_LEN]);
/* Readers see it at once. UNKNOWN forgets, and so never fails. An issuer not heard of is added, not
 * complete. ERR_TOO_LARGE: serial over 20 bytes. ERR_LIMIT, ERR_NO_MEMORY, ERR_IO: no room, nothing
 * changed. */
err_t revocation_writer_set(struct revocation_writer *w,
                            const uint8_t issuer[static REVOCATION_ISSUER_LEN], struct slice serial,
                            const struct revocation_status *status, struct why *why) MUST_CHECK;
/* The same for a SPIFFE ID: REVOKED holds it, UNKNOWN releases. */
err_t revocation_writer_hold(struct revocation_writer *w, struct slice spiffe_id,
                             const struct revocation_status *status, struct why *why) MUST_CHECK;
void revocation_writer_alive(struct revocation_writer *w, int64_t now); /* heartbeat, unix s */
uint64_t revocation_writer_commit(struct revocation_writer *w); /* after a batch: new generation */
size_t revocation_writer_count(const struct revocation_writer *w); /* serials and held IDs */
size_t revocation_writer_bytes(const struct revocation_writer *w); /* of the memfd */

/* --- View: counted atomically, any thread. Every byte is checked: a hostile table gives wrong
 * answers at worst, never a crash or a look-up without end; bytes that make no sense give UNKNOWN.
 */
/* Takes fd on success, and maps it. ERR_PARSE: no such table, or not sealed; ERR_UNSUPPORTED:
 * another version of the layout; ERR_IO; ERR_NO_MEMORY. */
err_t revocation_view_open(int fd, struct revocation_view **ret, struct why *why) MUST_CHECK;
struct revocation_view *revocation_view_ref(struct revocation_view *v);
void revocation_view_unref(struct revocation_view *v); /* NULL is fine */

/* Of each below, v may be NULL: nothing is known. */
uint64_t revocation_view_generation(const struct revocation_view *v);
int64_t revocation_view_alive_at(const struct revocation_view *v); /* last heartbeat; 0: none */
bool revocation_view_issuer(const struct revocation_view *v,
                            const uint8_t issuer[static REVOCATION_ISSUER_LEN],
                            struct revocation_issuer *ret);
/* Absent from its issuer's list, which is complete and fresh: GOOD until next_update. */
struct revocation_status
revocation_view_certificate(const struct revocation_view *v,
                            const uint8_t issuer[static REVOCATION_ISSUER_LEN], struct slice serial,
                            int64_t now);
/* REVOKED and held, or UNKNOWN. */
struct revocation_status revocation_view_id(const struct revocation_view *v,
                                            const struct revocation_id *id);

#endif

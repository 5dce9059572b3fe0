/* What share.c (the socket, what holds for all) and share_guest.c (one connection) share. Nobody
 * else. */
#ifndef SPINDLE_AGENT_SHARE_SHARE_INTERNAL_H
#define SPINDLE_AGENT_SHARE_SHARE_INTERNAL_H

#include "agent/caller/patience.h"
#include "agent/share/share.h"
#include "common/base/crowd.h"
#include "common/log/log_limit.h"
#include "common/loop/closing.h"
#include "common/share/share_message.h"

enum guest_state {
    GUEST_SILENT,   /* has not said HELLO */
    GUEST_ASKED,    /* is being attested for the first time */
    GUEST_ADMITTED, /* may be attested anew */
    GUEST_GONE,     /* its handle is closing */
};

/* What a guest is owed; sent in this order, each as the newest there is when there is room. */
enum guest_debt { OWES_WELCOME = 1, OWES_CACHE = 2, OWES_PAGE = 4, OWES_CHANGED = 8 };

/* One connection. */
struct guest {
    struct share *share;
    LIST_ENTRY(guest) in_guests;
    struct connection *connection; /* entered; NULL when gone */
    uv_poll_t poll;
    int fd;
    int watched; /* UV_READABLE, UV_WRITABLE */
    enum guest_state state;
    struct crowd_source user;
    pid_t pid;                 /* who connected, as the kernel said; 0: it could not be told */
    struct crowd_member place; /* among those who wait, or the admitted ones */
    uint64_t accepted_ns;
    unsigned budget; /* messages it may still send before the next tick */
    unsigned owed;   /* enum guest_debt */
    char *spiffe_id; /* owned, from HELLO */
    char *name;      /* owned */
    int page;        /* borrowed; -1 */
    bool may_ask;    /* for a page, once */
    uint64_t attest_id, attest_started;
    unsigned kinds; /* SELECTOR_KIND_* it was attested for */
    bool recheck;   /* no room to attest it anew yet */
};

struct share {
    struct share_options opt;
    char path[SHARE_PATH_MAX];
    uv_loop_t *loop;
    struct listener *listener;
    struct connections *connections;
    LIST_HEAD(, guest) guests;
    struct crowd waiting, admitted; /* guests by user */
    size_t waiting_max, admitted_max;
    uv_timer_t tick;
    struct patience patience; /* with what guests pass */
    int cache;                /* borrowed; -1 before the first */
    uint64_t generation;
    int64_t longest_life_s;
    struct log_limit refused_lines, guest_lines;
    struct closing closing; /* held by each guest */
};

/* share.c */
void share_need_tick(struct share *s);
/* `g` may be NULL: nobody yet. */
void share_report_refused(struct share *s, const struct guest *g, err_t err, const struct why *why);

/* share_guest.c. The failure is the caller's to tell; a guest that leaves stays in the list until
 * its handle has closed, so that walks go on. */
err_t guest_add(struct share *s, int fd, struct why *why) MUST_CHECK;
void guest_leave(struct guest *g);
void guest_owe(struct guest *g, unsigned debt);
void guest_attest_anew(struct guest *g);
/* Once a tick; true: the next one has something to do as well. */
bool guest_tend(struct guest *g);
void guest_say_refused(int fd, err_t err, const struct why *why);

#endif

/* What the record says of a certificate, and what can be asked of it. Plain data; pure. */
#ifndef SPINDLE_AGENT_STORE_RECORD_ITEM_H
#define SPINDLE_AGENT_STORE_RECORD_ITEM_H

#include "agent/store/record_row.h"

struct record_item {
    uint8_t serial[RECORD_SERIAL_LEN];
    uint8_t issuer[RECORD_ISSUER_LEN];
    const char *spiffe_id, *entry_id; /* borrowed; "" when the record lost them */
    int64_t not_before, not_after, issued_at;
    unsigned flags; /* enum record_flag */
};
typedef bool record_fn(void *arg, const struct record_item *item);

struct record_query {
    const char *spiffe_id, *entry_id; /* NULL: any; at least one of them */
    int64_t now;
    int64_t expires_before; /* 0: no bound */
};

enum record_state { RECORD_ANY, RECORD_VALID, RECORD_EXPIRED };
#define RECORD_SEARCH_ROWS 65536

struct record_search {
    const char *spiffe_id; /* NULL: any; a "*" at its end stands for any text */
    const char *entry_id;  /* NULL: any */
    uint8_t serial[RECORD_SERIAL_LEN];
    unsigned serial_digits; /* how many of its hexadecimal digits count; 0: any */
    enum record_state state;
    int64_t now;
    int64_t expires_before, expires_after; /* 0: no bound */
    uint64_t from;                         /* what the page before gave; 0: the newest */
    size_t limit;
};

/* Does it look for this one? */
bool record_search_wants(const struct record_search *s, const struct record_item *item);
/* By its end alone; by one of its texts alone, of which a "*" at the end of `pattern` is any. */
bool record_search_in_time(const struct record_search *s, int64_t not_after);
bool record_search_is_like(const char *text, const char *pattern);

#endif

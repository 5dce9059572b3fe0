/* The sidecar's end of share.sock in a temporary folder, on one loop with a scripted agent.
 * Failures abort the test. */
#ifndef SPINDLE_TESTS_LINK_CASE_H
#define SPINDLE_TESTS_LINK_CASE_H

#include "common/loop/unix_socket.h"
#include "common/share/share_message.h"
#include "sidecar/identity/share_link.h"
#include "tests/support/temp_dir.h"

/* What the link told. */
struct link_told {
    unsigned ups, downs, welcomes, settled, denials, caches, changes, pages, info, warn;
    bool connected, denied;
    int64_t life;
    uint64_t generation;
    struct revocation_view *view;
    char page[16];
    char line[1024]; /* last */
    bool close_on_cache;
};

struct link_case {
    uv_loop_t loop;
    struct temp_dir dir;
    struct unix_socket server;
    int agent; /* its end of the connection; -1 */
    struct share_link *link;
    struct revocation_writer *writer;
    struct share_packet packet; /* said or heard last */
    struct link_told told;
    struct why why;
};
extern struct link_case site;

/* There is a link, without an identity, and no agent. */
void link_setup(void);
void link_teardown(void);
void link_set_identity(const char *id);
/* Turns the loop until there is nothing to do at once. */
void link_settle(void);
void link_run_until_readable(int fd);

void link_start_server(void);
void link_stop_server(void);
/* The next connection, and its HELLO. */
struct share_message link_accept_hello(void);
void link_say_with(const struct share_message *m, int descriptor);
void link_say(enum share_type type, int descriptor);
void link_say_welcome(void);
void link_say_refused(const char *reason, const char *text); /* and hangs up */
void link_welcome(void);                                     /* accepts; until it was told */
void link_hand_out_cache(void);                              /* until it was told */
void link_hang_up(void);
bool link_hung_up(void); /* the sidecar did */

enum revocation_state link_state_of(const char *serial);
void link_revoke_serial(const char *serial);

#endif

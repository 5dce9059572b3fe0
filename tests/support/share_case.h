/* The agent's share.sock in a temporary folder with an entry or two for this user, and the other
 * side of it: what tests of agent/share/share.h begin with. Failures abort the test. */
#ifndef SPINDLE_TESTS_SHARE_CASE_H
#define SPINDLE_TESTS_SHARE_CASE_H

#include "agent/attest/attest_unix.h"
#include "agent/share/share.h"
#include "agent/telemetry/metrics.h"
#include "common/share/share_message.h"
#include "tests/support/descriptors.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#define WEB "spiffe://example.org/web"
#define DB "spiffe://example.org/db"
#define STRANGE "spiffe://example.org/strange"

#define CASE_PER_USER 6

struct share_case {
    uv_loop_t loop;
    struct temp_dir dir;
    char api_path[TEMP_PATH_MAX];
    struct attest_unix *attest;
    struct attestors attestors; /* it alone */
    struct metrics *metrics;
    struct entry_set *entries;
    int64_t longest_life;
    struct share_options options; /* of case_open_share */
    struct share *share;
    struct share_packet packet; /* said or heard last */
    struct share_message heard; /* borrows packet */
    struct why why;
};
extern struct share_case site;

/* Entries for WEB and DB; share.sock is open. */
void case_setup(void);
void case_teardown(void);
void case_open_share(void);
/* Entries that give this user these IDs (NULL: none), with more selectors as YAML: ", \"...\"". */
void case_use_entries(const char *id, const char *second, const char *more_selectors);
/* Turns the loop until the agent has nothing to do at once. */
void case_settle(void);
void case_wait_for_sidecars(size_t count);
uint64_t case_refused(err_t err); /* how many for this reason, by the metric */

int case_dial(void);
struct share_message case_hello_of(const char *spiffe_id); /* its name: left */
void case_say_with(int fd, const struct share_message *m, int descriptor);
void case_say_hello(int fd, const char *spiffe_id);
bool case_has_something(int fd);
/* Runs the agent until something waits; takes one message. ERR_PEER_CLOSED at the end. */
err_t case_hear(int fd);
void case_hear_type(int fd, enum share_type type);
void case_hear_refused(int fd, const char *reason); /* then the end; closes */
int case_guest(void);                               /* let in as WEB; its WELCOME taken */

void case_check_content(int fd, const char *content); /* closes */

#endif

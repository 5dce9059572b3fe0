/* Rotation in memory: two ends that verify each other for real, one of which gets a new key,
 * certificate and TLS context each time, and then handshakes one after the other on the same
 * thread. In every second handshake the vector registers are filled with garbage each time that
 * wolfSSL has drawn random bytes: right before it makes the public key of a key share. In the
 * others they are as the code before left them. Who uses it links with
 * -Wl,--wrap=spindle_rand_block. */
#ifndef SPINDLE_TESTS_ROTATION_CASE_H
#define SPINDLE_TESTS_ROTATION_CASE_H

#include "common/base/why.h"

struct rotation_counts {
    long rotations, handshakes, failed;
    struct why first; /* of the first that failed */
};

/* `progress` is called after each rotation; NULL is fine. */
struct rotation_counts rotation_case_run(long rotations, int handshakes_each,
                                         void (*progress)(const struct rotation_counts *so_far));

#endif

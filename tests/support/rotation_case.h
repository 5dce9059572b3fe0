/* Rotation in memory: two ends that verify each other for real, one of which gets a new key,
 * certificate and TLS context each time, and then handshakes one after the other on the same
 * thread. Before every second handshake's steps the vector registers are filled with garbage,
 * before the others they are as the code before left them. */
#ifndef SPINDLE_TESTS_ROTATION_CASE_H
#define SPINDLE_TESTS_ROTATION_CASE_H

#include "common/why.h"

struct rotation_counts {
    long rotations, handshakes, failed;
    struct why first; /* of the first that failed */
};

/* `progress` is called after each rotation; NULL is fine. */
struct rotation_counts rotation_case_run(long rotations, int handshakes_each,
                                         void (*progress)(const struct rotation_counts *so_far));

#endif

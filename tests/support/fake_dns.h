/* A name server on a loopback port of the kernel's choice, UDP and TCP, on the loop of the test. It
 * says what its rows say; names without a row do not exist. */
#ifndef SPINDLE_TESTS_FAKE_DNS_H
#define SPINDLE_TESTS_FAKE_DNS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum fake_dns_mode {
    FAKE_DNS_ANSWERS,
    FAKE_DNS_DENIES,  /* NXDOMAIN */
    FAKE_DNS_FAILS,   /* SERVFAIL */
    FAKE_DNS_REFUSES, /* REFUSED */
    FAKE_DNS_SILENT,
    FAKE_DNS_SILENT_V6, /* no answer about AAAA */
    FAKE_DNS_LATE_V6,   /* that of AAAA waits for fake_dns_release */
    FAKE_DNS_LATE,      /* every one waits for fake_dns_release */
    FAKE_DNS_GARBAGE    /* an answer cut in the middle of its records */
};
struct fake_dns_row {
    const char *name;
    enum fake_dns_mode mode;
    uint32_t ttl;
    const char *v4, *v6; /* addresses, blanks between them, or NULL */
    unsigned more_v4;    /* so many more: 10.1.0.1 and on */
    const char *cname;   /* stands before them */
};

#define FAKE_DNS_HELD 64
struct fake_dns {
    uv_loop_t *loop;
    const struct fake_dns_row *rows; /* ended by a row without name; may be exchanged */
    uv_udp_t udp;
    uv_tcp_t tcp;
    uint16_t port;
    unsigned asked, asked_v4, asked_v6, by_tcp, with_edns;
    char servers[32]; /* "127.0.0.1:PORT" */
    struct {
        uint8_t bytes[2048];
        size_t len;
        struct sockaddr_in to;
    } held[FAKE_DNS_HELD];
    size_t held_count;
    unsigned clients;
};

void fake_dns_open(struct fake_dns *s, uv_loop_t *loop, const struct fake_dns_row *rows);
/* The loop has to run on to be rid of it. Twice is fine. */
void fake_dns_close(struct fake_dns *s);
/* Sends what was held back. */
void fake_dns_release(struct fake_dns *s);

#endif

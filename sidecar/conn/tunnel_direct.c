/* A connection of its own: dialled, and outbound with TLS on it. */
#include "sidecar/conn/tunnel.h"

#include <unistd.h>

/* With the identity of now, which may be another than when it was dialled. */
static err_t secure(struct tunnel *t, struct why *why)
{
    struct tls_events events = {.verify = t->verify, .arg = t->arg};
    if (t->route->direction != ROUTE_OUTBOUND)
        return ERR_OK;
    if (t->home->client_tls == NULL)
        return why_set(why, ERR_NO_IDENTITY_YET, "the identity ran out while connecting");
    return stream_secure(t->stream, t->home->client_tls, &events, why);
}

static void on_dialed(void *arg, int fd, const struct why *cause)
{
    struct tunnel *t = arg;
    struct why why = {0};
    t->dial = NULL;
    if (fd < 0) {
        t->answers->failed(t->arg, cause, false);
        return;
    }
    err_t err = stream_open(t->stream, t->home->loop, fd, &why);
    if (err != ERR_OK)
        close(fd);
    else
        err = secure(t, &why);
    if (err != ERR_OK)
        t->answers->failed(t->arg, &why, true);
    else
        t->answers->open(t->arg);
}

static err_t direct_start(struct tunnel *t, struct why *why)
{
    struct dial_from from = {
        .loop = t->home->loop, .desk = &t->home->desk, .timeout_ms = t->timeout_ms};
    return dial_start(&from, &t->route->forward, on_dialed, t, &t->dial, why);
}

static void direct_too_late(const struct tunnel *t, struct why *why)
{
    (void)dial_too_late(t->dial, why);
}

static void direct_cancel(struct tunnel *t)
{
    if (t->dial != NULL)
        dial_cancel(t->dial);
    t->dial = NULL;
}

const struct tunnel_kind tunnel_direct = {
    .start = direct_start, .too_late = direct_too_late, .cancel = direct_cancel};

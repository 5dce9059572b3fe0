#include "agent/svid/certificate_gauges.h"

enum {
    DAY_S = 24 * 3600,
    FRACTIONS = 3,
    SERVICES = METRIC_DYNAMIC_MAX - 1, /* and "other" */
    SERVICE_LEN_MAX = 255,             /* what metric_dynamic takes */
};

static const int64_t divisors[FRACTIONS] = {[LIFE_HALF] = 2, [LIFE_QUARTER] = 4, [LIFE_TENTH] = 10};

/* The SPIFFE IDs whose certificates expire first, in that order. */
struct services {
    struct {
        const char *spiffe_id; /* the SVID's */
        int64_t not_after;
    } items[SERVICES];
    size_t count;
    int64_t rest; /* when the first of the others expires; 0: there are none */
};

struct tally {
    int64_t now;
    size_t in_30_days, in_7_days, expired, by_life[FRACTIONS];
    struct services services;
};

static void services_note_rest(struct services *s, int64_t not_after)
{
    if (s->rest == 0 || not_after < s->rest)
        s->rest = not_after;
}

static void services_remove(struct services *s, size_t i)
{
    s->count--;
    memmove(s->items + i, s->items + i + 1, (s->count - i) * sizeof s->items[0]);
}

static void services_note(struct services *s, const char *spiffe_id, int64_t not_after)
{
    size_t i = 0;
    bool is_late = s->count == SERVICES && not_after >= s->items[SERVICES - 1].not_after;
    if (is_late || strlen(spiffe_id) > SERVICE_LEN_MAX) {
        services_note_rest(s, not_after);
        return;
    }
    while (i < s->count && strcmp(s->items[i].spiffe_id, spiffe_id) != 0)
        i++;
    if (i < s->count && s->items[i].not_after <= not_after)
        return; /* of another entry */
    if (i < s->count)
        services_remove(s, i);
    if (s->count == SERVICES)
        services_note_rest(s, s->items[--s->count].not_after);
    for (i = s->count; i > 0 && s->items[i - 1].not_after > not_after; i--)
        s->items[i] = s->items[i - 1];
    s->items[i].spiffe_id = spiffe_id;
    s->items[i].not_after = not_after;
    s->count++;
}

static void tally_note(void *arg, const struct svid *svid, unsigned subscribers)
{
    struct tally *t = arg;
    int64_t left = svid->not_after - t->now, life = svid->not_after - svid->not_before;
    (void)subscribers;
    t->in_30_days += left < 30 * (int64_t)DAY_S;
    t->in_7_days += left < 7 * (int64_t)DAY_S;
    t->expired += left < 0;
    for (size_t i = 0; i < FRACTIONS; i++)
        t->by_life[i] += left < life / divisors[i];
    services_note(&t->services, svid->spiffe_id, svid->not_after);
}

static double days_left(int64_t not_after, int64_t now)
{
    return (double)(not_after - now) / DAY_S;
}

static void set_services(struct metrics *m, const struct services *s, int64_t now)
{
    metric_forget_values(m, M_CERT_EXPIRY_DAYS);
    for (size_t i = 0; i < s->count; i++)
        metric_set(m, M_CERT_EXPIRY_DAYS,
                   metric_dynamic(m, M_CERT_EXPIRY_DAYS, s->items[i].spiffe_id), 0, 0,
                   days_left(s->items[i].not_after, now));
    if (s->rest != 0)
        metric_set(m, M_CERT_EXPIRY_DAYS, metric_dynamic(m, M_CERT_EXPIRY_DAYS, "other"), 0, 0,
                   days_left(s->rest, now));
}

void certificate_gauges_set(struct metrics *metrics, const struct minter *minter, int64_t now)
{
    struct tally t = {.now = now};
    minter_each(minter, tally_note, &t);
    t.expired += minter_run_out(minter);
    metric_set(metrics, M_CERTIFICATES_EXPIRING_30D, 0, 0, 0, (double)t.in_30_days);
    metric_set(metrics, M_CERTIFICATES_EXPIRING_7D, 0, 0, 0, (double)t.in_7_days);
    metric_set(metrics, M_CERTIFICATES_EXPIRED, 0, 0, 0, (double)t.expired);
    for (size_t i = 0; i < FRACTIONS; i++)
        metric_set(metrics, M_CERTIFICATES_EXPIRING_LIFE, i, 0, 0, (double)t.by_life[i]);
}

void certificate_gauges_set_days(struct metrics *metrics, const struct minter *minter, int64_t now)
{
    struct tally t = {.now = now};
    minter_each(minter, tally_note, &t);
    set_services(metrics, &t.services, now);
}

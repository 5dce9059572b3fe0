#include "sidecar/telemetry/skipped_roots.h"

#include "common/log/log.h"

#include <stdio.h>

/* What tells one state of useless roots from another: a chain of hashes over their bundles. */
static bool hash_bundles(const struct bundle_set *set, uint8_t out[static SHA256_LEN])
{
    bool any = false;
    memset(out, 0, SHA256_LEN);
    for (size_t i = 0; i < set->count; i++) {
        const struct bundle *b = &set->items[i];
        uint8_t link[2 * SHA256_LEN];
        if (b->skip_count == 0)
            continue;
        memcpy(link, out, SHA256_LEN);
        sha256_of(slice_of(b->der, b->der_len), link + SHA256_LEN);
        sha256_of(slice_of(link, sizeof link), out);
        any = true;
    }
    return any;
}

static void tell(struct metrics *m, const struct bundle *b)
{
    char next[96];
    snprintf(next, sizeof next, "%zu of %zu roots of the bundle are in use", b->root_count,
             b->root_count + b->skip_count);
    for (size_t i = 0; i < b->skip_count && i < BUNDLE_SKIPS_KEPT; i++)
        log_warn("root_skipped", log_str("trust_domain", b->trust_domain),
                 log_err("reason", b->skips[i].err), log_str("cause", why_text(&b->skips[i])),
                 log_str("next", next));
    metric_add(m, M_ROOTS_SKIPPED, 0, 0, 0, b->skip_count);
}

void skipped_roots_tell(struct skipped_roots *s, struct metrics *m, const struct bundle_set *now)
{
    uint8_t hash[SHA256_LEN];
    bool any = hash_bundles(now, hash);
    bool known = memcmp(hash, s->told, sizeof hash) == 0;
    memcpy(s->told, hash, sizeof hash);
    for (size_t i = 0; any && !known && i < now->count; i++)
        if (now->items[i].skip_count > 0)
            tell(m, &now->items[i]);
}

#include "sidecar/peer/revocation_check.h"

#include "common/base/clock.h"

static err_t refuse(const char *what, const struct revocation_status *status, struct why *why)
{
    char since[CLOCK_TEXT_LEN];
    return why_set(why, ERR_CERT_REVOKED, "%s since %s: %s", what,
                   clock_format_s(status->at, since), revocation_reason_name(status->reason));
}

static const char *who(size_t at)
{
    return at == 0 ? "certificate" : "intermediate";
}

static err_t refuse_link(const char *what, const struct peer_link *link,
                         const struct revocation_status *status, struct why *why)
{
    char text[128], serial[48];
    snprintf(text, sizeof text, "%s with serial %s is revoked", what,
             x509_serial_text(peer_link_serial(link), serial, sizeof serial));
    return refuse(text, status, why);
}

err_t revocation_check_self(const struct revocation_view *view, enum revocation_policy policy,
                            const struct revocation_self *self, int64_t now, struct why *why)
{
    if (policy == REVOCATION_OFF)
        return ERR_OK;
    struct revocation_status status = revocation_view_id(view, &self->id);
    if (status.state == REVOCATION_REVOKED)
        return refuse("our own SPIFFE ID is revoked", &status, why);
    if (self->leaf.serial_len == 0)
        return ERR_OK;
    status =
        revocation_view_certificate(view, self->leaf.issuer, peer_link_serial(&self->leaf), now);
    return status.state == REVOCATION_REVOKED
               ? refuse_link("our own certificate", &self->leaf, &status, why)
               : ERR_OK;
}

err_t revocation_check(const struct revocation_view *view, enum revocation_policy policy,
                       const struct peer_path *path, int64_t now, bool *ret_unknown,
                       struct why *why)
{
    size_t unknown = path->count;
    *ret_unknown = false;
    if (policy == REVOCATION_OFF)
        return ERR_OK;
    struct revocation_status of_id = revocation_view_id(view, &path->id);
    if (of_id.state == REVOCATION_REVOKED)
        return refuse("its SPIFFE ID is revoked", &of_id, why);
    for (size_t i = path->count; i-- > 0;) {
        const struct peer_link *link = &path->link[i];
        struct revocation_status status =
            revocation_view_certificate(view, link->issuer, peer_link_serial(link), now);
        if (status.state == REVOCATION_REVOKED)
            return refuse_link(who(i), link, &status, why);
        unknown = status.state == REVOCATION_GOOD ? unknown : i;
    }
    if (unknown == path->count)
        return ERR_OK;
    if (policy == REVOCATION_HARD) {
        char serial[48];
        return why_set(
            why, ERR_REVOCATION_UNKNOWN,
            "%s for the %s with serial %s, and revocation.policy is hard",
            view == NULL ? "there is no revocation cache" : "the cache has no fresh list",
            who(unknown),
            x509_serial_text(peer_link_serial(&path->link[unknown]), serial, sizeof serial));
    }
    *ret_unknown = true;
    return ERR_OK;
}

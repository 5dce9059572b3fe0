/* The sidecar's configuration, as read from YAML and --set. Filled by the option engine from
 * sidecar/config/options.def. Immutable once loaded, shared by reference with connections that
 * started under it (config_ref); a reload makes a new one. */
#ifndef SPINDLE_SIDECAR_CONFIG_CONFIG_H
#define SPINDLE_SIDECAR_CONFIG_CONFIG_H

#include "common/base/buf.h"
#include "common/config/option.h"
#include "common/log/log.h"
#include "common/loop/address.h"
#include "common/spiffe/spiffeid.h"
#include "sidecar/config/places.h"
#include "sidecar/config/route_socket.h"

enum route_direction { ROUTE_INBOUND, ROUTE_OUTBOUND };
enum route_protocol { PROTOCOL_TCP, PROTOCOL_HTTP };
enum route_client_auth { CLIENT_AUTH_REQUIRE, CLIENT_AUTH_OPTIONAL, CLIENT_AUTH_NONE };
enum route_peer_expiry { PEER_EXPIRY_KEEP, PEER_EXPIRY_DRAIN, PEER_EXPIRY_CLOSE };
enum route_unclean_close { UNCLEAN_CLOSE_RESET, UNCLEAN_CLOSE_EOF };
enum route_tunnel { TUNNEL_DIRECT, TUNNEL_POOLED };
enum revocation_policy { REVOCATION_OFF, REVOCATION_SOFT, REVOCATION_HARD };

const char *route_direction_name(enum route_direction direction);

struct route_config {
    enum route_direction direction;
    struct address listen;
    struct address forward;
    enum route_protocol protocol;
    enum route_client_auth client_auth; /* inbound */
    enum route_tunnel tunnel;           /* outbound */
    enum route_peer_expiry peer_expiry; /* of live connections */
    enum route_unclean_close unclean_close;
    char *socket_mode, *socket_owner, **socket_uids; /* as written, NULL: not; owned */
    mode_t mode;                                     /* of a Unix socket; 0 for another */
    struct route_uids uids;                          /* owned */
    char **peers;                /* allow / expect as written, NULL-terminated, owned */
    struct spiffeid_rule *rules; /* the same, parsed, borrowing `peers` */
    size_t rule_count;
};

struct sidecar_config {
    char *name;                                      /* "" when absent */
    char *workload_api;                              /* identity.workload_api endpoint, or NULL */
    char *file_certificate, *file_key, *file_bundle; /* identity.files, or NULL */
    char *identity_hint, *identity_spiffe_id;        /* NULL: not asked for */
    bool metrics_on, metrics_peers;
    struct address metrics_listen;
    char *metrics_prefix, **metrics_hosts; /* hosts NULL: none */
    char *admin_socket;                    /* NULL: no admin socket */
    int64_t workers;
    struct route_config *routes; /* inbound first, then outbound, in file order */
    size_t route_count;
    enum revocation_policy revocation;
    int64_t drain_delay_ms, drain_limit_ms; /* drain_delay; drain_limit (default 30s) */
    int64_t connect_timeout_ms, handshake_timeout_ms, idle_timeout_ms; /* idle 0: never */
    int64_t half_close_timeout_ms; /* timeouts.half_close, 0: never */
    int64_t max_connections, max_total, max_unauthenticated_per_source; /* limits: places.h */
    int64_t unclean_close_timeout_ms, flush_timeout_ms; /* timeouts.unclean_close, .flush */
    enum log_level log_level;
    enum log_format log_format;
    char *audit_file; /* NULL: off */
    int64_t audit_max_size, audit_keep;
    bool audit_connections, sandbox;

    struct option_origins *origins;        /* owned; where each value was written (option_where) */
    struct option_items inbound, outbound; /* own what `routes` borrows; for config.c alone */
    unsigned refs;                         /* atomic; for config.c alone */
};
#define SIDECAR_CONFIG_DEFAULT "/etc/spindle/sidecar.yaml"
extern const struct option_table sidecar_options;

/* Reads, validates and copies. Every problem is one line of `report`, with file, line and key, and
 * ERR_CONFIG with `why` left empty; on success the lines are warnings. path may be NULL (defaults
 * and --set only). sets: NULL-terminated "key.path=value", or NULL. SPIFFE_ENDPOINT_SOCKET of the
 * environment stands in for an absent identity. */
err_t sidecar_config_load(const char *path, const char *const *sets, struct buf *report,
                          struct sidecar_config **ret, struct why *why) MUST_CHECK;
/* May `next` take over from `now` without a restart? If not: ERR_CONFIG, one line in `report` for
 * each key that stands in the way (listen addresses, workers, ...). */
err_t sidecar_config_check_reload(const struct sidecar_config *now,
                                  const struct sidecar_config *next, struct buf *report) MUST_CHECK;
/* What it asks of places.h. */
struct place_wishes sidecar_config_places(const struct sidecar_config *c);
/* The key of a route as the user wrote it, for option_where: "inbound[0].listen". Returns out. */
#define ROUTE_KEY_LEN 64
const char *sidecar_route_key(const struct sidecar_config *c, size_t route, const char *key,
                              char out[static ROUTE_KEY_LEN]);
/* What `config check` and the start of `run` look at beyond the file itself, reading only: identity
 * files that can be read, the key by its owner alone, that belong together and that a handshake can
 * carry. `now`: wall clock, seconds; who is expired is warned of, so is an app off this machine.
 * ERR_CONFIG with a line each. */
err_t sidecar_config_check_files(const struct sidecar_config *c, int64_t now,
                                 struct buf *report) MUST_CHECK;
/* Counted atomically: connections of every worker thread hold one. */
struct sidecar_config *sidecar_config_ref(struct sidecar_config *c);
void sidecar_config_unref(struct sidecar_config *c);

#endif

/* The agent's configuration, as read from YAML and --set. Filled by the option engine from
 * agent/config/options.def; strings are owned by the config. Immutable once loaded; a reload makes
 * a new one and asks agent_config_check_reload before it takes over. Loop thread only. */
#ifndef SPINDLE_AGENT_CONFIG_CONFIG_H
#define SPINDLE_AGENT_CONFIG_CONFIG_H

#include "common/base/buf.h"
#include "common/config/option.h"
#include "common/log/log.h"
#include "common/loop/address.h"

enum authority_kind {
    AUTHORITY_SELF,
    AUTHORITY_DISK,
    AUTHORITY_SPIRE,
    AUTHORITY_VAULT,
    AUTHORITY_CERT_MANAGER
};

enum record_on_failure { RECORD_STOP, RECORD_CONTINUE };

struct agent_config {
    char *trust_domain;
    char *data_dir;
    char *workload_api_socket;     /* workload_api.socket */
    char *admin_socket;            /* admin.socket */
    struct address metrics_listen; /* metrics.listen */
    bool metrics_on;               /* false: metrics: {listen: off} */
    char **metrics_hosts;          /* NULL: none */
    char *metrics_prefix;          /* metrics.prefix, "spindle_" */
    bool metrics_expiry_days;      /* metrics.expiry_days */
    int64_t metrics_max_sidecars;  /* metrics.max_sidecars */
    int64_t x509_ttl_s;            /* svid.x509_ttl */
    int64_t jwt_ttl_s;             /* svid.jwt_ttl */
    int64_t issuer_ttl_s;          /* authority.issuer_ttl, 24h; the issuing intermediate's life */
    enum authority_kind authority_kind; /* authority.kind */
    char **attestors;                   /* NULL-terminated */
    char *entries;                      /* file or folder; NULL: none */
    int64_t streams_per_user;           /* limits.streams_per_user, 0: from the descriptor limit */
    int64_t record_max;                 /* record.max_records */
    int64_t record_keep_s;              /* record.keep */
    enum record_on_failure record_on_failure; /* record.on_failure */
    enum log_level log_level;
    enum log_format log_format;
    char *audit_file; /* NULL: off */
    int64_t audit_max_size, audit_keep;
    bool sandbox;                   /* sandbox: true | false */
    struct option_origins *origins; /* owned; where each value was written, for error texts */
};

#define AGENT_CONFIG_DEFAULT "/etc/spindle/agent.yaml"
extern const struct option_table agent_options;

/* Reads, validates and copies. Every problem is one line of `report`, with file, line and key, and
 * ERR_CONFIG with `why` left empty; on success the lines are warnings. path may be NULL (defaults
 * and --set only). sets: NULL-terminated "key.path=value", or NULL. */
err_t agent_config_load(const char *path, const char *const *sets, struct buf *report,
                        struct agent_config **ret, struct why *why) MUST_CHECK;
/* What `config check` looks at beyond the file itself, reading only: folders that must exist. */
err_t agent_config_check_files(const struct agent_config *c, struct buf *report) MUST_CHECK;
/* May `next` take over from `now` without a restart? If not ERR_CONFIG, with a line a key. */
err_t agent_config_check_reload(const struct agent_config *now, const struct agent_config *next,
                                struct buf *report) MUST_CHECK;
void agent_config_free(struct agent_config *c);

#endif

/* What `config check` looks at in this program. */
#include "common/base/clock.h"
#include "sidecar/cli/commands.h"
#include "sidecar/config/config.h"

err_t sidecar_config_check(const char *path, const char *const *sets, struct buf *report,
                           struct why *why)
{
    struct sidecar_config *c = NULL;
    err_t err = sidecar_config_load(path, sets, report, &c, why);
    if (err != ERR_OK)
        return err;
    err = sidecar_config_check_files(c, clock_wall_s(), report);
    sidecar_config_unref(c);
    return err;
}

/* What `config check` looks at in this program. */
#include "agent/cli/commands.h"
#include "agent/config/config.h"
#include "agent/config/reload.h"
#include "agent/entry/entries.h"

static err_t worse(err_t a, err_t b)
{
    return a == ERR_OK || (a == ERR_CONFIG && b != ERR_OK) ? b : a;
}

err_t agent_config_check(const char *path, const char *const *sets, struct buf *report,
                         struct why *why)
{
    struct agent_config *c = NULL;
    struct entry_set *entries = NULL;
    err_t err = agent_config_load(path, sets, report, &c, why);
    if (err != ERR_OK)
        return err;
    err = agent_config_check_files(c, report);
    err = worse(err, reload_read_entries(c, report, &entries, why));
    entries_free(entries);
    agent_config_free(c);
    return err;
}

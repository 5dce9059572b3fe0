/* The checks of routes that listen on a Unix socket, and of the folders of all sockets. For
 * config.c and config_files.c alone. */
#ifndef SPINDLE_SIDECAR_CONFIG_CONFIG_SOCKETS_H
#define SPINDLE_SIDECAR_CONFIG_CONFIG_SOCKETS_H

#include "sidecar/config/config.h"

/* Fills mode and uids of each route. Problems go to the report, ERR_CONFIG. */
err_t config_sockets_parse(struct sidecar_config *c, struct buf *report) MUST_CHECK;
/* What `config check` looks at beyond the file: owners are known, no folder is open to all. */
err_t config_sockets_look(const struct sidecar_config *c, struct buf *report) MUST_CHECK;

#endif

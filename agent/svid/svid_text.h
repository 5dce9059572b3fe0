/* SVIDs as people and programs read them. Never a key. */
#ifndef SPINDLE_AGENT_SVID_SVID_TEXT_H
#define SPINDLE_AGENT_SVID_SVID_TEXT_H

#include "common/rpc/workload_message.h"

#include <jansson.h>
#include <stdio.h>

/* A block of lines for each SVID. */
void svid_text_print(FILE *out, const struct workload_svids *svids);
/* One line for all: for a watch. */
void svid_text_line(FILE *out, int64_t now, const struct workload_svids *svids);
/* {"svids": [...]}, owned by the caller; NULL for want of memory. */
json_t *svid_text_json(const struct workload_svids *svids);

#endif

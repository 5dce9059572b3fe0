/* How many descriptors the process may have, and how they are shared out. Any thread; the limit
 * itself is the process's. */
#ifndef SPINDLE_COMMON_LOOP_DESCRIPTORS_H
#define SPINDLE_COMMON_LOOP_DESCRIPTORS_H

#include <stddef.h>

#define DESCRIPTORS_HTTP_PLACES 64 /* of a metrics or admin socket, where there is enough */

/* The limit goes up to what the system allows; returns how many we may open, less those that
 * whoever started us left open. At start, before we open any. */
size_t descriptors_raise(void);
/* What the system allows. */
size_t descriptors_limit(void);
/* Connections that one HTTP socket may have under this limit. */
size_t descriptors_http_places(size_t limit);

#endif

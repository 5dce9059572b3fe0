/* What turns the rows of metrics.def into a table of families. Included by each program's
 * metrics.c and by tests, nowhere else. The includer defines METRICS_COMPONENT, its name. */
#ifndef SPINDLE_COMMON_METRIC_METRICS_TABLE_H
#define SPINDLE_COMMON_METRIC_METRICS_TABLE_H

#include "common/metric/process_metrics.h"

#include <wolfssl/version.h>

#ifndef SPINDLE_REVISION
#define SPINDLE_REVISION "unknown"
#endif

/* clang-format off */
#define METRIC_VALUES(n, array) {.name = (n), .values = (array), .count = METRIC_COUNT_OF(array)}
#define METRIC_ERRORS(n, array) {.name = (n), .errors = (array), .count = METRIC_COUNT_OF(array) + 1}
#define METRIC_TIED_ERRORS(n, array) \
    {.name = (n), .errors = (array), .count = METRIC_COUNT_OF(array) + 1, .tied = true}
#define METRIC_OPEN(n) {.name = (n)}
/* clang-format on */

static const char *const version_values[] = {SPINDLE_VERSION};
static const char *const revision_values[] = {SPINDLE_REVISION};
static const char *const component_values[] = {METRICS_COMPONENT};
static const char *const tls_library_values[] = {"wolfSSL " LIBWOLFSSL_VERSION_STRING};
static const char *const result_values[] = {
    [RESULT_SUCCESS] = "success", [RESULT_FAILURE] = "failure"};
static const char *const http_cut_values[] = {
    [HTTP_CUT_ROOM] = "room", [HTTP_CUT_TIME] = "time", [HTTP_CUT_DESCRIPTORS] = "descriptors"};

#define L_VERSION METRIC_VALUES("version", version_values)
#define L_REVISION METRIC_VALUES("revision", revision_values)
#define L_COMPONENT METRIC_VALUES("component", component_values)
#define L_TLS_LIBRARY METRIC_VALUES("tls", tls_library_values)
#define L_RESULT METRIC_VALUES("result", result_values)
#define L_HTTP_CUT METRIC_VALUES("reason", http_cut_values)
#define L_TRUST_DOMAIN METRIC_OPEN("trust_domain")

#define NO_BUCKETS .buckets = NULL
#define BUCKETS(bounds) .buckets = (bounds), .bucket_count = METRIC_COUNT_OF(bounds)

#define METRIC(id, kind, name_, unit_, help_, buckets_, ...)                                       \
    [M_##id] = {.name = (name_),                                                                   \
                .type = METRIC_##kind,                                                             \
                .unit = (unit_),                                                                   \
                .help = (help_),                                                                   \
                buckets_,                                                                          \
                .label = {__VA_ARGS__}},

#endif

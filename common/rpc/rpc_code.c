#include "common/rpc/rpc_code.h"

#include <stddef.h>

static const char *const names[] = {
    [RPC_OK] = "OK",
    [RPC_CANCELLED] = "Canceled",
    [RPC_UNKNOWN] = "Unknown",
    [RPC_INVALID_ARGUMENT] = "InvalidArgument",
    [RPC_DEADLINE_EXCEEDED] = "DeadlineExceeded",
    [RPC_NOT_FOUND] = "NotFound",
    [RPC_ALREADY_EXISTS] = "AlreadyExists",
    [RPC_PERMISSION_DENIED] = "PermissionDenied",
    [RPC_RESOURCE_EXHAUSTED] = "ResourceExhausted",
    [RPC_FAILED_PRECONDITION] = "FailedPrecondition",
    [RPC_ABORTED] = "Aborted",
    [RPC_OUT_OF_RANGE] = "OutOfRange",
    [RPC_UNIMPLEMENTED] = "Unimplemented",
    [RPC_INTERNAL] = "Internal",
    [RPC_UNAVAILABLE] = "Unavailable",
    [RPC_DATA_LOSS] = "DataLoss",
    [RPC_UNAUTHENTICATED] = "Unauthenticated",
};

const char *rpc_code_name(int code)
{
    if (code < 0 || (size_t)code >= sizeof names / sizeof names[0])
        return "Unknown";
    return names[code];
}

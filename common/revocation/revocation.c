#include "common/revocation/revocation.h"

#include "common/x509/x509.h"

#include <assert.h>

static const struct {
    enum revocation_reason reason;
    const char *name;
} reasons[] = {
#define X(name, number, text) {REVOCATION_##name, text},
#include "common/revocation/revocation_reasons.def"
#undef X
};

#define REASON_COUNT (sizeof reasons / sizeof reasons[0])

struct revocation_id revocation_id_of(struct slice spiffe_id)
{
    uint8_t digest[SHA256_LEN];
    struct revocation_id id;
    sha256_of(spiffe_id, digest);
    memcpy(id.hash, digest, sizeof id.hash);
    return id;
}

bool revocation_reason_parse(const char *name, enum revocation_reason *ret)
{
    for (size_t i = 0; i < REASON_COUNT; i++) {
        if (strcmp(reasons[i].name, name) == 0) {
            *ret = reasons[i].reason;
            return true;
        }
    }
    return false;
}

bool revocation_reason_is_known(unsigned number)
{
    const uint32_t known = 0
#define X(name, value, text) | UINT32_C(1) << (value)
#include "common/revocation/revocation_reasons.def"
#undef X
        ;
    return number < 32 && (known >> number & 1) != 0;
}

const char *revocation_reason_name(enum revocation_reason reason)
{
    for (size_t i = 0; i < REASON_COUNT; i++) {
        if (reasons[i].reason == reason)
            return reasons[i].name;
    }
    return reasons[0].name;
}

size_t revocation_reason_count(void)
{
    return REASON_COUNT;
}

enum revocation_reason revocation_reason_at(size_t index)
{
    assert(index < REASON_COUNT);
    return reasons[index].reason;
}

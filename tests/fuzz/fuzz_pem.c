/* Bytes as PEM: what is read and written again reads the same; a failure leaves nothing behind. */
#include "common/base/mem.h"
#include "common/encode/pem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(struct slice label, struct slice der)
{
    char *name = mem_alloc(label.len + 1);
    if (name == NULL)
        abort();
    memcpy(name, label.data, label.len);
    struct buf text, back;
    buf_init(&text, SIZE_MAX / 2);
    buf_init(&back, SIZE_MAX / 2);
    if (strlen(name) == label.len) {
        struct slice rest, again;
        if (pem_write(&text, name, der) != ERR_OK)
            abort();
        rest = buf_slice(&text);
        if (pem_next(&rest, &again, &back, NULL) != ERR_OK || !slice_eq(again, label) ||
            !slice_eq(buf_slice(&back), der) || rest.len != 0)
            abort();
    }
    buf_done(&text);
    buf_done(&back);
    mem_free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size), label;
    struct buf der;
    buf_init(&der, 1 << 16);
    for (;;) {
        size_t before = der.len, left = text.len;
        struct why why = {0};
        err_t err = pem_next(&text, &label, &der, &why);
        if (err != ERR_OK) {
            if (der.len != before || text.len != left || why.err != err)
                abort();
            break;
        }
        if (text.len >= left)
            abort();
        check_round_trip(label, slice_of(der.data + before, der.len - before));
    }
    buf_done(&der);
    return 0;
}

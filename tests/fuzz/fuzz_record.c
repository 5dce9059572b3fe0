/* Segments of the record of issuance: any bytes are read without harm, what was read once is read
 * again after more was written, and what is written is found. Check sums would keep a fuzzer at the
 * door, so each input is tried as it is, and with right sums in all rows. */
#include "agent/store/record_load.h"
#include "agent/store/record_search.h"
#include "common/base/crc32c.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS = 128, BYTES_MAX = (ROWS + 1) * RECORD_ROW_LEN };

static void check(bool holds)
{
    if (!holds)
        abort();
}

static char dir[64];

static void remove_folder(void)
{
    rmdir(dir);
}

static const char *folder(void)
{
    if (dir[0] == '\0') {
        const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        snprintf(dir, sizeof dir, "%s/fuzz-record-XXXXXX", base);
        check(mkdtemp(dir) != NULL && atexit(remove_folder) == 0);
    }
    return dir;
}

static void path_of(unsigned seq, char out[static 128])
{
    snprintf(out, 128, "%s/%08u.seg", folder(), seq);
}

struct found {
    struct record_store *st;
    size_t count;
};

static bool note(void *arg, const struct record_item *item)
{
    struct found *f = arg;
    check(strlen(item->spiffe_id) <= RECORD_ID_MAX && strlen(item->entry_id) <= RECORD_ENTRY_MAX);
    f->count++;
    return true;
}

static bool note_and_find(void *arg, const struct record_item *item)
{
    struct found *f = arg;
    struct record_item copy = *item, again;
    check(record_search_serial(f->st, copy.serial, &again, NULL) == ERR_OK);
    check(memcmp(again.serial, copy.serial, sizeof again.serial) == 0);
    return note(arg, item);
}

static size_t count_all(struct record_store *st)
{
    struct record_search search = {.limit = SIZE_MAX};
    struct found f = {.st = st};
    uint64_t next = 0;
    do {
        search.from = next;
        check(record_search_page(st, &search, note_and_find, &f, &next, NULL) == ERR_OK);
    } while (next != 0);
    check(f.count == st->records);
    return f.count;
}

static void walk_names(struct record_store *st)
{
    for (uint32_t n = 1; n < st->names.count; n++) {
        if (st->names.items[n] == NULL)
            continue;
        struct found f = {.st = st};
        struct record_query query = {.spiffe_id = st->names.items[n]->spiffe_id, .now = INT64_MIN};
        check(record_search_unexpired(st, &query, note, &f, NULL) == ERR_OK);
    }
}

static void append(struct record_store *st, uint8_t number)
{
    struct record_item item = {
        .spiffe_id = "spiffe://example.org/fuzz", .entry_id = "fuzz", .not_after = number};
    uint32_t name = 0;
    memset(item.serial, number, sizeof item.serial);
    check(record_names_take(&st->names, slice_str(item.spiffe_id), slice_str(item.entry_id),
                            &name) == ERR_OK);
    check(record_store_append(st, &item, name, NULL) == ERR_OK);
    record_names_release(&st->names, name, 1);
}

static void try_segment(struct slice bytes)
{
    char path[128];
    struct record_store *st = NULL;
    path_of(1, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    check(fd >= 0 && write(fd, bytes.data, bytes.len) == (ssize_t)bytes.len);
    close(fd);
    err_t err = record_load(folder(), 1000, ROWS, NULL, NULL, &st, NULL);
    if (err == ERR_OK) {
        size_t before = count_all(st);
        walk_names(st);
        for (uint8_t i = 0; i < 3; i++)
            append(st, i);
        check(count_all(st) == before + 3);
        record_store_close(st);
        check(record_load(folder(), 1000, ROWS, NULL, NULL, &st, NULL) == ERR_OK);
        check(count_all(st) == before + 3);
        record_store_close(st);
    } else {
        check(err == ERR_UNSUPPORTED || err == ERR_IO);
    }
    for (unsigned seq = 1; seq < 4; seq++) {
        path_of(seq, path);
        unlink(path);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t copy[BYTES_MAX];
    if (size > sizeof copy)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    try_segment(slice_of(copy, size));
    for (size_t at = 0; at + RECORD_ROW_LEN <= size; at += RECORD_ROW_LEN) {
        uint32_t sum = crc32c(0, copy + at, RECORD_ROW_LEN - 4);
        for (unsigned i = 0; i < 4; i++)
            copy[at + RECORD_ROW_LEN - 4 + i] = (uint8_t)(sum >> (8 * i));
    }
    try_segment(slice_of(copy, size));
    return 0;
}

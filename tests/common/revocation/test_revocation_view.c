/* The reader against descriptors and bytes that no honest writer makes. */
#include "common/revocation/revocation_table.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOW 1800000000
#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | F_SEAL_FUTURE_WRITE)
#define ISSUERS 8u
#define ROWS 60u

static const uint8_t ISSUER[20] = "issuer";
static struct why why;

/* A memfd of `size` bytes that starts with `header`, writable through *ret_bytes. */
static int make_fd(const struct table_header *header, size_t size, int seals, void **ret_bytes)
{
    int fd = memfd_create("table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
    if (size > 0) {
        void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ck_assert_ptr_ne(bytes, MAP_FAILED);
        memcpy(bytes, header, size < sizeof *header ? size : sizeof *header);
        *ret_bytes = bytes;
    }
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static struct table_header good_header(void)
{
    return (struct table_header){.magic = TABLE_MAGIC,
                                 .version = TABLE_VERSION,
                                 .issuer_capacity = ISSUERS,
                                 .row_capacity = ROWS,
                                 .seed = {1, 2}};
}

static err_t open_fd(int fd)
{
    struct revocation_view *v = NULL;
    err_t err = revocation_view_open(fd, &v, &why);
    ck_assert((err == ERR_OK) == (v != NULL));
    revocation_view_unref(v);
    /* Taken on success alone. */
    ck_assert_int_eq(fcntl(fd, F_GETFD) >= 0, err != ERR_OK);
    if (err != ERR_OK)
        close(fd);
    return err;
}

START_TEST(test_a_sound_table_is_taken)
{
    struct table_header h = good_header();
    void *bytes;
    ck_assert_int_eq(open_fd(make_fd(&h, table_size(ISSUERS, ROWS), ALL_SEALS, &bytes)), ERR_OK);
}
END_TEST

START_TEST(test_a_descriptor_without_one_of_the_seals_is_refused)
{
    static const int seals[] = {0, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL};
    struct table_header h = good_header();
    void *bytes;
    int fd = make_fd(&h, table_size(ISSUERS, ROWS), _i == 0 ? 0 : ALL_SEALS & ~seals[_i], &bytes);
    ck_assert_int_eq(open_fd(fd), ERR_PARSE);
    ck_assert_ptr_nonnull(strstr(why.text, "sealed"));
}
END_TEST

START_TEST(test_what_is_no_memfd_is_refused)
{
    int fds[2];
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_eq(open_fd(fds[0]), ERR_PARSE);
    close(fds[1]);
    ck_assert_int_eq(open_fd(open("/dev/zero", O_RDONLY | O_CLOEXEC)), ERR_PARSE);
    struct revocation_view *v = NULL;
    ck_assert_int_eq(revocation_view_open(-1, &v, &why), ERR_PARSE);
}
END_TEST

/* One field changed, in a table of `pages` more or fewer, or as large as the field says. */
#define FITS 99
static const struct {
    uint64_t magic;
    uint32_t version, issuers, rows;
    int pages;
    err_t want;
} headers[] = {
    {TABLE_MAGIC, 1, ISSUERS, ROWS, 0, ERR_OK},
    {TABLE_MAGIC ^ 1, 1, ISSUERS, ROWS, 0, ERR_PARSE},
    {TABLE_MAGIC, 0, ISSUERS, ROWS, 0, ERR_UNSUPPORTED},
    {TABLE_MAGIC, 2, ISSUERS, ROWS, 0, ERR_UNSUPPORTED},
    {TABLE_MAGIC, 1, 0, ROWS, 0, ERR_PARSE},
    {TABLE_MAGIC, 1, ISSUERS, 0, 0, ERR_PARSE},
    {TABLE_MAGIC, 1, ISSUERS, ROWS, 1, ERR_PARSE},
    {TABLE_MAGIC, 1, ISSUERS, ROWS, -1, ERR_PARSE},
    {TABLE_MAGIC, 1, ISSUERS + 64, ROWS, 0, ERR_PARSE},
    {TABLE_MAGIC, 1, ISSUERS, ROWS + 128, 0, ERR_PARSE},
    {TABLE_MAGIC, 1, UINT32_MAX, ROWS, 0, ERR_PARSE},
    {TABLE_MAGIC, 1, ISSUERS, UINT32_MAX, 0, ERR_PARSE},
    {TABLE_MAGIC, 1, TABLE_ISSUERS_MAX, ROWS, FITS, ERR_OK},
    {TABLE_MAGIC, 1, TABLE_ISSUERS_MAX + 1, ROWS, FITS, ERR_PARSE},
    {TABLE_MAGIC, 1, ISSUERS, TABLE_ROWS_MAX, FITS, ERR_OK},
    {TABLE_MAGIC, 1, ISSUERS, TABLE_ROWS_MAX + 1, FITS, ERR_PARSE},
};

START_TEST(test_a_header_that_does_not_hold_is_refused)
{
    struct table_header h = good_header();
    size_t size = table_size(ISSUERS, ROWS) + (size_t)(headers[_i].pages * 4096);
    void *bytes;
    if (headers[_i].pages == FITS)
        size = table_size(headers[_i].issuers, headers[_i].rows);
    h.magic = headers[_i].magic;
    h.version = headers[_i].version;
    h.issuer_capacity = headers[_i].issuers;
    h.row_capacity = headers[_i].rows;
    ck_assert_int_eq(open_fd(make_fd(&h, size, ALL_SEALS, &bytes)), headers[_i].want);
    if (headers[_i].want == ERR_UNSUPPORTED) { /* names the one found and the one expected */
        ck_assert_ptr_nonnull(
            strstr(why.text, headers[_i].version == 2 ? "version 2" : "version 0"));
        ck_assert_ptr_nonnull(strstr(why.text, "version 1"));
    }
}
END_TEST

START_TEST(test_a_table_too_short_for_a_header_is_refused)
{
    static const size_t sizes[] = {0, 1, 8, 127};
    struct table_header h = good_header();
    void *bytes;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        ck_assert_int_eq(open_fd(make_fd(&h, sizes[i], ALL_SEALS, &bytes)), ERR_PARSE);
}
END_TEST

/* The same 20 bytes as a serial of the first issuer, an ID and an issuer are three keys. */
START_TEST(test_keys_of_different_kinds_differ)
{
    struct revocation_id id;
    struct table_key keys[3];
    memset(id.hash, 7, sizeof id.hash);
    ck_assert(table_key_serial(0, slice_of(id.hash, sizeof id.hash), &keys[0]));
    keys[1] = table_key_id(&id);
    keys[2] = table_key_issuer(id.hash);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_mem_ne(&keys[i], &keys[(i + 1) % 3], sizeof keys[i]);
        uint32_t index = 9;
        ck_assert_int_eq(table_key_has_issuer(&keys[i], &index), i == 0);
        ck_assert_uint_eq(index, i == 0 ? 0 : 9);
    }
}
END_TEST

/* --- bytes --- */

static struct revocation_view *v;
static struct table_map map;

static void setup(void)
{
    struct table_header h = good_header();
    size_t size = table_size(ISSUERS, ROWS);
    void *bytes;
    int fd = make_fd(&h, size, ALL_SEALS, &bytes);
    ck_assert_int_eq(table_map_check(bytes, size, &map, &why), ERR_OK);
    ck_assert_int_eq(revocation_view_open(fd, &v, &why), ERR_OK);
}

static void teardown(void)
{
    revocation_view_unref(v);
    munmap(map.header, table_size(ISSUERS, ROWS));
}

/* ISSUER with a complete and fresh list, as the writer would put it; its index. */
static uint32_t put_issuer(void)
{
    struct revocation_issuer list = {.complete = true, .next_update = NOW + 1};
    struct table_key key = table_key_issuer(ISSUER);
    struct table_place at = table_find_issuer(&map, &key);
    map.issuers[at.index].row.key = key;
    atomic_store(&map.issuers[at.index].row.word, table_pack_issuer(&list));
    return at.index;
}

static enum revocation_state state_of(const char *serial)
{
    return revocation_view_certificate(v, ISSUER, slice_str(serial), NOW).state;
}

/* A word that was never packed is no reason to call a serial good. */
START_TEST(test_a_word_that_makes_no_sense_is_unknown)
{
    static const struct {
        uint64_t word;
        enum revocation_state want;
    } cases[] = {
        {TABLE_FORGOTTEN, REVOCATION_GOOD},
        {TABLE_REVOKED, REVOCATION_REVOKED},
        {TABLE_REVOKED | 10 << 2, REVOCATION_REVOKED},
        {TABLE_REVOKED | 7 << 2, REVOCATION_UNKNOWN},
        {TABLE_REVOKED | 63 << 2, REVOCATION_UNKNOWN},
        {TABLE_REVOKED | UINT64_C(1) << 48, REVOCATION_UNKNOWN},
        {TABLE_REVOKED | UINT64_C(1) << 47, REVOCATION_REVOKED},
        {TABLE_GOOD | UINT64_C(1) << 63, REVOCATION_UNKNOWN},
        {TABLE_FORGOTTEN | 1 << 8, REVOCATION_UNKNOWN},
        {TABLE_EMPTY | 1 << 8, REVOCATION_UNKNOWN},
        {UINT64_MAX, REVOCATION_UNKNOWN},
    };
    struct table_key key;
    ck_assert(table_key_serial(put_issuer(), slice_str("serial"), &key));
    struct table_place at = table_find_row(&map, &key);
    map.rows[at.index].key = key;
    atomic_store(&map.tags[at.index], at.tag);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        atomic_store(&map.rows[at.index].word, cases[i].word);
        ck_assert_msg(state_of("serial") == cases[i].want, "case %zu", i);
    }
}
END_TEST

START_TEST(test_an_issuers_word_that_makes_no_sense_is_no_list)
{
    uint32_t index = put_issuer();
    struct revocation_issuer list;
    uint64_t good = atomic_load(&map.issuers[index].row.word);
    const uint64_t words[] = {
        TABLE_EMPTY,   TABLE_FORGOTTEN, good | TABLE_REVOKED, good | UINT64_C(1) << 50,
        good | 3 << 3, UINT64_MAX,
    };
    ck_assert_int_eq(state_of("serial"), REVOCATION_GOOD);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        atomic_store(&map.issuers[index].row.word, words[i]);
        ck_assert_int_eq(state_of("serial"), REVOCATION_UNKNOWN);
        ck_assert(!revocation_view_issuer(v, ISSUER, &list));
    }
}
END_TEST

/* An ID's row with the word of a good serial holds nobody. */
START_TEST(test_an_id_is_held_by_a_revoked_word_alone)
{
    struct revocation_id id = revocation_id_of(slice_str("spiffe://example.org/web"));
    struct table_key key = table_key_id(&id);
    struct table_place at = table_find_row(&map, &key);
    struct revocation_status good = {.state = REVOCATION_GOOD, .at = NOW + 1};
    map.rows[at.index].key = key;
    atomic_store(&map.tags[at.index], at.tag);
    atomic_store(&map.rows[at.index].word, table_pack_status(&good));
    ck_assert_int_eq(revocation_view_id(v, &id).state, REVOCATION_UNKNOWN);
    atomic_store(&map.rows[at.index].word, TABLE_REVOKED);
    ck_assert_int_eq(revocation_view_id(v, &id).state, REVOCATION_REVOKED);
}
END_TEST

/* No empty row anywhere: each look-up stops by itself. */
START_TEST(test_a_table_without_an_empty_row_ends_a_look_up)
{
    struct revocation_id id = revocation_id_of(slice_str("spiffe://example.org/web"));
    for (unsigned byte = 1; byte < 256; byte++) {
        memset((void *)map.issuers, (int)byte,
               ISSUERS * sizeof map.issuers[0] + ROWS * (sizeof map.rows[0] + 1));
        ck_assert_int_eq(state_of("serial"), REVOCATION_UNKNOWN);
        ck_assert_int_eq(revocation_view_id(v, &id).state, REVOCATION_UNKNOWN);
    }
}
END_TEST

/* What was checked once is not read again: later bytes cannot lead outside. */
START_TEST(test_a_header_changed_after_the_check_changes_nothing)
{
    struct table_header *h = map.header;
    put_issuer();
    h->issuer_capacity = h->row_capacity = UINT32_MAX;
    h->seed[0] = h->seed[1] = h->magic = 0;
    ck_assert_int_eq(state_of("serial"), REVOCATION_GOOD);
    ck_assert_int_eq(state_of("another"), REVOCATION_GOOD);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("revocation_view");
    TCase *fds = tcase_create("descriptors"), *bytes = tcase_create("bytes");
    tcase_add_test(fds, test_a_sound_table_is_taken);
    tcase_add_loop_test(fds, test_a_descriptor_without_one_of_the_seals_is_refused, 0, 5);
    tcase_add_test(fds, test_what_is_no_memfd_is_refused);
    tcase_add_loop_test(fds, test_a_header_that_does_not_hold_is_refused, 0,
                        (int)(sizeof headers / sizeof headers[0]));
    tcase_add_test(fds, test_a_table_too_short_for_a_header_is_refused);
    tcase_add_test(fds, test_keys_of_different_kinds_differ);
    tcase_add_checked_fixture(bytes, setup, teardown);
    tcase_add_test(bytes, test_a_word_that_makes_no_sense_is_unknown);
    tcase_add_test(bytes, test_an_issuers_word_that_makes_no_sense_is_no_list);
    tcase_add_test(bytes, test_an_id_is_held_by_a_revoked_word_alone);
    tcase_add_test(bytes, test_a_table_without_an_empty_row_ends_a_look_up);
    tcase_add_test(bytes, test_a_header_changed_after_the_check_changes_nothing);
    suite_add_tcase(suite, fds);
    suite_add_tcase(suite, bytes);
    return run_suite(suite);
}

/* Where the bytes of private keys lie: in memory that is left out of dumps, and nowhere else. */
#include "common/base/mem.h"
#include "common/base/secret.h"
#include "common/crypto/key.h"
#include "tests/support/memory_scan.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#include <stdio.h>
#include <stdlib.h>

/* `skip` bytes behind where `mark` ends `len` secret bytes stand in the PKCS#8 form. */
static const struct kind {
    enum key_kind kind;
    struct slice mark;
    size_t skip, len;
} kinds[] = {
#define MARK(text)                                                                                 \
    {                                                                                              \
        .data = (const uint8_t *)(text), .len = sizeof(text) - 1                                   \
    }
    {KEY_EC_P256, MARK("\x02\x01\x01\x04\x20"), 0, 32},
    {KEY_EC_P384, MARK("\x02\x01\x01\x04\x30"), 0, 48},
    {KEY_ED25519, MARK("\x04\x22\x04\x20"), 0, 32},
    {KEY_RSA_2048, MARK("\x02\x03\x01\x00\x01\x02"), 40, 64}, /* of the private exponent */
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static struct why why;

static struct slice secret_of(const struct key *k, const struct kind *kind)
{
    struct slice der = key_pkcs8(k);
    const uint8_t *at = memmem(der.data, der.len, kind->mark.data, kind->mark.len);
    ck_assert_ptr_nonnull(at);
    return slice_of(at + kind->mark.len + kind->skip, kind->len);
}

static void use(struct key *k)
{
    struct buf signature;
    buf_init(&signature, 4096);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(key_sign(k, slice_str("a message"), &signature, &why), ERR_OK);
    buf_done(&signature);
}

static struct key *through_a_file(const struct key *k)
{
    struct temp_dir dir;
    char path[TEMP_PATH_MAX];
    struct key *back = NULL;
    temp_dir_make(&dir);
    temp_put(&dir, "tls.key", key_pkcs8(k), 0600);
    ck_assert_msg(key_read_file(temp_path(&dir, "tls.key", path), NULL, &back, &why) == ERR_OK,
                  "%s", why.text);
    temp_dir_remove(&dir);
    return back;
}

static void check_nowhere(const struct key *k, const struct kind *kind)
{
    struct memory_pattern raw, whole;
    memory_pattern_of(secret_of(k, kind), &raw);
    memory_pattern_of(key_pkcs8(k), &whole);
    ck_assert_uint_eq(memory_count(&whole), 0);
    ck_assert_uint_eq(memory_count(&raw), 0);
    memory_pattern_turn(&raw);
    ck_assert_uint_eq(memory_count(&raw), 0);
}

static bool apart_or_say(void)
{
    if (!secret_is_apart())
        puts("test_key_memory: a build with a sanitizer keeps keys in plain memory; not looked at");
    return secret_is_apart();
}

START_TEST(test_a_key_lies_in_memory_left_out_of_dumps_alone)
{
    const struct kind *kind = &kinds[_i];
    struct key *k = NULL;
    if (!apart_or_say())
        return;
    ck_assert_int_eq(key_generate(kind->kind, &k, &why), ERR_OK);
    use(k);
    check_nowhere(k, kind);
    struct key *back = through_a_file(k);
    use(back);
    check_nowhere(k, kind);
    key_free(back);
    check_nowhere(k, kind);
    key_free(k);
}
END_TEST

/* Else the case above would prove nothing. */
START_TEST(test_a_key_in_plain_memory_is_found)
{
    const struct kind *kind = &kinds[_i];
    struct key *k = NULL;
    struct memory_pattern raw;
    if (!apart_or_say())
        return;
    ck_assert_int_eq(key_generate(kind->kind, &k, &why), ERR_OK);
    memory_pattern_of(secret_of(k, kind), &raw);
    struct slice bytes = secret_of(k, kind);
    uint8_t *copy = mem_dup(bytes.data, bytes.len);
    size_t found = memory_count(&raw);
    ck_assert_uint_ge(found, 1);
    mem_wipe(copy, bytes.len);
    mem_free(copy);
    key_free(k);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("key_memory");
    TCase *t = tcase_create("key_memory");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_a_key_lies_in_memory_left_out_of_dumps_alone, 0, (int)KINDS);
    tcase_add_loop_test(t, test_a_key_in_plain_memory_is_found, 0, (int)KINDS);
    suite_add_tcase(s, t);
    return run_suite(s);
}

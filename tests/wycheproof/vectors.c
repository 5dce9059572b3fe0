/* Our build of wolfSSL against the test vectors of project Wycheproof, of which no copy is here:
 *   tests/wycheproof/run FOLDER
 * A vector that is `valid` must be taken with the right answer, an `invalid` one refused, an
 * `acceptable` one refused or answered right. Names of files that this program has no way for are
 * said and count as failures: nothing is left out in silence. */
#include "common/base/mem.h"
#include "common/crypto/crypto_facts.h"
#include "common/crypto/vector_registers.h"
#include "tests/support/crypto_case.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wolfssl/wolfcrypt/cpuid.h>

#define FIELD_MAX (1u << 20)

enum verdict { REFUSED, RIGHT, WRONG };

/* Bytes of a hex field; they live until `fields` are given back. */
struct fields {
    struct buf bytes[8];
    size_t count;
};

static struct slice field(struct fields *f, const json_t *object, const char *name)
{
    const char *hex = json_string_value(json_object_get(object, name));
    if (f->count == sizeof f->bytes / sizeof f->bytes[0] || hex == NULL) {
        fprintf(stderr, "wycheproof_vectors: a vector without %s\n", name);
        exit(2);
    }
    struct buf *b = &f->bytes[f->count++];
    buf_init(b, FIELD_MAX);
    for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
        char two[3] = {hex[0], hex[1], '\0'};
        uint8_t byte = (uint8_t)strtoul(two, NULL, 16);
        if (buf_append(b, &byte, 1) != ERR_OK)
            exit(2);
    }
    return b->len > 0 ? buf_slice(b)
                      : slice_str(""); /* wolfCrypt wants a pointer for nothing too */
}

static void fields_done(struct fields *f)
{
    for (size_t i = 0; i < f->count; i++)
        buf_done(&f->bytes[i]);
}

static enum verdict judge(bool taken, const struct buf *out, struct slice want)
{
    if (!taken)
        return REFUSED;
    return slice_eq(buf_slice(out), want) ? RIGHT : WRONG;
}

/* ---- one function a kind of file ---- */

typedef enum verdict run_fn(const json_t *group, const json_t *test, struct fields *f,
                            struct buf *out);

static enum verdict run_x25519(const json_t *group, const json_t *test, struct fields *f,
                               struct buf *out)
{
    (void)group;
    bool taken = crypto_case_x25519(field(f, test, "public"), field(f, test, "private"), out);
    return judge(taken, out, field(f, test, "shared"));
}

static enum verdict run_ecdh(const json_t *group, const json_t *test, struct fields *f,
                             struct buf *out)
{
    (void)group;
    bool taken = crypto_case_ecdh(field(f, test, "public"), field(f, test, "private"), out);
    return judge(taken, out, field(f, test, "shared"));
}

static enum verdict verify(const char *algorithm, const json_t *group, const json_t *test,
                           struct fields *f)
{
    return crypto_case_verify(algorithm, field(f, group, "publicKeyDer"), field(f, test, "msg"),
                              field(f, test, "sig"))
               ? RIGHT
               : REFUSED;
}

static enum verdict run_ecdsa_256(const json_t *group, const json_t *test, struct fields *f,
                                  struct buf *out)
{
    (void)out;
    return verify("ecdsa-sha256", group, test, f);
}

static enum verdict run_ecdsa_384(const json_t *group, const json_t *test, struct fields *f,
                                  struct buf *out)
{
    (void)out;
    return verify("ecdsa-sha384", group, test, f);
}

static enum verdict run_ed25519(const json_t *group, const json_t *test, struct fields *f,
                                struct buf *out)
{
    (void)out;
    return verify("ed25519", group, test, f);
}

static enum verdict run_rsa(const json_t *group, const json_t *test, struct fields *f,
                            struct buf *out)
{
    (void)out;
    return verify("rsa-sha256", group, test, f);
}

static enum verdict run_pss(const json_t *group, const json_t *test, struct fields *f,
                            struct buf *out)
{
    (void)out;
    return verify("rsa-pss-sha256", group, test, f);
}

static enum verdict open_sealed(const char *cipher, const json_t *test, struct fields *f,
                                struct buf *out)
{
    bool taken =
        crypto_case_open(cipher, field(f, test, "key"), field(f, test, "iv"), field(f, test, "aad"),
                         field(f, test, "ct"), field(f, test, "tag"), out);
    return judge(taken, out, field(f, test, "msg"));
}

static enum verdict run_gcm(const json_t *group, const json_t *test, struct fields *f,
                            struct buf *out)
{
    (void)group;
    return open_sealed("aes-gcm", test, f, out);
}

static enum verdict run_chacha(const json_t *group, const json_t *test, struct fields *f,
                               struct buf *out)
{
    (void)group;
    return open_sealed("chacha20-poly1305", test, f, out);
}

static enum verdict run_hkdf(const json_t *group, const json_t *test, struct fields *f,
                             struct buf *out)
{
    (void)group;
    size_t len = (size_t)json_integer_value(json_object_get(test, "size"));
    bool taken = crypto_case_hkdf(field(f, test, "ikm"), field(f, test, "salt"),
                                  field(f, test, "info"), len, out);
    return judge(taken, out, field(f, test, "okm"));
}

static enum verdict run_mlkem(const json_t *group, const json_t *test, struct fields *f,
                              struct buf *out)
{
    (void)group;
    bool taken = crypto_case_decapsulate(field(f, test, "dk"), field(f, test, "c"), out);
    const char *want = json_string_value(json_object_get(test, "K"));
    return want == NULL ? (taken ? RIGHT : REFUSED) : judge(taken, out, field(f, test, "K"));
}

static const struct kind {
    const char *file; /* how its name begins */
    run_fn *run;
} kinds[] = {
    {"x25519_test", run_x25519},
    {"ecdh_secp256r1_test", run_ecdh},
    {"ecdsa_secp256r1_sha256_test", run_ecdsa_256},
    {"ecdsa_secp384r1_sha384_test", run_ecdsa_384},
    {"ed25519_test", run_ed25519},
    {"rsa_signature_2048_sha256_test", run_rsa},
    {"rsa_pss_2048_sha256_mgf1_32_test", run_pss},
    {"aes_gcm_test", run_gcm},
    {"chacha20_poly1305_test", run_chacha},
    {"hkdf_sha256_test", run_hkdf},
    {"mlkem_768_semi_expanded_decaps_test", run_mlkem},
};

/* ---- files ---- */

struct counts {
    size_t taken, refused, wrong;
};

static void run_test(const char *file, const struct kind *kind, const json_t *group,
                     const json_t *test, struct counts *n)
{
    struct fields f = {.count = 0};
    struct buf out;
    buf_init(&out, FIELD_MAX);
    const char *result = json_string_value(json_object_get(test, "result"));
    enum verdict v = kind->run(group, test, &f, &out);
    bool wrong = v == WRONG || (strcmp(result, "valid") == 0 && v != RIGHT) ||
                 (strcmp(result, "invalid") == 0 && v != REFUSED);
    if (wrong)
        printf("%s: case %" JSON_INTEGER_FORMAT " (%s, %s) was %s\n", file,
               json_integer_value(json_object_get(test, "tcId")), result,
               json_string_value(json_object_get(test, "comment")),
               v == REFUSED ? "refused"
               : v == WRONG ? "answered with another value"
                            : "taken");
    n->wrong += wrong;
    n->taken += v == RIGHT;
    n->refused += v == REFUSED;
    buf_done(&out);
    fields_done(&f);
}

static void run_file(const char *folder, const char *file, const struct kind *kind,
                     struct counts *sum)
{
    char path[4096];
    json_error_t error;
    struct counts n = {0};
    snprintf(path, sizeof path, "%s/%s", folder, file);
    json_t *all = json_load_file(path, 0, &error);
    size_t i, j;
    json_t *group, *test;
    if (all == NULL) {
        printf("%s: cannot be read: %s\n", path, error.text);
        sum->wrong++;
        return;
    }
    json_array_foreach(json_object_get(all, "testGroups"), i, group)
        json_array_foreach(json_object_get(group, "tests"), j, test)
            run_test(file, kind, group, test, &n);
    bool whole =
        n.taken + n.refused > 0 && (json_int_t)(n.taken + n.refused + n.wrong) >=
                                       json_integer_value(json_object_get(all, "numberOfTests"));
    printf("  %-40s %4zu taken, %4zu refused, %zu wrong%s\n", file, n.taken, n.refused, n.wrong,
           whole ? "" : ", some are missing");
    sum->taken += n.taken;
    sum->refused += n.refused;
    sum->wrong += n.wrong + !whole;
    json_decref(all);
}

static const struct kind *kind_of(const char *file)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strncmp(file, kinds[i].file, strlen(kinds[i].file)) == 0)
            return &kinds[i];
    return NULL;
}

static int run_folder(const char *folder, struct counts *sum)
{
    struct dirent **names;
    int count = scandir(folder, &names, NULL, alphasort), run = 0;
    for (int i = 0; i < count; i++) {
        const char *name = names[i]->d_name;
        size_t len = strlen(name);
        const struct kind *kind = kind_of(name);
        if (kind != NULL) {
            run_file(folder, name, kind, sum);
            run++;
        } else if (len > 5 && strcmp(name + len - 5, ".json") == 0) {
            printf("  %s: no way to run this file here\n", name);
            sum->wrong++;
        }
        free(names[i]); /* scandir's */
    }
    if (count >= 0)
        free(names); /* scandir's */
    return run;
}

/* Takes features from what the library may use; before its first use. */
static bool choose_cpu(const char *word)
{
#ifdef HAVE_CPUID_INTEL
    cpuid_flags_t all = cpuid_get_flags();
    if (strcmp(word, "no-avx2") == 0)
        cpuid_select_flags(all & ~(cpuid_flags_t)(CPUID_AVX2 | CPUID_BMI2 | CPUID_ADX));
    else if (strcmp(word, "no-avx") == 0)
        cpuid_select_flags(all &
                           ~(cpuid_flags_t)(CPUID_AVX2 | CPUID_BMI2 | CPUID_ADX | CPUID_AVX1));
    else if (strcmp(word, "none") == 0)
        cpuid_select_flags(0);
    else
        return strcmp(word, "all") == 0;
    return true;
#else
    return strcmp(word, "all") == 0;
#endif
}

int main(int argc, char **argv)
{
    char cpu[CRYPTO_CPU_MAX];
    struct counts sum = {0};
    if (argc != 4 || !choose_cpu(argv[2]) ||
        (strcmp(argv[3], "clean") != 0 && strcmp(argv[3], "dirty") != 0)) {
        fputs("usage: wycheproof_vectors FOLDER all|no-avx2|no-avx|none clean|dirty\n", stderr);
        return 2;
    }
    crypto_case_dirty(strcmp(argv[3], "dirty") == 0);
    crypto_facts_cpu(cpu);
    printf("cpu: %s; vector registers: %s%s\n", cpu, argv[3],
           vector_registers_wide() ? "" : " (without upper halves)");
    if (run_folder(argv[1], &sum) == 0) {
        fprintf(stderr, "wycheproof_vectors: no vectors that we know in %s\n", argv[1]);
        return 2;
    }
    printf("%zu taken, %zu refused, %zu wrong\n", sum.taken, sum.refused, sum.wrong);
    return sum.wrong == 0 ? 0 : 1;
}

/* The embedded authority: what it issues (X5-1 to X5-9), its files, restarts, renewal, damage. */
#include "agent/authority.h"
#include "agent/authority_file.h"
#include "common/mem.h"
#include "common/x509.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOW = 1800000000, DAY = 24 * 3600, HOUR = 3600, TEXT_MAX = 8192 };

static char base[64], dir[80];
static struct authority *a;
static struct why why;

static void setup(void)
{
    /* Memory where there is some: fsync on a busy disk takes long. */
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(base, sizeof base, "%s/test_authority.XXXXXX", where);
    ck_assert_ptr_nonnull(mkdtemp(base));
    snprintf(dir, sizeof dir, "%s/authority", base);
    a = NULL;
    why = (struct why){0};
}

static void path_of(const char *name, char out[static 128])
{
    snprintf(out, 128, "%s/%s", dir, name);
}

static void drop(const char *name)
{
    char path[128];
    path_of(name, path);
    unlink(path);
}

static void empty_dir(void)
{
    drop("root");
    drop("issuer");
    drop(".root.new");
    drop(".issuer.new");
    rmdir(dir);
}

static void teardown(void)
{
    authority_close(a);
    a = NULL;
    empty_dir();
    ck_assert_msg(rmdir(base) == 0, "something is left in %s", base);
}

static err_t open_at(int64_t now)
{
    return authority_open(dir, "example.org", DAY, now, &a, &why);
}

static void must_open(int64_t now)
{
    ck_assert_msg(open_at(now) == ERR_OK, "%s", why_text(&why));
}

static void reopen(int64_t now)
{
    authority_close(a);
    a = NULL;
    must_open(now);
}

static size_t read_text(const char *name, char out[static TEXT_MAX])
{
    char path[128];
    path_of(name, path);
    FILE *f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    size_t len = fread(out, 1, TEXT_MAX - 1, f);
    fclose(f);
    out[len] = '\0';
    return len;
}

static void write_text(const char *name, const char *text, size_t len, mode_t mode)
{
    char path[128];
    path_of(name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
}

/* What one issuance gave. */
struct issued {
    struct buf chain;
    struct slice der[4];
    size_t count;
    struct x509 leaf, issuer, root;
    struct authority_answer answer;
    struct key *key;
};

static err_t issue(const char *id, const char *const *dns, int64_t now, int64_t ttl,
                   struct issued *ret)
{
    *ret = (struct issued){0};
    buf_init(&ret->chain, 16 * 1024);
    ck_assert_int_eq(key_generate(KEY_EC_P256, &ret->key, &why), ERR_OK);
    struct authority_request req = {
        .spiffe_id = id, .dns_names = dns, .spki = key_spki(ret->key), .now = now, .ttl_s = ttl};
    err_t err = authority_issue(a, &req, &ret->chain, &ret->answer, &why);
    if (err != ERR_OK)
        return err;
    ck_assert_int_eq(x509_split(buf_slice(&ret->chain), ret->der, 4, &ret->count, &why), ERR_OK);
    ck_assert_uint_eq(ret->count, 2);
    ck_assert_int_eq(x509_parse(ret->der[0], &ret->leaf, &why), ERR_OK);
    ck_assert_int_eq(x509_parse(ret->der[1], &ret->issuer, &why), ERR_OK);
    ck_assert_int_eq(x509_parse(authority_bundle(a), &ret->root, &why), ERR_OK);
    return ERR_OK;
}

static void issued_done(struct issued *i)
{
    buf_done(&i->chain);
    key_free(i->key);
}

static const char web[] = "spiffe://example.org/web";

START_TEST(test_a_leaf_is_an_x509_svid)
{
    must_open(NOW);
    struct issued i;
    ck_assert_int_eq(issue(web, NULL, NOW + 5, HOUR, &i), ERR_OK);
    ck_assert_uint_eq(i.leaf.uri_count, 1); /* X5-1 */
    ck_assert(slice_eq_str(i.leaf.uri[0], web));
    ck_assert(!i.leaf.is_ca && !i.leaf.has_path_len);                                     /* X5-4 */
    ck_assert(i.leaf.has_key_usage && i.leaf.key_usage_critical);                         /* X5-5 */
    ck_assert_uint_eq(i.leaf.key_usage, X509_KU_DIGITAL_SIGNATURE);                       /* X5-6 */
    ck_assert_uint_eq(i.leaf.ext_key_usage, X509_EKU_SERVER_AUTH | X509_EKU_CLIENT_AUTH); /* X5-8 */
    ck_assert(slice_eq(i.leaf.spki, key_spki(i.key)));
    ck_assert_int_eq(i.leaf.not_before, NOW + 5 - 10); /* AG-12 */
    ck_assert_int_eq(i.leaf.not_after, NOW + 5 + HOUR);
    ck_assert_int_eq(i.answer.not_before, i.leaf.not_before);
    ck_assert_int_eq(i.answer.not_after, i.leaf.not_after);
    ck_assert(slice_eq(i.leaf.serial, slice_of(i.answer.serial, 16)));
    ck_assert_uint_eq(i.leaf.subject_key_id.len, X509_KEY_ID_LEN);
    ck_assert(!i.leaf.has_unknown_critical);
    issued_done(&i);
}
END_TEST

/* X5-3: the subject is never empty, so the names need not be critical. */
START_TEST(test_a_leaf_without_dns_names_still_has_a_subject)
{
    must_open(NOW);
    struct issued i;
    char name[128];
    ck_assert_int_eq(issue(web, NULL, NOW, HOUR, &i), ERR_OK);
    ck_assert_str_eq(x509_name_text(i.leaf.subject, name, sizeof name), "O=SPIFFE");
    ck_assert(!i.leaf.san_critical);
    issued_done(&i);
}
END_TEST

START_TEST(test_dns_names_stand_behind_the_one_uri)
{
    static const char *const dns[] = {"web.example.internal", "*.example.internal", NULL};
    must_open(NOW);
    struct issued i;
    ck_assert_int_eq(issue(web, dns, NOW, HOUR, &i), ERR_OK);
    ck_assert_uint_eq(i.leaf.uri_count, 1); /* X5-1 */
    ck_assert(slice_eq_str(x509_name_common_name(i.leaf.subject), "web.example.internal"));
    struct slice san = i.leaf.san;
    ck_assert_uint_eq(san.data[0], 0x86); /* the URI comes first */
    ck_assert_ptr_nonnull(memmem(san.data, san.len, "*.example.internal", 18));
    issued_done(&i);
}
END_TEST

START_TEST(test_a_dns_name_too_long_for_a_common_name_is_left_out_there)
{
    static const char *const dns[] = {
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.internal", NULL};
    must_open(NOW);
    struct issued i;
    ck_assert_int_eq(issue(web, dns, NOW, HOUR, &i), ERR_OK);
    ck_assert_uint_eq(x509_name_common_name(i.leaf.subject).len, 0);
    issued_done(&i);
}
END_TEST

/* X5-4, X5-5, X5-7, X5-9, ID-9 */
START_TEST(test_signers_are_authorities_of_their_trust_domain_without_a_path)
{
    must_open(NOW);
    struct issued i;
    ck_assert_int_eq(issue(web, NULL, NOW, HOUR, &i), ERR_OK);
    const struct x509 *signers[] = {&i.issuer, &i.root};
    for (size_t n = 0; n < 2; n++) {
        const struct x509 *c = signers[n];
        ck_assert(c->has_basic_constraints && c->is_ca);
        ck_assert_uint_eq(c->path_len, n);
        ck_assert(c->has_key_usage && c->key_usage_critical);
        ck_assert_uint_eq(c->key_usage, X509_KU_CERT_SIGN | X509_KU_CRL_SIGN);
        ck_assert_uint_eq(c->uri_count, 1);
        ck_assert(slice_eq_str(c->uri[0], "spiffe://example.org"));
        ck_assert_uint_eq(c->serial.len, 16);
    }
    ck_assert_int_eq(i.issuer.not_after - NOW, DAY);
    ck_assert_int_eq(i.root.not_after - NOW, AUTHORITY_ROOT_TTL_S);
    issued_done(&i);
}
END_TEST

START_TEST(test_the_chain_leads_from_leaf_to_root)
{
    must_open(NOW);
    struct issued i;
    ck_assert_int_eq(issue(web, NULL, NOW, HOUR, &i), ERR_OK);
    ck_assert_int_eq(x509_check_signature(&i.leaf, i.issuer.spki, &why), ERR_OK);
    ck_assert_int_eq(x509_check_signature(&i.issuer, i.root.spki, &why), ERR_OK);
    ck_assert_int_eq(x509_check_signature(&i.root, i.root.spki, &why), ERR_OK);
    ck_assert(slice_eq(i.leaf.issuer, i.issuer.subject));
    ck_assert(slice_eq(i.issuer.issuer, i.root.subject));
    ck_assert(slice_eq(i.leaf.authority_key_id, i.issuer.subject_key_id));
    ck_assert(slice_eq(i.issuer.authority_key_id, i.root.subject_key_id));
    ck_assert(!slice_eq(i.issuer.subject, i.root.subject));
    issued_done(&i);
}
END_TEST

START_TEST(test_serials_and_answers_differ_each_time)
{
    must_open(NOW);
    struct issued i, k;
    ck_assert_int_eq(issue(web, NULL, NOW, HOUR, &i), ERR_OK);
    ck_assert_int_eq(issue(web, NULL, NOW, HOUR, &k), ERR_OK);
    ck_assert_int_ne(memcmp(i.answer.serial, k.answer.serial, 16), 0);
    issued_done(&i);
    issued_done(&k);
}
END_TEST

/* AG-12: never beyond the issuer's end. */
START_TEST(test_a_leaf_never_outlives_its_issuer)
{
    must_open(NOW);
    struct issued i;
    ck_assert_int_eq(issue(web, NULL, NOW + DAY - 100, HOUR, &i), ERR_OK);
    ck_assert_int_eq(i.leaf.not_after, NOW + DAY);
    issued_done(&i);
}
END_TEST

START_TEST(test_a_failed_issuance_leaves_the_chain_as_it_was)
{
    must_open(NOW);
    struct issued i;
    ck_assert_int_eq(issue(web, NULL, NOW + DAY, HOUR, &i), ERR_SIGNER);
    ck_assert_uint_eq(i.chain.len, 0);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "valid from"));
    issued_done(&i);
    ck_assert_int_eq(issue(web, NULL, NOW - HOUR, HOUR, &i), ERR_SIGNER);
    issued_done(&i);
    ck_assert_int_eq(issue(web, NULL, NOW + DAY - 1, HOUR, &i), ERR_SIGNER);
    issued_done(&i);
}
END_TEST

/* Files and restarts. */

static void copy_bundle(struct buf *out)
{
    struct slice b = authority_bundle(a);
    buf_init(out, 64 * 1024);
    ck_assert_int_eq(buf_append(out, b.data, b.len), ERR_OK);
}

START_TEST(test_a_restart_keeps_root_and_issuer)
{
    char before[TEXT_MAX], after[TEXT_MAX];
    struct buf bundle;
    must_open(NOW);
    copy_bundle(&bundle);
    read_text("issuer", before);
    reopen(NOW + HOUR);
    ck_assert(slice_eq(authority_bundle(a), buf_slice(&bundle)));
    ck_assert_int_eq(authority_issuer_not_after(a), NOW + DAY);
    read_text("issuer", after);
    ck_assert_str_eq(before, after);
    buf_done(&bundle);
}
END_TEST

START_TEST(test_files_are_for_their_owner_only)
{
    struct stat st;
    char path[128];
    umask(0);
    must_open(NOW);
    ck_assert_int_eq(stat(dir, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    static const char *const names[] = {"root", "issuer"};
    for (size_t i = 0; i < 2; i++) {
        path_of(names[i], path);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
    }
}
END_TEST

START_TEST(test_the_parent_must_be_there)
{
    char deep[128];
    snprintf(deep, sizeof deep, "%s/no/authority", base);
    ck_assert_int_eq(authority_open(deep, "example.org", DAY, NOW, &a, &why), ERR_IO);
    ck_assert_ptr_nonnull(strstr(why_text(&why), deep));
}
END_TEST

static const struct {
    const char *name;
    mode_t mode;
    bool is_refused;
} mode_cases[] = {
    {"root", 0640, true},
    {"root", 0604, true},
    {"issuer", 0644, true},
    {"issuer", 0400, false},
};

START_TEST(test_a_file_open_to_others_is_refused)
{
    char text[TEXT_MAX], path[128];
    must_open(NOW);
    authority_close(a);
    a = NULL;
    size_t len = read_text(mode_cases[_i].name, text);
    write_text(mode_cases[_i].name, text, len, mode_cases[_i].mode);
    err_t err = open_at(NOW);
    ck_assert_int_eq(err, mode_cases[_i].is_refused ? ERR_FILE_MODE : ERR_OK);
    path_of(mode_cases[_i].name, path);
    if (mode_cases[_i].is_refused)
        ck_assert_ptr_nonnull(strstr(why_text(&why), path));
}
END_TEST

START_TEST(test_a_folder_open_to_others_is_refused)
{
    must_open(NOW);
    authority_close(a);
    a = NULL;
    ck_assert_int_eq(chmod(dir, 0750), 0);
    ck_assert_int_eq(open_at(NOW), ERR_FILE_MODE);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "chmod 700"));
}
END_TEST

START_TEST(test_a_missing_issuer_is_made_anew)
{
    struct buf bundle;
    must_open(NOW);
    copy_bundle(&bundle);
    drop("issuer");
    reopen(NOW + HOUR);
    ck_assert(slice_eq(authority_bundle(a), buf_slice(&bundle)));
    ck_assert_int_eq(authority_issuer_not_after(a), NOW + HOUR + DAY);
    buf_done(&bundle);
}
END_TEST

START_TEST(test_a_missing_root_beside_an_issuer_is_an_error)
{
    char before[TEXT_MAX], after[TEXT_MAX];
    must_open(NOW);
    authority_close(a);
    a = NULL;
    read_text("issuer", before);
    drop("root");
    ck_assert_int_eq(open_at(NOW), ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "root is missing"));
    read_text("issuer", after);
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(test_a_root_of_another_trust_domain_is_an_error_naming_both)
{
    char before[TEXT_MAX], after[TEXT_MAX];
    must_open(NOW);
    authority_close(a);
    a = NULL;
    read_text("root", before);
    ck_assert_int_eq(authority_open(dir, "other.test", DAY, NOW, &a, &why), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "trust domain example.org"));
    ck_assert_ptr_nonnull(strstr(why_text(&why), "says other.test"));
    read_text("root", after);
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(test_an_issuer_of_another_root_is_an_error)
{
    char issuer[TEXT_MAX];
    must_open(NOW);
    size_t len = read_text("issuer", issuer);
    authority_close(a);
    a = NULL;
    empty_dir();
    must_open(NOW);
    authority_close(a);
    a = NULL;
    write_text("issuer", issuer, len, 0600);
    ck_assert_int_eq(open_at(NOW), ERR_CERT_SIGNATURE);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "was not signed by"));
}
END_TEST

START_TEST(test_swapped_files_are_an_error)
{
    char root[TEXT_MAX], issuer[TEXT_MAX];
    must_open(NOW);
    size_t root_len = read_text("root", root), issuer_len = read_text("issuer", issuer);
    authority_close(a);
    a = NULL;
    write_text("root", issuer, issuer_len, 0600);
    write_text("issuer", root, root_len, 0600);
    ck_assert_int_ne(open_at(NOW), ERR_OK);
}
END_TEST

START_TEST(test_another_version_is_refused_and_left_alone)
{
    char before[TEXT_MAX], after[TEXT_MAX];
    must_open(NOW);
    authority_close(a);
    a = NULL;
    size_t len = read_text("root", before);
    before[strlen("spindle-authority ")] = '2';
    write_text("root", before, len, 0600);
    ck_assert_int_eq(open_at(NOW), ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "expected version 1, found \"2\""));
    read_text("root", after);
    ck_assert_str_eq(before, after);
}
END_TEST

static const char *const parts[] = {"root", "issuer"};

/* A torn file: cut at every byte. Never silently replaced. */
START_TEST(test_a_file_cut_at_any_byte_is_an_error_and_left_alone)
{
    char whole[TEXT_MAX], after[TEXT_MAX], path[128];
    must_open(NOW);
    authority_close(a);
    a = NULL;
    path_of(parts[_i], path);
    size_t len = read_text(parts[_i], whole);
    for (size_t cut = 0; cut < len; cut++) {
        write_text(parts[_i], whole, cut, 0600);
        ck_assert_msg(open_at(NOW) == ERR_PARSE, "cut at %zu: %s", cut, why_text(&why));
        ck_assert_ptr_nonnull(strstr(why_text(&why), path));
        ck_assert_ptr_nonnull(strstr(why_text(&why), "restore it from a backup"));
        ck_assert_uint_eq(read_text(parts[_i], after), cut);
    }
    write_text(parts[_i], whole, len, 0600);
    must_open(NOW);
}
END_TEST

START_TEST(test_a_file_with_one_byte_changed_is_an_error)
{
    char whole[TEXT_MAX];
    must_open(NOW);
    authority_close(a);
    a = NULL;
    size_t len = read_text(parts[_i], whole);
    for (size_t at = 0; at < len; at++) {
        whole[at] ^= 1;
        struct authority_cert cert = {0};
        ck_assert_int_ne(authority_file_parse(slice_of(whole, len), &cert, &why), ERR_OK);
        ck_assert_ptr_null(cert.key);
        whole[at] ^= 1;
    }
}
END_TEST

START_TEST(test_what_a_crash_left_of_a_write_is_in_nobodys_way)
{
    must_open(NOW);
    write_text(".issuer.new", "torn", 4, 0644);
    bool renewed = false;
    ck_assert_int_eq(authority_tick(a, NOW + DAY, &renewed, &why), ERR_OK);
    ck_assert(renewed);
    reopen(NOW + DAY);
    ck_assert_int_eq(authority_issuer_not_after(a), NOW + 2 * DAY);
}
END_TEST

/* Renewal. */

START_TEST(test_the_issuer_is_renewed_at_half_its_life)
{
    must_open(NOW);
    int64_t half = NOW - 10 + (DAY + 10) / 2;
    bool renewed = true;
    ck_assert_int_eq(authority_next_tick(a), half);
    ck_assert_int_eq(authority_tick(a, half - 1, &renewed, &why), ERR_OK);
    ck_assert(!renewed);
    ck_assert_int_eq(authority_tick(a, half, &renewed, &why), ERR_OK);
    ck_assert(renewed);
    ck_assert_int_eq(authority_issuer_not_after(a), half + DAY);
    ck_assert_int_eq(authority_issuer_not_before(a), half - 10);
    ck_assert_int_gt(authority_next_tick(a), half);
}
END_TEST

START_TEST(test_a_jump_of_the_clock_makes_a_new_issuer_at_once)
{
    must_open(NOW);
    bool renewed = false;
    ck_assert_int_eq(authority_tick(a, NOW + 30 * DAY, &renewed, &why), ERR_OK);
    ck_assert(renewed);
    struct issued i;
    ck_assert_int_eq(issue(web, NULL, NOW + 30 * DAY, HOUR, &i), ERR_OK);
    issued_done(&i);
    /* and back */
    ck_assert_int_eq(authority_tick(a, NOW + DAY, &renewed, &why), ERR_OK);
    ck_assert(renewed);
    ck_assert_int_eq(issue(web, NULL, NOW + DAY, HOUR, &i), ERR_OK);
    issued_done(&i);
}
END_TEST

START_TEST(test_an_issuer_that_ran_out_while_the_agent_was_off_is_replaced)
{
    must_open(NOW);
    reopen(NOW + 7 * DAY);
    ck_assert_int_eq(authority_issuer_not_after(a), NOW + 8 * DAY);
}
END_TEST

START_TEST(test_a_renewal_that_cannot_be_written_keeps_the_old_issuer)
{
    must_open(NOW);
    char away[128];
    snprintf(away, sizeof away, "%s/away", base);
    ck_assert_int_eq(rename(dir, away), 0);
    bool renewed = false;
    ck_assert_int_eq(authority_tick(a, NOW + DAY - 100, &renewed, &why), ERR_IO);
    ck_assert(!renewed);
    ck_assert_int_eq(authority_issuer_not_after(a), NOW + DAY);
    ck_assert_int_eq(authority_next_tick(a), NOW + DAY - 90);
    ck_assert_int_eq(rename(away, dir), 0);
    ck_assert_int_eq(authority_tick(a, NOW + DAY - 90, &renewed, &why), ERR_OK);
    ck_assert(renewed);
}
END_TEST

START_TEST(test_the_issuer_never_outlives_the_root)
{
    must_open(NOW);
    int64_t end = authority_root_not_after(a);
    reopen(end - HOUR);
    ck_assert_int_eq(authority_issuer_not_after(a), end);
    bool renewed = true;
    ck_assert_int_eq(authority_tick(a, end - 10, &renewed, &why), ERR_OK);
    ck_assert(!renewed); /* a new one could not last longer */
    ck_assert_int_ge(authority_next_tick(a), end);
    authority_close(a);
    a = NULL;
    ck_assert_int_eq(open_at(end), ERR_CERT_EXPIRED);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "to begin with a new root"));
}
END_TEST

START_TEST(test_a_clock_before_the_root_is_an_error)
{
    must_open(NOW);
    authority_close(a);
    a = NULL;
    ck_assert_int_eq(open_at(NOW - DAY), ERR_CERT_NOT_YET_VALID);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "clock"));
}
END_TEST

START_TEST(test_failed_allocations_open_nothing_and_leak_nothing)
{
    err_t err;
    long n = 0;
    do {
        empty_dir();
        mem_fail_after(n++);
        err = open_at(NOW);
        bool failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert(!failed || err != ERR_OK);
        if (err != ERR_OK) {
            ck_assert_ptr_null(a);
            /* What is there, if anything, is whole. */
            ck_assert_msg(open_at(NOW) == ERR_OK, "after %ld: %s", n, why_text(&why));
            authority_close(a);
            a = NULL;
        }
    } while (err != ERR_OK);
    ck_assert_int_gt(n, 20);
}
END_TEST

START_TEST(test_failed_allocations_read_nothing_and_leak_nothing)
{
    must_open(NOW);
    err_t err;
    long n = 0;
    do {
        authority_close(a);
        a = NULL;
        mem_fail_after(n++);
        err = open_at(NOW);
        bool failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert(!failed || err != ERR_OK);
    } while (err != ERR_OK);
    struct issued i;
    do {
        ck_assert_int_eq(key_generate(KEY_EC_P256, &i.key, &why), ERR_OK);
        buf_init(&i.chain, 16 * 1024);
        mem_fail_after(n++ % 20);
        struct authority_request req = {
            .spiffe_id = web, .spki = key_spki(i.key), .now = NOW, .ttl_s = HOUR};
        err = authority_issue(a, &req, &i.chain, &i.answer, &why);
        bool failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert(!failed || err != ERR_OK);
        ck_assert(err == ERR_OK || i.chain.len == 0);
        issued_done(&i);
    } while (err != ERR_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("authority");
    TCase *t = tcase_create("authority");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_a_leaf_is_an_x509_svid);
    tcase_add_test(t, test_a_leaf_without_dns_names_still_has_a_subject);
    tcase_add_test(t, test_dns_names_stand_behind_the_one_uri);
    tcase_add_test(t, test_a_dns_name_too_long_for_a_common_name_is_left_out_there);
    tcase_add_test(t, test_signers_are_authorities_of_their_trust_domain_without_a_path);
    tcase_add_test(t, test_the_chain_leads_from_leaf_to_root);
    tcase_add_test(t, test_serials_and_answers_differ_each_time);
    tcase_add_test(t, test_a_leaf_never_outlives_its_issuer);
    tcase_add_test(t, test_a_failed_issuance_leaves_the_chain_as_it_was);
    tcase_add_test(t, test_a_restart_keeps_root_and_issuer);
    tcase_add_test(t, test_files_are_for_their_owner_only);
    tcase_add_test(t, test_the_parent_must_be_there);
    tcase_add_loop_test(t, test_a_file_open_to_others_is_refused, 0, 4);
    tcase_add_test(t, test_a_folder_open_to_others_is_refused);
    tcase_add_test(t, test_a_missing_issuer_is_made_anew);
    tcase_add_test(t, test_a_missing_root_beside_an_issuer_is_an_error);
    tcase_add_test(t, test_a_root_of_another_trust_domain_is_an_error_naming_both);
    tcase_add_test(t, test_an_issuer_of_another_root_is_an_error);
    tcase_add_test(t, test_swapped_files_are_an_error);
    tcase_add_test(t, test_another_version_is_refused_and_left_alone);
    tcase_add_loop_test(t, test_a_file_cut_at_any_byte_is_an_error_and_left_alone, 0, 2);
    tcase_add_loop_test(t, test_a_file_with_one_byte_changed_is_an_error, 0, 2);
    tcase_add_test(t, test_what_a_crash_left_of_a_write_is_in_nobodys_way);
    tcase_add_test(t, test_the_issuer_is_renewed_at_half_its_life);
    tcase_add_test(t, test_a_jump_of_the_clock_makes_a_new_issuer_at_once);
    tcase_add_test(t, test_an_issuer_that_ran_out_while_the_agent_was_off_is_replaced);
    tcase_add_test(t, test_a_renewal_that_cannot_be_written_keeps_the_old_issuer);
    tcase_add_test(t, test_the_issuer_never_outlives_the_root);
    tcase_add_test(t, test_a_clock_before_the_root_is_an_error);
    tcase_add_test(t, test_failed_allocations_open_nothing_and_leak_nothing);
    tcase_add_test(t, test_failed_allocations_read_nothing_and_leak_nothing);
    suite_add_tcase(s, t);
    return run_suite(s);
}

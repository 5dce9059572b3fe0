/* Strict YAML: the tree, the lines, what is refused and in which words. */
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/config/yaml.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

static const struct yaml_options file_options = {.expected = "a mapping of keys"};

static struct yaml *parse(const char *text)
{
    struct yaml *doc = NULL;
    struct why why = {0};
    ck_assert_msg(yaml_parse("x.yaml", slice_str(text), &file_options, &doc, &why) == ERR_OK, "%s",
                  why_text(&why));
    return doc;
}

START_TEST(test_tree_has_kinds_lines_keys_and_text)
{
    struct yaml *doc = parse("a: 1\n"
                             "b:\n"
                             "  - x\n"
                             "  - {c: 'off', d: off}\n"
                             "e: {}\n"
                             "f:\n");
    const struct yaml_node *root = yaml_root(doc);
    ck_assert_int_eq(root->kind, YAML_MAPPING);
    ck_assert_uint_eq(yaml_count(root), 4);
    ck_assert(slice_eq_str(yaml_get(root, "a")->text, "1"));
    const struct yaml_node *b = yaml_get(root, "b");
    ck_assert_int_eq(b->kind, YAML_LIST);
    ck_assert_uint_eq(b->line, 2);
    ck_assert_str_eq((const char *)yaml_first(b)->text.data, "x");
    const struct yaml_node *inner = yaml_first(b)->next;
    ck_assert_uint_eq(inner->line, 4);
    ck_assert(yaml_get(inner, "c")->quoted && !yaml_get(inner, "d")->quoted);
    ck_assert(slice_eq_str(yaml_get(inner, "d")->text, "off"));
    ck_assert_uint_eq(yaml_count(yaml_get(root, "e")), 0);
    ck_assert(yaml_is_null(yaml_get(root, "f")) && !yaml_is_null(yaml_get(root, "a")));
    ck_assert_ptr_null(yaml_get(root, "g"));
    ck_assert_ptr_null(yaml_get(b, "x"));
    ck_assert_ptr_null(yaml_get(NULL, "x"));
    yaml_close(doc);
}
END_TEST

#define MARK "\xef\xbb\xbf"

START_TEST(test_a_byte_order_mark_in_front_is_passed_over)
{
    struct yaml *doc = parse(MARK "a: 1\nb: 2\n");
    ck_assert(slice_eq_str(yaml_get(yaml_root(doc), "a")->text, "1"));
    ck_assert_uint_eq(yaml_get(yaml_root(doc), "b")->line, 2);
    yaml_close(doc);
}
END_TEST

START_TEST(test_a_pipe_is_read_and_one_that_nobody_writes_holds_nobody_up)
{
    char dir[] = "/tmp/spindle-yaml-XXXXXX", path[64];
    struct yaml *doc = NULL;
    struct why why = {0};
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/x.yaml", dir);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(yaml_read_file(path, &file_options, &doc, &why), ERR_CONFIG); /* no writer */
    ck_assert_ptr_nonnull(strstr(why_text(&why), "is empty"));
    int both = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(yaml_read_file(path, &file_options, &doc, &why), ERR_IO); /* a silent one */
    ck_assert_ptr_nonnull(strstr(why_text(&why), "nobody wrote"));
    int reader = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ck_assert_int_eq(write(both, "a: 1\n", 5), 5);
    char at[64];
    snprintf(at, sizeof at, "/proc/self/fd/%d", reader);
    close(both);
    ck_assert_int_eq(yaml_read_file(at, &file_options, &doc, &why), ERR_OK);
    yaml_close(doc);
    close(reader);
    unlink(path);
    rmdir(dir);
}
END_TEST

static const struct bad_case {
    const char *text, *want;
} bad[] = {
    {"", "x.yaml: is empty: expected a mapping of keys"},
    {"# only a comment\n", "x.yaml: is empty: expected a mapping of keys"},
    {"---\n", "x.yaml: is empty: expected a mapping of keys"},
    {"~", "x.yaml: is empty: expected a mapping of keys"},
    {"- a\n", "x.yaml:1: expected a mapping of keys, found a list"},
    {"\njust text\n", "x.yaml:2: expected a mapping of keys, found \"just text\""},
    {"a: 1\nb: 2\na: 3\n", "x.yaml:3: the key \"a\" is there twice, first in line 1"},
    {"a: {b: 1, b: 2}\n", "x.yaml:1: the key \"b\" is there twice, first in line 1"},
    {"a: &x 1\n", "x.yaml:1: anchors (&name) are not supported: write the value out"},
    {"a: 1\nb: *x\n", "x.yaml:2: aliases (*name) are not supported: write the value out"},
    {"a: &x {b: 1}\n", "x.yaml:1: anchors (&name) are not supported: write the value out"},
    {"a: !!str 1\n", "x.yaml:1: tags (!name) are not supported"},
    {"a: !x [1]\n", "x.yaml:1: tags (!name) are not supported"},
    {"a: 1\n---\nb: 2\n", "x.yaml:2: a second document (---): only one is allowed"},
    {"? [a]\n: 1\n", "x.yaml:1: a key must be plain text"},
    {"? {a: 1}\n: 1\n", "x.yaml:1: a key must be plain text"},
    {"'': 1\n", "x.yaml:1: a key is empty"},
    {"a: \"x\\0y\"\n", "x.yaml:1: a value holds a NUL character"},
    {"a: [1\n", "x.yaml:2: not valid YAML: did not find expected ',' or ']' while parsing a flow "
                "sequence"},
    {"a: 1\n\tb: 2\n", "x.yaml:2: not valid YAML: found a tab character that violates indentation "
                       "while scanning a plain scalar"},
    {"a: 1\n b: 2\n", "x.yaml:2: not valid YAML: mapping values are not allowed in this context"},
    {"a: \xff\n", "x.yaml: not UTF-8 text at byte 4: invalid leading UTF-8 octet"},
    {MARK "a: \xff\n", "x.yaml: not UTF-8 text at byte 7: invalid leading UTF-8 octet"},
    {MARK, "x.yaml: is empty: expected a mapping of keys"},
    {"a: 1\n" MARK "b: 2\n",
     "x.yaml:2: a byte order mark (U+FEFF) in front of the line: remove it"},
    {MARK MARK "a: 1\n", "x.yaml:1: a byte order mark (U+FEFF) in front of the line: remove it"},
    {"\xff\xfe"
     "a",
     "x.yaml: is UTF-16 text: save it as UTF-8"},
    {"\xfe\xff"
     "a",
     "x.yaml: is UTF-16 text: save it as UTF-8"},
    {"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "x.yaml:1: nested deeper than 16 levels"},
};

START_TEST(test_what_is_not_strict_is_refused_with_file_and_line)
{
    struct yaml *doc = NULL;
    struct why why = {0};
    err_t err = yaml_parse("x.yaml", slice_str(bad[_i].text), &file_options, &doc, &why);
    ck_assert_int_eq(err, ERR_CONFIG);
    ck_assert_str_eq(why_text(&why), bad[_i].want);
    ck_assert_ptr_null(doc);
}
END_TEST

START_TEST(test_nul_and_utf16_bytes_are_refused)
{
    struct yaml *doc = NULL;
    ck_assert_int_eq(yaml_parse("x", slice_of("a: x\0y\n", 7), &file_options, &doc, NULL),
                     ERR_CONFIG);
    ck_assert_int_eq(yaml_parse("x",
                                slice_of("\xff\xfe"
                                         "a\0:\0 \0b\0",
                                         10),
                                &file_options, &doc, NULL),
                     ERR_CONFIG);
}
END_TEST

START_TEST(test_bare_value_may_be_anything_even_nothing)
{
    static const struct {
        const char *text;
        int kind;
        const char *shown;
    } cases[] = {
        {"", YAML_SCALAR, "nothing"},          {"x", YAML_SCALAR, "\"x\""},
        {"''", YAML_SCALAR, "\"\""},           {"[a, b]", YAML_LIST, "a list"},
        {"{a: 1}", YAML_MAPPING, "a mapping"}, {"\"a\\nb\"", YAML_SCALAR, "\"a\\x0ab\""},
    };
    for (int i = 0; i < COUNT(cases); i++) {
        struct yaml *doc = NULL;
        char shown[YAML_SHOW_LEN];
        ck_assert_int_eq(yaml_parse("--set", slice_str(cases[i].text), NULL, &doc, NULL), ERR_OK);
        ck_assert_int_eq(yaml_root(doc)->kind, cases[i].kind);
        ck_assert_str_eq(yaml_show(yaml_root(doc), shown), cases[i].shown);
        yaml_close(doc);
    }
}
END_TEST

START_TEST(test_long_value_is_cut_where_it_is_shown)
{
    char text[200], shown[YAML_SHOW_LEN];
    memset(text, 'x', sizeof text);
    struct yaml_node node = {.text = slice_of(text, sizeof text)};
    yaml_show(&node, shown);
    ck_assert_uint_lt(strlen(shown), YAML_SHOW_LEN);
    ck_assert_str_eq(shown + strlen(shown) - 4, "...\"");
}
END_TEST

START_TEST(test_bounds_of_bytes_values_and_keys)
{
    struct yaml *doc = NULL;
    struct why why = {0};
    struct yaml_options small = {.max_bytes = 8};
    ck_assert_int_eq(yaml_parse("x", slice_str("a: 12345"), &small, &doc, &why), ERR_OK);
    yaml_close(doc);
    doc = NULL;
    ck_assert_int_eq(yaml_parse("x", slice_str("a: 123456"), &small, &doc, &why), ERR_TOO_LARGE);
    ck_assert_str_eq(why_text(&why), "x: larger than 8 bytes");
    struct yaml_options few = {.max_nodes = 3};
    ck_assert_int_eq(yaml_parse("x", slice_str("[a, b]"), &few, &doc, &why), ERR_OK);
    yaml_close(doc);
    doc = NULL;
    ck_assert_int_eq(yaml_parse("x", slice_str("[a, b,\n c]"), &few, &doc, &why), ERR_TOO_LARGE);
    ck_assert_str_eq(why_text(&why), "x:2: more than 3 values");
    struct buf keys;
    buf_init(&keys, 65536);
    for (int i = 0; i <= 1024; i++)
        ck_assert_int_eq(buf_printf(&keys, "k%d: 1\n", i), ERR_OK);
    ck_assert_int_eq(yaml_parse("x", buf_slice(&keys), NULL, &doc, &why), ERR_CONFIG);
    ck_assert_str_eq(why_text(&why), "x:1025: a mapping has more than 1024 keys");
    buf_done(&keys);
    ck_assert_ptr_null(doc);
}
END_TEST

START_TEST(test_files_are_read_and_unreadable_ones_named)
{
    char path[] = "/tmp/test_yaml.XXXXXX", want[128];
    struct yaml *doc = NULL;
    struct why why = {0};
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "a: 1\n", 5), 5);
    ck_assert_int_eq(yaml_read_file(path, &file_options, &doc, &why), ERR_OK);
    ck_assert(slice_eq_str(yaml_get(yaml_root(doc), "a")->text, "1"));
    yaml_close(doc);
    doc = NULL;
    struct yaml_options exact = {.max_bytes = 5}, tight = {.max_bytes = 4};
    ck_assert_int_eq(yaml_read_file(path, &exact, &doc, &why), ERR_OK);
    yaml_close(doc);
    doc = NULL;
    ck_assert_int_eq(yaml_read_file(path, &tight, &doc, &why), ERR_TOO_LARGE);
    close(fd);
    unlink(path);
    ck_assert_int_eq(yaml_read_file(path, &file_options, &doc, &why), ERR_IO);
    snprintf(want, sizeof want, "%s: cannot be read: No such file or directory", path);
    ck_assert_str_eq(why_text(&why), want);
    ck_assert_int_eq(yaml_read_file("/tmp", &file_options, &doc, &why), ERR_IO);
    ck_assert_str_eq(why_text(&why), "/tmp: cannot be read: Is a directory");
}
END_TEST

START_TEST(test_each_failed_allocation_is_an_error_and_leaks_nothing)
{
    const char *text = "a: 1\nb: [x, {c: d}]\ne: {f: g}\n";
    for (long n = 0;; n++) {
        struct yaml *doc = NULL;
        mem_fail_after(n);
        err_t err = yaml_parse("x", slice_str(text), &file_options, &doc, NULL);
        int failed = mem_did_fail();
        mem_fail_after(-1);
        if (!failed) {
            ck_assert_int_eq(err, ERR_OK);
            ck_assert_int_gt(n, 8);
            yaml_close(doc);
            break;
        }
        ck_assert_int_eq(err, ERR_NO_MEMORY);
        ck_assert_ptr_null(doc);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("yaml");
    TCase *t = tcase_create("yaml");
    tcase_add_test(t, test_tree_has_kinds_lines_keys_and_text);
    tcase_add_test(t, test_a_byte_order_mark_in_front_is_passed_over);
    tcase_add_test(t, test_a_pipe_is_read_and_one_that_nobody_writes_holds_nobody_up);
    tcase_add_loop_test(t, test_what_is_not_strict_is_refused_with_file_and_line, 0, COUNT(bad));
    tcase_add_test(t, test_nul_and_utf16_bytes_are_refused);
    tcase_add_test(t, test_bare_value_may_be_anything_even_nothing);
    tcase_add_test(t, test_long_value_is_cut_where_it_is_shown);
    tcase_add_test(t, test_bounds_of_bytes_values_and_keys);
    tcase_add_test(t, test_files_are_read_and_unreadable_ones_named);
    tcase_add_test(t, test_each_failed_allocation_is_an_error_and_leaks_nothing);
    suite_add_tcase(s, t);
    return run_suite(s);
}

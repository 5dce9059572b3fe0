/* The option engine on a table of its own: what the programs' tables do not reach. Their mistakes
 * are in test_agent_config and test_sidecar_config. */
#include "common/config/option.h"
#include "tests/support/config_case.h"
#include "tests/support/option_flaw.h"
#include "tests/support/runner.h"

#include <stdlib.h>
#include <unistd.h>

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

struct leaf {
    char *name;
    int64_t size;
};
struct sample {
    int64_t size, number;
    char **words;
    struct option_items leaves;
    char *deep, *file;
};

/* clang-format off: rows end in a comma of their own */
#define OPTION_STRUCT struct leaf
static const struct option leaf_rows[] = {
    OPTION("name", OPTION_STRING, name, OPTION_REQUIRED, NULL, RELOAD, "0.1", "The name of it.")
        OPTION("buffer.size", OPTION_SIZE, size, OPTION_WITH_SECTION, "1KiB..1MiB", RESTART, "0.1",
               "The size of it.")};
#undef OPTION_STRUCT
static const struct option_table leaf_table = {leaf_rows, COUNT(leaf_rows), sizeof(struct leaf)};

#define OPTION_STRUCT struct sample
static const struct option rows[] = {
    OPTION("size", OPTION_SIZE, size, OPTION_DEFAULT("64KiB"), "..1GiB", RELOAD, "0.1",
           "How much there is.") OPTION("number", OPTION_INT, number, OPTION_DEFAULT("-3"), "-5..",
                                        RESTART, "0.2", "How many there are.")
        OPTION("words", OPTION_LIST(NULL), words, OPTION_DEFAULT(""), NULL, RELOAD, "0.1",
               "Words of any kind.")
            OPTION("leaves", OPTION_SECTIONS(leaf_table), leaves, OPTION_DEFAULT(""), NULL, RELOAD,
                   "0.1", "Sections of a kind.")
                OPTION("a.b.c", OPTION_STRING, deep, OPTION_OPTIONAL, NULL, RELOAD, "0.1",
                       "Something far down.") OPTION("file", OPTION_PATH, file, OPTION_OPTIONAL,
                                                     NULL, RELOAD, "0.1", "Where it is.")};
#undef OPTION_STRUCT
/* clang-format on */
static const struct option_table table = {rows, COUNT(rows), sizeof(struct sample)};

static err_t load(const struct config_case *c, struct sample *s, struct buf *report,
                  struct option_origins **origins)
{
    config_case_write(c);
    return option_load(&table, "x.yaml", c->set, s, report, origins, NULL);
}

static void unload(struct sample *s, struct option_origins *origins, struct buf *report)
{
    option_free(&table, s);
    option_origins_free(origins);
    buf_done(report);
}

START_TEST(test_sizes_numbers_lists_and_sections_are_read)
{
    struct config_case c = {.text = "size: 2MiB\nnumber: -5\nwords: [a, 'b c', off]\n"
                                    "a: {b: {c: deep}}\n"
                                    "leaves: [{name: x}, {name: y, buffer: {size: 1KiB}}]\n",
                            .want = ""};
    struct sample s = {0};
    struct buf report;
    struct option_origins *origins = NULL;
    char where[OPTION_WHERE_LEN];
    buf_init(&report, 4096);
    config_case_check(&c, load(&c, &s, &report, &origins), &report);
    ck_assert_int_eq(s.size, 2 << 20);
    ck_assert_int_eq(s.number, -5);
    ck_assert_str_eq(s.words[2], "off");
    ck_assert_ptr_null(s.words[3]);
    ck_assert_str_eq(s.deep, "deep");
    struct leaf *leaves = s.leaves.items;
    ck_assert_uint_eq(s.leaves.count, 2);
    ck_assert_str_eq(leaves[0].name, "x");
    ck_assert_int_eq(leaves[1].size, 1024);
    ck_assert(option_given(origins, "a.b") && option_given(origins, "leaves[1].buffer"));
    ck_assert(!option_given(origins, "leaves[0].buffer") && !option_given(origins, "b"));
    ck_assert_str_eq(option_where(origins, "leaves[1].buffer.size", where),
                     "x.yaml:5: leaves[1].buffer.size");
    unload(&s, origins, &report);
}
END_TEST

static const struct config_case cases[] = {
    {"size: 64\n",
     {0},
     "x.yaml:1: size: expected a size such as 512B, 64KiB or 1MiB, found \"64\"\n",
     ERR_CONFIG},
    {"size: 2GiB\n", {0}, "x.yaml:1: size: expected at most 1GiB, found \"2GiB\"\n", ERR_CONFIG},
    {"number: -6\n", {0}, "x.yaml:1: number: expected at least -5, found \"-6\"\n", ERR_CONFIG},
    {"number: 12345678901234567\n",
     {0},
     "x.yaml:1: number: expected a whole number, found \"12345678901234567\"\n",
     ERR_CONFIG},
    {"number: '-'\n", {0}, "x.yaml:1: number: expected a whole number, found \"-\"\n", ERR_CONFIG},
    {"words: [a, '']\n", {0}, "x.yaml:1: words: expected text, found \"\"\n", ERR_CONFIG},
    {"words: [a, ~, {b: c}]\n",
     {0},
     "x.yaml:1: words: expected text, found nothing\nx.yaml:1: words: expected text, found a "
     "mapping\n",
     ERR_CONFIG},
    {"leaves:\n- buffer: {size: 1B}\n- {name: a, buffer: {}}\n- {name: a, buffer: 3}\n",
     {0},
     "x.yaml:2: leaves[0].name: is missing: expected text\n"
     "x.yaml:2: leaves[0].buffer.size: expected at least 1KiB, found \"1B\"\n"
     "x.yaml:3: leaves[1].buffer.size: is missing: expected a size such as 512B, 64KiB or 1MiB\n"
     "x.yaml:4: leaves[2].buffer: expected a mapping of keys, found \"3\"\n",
     ERR_CONFIG},
    {"a: {b: {d: 1}}\n", {0}, "x.yaml:1: a.b.d: unknown key, did you mean a.b.c?\n", ERR_CONFIG},
    {"leaves:\n- {name: a, bufer: {size: 1KiB}}\n",
     {0},
     "x.yaml:2: leaves[0].bufer: unknown key, did you mean leaves[0].buffer?\n",
     ERR_CONFIG},
    {"size: 1B\n", {"a.b={c: x}", "a.b.c=y", "words=[]"}, "", ERR_OK},
    {"size: 1B\n",
     {"leaves[1].name=b"},
     "--set: leaves[1].name: there are 0 before it: the next is "
     "leaves[0]\n",
     ERR_CONFIG},
    {"size: 1B\n",
     {"leaves[0].buffer.size=1KiB"},
     "--set: leaves[0].name: is missing: expected text\n",
     ERR_CONFIG},
    {"leaves: [{name: a}]\n",
     {"leaves[0].nam=b"},
     "--set: leaves[0].nam: unknown key, did you mean "
     "leaves[0].name?\n",
     ERR_CONFIG},
    {"leaves: [{name: a}]\n",
     {"leaves[0].buffer={sise: 1KiB}"},
     "--set: leaves[0].buffer.sise: unknown key, did you mean leaves[0].buffer.size?\n"
     "--set: leaves[0].buffer.size: is missing: expected a size such as 512B, 64KiB or 1MiB\n",
     ERR_CONFIG},
    {"leaves: [{name: a}]\n",
     {"leaves[0]=b"},
     "--set: leaves[0]: expected a mapping of keys, found "
     "\"b\"\n",
     ERR_CONFIG},
    {"leaves: [{name: a}]\n",
     {"leaves[x].name=b"},
     "--set: leaves[x].name: unknown key; `config check --help` lists the known ones\n",
     ERR_CONFIG},
    {"leaves: [{name: a}]\n",
     {"leaves[0]name=b"},
     "--set: leaves[0]name: unknown key; `config check --help` lists the known ones\n",
     ERR_CONFIG},
    {"leaves: [{name: a}]\n",
     {"leaves[99999].name=b"},
     "--set: leaves[99999].name: unknown key; `config check --help` lists the known ones\n",
     ERR_CONFIG},
    {"leaves: 3\n",
     {"leaves[0].name=b"},
     "x.yaml:1: leaves: expected a list of sections, found \"3\"\n",
     ERR_CONFIG},
};

/* What the sections are after the file and the settings: "name/size name/size". */
static const struct {
    const char *text, *set[4], *leaves, *key, *where;
} indexed[] = {
    {"leaves: [{name: a}, {name: b}]\n",
     {"leaves[1].name=c"},
     "a/0 c/0",
     "leaves[1].name",
     "--set"},
    {"leaves: [{name: a}, {name: b}]\n",
     {"leaves[0].buffer.size=1KiB"},
     "a/1024 b/0",
     "leaves[0].name",
     "x.yaml:1"},
    {"leaves: [{name: a, buffer: {size: 2KiB}}]\n",
     {"leaves[0]={name: c}"},
     "c/2048",
     "leaves[0].name",
     "--set"},
    {"leaves: [{name: a}]\n",
     {"leaves[1].name=b", "leaves[2]={name: c}"},
     "a/0 b/0 c/0",
     "leaves[2]",
     "--set"},
    {"size: 1B\n",
     {"leaves[0].name=a", "leaves[0].buffer.size=1KiB"},
     "a/1024",
     "leaves[0].buffer.size",
     "--set"},
    {"leaves: [{name: a}]\n",
     {"leaves[0].name=b", "leaves[0].name=c"},
     "c/0",
     "leaves[0].name",
     "--set"},
    {"leaves: [{name: a}]\n", {"leaves[0].name=b", "leaves=[{name: d}]"}, "d/0", "leaves", "--set"},
    {"leaves: [{name: a}]\n",
     {"leaves=[{name: d}]", "leaves[0].name=b"},
     "b/0",
     "leaves[0].name",
     "--set"},
};

START_TEST(test_a_setting_reaches_one_key_of_one_section)
{
    struct config_case c = {.text = indexed[_i].text, .want = ""};
    struct sample s = {0};
    struct buf report;
    struct option_origins *origins = NULL;
    char got[256] = "", where[OPTION_WHERE_LEN];
    memcpy(c.set, indexed[_i].set, sizeof c.set);
    buf_init(&report, 4096);
    config_case_check(&c, load(&c, &s, &report, &origins), &report);
    const struct leaf *leaves = s.leaves.items;
    for (size_t i = 0; i < s.leaves.count; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s/%ld", i > 0 ? " " : "",
                 leaves[i].name, (long)leaves[i].size);
    ck_assert_str_eq(got, indexed[_i].leaves);
    ck_assert(option_given(origins, "leaves"));
    ck_assert_ptr_nonnull(strstr(option_where(origins, indexed[_i].key, where), indexed[_i].where));
    unload(&s, origins, &report);
}
END_TEST

START_TEST(test_a_relative_path_counts_from_the_file_and_of_a_setting_from_here)
{
    struct buf report;
    char here[512], whole[1024];
    buf_init(&report, 4096);
    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    static const struct {
        const char *file, *text, *set, *below;
    } rows_[] = {{"x.yaml", "file: a/b.pem\n", NULL, "a/b.pem"},
                 {"./x.yaml", "file: ../b.pem\n", NULL, "./../b.pem"},
                 {"x.yaml", "file: /b.pem\n", NULL, NULL},
                 {"./x.yaml", "file: a\n", "file=c/d", "c/d"}};
    for (size_t i = 0; i < sizeof rows_ / sizeof rows_[0]; i++) {
        const char *sets[] = {rows_[i].set, NULL};
        struct sample s = {0};
        struct option_origins *origins = NULL;
        config_case_file("x.yaml", rows_[i].text, 0644);
        ck_assert_int_eq(option_load(&table, rows_[i].file, sets, &s, &report, &origins, NULL),
                         ERR_OK);
        snprintf(whole, sizeof whole, "%s/%s", here, rows_[i].below);
        ck_assert_str_eq(s.file, rows_[i].below != NULL ? whole : "/b.pem");
        snprintf(whole, sizeof whole, "%s/x.yaml", here); /* a whole name of the file as well */
        option_free(&table, &s);
        option_origins_free(origins);
        origins = NULL;
        s = (struct sample){0};
        ck_assert_int_eq(option_load(&table, whole, NULL, &s, &report, &origins, NULL), ERR_OK);
        ck_assert_int_eq(s.file[0], '/');
        option_free(&table, &s);
        option_origins_free(origins);
    }
    buf_done(&report);
}
END_TEST

START_TEST(test_each_mistake_is_one_line)
{
    struct sample s = {0};
    struct buf report;
    struct option_origins *origins = NULL;
    buf_init(&report, 4096);
    config_case_check(&cases[_i], load(&cases[_i], &s, &report, &origins), &report);
    unload(&s, origins, &report);
}
END_TEST

START_TEST(test_lists_are_bounded)
{
    struct buf text, report;
    struct sample s = {0};
    struct option_origins *origins = NULL;
    buf_init(&text, 1u << 20);
    buf_init(&report, 4096);
    ck_assert_int_eq(buf_append_str(&text, "words: [a"), ERR_OK);
    for (int i = 0; i < 4096; i++)
        if (buf_append_str(&text, ", a") != ERR_OK)
            ck_abort();
    ck_assert_int_eq(buf_append(&text, "]\n", 3), ERR_OK);
    struct config_case c = {.text = (const char *)text.data,
                            .want = "x.yaml:1: words: more than 4096 elements\n",
                            .err = ERR_CONFIG};
    config_case_check(&c, load(&c, &s, &report, &origins), &report);
    unload(&s, origins, &report);
    buf_done(&text);
}
END_TEST

START_TEST(test_full_report_keeps_its_first_lines)
{
    struct config_case c = {.text = "x: 1\ny: 2\nz: 3\n", .want = "", .err = ERR_CONFIG};
    struct sample s = {0};
    struct option_origins *origins = NULL;
    struct buf report;
    buf_init(&report, 80);
    ck_assert_int_eq(load(&c, &s, &report, &origins), ERR_CONFIG);
    ck_assert(report.len > 0 && report.data[report.len - 1] == '\n');
    ck_assert_int_eq(memcmp(report.data, "x.yaml:1: x: unknown key", 24), 0);
    unload(&s, origins, &report);
}
END_TEST

START_TEST(test_only_what_an_io_error_spoiled_is_blamed_on_a_key)
{
    struct config_case c = {.text = "size: 1B\n", .want = ""};
    struct sample s = {0};
    struct option_origins *origins = NULL;
    struct buf report;
    struct why why = {0};
    buf_init(&report, 80);
    ck_assert_int_eq(load(&c, &s, &report, &origins), ERR_OK);
    err_t err = why_set(&why, ERR_IO, "port taken");
    ck_assert_int_eq(option_blame(origins, "size", err, &why), ERR_CONFIG);
    ck_assert_str_eq(why_text(&why), "x.yaml:1: size: port taken");
    ck_assert_int_eq(option_blame(origins, "size", ERR_OK, &why), ERR_OK);
    ck_assert_int_eq(option_blame(origins, "size", ERR_NO_MEMORY, &why), ERR_NO_MEMORY);
    unload(&s, origins, &report);
}
END_TEST

START_TEST(test_help_and_page_name_each_key)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    option_help(&table, out);
    option_docs(&table, "prog", out);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "  leaves[].buffer.size SIZE "));
    ck_assert_ptr_nonnull(strstr(text,
                                 "| `size` | `SIZE` | default 64KiB | ..1GiB | reload | 0.1 | How "
                                 "much there is. |\n"));
    ck_assert_ptr_nonnull(
        strstr(text, "| `number` | `NUMBER` | default -3 | -5.. | restart | 0.2 |"));
    ck_assert_ptr_nonnull(strstr(text, "| `leaves[].name` | `TEXT` | required |"));
    free(text);
}
END_TEST

static const struct flaw_case {
    const char *flaw; /* part of it; NULL: sound */
    const char *help;
    struct option row;
} flaws[] = {
#define ROW(...)                                                                                   \
    {                                                                                              \
        .key = "k", .size = 8, .since = "0.1", __VA_ARGS__                                         \
    }
    {NULL, "A sentence.", ROW(.type = OPTION_INT, .need = OPTION_DEFAULT("1"), .range = "0..2")},
    {"another size", "A sentence.", ROW(.type = OPTION_BOOL, .need = OPTION_OPTIONAL)},
    {"the default", "A sentence.", ROW(.type = OPTION_INT, .need = OPTION_DEFAULT("one"))},
    {"the default", "A sentence.",
     ROW(.type = OPTION_INT, .need = OPTION_DEFAULT("3"), .range = "0..2")},
    {"a range", "A sentence.", ROW(.type = OPTION_INT, .need = OPTION_OPTIONAL, .range = "0-2")},
    {"a range", "A sentence.",
     ROW(.type = OPTION_DURATION, .need = OPTION_OPTIONAL, .range = "0..2")},
    {"a range", "A sentence.",
     ROW(.type = OPTION_STRING, .need = OPTION_OPTIONAL, .range = "0..2")},
    {"no sentence", "No full stop", ROW(.type = OPTION_INT, .need = OPTION_OPTIONAL)},
    {"items", "A sentence.", ROW(.type = OPTION_INT, .items = &leaf_table)},
};

START_TEST(test_flaws_of_a_table_are_found)
{
    struct option row = flaws[_i].row;
    row.help = flaws[_i].help;
    struct option_table one = {&row, 1, 8};
    const char *flaw = option_flaw(&one);
    if (flaws[_i].flaw == NULL)
        ck_assert_ptr_null(flaw);
    else
        ck_assert_msg(flaw != NULL && strstr(flaw, flaws[_i].flaw) != NULL, "%s", flaw);
}
END_TEST

int main(void)
{
    config_case_folder();
    Suite *s = suite_create("option");
    TCase *t = tcase_create("option");
    tcase_add_test(t, test_sizes_numbers_lists_and_sections_are_read);
    tcase_add_loop_test(t, test_each_mistake_is_one_line, 0, COUNT(cases));
    tcase_add_loop_test(t, test_a_setting_reaches_one_key_of_one_section, 0, COUNT(indexed));
    tcase_add_test(t, test_a_relative_path_counts_from_the_file_and_of_a_setting_from_here);
    tcase_add_test(t, test_lists_are_bounded);
    tcase_add_test(t, test_full_report_keeps_its_first_lines);
    tcase_add_test(t, test_only_what_an_io_error_spoiled_is_blamed_on_a_key);
    tcase_add_test(t, test_help_and_page_name_each_key);
    tcase_add_loop_test(t, test_flaws_of_a_table_are_found, 0, COUNT(flaws));
    suite_add_tcase(s, t);
    return config_case_folder_done(run_suite(s));
}

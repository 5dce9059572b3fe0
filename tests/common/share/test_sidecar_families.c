/* The contract of the metrics page: released families keep their meaning, and all fit in a page. */
#include "common/metric/metric_page.h"
#include "common/share/sidecar_families.h"
#include "tests/support/runner.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What sidecars of a release may count in when the next one comes. A new row goes to the end, as
 * this test prints it; a row of a release never changes. */
static const struct {
    const char *name;
    uint64_t fingerprint;
} pinned[] = {
#include "tests/common/share/sidecar_families.pins"
};

static const struct metric_family *find(const char *name)
{
    for (size_t i = 0; i < sidecar_families_count(); i++) {
        if (strcmp(sidecar_families[i].name, name) == 0)
            return &sidecar_families[i];
    }
    return NULL;
}

START_TEST(test_released_families_mean_what_they_meant)
{
    for (size_t i = 0; i < METRIC_COUNT_OF(pinned); i++) {
        const struct metric_family *f = find(pinned[i].name);
        ck_assert_msg(f != NULL, "%s has gone: its counters end for all who watch them",
                      pinned[i].name);
        ck_assert_msg(metric_fingerprint(f) == pinned[i].fingerprint,
                      "%s is another: pages of the last release lose what they counted. "
                      "Fingerprint now 0x%016" PRIx64,
                      pinned[i].name, metric_fingerprint(f));
    }
}
END_TEST

static bool is_pinned(const char *name)
{
    for (size_t i = 0; i < METRIC_COUNT_OF(pinned); i++) {
        if (strcmp(pinned[i].name, name) == 0)
            return true;
    }
    return false;
}

START_TEST(test_every_family_is_pinned)
{
    size_t missing = 0;
    for (size_t i = 0; i < sidecar_families_count(); i++) {
        const struct metric_family *f = &sidecar_families[i];
        if (is_pinned(f->name))
            continue;
        printf("{\"%s\", 0x%016" PRIx64 "},\n", f->name, metric_fingerprint(f));
        missing++;
    }
    ck_assert_msg(missing == 0,
                  "add the %zu rows above to tests/common/share/sidecar_families.pins", missing);
}
END_TEST

START_TEST(test_all_families_fit_in_a_page)
{
    struct metrics *m = NULL;
    struct why why = {0};
    int page = -1;
    ck_assert_int_eq(metrics_new(sidecar_families, sidecar_families_count(), "", &m, NULL), ERR_OK);
    ck_assert_int_eq(metric_page_create(1, &page, NULL), ERR_OK);
    ck_assert_msg(metrics_adopt_page(m, page, &why) == ERR_OK, "%s", why_text(&why));
    metrics_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sidecar_families");
    TCase *t = tcase_create("sidecar_families");
    tcase_add_test(t, test_released_families_mean_what_they_meant);
    tcase_add_test(t, test_every_family_is_pinned);
    tcase_add_test(t, test_all_families_fit_in_a_page);
    suite_add_tcase(s, t);
    return run_suite(s);
}

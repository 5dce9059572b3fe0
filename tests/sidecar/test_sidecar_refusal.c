/* The sidecar does not start, and does nothing else with a key, when its cryptography computes
 * wrongly. */
#include "sidecar/cli/commands.h"
#include "tests/support/faulty_crypto.h"
#include "tests/support/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *words[3];
    int count;
} commands[] = {
    {{"run"}, 1},
    {{"config", "check"}, 2},
};

/* Runs one with a configuration that is not there: the exit code, and what it said in *ret_said
 * (the caller frees). */
static int run(int index, char **ret_said)
{
    char *argv[8] = {"spindle-sidecar"};
    int argc = 1;
    size_t len = 0;
    for (int i = 0; i < commands[index].count; i++)
        argv[argc++] = (char *)commands[index].words[i];
    argv[argc++] = "--config";
    argv[argc++] = "/nowhere/sidecar.yaml";
    FILE *out = fopen("/dev/null", "we"), *err = open_memstream(ret_said, &len);
    int code = command_main(&sidecar_program, argc, argv, out, err);
    fclose(out);
    fclose(err);
    return code;
}

START_TEST(test_a_command_that_uses_keys_refuses_to_run_on_wrong_cryptography)
{
    char *said = NULL;
    faulty_crypto_set("wc_curve25519_make_pub");
    ck_assert_int_eq(run(_i, &said), COMMAND_FAILED);
    faulty_crypto_set(NULL);
    ck_assert_msg(strncmp(said, "spindle-sidecar: X25519 computes wrongly on this machine", 55) ==
                      0,
                  "%s", said);
    ck_assert_ptr_eq(strchr(said, '\n'), said + strlen(said) - 1);
    free(said); /* open_memstream's */
}
END_TEST

START_TEST(test_with_right_cryptography_it_goes_on_to_its_configuration)
{
    char *said = NULL;
    int code = run(_i, &said);
    ck_assert_msg(code != 0 && strstr(said, "computes wrongly") == NULL, "%d: %s", code, said);
    free(said);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sidecar_refusal");
    TCase *tc = tcase_create("refusal");
    int count = sizeof commands / sizeof commands[0];
    tcase_add_loop_test(tc, test_a_command_that_uses_keys_refuses_to_run_on_wrong_cryptography, 0,
                        count);
    tcase_add_loop_test(tc, test_with_right_cryptography_it_goes_on_to_its_configuration, 0, count);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

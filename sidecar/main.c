#include "sidecar/cli/commands.h"

#include "common/base/inherited.h"
#include "common/sandbox/process_guard.h"

int main(int argc, char **argv)
{
    struct why why = {0};
    inherited_settle(argv);
    if (process_guard_enter(&why) != ERR_OK) {
        fprintf(stderr, "%s: %s\n", sidecar_program.name, why_text(&why));
        return COMMAND_FAILED;
    }
    return command_main(&sidecar_program, argc, argv, stdout, stderr);
}

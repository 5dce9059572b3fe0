#include "sidecar/cli/commands.h"

int main(int argc, char **argv)
{
    return cli_main(&sidecar_program, argc, argv);
}

#include "sidecar/commands.h"

int main(int argc, char **argv)
{
    return command_main(&sidecar_program, argc, argv, stdout, stderr);
}

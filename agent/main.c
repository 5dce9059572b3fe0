#include "agent/commands.h"

int main(int argc, char **argv)
{
    return command_main(&agent_program, argc, argv, stdout, stderr);
}

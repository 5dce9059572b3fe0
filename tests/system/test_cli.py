"""The command line of both programs, without a running agent."""
import pytest

PROGRAMS = ["spindle-agent", "spindle-sidecar"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_names_the_commands_and_ends_with_0(site, program):
    got = site.run(program, "--help")
    assert got.code == 0, got
    assert "config check" in got.out, got


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_unknown_command_is_wrong_usage(site, program):
    got = site.run(program, "no-such-command")
    assert got.code == 2, got
    assert "no-such-command" in got.err, got

"""The command line of both programs, without a running agent."""
import os

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


def test_sockets_may_be_named_from_the_current_folder(site):
    """As files are; a person in the folder of the sockets types no more than the name."""
    agent = site.agent([{"spiffe_id": "spiffe://example.org/me", "selectors": [f"unix:uid:{os.geteuid()}"]}])
    for words, flag, path in ((["entries"], "--admin", agent.admin), (["api", "fetch", "x509"], "--socket", agent.socket)):
        got = site.run("spindle-agent", *words, flag, os.path.relpath(path, site.dir))
        assert got.code == 0 and "spiffe://example.org/me" in got.out, got


@pytest.mark.parametrize("program, words", [("spindle-agent", ["entries"]), ("spindle-sidecar", ["conns"])])
def test_an_admin_socket_that_is_no_path_is_wrong_usage(site, program, words):
    for text in ("", "folder/", "unix://relative"):
        got = site.run(program, *words, "--admin", text)
        assert got.code == 2 and "--admin" in got.err, got

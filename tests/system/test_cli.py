"""The command line of both programs, without a running agent."""
import os
import platform
import re

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


@pytest.mark.parametrize("program", PROGRAMS)
def test_version_names_what_does_the_cryptography(site, program):
    told = site.run(program, "--version").out.splitlines()
    assert re.fullmatch(rf"{program} \d+\.\d+\.\d+", told[0]), told
    assert re.fullmatch(r"wolfSSL 5\.\d+\.\d+", told[1]), told
    flags = set(told[2].removeprefix("cpu: ").split())
    if platform.machine() == "x86_64":
        have = set(re.search(r"^flags\s*: (.*)$", open("/proc/cpuinfo").read(), re.MULTILINE)[1].split())
        names = {"avx": "avx", "avx2": "avx2", "bmi1": "bmi1", "bmi2": "bmi2", "adx": "adx", "movbe": "movbe",
                 "aesni": "aes", "sha": "sha_ni"}
        assert flags == {ours for ours, kernels in names.items() if kernels in have} or flags == {"plain", "C"}
    assert "10-x25519-table-lookup" in told[3], told


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


def test_a_socket_of_another_purpose_is_told_as_what_it_is(site):
    """The admin socket or share.sock given as Workload API, and the other way round."""
    agent = site.agent(entries=[])
    fetch = ["api", "fetch", "x509", "--socket"]
    for argv, words in [
            ([*fetch, agent.admin], ["answers HTTP/1", "admin socket", "api.sock"]),
            ([*fetch, site.path("share.sock")], ["share.sock", "for sidecars alone"]),
            (["svids", "list", "--admin", agent.socket], ["not HTTP", "--admin wants the admin socket"])]:
        got = site.run("spindle-agent", *argv)
        assert got.code == 1 and got.out == "" and got.err.count("\n") == 1, got
        assert all(word in got.err for word in words), got


def test_a_sidecar_that_is_led_to_the_admin_socket_says_so(site):
    agent = site.agent(entries=[])
    web = site.sidecar("web", wait=False, identity={"workload_api": f"unix://{agent.admin}"}, outbound=[
        {"listen": "127.0.0.1:0", "forward": "127.0.0.1:1", "expect": ["spiffe://example.org/web"]}])
    assert "admin socket" in web.wait_event("identity_problem")["cause"]


def test_a_sidecar_without_an_entry_names_its_user_and_the_selector_that_would_match(site):
    site.agent(entries=[])
    web = site.sidecar("web", wait=False, outbound=[
        {"listen": "127.0.0.1:0", "forward": "127.0.0.1:1", "expect": ["spiffe://example.org/web"]}])
    told = web.wait_event("identity_problem", reason="no_entry")["next"]
    status, words = web.ready()
    assert status == 503 and "no identity: PermissionDenied" in words, words
    assert f"uid {os.getuid()} " in told and f"unix:uid:{os.getuid()} would match" in told, told

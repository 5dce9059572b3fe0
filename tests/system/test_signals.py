"""Who hangs up ends nobody: what the parent left as signals, listeners whose clients leave, commands
whose reader leaves."""
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest

import harness

NAMES = "PIPE,HUP,INT,TERM,CHLD,XFSZ"
# What a parent may leave: options of env.
LEFT = {"default": [f"--default-signal={NAMES}"], "ignored": [f"--ignore-signal={NAMES}"],
        "held back": [f"--default-signal={NAMES}", f"--block-signal={NAMES}"]}
ME = "spiffe://example.org/me"


def hang_up(address, times):
    """Asks twice in one go and leaves: the first answer draws a reset, the second meets it."""
    kind = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    for _ in range(times):
        with socket.socket(kind) as s:
            s.connect(address if isinstance(address, tuple) else str(address))
            s.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)


def mask(pid, row):
    return int(re.search(rf"{row}:\s+([0-9a-f]+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1], 16)


def has(bits, number):
    return bits >> (number - 1) & 1 == 1


def test_the_harness_leaves_sigpipe_at_its_default(site):
    """Else none of these tests could fail."""
    ignored = mask(site.start("sleep", "/bin/sleep", "1000").pid, "SigIgn")
    assert not has(ignored, signal.SIGPIPE) and not has(ignored, signal.SIGXFSZ)


@pytest.mark.parametrize("left", LEFT)
def test_clients_that_hang_up_end_no_program_whatever_signals_were_left(site, left):
    site.inherit = LEFT[left]
    agent = site.agent([{"spiffe_id": ME, "selectors": [f"unix:uid:{os.geteuid()}"]}])
    sidecar = site.sidecar("web", inbound=[{"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "allow": [ME]}],
                           outbound=[{"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "expect": [ME]}])
    ends = [(agent, agent.address("metrics")), (agent, agent.admin), (agent, agent.socket),
            (sidecar, sidecar.address("metrics")), (sidecar, sidecar.admin), (sidecar, sidecar.outbound())]
    for program, address in ends:
        hang_up(address, 300)
        assert program.running, f"{program.name} died of {program.process.returncode} at {address}"
    for program in (sidecar, agent):
        assert program.ready()[0] == 200
        assert mask(program.pid, "SigBlk") == 0
        program.send_signal(signal.SIGHUP)
        program.wait_event("reloaded")
        assert program.stop() == 0, "SIGTERM was not heard"


def into_a_closed_pipe(site, left, *words):
    """Exit code and standard error of a command whose reader leaves before it writes."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(["env", *LEFT[left], *site.argv(words[0], words[1:])], stdout=writer, cwd=site.dir,
                              stderr=subprocess.PIPE, text=True, timeout=harness.DEADLINE, check=False)
    finally:
        os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize("program", ["spindle-agent", "spindle-sidecar"])
def test_a_command_whose_reader_left_ends_with_1_and_no_word(site, program, left):
    for words in (["docs", "metrics"], ["docs", "options"], ["--help"], ["--version"]):
        assert into_a_closed_pipe(site, left, program, *words) == (1, ""), words


def test_a_full_disk_is_told_where_a_reader_that_left_is_not(site):
    with open("/dev/full", "w") as full:
        done = subprocess.run(site.argv("spindle-agent", ["docs", "metrics"]), stdout=full, stderr=subprocess.PIPE,
                              text=True, check=False)
    assert done.returncode == 1 and "could not be written" in done.stderr


@pytest.mark.parametrize("left", LEFT)
def test_a_watch_ends_when_its_reader_leaves(site, left):
    """Though nothing more would have to be written for half an hour."""
    agent = site.agent([{"spiffe_id": ME, "selectors": [f"unix:uid:{os.geteuid()}"]}])
    watch = subprocess.Popen(["env", *LEFT[left], *site.argv("spindle-agent", ["api", "watch", "--socket", agent.socket])],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=site.dir)
    site.closers.append(watch.kill)
    assert ME in watch.stdout.readline()
    watch.stdout.close()
    assert watch.wait(harness.DEADLINE) == 1
    assert watch.stderr.read() == ""


@pytest.mark.parametrize("closed", ["0>&-", "1>&-", "2>&-", "0>&- 1>&- 2>&-"])
@pytest.mark.parametrize("program", ["spindle-agent", "spindle-sidecar"])
def test_a_program_without_standard_descriptors_gives_their_numbers_to_nobody(site, program, closed):
    """A socket, or an event counter of a library, in the place of descriptor 2 would get the log."""
    site.write_entries([])
    config = site.agent_config() if program == "spindle-agent" else site.sidecar_config(
        "bare", outbound=[{"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "expect": [ME]}])
    bare = site.start("bare", "/bin/sh", "-c", f'exec "$0" run --config "$1" {closed}',
                      harness.program_path(program), site.write_yaml("bare.yaml", config))
    admin = config["admin"]["socket"]
    harness.wait_until(lambda: harness.connectable(admin), "the program")
    links = [os.readlink(f"/proc/{bare.pid}/fd/{n}") for n in range(3)]
    expected = [str(bare.log_path) if f"{n}>&-" not in closed else "/dev/null" for n in range(3)]
    assert links == ["/dev/null", *expected[1:]]

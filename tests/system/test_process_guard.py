"""No core file, and no look into the memory of either program for a debugger of the same user."""
import json
import os
import signal
import subprocess

import pytest

import harness

UID = 40001
PYTHON = "/usr/bin/python3"  # Debian's: whoever runs the tests may have one that others cannot reach
PROBE = harness.ROOT / "tests/system/process_probe.py"
ROUTE = {"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "allow": ["spiffe://example.org/a"]}


def sidecar_argv(site):
    config = site.write_yaml("web.yaml", site.sidecar_config("web", inbound=[ROUTE], admin=None))
    return [*site.argv("spindle-sidecar", ["run", "--config", config])]


def agent_argv(site):
    site.write_entries([])
    config = site.write_yaml("agent.yaml", site.agent_config())
    return [*site.argv("spindle-agent", ["run", "--config", config])]


def watch_argv(site):
    """A command that holds a key of its caller."""
    return [*site.argv("spindle-agent", ["api", "watch", "--socket", site.path("none.sock")])]


def limits_of(pid):
    with open(f"/proc/{pid}/limits", encoding="ascii") as f:
        line = next(line for line in f if line.startswith("Max core file size"))
    return line.split()[4:6]


@pytest.mark.parametrize("argv", [agent_argv, sidecar_argv])
def test_a_program_that_aborts_writes_no_core_file(site, argv):
    """SIGABRT with every limit off. A core_pattern that is no plain name puts the file elsewhere; the limit and
    the refused debugger below hold for those."""
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as f:
        print("core_pattern of this machine:", f.read().strip())
    cwd = site.path("cwd")
    cwd.mkdir()
    shell = site.start("shell", "/bin/sh", "-c", f"ulimit -c unlimited; cd {cwd}; exec {' '.join(argv(site))}")
    shell.wait_event("started")
    assert limits_of(shell.pid) == ["0", "0"]
    shell.stopped = True  # the abort is ours
    shell.send_signal(signal.SIGABRT)
    assert shell.wait_exit() == -signal.SIGABRT
    assert list(cwd.iterdir()) == []


def looked_into(site, argv, ready):
    """What a parent of the same user may do to the program, once `ready` says that it runs."""
    harness.need_root()
    pid_file = site.path("child/pid")
    pid_file.parent.mkdir(exist_ok=True)
    pid_file.unlink(missing_ok=True)
    os.chown(pid_file.parent, UID, UID)
    probe = site.readable_by_all(PROBE)
    with open(site.path("child.log"), "ab") as log:
        process = subprocess.Popen(
            site.argv("/usr/bin/env", [PYTHON, probe, pid_file, *argv], uid=UID), cwd=pid_file.parent,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        harness.wait_until(lambda: ready(pid_file), f"{argv[0]} to run")
        process.stdin.write("look\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(harness.DEADLINE)
        process.stdout.close()


def runs(pid_file):
    """Past its exec and its first steps: the program name is there, and the limit is set."""
    return pid_file.exists() and pid_file.read_text() and limits_of(pid_file.read_text()) == ["0", "0"]


def test_a_debugger_of_the_same_user_sees_a_common_program(site):
    """Else the next test would prove nothing."""
    def started(pid_file):
        return pid_file.exists() and pid_file.read_text()
    assert looked_into(site, ["/bin/sleep", "60"], started) == {"memory": "yes", "debugger": "yes"}


@pytest.mark.parametrize("argv", [agent_argv, sidecar_argv, watch_argv])
def test_no_debugger_of_the_same_user_sees_ours(site, argv):
    os.chown(site.dir, UID, UID)  # for what the agent makes as that user
    program, *rest = argv(site)
    copy = site.readable_by_all(harness.pathlib.Path(program))
    assert looked_into(site, [copy, *rest], runs) == {"memory": "EACCES", "debugger": "EPERM"}


@pytest.mark.parametrize("kind", ["agent", "sidecar"])
def test_a_user_that_is_not_root_keeps_its_own_metrics(site, kind):
    """What is not dumpable belongs to root in /proc: the program still reads its own."""
    os.chown(site.dir, UID, UID)
    argv = agent_argv(site) if kind == "agent" else sidecar_argv(site)
    program = site.start(kind, *argv, uid=UID)
    program.wait_event("started")
    assert os.stat(f"/proc/{program.pid}/status").st_uid == 0
    found = program.metrics()
    assert found.total("process_resident_memory_bytes") > 0
    assert found.total("process_open_fds") > 3

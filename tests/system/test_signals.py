"""What signals do to both programs: the table of docs/privileges.md, row by row."""
import contextlib
import re
import signal

import pytest

import harness
from test_hostile_peers import WEB

PAGE = (harness.ROOT / "docs/privileges.md").read_text(encoding="utf-8")
ENDING = [signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGABRT]
KINDS = ["agent", "sidecar"]


def start(site, kind, **changes):
    audit = {"audit": {"file": str(site.path("audit.log"))}}
    if kind == "agent":
        return site.agent([], **audit, **changes)
    return site.sidecar(identity={"files": site.ca().leaf(WEB).files()}, inbound=[
        {"listen": "127.0.0.1:0", "forward": "%s:%s" % site.tcp_server(), "allow": [WEB]}], **audit, **changes)


def held(sidecar):
    """A connection that keeps a drain waiting: it has not sent its handshake."""
    conn = harness.socket.create_connection(sidecar.inbound(), timeout=harness.DEADLINE)
    sidecar.wait_metric("spindle_sidecar_connections", at_least=1)
    return conn


def test_the_table_names_what_is_tried_here():
    table = re.search(r"## Signals to them\n(.*?)\n\n", PAGE, re.S)[1]
    assert re.findall(r"^\| `(SIG\w+)`", table, re.M) == ["SIGTERM", "SIGINT", "SIGHUP", "SIGPIPE"]
    assert {"SIGQUIT", "SIGUSR1", "SIGABRT"} <= set(re.findall(r"SIG[A-Z0-9]+", table.splitlines()[-1]))
    assert {s.name for s in ENDING} >= {"SIGQUIT", "SIGUSR1", "SIGABRT"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_term_and_int_end_a_program_in_order(site, kind, number):
    program = start(site, kind)
    program.send_signal(number)
    assert program.wait_exit() == 0
    assert not [path for path in site.dir.rglob("*.sock")], "sockets are left"


@pytest.mark.parametrize("kind", KINDS)
def test_hup_reopens_the_audit_file_and_reloads(site, kind):
    program = start(site, kind)
    site.path("audit.log").rename(site.path("audit.old"))
    program.send_signal(signal.SIGHUP)
    program.wait_event("reloaded")
    harness.wait_until(site.path("audit.log").exists, "a new audit file")
    assert program.running


def test_what_a_reload_warns_of_is_logged_as_at_start(site):
    agent = start(site, "agent")  # its sockets stand in one folder
    agent.send_signal(signal.SIGHUP)
    agent.wait_event("reloaded")
    first, second = (e["problem"] for e in agent.events("config_warning"))
    assert first == second and "safer" in first


@pytest.mark.parametrize("kind", KINDS)
def test_pipe_is_ignored(site, kind):
    program = start(site, kind)
    program.send_signal(signal.SIGPIPE)
    program.send_signal(signal.SIGHUP)
    program.wait_event("reloaded")
    assert program.ready()[0] == 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", ENDING, ids=lambda n: n.name)
def test_other_signals_end_a_program_at_once(site, kind, number):
    before = signal.signal(number, signal.SIG_DFL)  # who started us may have left it ignored
    try:
        program = start(site, kind)
    finally:
        signal.signal(number, before)
    program.stopped = True
    program.send_signal(number)
    assert program.wait_exit() == -number
    assert not list(site.dir.rglob("core*"))


def test_a_second_term_does_not_cut_a_drain_short(site):
    sidecar = start(site, "sidecar", drain_limit="1h", timeouts={"handshake": "1h"})
    with held(sidecar):
        sidecar.send_signal(signal.SIGTERM)
        sidecar.wait_event("draining")
        sidecar.send_signal(signal.SIGTERM)
        sidecar.send_signal(signal.SIGHUP)
        sidecar.wait_event("reloaded")  # it has seen the one before
        assert sidecar.running
    assert sidecar.wait_exit() == 0


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_an_int_while_it_drains_ends_a_sidecar_at_once(site, first):
    sidecar = start(site, "sidecar", drain_limit="1h", timeouts={"handshake": "1h"})
    with contextlib.closing(held(sidecar)):
        sidecar.send_signal(first)
        sidecar.wait_event("draining")
        sidecar.send_signal(signal.SIGINT)
        assert sidecar.wait_exit() == 0


@pytest.mark.plain_only
@pytest.mark.parametrize("kind", KINDS)
def test_no_program_may_signal_another(site, kind):
    """Seccomp, every thread; which calls that means is tried in test_sandbox.c."""
    program = start(site, kind)
    for status in (harness.pathlib.Path(f"/proc/{program.pid}/task")).glob("*/status"):
        assert "Seccomp:\t2" in status.read_text(encoding="utf-8")

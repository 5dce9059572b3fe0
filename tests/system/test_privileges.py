"""What the running programs have given up (docs/privileges.md), read from /proc."""
import pathlib
import re

import pytest

CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE = 2, 19
ROUTE = {"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "allow": ["spiffe://example.org/a"]}


def threads(program):
    """{thread id: {field: text}} from the status of each thread."""
    found = {}
    for task in pathlib.Path(f"/proc/{program.pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        found[task.name] = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return found


def check(program, capabilities):
    notes = " ".join(e.line for e in program.events("sandbox"))
    for thread in threads(program).values():
        assert thread["NoNewPrivs"] == "1", thread
        assert int(thread["CapEff"], 16) & ~capabilities == 0, thread
        assert int(thread["CapPrm"], 16) == int(thread["CapEff"], 16), thread
        if "seccomp" not in notes:
            assert thread["Seccomp"] == "2", thread
    assert not re.search("threads ran before", notes), notes


@pytest.mark.plain_only
def test_every_thread_of_the_agent_is_confined(site):
    agent = site.agent()
    assert len(threads(agent)) > 2
    check(agent, 1 << CAP_DAC_READ_SEARCH | 1 << CAP_SYS_PTRACE)


@pytest.mark.plain_only
def test_every_thread_of_the_sidecar_is_confined(site):
    sidecar = site.sidecar("web", wait=False, workers=3, inbound=[ROUTE])
    sidecar.wait_event("started")
    assert len(threads(sidecar)) == 3
    check(sidecar, 0)


def test_a_sandbox_that_is_off_is_a_warning(site):
    sidecar = site.sidecar("web", wait=False, inbound=[ROUTE], sandbox=False)
    note = sidecar.wait_event("sandbox")
    assert note.level == "WARN" and "sandbox: off" in note.line
    sidecar.wait_event("started")
    assert threads(sidecar)[str(sidecar.pid)]["Seccomp"] == "0"

"""Attestation of real processes by the running agent: every kind of selector, callers that are hard to
read, and all that again as on a kernel without SO_PEERPIDFD."""
import contextlib
import ctypes
import hashlib
import json
import os
import pathlib
import shutil
import sys
import time

import pytest

import harness
import old_kernel
import workload
from test_agent_callers import become, entry, hand_over, in_child

PR_SET_DUMPABLE, PR_SET_NAME = 4, 15
STRANGER = 40001  # a uid that has no name
KERNELS = ["kernel", "old kernel"]


def start(site, entries, kernel, uid=None, **changes):
    """The agent; on an `old kernel` without SO_PEERPIDFD; as another user where asked for."""
    home = site.path("home")
    home.mkdir()
    if uid is not None:
        os.chown(home, uid, uid)
    config = site.agent_config(data_dir=str(home / "data"), workload_api={"socket": str(home / "api.sock")},
                               admin={"socket": str(home / "admin.sock")}, **changes)
    site.write_entries(entries)
    path = site.write_yaml("agent.yaml", config)
    argv = [site.readable_by_all(harness.program_path("spindle-agent")), "run", "--config", path]
    if kernel == "old kernel":
        argv = [shutil.which("python3", path="/usr/bin:/bin") or sys.executable,
                site.readable_by_all(pathlib.Path(old_kernel.__file__)), *argv]
    agent = site.start("agent", *argv, uid=uid, kind=harness.Agent)
    agent.socket = config["workload_api"]["socket"]
    return agent.wait_ready()


def ids(path):
    got = workload.fetch(path)
    return got if isinstance(got, tuple) else [s.id.rsplit("/", 1)[1] for s in workload.svids(got)]


def ended_well(pid):
    return os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kind_of_selector_is_found(site, kernel):
    """AG-5: effective ids, supplementary groups, names, the program. Each has a twin that is not so."""
    harness.need_root()
    program = os.readlink("/proc/self/exe")
    digest = hashlib.sha256(pathlib.Path(program).read_bytes()).hexdigest()
    true = ["unix:uid:1", "unix:user:daemon", "unix:gid:2", "unix:group:bin", "unix:supplementary_gid:3",
            "unix:supplementary_gid:4", "unix:supplementary_group:sys", "unix:supplementary_group:adm",
            f"unix:path:{program}", f"unix:sha256:{digest}"]
    false = [f"unix:uid:{STRANGER}", "unix:uid:0", "unix:user:bin", "unix:user:root", "unix:gid:1",
             "unix:gid:3", "unix:group:daemon", "unix:supplementary_gid:5", "unix:supplementary_gid:1",
             "unix:supplementary_group:tty", f"unix:path:{program}x", f"unix:sha256:{'0' * 64}"]
    entries = [{"id": f"{kind}{i}", "spiffe_id": f"spiffe://example.org/{kind}{i}", "selectors": [selector]}
               for kind, selectors in (("true", true), ("false", false)) for i, selector in enumerate(selectors)]
    agent = start(site, entries, kernel)
    reading, writing = os.pipe()

    def work():
        os.setgroups([3, 4])
        os.setresgid(STRANGER, 2, 2)
        os.setresuid(STRANGER, 1, 1)
        os.write(writing, json.dumps(ids(agent.socket)).encode())
    assert ended_well(in_child(work))
    os.close(writing)
    with os.fdopen(reading) as answer:
        assert json.load(answer) == [f"true{i}" for i in range(len(true))]


def hide():
    """What sshd, sudo and gVisor do: /proc/self belongs to root then."""
    assert ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0


def take_an_ugly_name():
    assert ctypes.CDLL(None).prctl(PR_SET_NAME, b"a) b ( S 1 2", 0, 0, 0) == 0


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("agent_uid", [None, STRANGER + 1], ids=["root", "no root"])
def test_callers_that_are_hard_to_read_are_served(site, kernel, agent_uid):
    """AG-2, AG-3: not dumpable, or with a name that looks like the fields of /proc/PID/stat; by an agent
    with every right and by one with none."""
    harness.need_root()
    agent = start(site, [entry(STRANGER), entry(0)], kernel, agent_uid)
    for uid in (0, STRANGER):
        for oddity in (hide, take_an_ugly_name):
            def work(uid=uid, oddity=oddity):
                become(uid)
                oddity()
                assert ids(agent.socket) == [f"user{uid}"]
            assert ended_well(in_child(work)), (uid, oddity.__name__)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_caller_that_became_another_user_is_not_taken_for_the_first(site, kernel):
    """AG-2, AG-4: with its next call its streams end and its connection is closed; a new one has the
    new user's identity."""
    harness.need_root()
    agent = start(site, [entry(0), entry(STRANGER)], kernel)

    def work():
        c = workload.connect(agent.socket)
        first = c.call("FetchX509SVID")
        assert workload.svids(first.next())[0].id == "spiffe://example.org/user0"
        become(STRANGER)
        assert c.call("FetchX509SVID").end() == (workload.UNAVAILABLE, "workload attestation failed")
        assert first.end()[0] == workload.UNAVAILABLE
        with pytest.raises(workload.Closed):
            while True:
                c.pump(time.monotonic() + 10)
        assert ids(agent.socket) == [f"user{STRANGER}"]
    assert ended_well(in_child(work))
    [event] = agent.events("identity_refused")
    assert f"has uid {STRANGER}" in event["cause"] and "uid 0 and gid 0 connected" in event["cause"]


def test_the_program_of_a_caller_that_is_not_dumpable_is_found(site):
    """AG-3, AG-5"""
    harness.need_root()
    program = os.readlink("/proc/self/exe")
    agent = start(site, [{"spiffe_id": "spiffe://example.org/p", "selectors": [f"unix:path:{program}"]}], "kernel")

    def work():
        become(STRANGER)
        hide()
        assert ids(agent.socket) == ["p"]
    assert ended_well(in_child(work))


def test_a_connection_of_a_process_that_ended_is_refused_on_an_old_kernel_too(site):
    """AG-2"""
    agent = start(site, [entry(os.getuid())], "old kernel")
    c, stream = hand_over(agent, "FetchX509SVID")
    assert stream.end() == (workload.UNAVAILABLE, "workload attestation failed")
    with pytest.raises(workload.Closed):
        while True:
            c.pump(time.monotonic() + 10)
    assert ids(agent.socket) == [f"user{os.getuid()}"]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("method", ["FetchX509SVID", "FetchX509Bundles"])
def test_streams_end_with_their_process_though_a_child_holds_the_socket(site, kernel, method):
    """AG-6, AG-2: the parent connects, opens a stream, forks and ends; its child sees the end of the
    stream and of the connection, and gets nothing by a call of its own."""
    agent = start(site, [entry(os.getuid())], kernel)
    reading, writing = os.pipe()

    def child(c, stream):
        with contextlib.suppress(workload.Closed):
            code, _ = stream.end()
            assert code == workload.UNAVAILABLE
            c.call("FetchX509SVID").end()
            os.write(writing, b"served ")
        os.write(writing, b"closed")

    def work():
        c = workload.connect(agent.socket)
        stream = c.call(method)
        assert stream.next()
        in_child(lambda: child(c, stream))
    assert ended_well(in_child(work))
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        assert answers.read() == b"closed"
    harness.wait_until(lambda: agent.metrics().total("spindle_agent_streams") == 0, "no stream")

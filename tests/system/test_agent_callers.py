"""Who is calling: attestation of processes, reused descriptors, limits, the socket itself."""
import os
import random
import signal
import socket
import stat
import time

import pytest

import harness
import workload

ME = f"unix:uid:{os.getuid()}"


def entry(uid, name=None):
    return {"id": f"e{uid}", "spiffe_id": f"spiffe://example.org/{name or f'user{uid}'}",
            "selectors": [f"unix:uid:{uid}"]}


def in_child(work):
    """Forks; the child runs `work` and exits with 0, or 1 when it raises."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def become(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


# ---- AG-1 to AG-6

def hand_over(agent, method):
    """A child connects, gives the socket to us and ends: we hold a connection that it made."""
    ours, theirs = socket.socketpair()

    def work():
        c = socket.socket(socket.AF_UNIX)
        c.settimeout(harness.DEADLINE)
        c.connect(agent.socket)
        c.recv(1, socket.MSG_PEEK)  # the agent's first bytes: it has accepted, and seen us alive
        socket.send_fds(theirs, [b"x"], [c.fileno()])
    pid = in_child(work)
    _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    assert os.waitpid(pid, 0)[1] == 0
    c = workload.Connection.__new__(workload.Connection)
    c.socket = socket.socket(fileno=fds[0])
    c.refill, c.buffer, c.streams, c.last = True, b"", {}, -1
    c.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + workload.frame(workload.SETTINGS, 0, 0, b"\0\1\0\0\0\0"))
    return c, c.call(method)


@pytest.mark.parametrize("method", ["FetchX509SVID", "FetchX509Bundles"])
def test_a_connection_of_a_process_that_ended_is_refused_and_closed(site, method):
    """AG-2, AG-4: whoever holds the socket did not make it."""
    agent = site.agent([entry(os.getuid())])
    c, stream = hand_over(agent, method)
    assert stream.end() == (workload.UNAVAILABLE, "workload attestation failed")
    with pytest.raises(workload.Closed):
        c.pump(time.monotonic() + 10)
        while True:
            c.pump(time.monotonic() + 10)
    [event] = agent.events("identity_refused")
    assert event["reason"] == "attestation" and "has ended" in event["cause"]
    assert workload.svids(workload.fetch(agent.socket)), "others are served"


def test_streams_end_with_the_process_that_opened_them(site):
    """AG-6: also when a child still holds the socket."""
    agent = site.agent([entry(os.getuid())])
    ours, theirs = socket.socketpair()
    ready, go = os.pipe(), os.pipe()

    def work():
        c = workload.connect(agent.socket)
        assert c.call("FetchX509SVID").next()
        socket.send_fds(theirs, [b"x"], [c.socket.fileno()])
        os.read(go[0], 1)
    pid = in_child(work)
    _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    held = socket.socket(fileno=fds[0])
    held.settimeout(0.2)
    with pytest.raises(TimeoutError):
        while held.recv(4096):
            pass
    os.write(go[1], b"x")
    assert os.waitpid(pid, 0)[1] == 0
    held.settimeout(10)
    while held.recv(4096):
        pass  # until the agent closes it
    for fd in (*ready, *go):
        os.close(fd)
    harness.wait_until(lambda: agent.metrics().total("spindle_agent_streams") == 0, "no stream")


def test_every_call_is_attested(site):
    """AG-4: not once a connection."""
    agent = site.agent([entry(os.getuid())])
    with workload.connect(agent.socket) as c:
        for count in range(1, 4):
            assert c.call("FetchX509SVID").next()
            assert agent.metrics().total("spindle_agent_attestation_duration_seconds_count") == count


def test_a_caller_of_a_foreign_pid_namespace_is_turned_away(site):
    """AG-1: only that connection ends; the agent goes on."""
    harness.need_root()
    config = site.agent_config()
    site.write_entries([entry(0)])
    path = site.write_yaml("agent.yaml", config)
    agent = site.start("agent", "/usr/bin/unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
                       harness.program_path("spindle-agent"), "run", "--config", path, kind=harness.Agent)
    agent.wait_ready()
    for _ in range(3):
        with pytest.raises(workload.Closed):
            workload.fetch(config["workload_api"]["socket"])
    assert agent.metrics().total("spindle_agent_connections_refused_total", reason="attestation") == 3
    with open(f"/proc/{agent.pid}/task/{agent.pid}/children", encoding="ascii") as f:
        inside = int(f.read())
    done = site.run("/usr/bin/nsenter", "--target", inside, "--pid", "--mount", "--",
                    harness.program_path("spindle-agent"), "api", "fetch", "x509", "--socket",
                    config["workload_api"]["socket"], env=harness.NO_LEAK_CHECK)
    assert done.code == 0, done
    os.kill(inside, signal.SIGTERM)
    assert agent.wait_exit() == 0


# ---- reused numbers

def test_a_reused_descriptor_number_never_leaks_an_identity(site):
    """AG-1, docs/adr/0004: callers of many users connect, call and hang up as fast as they can, half
    of them without waiting, so that calls of closed connections meet numbers that are others' now."""
    harness.need_root()
    users, rounds = 6, 250
    uids = [40000 + i for i in range(users)]
    agent = site.agent([entry(uid) for uid in uids], log={"level": "info"})

    def work(uid):
        become(uid)
        dice = random.Random(uid)
        for _ in range(rounds):
            with workload.connect(agent.socket) as c:
                streams = [c.call("FetchX509SVID") for _ in range(dice.randrange(1, 4))]
                if dice.random() < 0.5:
                    continue
                for stream in streams:
                    message = stream.next(30)
                    assert message is not None, stream.ended
                    got = [s.id for s in workload.svids(message)]
                    assert got == [f"spiffe://example.org/user{uid}"], (uid, got)
    pids = [in_child(lambda uid=uid: work(uid)) for uid in uids]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * users
    harness.wait_until(lambda: agent.metrics().total("spindle_agent_connections") == 0, "no connection")
    harness.wait_until(lambda: agent.metrics().total("spindle_agent_streams") == 0, "no stream")


# ---- limits

def test_one_user_cannot_take_all_connections(site):
    """Over the limit a connection is closed before it is attested, counted and logged, a flood of them
    in few lines."""
    harness.need_root()
    agent = site.agent([entry(0), entry(40001)], limits={"streams_per_user": 4})
    held = [workload.connect(agent.socket) for _ in range(4)]
    streams = [c.call("FetchX509SVID") for c in held]
    assert all(s.next() for s in streams)
    for _ in range(5):
        with pytest.raises(workload.Closed):
            workload.fetch(agent.socket)
    assert len(agent.events("connection_refused", reason="limit")) == 5
    for _ in range(95):
        with pytest.raises(workload.Closed):
            workload.fetch(agent.socket)
    other = site.run("spindle-agent", "api", "fetch", "x509", "--socket", agent.socket, uid=40001)
    assert other.code == 0, other
    assert agent.metrics().total("spindle_agent_connections_refused_total", reason="limit") == 100
    lines = len(agent.events("connection_refused", reason="limit"))
    assert 50 <= lines < 100
    assert agent.metrics().total("spindle_log_dropped_total") == 100 - lines
    held[0].close()
    harness.wait_until(lambda: can_fetch(agent), "room for another")
    for c in held:
        c.close()


def can_fetch(agent):
    try:
        return workload.svids(workload.fetch(agent.socket))
    except workload.Closed:
        return False


def test_too_many_streams_on_one_connection_are_refused(site):
    agent = site.agent([entry(os.getuid())], limits={"streams_per_user": 3})
    with workload.connect(agent.socket) as c:
        streams = [c.call("FetchX509SVID") for _ in range(3)]
        assert all(s.next() for s in streams)
        assert c.call("FetchX509SVID").end()[0] == workload.UNAVAILABLE


def test_the_agent_outlives_a_flood_of_connections(site):
    """With few descriptors: some are turned away, nothing ends, later callers are served."""
    config = site.agent_config(log={"level": "info"})
    site.write_entries([entry(os.getuid())])
    path = site.write_yaml("agent.yaml", config)
    agent = site.start("agent", "/usr/bin/prlimit", "--nofile=700:700",
                       harness.program_path("spindle-agent"), "run", "--config", path, kind=harness.Agent)
    agent.wait_ready()
    sock = config["workload_api"]["socket"]
    held = []
    for _ in range(800):
        s = socket.socket(socket.AF_UNIX)
        s.connect(sock)
        held.append(s)
    harness.wait_until(lambda: agent.events("connection_refused"), "a refused connection")
    for s in held:
        s.close()
    agent.socket = sock
    harness.wait_until(lambda: can_fetch(agent), "service after the flood")
    assert agent.running


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_an_accept_costs_the_same_however_many_connections_idle(site):
    agent = site.agent([entry(os.getuid())])
    held, spent = [], [cpu_seconds(agent.pid)]
    for _ in range(2):
        for _ in range(2500):
            held.append(socket.socket(socket.AF_UNIX))
            held[-1].connect(agent.socket)
        assert can_fetch(agent)
        spent.append(cpu_seconds(agent.pid))
    for s in held:
        s.close()
    first, second = spent[1] - spent[0], spent[2] - spent[1]
    assert second < 1.6 * first + 0.1, (first, second)


def test_calls_that_arrive_while_others_are_answered_are_all_served(site):
    """One connection, many calls at a time: the thread that answers one may be handed the next."""
    agent = site.agent([entry(os.getuid())])
    for _ in range(4):
        with workload.connect(agent.socket) as c:
            open_calls = []
            for _ in range(4000):
                open_calls.append(c.call("/grpc.health.v1.Health/Check", headers=[]))
                if len(open_calls) >= 48:
                    assert open_calls.pop(0).end() == (workload.OK, "")
            assert [s.end() for s in open_calls] == [(workload.OK, "")] * len(open_calls)
    assert can_fetch(agent)


def test_calls_without_a_message_cannot_pile_up(site):
    """They count against no user's limit yet: past a cap the oldest ends, and nobody else notices."""
    agent = site.agent([entry(os.getuid())])
    path = [(":method", "POST"), (":scheme", "http"), (":path", "/SpiffeWorkloadAPI/FetchX509SVID"),
            (":authority", "localhost"), ("content-type", "application/grpc"), ("te", "trailers"),
            *workload.HEADER]
    block = workload.header_block(path)
    before = agent.rss_kib()
    held = [workload.connect(agent.socket) for _ in range(60)]
    for c in held:
        c.send(b"".join(workload.frame(workload.HEADERS, workload.END_HEADERS, 2 * n + 1, block)
                        for n in range(250)))
    first = held[0].streams[1] = workload.Stream(held[0], 1)
    assert first.end(30)[0] in (workload.UNAVAILABLE, workload.CANCELLED)
    assert can_fetch(agent)
    for c in held[-1:]:  # the newest are still there, and served when the message comes
        last = c.streams[499] = workload.Stream(c, 499)
        c.send(workload.frame(workload.DATA, workload.END_STREAM, 499, b"\0\0\0\0\0"))
        assert last.next(30)
    if not harness.SANDBOX:  # sanitizers keep what is freed
        assert agent.rss_kib() - before < 110000
    for c in held:
        c.close()


def test_garbage_on_the_socket_hurts_nobody(site):
    agent = site.agent([entry(os.getuid())])
    dice = random.Random(1)
    for size in (0, 1, 9, 24, 100, 5000):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(agent.socket)
            s.send(dice.randbytes(size))
    assert can_fetch(agent)


# ---- AG-7: the socket

def test_the_socket_is_open_to_all_and_so_is_its_new_folder(site):
    """AG-7"""
    path = site.path("public/api.sock")
    site.agent([], workload_api={"socket": str(path)})
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert stat.S_IMODE(site.path("data").stat().st_mode) == 0o700
    assert stat.S_IMODE(site.path("admin.sock").stat().st_mode) == 0o600


def test_a_stale_socket_is_replaced(site):
    """AG-7: left behind by kill -9; same authority after the restart."""
    agent = site.agent([entry(os.getuid())])
    bundle = workload.svids(workload.fetch(agent.socket))[0].bundle
    agent.kill()
    assert os.path.exists(agent.socket)
    again = site.agent(name="again")
    assert workload.svids(workload.fetch(again.socket))[0].bundle == bundle


def test_a_file_in_the_socket_s_place_is_left_alone(site):
    """AG-7"""
    site.path("api.sock").write_text("precious")
    agent = site.agent([], wait=False)
    assert agent.wait_exit() == 2
    assert "is not a socket" in agent.log()
    assert site.path("api.sock").read_text() == "precious"


def test_a_socket_that_another_answers_on_is_left_alone(site):
    """AG-7: another program, with another data_dir."""
    first = site.agent([entry(os.getuid())])
    second = site.agent(name="second", wait=False, data_dir=str(site.path("data2")),
                        admin={"socket": str(site.path("admin2.sock"))})
    assert second.wait_exit() == 1
    assert "another process listens" in second.log()
    assert can_fetch(first)


def test_a_second_agent_with_the_same_data_is_kept_out(site):
    """AG-7: by the lock, whatever its sockets are."""
    first = site.agent([entry(os.getuid())])
    second = site.agent(name="second", wait=False, workload_api={"socket": str(site.path("b.sock"))},
                        admin={"socket": str(site.path("admin2.sock"))})
    assert second.wait_exit() == 1
    assert f"process {first.pid}" in second.log() and "data/lock" in second.log()


def test_the_folder_of_the_socket_needs_a_parent(site):
    """AG-7"""
    agent = site.agent([], wait=False, workload_api={"socket": str(site.path("no/such/api.sock"))})
    assert agent.wait_exit() == 2
    assert str(site.path("no/such")) in agent.log()


# ---- SPIRE users expect the process to behave

def test_the_agent_starts_and_stops_cleanly_many_times(site):
    agent = site.agent([entry(os.getuid())])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        assert can_fetch(agent)
        agent.send_signal(number)
        assert agent.wait_exit() == 0
        agent = site.agent(name=f"agent{number}{time.monotonic_ns()}")

"""Ends that stop half-way: a peer that refuses us late or hangs up at once, an app or a peer that is
gone while nothing moves, and that the sidecar neither hides it nor keeps what is dead."""
import contextlib
import os
import resource
import socket
import ssl
import struct
import threading
import time

import pytest

from harness import wait_until
from test_hostile_peers import ME, SECRET, WEB, Sink, context, inbound_sidecar, outbound_sidecar, talk, text

RESET = struct.pack("ii", 1, 0)


def reset(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    conn.close()


def descriptors(program):
    return len(os.listdir(f"/proc/{program.pid}/fd"))


def cpu_seconds(program):
    fields = open(f"/proc/{program.pid}/stat", encoding="ascii").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_none_left(sidecar):
    wait_until(lambda: sidecar.metrics().total("spindle_sidecar_connections") == 0, "connections to end")


def test_a_server_that_refuses_us_after_our_handshake_is_named(site):
    """TLS 1.3: the client is done before the server has judged it; the alert comes late."""
    ours, other = site.ca(), site.ca("other", "other.test")
    judge = context("server", ours.leaf(WEB))
    judge.verify_mode = ssl.CERT_REQUIRED
    judge.load_verify_locations(other.certificate)
    sidecar = outbound_sidecar(site, ours.leaf(ME), [Sink(site, judge)])
    assert talk(sidecar.outbound()) == b""
    event = sidecar.wait_event("handshake_failed", reason="tls_alert")
    assert event.level == "WARN" and event["direction"] == "outbound" and event["presented"] == WEB, event
    assert event["stage"] == "finished" and "unknown_ca" in event["detail"], event
    sidecar.wait_metric("spindle_sidecar_tls_handshake_failures_total", side="client", reason="tls_alert")
    sidecar.wait_metric("spindle_sidecar_connections_closed_total", reason="tls_alert")


def test_an_app_that_talks_on_does_not_drown_the_servers_refusal(site):
    """The write to a peer that has gone fails first; its alert is read all the same."""
    ours, other = site.ca(), site.ca("other", "other.test")
    judge = context("server", ours.leaf(WEB))
    judge.verify_mode = ssl.CERT_REQUIRED
    judge.load_verify_locations(other.certificate)
    sidecar = outbound_sidecar(site, ours.leaf(ME), [Sink(site, judge)])
    for _ in range(30):
        with contextlib.suppress(OSError), socket.create_connection(sidecar.outbound(), timeout=10) as conn:
            while True:
                conn.sendall(SECRET * 1000)
    wait_none_left(sidecar)
    closed = sidecar.metrics().total("spindle_sidecar_connections_closed_total", reason="tls_alert")
    assert closed == 30, [e["reason"] for e in sidecar.events("conn_closed")]


def test_a_server_that_hangs_up_on_our_hello_is_named(site):
    """Not so a client that connects and leaves: probes of a port do that all day."""
    ours = site.ca()
    server = Sink(site)
    server.address = site.tcp_server(lambda conn: conn.recv(10000))
    sidecar = outbound_sidecar(site, ours.leaf(ME), [server])
    assert talk(sidecar.outbound()) == b""
    event = sidecar.wait_event("handshake_failed", reason="peer_closed")
    assert event.level == "WARN" and event["direction"] == "outbound", event


@pytest.mark.parametrize("words,level", [(b"", "DEBUG"), (b"\x16\x03\x01\x02\x00\x01", "WARN")])
@pytest.mark.parametrize("leave,reason", [(socket.socket.close, "peer_closed"), (reset, "peer_reset")])
def test_a_client_that_leaves_is_told_apart_from_a_probe(site, words, level, leave, reason):
    """Load balancers probe by connect and close, or reset; who began to speak has a problem."""
    sidecar = inbound_sidecar(site, site.ca().leaf(ME), Sink(site))
    conn = socket.create_connection(sidecar.inbound(), timeout=10)
    conn.sendall(words)
    leave(conn)
    event = sidecar.wait_event("handshake_failed")
    assert (event["reason"], event.level) == (reason, level), event


def half_close(conn):
    conn.sendall(SECRET)
    conn.shutdown(socket.SHUT_WR)


def test_a_half_closed_client_that_resets_ends_its_connection(site):
    """The app has all it needs and thinks for long: the client's reset must come through."""
    ours, seen = site.ca(), threading.Event()
    waiting = threading.Event()

    def think(conn):
        while conn.recv(65536):
            pass
        waiting.set()
        with contextlib.suppress(OSError):
            conn.settimeout(60)
            wait_until(lambda: conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x07", "a reset")
            seen.set()

    app = Sink(site)
    app.address = site.tcp_server(think)
    web = site.sidecar("web", identity={"files": ours.leaf(WEB).files()}, inbound=[
        {"listen": "127.0.0.1:0", "forward": text(app.address), "allow": [ME]}])
    app.address = web.inbound()
    client = outbound_sidecar(site, ours.leaf(ME), [app])
    conn = socket.create_connection(client.outbound(), timeout=10)
    half_close(conn)
    assert waiting.wait(20)
    reset(conn)
    assert seen.wait(20)
    wait_none_left(client)
    wait_none_left(web)


def test_dead_and_silent_ends_cost_no_processor_time(site):
    """Half-closed, urgent bytes, a stopped reader: readiness that nobody clears must not spin."""
    ours = site.ca()
    release = threading.Event()
    app = Sink(site)
    app.address = site.tcp_server(lambda conn: release.wait(60))  # reads nothing
    web = site.sidecar("web", identity={"files": ours.leaf(WEB).files()}, inbound=[
        {"listen": "127.0.0.1:0", "forward": text(app.address), "allow": [ME]}])
    app.address = web.inbound()
    client = outbound_sidecar(site, ours.leaf(ME), [app])
    conns = []
    for urgent in (False, True):
        for shut in (False, True):
            conn = socket.create_connection(client.outbound(), timeout=10)
            conns.append(conn)
            conn.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while urgent or shut:
                    conn.send(b"x" * 65536)
                    if shut and not urgent:
                        break
            if urgent:
                with contextlib.suppress(BlockingIOError):
                    conn.send(b"!", socket.MSG_OOB)
            if shut:
                conn.shutdown(socket.SHUT_WR)
    last = [-1]

    def quiet():
        before, last[0] = last[0], client.metrics().total("spindle_sidecar_transferred_bytes_total")
        return before == last[0]

    wait_until(quiet, "the relay to stand still", step=0.3)
    before = [(p, cpu_seconds(p)) for p in (client, web)]
    time.sleep(1)
    for program, spent in before:
        assert cpu_seconds(program) - spent < 0.2, program.name
    release.set()
    for conn in conns:
        conn.close()


def test_churn_of_every_kind_of_end_leaves_nothing_behind(site):
    ours = site.ca()
    sidecar = inbound_sidecar(site, ours.leaf(ME), Sink(site))
    good = context("client", ours.leaf(WEB))
    assert talk(sidecar.inbound(), good) == SECRET
    wait_none_left(sidecar)
    before = descriptors(sidecar)
    for turn in range(400):
        conn = socket.create_connection(sidecar.inbound(), timeout=10)
        if turn % 4 == 1:
            conn.sendall(b"\x16\x03\x01\x02\x00")
        if turn % 4 == 2:
            conn.sendall(b"GET / HTTP/1.1\r\n\r\n")
        if turn % 4 == 3:
            conn = good.wrap_socket(conn)
            conn.sendall(SECRET)
        reset(conn) if turn % 8 < 4 else conn.close()
    wait_none_left(sidecar)
    wait_until(lambda: descriptors(sidecar) <= before, "descriptors to be closed")
    assert talk(sidecar.inbound(), good) == SECRET


def test_out_of_descriptors_it_pauses_says_so_and_goes_on(site):
    ours = site.ca()
    sidecar = inbound_sidecar(site, ours.leaf(ME), Sink(site))
    good = context("client", ours.leaf(WEB))
    assert talk(sidecar.inbound(), good) == SECRET
    wait_none_left(sidecar)
    resource.prlimit(sidecar.pid, resource.RLIMIT_NOFILE, (descriptors(sidecar) + 10,) * 2)
    held = [socket.create_connection(sidecar.inbound(), timeout=10) for _ in range(30)]
    event = sidecar.wait_event("connection_refused", reason="limit")
    assert "descriptors" in event["detail"], event
    before = cpu_seconds(sidecar)
    time.sleep(1)
    assert cpu_seconds(sidecar) - before < 0.3
    for conn in held:
        conn.close()
    wait_until(lambda: talk(sidecar.inbound(), good) == SECRET, "service to come back")


def test_drain_while_dialing_ends_in_time(site):
    """A forward address that does not answer, resolver and connect alike, holds no shutdown up."""
    ours = site.ca()
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # its queue is full: further connects get no answer
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        server = Sink(site)
        server.address = full.getsockname()
        sidecar = site.sidecar(identity={"files": ours.leaf(ME).files()}, drain_limit="300ms", outbound=[
            {"listen": "127.0.0.1:0", "forward": text(server.address), "expect": [WEB]}])
        conns = [stack.enter_context(socket.create_connection(sidecar.outbound(), timeout=10)) for _ in range(5)]
        sidecar.wait_metric("spindle_sidecar_connections", at_least=5)
        sidecar.stop()
        sidecar.wait_event("drain_limit_reached")
        assert all(conn.recv(1) == b"" for conn in conns)

"""The sidecar over its life: waiting for an identity, half-closes, timeouts, caps, reload, drain,
and an agent that dies under it."""
import contextlib
import signal
import socket
import struct
import threading
import time

import pytest
from harness import echo, wait_until

WEB, CLIENT = "spiffe://example.org/web", "spiffe://example.org/client"
UID = 0


def text(address):
    return f"{address[0]}:{address[1]}"


def entries(uid=UID):
    """One process may be both: it gets two SVIDs and picks by ID."""
    return [{"spiffe_id": i, "selectors": [f"unix:uid:{uid}"]} for i in (WEB, CLIENT)]


def pair_from_files(site, app, inbound=None, outbound=None, **common):
    """web's sidecar in front of the app, client's in front of web's; returns both."""
    ca = site.ca()
    web = site.sidecar("web", identity={"files": ca.leaf(WEB).files()}, inbound=[
        {"listen": "127.0.0.1:0", "forward": text(app), "allow": [CLIENT], **(inbound or {})}], **common)
    client = site.sidecar("client", identity={"files": ca.leaf(CLIENT).files()}, outbound=[
        {"listen": "127.0.0.1:0", "forward": text(web.inbound()), "expect": [WEB], **(outbound or {})}],
        **common)
    return web, client


def pair_from_agent(site, app, **common):
    web = site.sidecar("web", identity={"spiffe_id": WEB}, inbound=[
        {"listen": "127.0.0.1:0", "forward": text(app), "allow": [CLIENT]}], **common)
    client = site.sidecar("client", identity={"spiffe_id": CLIENT}, outbound=[
        {"listen": "127.0.0.1:0", "forward": text(web.inbound()), "expect": [WEB]}], **common)
    return web, client


def connect(sidecar):
    return socket.create_connection(sidecar.outbound(), timeout=20)


def ask(conn, what=b"ping"):
    conn.sendall(what)
    got = b""
    while len(got) < len(what):
        part = conn.recv(len(what) - len(got))
        assert part, f"closed after {got!r}"
        got += part
    assert got == what


def is_closed(conn):
    with contextlib.suppress(ConnectionResetError):
        return conn.recv(1) == b""
    return True


def is_refused(sidecar):
    """Reset by the sidecar, which may be quicker than our connect."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError), connect(sidecar) as conn:
        conn.sendall(b"ping")
        return is_closed(conn)
    return True


def test_bytes_survive_and_a_half_close_travels_both_ways(site):
    total = 3_000_000

    def count_then_tell(conn):
        """Answers only after the client's FIN: a proxy that turns a FIN into a close loses it."""
        seen = 0
        while part := conn.recv(65536):
            seen += len(part)
        conn.sendall(struct.pack(">Q", seen))

    _, client = pair_from_files(site, site.tcp_server(count_then_tell))
    with connect(client) as conn:
        conn.sendall(b"x" * total)
        conn.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: conn.recv(8), b""))
    assert struct.unpack(">Q", answer)[0] == total


def test_a_server_that_closes_first_can_still_be_written_to(site):
    got, done = bytearray(), threading.Event()

    def close_writing_then_read(conn):
        conn.sendall(b"bye")
        conn.shutdown(socket.SHUT_WR)
        while part := conn.recv(65536):
            got.extend(part)
        done.set()

    _, client = pair_from_files(site, site.tcp_server(close_writing_then_read))
    with connect(client) as conn:
        assert conn.recv(3) == b"bye" and conn.recv(1) == b""
        conn.sendall(b"still here")
        conn.shutdown(socket.SHUT_WR)
        assert done.wait(20)
    assert bytes(got) == b"still here"


def test_a_reset_is_passed_on(site):
    seen = threading.Event()

    def wait_for_reset(conn):
        try:
            while conn.recv(65536):
                pass
        except ConnectionResetError:
            seen.set()

    _, client = pair_from_files(site, site.tcp_server(wait_for_reset))
    conn = connect(client)
    conn.sendall(b"x")
    client.wait_metric("spindle_sidecar_connections_opened_total")
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()
    assert seen.wait(20)


def test_a_reader_that_stops_is_waited_for_and_gets_all(site):
    size = 60_000_000
    _, client = pair_from_files(site, site.tcp_server(lambda c: c.sendall(b"y" * size)))
    seen = [-1]

    def stalled():
        before, seen[0] = seen[0], client.metrics().total("spindle_sidecar_transferred_bytes_total")
        return 0 < seen[0] == before

    with connect(client) as conn:
        wait_until(stalled, "the relay to stop reading", step=0.2)
        assert seen[0] < size and client.rss_kib() < 64 * 1024  # it did not pile up here
        got = 0
        while part := conn.recv(1 << 20):
            got += len(part)
    assert got == size


def test_an_idle_connection_is_ended_and_a_busy_one_is_not(site):
    web, client = pair_from_files(site, site.tcp_server(), timeouts={"idle": "1s"})
    with connect(client) as conn:
        for _ in range(3):
            ask(conn)
        assert is_closed(conn)
    name = "spindle_sidecar_connections_closed_total"  # of whichever side's clock was ahead
    wait_until(lambda: any(p.metrics().total(name, reason="timeout") for p in (web, client)), name)


def test_a_handshake_that_does_not_come_is_given_up(site):
    ca = site.ca()
    web = site.sidecar("web", identity={"files": ca.leaf(WEB).files()}, timeouts={"handshake": "500ms"},
                       inbound=[{"listen": "127.0.0.1:0", "forward": "127.0.0.1:1", "allow": [CLIENT]}])
    with socket.create_connection(web.inbound(), timeout=20) as conn:
        assert is_closed(conn)
    web.wait_metric("spindle_sidecar_tls_handshake_failures_total", side="server", reason="timeout")


@pytest.mark.parametrize("workers", [1, 3])
def test_connections_over_the_cap_are_closed_and_counted(site, workers):
    """The cap is the listener's, however many threads share it."""
    web, client = pair_from_files(site, site.tcp_server(), limits={"connections": 3}, workers=workers)
    held = [connect(client) for _ in range(3)]
    for conn in held:
        ask(conn)
    for _ in range(8):
        with connect(client) as extra:
            assert is_closed(extra)
    client.wait_metric("spindle_sidecar_connections_refused_total", at_least=8, reason="limit")
    for conn in held:
        ask(conn)
        conn.close()
    wait_until(lambda: client.metrics().total("spindle_sidecar_connections") == 0, "connections to end")
    with connect(client) as conn:
        ask(conn)


def test_a_dead_app_resets_the_client_and_is_named(site):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nobody = unused.getsockname()
    web, client = pair_from_files(site, nobody)
    assert is_refused(client)
    event = web.wait_event("connect_failed")
    assert event["forward"] == text(nobody) and "refused" in event["detail"], event
    web.wait_metric("spindle_sidecar_connect_failures_total", direction="inbound", reason="connect")


def test_before_its_first_identity_it_listens_holds_and_then_serves(site):
    app = site.tcp_server()
    web = site.sidecar("web", wait=False, identity={"spiffe_id": WEB}, timeouts={"connect": "20s"},
                       inbound=[{"listen": "127.0.0.1:0", "forward": text(app), "allow": [CLIENT]}])
    client = site.sidecar("client", wait=False, identity={"spiffe_id": CLIENT}, timeouts={"connect": "20s"},
                          outbound=[{"listen": "127.0.0.1:0", "forward": text(web.inbound()), "expect": [WEB]}])
    status, words = client.ready()
    assert status == 503 and "no identity" in words
    with connect(client) as conn:
        conn.sendall(b"ping")
        client.wait_metric("spindle_sidecar_connections")
        site.agent(entries=entries())
        assert conn.recv(4) == b"ping"
    client.wait_ready()


def test_a_connection_that_waits_too_long_for_an_identity_is_closed_and_counted(site):
    client = site.sidecar("client", wait=False, timeouts={"connect": "500ms"},
                          outbound=[{"listen": "127.0.0.1:0", "forward": "127.0.0.1:1", "expect": [WEB]}])
    with connect(client) as conn:
        assert is_closed(conn)
    client.wait_metric("spindle_sidecar_connections_refused_total", reason="no_identity_yet")
    assert client.wait_event("connection_refused", reason="no_identity_yet").level == "WARN"


def test_when_the_identity_is_overdue_an_app_is_refused_at_once_and_served_when_it_came(site):
    app = site.tcp_server()
    web = site.sidecar("web", wait=False, identity={"spiffe_id": WEB}, inbound=[
        {"listen": "127.0.0.1:0", "forward": text(app), "allow": [CLIENT]}])
    client = site.sidecar("client", wait=False, identity={"spiffe_id": CLIENT}, timeouts={"connect": "100ms"},
                          outbound=[{"listen": "127.0.0.1:0", "forward": text(web.inbound()), "expect": [WEB]}])
    for _ in range(2):  # the first may still have waited
        with contextlib.suppress(ConnectionResetError):  # as early as in connect
            with connect(client) as conn:
                assert is_closed(conn)
    assert "refused at once" in client.wait_event("connection_refused", count=2)["detail"]
    site.agent(entries=entries())
    web.wait_ready(), client.wait_ready()
    with connect(client) as conn:
        ask(conn)


def test_a_reloaded_allow_list_decides_new_handshakes(site):
    web, client = pair_from_files(site, site.tcp_server())
    with connect(client) as conn:
        ask(conn)
    route = {**web.config["inbound"][0], "allow": ["spiffe://example.org/other"]}
    site.write_yaml("web.yaml", {**web.config, "inbound": [route]})
    web.wait_event("reloaded")
    assert is_refused(client)
    web.wait_event("handshake_failed", reason="peer_not_allowed")
    # The identity's files are still known by name after the old configuration is gone.
    leaf = web.config["identity"]["files"]["certificate"]
    site.write("moved.pem", open(leaf).read()).rename(leaf)
    web.send_signal(signal.SIGHUP)
    web.wait_event("reloaded", count=2)
    assert not web.events("identity_problem")


def test_a_broken_reload_changes_nothing_and_says_so(site):
    web, client = pair_from_files(site, site.tcp_server())
    site.write("web.yaml", "inbound: [\n")
    web.wait_event("reload_failed")
    with connect(client) as conn:
        ask(conn)
    site.write_yaml("web.yaml", {**web.config, "workers": 2})
    web.wait_event("reload_failed", count=2)
    with connect(client) as conn:
        ask(conn)


def test_sigterm_drains_live_connections_finish(site):
    web, client = pair_from_files(site, site.tcp_server(), drain_delay="200ms")
    with connect(client) as conn:
        ask(conn)
        client.send_signal(signal.SIGTERM)
        wait_until(lambda: client.ready()[0] == 503, "readiness to go")
        client.wait_event("draining")
        with pytest.raises(OSError):
            connect(client)
        ask(conn, b"still carried")
        assert client.running
    client.wait_event("drained")
    assert client.wait_exit() == 0


def test_the_drain_limit_ends_what_does_not_end(site):
    web, client = pair_from_files(site, site.tcp_server(), drain_limit="300ms")
    with connect(client) as conn:
        ask(conn)
        client.send_signal(signal.SIGTERM)
        assert is_closed(conn)
    client.wait_event("drain_limit_reached")
    assert client.wait_exit() == 0


def test_several_workers_share_the_port_and_the_identity(site):
    web, client = pair_from_files(site, site.tcp_server(), workers=3)
    conns = [connect(client) for _ in range(30)]
    for conn in conns:
        ask(conn)
    assert client.metrics().total("spindle_sidecar_connections") == 30
    for conn in conns:
        conn.close()


def test_rotation_drops_no_live_connection_and_new_ones_use_the_new_identity(site):
    site.agent(entries=entries(), svid={"x509_ttl": "4s"})
    web, client = pair_from_agent(site, site.tcp_server())
    with connect(client) as conn:
        for turn in range(2, 5):
            client.wait_event("identity_rotated", count=turn - 1)
            ask(conn)
            with connect(client) as fresh:
                ask(fresh)
    assert not web.events("handshake_failed") and not client.events("handshake_failed")


def test_an_agent_killed_under_load_is_not_noticed_by_traffic(site):
    agent = site.agent(entries=entries(), svid={"x509_ttl": "30s"})
    web, client = pair_from_agent(site, site.tcp_server())
    root = site.run("spindle-agent", "api", "fetch", "x509", "--socket", agent.socket, "--write", site.path("before"))
    assert root.code == 0, root
    stop, failures, done = threading.Event(), [], [0]

    def load():
        while not stop.is_set():
            try:
                with connect(client) as conn:
                    ask(conn)
                    ask(conn)
                done[0] += 1
            except (OSError, AssertionError) as e:
                failures.append(e)

    thread = threading.Thread(target=load)
    thread.start()
    wait_until(lambda: done[0] > 20, "load before")
    agent.kill()
    wait_until(lambda: client.metrics().total("spindle_sidecar_workload_api_connected") == 0, "loss noticed")
    count = done[0]
    wait_until(lambda: done[0] > count + 20, "load without an agent")
    again = site.agent(name="agent2", entries=entries(), svid={"x509_ttl": "30s"})
    client.wait_metric("spindle_sidecar_workload_api_connected")
    count = done[0]
    wait_until(lambda: done[0] > count + 20, "load after")
    stop.set()
    thread.join()
    assert not failures, failures[:3]
    after = site.run("spindle-agent", "api", "fetch", "x509", "--socket", again.socket, "--write", site.path("after"))
    assert after.code == 0, after
    assert site.path("before/bundle.0.pem").read_text() == site.path("after/bundle.0.pem").read_text()


def test_workers_share_rotation_reload_scrapes_and_drain_under_load(site):
    """What several threads touch at once; under the thread sanitizer this is where a race would show."""
    site.agent(entries=entries(), svid={"x509_ttl": "4s"})
    web, client = pair_from_agent(site, site.tcp_server(), workers=3)
    stop, failures, done = threading.Event(), [], [0]

    def load():
        while not stop.is_set():
            try:
                with connect(client) as conn:
                    ask(conn, b"x" * 20000)
                done[0] += 1
            except (OSError, AssertionError) as e:
                failures.append(e)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(1, 4):
        for sidecar in (web, client):
            sidecar.wait_event("identity_rotated", count=turn)
            sidecar.send_signal(signal.SIGHUP)
            sidecar.wait_event("reloaded", count=turn)
            assert site.run("spindle-sidecar", "conns", "--admin", sidecar.admin).code == 0
            sidecar.metrics()
    stop.set()
    for thread in threads:
        thread.join()
    assert done[0] > 20 and not failures, failures[:3]
    with connect(client) as conn:
        ask(conn)
        client.send_signal(signal.SIGTERM)
        client.wait_event("draining")
        ask(conn)
    assert client.wait_exit() == 0 and web.stop() == 0


def test_losing_the_entry_takes_the_identity_away(site):
    """AG-26: PermissionDenied drops the identity, and with it readiness."""
    agent = site.agent(entries=entries())
    web = site.sidecar("web", identity={"spiffe_id": WEB}, inbound=[
        {"listen": "127.0.0.1:0", "forward": "127.0.0.1:1", "allow": [CLIENT]}])
    site.write_entries([{"spiffe_id": WEB, "selectors": ["unix:uid:4242"]}])
    web.wait_event("identity_lost")
    wait_until(lambda: web.ready()[0] == 503, "not ready")
    site.write_entries(entries())
    web.wait_ready()
    assert agent.running


def test_conns_lists_what_is_there_and_quit_ends_it(site):
    web, client = pair_from_files(site, site.tcp_server())
    with connect(client) as conn:
        ask(conn)
        got = site.run("spindle-sidecar", "conns", "--admin", client.admin, "--output", "json")
        assert got.code == 0, got
        row = got.json()["connections"][0]
        assert row["peer_id"] == WEB and row["state"].lower() == "relay" and row["bytes_from_app"] == 4, row
        assert site.run("spindle-sidecar", "quit", "--admin", client.admin).code == 0
        assert is_closed(conn)
    assert client.wait_exit() == 0

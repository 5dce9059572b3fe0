"""The sidecar's admin socket from the command line: conns, drain, quit."""
import os
import socket

from harness import need_root

WEB, CLIENT = "spiffe://example.org/web", "spiffe://example.org/client"
NOBODY = 65534


def pair(site):
    """An agent and both sidecars around an echo server."""
    site.agent([{"spiffe_id": name, "selectors": [f"unix:uid:{os.geteuid()}"]} for name in (WEB, CLIENT)])
    host, port = site.tcp_server()
    inbound = site.sidecar("inbound", identity={"spiffe_id": WEB}, inbound=[
        {"listen": "127.0.0.1:0", "forward": f"{host}:{port}", "allow": [CLIENT]}])
    there = "{}:{}".format(*inbound.inbound())
    outbound = site.sidecar("outbound", identity={"spiffe_id": CLIENT}, outbound=[
        {"listen": "127.0.0.1:0", "forward": there, "expect": [WEB]}])
    return inbound, outbound


def talk(address):
    """A connection through the pair that has proved itself."""
    s = socket.create_connection(address, timeout=20)
    s.sendall(b"ping")
    assert s.recv(4) == b"ping"
    return s


def ask(site, sidecar, *words, **options):
    return site.run("spindle-sidecar", *words, "--admin", sidecar.admin, **options)


def test_conns_lists_live_connections_with_their_peer(site):
    inbound, outbound = pair(site)
    with talk(outbound.outbound()):
        got = ask(site, inbound, "conns", "--output", "json")
        assert got.code == 0, got
        rows = got.json()["connections"]
        assert [(r["direction"], r["peer_id"]) for r in rows] == [("inbound", CLIENT)]
        assert rows[0]["bytes_to_app"] == 4
        text = ask(site, outbound, "conns")
        assert text.code == 0 and WEB in text.out and "connections: 1" in text.out, text
        by_config = site.run("spindle-sidecar", "conns", "--config", outbound.config_path)
        assert by_config.out == text.out or WEB in by_config.out, by_config


def test_drain_lets_a_connection_finish_and_ends(site):
    _, outbound = pair(site)
    with talk(outbound.outbound()) as s:
        assert ask(site, outbound, "drain").code == 0
        s.sendall(b"more")
        assert s.recv(4) == b"more"
    assert outbound.wait_exit() == 0
    outbound.stopped = True


def test_quit_ends_at_once(site):
    _, outbound = pair(site)
    with talk(outbound.outbound()):
        got = ask(site, outbound, "quit")
        assert got.code == 0, got
        assert outbound.wait_exit() == 0
    outbound.stopped = True


def test_nobody_there_and_nobody_allowed_are_told_apart(site):
    need_root()
    _, outbound = pair(site)
    stranger = ask(site, outbound, "conns", uid=NOBODY)
    assert stranger.code == 1 and "Permission denied" in stranger.err, stranger
    outbound.stop()
    gone = ask(site, outbound, "conns")
    assert gone.code == 1 and "is spindle-sidecar running" in gone.err, gone


def test_a_sidecar_without_admin_socket_says_so(site):
    path = site.write_yaml("none.yaml", {
        "identity": {"workload_api": "unix:///run/none.sock"},
        "outbound": [{"listen": "127.0.0.1:0", "forward": "127.0.0.1:1", "expect": [WEB]}]})
    got = site.run("spindle-sidecar", "conns", "--config", path)
    assert got.code == 2 and "admin.socket is not set" in got.err, got

"""go-spiffe, the reference client library, against our agent and our sidecar."""
import os
import pathlib
import re
import socket
import subprocess

import pytest

import harness

SOURCE = pathlib.Path(__file__).parent / "gospiffe"
GO_MIN = (1, 25)
TRUST_DOMAIN = "spiffe://example.org"
PEER, SIDECAR, OTHER = (f"{TRUST_DOMAIN}/{name}" for name in ("peer", "sidecar", "other"))


@pytest.fixture(scope="session")
def gospiffe(tmp_path_factory):
    """The path of the built Go program."""
    go = harness.has_program("go")
    env = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}
    words = subprocess.run([go, "env", "GOVERSION"], cwd="/", env=env, capture_output=True,
                           text=True, check=True).stdout
    version = tuple(map(int, re.match(r"go(\d+)\.(\d+)", words).groups()))
    if version < GO_MIN:
        harness.give_up(f"Go {words.strip()} is too old, {GO_MIN[0]}.{GO_MIN[1]} is needed")
    program = tmp_path_factory.mktemp("go") / "gospiffe"
    built = subprocess.run([go, "build", "-o", program, "."], cwd=SOURCE, env=env,
                           capture_output=True, text=True, check=False)
    if built.returncode != 0:
        harness.give_up(f"the Go module does not build: {built.stderr}")
    return program


def start_agent(site, **changes):
    """One caller, two identities: go-spiffe takes the first, our sidecars ask for the second."""
    mine = [f"unix:uid:{os.getuid()}"]
    return site.agent(entries=[{"spiffe_id": PEER, "selectors": [*mine]},
                               {"spiffe_id": SIDECAR, "selectors": [*mine]}],
                      svid={"x509_ttl": "6s"}, **changes)


def watch(site, gospiffe, agent):
    watcher = site.start("watcher", gospiffe, "watch", agent.socket)
    watcher.wait_event("update")
    return watcher


def leaves(watcher):
    """The serials of the first SVID's leaves so far; the other one rotates in its own time."""
    return {update["svids"][0]["chain"][0] for update in watcher.events("update")}


def check_update(update):
    assert [svid["spiffe_id"] for svid in update["svids"]] == [PEER, SIDECAR]
    assert all(svid["verified"] and len(svid["chain"]) == 2 for svid in update["svids"]), update
    assert list(update["roots"]) == ["example.org"] and len(update["roots"]["example.org"]) == 1


def test_svids_rotate_five_times_under_a_watcher(site, gospiffe):
    watcher = watch(site, gospiffe, start_agent(site))
    harness.wait_until(lambda: len(leaves(watcher)) >= 6, "five rotations", 6 * harness.DEADLINE)
    updates = watcher.events("update")
    for update in updates:
        check_update(update)
    ends = [update["svids"][0]["not_after"] for update in updates]
    assert ends == sorted(ends)
    assert {str(update["roots"]) for update in updates} == {str(updates[0]["roots"])}
    assert watcher.events("error") == []


@pytest.mark.parametrize("end", ["stop", "kill"], ids=["sigterm", "sigkill"])
def test_a_watcher_outlives_an_agent_restart(site, gospiffe, end):
    agent = start_agent(site)
    watcher = watch(site, gospiffe, agent)
    getattr(agent, end)()
    before = len(watcher.events("update"))
    start_agent(site, name="agent-again")
    watcher.wait_event("update", count=before + 1, timeout=3 * harness.DEADLINE)
    for update in watcher.events("update"):
        check_update(update)
    roots = {str(update["roots"]) for update in watcher.events("update")}
    assert len(roots) == 1, "the root is another one after the restart"
    assert {error["code"] for error in watcher.events("error")} <= {"Unavailable"}


def test_bundles_are_fetched(site, gospiffe):
    agent = start_agent(site)
    got = site.run(gospiffe, "bundles", agent.socket)
    assert got.code == 0, got
    assert len(got.json()["roots"]["example.org"]) == 1


def test_a_caller_without_an_entry_gets_permission_denied(site, gospiffe):
    agent = site.agent(entries=[{"spiffe_id": PEER, "selectors": ["unix:uid:4000000"]}])
    got = site.run(gospiffe, "bundles", agent.socket)
    assert got.code == 1 and got.json()["code"] == "PermissionDenied", got


def inbound_sidecar(site, allow=PEER):
    app = site.tcp_server()
    return site.sidecar(
        "inbound", identity={"spiffe_id": SIDECAR},
        inbound=[{"listen": "127.0.0.1:0", "forward": f"127.0.0.1:{app[1]}", "allow": [allow]}])


def at(address):
    return f"{address[0]}:{address[1]}"


def test_a_go_client_reaches_the_app_behind_our_inbound(site, gospiffe):
    agent = start_agent(site)
    sidecar = inbound_sidecar(site)
    got = site.run(gospiffe, "call", agent.socket, at(sidecar.inbound()), SIDECAR, 20)
    assert got.code == 0 and got.json()["count"] == 20, got


def test_a_go_client_that_expects_another_id_refuses_us(site, gospiffe):
    agent = start_agent(site)
    sidecar = inbound_sidecar(site)
    got = site.run(gospiffe, "call", agent.socket, at(sidecar.inbound()), OTHER, 1)
    assert got.code == 1 and SIDECAR in got.json()["text"], got
    assert sidecar.wait_event("handshake_failed")["reason"] == "tls_alert"


def test_a_go_client_that_is_not_allowed_is_refused(site, gospiffe):
    agent = start_agent(site)
    sidecar = inbound_sidecar(site, allow=OTHER)
    got = site.run(gospiffe, "call", agent.socket, at(sidecar.inbound()), SIDECAR, 1)
    assert got.code == 1, got
    failed = sidecar.wait_event("handshake_failed", reason="peer_not_allowed")
    assert (failed["presented"], failed["expected"]) == (PEER, OTHER)


def go_server_behind_outbound(site, gospiffe, agent, admits, expect=PEER):
    server = site.start("server", gospiffe, "serve", agent.socket, admits)
    address = server.wait_event("listening")["address"]
    sidecar = site.sidecar(
        "outbound", identity={"spiffe_id": SIDECAR},
        outbound=[{"listen": "127.0.0.1:0", "forward": address, "expect": [expect]}])
    return server, sidecar


def echoed(address):
    """What comes back for a line; nothing when the connection is reset, be it while it is made."""
    try:
        with socket.create_connection(address, timeout=harness.DEADLINE) as connection:
            connection.sendall(b"hello\n")
            return connection.makefile("rb").readline()
    except (ConnectionResetError, BrokenPipeError):
        return b""


def test_our_outbound_reaches_a_go_server(site, gospiffe):
    server, sidecar = go_server_behind_outbound(site, gospiffe, start_agent(site), SIDECAR)
    for _ in range(20):
        assert echoed(sidecar.outbound()) == b"hello\n"
    assert {event["peer"] for event in server.events("served")} == {SIDECAR}


def test_a_go_server_that_is_not_expected_gets_nothing(site, gospiffe):
    server, sidecar = go_server_behind_outbound(site, gospiffe, start_agent(site), SIDECAR, OTHER)
    assert echoed(sidecar.outbound()) == b""
    failed = sidecar.wait_event("handshake_failed", reason="peer_not_allowed")
    assert (failed["presented"], failed["expected"]) == (PEER, OTHER)
    assert server.events("served") == []


def test_a_go_server_that_does_not_admit_us_is_left_alone(site, gospiffe):
    server, sidecar = go_server_behind_outbound(site, gospiffe, start_agent(site), OTHER)
    assert echoed(sidecar.outbound()) == b""
    assert SIDECAR in server.wait_event("refused")["text"]
    assert server.events("served") == []


def test_a_client_without_its_certificates_key_is_refused(site, gospiffe):
    ca = site.ca()
    app = site.tcp_server()
    sidecar = site.sidecar(identity={"files": ca.leaf(SIDECAR).files()}, inbound=[
        {"listen": "127.0.0.1:0", "forward": at(app), "allow": [PEER]}])
    got = site.run(gospiffe, "thief-call", ca.leaf(PEER).certificate, at(sidecar.inbound()))
    assert got.code == 1, got
    failed = sidecar.wait_event("handshake_failed", reason="peer_proof")
    assert failed["presented"] == PEER
    assert sidecar.metrics().total("spindle_sidecar_connections_opened_total") == 0


def test_a_server_without_its_certificates_key_gets_nothing(site, gospiffe):
    ca = site.ca()
    server = site.start("server", gospiffe, "thief-serve", ca.leaf(PEER).certificate)
    address = server.wait_event("listening")["address"]
    sidecar = site.sidecar(identity={"files": ca.leaf(SIDECAR).files()}, outbound=[
        {"listen": "127.0.0.1:0", "forward": address, "expect": [PEER]}])
    assert echoed(sidecar.outbound()) == b""
    sidecar.wait_event("handshake_failed", reason="peer_proof")
    assert server.events("served") == []

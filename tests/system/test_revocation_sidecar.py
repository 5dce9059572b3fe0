"""Peers that are welcome no longer: refused, and cut where they are connected already, in both
directions; connections of others are not touched."""
import concurrent.futures
import contextlib
import os
import socket
import ssl
import threading
import time

import pytest
import yaml

import harness
import revocation
from fake_agent import FakeAgent, der, response, svid
from revocation import CLIENT, CUT, WEBS
from test_hostile_peers import context, talk, text

ME = "spiffe://example.org/me"
A, B = "spiffe://example.org/a", "spiffe://example.org/b"
PARTNER = "spiffe://partner.test/p"
CLOSED = "spindle_sidecar_connections_closed_total"


class App:
    """An echo that knows how each connection ended: {first bytes: "reset" | "eof"}."""

    def __init__(self, site, tls=None):
        self.tls, self.ended, self.changed = tls, {}, threading.Condition()
        self.address = site.tcp_server(self.serve)

    def serve(self, conn):
        name = None
        try:
            if self.tls:
                conn = self.tls.wrap_socket(conn, server_side=True, suppress_ragged_eofs=False)
            while data := conn.recv(65536):
                name = name or data
                conn.sendall(data)
            end = "eof"
        except ConnectionResetError:
            end = "reset"
        except OSError:
            end = "torn"
        with self.changed:
            self.ended[name] = end
            self.changed.notify_all()

    def wait_end(self, name):
        with self.changed:
            assert self.changed.wait_for(lambda: name in self.ended, harness.DEADLINE), f"{name} lives"
            return self.ended[name]


class Connection:
    """One that is held open; says its name and checks that it is answered."""

    def __init__(self, name, address, tls=None):
        self.name = name.encode()
        self.socket = socket.create_connection(address, timeout=harness.DEADLINE)
        if tls:
            self.socket = tls.wrap_socket(self.socket, suppress_ragged_eofs=False)
        self.check()

    def check(self):
        self.socket.sendall(self.name)
        assert self.socket.recv(100) == self.name
        return self

    def end(self):
        """How the other side ends it. Python's ssl calls a reset an EOF: so the socket is asked."""
        try:
            with socket.socket(fileno=os.dup(self.socket.fileno())) as wire:
                wire.settimeout(harness.DEADLINE)
                wire.recv(1, socket.MSG_PEEK)
            return "eof" if self.socket.recv(1) == b"" else "bytes"
        except ConnectionResetError:
            return "reset"
        except OSError as e:
            return f"torn: {e}"


class Scene:
    """A sidecar with an inbound route for clients A and B, and an outbound one to servers A and B."""

    def __init__(self, site, outbound=(A, B), allow=(A, B), **changes):
        self.site, self.ca = site, site.ca()
        self.leaf = {name: self.ca.leaf(name) for name in (ME, A, B)}
        self.app = App(site)
        self.servers = {n: App(site, context("server", self.leaf[n])) for n in outbound}
        self.out = list(outbound)
        self.routes = {
            "inbound": [{"listen": "127.0.0.1:0", "forward": text(self.app.address), "allow": list(allow)}],
            "outbound": [{"listen": "127.0.0.1:0", "forward": text(self.servers[n].address),
                          "expect": list(allow)} for n in outbound]}
        self.changes = changes

    def start(self, identity=None):
        self.sidecar = self.site.sidecar(identity={"files": self.leaf[ME].files()} if identity is None else identity,
                                         **self.routes, **self.changes)
        return self

    def client(self, name, leaf=None):
        leaf = leaf or self.leaf[name]
        return Connection(name, self.sidecar.inbound(), context("client", leaf))

    def user(self, name):
        """Of the server of that name, by the outbound route."""
        return Connection(name, self.sidecar.outbound(self.out.index(name)))

    def reload(self, **changes):
        """Rewrites the routes and waits until it is in use."""
        before = len(self.sidecar.events("reloaded"))
        config = harness.deep_merge(self.sidecar.config, {**self.routes, **changes})
        self.site.write("sidecar.yaml", yaml.safe_dump(config, sort_keys=False))
        self.sidecar.wait_event("reloaded", count=before + 1)

    def cuts(self, **labels):
        return self.sidecar.metrics().total(CUT, **labels)


def test_who_a_reload_takes_off_a_list_is_cut_and_nobody_else(site):
    s = Scene(site).start()
    clients, users = {n: s.client(n) for n in (A, B)}, {n: s.user(n) for n in (A, B)}
    s.reload(inbound=[{**s.routes["inbound"][0], "allow": [B]}],
             outbound=[{**r, "expect": [B]} for r in s.routes["outbound"]])
    # Nobody may take what came so far for the whole: reset, not an orderly end, on both sides.
    assert clients[A].end() == "reset" and users[A].end() == "reset"
    assert s.app.wait_end(A.encode()) == "reset"
    assert s.servers[A].wait_end(A.encode()) in ("reset", "torn")
    clients[B].check(), users[B].check()
    for direction in ("inbound", "outbound"):
        assert s.sidecar.wait_metric(CUT, direction=direction, reason="peer_not_allowed") == 1
        assert s.sidecar.metrics().total(CLOSED, direction=direction, reason="peer_not_allowed") == 1
        event = s.sidecar.wait_event("connection_cut", direction=direction, reason="peer_not_allowed")
        assert event["peer_id"] == A and event["state"] == "RELAY" and event["serial"]
    assert s.cuts() == 2
    assert talk(s.sidecar.inbound(), context("client", s.leaf[A])) == b""
    assert talk(s.sidecar.inbound(), context("client", s.leaf[B])) != b""


def test_a_reload_that_admits_the_same_peers_cuts_nobody(site):
    s = Scene(site).start()
    held = [s.client(A), s.client(B), s.user(A), s.user(B)]
    s.reload(inbound=[{**s.routes["inbound"][0], "allow": ["spiffe://example.org/*"]}],
             outbound=[{**r, "expect": [B, A]} for r in s.routes["outbound"]])
    s.client(A).check()
    assert [c.check() for c in held] and s.cuts() == 0


class TwoDomains(Scene):
    """With a fake agent that may take the partner's bundle away."""

    def __init__(self, site):
        super().__init__(site, allow=["spiffe://example.org/*", "spiffe://partner.test/*"])
        self.partner = site.ca("partner", "partner.test")
        self.leaf[PARTNER] = self.partner.leaf(PARTNER)
        self.agent = FakeAgent(site, self.state(self.partner.bundle))

    def state(self, *partner_bundles, ours=None):
        bundle = b"".join(map(der, ours or [self.ca.bundle]))
        return response([svid(self.leaf[ME], ME, bundle=bundle)],
                        {"spiffe://partner.test": b"".join(map(der, partner_bundles))} if partner_bundles else {})


@pytest.mark.parametrize("gone", ["bundle", "root"])
def test_peers_whose_trust_is_gone_are_cut_and_nobody_else(site, gone):
    s = TwoDomains(site)
    s.start(identity={})
    other = site.ca("partner2", "partner.test")
    ours, theirs, user = s.client(A), s.client(PARTNER), s.user(B)
    s.agent.send(s.state(other.bundle) if gone == "root" else s.state())
    assert theirs.end() == "reset" and s.app.wait_end(PARTNER.encode()) == "reset"
    assert s.sidecar.wait_metric(CUT, direction="inbound", reason="trust_removed") == 1
    event = s.sidecar.wait_event("connection_cut", reason="trust_removed")
    assert event["peer_id"] == PARTNER and "partner.test" in event["detail"]
    ours.check(), user.check()
    assert s.cuts() == 1


def test_new_roots_beside_the_old_cut_nobody(site):
    s = TwoDomains(site)
    s.start(identity={})
    held = [s.client(A), s.client(PARTNER), s.user(B)]
    more = [site.ca("next"), site.ca("partner2", "partner.test")]
    s.agent.send(s.state(more[1].bundle, s.partner.bundle, ours=[more[0].bundle, s.ca.bundle]))
    leaf = more[1].leaf(PARTNER)
    harness.wait_until(lambda: talk(s.sidecar.inbound(), context("client", leaf)) != b"", "the new root")
    assert [c.check() for c in held] and s.cuts() == 0


def expiring(site, peer_expiry, life):
    """A scene in which A's certificate runs out soon."""
    s = Scene(site)
    for route in s.routes["inbound"] + s.routes["outbound"]:
        route["peer_expiry"] = peer_expiry
    s.leaf[A] = s.ca.leaf(A, not_before=life - 20, not_after=life)
    s.servers[A] = App(site, context("server", s.leaf[A]))
    s.routes["outbound"][0]["forward"] = text(s.servers[A].address)
    return s.start()


SOON = 2 + 2 * harness.SLOW


def test_peer_expiry_close_ends_a_connection_when_the_certificate_does(site):
    s = expiring(site, "close", SOON)
    client, user, others = s.client(A), s.user(A), [s.client(B), s.user(B)]
    assert client.end() == "reset" and user.end() == "reset"
    for direction in ("inbound", "outbound"):
        assert s.sidecar.wait_metric(CUT, direction=direction, reason="cert_expired") == 1
    assert [c.check() for c in others] and s.cuts() == 2


def test_peer_expiry_drain_lets_a_busy_connection_end_when_it_falls_idle(site):
    s = expiring(site, "drain", SOON)
    client, other = s.client(A), s.client(B)
    # An idle one ends by itself, in order: nothing was lost.
    assert client.end() == "eof" and s.app.wait_end(A.encode()) == "eof"
    event = s.sidecar.wait_event("connection_cut", reason="cert_expired", direction="inbound")
    assert "drain" in event["detail"]
    other.check()


def test_peer_expiry_drain_has_a_limit_for_those_never_idle(site):
    s = expiring(site, "drain", SOON)
    busy, end = s.client(A), None
    while end is None:  # the limit is at most a tenth of 20 s after the end
        try:
            busy.check()
        except OSError as e:
            end = e
    assert "close_notify" not in str(end)
    assert s.sidecar.wait_metric(CUT, direction="inbound", reason="cert_expired") == 1


def test_peer_expiry_keep_keeps_and_a_reload_may_change_that(site):
    s = expiring(site, "keep", SOON)
    client, other = s.client(A), s.client(B)
    with contextlib.suppress(OSError, ssl.SSLError):
        harness.wait_until(lambda: talk(s.sidecar.inbound(), context("client", s.leaf[A])) == b"",
                           "its certificate has run out")
    client.check()
    assert s.cuts() == 0
    s.reload(inbound=[{**s.routes["inbound"][0], "peer_expiry": "close"}])
    assert client.end() == "reset"
    other.check()
    s.sidecar.wait_metric(CUT, direction="inbound", reason="cert_expired")
    # Those that had hung up without a close_notify may still have been ending: cut as well.
    cut = s.sidecar.events("connection_cut", reason="cert_expired")
    assert len([e for e in cut if e["state"] == "RELAY"]) == 1, cut


def test_a_revocation_cuts_every_connection_of_one_identity_and_none_of_others(site, capsys):
    """Five rounds of 1,000 live connections on two sidecars; the bar is one second."""
    node = revocation.Node(site, 500, 500).open()
    rounds = []
    for _ in range(5):
        rounds.append(node.revoke("--reason", "keyCompromise"))
        node.lift()
    with capsys.disabled():
        for name, values in zip(("all cut", "and new ones refused", "command done"), zip(*rounds)):
            print(f"\n    {name}: {revocation.percentiles(values)}", end="")
    assert max(refused for _, refused, _ in rounds) <= 1 * harness.SLOW
    event = node.webs[0].wait_event("connection_cut", reason="cert_revoked")
    assert event["peer_id"] == CLIENT and "keyCompromise" in event["detail"]
    assert node.webs[0].wait_event("handshake_failed", reason="cert_revoked")["presented"] == CLIENT
    # Kept: the others', and whoever knocks just then.
    assert 250 <= int(node.webs[0].wait_event("connections_cut")["kept"]) <= 252
    node.mine.open()
    node.others.check()


def serial(node, identity):
    listed = node.site.run("spindle-agent", "svids", "list", "--admin", node.agent.admin, "--output", "json")
    return next(row["serial"] for row in listed.json()["svids"] if row["spiffe_id"] == identity)


def test_revoking_one_serial_cuts_its_connections_and_the_next_certificate_is_welcome(site):
    node = revocation.Node(site, 10, 10).open()
    node.mine.open()
    old = node.stolen()
    before = len(node.client.events("identity_rotated"))
    node.finish(node.command(f"serial:{serial(node, CLIENT)}"))
    node.mine.wait_all_ended()
    assert not node.admits(old)
    node.client.wait_event("identity_rotated", count=before + 1)
    node.mine.open().check()
    assert node.others.look(0) == 0 and node.others.check()


def test_with_policy_off_nobody_is_cut_before_a_reload_says_soft(site):
    node = revocation.Node(site, 6, 6, revocation={"policy": "off"}).open()
    node.mine.open()
    old = node.stolen()
    node.finish(node.command(CLIENT))
    node.webs[0].wait_event("revocation_cache_changed")
    assert node.admits(old) and node.mine.look(0) == 0
    node.mine.check()
    for side in [node.client, *node.webs]:
        site.write(f"{side.name}.yaml", yaml.safe_dump({**side.config, "revocation": {"policy": "soft"}}))
    node.mine.wait_all_ended()
    harness.wait_until(lambda: not node.admits(old), "both refuse it")
    assert node.others.look(0) == 0 and node.others.check()


def test_what_was_revoked_stays_so_while_the_agent_is_away_and_nobody_else_is_cut(site):
    node = revocation.Node(site, 4, 4).open()
    node.mine.open()
    old = node.stolen()
    node.finish(node.command(CLIENT))
    node.mine.wait_all_ended()
    node.agent.kill()
    for web in node.webs:
        harness.wait_until(lambda w=web: w.metrics().total("spindle_sidecar_share_connected") == 0, "it knows")
    assert not node.admits(old)
    assert node.others.look(0) == 0 and node.others.check()


def test_the_hard_policy_admits_whom_the_agent_vouches_for(site):
    node = revocation.Node(site, 4, 4, revocation={"policy": "hard"}).open()
    node.mine.open()
    assert node.webs[0].metrics().total("spindle_sidecar_revocation_unknown_total") == 0
    assert node.webs[0].metrics().total("spindle_sidecar_revocation_alive_timestamp_seconds") > 0
    node.revoke()


def test_the_hard_policy_admits_nobody_where_nothing_is_known(site):
    """Another vendor's agent: the soft policy admits, and counts."""
    s = Scene(site)
    FakeAgent(site, response([svid(s.leaf[ME], ME)]))
    s.changes = {"revocation": {"policy": "soft"}}
    s.start(identity={})
    s.client(A)
    assert s.sidecar.wait_metric("spindle_sidecar_revocation_unknown_total", direction="inbound") == 1
    s.reload(revocation={"policy": "hard"})
    assert talk(s.sidecar.inbound(), context("client", s.leaf[B])) == b""
    event = s.sidecar.wait_event("handshake_failed", reason="revocation_unknown")
    assert "there is no revocation cache" in event["detail"]
    status, why = s.sidecar.ready()
    assert status != 200 and "revocation" in str(why)


def test_a_sidecar_that_starts_admits_nobody_before_it_has_asked_what_is_revoked(site):
    """The agent is there and says nothing: who comes waits, until it says something or has gone."""
    s = Scene(site, timeouts={"connect": "1m", "handshake": "1m"})
    FakeAgent(site, response([svid(s.leaf[ME], ME)]))
    path = str(site.path("share.sock"))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
            silent.bind(path)
            silent.listen()
            s.sidecar = site.sidecar(identity={}, wait=False, **s.routes, **s.changes)
            s.sidecar.wait_event("newcomers_held", reason="timeout")
            comes = pool.submit(s.client, A)
            s.sidecar.wait_metric("spindle_sidecar_connections_waiting", direction="inbound")
            assert not comes.done()
        os.unlink(path)
        s.sidecar.wait_event("newcomers_go_on")
        comes.result(harness.DEADLINE).check()


def test_a_peer_whose_certificate_lives_longer_than_any_of_the_agents_is_refused(site):
    """S3.3: the agent tells how long its certificates live at most."""
    uid = f"unix:uid:{os.getuid()}"

    def entries(ttl):
        return [{"spiffe_id": i, "selectors": [uid], "x509_ttl": ttl if i == CLIENT else "1h"}
                for i in [CLIENT, revocation.OTHER, *WEBS]]

    node = revocation.Node(site, 2, 2, entries=entries("2h")).open()
    old = node.stolen()
    assert node.admits(old)
    node.agent.stop()
    node.agent = site.agent(entries=entries("1h"), name="agent-again")
    for web in node.webs:
        web.wait_event("longest_life_told", seconds="3610")
    assert not node.admits(old)
    event = node.webs[0].wait_event("handshake_failed", reason="lifetime_too_long")
    assert event["presented"] == CLIENT and "7210 s, at most 3610 s" in event["detail"]
    node.others.check()
    harness.wait_until(lambda: node.admits(node.stolen()), "the client's next certificate is welcome")

"""The sidecar's identity from a Workload API: which one it takes, whom it trusts by it, what it does
when the agent takes something away."""
import socket
import ssl
import time

import pytest

import harness
import workload
from fake_agent import FakeAgent, der, response, svid
from test_hostile_peers import SECRET, Sink, context, talk, text

WEB = "spiffe://example.org/web"
ME = "spiffe://example.org/me"
PARTNER = "spiffe://partner.test/web"
ALL = ["spiffe://example.org/*", "spiffe://partner.test/*"]


class Domains:
    """Two trust domains; a sidecar of the first with a route each way, fed by a fake agent."""

    def __init__(self, site):
        self.site = site
        self.ours, self.partner = site.ca(), site.ca("partner", "partner.test")
        self.me = self.ours.leaf(ME)
        self.app, self.servers = Sink(site), []

    def state(self, federated=None):
        bundles = {"spiffe://partner.test": der(self.partner.bundle)} if federated is None else federated
        return response([svid(self.me, ME)], bundles)

    def start(self, state=None, servers=(), **identity):
        self.agent = FakeAgent(self.site, state or self.state())
        self.servers = [Sink(self.site, context("server", leaf)) for leaf in servers]
        self.sidecar = self.site.sidecar(
            identity=identity,
            inbound=[{"listen": "127.0.0.1:0", "forward": text(self.app.address), "allow": ALL}],
            outbound=[{"listen": "127.0.0.1:0", "forward": text(s.address), "expect": ALL}
                      for s in self.servers])
        return self

    def asks(self, leaf):
        """What a client with this certificate gets from our inbound side."""
        return talk(self.sidecar.inbound(), context("client", leaf))

    def calls(self, index):
        return talk(self.sidecar.outbound(index))


def test_a_peer_is_judged_by_the_bundle_of_its_own_trust_domain_only(site):
    """X5-15, X5-16, FD-13: both bundles are loaded, and a certificate for one domain by the other's
    authority is worth nothing, in both directions; each domain's own is served."""
    d = Domains(site)
    good = [d.ours.leaf(WEB), d.partner.leaf(PARTNER)]
    third = site.ca("third", "third.test")
    bad = [d.partner.leaf(WEB), d.ours.leaf(PARTNER), third.leaf("spiffe://third.test/x")]
    d.start(servers=[*good, *bad])
    assert [d.asks(leaf) for leaf in good + bad] == [SECRET, SECRET, b"", b"", b""]
    assert [d.calls(i) for i in range(5)] == [SECRET, SECRET, b"", b"", b""]
    for side in ("client", "server"):
        for reason, count in (("chain_foreign_root", 2), ("trust_domain_unknown", 1)):
            d.sidecar.wait_metric("spindle_sidecar_tls_handshake_failures_total", count,
                                  side=side, reason=reason)
    assert not any(s.got for s in d.servers[2:])


def test_a_bundle_that_the_agent_leaves_out_is_dropped(site):
    """WA-4: redacted, whether the key is gone or its value empty."""
    d = Domains(site).start()
    client = d.partner.leaf(PARTNER)
    assert d.asks(client) == SECRET
    for count, without in enumerate([{}, {"spiffe://partner.test": b""}], 1):
        d.agent.send(d.state(without))
        harness.wait_until(lambda: d.asks(client) == b"", "the partner is refused")
        d.sidecar.wait_event("handshake_failed", reason="trust_domain_unknown")
        d.agent.send(d.state())
        harness.wait_until(lambda: d.asks(client) == SECRET, "the partner is served again")
    assert d.agent.calls == 1, "one stream for all of it"


def test_an_anchor_need_not_be_self_signed(site):
    """X5-19: the bundle holds an intermediate and no root."""
    d = Domains(site)
    sub = d.partner.intermediate()
    d.start(d.state({"spiffe://partner.test": der(sub.certificate)}))
    assert d.asks(sub.leaf(PARTNER)) == SECRET
    assert d.asks(sub.leaf(PARTNER, chain=False)) == SECRET
    assert d.asks(d.partner.leaf(PARTNER)) == b"", "a sister of the anchor, below the root"


def test_a_root_of_no_use_is_told_and_the_others_stand(site):
    """A key of a kind that we do not know, in our own bundle and as all of a partner's: our peers are
    served, the partner's are not, and each root is told and counted once."""
    d = Domains(site)
    odd = site.ca("odd", "odd.test", key="secp256k1")
    ours = der(odd.bundle) + der(d.ours.bundle)
    d.start(response([svid(d.me, ME, bundle=ours)], {"spiffe://partner.test": der(odd.bundle)}))
    assert d.asks(d.ours.leaf(WEB)) == SECRET
    assert d.asks(d.partner.leaf(PARTNER)) == b""
    told = [d.sidecar.wait_event("root_skipped", trust_domain=t) for t in ("example.org", "partner.test")]
    assert "root 1 of 2" in told[0]["cause"] and "curve" in told[0]["cause"], told
    assert told[0]["next"] == "1 of 2 roots of the bundle are in use", told
    assert d.sidecar.metrics().total("spindle_sidecar_bundle_roots_skipped_total") == 2
    d.agent.send(response([svid(d.me, ME, bundle=der(odd.bundle))]))
    problem = d.sidecar.wait_event("identity_problem")
    assert problem["reason"] == "cert_algorithm" and "keeping" in problem["next"], problem
    assert d.asks(d.ours.leaf(WEB)) == SECRET, "with the bundle that it had"


def test_odd_names_and_policies_are_served(site):
    """Two attributes in one RDN of root, issuer and leaf, a policy that is a UUID, as our own and as a
    peer's: OpenSSL speaks to us both ways."""
    policy = "certificatePolicies=2.25.329800735698586629295641978511506172918"
    root = site.ca("two", subject="/O=Test+CN=root")
    sub = root.intermediate(subject="/O=Test+CN=sub", extra=[policy])
    me, web = (sub.leaf(uri, subject="/O=Test+CN=leaf", extra=[policy]) for uri in (ME, WEB))
    for path in (root.certificate, sub.certificate, me.certificate):
        shown = harness.certs.openssl("x509", "-noout", "-subject", "-in", path)
        assert " + O = Test" in shown, shown
    app, server = Sink(site), Sink(site, context("server", web))
    sidecar = site.sidecar(
        identity={"files": me.files()},
        inbound=[{"listen": "127.0.0.1:0", "forward": text(app.address), "allow": ALL}],
        outbound=[{"listen": "127.0.0.1:0", "forward": text(server.address), "expect": ALL}])
    assert talk(sidecar.inbound(), context("client", web)) == SECRET
    assert talk(sidecar.outbound(0)) == SECRET


def presented(address):
    """The SPIFFE ID of whoever serves there, by its certificate."""
    made = context("client")
    with made.wrap_socket(socket.create_connection(address, timeout=10)) as conn:
        pem = ssl.DER_cert_to_PEM_cert(conn.getpeercert(True))
    shown = harness.certs.openssl("x509", "-noout", "-ext", "subjectAltName", stdin=pem)
    return shown.split("URI:")[1].split()[0].rstrip(",")


@pytest.mark.parametrize("identity, expected", [
    ({}, ME), ({"hint": "second"}, WEB), ({"spiffe_id": WEB}, WEB)])
def test_the_identity_is_picked_by_hint_or_id_else_the_first(site, identity, expected):
    """AG-27, WA-13"""
    d = Domains(site)
    d.start(response([svid(d.me, ME), svid(d.ours.leaf(WEB), WEB, "second")]), **identity)
    assert presented(d.sidecar.inbound()) == expected


def connected(d, leaf):
    return context("client", leaf).wrap_socket(socket.create_connection(d.sidecar.inbound(), timeout=10))


def test_a_new_certificate_is_used_by_new_handshakes_while_old_connections_live(site):
    """AG-26: on the one stream that it keeps."""
    d = Domains(site).start()
    client = d.ours.leaf(WEB)
    with connected(d, client) as conn:
        conn.sendall(SECRET)
        assert conn.recv(100) == SECRET
        before = conn.getpeercert(True)
        d.me = d.ours.leaf(ME)
        d.agent.send(d.state())
        d.sidecar.wait_event("identity_rotated")
        conn.sendall(b"still here")
        assert conn.recv(100) == b"still here"
        with connected(d, client) as later:
            assert later.getpeercert(True) == der(d.me.certificate) != before
    assert d.agent.calls == 1


def test_permission_denied_takes_the_identity_away(site):
    """AG-26, EP-8: asked again, and good again when the agent relents."""
    d = Domains(site).start()
    d.agent.send((workload.PERMISSION_DENIED, "no identity issued"))
    d.sidecar.wait_event("identity_lost")
    harness.wait_until(lambda: d.sidecar.ready()[0] != 200, "not ready")
    d.agent.send(d.state())
    d.sidecar.wait_ready()
    assert d.asks(d.ours.leaf(WEB)) == SECRET


def test_an_agent_that_is_away_costs_nothing_until_the_certificate_expires(site):
    """AG-26, EP-8: Unavailable, again and again."""
    d = Domains(site)
    d.me = d.ours.leaf(ME, not_after=3 + 2 * harness.SLOW)
    d.start()
    client = d.ours.leaf(WEB)
    d.agent.send((workload.UNAVAILABLE, "starting"))
    d.sidecar.wait_event("identity_problem")
    assert d.asks(client) == SECRET and d.sidecar.ready()[0] == 200
    d.sidecar.wait_event("identity_lost", reason="cert_expired")
    assert d.agent.calls >= 3
    d.me = d.ours.leaf(ME)
    d.agent.send(d.state())
    d.sidecar.send_signal(harness.signal.SIGHUP)  # asks at once
    d.sidecar.wait_ready()
    assert d.asks(client) == SECRET


@pytest.mark.parametrize("code", [workload.INVALID_ARGUMENT, workload.UNIMPLEMENTED])
def test_a_final_code_is_not_asked_about_again(site, code):
    """EP-8"""
    d = Domains(site)
    agent = FakeAgent(site, (code, "no"))
    sidecar = site.sidecar(wait=False, inbound=[
        {"listen": "127.0.0.1:0", "forward": text(d.app.address), "allow": ALL}])
    problem = sidecar.wait_event("identity_problem")
    assert "not asked again" in problem["next"]
    time.sleep(1.5)  # several first waits of the backoff
    assert agent.calls == 1
    assert sidecar.running and sidecar.ready()[0] != 200


def test_a_message_without_a_required_field_is_reported_and_discarded(site):
    """WA-5: what was there stays."""
    d = Domains(site).start()
    d.agent.send(response([svid(d.me, ME, bundle=b"")]))
    problem = d.sidecar.wait_event("identity_problem")
    assert "bundle is empty" in problem["cause"] and "discarded" in problem["next"]
    d.agent.send(response([]))
    d.sidecar.wait_event("identity_problem", count=2)
    assert d.asks(d.ours.leaf(WEB)) == SECRET


@pytest.mark.parametrize("tcp", [False, True])
def test_the_environment_leads_to_the_agent(site, tcp):
    """EP-1, EP-4: by a Unix socket or by an address, when the configuration names none."""
    d = Domains(site)
    agent = FakeAgent(site, d.state(), tcp)
    d.sidecar = site.sidecar(
        identity={"workload_api": None}, env={"SPIFFE_ENDPOINT_SOCKET": agent.endpoint},
        inbound=[{"listen": "127.0.0.1:0", "forward": text(d.app.address), "allow": ALL}])
    assert d.asks(d.ours.leaf(WEB)) == SECRET and agent.calls == 1

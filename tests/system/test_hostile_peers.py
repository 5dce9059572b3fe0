"""Every kind of wrong peer, in both directions: refused with its own reason in log and metric, told
nothing but an alert, not one byte of the app's sent, and the next good peer served."""
import contextlib
import socket
import ssl
import threading

import pytest

from certs import Authority

WEB = "spiffe://example.org/web"        # who the peer must be, in each test
ME = "spiffe://example.org/me"          # the sidecar under test
SECRET = b"the app's bytes"


def flip_last_byte(leaf):
    """The same certificate with its signature broken."""
    pem = leaf.certificate.read_text()
    der = bytearray(ssl.PEM_cert_to_DER_cert(pem))
    der[-1] ^= 1
    leaf.certificate.write_text(ssl.DER_cert_to_PEM_cert(bytes(der)))
    return leaf


def long_chain(ca):
    ca = ca.intermediate()
    for depth in range(8):
        ca = ca.intermediate(f"i{depth}")  # short: their folders lie in each other
    return ca.leaf(WEB)


# Reason in metric and log, what the certificate is, how it is made from our authority and a foreign one.
BAD_CERTIFICATES = [
    ("chain_incomplete", "right ID signed by another domain's root", lambda ours, other: other.leaf(WEB)),
    ("cert_signature", "impostor root of our root's name",
     lambda ours, other: ours.impostor.leaf(WEB)),
    ("cert_expired", "expired", lambda ours, other: ours.leaf(WEB, not_before=-3600, not_after=-10)),
    ("cert_not_yet_valid", "not yet valid", lambda ours, other: ours.leaf(WEB, not_before=600, not_after=3600)),
    ("leaf_is_ca", "a CA certificate",
     lambda ours, other: ours.leaf(WEB, basic="CA:TRUE", key_usage="critical,digitalSignature,keyCertSign")),
    ("cert_key_usage", "no CA but may sign certificates (X5-12)",
     lambda ours, other: ours.leaf(WEB, key_usage="critical,digitalSignature,keyCertSign")),
    ("leaf_uri_count", "two URI names", lambda ours, other: ours.leaf(WEB, "spiffe://example.org/other")),
    ("leaf_uri_count", "a second URI of another scheme", lambda ours, other: ours.leaf(WEB, "https://example.org/web")),
    ("leaf_no_uri", "no URI name", lambda ours, other: ours.leaf(dns=["example.org"])),
    ("peer_not_allowed", "right DNS name, wrong ID (X5-20)",
     lambda ours, other: ours.leaf("spiffe://example.org/other", dns=["web.example.org"])),
    ("peer_not_allowed", "ID with a suffix", lambda ours, other: ours.leaf(WEB + "2")),
    ("peer_not_allowed", "ID with one segment more", lambda ours, other: ours.leaf(WEB + "/x")),
    ("peer_not_allowed", "ID in other case (ID-5)", lambda ours, other: ours.leaf("spiffe://example.org/Web")),
    ("leaf_id_invalid", "ID with a trailing slash", lambda ours, other: ours.leaf(WEB + "/")),
    ("leaf_id_invalid", "ID with an escape", lambda ours, other: ours.leaf("spiffe://example.org/%77eb")),
    ("leaf_id_invalid", "ID with a port", lambda ours, other: ours.leaf("spiffe://example.org:443/web")),
    ("leaf_id_invalid", "trust domain in upper case (ID-3)", lambda ours, other: ours.leaf("spiffe://Example.org/web")),
    ("leaf_id_root_path", "ID of the trust domain itself (X5-14)", lambda ours, other: ours.leaf("spiffe://example.org")),
    ("trust_domain_unknown", "a domain we have no bundle for (X5-16)",
     lambda ours, other: other.leaf("spiffe://other.test/web")),
    ("cert_unknown_critical", "unknown critical extension",
     lambda ours, other: ours.leaf(WEB, extra=["1.2.3.4=critical,DER:0500"])),
    ("chain_issuer_not_ca", "issuer that is no CA",
     lambda ours, other: ours.intermediate(basic="CA:FALSE").leaf(WEB)),
    ("chain_issuer_not_ca", "issuer that may not sign certificates",
     lambda ours, other: ours.intermediate(key_usage="digitalSignature,cRLSign").leaf(WEB)),
    ("chain_too_long", "too long a chain", lambda ours, other: long_chain(ours)),
    ("chain_path_length", "an authority below one that allows none",
     lambda ours, other: ours.intermediate(path_len=0).intermediate().leaf(WEB)),
    ("cert_name_constraints", "name constraints that exclude it (X5-10)",
     lambda ours, other: ours.intermediate(name_constraints="permitted;URI:other.test").leaf(WEB)),
    ("chain_incomplete", "a missing intermediate", lambda ours, other: ours.intermediate().leaf(WEB, chain=False)),
    ("cert_signature", "a broken signature", lambda ours, other: flip_last_byte(ours.leaf(WEB))),
    ("cert_key_usage", "no digitalSignature (X5-18)",
     lambda ours, other: ours.leaf(WEB, key_usage="critical,keyAgreement")),
    ("cert_ext_key_usage", "extended key usage of neither role",
     lambda ours, other: ours.leaf(WEB, eku="codeSigning")),
]
IDS = [what for _, what, _ in BAD_CERTIFICATES]


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """Our authority, made once: most of the time here is openssl's. With an impostor of its name, and
    two good leaves, .me and .web."""
    made = Authority(tmp_path_factory.mktemp("ours"), "ca", "example.org")
    made.impostor = Authority(tmp_path_factory.mktemp("impostor"), "impostor", "example.org", subject=made.subject)
    made.me, made.web = made.leaf(ME), made.leaf(WEB)
    return made


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other"), "other", "other.test")


def context(side, leaf=None):
    """A TLS 1.3 end that accepts any peer, so that only our side judges."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if side == "server" else ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    if leaf:
        made.load_cert_chain(leaf.certificate, leaf.key)
    return made


class Sink:
    """A server that keeps what it got."""

    def __init__(self, site, tls=None):
        self.tls, self.got, self.seen = tls, bytearray(), threading.Event()
        self.address = site.tcp_server(self.serve)

    def serve(self, conn):
        try:
            if self.tls:
                conn = self.tls.wrap_socket(conn, server_side=True)
            while data := conn.recv(65536):
                self.got += data
                conn.sendall(data)
        except OSError:
            pass
        finally:
            self.seen.set()


def talk(address, tls=None):
    """Sends the secret; what came back, b"" for a refusal of any kind."""
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=10) as raw:
        conn = tls.wrap_socket(raw) if tls else raw
        conn.sendall(SECRET)
        return conn.recv(65536)
    return b""


def text(address):
    return f"{address[0]}:{address[1]}"


def inbound_sidecar(site, me, app):
    return site.sidecar(identity={"files": me.files()}, inbound=[
        {"listen": "127.0.0.1:0", "forward": text(app.address), "allow": [WEB]}])


def outbound_sidecar(site, me, servers):
    return site.sidecar(identity={"files": me.files()}, outbound=[
        {"listen": "127.0.0.1:0", "forward": text(s.address), "expect": [WEB]} for s in servers])


def assert_refused(sidecar, side, reason):
    sidecar.wait_metric("spindle_sidecar_tls_handshake_failures_total", side=side, reason=reason)
    event = sidecar.wait_event("handshake_failed", reason=reason)
    assert event["expected"] == WEB and event["clock"], event
    return event


@pytest.mark.parametrize("reason,what,make", BAD_CERTIFICATES, ids=IDS)
def test_a_bad_client_is_refused(site, ours, other, reason, what, make):
    app = Sink(site)
    sidecar = inbound_sidecar(site, ours.me, app)
    assert talk(sidecar.inbound(), context("client", make(ours, other))) == b""
    assert_refused(sidecar, "server", reason)
    assert not app.seen.is_set() and not app.got
    assert talk(sidecar.inbound(), context("client", ours.web)) == SECRET


@pytest.mark.parametrize("reason,what,make", BAD_CERTIFICATES, ids=IDS)
def test_a_bad_server_is_refused(site, ours, other, reason, what, make):
    bad = Sink(site, context("server", make(ours, other)))
    good = Sink(site, context("server", ours.web))
    sidecar = outbound_sidecar(site, ours.me, [bad, good])
    assert talk(sidecar.outbound(0)) == b""
    assert_refused(sidecar, "client", reason)
    assert bad.seen.wait(10) and not bad.got
    assert talk(sidecar.outbound(1)) == SECRET


def plain_http(address):
    with socket.create_connection(address, timeout=10) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return raw.recv(65536)


def tls12():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    return made


@pytest.mark.parametrize("reason,attempt", [
    ("peer_no_cert", lambda at: talk(at, context("client"))),
    ("tls_version", lambda at: talk(at, tls12())),
    ("tls_not_tls", plain_http),
])
def test_a_client_without_the_right_protocol_is_refused(site, ours, reason, attempt):
    app = Sink(site)
    sidecar = inbound_sidecar(site, ours.me, app)
    assert attempt(sidecar.inbound()) == b""
    assert_refused(sidecar, "server", reason)
    assert not app.seen.is_set()
    assert talk(sidecar.inbound(), context("client", ours.web)) == SECRET


def test_a_server_that_speaks_plain_http_is_refused(site, ours):
    site_server = site.tcp_server(lambda conn: conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    plain = Sink(site)
    plain.address = site_server
    sidecar = outbound_sidecar(site, ours.me, [plain])
    assert talk(sidecar.outbound()) == b""
    assert_refused(sidecar, "client", "tls_not_tls")


def test_a_server_of_tls_1_2_is_refused(site, ours):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.load_cert_chain(ours.web.certificate, ours.web.key)
    server = Sink(site, old)
    sidecar = outbound_sidecar(site, ours.me, [server])
    assert talk(sidecar.outbound()) == b""
    assert_refused(sidecar, "client", "tls_version")
    assert not server.got


def test_the_peer_sees_an_alert_and_no_reason(site, ours, other):
    sidecar = inbound_sidecar(site, ours.me, Sink(site))
    with socket.create_connection(sidecar.inbound(), timeout=10) as raw:
        conn = context("client", other.leaf(WEB)).wrap_socket(raw)
        with pytest.raises(ssl.SSLError, match="alert"):
            while conn.recv(1):
                pass


def test_a_client_that_refuses_our_certificate_is_no_breaker_of_the_protocol(site):
    """OpenSSL says so in an alert before it encrypts."""
    ours, theirs = site.ca("ours"), site.ca("theirs")
    web = site.sidecar(identity={"files": ours.leaf(ME).files()}, inbound=[
        {"listen": "127.0.0.1:0", "forward": "127.0.0.1:1", "allow": [WEB]}])
    strict = context("client", ours.leaf(WEB))
    strict.load_verify_locations(theirs.bundle)
    strict.verify_mode = ssl.CERT_REQUIRED
    with socket.create_connection(web.inbound(), timeout=20) as sock:
        with pytest.raises(ssl.SSLError):
            strict.wrap_socket(sock)
    event = web.wait_event("handshake_failed")
    assert event["reason"] == "tls_alert" and "unknown_ca" in event["detail"], event

"""openssl s_client against our inbound: what it must refuse, and that the next good peer is served."""
import socket
import subprocess

import pytest

import harness

CLIENT, SERVER = "spiffe://example.org/client", "spiffe://example.org/server"


class Inbound:
    """An inbound sidecar on certificates from files; remembers all bytes its app got."""

    def __init__(self, site):
        self.site, self.openssl = site, harness.has_program("openssl")
        self.ca = site.ca()
        self.seen = bytearray()
        app = site.tcp_server(self.serve)
        self.sidecar = site.sidecar(
            identity={"files": self.ca.leaf(SERVER).files()},
            inbound=[{"listen": "127.0.0.1:0", "forward": f"127.0.0.1:{app[1]}", "allow": [CLIENT]}])
        self.client = self.ca.leaf(CLIENT)

    def serve(self, connection):
        line = connection.makefile("rb").readline()
        self.seen += line
        connection.sendall(line)

    def s_client(self, *options):
        """(exit code, all output) of a client that sends one line and reads to the end."""
        host, port = self.sidecar.inbound()
        argv = [self.openssl, "s_client", "-connect", f"{host}:{port}", "-ign_eof", *map(str, options)]
        done = subprocess.run(argv, input="hello\n", capture_output=True, text=True, check=False,
                              timeout=harness.DEADLINE, cwd=self.site.dir)
        return done.returncode, done.stdout + done.stderr

    def identity(self, leaf):
        return ["-cert", leaf.certificate, "-key", leaf.key, "-CAfile", self.ca.bundle]

    def check_refused(self, reason, *options):
        """Refused with this reason in log and counter, the app untouched, the next good peer served."""
        code, text = self.s_client(*options)
        assert "alert" in text, text
        event = self.sidecar.wait_event("handshake_failed", reason=reason)
        assert event["direction"] == "inbound"
        self.sidecar.wait_metric("spindle_sidecar_tls_handshake_failures_total",
                                 side="server", reason=reason)
        assert self.seen == b"", (code, text)
        self.check_served()
        return event

    def check_served(self):
        code, text = self.s_client("-tls1_3", "-verify_return_error", *self.identity(self.client))
        assert code == 0 and text.count("hello") >= 1 and self.seen == b"hello\n", text


@pytest.fixture
def inbound(site):
    return Inbound(site)


def test_a_good_client_is_served(inbound):
    inbound.check_served()


def test_tls_1_2_is_refused(inbound):
    inbound.check_refused("tls_version", "-tls1_2", *inbound.identity(inbound.client))


def test_a_client_without_a_certificate_is_refused(inbound):
    inbound.check_refused("peer_no_cert", "-tls1_3", "-CAfile", inbound.ca.bundle)


def test_a_client_of_another_authority_is_refused(site, inbound):
    stranger = site.ca("stranger").leaf(CLIENT)
    event = inbound.check_refused("chain_incomplete", "-tls1_3", *inbound.identity(stranger))
    assert event["presented"] == CLIENT


def test_a_client_of_another_trust_domain_is_refused(site, inbound):
    stranger = site.ca("partner", trust_domain="partner.test").leaf("spiffe://partner.test/client")
    inbound.check_refused("trust_domain_unknown", "-tls1_3", *inbound.identity(stranger))


def test_a_client_that_is_not_on_the_list_is_refused(inbound):
    other = inbound.ca.leaf("spiffe://example.org/clients")
    event = inbound.check_refused("peer_not_allowed", "-tls1_3", *inbound.identity(other))
    assert (event["presented"], event["expected"]) == ("spiffe://example.org/clients", CLIENT)


def test_an_expired_client_is_refused(inbound):
    old = inbound.ca.leaf(CLIENT, not_before=-3600, not_after=-60)
    inbound.check_refused("cert_expired", "-tls1_3", *inbound.identity(old))


def test_plain_http_is_refused(inbound):
    with socket.create_connection(inbound.sidecar.inbound(), timeout=harness.DEADLINE) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in plain.makefile("rb").read()
    inbound.sidecar.wait_event("handshake_failed", reason="tls_not_tls")
    assert inbound.seen == b""
    inbound.check_served()

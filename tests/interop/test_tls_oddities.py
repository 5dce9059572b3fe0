"""Odd and valid TLS, and TLS that is neither, between our sidecar and the peers that others have: the
openssl command and Go's crypto/tls, whose records gotls splits and pads as it is told, encrypted
ones too. Hellos byte by byte are in tests/common/tls/test_tls_hello.c."""
import os
import pathlib
import re
import socket
import subprocess
import threading

import pytest

import harness

CLIENT, SERVER = "spiffe://example.org/client", "spiffe://example.org/server"
SOURCE = pathlib.Path(__file__).parent / "gotls"
GO_MIN = (1, 25)


@pytest.fixture(scope="session")
def gotls(tmp_path_factory):
    """The path of the built Go program."""
    go = harness.has_program("go")
    env = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}
    words = subprocess.run([go, "env", "GOVERSION"], cwd="/", env=env, capture_output=True,
                           text=True, check=True).stdout
    if tuple(map(int, re.match(r"go(\d+)\.(\d+)", words).groups())) < GO_MIN:
        harness.give_up(f"Go {words.strip()} is too old, {GO_MIN[0]}.{GO_MIN[1]} is needed")
    program = tmp_path_factory.mktemp("go") / "gotls"
    built = subprocess.run([go, "build", "-o", program, "."], cwd=SOURCE, env=env,
                           capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return program


def one_line(connection):
    """An app that sends one line back and closes."""
    connection.sendall(connection.makefile("rb").readline())


class Inbound:
    """A sidecar in front of an app that echoes, and a client's identity that it admits."""

    def __init__(self, site, **leaf):
        self.site, self.openssl = site, harness.has_program("openssl")
        self.ca = site.ca()
        app = site.tcp_server(one_line)
        self.sidecar = site.sidecar(
            identity={"files": self.ca.leaf(SERVER).files()},
            inbound=[{"listen": "127.0.0.1:0", "forward": f"127.0.0.1:{app[1]}", "allow": [CLIENT]}])
        self.client = self.ca.leaf(CLIENT, **leaf)

    def s_client(self, *options, address=None):
        """All that a client of openssl prints, which sends one line and reads to the end."""
        host, port = address or self.sidecar.inbound()
        argv = [self.openssl, "s_client", "-connect", f"{host}:{port}", "-ign_eof", "-cert",
                self.client.certificate, "-key", self.client.key, "-CAfile", self.ca.bundle,
                *map(str, options)]
        done = subprocess.run(argv, input="hello\n", capture_output=True, text=True, check=False,
                              timeout=harness.DEADLINE, cwd=self.site.dir)
        return done.stdout + done.stderr

    def check_served(self, *options, address=None):
        text = self.s_client(*options, address=address)
        assert re.search(r"^hello$", text, re.MULTILINE), text

    def check_refused(self, alert, reason, *options, address=None):
        text = self.s_client(*options, address=address)
        assert f"alert {alert}" in text.replace("SSL alert", "alert"), text
        self.sidecar.wait_event("handshake_failed", reason=reason)
        self.check_served()


@pytest.fixture
def inbound(site):
    return Inbound(site)


VALID = {
    "p256-alone": ["-groups", "P-256"],
    "x25519-alone": ["-groups", "X25519"],
    "p256-asked-for-by-retry": ["-groups", "P-384:P-521:P-256"],
    "chacha-alone": ["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
    "aes256-alone": ["-ciphersuites", "TLS_AES_256_GCM_SHA384"],
    "small-records": ["-max_send_frag", "512", "-split_send_frag", "512"],
    "names": ["-servername", "a" * 200 + ".example.org"],
    "alpn": ["-alpn", "h2,http/1.1,whatever"],
    "no-middlebox-mode": ["-no_middlebox"],
    "status-request": ["-status"],
    "post-handshake-auth": ["-enable_pha"],
    "max-fragment": ["-maxfraglen", "512"],
    "tls-1.2-too": ["-min_protocol", "TLSv1.2"],
}


@pytest.mark.parametrize("options", VALID.values(), ids=VALID.keys())
def test_a_client_of_openssl_is_served(inbound, options):
    inbound.check_served(*options)


def test_a_client_without_a_group_of_ours_is_told_so(inbound):
    inbound.check_refused("handshake failure", "tls_no_common", "-groups", "P-384:P-521")


def test_a_client_without_a_suite_of_ours_is_told_so(inbound):
    inbound.check_refused("handshake failure", "tls_no_common",
                          "-ciphersuites", "TLS_AES_128_CCM_SHA256")


def test_a_client_that_takes_no_signature_of_our_key_is_told_so(inbound):
    inbound.check_refused("handshake failure", "tls_no_common", "-sigalgs", "RSA-PSS+SHA256")


class Rewriter:
    """Between a client and `target`: puts the client's plaintext handshake records into records of
    `size` bytes, all in one write, and passes on the rest as it comes."""

    def __init__(self, site, target, size):
        self.target, self.size = target, size
        self.address = site.tcp_server(self.serve)

    def serve(self, client):
        with socket.create_connection(self.target, timeout=harness.DEADLINE) as server:
            back = threading.Thread(target=self.pump, args=(server, client), daemon=True)
            back.start()
            stream = client.makefile("rb")
            while True:
                head = stream.read(5)
                if len(head) < 5:
                    break
                body = stream.read(int.from_bytes(head[3:], "big"))
                size = self.size if head[0] == 22 else max(1, len(body))
                parts = [body[i:i + size] for i in range(0, len(body), size)]
                server.sendall(b"".join(head[:3] + len(p).to_bytes(2, "big") + p for p in parts))
            back.join(harness.DEADLINE)

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100])
def test_a_hello_of_openssl_in_tiny_records_is_taken(site, inbound, size):
    inbound.check_served(address=Rewriter(site, inbound.sidecar.inbound(), size).address)


def outbound(site, ca, forward):
    return site.sidecar("outbound", identity={"files": ca.leaf(CLIENT).files()}, outbound=[
        {"listen": "127.0.0.1:0", "forward": forward, "expect": [SERVER]}])


def echoed(address, line=b"hello\n"):
    """What comes back for a line; nothing when the connection is reset, be it while it is made."""
    try:
        with socket.create_connection(address, timeout=harness.DEADLINE) as connection:
            connection.sendall(line)
            return connection.makefile("rb").readline()
    except (ConnectionResetError, BrokenPipeError):
        return b""


SERVERS = {
    "p256-by-retry": ["-groups", "P-256"],
    "x25519-by-retry": ["-groups", "X25519"],
    "chacha": ["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
    "aes256": ["-ciphersuites", "TLS_AES_256_GCM_SHA384"],
    "many-tickets": ["-num_tickets", "20"],
    "small-records": ["-max_send_frag", "512"],
    "padding": ["-record_padding", "4096"],
}


def openssl_server(site, ca, *options):
    leaf = ca.leaf(SERVER)
    server = site.start("server", harness.has_program("openssl"), "s_server", "-accept", "127.0.0.1:0",
                        "-rev", "-cert", leaf.certificate, "-cert_chain", leaf.certificate, "-key",
                        leaf.key, "-CAfile", ca.bundle, "-Verify", "3", *options)
    return server.wait_log(r"ACCEPT (127\.0\.0\.1:\d+)")[1]


@pytest.mark.parametrize("options", SERVERS.values(), ids=SERVERS.keys())
def test_a_server_of_openssl_is_reached(site, options):
    ca = site.ca()
    sidecar = outbound(site, ca, openssl_server(site, ca, *options))
    assert echoed(sidecar.outbound()) == b"olleh\n"


def test_a_server_that_takes_no_signature_of_our_key_is_named_so(site):
    ca = site.ca()
    sidecar = outbound(site, ca, openssl_server(site, ca, "-client_sigalgs", "RSA-PSS+SHA256"))
    assert echoed(sidecar.outbound()) == b""
    sidecar.wait_event("handshake_failed", reason="tls_no_common")


SPLITS = [1, 2, 3, 4, 5, 37, 1000]


@pytest.mark.parametrize("size", SPLITS)
def test_a_go_client_with_records_of_that_many_bytes_is_served(site, inbound, gotls, size):
    host, port = inbound.sidecar.inbound()
    got = site.run(gotls, "call", "-cert", inbound.client.certificate, "-key", inbound.client.key,
                   "-size", size, "-pad", 7, f"{host}:{port}")
    assert got.code == 0 and got.json()["line"] == "hello\n", got


@pytest.mark.parametrize("groups", ["X25519MLKEM768", "X25519", "P-256", "P-521,P-256"])
def test_a_go_client_with_these_groups_is_served(site, inbound, gotls, groups):
    host, port = inbound.sidecar.inbound()
    got = site.run(gotls, "call", "-cert", inbound.client.certificate, "-key", inbound.client.key,
                   "-groups", groups, f"{host}:{port}")
    assert got.code == 0 and got.json()["line"] == "hello\n", got


def test_a_go_client_without_a_group_of_ours_is_told_so(site, inbound, gotls):
    host, port = inbound.sidecar.inbound()
    got = site.run(gotls, "call", "-cert", inbound.client.certificate, "-key", inbound.client.key,
                   "-groups", "P-384,P-521", f"{host}:{port}")
    assert got.code == 1 and "handshake failure" in got.json()["text"], got
    inbound.sidecar.wait_event("handshake_failed", reason="tls_no_common")


# A Go server sends its tickets behind the handshake: in pieces as well.
@pytest.mark.parametrize("size", SPLITS)
def test_a_go_server_with_records_of_that_many_bytes_is_reached(site, gotls, size):
    ca = site.ca()
    leaf = ca.leaf(SERVER)
    server = site.start("server", gotls, "serve", "-cert", leaf.certificate, "-key", leaf.key,
                        "-size", str(size), "-pad", "7")
    sidecar = outbound(site, ca, server.wait_event("listening")["address"])
    assert echoed(sidecar.outbound()) == b"hello\n"
    server.wait_event("served")

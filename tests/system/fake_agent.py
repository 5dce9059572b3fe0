"""A Workload API server that says what a test tells it to, for what our own agent does not say:
bundles of other trust domains, several identities at will, codes at any time.

    agent = FakeAgent(site, response([svid(leaf, ID)], {"spiffe://partner.test": other.bundle}))
    agent.send(response(...)); agent.end(workload.UNAVAILABLE)
"""
import base64
import contextlib
import re
import socket
import ssl
import struct
import threading

import workload

PREFACE = 24
HEADERS_OK = workload.header_block([(":status", "200"), ("content-type", "application/grpc")])


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, data):
    """A length-delimited field of a protobuf message."""
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def der(path):
    """What a file of certificates holds, concatenated DER."""
    blocks = re.findall(r"-----BEGIN CERT.*?-----END CERTIFICATE-----", path.read_text(), re.DOTALL)
    return b"".join(map(ssl.PEM_cert_to_DER_cert, blocks))


def key_der(path):
    return base64.b64decode("".join(path.read_text().splitlines()[1:-1]))


def svid(leaf, spiffe_id, hint="", bundle=None):
    """An X509SVID of a leaf of certs.py; bundle: DER instead of the leaf's own."""
    return (field(1, spiffe_id) + field(2, der(leaf.certificate)) + field(3, key_der(leaf.key)) +
            field(4, der(leaf.bundle) if bundle is None else bundle) + (field(5, hint) if hint else b""))


def response(svids, federated=()):
    """An X509SVIDResponse; federated: {ID of a trust domain: DER}."""
    entries = [field(1, name) + field(2, value) for name, value in dict(federated).items()]
    return b"".join(field(1, s) for s in svids) + b"".join(field(3, e) for e in entries)


class FakeAgent:
    """Serves `state` (a message, or (code, text)) to each call; streams stay open and get each later
    state. .calls counts the calls; .endpoint is for SPIFFE_ENDPOINT_SOCKET."""

    def __init__(self, site, state, tcp=False):
        self.path, self.state, self.calls = str(site.path("api.sock")), state, 0
        self.lock, self.streams = threading.Lock(), []
        self.socket = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
        self.socket.bind(("127.0.0.1", 0) if tcp else self.path)
        self.socket.listen()
        name = self.socket.getsockname()
        self.endpoint = f"tcp://{name[0]}:{name[1]}" if tcp else f"unix://{name}"
        site.closers.append(self.close)
        threading.Thread(target=self._accept, daemon=True).start()

    def send(self, state):
        """The new state, to all streams and to those that come."""
        with self.lock:
            self.state = state
            for conn, stream in self.streams:
                with contextlib.suppress(OSError):
                    conn.sendall(self._message(stream) if isinstance(state, bytes) else self._end(stream))
            if not isinstance(state, bytes):
                self.streams.clear()

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _message(self, stream):
        prefix = b"\0" + struct.pack(">I", len(self.state))
        return workload.frame(workload.DATA, 0, stream, prefix + self.state)

    def _end(self, stream):
        code, text = self.state
        trailers = workload.header_block([("grpc-status", str(code)), ("grpc-message", text)])
        return workload.frame(workload.HEADERS, workload.END_HEADERS | workload.END_STREAM, stream, trailers)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self.socket.accept()
                threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        with conn, contextlib.suppress(OSError, EOFError):
            file = conn.makefile("rb")
            file.read(PREFACE)
            conn.sendall(workload.frame(workload.SETTINGS, 0, 0))
            while head := file.read(9):
                payload = file.read(int.from_bytes(head[:3], "big"))
                self._handle(conn, head[3], head[4], int.from_bytes(head[5:], "big"), payload)

    def _handle(self, conn, kind, flags, stream, payload):
        if kind in (workload.SETTINGS, workload.PING) and not flags & workload.ACK:
            conn.sendall(workload.frame(kind, workload.ACK, 0, payload if kind == workload.PING else b""))
        elif kind == workload.HEADERS:
            with self.lock:
                self.calls += 1
                conn.sendall(workload.frame(workload.HEADERS, workload.END_HEADERS, stream, HEADERS_OK))
                if isinstance(self.state, bytes):
                    self.streams.append((conn, stream))
                    conn.sendall(self._message(stream))
                else:
                    conn.sendall(self._end(stream))

"""A bare client of the Workload API: gRPC over HTTP/2 frames by hand, so that tests can send what no
library would send, hold back flow control, and hand the socket to another process.

    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        svids = workload.svids(stream.next())
        stream.end() -> (code, message)
"""
import collections
import contextlib
import socket
import struct
import time
import urllib.parse

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
OK, CANCELLED, INVALID_ARGUMENT, PERMISSION_DENIED, UNIMPLEMENTED, UNAVAILABLE = 0, 1, 3, 7, 12, 14
HEADER = [("workload.spiffe.io", "true")]
STATIC_NAMES = {8: ":status", 31: "content-type"}  # of the HPACK table, those a gRPC server names


class Closed(Exception):
    """The connection ended."""


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header_block(pairs):
    """Literals without index and without Huffman: legal, and needs no table."""
    return b"".join(b"\0" + bytes([len(n)]) + n.encode() + bytes([len(v)]) + v.encode() for n, v in pairs)


def integer(data, at, bits):
    value = data[at] & (1 << bits) - 1
    at += 1
    if value < (1 << bits) - 1:
        return value, at
    shift = 0
    while True:
        byte = data[at]
        value += (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if not byte & 128:
            return value, at


def text(data, at):
    assert not data[at] & 128, "gRPC core does not use Huffman codes"
    length, at = integer(data, at, 7)
    return data[at:at + length].decode("latin-1"), at + length


def headers_of(data):
    """What a gRPC core server sends when told that the table has no room."""
    out, at = {}, 0
    while at < len(data):
        first = data[at]
        if first & 128:  # from the static table: ":status: 200" is all that matters
            index, at = integer(data, at, 7)
            out[":status"] = "200" if index == 8 else f"static {index}"
        elif first & 224 == 32:
            _size, at = integer(data, at, 5)
        else:
            index, at = integer(data, at, 6 if first & 64 else 4)
            name, at = (STATIC_NAMES.get(index, f"static {index}"), at) if index else text(data, at)
            out[name], at = text(data, at)
    return out


def fields(data):
    """The fields of a protobuf message: number -> list of bytes or int."""
    out, at = collections.defaultdict(list), 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                return value
    while at < len(data):
        key = varint()
        if key & 7 == 2:
            length = varint()
            out[key >> 3].append(data[at:at + length])
            at += length
        else:
            assert key & 7 == 0, f"wire type {key & 7}"
            out[key >> 3].append(varint())
    return out


class Svid:
    def __init__(self, data):
        f = fields(data)
        self.id = f[1][0].decode()
        self.chain, self.key, self.bundle = f[2][0], f[3][0], f[4][0]
        self.hint = f[5][0].decode() if f[5] else ""


def svids(message):
    return [Svid(s) for s in fields(message)[1]]


def bundles(message):
    """Of an X509BundlesResponse: ID of the trust domain -> DER."""
    pairs = [fields(b) for b in fields(message)[2]]
    return {p[1][0].decode(): p[2][0] for p in pairs}


class Stream:
    def __init__(self, connection, number):
        self.connection, self.number = connection, number
        self.data = b""
        self.ended = None
        self.headers = {}

    def _message(self):
        if len(self.data) < 5 or len(self.data) < 5 + struct.unpack(">I", self.data[1:5])[0]:
            return None
        end = 5 + struct.unpack(">I", self.data[1:5])[0]
        message, self.data = self.data[5:end], self.data[end:]
        return message

    def next(self, timeout=10):
        """The next message; None when the stream has ended. TimeoutError when nothing comes."""
        until = time.monotonic() + timeout
        while True:
            message = self._message()
            if message is not None or self.ended is not None:
                return message
            self.connection.pump(until)

    def end(self, timeout=10):
        """(gRPC code, message) once it has ended; messages before that are dropped."""
        until = time.monotonic() + timeout
        while self.ended is None:
            self.connection.pump(until)
        return self.ended

    def is_silent(self, seconds):
        try:
            self.next(seconds)
            return False
        except TimeoutError:
            return True

    def grant(self, size):
        self.connection.send(frame(WINDOW_UPDATE, 0, self.number, struct.pack(">I", size)))


class Connection:
    def __init__(self, path, window=1 << 20, refill=True):
        """window: what the server may send a stream unasked; refill: grant as it is used."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(path))
        self.refill, self.buffer, self.streams, self.last = refill, b"", {}, -1
        settings = struct.pack(">HIHI", 1, 0, 4, window)  # HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings) +
                  frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as e:
            raise Closed(str(e)) from e

    def call(self, method, headers=None, message=b""):
        """method: of the Workload API, or a whole path. headers: instead of the security header."""
        path = method if method.startswith("/") else f"/SpiffeWorkloadAPI/{method}"
        self.last += 2
        stream = self.streams[self.last] = Stream(self, self.last)
        pairs = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
                 ("content-type", "application/grpc"), ("te", "trailers"),
                 *(HEADER if headers is None else headers)]
        self.send(frame(HEADERS, END_HEADERS, self.last, header_block(pairs)) +
                  frame(DATA, END_STREAM, self.last, b"\0" + struct.pack(">I", len(message)) + message))
        return stream

    def pump(self, until):
        """Reads and handles one frame."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("nothing came from the agent")
            self.socket.settimeout(left)
            try:
                got = self.socket.recv(1 << 16)
            except ConnectionResetError:
                got = b""
            if not got:
                raise Closed("the agent closed the connection")
            self.buffer += got
        size = int.from_bytes(self.buffer[:3], "big")
        kind, flags = self.buffer[3], self.buffer[4]
        number = int.from_bytes(self.buffer[5:9], "big") & 0x7fffffff
        payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
        self._handle(kind, flags, self.streams.get(number), payload)

    def _handle(self, kind, flags, stream, payload):
        if kind in (SETTINGS, PING) and not flags & ACK:
            with contextlib.suppress(Closed):  # there may be more to read
                self.send(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind == DATA and stream:
            stream.data += payload
            if self.refill and payload:
                stream.grant(len(payload))
        elif kind == HEADERS and stream:
            assert flags & END_HEADERS, "a response's headers fit one frame"
            stream.headers.update(headers_of(payload))
            if "grpc-status" in stream.headers:
                stream.ended = (int(stream.headers["grpc-status"]),
                                urllib.parse.unquote(stream.headers.get("grpc-message", "")))
        elif kind == RST_STREAM and stream and stream.ended is None:
            stream.ended = (CANCELLED, "reset")


def connect(path, **options):
    return Connection(path, **options)


def fetch(path, method="FetchX509SVID"):
    """One call on a connection of its own: the first message, or (code, message) if it ends first."""
    with connect(path) as c:
        stream = c.call(method)
        message = stream.next()
        return stream.ended if message is None else message

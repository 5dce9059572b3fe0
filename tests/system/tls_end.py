"""A TLS 1.3 end whose socket the test holds: it can send FIN without close_notify, a reset behind its
bytes, a record that is none, and tells how the other side ended."""
import contextlib
import fcntl
import socket
import ssl
import struct
import termios

import harness

CHUNK = 65536


def unsent(sock):
    """Bytes that the other kernel has not acknowledged."""
    return struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]


def acked(sock):
    """Bytes that the other kernel has acknowledged, of all that were ever sent."""
    return struct.unpack_from("Q", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 120)[0]


def reset(sock, behind_all=True):
    """RST; behind_all: once the other kernel has what was sent, as it would drop that here."""
    if behind_all:
        harness.wait_until(lambda: unsent(sock) == 0, "the bytes to be acknowledged")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_to_end(sock):
    """(all bytes, "eof" | "reset") of a plain socket."""
    got = bytearray()
    try:
        while part := sock.recv(CHUNK):
            got += part
    except ConnectionResetError:
        return bytes(got), "reset"
    return bytes(got), "eof"


class TlsEnd:
    """Speaks over a connected socket, .sock."""

    def __init__(self, context, sock, server):
        self.sock, self.into, self.out = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        # Some versions of Python take a FIN for a close_notify unless told otherwise.
        context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 1 << 7)
        self.tls = context.wrap_bio(self.into, self.out, server_side=server)
        self._step(self.tls.do_handshake)

    def _flush(self):
        if self.out.pending:
            self.sock.sendall(self.out.read())

    def _step(self, what, *args):
        while True:
            try:
                got = what(*args)
                self._flush()
                return got
            except ssl.SSLWantReadError:
                self._flush()
                data = self.sock.recv(CHUNK)
                self.into.write(data) if data else self.into.write_eof()

    def send(self, data):
        for at in range(0, len(data), CHUNK):
            self._step(self.tls.write, data[at:at + CHUNK])

    def recv(self, size):
        return self._step(self.tls.read, size)

    def say_close(self):
        """close_notify; more may be read."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self._flush()

    def fin(self):
        self.sock.shutdown(socket.SHUT_WR)

    def garbage(self):
        """A record of application data that nobody sealed."""
        self.sock.sendall(b"\x17\x03\x03\x00\x20" + b"\xa5" * 32)

    def read_to_end(self):
        """(all bytes, "close_notify" | "torn" | "reset")."""
        got = bytearray()
        try:
            while part := self.recv(CHUNK):
                got += part
        except ConnectionResetError:
            return bytes(got), "reset"
        except ssl.SSLZeroReturnError:
            return bytes(got), "close_notify"
        except ssl.SSLError:
            return bytes(got), "torn"
        return bytes(got), "close_notify"

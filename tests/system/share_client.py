"""The wire of share.sock (docs/share.md) from the outside, to say what no sidecar would say.

    with Guest(agent) as g:
        g.hello("spiffe://example.org/web")
        assert g.hear()[0] == WELCOME
"""
import array
import os
import socket
import struct

HELLO, WELCOME, CACHE, CHANGED, PAGE, REFUSED = range(1, 7)
HEADER = struct.Struct("<4sHHI")


def packet(kind, body=b"", version=1):
    return HEADER.pack(b"SPSH", version, kind, HEADER.size + len(body)) + body


def text(value):
    data = value.encode()
    return struct.pack("<H", len(data)) + data


def hello(spiffe_id, name="", program="test"):
    return packet(HELLO, text(program) + text(spiffe_id) + text(name))


def texts(body):
    """The texts that a message's body begins with."""
    found = []
    while len(body) >= 2 and 2 + struct.unpack_from("<H", body)[0] <= len(body):
        end = 2 + struct.unpack_from("<H", body)[0]
        found.append(body[2:end].decode())
        body = body[end:]
    return found


def path_of(program):
    return os.path.join(os.path.dirname(program.config["workload_api"]["socket"]), "share.sock")


class Guest:
    """One connection to the agent's share.sock."""

    def __init__(self, agent, timeout=10):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(timeout)
        self.socket.connect(path_of(agent))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def say(self, data, fds=()):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([data], ancillary)

    def hello(self, spiffe_id, name=""):
        self.say(hello(spiffe_id, name))

    def hear(self):
        """(type, body, descriptors) of the next message; None at the end."""
        data, fds, _, _ = socket.recv_fds(self.socket, 4096, 4)
        if not data:
            return None
        _, _, kind, length = HEADER.unpack_from(data)
        assert length == len(data)
        return kind, data[HEADER.size:], fds

    def refused(self):
        """The reason of the refusal that comes next, which is the last word."""
        kind, body, _ = self.hear()
        assert kind == REFUSED, kind
        assert self.hear() is None
        return texts(body)[0]

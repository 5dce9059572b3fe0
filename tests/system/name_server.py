"""A name server in threads of the test, UDP and TCP, that says what its table says and counts who asks."""
import contextlib
import socket
import struct
import threading

A, AAAA = 1, 28
NXDOMAIN, SERVFAIL = 3, 2


class NameServer:
    """names: {name: [addresses]}; a name's value may also be NXDOMAIN, SERVFAIL, or None: silence. What
    is not in it does not exist. All may be changed while it runs."""

    def __init__(self, address="127.0.0.1", port=53, ttl=60, **names):
        self.names, self.ttl, self.silent = dict(names), ttl, False
        self.asked, self.by_tcp = [], 0
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, port))
        self.tcp = socket.create_server((address, port))
        for work in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=work, daemon=True).start()

    def count(self, name, kind=A):
        return self.asked.count((name, kind))

    def close(self):
        """As a server that is gone: its port answers that nobody is there."""
        for one in (self.udp, self.tcp):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    # ---- wire

    def _serve_udp(self):
        with contextlib.suppress(OSError):
            while True:
                data, who = self.udp.recvfrom(4096)
                if not data:
                    return  # shut
                if answer := self._answer(data, 1232):
                    self.udp.sendto(answer, who)

    def _serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self.tcp.accept()
                threading.Thread(target=self._serve_stream, args=(conn,), daemon=True).start()

    def _serve_stream(self, conn):
        with conn, contextlib.suppress(OSError):
            stream = conn.makefile("rb")
            while head := stream.read(2):
                self.by_tcp += 1
                if answer := self._answer(stream.read(struct.unpack("!H", head)[0]), 65535):
                    conn.sendall(struct.pack("!H", len(answer)) + answer)

    def _answer(self, data, room):
        at, labels = 12, []
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        end = at + 5
        name, kind = ".".join(labels).lower(), struct.unpack("!H", data[at + 1:at + 3])[0]
        self.asked.append((name, kind))
        found = self.names.get(name, NXDOMAIN)
        if self.silent or found is None:
            return None
        code, records = (found, []) if isinstance(found, int) else (0, self._records(found, kind))
        body = b"".join(records)
        cut = end + len(body) > room
        head = data[:2] + struct.pack("!HHHHH", 0x8180 | code | (0x200 if cut else 0), 1, 0 if cut else len(records),
                                      0, 0)
        return head + data[12:end] + (b"" if cut else body)

    def _records(self, addresses, kind):
        family, size = (socket.AF_INET, 4) if kind == A else (socket.AF_INET6, 16)
        return [struct.pack("!HHHIH", 0xc00c, kind, 1, self.ttl, size) + socket.inet_pton(family, a)
                for a in addresses if (":" in a) == (kind == AAAA)]

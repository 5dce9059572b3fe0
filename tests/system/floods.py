"""Hostile clients for tests of bounds: a flood that keeps so many connections open and comes back when
it is put out, from one source address, in a thread of its own."""
import pathlib
import select
import socket
import threading


def descriptors(program):
    """How many it has open."""
    return len(list(pathlib.Path(f"/proc/{program.pid}/fd").iterdir()))


class Flood:
    """Holds `count` connections to an address, each having said first(), until stopped. `source`: the
    address it comes from. A context manager; `made` counts connections, `put_out` those that ended."""

    def __init__(self, address, count, first=b"", source=None, drip=b""):
        self.address, self.count, self.first, self.source, self.drip = address, count, first, source, drip
        self.made = self.put_out = self.answered = 0
        self.open, self.wants_end = {}, False
        self.full = threading.Event()  # set when all were open once
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        assert self.full.wait(60), f"only {self.made} of {self.count} connections could be made"
        return self

    def __exit__(self, *_):
        self.wants_end = True
        self.thread.join()
        for s in self.open.values():
            s.close()

    def _connect(self, poll):
        unix = isinstance(self.address, str)
        s = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        s.setblocking(False)
        try:
            if self.source is not None:
                s.bind((self.source, 0))
            s.connect(self.address)
        except BlockingIOError:
            if unix:  # its queue is full
                s.close()
                return False
        except OSError:
            s.close()
            return False
        self.open[s.fileno()] = s
        poll.register(s.fileno(), select.EPOLLOUT)
        self.made += 1
        return True

    def _end(self, poll, fd):
        poll.unregister(fd)
        self.open.pop(fd).close()
        self.put_out += 1

    def _event(self, poll, fd, events):
        s = self.open[fd]
        try:
            if events & select.EPOLLOUT:
                if self.first:
                    s.send(self.first)
                poll.modify(fd, select.EPOLLIN | select.EPOLLRDHUP)
            elif not s.recv(65536):
                self._end(poll, fd)
            else:
                self.answered += 1
        except BlockingIOError:
            pass
        except OSError:
            self._end(poll, fd)

    def _run(self):
        poll = select.epoll()
        while not self.wants_end:
            for _ in range(200):
                if len(self.open) >= self.count or not self._connect(poll):
                    break
            if len(self.open) >= self.count or self.made >= self.count + 200:
                self.full.set()
            for fd, events in poll.poll(0.02):
                self._event(poll, fd, events)
            for s in list(self.open.values()) if self.drip else ():
                try:
                    s.send(self.drip)
                except OSError:
                    pass
        poll.close()

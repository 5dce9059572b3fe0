"""A network and mounts of a test's own: it and what it starts see an empty loopback and files of its
choice in /etc, and the machine sees nothing of it. Needs root."""
import contextlib
import ctypes
import os
import pathlib
import subprocess

import pytest

import harness

CLONE_FS, CLONE_NEWNS, CLONE_NEWNET = 0x00000200, 0x00020000, 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _call(name, *args):
    if getattr(_libc, name)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _sh(command):
    subprocess.run(command, shell=True, check=True, capture_output=True)


class Network:
    """The inside of it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.mounted = {}

    def put(self, path, text):
        """Lays a file of ours over one of /etc, or writes it anew in place, as who manages a mounted
        file does."""
        if path not in self.mounted:
            ours = self.folder / path.strip("/").replace("/", "-")
            ours.write_text(text)
            ours.chmod(0o644)
            _sh(f"mount --bind {ours} {path}")
            self.mounted[path] = ours
        else:
            self.mounted[path].write_text(text)

    def replace(self, path, text):
        """Another file over the one before."""
        ours = self.folder / f"{path.strip('/').replace('/', '-')}-{len(self.mounted)}-again"
        ours.write_text(text)
        ours.chmod(0o644)
        _sh(f"mount --bind {ours} {path}")
        self.mounted[path] = ours

    def add_address(self, text):
        _sh(f"ip addr add {text} dev lo nodad" if ":" in text else f"ip addr add {text} dev lo")


@contextlib.contextmanager
def own_network(folder):
    """For this thread, and what it starts from here on."""
    harness.need_root()
    before = [(os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC), flag)
              for kind, flag in (("net", CLONE_NEWNET), ("mnt", CLONE_NEWNS))]
    here = os.getcwd()
    try:
        try:
            _call("unshare", CLONE_NEWNET | CLONE_NEWNS)
        except OSError as e:
            harness.give_up(f"no namespaces here: {e}")
        _sh("mount --make-rprivate / && ip link set lo up")
        yield Network(folder)
    finally:
        _call("unshare", CLONE_FS)  # from the threads that were started inside: mounts are theirs too
        for fd, flag in before:
            _call("setns", fd, flag)
            os.close(fd)
        os.chdir(here)


@pytest.fixture
def network(site):
    """With files first, no name server, and localhost in hosts."""
    folder = site.path("etc")
    folder.mkdir()
    with own_network(folder) as made:
        made.put("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
        made.put("/etc/hosts", "127.0.0.1 localhost\n")
        made.put("/etc/resolv.conf", "")
        yield made

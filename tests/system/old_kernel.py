"""Runs a program as on a kernel without SO_PEERPIDFD (before 6.5): python3 old_kernel.py PROGRAM ARGS…
A seccomp filter makes getsockopt(…, SO_PEERPIDFD) fail with ENOPROTOOPT."""
import ctypes
import errno
import os
import platform
import socket
import struct
import sys

SO_PEERPIDFD = 77
GETSOCKOPT = {"x86_64": 55, "aarch64": 209}[platform.machine()]
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, MODE_FILTER = 22, 38, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NUMBER, OPTION = 0, 16 + 2 * 8  # offsets in struct seccomp_data: nr, args[2]


def forbid():
    code = [(LOAD, 0, 0, NUMBER), (JUMP_IF_EQUAL, 0, 3, GETSOCKOPT),
            (LOAD, 0, 0, OPTION), (JUMP_IF_EQUAL, 0, 1, SO_PEERPIDFD),
            (RETURN, 0, 0, ERRNO | errno.ENOPROTOOPT), (RETURN, 0, 0, ALLOW)]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *c) for c in code))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(filters)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, MODE_FILTER, program):
        raise OSError(ctypes.get_errno(), "seccomp")


def main():
    forbid()
    ours, _ = socket.socketpair()
    try:
        ours.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError as e:
        assert e.errno == errno.ENOPROTOOPT, e
    else:
        raise AssertionError("SO_PEERPIDFD still works")
    os.execv(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()

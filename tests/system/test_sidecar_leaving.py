"""The end of a sidecar, whatever does not come back, and what /ready says of one that is full."""
import contextlib
import ctypes
import os
import socket

from harness import give_up, wait_until
from test_hostile_peers import ME, WEB, Sink, context, text

PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
WALL = 0x40000000  # __WALL: threads too


def freeze(thread):
    """Stops one thread of a program for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if libc.ptrace(request, thread, None, None) != 0:
            give_up(f"ptrace: {os.strerror(ctypes.get_errno())}")
    os.waitpid(thread, WALL)


def threads(program):
    return {int(n) for n in os.listdir(f"/proc/{program.pid}/task")}


def test_a_thread_that_does_not_come_back_holds_no_shutdown_up(site):
    """Whatever it waits for: a file system that hangs, a look-up. Here it is stopped by a debugger."""
    route = {"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "expect": [WEB]}
    sidecar = site.sidecar(identity={"files": site.ca().leaf(ME).files()}, drain_limit="0s", workers=3, outbound=[route])
    others = threads(sidecar) - {sidecar.pid}
    for thread in others:
        freeze(thread)
    sidecar.send_signal(15)
    sidecar.wait_log("end_forced")
    for thread in others:
        os.waitpid(thread, WALL)  # as its debugger we are owed the news, before anybody else
    assert sidecar.wait_exit() == 0


def test_a_full_route_is_not_ready_and_says_which(site):
    ours = site.ca()
    server = Sink(site, context("server", ours.leaf(WEB)))
    sidecar = site.sidecar(identity={"files": ours.leaf(ME).files()}, limits={"connections": 2}, outbound=[
        {"listen": "127.0.0.1:0", "forward": text(server.address), "expect": [WEB]}])
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(sidecar.outbound(), timeout=20)) for _ in range(2)]
        wait_until(lambda: sidecar.ready()[0] == 503, "readiness to go")
        body = sidecar.ready()[1]
        assert "outbound[0].listen" in body and "limits.connections" in body and "2" in body, body
        held[0].close()
        sidecar.wait_ready()

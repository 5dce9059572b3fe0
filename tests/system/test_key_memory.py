"""What a core file of the running programs would hold: no private key. Read by root, as gcore reads: all memory
that may be read but for mappings that are left out of dumps."""
import base64
import os
import re

import pytest

import harness
import workload
from test_hostile_peers import WEB

ME = f"unix:uid:{os.getuid()}"
DO_NOT_DUMP = "dd"


def mappings(pid):
    """(from, to, flags of smaps) of each mapping that can be read and written."""
    found = None
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as smaps:
        for line in smaps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line)
            if m:
                found = (int(m[1], 16), int(m[2], 16)) if m[3].startswith("rw") else None
            elif found and line.startswith("VmFlags:"):
                yield *found, line.split()[1:]


def memory(pid, left_out):
    """The bytes of the mappings that a dump leaves out, or of the others."""
    parts = []
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for start, end, flags in mappings(pid):
            if (DO_NOT_DUMP in flags) == left_out:
                mem.seek(start)
                parts.append(mem.read(end - start))
    return b"".join(parts)


def forms(pkcs8):
    """How a key of P-256 may stand in memory."""
    scalar = pkcs8[pkcs8.index(b"\x02\x01\x01\x04\x20") + 5:][:32]
    text = base64.b64encode(pkcs8)
    return {"scalar": scalar, "scalar, little-endian": scalar[::-1], "PKCS#8": pkcs8, "PEM": text[40:100]}


def key_of_file(path):
    text = re.search("PRIVATE KEY-----(.*?)-----END", path.read_text(), re.S)[1]
    return base64.b64decode(text)


def check(program, keys):
    """None of the keys in what a dump holds; each of them in what it leaves out."""
    dumped, kept = memory(program.pid, False), memory(program.pid, True)
    found = [f"{name}: {form}" for name, key in keys.items() for form, bytes_ in forms(key).items() if bytes_ in dumped]
    assert not found, f"a dump of {program.name} holds {found}"
    for name, key in keys.items():
        assert key in kept, f"{name} of {program.name} is nowhere: does the test look at the right place?"


@pytest.mark.plain_only
def test_a_dump_of_either_program_holds_no_private_key(site):
    """Agent with root and issuer, a stream with SVIDs open; a sidecar that has made and taken handshakes."""
    harness.need_root()
    agent = site.agent([{"id": "web", "spiffe_id": WEB, "selectors": [ME]}])
    route = {"allow": [WEB], "forward": "%s:%s" % site.tcp_server()}
    server = site.sidecar("server", inbound=[{"listen": "127.0.0.1:0", **route}])
    client = site.sidecar("client", outbound=[{"listen": "127.0.0.1:0", "forward": "%s:%s" % server.inbound(),
                                               "expect": [WEB]}])
    for _ in range(20):
        with harness.socket.create_connection(client.outbound(), timeout=harness.DEADLINE) as s:
            s.sendall(b"hello")
            assert s.recv(5) == b"hello"
    leaf = workload.svids(workload.fetch(agent.socket))[0].key
    data = site.path("data/authority")
    check(agent, {"root": key_of_file(data / "root"), "issuer": key_of_file(data / "issuer"), "leaf": leaf})
    check(server, {"leaf": leaf})
    check(client, {"leaf": leaf})


@pytest.mark.plain_only
def test_a_dump_holds_no_key_that_came_from_a_file(site):
    harness.need_root()
    leaf = site.ca().leaf(WEB)
    sidecar = site.sidecar(identity={"files": leaf.files()}, inbound=[
        {"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "allow": [WEB]}])
    check(sidecar, {"leaf": key_of_file(leaf.key)})

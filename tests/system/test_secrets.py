"""What must not leak: keys and selectors in logs, files of others, resumption of what was refused."""
import base64
import os
import stat

import pytest

import harness
import workload
from fake_agent import key_der
from test_hostile_peers import SECRET, WEB, Sink, context, inbound_sidecar
from test_agent_callers import entry

ME = f"unix:uid:{os.getuid()}"


def written_forms(key):
    """How the secret part of a PKCS#8 key of P-256 might show up in text."""
    secret = key[key.index(b"\x04\x20") + 2:][:32]
    inner = [base64.b64encode(key[i:]).decode()[8:60] for i in range(3)]
    return [secret.hex(), secret.hex().upper(), ":".join(f"{b:02x}" for b in secret), *inner]


@pytest.mark.parametrize("level", ["info", "debug"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_log_line_has_a_key_or_a_callers_selectors(site, level, form):
    """AG-8: the agent and a sidecar, through service, refusal, rotation, reload and shutdown."""
    log = {"level": level, "format": form}
    mine = {"id": "web", "spiffe_id": "spiffe://example.org/web", "selectors": [ME, f"unix:gid:{os.getgid()}"]}
    agent = site.agent([{**mine, "x509_ttl": "3s"}], log=log)
    sidecar = site.sidecar(log=log, inbound=[
        {"listen": "127.0.0.1:0", "forward": "127.0.0.1:1", "allow": ["spiffe://example.org/web"]}])
    keys = []
    with workload.connect(agent.socket) as c:
        stream = c.call("FetchX509SVID")
        for _ in range(2):
            keys += [svid.key for svid in workload.svids(stream.next())]
        site.write_entries([entry(12345)])
        assert stream.end()[0] == workload.PERMISSION_DENIED
    assert workload.fetch(agent.socket)[0] == workload.PERMISSION_DENIED
    sidecar.wait_log("identity_lost")
    agent.stop()
    sidecar.stop()
    for program in (agent, sidecar):
        text = program.log()
        assert "identity" in text
        assert "unix:uid" not in text and "unix:gid" not in text and "PRIVATE KEY" not in text
        assert not [form for key in keys for form in written_forms(key) if form in text]


@pytest.mark.parametrize("umask", ["000", "077"])
def test_modes_of_files_do_not_depend_on_the_umask(site, umask):
    """AG-7: at least 0027 for what the agent makes; its socket is open to all all the same."""
    path = site.path("public/api.sock")
    site.write_entries([entry(os.getuid())])
    config = site.write_yaml("agent.yaml", site.agent_config(workload_api={"socket": str(path)}))
    program = harness.program_path("spindle-agent")
    agent = site.start("agent", "/bin/sh", "-c", f"umask {umask}; exec {program} run --config {config}",
                       kind=harness.Agent).wait_ready()
    status = dict(line.split(":\t", 1) for line in open(f"/proc/{agent.pid}/status", encoding="ascii"))
    assert int(status["Umask"], 8) & 0o027 == 0o027
    modes = {name: stat.S_IMODE(site.path(name).stat().st_mode)
             for name in ("public", "public/api.sock", "admin.sock", "data", "data/authority/root")}
    assert modes == {"public": 0o755, "public/api.sock": 0o777, "admin.sock": 0o600, "data": 0o700,
                     "data/authority/root": 0o600}
    assert workload.svids(workload.fetch(path))


def test_no_session_ticket_is_given(site):
    """X5-21: without resumption no handshake skips the checks of chain and ID."""
    ours = site.ca()
    client = ours.leaf(WEB)
    sidecar = inbound_sidecar(site, ours.leaf("spiffe://example.org/me"), Sink(site))
    made, session = context("client", client), None
    for _ in range(2):
        with harness.socket.create_connection(sidecar.inbound(), timeout=10) as raw:
            conn = made.wrap_socket(raw, session=session)
            conn.sendall(SECRET)
            assert conn.recv(100) == SECRET
            assert not conn.session_reused and not conn.session.has_ticket
            session = conn.session
    assert key_der(client.key).hex() not in sidecar.log()

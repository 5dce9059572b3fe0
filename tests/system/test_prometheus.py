"""A real Prometheus beside a real pair: it reads our pages, our rules fire when they should, and the
dashboard's expressions give answers."""
import os

import pytest

import harness
import prometheus
from pair import CLIENT, WEB, Pair

MINE = [f"unix:uid:{os.getuid()}"]
MALLORY = "spiffe://example.org/mallory"


@pytest.mark.plain_only
def test_prometheus_reads_the_whole_node_from_the_agent(site):
    pair = Pair(site, ttl="1h")
    server = prometheus.start(site, agent=[pair.agent])
    for _ in range(7):
        assert pair.curl().returncode == 0
    server.wait_query(f'spindle_mtls_connections_total{{spiffe_id="{WEB}"}}', 7)
    server.wait_query(f'sum(spindle_sidecar_connections_opened_total{{spiffe_id="{CLIENT}"}})', 7)
    server.wait_query('sum(spindle_sidecar_authz_decisions_total{decision="allow", direction="inbound"})', 7)
    server.wait_query('count by (component) (spindle_build_info{component="sidecar"})', 2)
    server.wait_query("spindle_agent_entries", 2)
    server.wait_query("sum(spindle_sidecar_workload_api_connected)", 2)
    left = server.query("spindle_sidecar_svid_not_after_timestamp_seconds - time()")
    assert len(left) == 2 and all(3500 < value <= 3600 for _, value in left)
    for expr in prometheus.dashboard_exprs():
        server.query(expr)
    assert server.alerts() == []


@pytest.mark.plain_only
def test_alerts_of_configuration_and_peers_fire_and_end(site):
    pair = Pair(site, ttl="1h")
    site.write_entries([*pair.entries, {"spiffe_id": MALLORY, "selectors": MINE}])
    host, port = pair.inbound.inbound()
    mallory = site.sidecar("mallory", identity={"spiffe_id": MALLORY}, outbound=[
        {"listen": "127.0.0.1:0", "forward": f"{host}:{port}", "expect": [WEB]}])
    server = prometheus.start(site, agent=[pair.agent])

    good = pair.inbound.config_path.read_text()
    site.write("inbound.yaml", good + "no_such_key: 1\n")
    fired = server.wait_alert("SpindleReloadFailed", spiffe_id=WEB)
    assert f"The sidecar of {WEB} on {server.instance(pair.agent)}" in fired["annotations"]["summary"]
    site.write("inbound.yaml", good)
    server.wait_resolved("SpindleReloadFailed")

    def refused():
        assert harness.http_get(mallory.outbound())[0] == 0
        return server.alerts("SpindleMtlsConnectionFailures", spiffe_id=WEB)
    harness.wait_until(refused, "the alert of refused peers")
    mallory.stop()
    server.wait_alert("SpindleSidecarGone", spiffe_id=MALLORY)
    assert not server.alerts(severity="critical")


@pytest.mark.plain_only
def test_the_first_use_of_a_stolen_key_fires_an_alert(site):
    pair = Pair(site, ttl="1h")
    got = site.run("spindle-agent", "api", "fetch", "x509", "--output", "json", "--write", site.path("stolen"),
                   "--socket", pair.agent.socket)
    n = [svid["spiffe_id"] for svid in got.json()["svids"]].index(CLIENT)
    stolen = {"certificate": f"svid.{n}.pem", "key": f"svid.{n}.key", "bundle": f"bundle.{n}.pem"}
    host, port = pair.inbound.inbound()
    thief = site.sidecar(
        "thief", identity={"files": {k: f"{site.path('stolen')}/{v}" for k, v in stolen.items()}},
        outbound=[{"listen": "127.0.0.1:0", "forward": f"{host}:{port}", "expect": [WEB]}])
    assert harness.http_get(thief.outbound())[0] == 200
    server = prometheus.start(site, agent=[pair.agent])
    server.wait_query("up offset 5s", 1)
    assert server.alerts() == []
    got = site.run("spindle-agent", "revoke", CLIENT, "--reason", "keyCompromise", "--admin", pair.agent.admin)
    assert got.code == 0, got
    server.wait_query("spindle_agent_revoked_certificates", 1)
    assert harness.http_get(thief.outbound())[0] == 0
    assert server.wait_alert("SpindleRevokedPeerRefused")["labels"]["spiffe_id"] == WEB


@pytest.mark.plain_only
def test_alerts_of_a_dead_agent_fire_and_end(site):
    pair = Pair(site, ttl="16s")
    server = prometheus.start(site, agent=[pair.agent], sidecar=[pair.inbound, pair.outbound])
    agent, inbound = server.instance(pair.agent), server.instance(pair.inbound)
    assert server.alerts() == []
    pair.agent.kill()
    server.wait_alert("SpindleAgentDown", instance=agent, severity="critical")
    server.wait_alert("SpindleIdentitySourceDown", instance=inbound)
    server.wait_alert("SpindleSvidExpiring", instance=inbound)
    assert not server.alerts("SpindleSvidExpired")
    server.wait_alert("SpindleSvidExpired", instance=inbound, severity="critical")
    pair.restart_agent()
    for name in ("SpindleSvidExpired", "SpindleSvidExpiring", "SpindleIdentitySourceDown"):
        server.wait_resolved(name)

"""A real Prometheus beside a real pair: it reads our pages, our rules fire when they should, and the
dashboard's expressions give answers."""
import os

import pytest

import harness
import prometheus
from pair import WEB, Pair

MINE = [f"unix:uid:{os.getuid()}"]
MALLORY = "spiffe://example.org/mallory"


def scrape(site, pair, *sidecars):
    return prometheus.start(site, agent=[pair.agent], sidecar=[pair.inbound, pair.outbound, *sidecars])


@pytest.mark.plain_only
def test_prometheus_reads_a_pair_as_it_is(site):
    pair = Pair(site, ttl="1h")
    server = scrape(site, pair)
    for _ in range(7):
        assert pair.curl().returncode == 0
    inbound, outbound = server.instance(pair.inbound), server.instance(pair.outbound)
    server.wait_query(f'spindle_mtls_connections_total{{instance="{inbound}"}}', 7)
    server.wait_query(f'sum(spindle_sidecar_connections_opened_total{{instance="{outbound}"}})', 7)
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
    server = scrape(site, pair, mallory)

    good = pair.inbound.config_path.read_text()
    site.write("inbound.yaml", good + "no_such_key: 1\n")
    inbound = server.instance(pair.inbound)
    fired = server.wait_alert("SpindleReloadFailed", instance=inbound)
    assert inbound in fired["annotations"]["summary"]
    site.write("inbound.yaml", good)
    server.wait_resolved("SpindleReloadFailed", instance=inbound)

    def refused():
        assert harness.http_get(mallory.outbound())[0] == 0
        return len(server.alerts("SpindleHandshakeFailures", instance=inbound)) and server.alerts(
            "SpindleMtlsConnectionFailures", instance=inbound)
    harness.wait_until(refused, "alerts of refused peers")
    assert pair.curl().returncode == 0
    server.wait_resolved("SpindleHandshakeFailures", instance=inbound)
    server.wait_resolved("SpindleMtlsConnectionFailures", instance=inbound)
    assert not server.alerts("SpindleSvidExpiring") and not server.alerts("SpindleAgentDown")


@pytest.mark.plain_only
def test_alerts_of_a_dead_agent_fire_and_end(site):
    pair = Pair(site, ttl="16s")
    server = scrape(site, pair)
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

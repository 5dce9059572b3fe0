"""/metrics, /live and /ready of both programs, as Prometheus and a kubelet see them."""
import os
import socket
import subprocess

import harness

OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3"


def lint(page):
    promtool = harness.has_program("promtool")
    done = subprocess.run([promtool, "check", "metrics"], input=page, text=True, capture_output=True,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def check_pages(program):
    address = program.address("metrics")
    status, text = harness.http_get(address, "/metrics")
    assert status == 200
    lint(text)
    assert "# EOF" not in text
    status, page = harness.http_get(address, "/metrics", headers={"Accept": OPENMETRICS})
    assert status == 200
    assert page.endswith("# EOF\n") and "# UNIT spindle_" in page
    assert harness.http_get(address, "/live")[0] == 200
    return harness.Metrics(text)


def test_the_agents_metrics_pass_promtool(site):
    metrics = check_pages(site.agent())
    assert metrics.total("spindle_build_info", component="agent") == 1
    assert metrics.total("process_open_fds") > 5


def test_the_sidecars_metrics_pass_promtool(site):
    sidecar = site.sidecar("web", wait=False, inbound=[
        {"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "allow": ["spiffe://example.org/a"]}])
    metrics = check_pages(sidecar)
    assert metrics.total("spindle_build_info", component="sidecar") == 1
    assert ("spindle_mtls_connections_total", frozenset()) in metrics


def test_a_prefix_of_the_operators_own_replaces_ours(site):
    agent = site.agent(metrics={"listen": "127.0.0.1:0", "prefix": "x0tta6bl4_"})
    assert agent.metrics().total("x0tta6bl4_build_info") == 1
    assert not [n for n in agent.metrics().names() if n.startswith("spindle_")]


def test_connections_held_for_the_first_identity_are_counted(site):
    spiffe_id = "spiffe://example.org/web"
    sidecar = site.sidecar("web", wait=False, inbound=[
        {"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "allow": [spiffe_id]}])
    with socket.create_connection(sidecar.inbound()):
        sidecar.wait_metric("spindle_sidecar_connections_waiting", direction="inbound")
        assert sidecar.ready()[0] == 503
        assert sidecar.metrics().total("spindle_sidecar_workload_api_connected") == 0
        site.agent(entries=[{"spiffe_id": spiffe_id, "selectors": [f"unix:uid:{os.getuid()}"]}])
        sidecar.wait_ready()
        metrics = sidecar.metrics()
        assert metrics.total("spindle_sidecar_workload_api_connected") == 1
        assert metrics.total("spindle_sidecar_connections_waiting") == 0
        assert metrics.total("spindle_sidecar_svid_rotations_total", result="success") == 1
        assert metrics.total("spindle_mtls_certificate_rotations_total") == 0
        assert 3500 < metrics.total("spindle_mtls_certificate_expiry_seconds") <= 3600


def test_the_agent_counts_what_it_does_for_workloads(site):
    agent = site.agent(entries=[
        {"spiffe_id": "spiffe://example.org/web", "selectors": [f"unix:uid:{os.getuid()}"]}])
    before = agent.metrics()
    assert before.total("spindle_agent_entries") == 1
    assert before.total("spindle_agent_entries_reloads_total", result="success") == 1
    assert before.total("spindle_agent_bundle_authorities", trust_domain="example.org") == 1
    assert (before.total("spindle_agent_issuer_not_after_timestamp_seconds")
            > before.total("spindle_agent_issuer_not_before_timestamp_seconds") > 1.7e9)
    got = site.run("spindle-agent", "api", "fetch", "x509", "--socket", agent.socket)
    assert got.code == 0, got
    agent.wait_metric("spindle_agent_workload_api_requests_total", method="FetchX509SVID")
    after = agent.metrics()
    assert after.total("spindle_agent_svids_issued_total", type="x509", result="success") == 1
    assert after.total("spindle_agent_attestation_duration_seconds_count", attestor="unix") == 1
    assert after.total("spindle_agent_streams") == 0
    assert after.total("spindle_agent_workload_api_requests_total", reason="no_entry") == 0
    site.write_entries([])
    agent.wait_metric("spindle_agent_entries_reloads_total", at_least=2, result="success")
    assert site.run("spindle-agent", "api", "fetch", "x509", "--socket", agent.socket,
                    "--timeout", "2s").code == 1
    agent.wait_metric("spindle_agent_workload_api_requests_total", method="FetchX509SVID",
                      code="PermissionDenied", reason="no_entry")


def test_a_reload_that_failed_shows_until_one_succeeds(site):
    entries = [{"spiffe_id": "spiffe://example.org/web", "selectors": [f"unix:uid:{os.getuid()}"]}]
    agent = site.agent(entries=entries)
    sidecar = site.sidecar("web", inbound=[
        {"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "allow": ["spiffe://example.org/a"]}])

    def shows(program, value):
        name = "spindle_config_last_reload_successful"
        assert (name, frozenset()) in program.metrics()
        harness.wait_until(lambda: program.metrics()[name, frozenset()] == value, f"{name} {value}")
    good = {path: path.read_text() for path in (agent.entries_path, sidecar.config_path)}
    for value in (1, 0, 1):
        for program, path in ((agent, agent.entries_path), (sidecar, sidecar.config_path)):
            site.write(path.name, good[path] if value else "no: such key\n")
            shows(program, value)


def test_days_are_shown_to_who_asks_for_them(site):
    web = "spiffe://example.org/web"
    entries = [{"spiffe_id": web, "selectors": [f"unix:uid:{os.getuid()}"]}]
    listen = {"listen": "127.0.0.1:0", "expiry_days": True}
    for name, changes, shown in (("plain", {}, 0), ("days", {"metrics": listen}, 1)):
        agent = site.agent(name=name, entries=entries, **changes)
        side = site.sidecar(f"web-{name}", inbound=[
            {"listen": "127.0.0.1:0", "forward": "127.0.0.1:9", "allow": [web]}])
        metrics = agent.metrics()
        found = [v for (n, labels), v in metrics.items() if n == "spindle_cert_expiry_days"
                 and ("service", web) in labels]
        assert len(found) == shown and all(0.04 < v <= 1 / 24 for v in found)
        side.stop()
        agent.stop()

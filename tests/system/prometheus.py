"""A real Prometheus on a port of the kernel's, scraping twice a second, with our alert rules in which a
minute is a second.

    server = prometheus.start(site, agent=[agent], sidecar=[inbound, outbound])
    server.wait_query('sum(up)', 3)
    server.wait_alert("SpindleReloadFailed", instance=server.instance(agent))
"""
import json
import re
import urllib.parse

import yaml

import harness

RULES = harness.ROOT / "deploy/prometheus/alerts.yaml"
DASHBOARD = harness.ROOT / "deploy/grafana/dashboard.json"
INTERVAL = "500ms"
FASTER = {"d": "h", "h": "m", "m": "s"}


def hurried(duration):
    number, unit = re.fullmatch(r"(\d+)([dhm])", duration).groups()
    return number + FASTER[unit]


def hurried_rules():
    """The rules as they ship, but for their times."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"(?<=\[)\w+(?=\])|(?<=offset )\w+",
                                  lambda m: hurried(m[0]), rule["expr"])
            if "for" in rule:
                rule["for"] = hurried(rule["for"])
    return rules


def dashboard_exprs():
    """Every expression of the dashboard, with everything chosen."""
    text = DASHBOARD.read_text()
    exprs = [t["expr"] for p in json.loads(text)["panels"] for t in p.get("targets", [])]
    timed = [e.replace("$__rate_interval", "5s").replace("$__range", "1m") for e in exprs]
    return [re.sub(r'"\$\w+"', '".*"', e) for e in timed]


class Prometheus(harness.Program):
    def server_address(self):
        return harness.as_address(self.wait_log(r'"Listening on" address=(\S+)')[1])

    def api(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        status, body = harness.http_get(self.server_address(), f"/api/v1/{path}?{query}")
        answer = json.loads(body) if body.startswith("{") else {"status": f"{status}: {body}"}
        assert answer["status"] == "success", f"{path} {parameters}: {answer}"
        return answer["data"]

    def query(self, expr):
        """[(labels, value)] of now."""
        return [(r["metric"], float(r["value"][1])) for r in self.api("query", query=expr)["result"]]

    def wait_query(self, expr, value):
        """Waits until the expression gives one result, of this value."""
        return self._wait(lambda: [v for _, v in self.query(expr)] == [value], f"{expr} = {value}",
                          harness.DEADLINE)

    def alerts(self, name=None, state="firing", **labels):
        """Alerts in this state, by name and labels."""
        return [a for a in self.api("alerts")["alerts"] if a["state"] == state
                and name in (None, a["labels"]["alertname"])
                and labels.items() <= a["labels"].items()]

    def wait_alert(self, name, timeout=harness.DEADLINE, **labels):
        return self._wait(lambda: self.alerts(name, **labels), f"{name} {labels} to fire", timeout)[0]

    def wait_resolved(self, name, **labels):
        self._wait(lambda: not self.alerts(name, **labels), f"{name} {labels} to end", harness.DEADLINE)

    @staticmethod
    def instance(program):
        return "{}:{}".format(*program.address("metrics"))


def start(site, **jobs):
    """jobs: the programs to scrape, by the end of the job's name: agent=[…], sidecar=[…]."""
    path = harness.has_program("prometheus")
    site.write_yaml("alerts.yaml", hurried_rules())
    config = site.write_yaml("prometheus.yaml", {
        "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": [
            {"job_name": f"spindle-{name}",
             "static_configs": [{"targets": [Prometheus.instance(p) for p in programs]}]}
            for name, programs in jobs.items()]})
    server = site.start("prometheus", path, f"--config.file={config}", "--web.listen-address=127.0.0.1:0",
                        f"--storage.tsdb.path={site.path('tsdb')}", kind=Prometheus)
    server.wait_log("Server is ready to receive web requests")
    server.wait_query("sum(up)", sum(map(len, jobs.values())))
    return server

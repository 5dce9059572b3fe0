#!/usr/bin/env python3
"""deploy/prometheus and deploy/grafana: promtool takes every rule, test and expression, each metric,
label and value is one that our programs have, each alert has a test that fires, one that does not, and
a section of a runbook."""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from promql import PREFIX, complaints_about, families
from sources import ROOT, anchors, files, read, report

try:
    import yaml
except ImportError:
    print("python3 without yaml")
    sys.exit(77)

FOLDER = "deploy/prometheus"
ALERTS, TESTS, CONFIG = (f"{FOLDER}/{name}.yaml" for name in ("alerts", "alerts_test", "prometheus"))
DASHBOARD = "deploy/grafana/dashboard.json"
ROWS = ["Identity", "Attestation", "Traffic", "mTLS", "Revocation", "Resources", "Versions"]
SEVERITIES = {"critical", "warning", "info"}
ANNOTATIONS = {"summary", "description", "runbook_url"}


def line_of(path, text):
    """The first line of the file with this text, for the report."""
    before = read(path).partition(text)[0]
    return before.count("\n") + 1


def promtool(*args, cwd=ROOT):
    """What promtool complains about; nothing when it is content."""
    done = subprocess.run([PROMTOOL, *args], cwd=cwd, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()


# ---- alerts

def alerts():
    return [rule for group in yaml.safe_load(read(ALERTS))["groups"] for rule in group["rules"]]


def check_alert(rule, known):
    name, notes = rule["alert"], rule["annotations"]
    if rule["labels"].get("severity") not in SEVERITIES:
        yield f"severity is one of {sorted(SEVERITIES)}"
    if set(notes) != ANNOTATIONS:
        yield f"annotations are {sorted(ANNOTATIONS)}"
    path, _, anchor = notes.get("runbook_url", "").partition("#")
    if path not in files("docs/runbooks/*.md") or anchor != name.lower() or anchor not in anchors(path):
        yield f"runbook_url is no section {name} of a page in docs/runbooks"
    yield from complaints_about(rule["expr"], known)
    labels = {label for family in known.values() for label in family.labels} | {"job", "instance"}
    for label in re.findall(r"\$labels\.(\w+)", " ".join(notes.values())):
        if label not in labels:
            yield f"no metric has the label {label}"


def check_tested(names):
    """Each alert with and without an expected firing."""
    seen = set()
    for group in yaml.safe_load(read(TESTS))["tests"]:
        for case in group.get("alert_rule_test", []):
            seen.add((case["alertname"], bool(case.get("exp_alerts"))))
    for name in names:
        for fires, word in ((True, "fires"), (False, "does not fire")):
            if (name, fires) not in seen:
                yield TESTS, 1, f"no case in which {name} {word}"
    for name in sorted({name for name, _ in seen} - set(names)):
        yield TESTS, line_of(TESTS, name), f"{name} is no alert"


def check_alerts(known):
    rules = alerts()
    names = [rule["alert"] for rule in rules]
    for rule in rules:
        for what in check_alert(rule, known):
            yield ALERTS, line_of(ALERTS, f"alert: {rule['alert']}\n"), f"{rule['alert']}: {what}"
    yield from check_tested(names)
    for page in files("docs/runbooks/*.md"):
        for heading in re.findall(r"^#+ (Spindle[A-Z]\w+)$", read(page), re.MULTILINE):
            if heading not in names:
                yield page, line_of(page, heading), f"{heading} is no alert"


def check_by_promtool():
    for path, args in ((ALERTS, ("check", "rules", "alerts.yaml")),
                       (CONFIG, ("check", "config", "prometheus.yaml")),
                       (TESTS, ("test", "rules", "alerts_test.yaml"))):
        what = promtool(*args, cwd=ROOT / FOLDER)
        if what:
            yield path, 1, what


# ---- dashboard

def panels(dashboard):
    """All panels that show something, with the title of their row; rows may be folded."""
    row = ""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
            yield from ((row, p) for p in panel.get("panels", []))
        else:
            yield row, panel


def promtool_takes(exprs):
    """{expr: complaint} of those that promtool does not parse."""
    bad = {}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "rules.yaml"
        rules = [{"record": f"panel:{i}", "expr": expr} for i, expr in enumerate(exprs)]
        path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
        if promtool("check", "rules", str(path)):
            for expr in exprs:
                path.write_text(json.dumps({"groups": [{"name": "one", "rules": [
                    {"record": "panel", "expr": expr}]}]}))
                what = promtool("check", "rules", str(path))
                if what:
                    bad[expr] = what
    return bad


def resolved(expr):
    """The expression with Grafana's own variables set to something."""
    return expr.replace("$__rate_interval", "5m").replace("$__range", "1h")


def check_panel(row, panel, known):
    title = f"{row}, {panel.get('title')}"
    if not panel.get("description"):
        yield f"{title}: has no description"
    if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24:
        yield f"{title}: is wider than the page"
    for target in panel["targets"]:
        if target["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
            yield f"{title}: takes its data from another source than the variable"
        yield from (f"{title}: {what}" for what in complaints_about(resolved(target["expr"]), known))


def check_dashboard(known):
    dashboard = json.loads(read(DASHBOARD))
    complaints = []
    if dashboard.get("uid") != "spindle" or dashboard.get("id") is not None:
        complaints.append("uid is spindle, id null: an import replaces the dashboard that is there")
    names = {v["name"]: v for v in dashboard["templating"]["list"]}
    if names.get("datasource", {}).get("type") != "datasource":
        complaints.append("no variable datasource")
    rows = [p["title"] for p in dashboard["panels"] if p["type"] == "row"]
    if rows != ROWS:
        complaints.append(f"rows are {rows}, not {ROWS}")
    shown = list(panels(dashboard))
    ids = [p["id"] for p in dashboard["panels"]] + [p["id"] for row in dashboard["panels"]
                                                    for p in row.get("panels", [])]
    if len(set(ids)) != len(ids):
        complaints.append("two panels have the same id")
    for row, panel in shown:
        complaints += check_panel(row, panel, known)
    exprs = [resolved(t["expr"]) for _, p in shown for t in p["targets"]]
    queries = [v["query"] for v in names.values() if v["type"] == "query"]
    for query in queries:
        m = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        exprs.append(m[1] if m else query)
        complaints += complaints_about(f"{exprs[-1]} + on ({m[2]}) {exprs[-1]}" if m else query, known)
    complaints += [f"{expr}: {what}" for expr, what in promtool_takes(exprs).items()]
    return [(DASHBOARD, 1, what) for what in complaints]


def main():
    known = families()
    assert any(name.startswith(PREFIX) for name in known), "the pages of metrics cannot be read"
    report([*check_alerts(known), *check_by_promtool(), *check_dashboard(known)])


PROMTOOL = shutil.which("promtool")
if not PROMTOOL:
    print("promtool (package prometheus) is not installed")
    sys.exit(77)
main()

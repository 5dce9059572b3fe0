"""The tables: of the terminal, and of the documentation."""
import json
import math
import platform
import statistics

import agent
from measures import MEASURES
from peers import BASE, PEERS


def machine():
    with open("/proc/cpuinfo") as f:
        models = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.system()
    return {"cpu": models[0] if models else platform.machine(), "cores": len(models),
            "system": system, "kernel": platform.release()}


def median(samples, part="total"):
    values = [s[part] for s in samples or [] if not math.isnan(s[part])]
    return statistics.median(values) if values else math.nan


def number(value):
    return "–" if math.isnan(value) else f"{value:.2f}" if value < 10 else f"{value:,.0f}" \
        if value >= 100 else f"{value:.1f}"


def ratio(value, base):
    return "" if math.isnan(value) or math.isnan(base) else f"{value / base:.2f}"


def rows(report):
    """(label, [value of each peer], [ratio of each peer]) for each measure that was taken."""
    for measure in MEASURES:
        values = {name: median(taken.get(measure.name))
                  for name, taken in report["pairs"].items()}
        if all(math.isnan(v) for v in values.values()):
            continue
        base = values.get(BASE, math.nan)
        yield (measure.label, [number(v) for v in values.values()],
               [ratio(v, base) for v in values.values()])


def agent_rows(report):
    for measure in agent.MEASURES:
        value = median(report["agent"].get(measure.name), "value")
        if not math.isnan(value):
            yield measure.label, number(value)


def label_of(name):
    return next(p.label for p in PEERS if p.name == name)


def terminal(report):
    lines = []
    if report["pairs"]:
        labels = [label_of(name) for name in report["pairs"]]
        lines.append(f"{'':36}" + "".join(f"{label:>17}" for label in labels))
        for label, values, ratios in rows(report):
            cells = (f"{v} ({r})" if r else v for v, r in zip(values, ratios))
            lines.append(f"{label:36}" + "".join(f"{cell:>17}" for cell in cells))
        lines.append(f"Both proxies of a pair together; in brackets the share of"
                     f" {label_of(BASE)}'s cost. Median of {report['rounds']}.")
    lines += [f"{label:48}{value:>10}" for label, value in agent_rows(report)]
    return "\n".join(lines)


def markdown(report):
    about = report["machine"]
    lines = [f"Measured {report['date']} on {about['cores']} cores of {about['cpu']},"
             f" {about['system']}, Linux {about['kernel']}, with `{report['command']}`"
             f" (median of {report['rounds']}).", ""]
    if report["pairs"]:
        names = list(report["pairs"])
        lines += ["| both proxies of a pair | " + " | ".join(label_of(n) for n in names)
                  + " | Spindle to Envoy |",
                  "|---" * (len(names) + 2) + "|"]
        for label, values, ratios in rows(report):
            ours = ratios[names.index("spindle")] if "spindle" in names else ""
            lines.append(f"| {label} | " + " | ".join(values) + f" | {ours or '–'} |")
        lines += ["", "New connections of a Spindle pair agree on X25519MLKEM768, those of the others on"
                  " X25519; the handshake row is X25519 for all.", ""]
    if report["agent"]:
        lines += ["| agent | Spindle |", "|---|---|"]
        lines += [f"| {label} | {value} |" for label, value in agent_rows(report)]
        lines.append("")
    lines.append("Versions: " + "; ".join(report["versions"].values()) + ".")
    return "\n".join(lines) + "\n"


def save(report, path):
    with open(path, "w") as f:
        json.dump(report, f, indent=1)
        f.write("\n")

"""As much of PromQL as the rules about alerts and dashboard need: which series an expression selects,
by which labels it groups; and what our programs offer, from docs/reference/*-metrics.md (which a
system test holds against the programs)."""
import re

from sources import files, read

PAGES = files("docs/reference/*-metrics.md")
PREFIX = "spindle_"
# Labels that Prometheus adds to what it scrapes, and the name of a histogram's bucket.
TARGET_LABELS = {"job", "instance", "le"}
# What an agent adds to the series of its node's sidecars.
NODE_LABELS = {"spiffe_id", "name"}
NOT_OURS = {"up", "ALERTS"}  # series that Prometheus makes by itself
FAMILY_ROW = r"^\| `(\w+)` \| (counter|gauge|histogram) \| ([\w, ]*?) *\|"
VALUES_ROW = r"^\| `(\w+)` \| (\w+) \| (.+) \|$"
GROUPING = r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)"
WORDS = {"and", "or", "unless", "bool", "by", "without", "on", "ignoring", "group_left",
         "group_right", "inf", "nan"}
SELECTOR = r"([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?"
MATCHER = r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"'


class Family:
    """name as exposed, type, labels: {name: set of values, empty where they are open}."""

    def __init__(self, kind, labels):
        self.kind, self.labels = kind, labels


def families():
    """{name of a series: its family}, the parts of histograms each by its own name."""
    found = {}
    for page in PAGES:
        text = read(page)
        for name, kind, labels in re.findall(FAMILY_ROW, text, re.MULTILINE):
            family = found.setdefault(name, Family(kind, {}))
            extra = NODE_LABELS if "sidecar" in page else set()
            for label in {*re.findall(r"\w+", labels), *extra}:
                family.labels.setdefault(label, set())
        for name, label, values in re.findall(VALUES_ROW, text, re.MULTILINE):
            if PREFIX + name in found:
                found[PREFIX + name].labels[label] |= set(values.split(", "))
    for name, family in list(found.items()):
        if family.kind == "histogram":
            found.update({name + part: family for part in ("_bucket", "_count", "_sum")})
            del found[name]
    return found


def selectors(expr):
    """(metric, [(label, operator, value)]) of each selector in the expression."""
    plain = re.sub(r"\[[^\]]*\]|\boffset \w+", "", re.sub(GROUPING, " ", expr))
    for m in re.finditer(SELECTOR, plain):
        rest = plain[m.end():].lstrip()
        inside_text = plain[:m.start()].count('"') % 2
        if not inside_text and not rest.startswith("(") and m[1] not in WORDS:
            yield m[1], re.findall(MATCHER, m[2] or "")


def grouped_by(expr):
    """The labels that the expression groups or joins by."""
    return {label for _, text in re.findall(GROUPING, expr) for label in re.findall(r"\w+", text)}


def complaints_about(expr, known):
    """What the expression says of series that our programs do not have."""
    labels = set(TARGET_LABELS).union(*(f.labels for f in known.values()))
    complaints = [f"no metric has the label {label}" for label in sorted(grouped_by(expr) - labels)]
    for name, matchers in selectors(expr):
        if name in NOT_OURS:
            continue
        if name not in known:
            complaints.append(f"{name} is in no table of metrics")
            continue
        for label, operator, value in matchers:
            values = known[name].labels.get(label)
            if values is None and label not in TARGET_LABELS:
                complaints.append(f"{name} has no label {label}")
            elif values and not value.startswith("$"):
                wanted = value.split("|") if operator in ("=~", "!~") else [value]
                complaints += [f"{name}: {label} is never {w}" for w in wanted if w not in values]
    return complaints

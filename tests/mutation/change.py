"""Small changes of the decisions in a C file: where each stands and what takes its place."""
import collections
import re

# start, stop: what is replaced in the text; line: where that starts
Change = collections.namedtuple("Change", "start stop new line")

COMPARISONS = {"==": ["!="], "!=": ["=="], "<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"]}
NEGATION = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "&": "|", "|": "&", "^": "&", "<<": ">>", ">>": "<<"}
ASSIGNMENTS = {"+=": "-=", "-=": "+=", "|=": "=", "&=": "=", "*=": "+=", "<<=": "="}
# What cannot be a decision: assertions, the log, and giving memory and descriptors back (a forgotten
# free is for the address sanitizer to find).
NO_DECISION = re.compile(r"(static_)?assert\b|log_\w+\(|va_\w+\(|close\(|\w+_(free|unref|done|wipe|close)\(|\(void\)")
STATEMENT = re.compile(r"^ +([\w*(][^;{}]*?;)$", re.MULTILINE)
CALL = re.compile(r"[\w>.-]+\(")
ASSIGNED = re.compile(r"\**[\w.>\[\]+ -]*?[\w\])] ?([-+|&*]|<<)?= |\**[\w.>-]+(\+\+|--);")
DECLARED = re.compile(r"(static |const |struct |enum |unsigned |[a-z]\w* \**)[\w*][\w ,*\[\]]*( = |;|\[)")


def closing(code, start):
    """Behind the parenthesis that closes the one at start."""
    depth = 0
    for at in range(start, len(code)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if depth == 0:
            return at + 1
    return len(code)


def functions(code):
    """(start, stop, header) of each function's body: its braces stand in the first column."""
    for m in re.finditer(r"^([^\s#/}{].*\n(?:[ \t].*\n)*)\{\n((?:(?!\}).*\n)*)\}", code, re.MULTILINE):
        yield m.start(2), m.end(2), m[1]


def function_at(code, at):
    """The name of the function in which a change stands, and its first line; ("", the line behind) in none."""
    for start, stop, header in functions(code):
        if start <= at.start < stop:
            return re.search(r"(\w+)\(", header)[1], code.count("\n", 0, start)
    return "", at.line + 1


def operators(code):
    """Comparisons turned or moved by one, `and` for `or`, arithmetic, negations, true and false. A whole condition is
    not negated: whoever tells it from true and from false would see that too."""
    whole = [(m.end(), closing(code, m.end() - 1) - 1) for m in re.finditer(r"\bif \(", code)]
    whole = {span for span in whole if not re.search(r"&&|\|\||\?", code[slice(*span)])}
    for m in re.finditer(r"(?<= )(==|!=|<=|>=|<|>)(?=\s)", code):
        is_whole = any(a <= m.start() < b and code.count("(", a, m.start()) == code.count(")", a, m.start())
                       for a, b in whole)
        for new in COMPARISONS[m[0]]:
            if not (is_whole and new == NEGATION[m[0]]):
                yield m.start(), m.end(), new
    for m in re.finditer(r"&&|\|\|", code):
        yield m.start(), m.end(), "||" if m[0] == "&&" else "&&"
    for m in re.finditer(r"(?<=[\w)\]] )(<<|>>|[-+*/%&|^])(?=\s+[^\sA-Z])", code):
        yield m.start(), m.end(), ARITHMETIC[m[0]]
    for m in re.finditer(r"(?<= )(<<=|[-+|&*]=)(?=\s)", code):
        yield m.start(), m.end(), ASSIGNMENTS[m[0]]
    for m in re.finditer(r"(\+\+|--)(?=[;\],])", code):
        yield m.start(), m.end(), "--" if m[0] == "++" else "++"
    for m in re.finditer(r"!(?=[\w(])", code):
        if not any(a == m.start() for a, _ in whole):
            yield m.start(), m.end(), ""
    for m in re.finditer(r"\b(true|false)\b", code):
        yield m.start(), m.end(), "false" if m[0] == "true" else "true"


def numbers(code):
    """Bounds moved by one: what is compared with, what is added or taken away, what is answered."""
    for m in re.finditer(r"(?:(?<= )[<>]=?|[\w)\]] [+-]|\breturn) (0x[0-9a-fA-F]+|\d+)(?=[uUlL]*\b(?![.\"']))", code):
        yield from moved(m)


def constants(code):
    """The numbers of #define and enum, which stand outside of functions."""
    for m in re.finditer(r"^(?:#define \w+ +\(?|(?:enum \{)? +[A-Z]\w* = )(\d+)\b(?![.\"'])", code, re.MULTILINE):
        yield from moved(m)


def moved(m):
    is_octal = len(m[1]) > 1 and m[1].isdigit() and m[1][0] == "0"
    value = int(m[1], 8 if is_octal else 0)
    for new in [value + 1] + [value - 1] * (value > 0):
        yield m.start(1), m.end(1), f"0{new:o}" if is_octal else hex(new) if "x" in m[1] else str(new)


def conditions(text, code):
    """Checks whose outcome is fixed; what they call is still called."""
    for m in re.finditer(r"\b(if|while) \(", code):
        stop = closing(code, m.end() - 1)
        inside = text[m.end():stop - 1]
        yield m.end(), stop - 1, f"({inside}) && false"
        if m[1] == "if":
            yield m.end(), stop - 1, f"({inside}) || true"
    for m in re.finditer(r"(?<=[\w)])\s+\?(?=\s)", code):
        if not re.search(r"[=!]=|[<>]|&&|\|\|", code[code.rfind("\n", 0, m.start()) + 1:m.start()]):
            yield m.start(), m.end(), " && false ?"
            yield m.start(), m.end(), " || true ?"


def returns(text, code, header):
    """Success for an error, an error for success, the opposite of a plain answer."""
    for m in re.finditer(r"\breturn ([^;]+);", code):
        value = text[m.start(1):m.end(1)]
        if m[1] == "ERR_OK":
            yield m.start(1), m.end(1), "ERR_INTERNAL"
        elif re.match(r"(ERR_|why_set|why_errno)|err$", m[1]):
            yield m.start(1), m.end(1), f"({value}, ERR_OK)"
        elif re.match(r"(static )?bool ", header) and not re.search(r"[=!<>]=| [<>] |&&|\|\||^(true|false)$|^!", m[1]):
            yield m.start(1), m.end(1), f"!({value})"


def removals(code):
    """Statements left out. One that a check alone decides on goes with its check."""
    for m in STATEMENT.finditer(code):
        above = code[:m.start(1)].rstrip().rsplit("\n", 1)[-1].strip()
        follows_check = re.match(r"(\} )?(if|else|for|while)\b", above) and not above.endswith("{")
        if follows_check or NO_DECISION.match(m[1]) or DECLARED.match(m[1]) and not re.match(r"(return|goto)\b", m[1]):
            continue
        is_jump = re.match(r"(return\b.*|goto \w+|break|continue);", m[1], re.DOTALL) and m.start(1) - m.start() > 4
        if is_jump or not m[1].startswith("return") and (CALL.match(m[1]) or ASSIGNED.match(m[1])):
            yield m.start(1), m.end(1), ";"


def in_function(text, code, header):
    yield from operators(code)
    yield from numbers(code)
    yield from conditions(text, code)
    yield from returns(text, code, header)
    yield from removals(code)


def quiet_spans(code):
    """Statements in which nothing is changed: assertions and log lines."""
    for m in re.finditer(r"^ +((static_)?assert|log_\w+)\(", code, re.MULTILINE):
        yield m.start(), closing(code, m.end() - 1)


def changes(text, code):
    """All changes of a file, in order. code: the text without comments and the insides of strings."""
    found = set()
    bodies = list(functions(code))
    outside = list(code)
    for start, stop, header in bodies:
        found |= {(start + a, start + b, new) for a, b, new in in_function(text[start:stop], code[start:stop], header)}
        outside[start:stop] = re.sub(r"[^\n]", " ", code[start:stop])
    found |= set(constants("".join(outside)))
    quiet = list(quiet_spans(code))
    return [Change(a, b, new, text.count("\n", 0, a) + 1) for a, b, new in sorted(found)
            if not any(start <= a < stop for start, stop in quiet)]


def apply(text, change):
    """The text with the change; lines stay where they are."""
    lost = text.count("\n", change.start, change.stop) - change.new.count("\n")
    return text[:change.start] + change.new + "\n" * lost + text[change.stop:]


def described(text, change):
    """`original -> mutated`: the lines concerned, each as one line."""
    start = text.rfind("\n", 0, change.start) + 1
    stop = text.find("\n", change.stop)
    new = text[start:change.start] + change.new + text[change.stop:stop]
    return " -> ".join(" ".join(part.split()) for part in (text[start:stop], new))

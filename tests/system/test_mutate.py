"""tests/mutate, which shows what no test would miss: the changes it makes, the list it subtracts, its bounds."""
import importlib
import sys

import pytest

from harness import ROOT

CODE = """#define MOST 8
static bool is_fit(const char *text, int n) /* n < 3 in a comment is no code */
{
    if (text == NULL || n > 7)
        return false;
    assert(n >= 0);
    call(text, "a < b");
    return n + 1 <= MOST;
}
"""


@pytest.fixture
def part(monkeypatch):
    """part(NAME): a part of tests/mutate."""
    for folder in ("lint", "mutation"):
        monkeypatch.syspath_prepend(str(ROOT / "tests" / folder))
    yield importlib.import_module
    for name in ("change", "equivalent", "sources", "suite", "tree"):
        sys.modules.pop(name, None)


def described(part, text):
    change = part("change")
    return [(at.line, change.described(text, at)) for at in change.changes(text, part("sources").blanked(text))]


def test_each_decision_is_changed_and_nothing_else(part):
    check = "if (text == NULL || n > 7)"
    assert described(part, CODE) == [
        (1, "#define MOST 8 -> #define MOST 7"), (1, "#define MOST 8 -> #define MOST 9"),
        (4, f"{check} -> if ((text == NULL || n > 7) && false)"),
        (4, f"{check} -> if ((text == NULL || n > 7) || true)"),
        (4, f"{check} -> if (text != NULL || n > 7)"), (4, f"{check} -> if (text == NULL && n > 7)"),
        (4, f"{check} -> if (text == NULL || n <= 7)"), (4, f"{check} -> if (text == NULL || n >= 7)"),
        (4, f"{check} -> if (text == NULL || n > 6)"), (4, f"{check} -> if (text == NULL || n > 8)"),
        (5, "return false; -> return true;"), (7, 'call(text, "a < b"); -> ;'),
        (8, "return n + 1 <= MOST; -> return n - 1 <= MOST;"),
        (8, "return n + 1 <= MOST; -> return n + 0 <= MOST;"), (8, "return n + 1 <= MOST; -> return n + 2 <= MOST;"),
        (8, "return n + 1 <= MOST; -> return n + 1 < MOST;"), (8, "return n + 1 <= MOST; -> return n + 1 > MOST;")]


def test_a_change_knows_its_function(part):
    change, code = part("change"), part("sources").blanked(CODE)
    found = change.changes(CODE, code)
    assert change.function_at(code, found[-1]) == ("is_fit", 3)
    assert change.function_at(code, found[0]) == ("", 2)


def test_an_error_is_swapped_with_success(part):
    text = 'err_t x(void)\n{\n    if (y)\n        return why_set(why,\n                       "no");\n    return ERR_OK;\n}\n'
    found = described(part, text)
    assert (4, 'return why_set(why, "no"); -> return (why_set(why, "no"), ERR_OK);') in found
    assert (6, "return ERR_OK; -> return ERR_INTERNAL;") in found


def test_a_change_moves_no_line(part):
    change = part("change")
    for at in change.changes(CODE, part("sources").blanked(CODE)):
        changed = change.apply(CODE, at)
        assert changed != CODE
        assert changed.count("\n") == CODE.count("\n")


def test_a_reviewed_change_needs_a_reason(part):
    equivalent = part("equivalent")
    known = equivalent.read("# head\na/*.c: x < 1 -> x <= 1\nb.c: y -> z\n    never 1,\n    see there\n")
    assert equivalent.why(known, "a/q.c", "f", "x < 1 -> x <= 1") == "never 1, see there"
    assert equivalent.why(known, "b.c", "f", "x < 1 -> x <= 1") is None
    known = equivalent.read("c.c:g: y -> z\n    g is pure\n")
    assert equivalent.why(known, "c.c", "g", "y -> z") == "g is pure"
    assert equivalent.why(known, "c.c", "f", "y -> z") is None
    with pytest.raises(ValueError, match="no reason"):
        equivalent.read("a.c: x -> y\n")


@pytest.mark.parametrize("script, verdict", [("exit 0", "passed"), ("exit 1", "failed"), ("kill -SEGV $$", "failed"),
                                             ("sleep 600 & sleep 600", "hangs")])
def test_a_suite_passes_fails_or_hangs(part, tmp_path, script, verdict):
    program = tmp_path / "suite"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    assert part("suite").run(program, tmp_path / "work", 0.5 if verdict == "hangs" else 60) == verdict
    assert not (tmp_path / "work" / "tmp").exists()


def test_every_reviewed_change_is_still_a_change(part):
    """What was reviewed belongs to the code as it is now."""
    equivalent, sources = part("equivalent"), part("sources")
    there = {}
    for path in sources.files("*.c"):
        there.setdefault(path, {what for _, what in described(part, sources.read(path))})
    for place, what in equivalent.reviewed():
        pattern = place.split(":")[0]
        matching = sources.files(pattern) if "*" in pattern else [pattern]
        assert any(what in there.get(path, ()) for path in matching), f"{pattern}: {what}"

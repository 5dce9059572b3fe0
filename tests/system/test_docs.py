"""The reference pages in docs/reference are what the programs print today."""
import harness

PAGES = harness.ROOT / "docs/reference"


def test_reference_pages_are_fresh(site):
    made = site.path("pages")
    made.mkdir()
    got = site.run(PAGES / "make", harness.program_path("spindle-agent").parent, made)
    assert got.code == 0, got
    harness.program_path("spindle-sidecar")
    fresh = {p.name: p.read_text() for p in made.iterdir()}
    committed = {p.name: p.read_text() for p in PAGES.glob("*.md")}
    assert sorted(fresh) == sorted(committed)
    stale = [name for name, text in sorted(fresh.items()) if committed[name] != text]
    assert not stale, f"run docs/reference/make and commit: {', '.join(stale)}"

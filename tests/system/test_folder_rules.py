"""The rules about folders and circles see what they are there for: each test breaks a small tree of its own."""
import pathlib
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.plain_only
LINT = pathlib.Path(__file__).resolve().parents[1] / "lint"


def run(*command, cwd):
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)


class Tree:
    """common/low below common/high; high uses low, and all rules hold."""

    def __init__(self, root):
        self.root = root
        shutil.copytree(LINT, root / "tests/lint", ignore=shutil.ignore_patterns("__pycache__"))
        self.rows("spindle_folder(common/low)", "spindle_folder(common/high\n  USES common/low\n  LIBS m)")
        for top in ("agent", "sidecar"):
            self.write(f"{top}/CMakeLists.txt", "")
        self.write("common/low/ground.h", "int ground(void);\n")
        self.write("common/low/ground.c", '#include "common/low/ground.h"\nint ground(void) { return 1; }\n')
        self.write("common/high/roof.h", '#include "common/low/ground.h"\nint roof(void);\n')
        self.write("common/high/roof.c", '#include "common/high/roof.h"\nint roof(void) { return ground(); }\n')
        run("git", "init", "-q", cwd=root)

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def rows(self, *rows):
        self.write("common/CMakeLists.txt", "\n".join(rows) + "\n")

    def folders(self):
        """What the rule says, after the picture is drawn anew."""
        (self.root / "docs").mkdir(exist_ok=True)
        run("python3", "-B", "tests/lint/draw_folders.py", cwd=self.root)
        return run("python3", "-B", "tests/lint/check_folders.py", cwd=self.root)

    def calls(self):
        build = self.root / "build"
        build.mkdir()
        rows = []
        for source in sorted(self.root.glob("common/*/*.c")):
            command = f"cc -I{self.root} -c {source} -o {source.stem}.o"
            done = run(*command.split(), cwd=build)
            assert done.returncode == 0, done.stderr
            rows.append(f'{{"file": "{source}", "command": "{command}"}}')
        (build / "compile_commands.json").write_text(f"[{','.join(rows)}]")
        return run("python3", "-B", "tests/lint/call_circles.py", build, cwd=self.root)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_a_tree_in_order_passes(tree):
    for said in (tree.folders(), tree.calls()):
        assert (said.returncode, said.stdout) == (0, ""), said


def test_an_include_that_no_line_allows_is_told(tree):
    tree.rows("spindle_folder(common/low)", "spindle_folder(common/high)")
    said = tree.folders()
    assert said.returncode == 1 and "common/high may not use common/low" in said.stdout, said


def test_an_allowance_that_nobody_uses_is_told(tree):
    tree.write("common/high/roof.h", "int roof(void);\n")
    tree.write("common/high/roof.c", "int roof(void) { return 1; }\n")
    said = tree.folders()
    assert said.returncode == 1 and "includes nothing from common/low" in said.stdout, said


def test_a_circle_of_folders_is_told(tree):
    tree.rows("spindle_folder(common/low USES common/high)", "spindle_folder(common/high USES common/low)")
    tree.write("common/low/cellar.c", '#include "common/high/roof.h"\n')
    said = tree.folders()
    assert said.returncode == 1 and "a circle of folders: common/high common/low" in said.stdout, said
    assert "common/low uses common/high, which stands below it" in said.stdout, said


def test_nouns_that_include_one_another_are_told(tree):
    tree.write("common/low/wall.h", "int wall(void);\n")
    tree.write("common/low/wall.c", '#include "common/low/ground.h"\n')
    tree.write("common/low/ground.c", '#include "common/low/wall.h"\n')
    said = tree.folders()
    assert said.returncode == 1 and "include one another: common/low/ground common/low/wall" in said.stdout, said


def test_nouns_that_call_one_another_are_told_though_no_include_shows_it(tree):
    tree.write("common/low/ground.c", "int wall(void);\nint ground(void) { return wall(); }\n")
    tree.write("common/low/wall.c", "int ground(void);\nint wall(void) { return ground(); }\n")
    said = tree.calls()
    assert said.returncode == 1 and "call one another: common/low/ground common/low/wall" in said.stdout, said
    assert tree.folders().returncode == 0


def test_the_files_of_one_noun_may_call_one_another(tree):
    tree.write("common/low/ground_internal.h", "int ground_deep(void);\n")
    tree.write("common/low/ground.c", "int ground_deep(void);\nint ground(void) { return ground_deep(); }\n")
    tree.write("common/low/ground_deep.c", "int ground(void);\nint ground_deep(void) { return ground(); }\n")
    said = tree.calls()
    assert (said.returncode, said.stdout) == (0, ""), said


def test_a_picture_of_yesterday_is_told(tree):
    assert tree.folders().returncode == 0
    (tree.root / "docs/folders.svg").write_text("<svg/>")
    said = run("python3", "-B", "tests/lint/check_folders.py", cwd=tree.root)
    assert said.returncode == 1 and "docs/folders.svg:1: is not of today" in said.stdout, said

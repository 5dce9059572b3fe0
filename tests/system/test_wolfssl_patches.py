"""How deploy/deps applies our patches to wolfSSL's source (deploy/wolfssl/patches.sh)."""
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = "".join(f"line {n}\n" for n in range(1, 21))


def a_patch(old, new, name="file.c"):
    """A patch as `diff -U1` writes it, that changes one line of SOURCE."""
    n = int(old.split()[1])
    return (f"Why it is there\n\n--- a/{name}\n+++ b/{name}\n@@ -{n - 1},3 +{n - 1},3 @@\n"
            f" line {n - 1}\n-{old}\n+{new}\n line {n + 1}\n")


@pytest.fixture
def tree(tmp_path):
    """A source and a folder of patches; `tree(call)` runs a function of patches.sh on them."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/file.c").write_text(SOURCE)
    (tmp_path / "patches/1.2.0").mkdir(parents=True)

    def run(call):
        script = f'. "{ROOT}/deploy/lib.sh"; . "{ROOT}/deploy/wolfssl/patches.sh"; cd "{tmp_path}"; {call}'
        return subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=False)
    run.path = tmp_path
    run.patch = lambda name, text, version="1.2.0": (tmp_path / "patches" / version / name).write_text(text)
    run.source = lambda: (tmp_path / "src/file.c").read_text()
    return run


def apply(tree, version, kind):
    return tree(f"patches_apply $PWD/log $PWD/patches $PWD/src {version} {kind}")


def test_patches_are_applied_in_the_order_of_their_numbers(tree):
    tree.patch("20-second.patch", a_patch("line 10", "other"))
    tree.patch("10-first.patch", a_patch("line 2", "better"))
    tree.patch("30-third.patch", a_patch("line 10", "last").replace("-line 10", "-other"))
    done = apply(tree, "1.2.0", "pinned")
    assert (done.returncode, done.stdout.split()) == (0, ["10-first", "20-second", "30-third"])
    assert tree.source() == SOURCE.replace("line 2\n", "better\n").replace("line 10\n", "last\n")


def test_a_patch_that_does_not_apply_to_the_pinned_version_ends_the_build(tree):
    tree.patch("10-first.patch", a_patch("line 2", "better"))
    tree.patch("20-wrong.patch", a_patch("line 10", "other").replace("-line 10", "-nothing like it"))
    tree.patch("30-never.patch", a_patch("line 15", "never"))
    done = apply(tree, "1.2.0", "pinned")
    assert done.returncode == 1
    assert "patch 20-wrong does not apply to this version of wolfSSL, which is pinned" in done.stderr
    assert "patches/1.2.0/20-wrong.patch" in done.stderr and "never" not in tree.source()


def test_on_the_pinned_version_a_patch_must_fit_exactly(tree):
    tree.patch("10-near.patch", a_patch("line 10", "other").replace(" line 9\n", " line nine\n"))
    assert apply(tree, "1.2.0", "pinned").returncode == 1
    assert tree.source() == SOURCE


def test_a_newer_version_that_has_the_change_already_is_left_alone(tree):
    tree.patch("10-first.patch", a_patch("line 2", "better"))
    tree.patch("20-second.patch", a_patch("line 10", "other"))
    (tree.path / "src/file.c").write_text(SOURCE.replace("line 2\n", "better\n"))
    done = apply(tree, "1.3.0", "newer")
    assert (done.returncode, done.stdout.split()) == (0, ["20-second"])
    assert "patch 10-first is in this version of wolfSSL already, skipped" in done.stderr


def test_a_newer_version_that_a_patch_does_not_fit_is_warned_about_and_built(tree):
    tree.patch("10-first.patch", a_patch("line 2", "better"))
    tree.patch("20-second.patch", a_patch("line 10", "other"))
    (tree.path / "src/file.c").write_text(SOURCE.replace("line 2\n", "quite different\n"))
    done = apply(tree, "1.3.0", "newer")
    assert (done.returncode, done.stdout.split()) == (0, ["20-second"])
    assert "warning: patch 10-first does not apply" in done.stderr
    assert "quite different" in tree.source()


def test_patches_of_the_nearest_older_version_are_taken(tree):
    for version in ("1.1.0", "1.10.0"):
        (tree.path / "patches" / version).mkdir()
        tree.patch(f"10-of-{version}.patch", "", version)
    tree.patch("10-of-1.2.0.patch", "")
    taken = {v: tree(f"patches_list patches {v}").stdout.strip().rpartition("of-")[2]
             for v in ("1.0.0", "1.1.5", "1.2.0", "1.9.0", "1.11.0")}
    assert taken == {"1.0.0": "", "1.1.5": "1.1.0.patch", "1.2.0": "1.2.0.patch", "1.9.0": "1.2.0.patch",
                     "1.11.0": "1.10.0.patch"}


def test_a_change_of_name_or_bytes_changes_what_the_build_is_known_by(tree):
    known = [tree("patches_content patches").stdout]
    tree.patch("10-first.patch", a_patch("line 2", "better"))
    known.append(tree("patches_content patches").stdout)
    tree.patch("10-first.patch", a_patch("line 2", "best"))
    known.append(tree("patches_content patches").stdout)
    (tree.path / "patches/1.2.0/10-first.patch").rename(tree.path / "patches/1.2.0/11-first.patch")
    known.append(tree("patches_content patches").stdout)
    assert len(set(known)) == 4


def test_every_patch_of_ours_says_why_it_is_there():
    patches = sorted(ROOT.glob("deploy/wolfssl/patches/*/*.patch"))
    assert patches
    for patch in patches:
        head = patch.read_text().split("\n--- a/")[0]
        assert "\nHere:" in head and "\nUpstream:" in head, f"{patch}: its head lacks Here: or Upstream:"

"""The reviewed changes that nobody can see: `path: original -> mutated` and, indented below, why. A path may hold *, or
be `path:function` for lines that stand in others as well."""
import fnmatch
import pathlib

LIST = pathlib.Path(__file__).with_name("equivalent.txt")


def read(text):
    """{(path, "original -> mutated"): why}"""
    reviewed, last = {}, []
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("#") or not line.strip():
            continue
        if line[0].isspace():
            for key in last:
                reviewed[key] = (reviewed[key] + " " + line.strip()).strip()
            continue
        path, colon, what = line.partition(": ")
        if not colon or " -> " not in what:
            raise ValueError(f"{LIST.name}:{number}: expected `path: original -> mutated`")
        if all(reviewed[key] for key in last):  # several may share a reason
            last = []
        last.append((path, what.strip()))
        reviewed[last[-1]] = ""
    unexplained = [what for (_, what), why in reviewed.items() if not why]
    if unexplained:
        raise ValueError(f"{LIST.name}: no reason for `{unexplained[0]}`")
    return reviewed


def why(reviewed, path, function, what):
    """The reason; None when the change has not been reviewed."""
    return next((reason for (pattern, known), reason in reviewed.items() if known == what and
                 any(fnmatch.fnmatch(place, pattern) for place in (path, f"{path}:{function}"))), None)


def reviewed():
    return read(LIST.read_text()) if LIST.exists() else {}

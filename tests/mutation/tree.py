"""The copy in which files are changed: its folder, how one file is compiled and one suite linked there."""
import json
import pathlib
import shlex
import shutil
import subprocess

import sources

HOME = sources.ROOT / "build" / "mutate"
LIBRARY = "changed.so"
GOLD = ["-fuse-ld=gold"] if shutil.which("ld.gold") else []


class Broken(Exception):
    """The copy cannot be built; the text says why."""


def called(command, **more):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", **more)


def needed(command, **more):
    done = called(command, **more)
    if done.returncode != 0:
        raise Broken(f"{' '.join(map(str, command))[:200]} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


class Tree:
    """sanitize: the sanitizers it is built with, "" for none. Nothing of it is ever changed but by refresh."""

    def __init__(self, sanitize=""):
        self.source = HOME / "tree"
        self.build = HOME / ("build-" + sanitize.replace(",", "-") if sanitize else "build")
        self.sanitize = sanitize
        self.commands = {}

    def refresh(self):
        """Copies what is newer in the working tree and builds all of it."""
        wanted = {f for f in sources.files("*") if not f.startswith("docs/")}
        for path in self.source.rglob("*"):
            if path.is_file() and str(path.relative_to(self.source)) not in wanted:
                path.unlink()
        for name in wanted:
            old, new = sources.ROOT / name, self.source / name
            if not new.exists() or new.stat().st_mtime_ns != old.stat().st_mtime_ns:
                new.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(old, new)
        needed(["cmake", "-G", "Ninja", "-S", self.source, "-B", self.build, "-DCMAKE_BUILD_TYPE=Debug",
                "-DCMAKE_C_FLAGS_DEBUG=-O0" + (" -g1" if self.sanitize else ""), f"-DSPINDLE_SANITIZE={self.sanitize}",
                f"-DSPINDLE_WOLFSSL={sources.ROOT / 'build/deps/wolfssl'}"])
        needed(["ninja", "-C", self.build])
        listed = json.loads((self.build / "compile_commands.json").read_text())
        self.commands = {str(pathlib.Path(c["file"]).relative_to(self.source)): shlex.split(c["command"])
                         for c in listed if pathlib.Path(c["file"]).is_relative_to(self.source)}

    def object(self, path):
        """The object of a file, as the copy has it."""
        if path not in self.commands:
            raise Broken(f"{path}: no file that is compiled")
        return self.build / self.commands[path][self.commands[path].index("-o") + 1]

    def compile(self, path, source, out, *flags):
        """Compiles source in the place of path. False: it is not C."""
        command = list(self.commands[path])
        while command[0].endswith("ccache"):
            del command[0]
        command[command.index("-o") + 1] = str(out)
        command[-1] = str(source)
        return called([*command, "-w", "-fPIC", *flags], cwd=self.build).returncode == 0

    def suites(self, path):
        """The suites that hold the file: those which define what it defines."""
        def defined(files):
            return needed(["nm", "-A", "--defined-only", "--extern-only", *files], cwd=self.build).split("\n")
        words = [line.split() for line in defined([self.object(path)]) if line]
        symbols = {word[-1] for word in words if word[-2] in "TDRB"}
        programs = sorted((self.build / "tests").glob("test_*"))
        lines = (line.split() for line in defined([p for p in programs if p.is_file()]) if line)
        return sorted({pathlib.Path(w[0].rsplit(":", 1)[0]).name for w in lines if w[-1] in symbols})

    def link_command(self, suite):
        line = needed(["ninja", "-C", self.build, "-t", "commands", "-s", f"tests/{suite}"]).strip().split("\n")[-1]
        return shlex.split(line.split(" && ")[1])

    def wraps(self, suite):
        """What of the C library the suite puts something in the place of."""
        return tuple(word for word in self.link_command(suite) if word.startswith("-Wl,--wrap"))

    def share(self, changed, out, *flags):
        """Makes a library of the changed object alone; suites find it at run time."""
        needed(["cc", "-shared", f"-Wl,-soname,{LIBRARY}", "-Wl,-z,lazy", changed, "-o", out, *GOLD, *flags])

    def link(self, suite, library, out, *flags):
        """Links a suite with that library before those that hold the file: nothing is taken from them."""
        command = self.link_command(suite)
        command[command.index("-o") + 1] = str(out)
        first = next(i for i, word in enumerate(command) if word.endswith(".a"))
        needed([*command[:first], library, *command[first:], "-rdynamic", *GOLD, *flags], cwd=self.build)

"""What machine code does with the upper halves of the vector registers, found without running it.

Two faults of hand-written assembly that no ordinary test shows:
  taken     an instruction uses all of a register whose upper half the function found as it was (set by
            the old form of MOVD, say, which leaves that half alone);
  left      a function returns, or jumps to another, with an upper half that it wrote and did not clear.

    python3 tests/system/vector_halves.py build/deps/wolfssl/lib/libwolfssl.a

Each function is walked along its jumps; of each register is remembered what its upper half may be. A call
may leave anything. x86-64 only: the vector registers of other machines have no such half.
"""
import re
import subprocess
import sys

CLEAR, WRITTEN, FOUND = 1, 2, 4  # what an upper half may be, as a set of bits
REGISTERS = 16                   # those above them do not exist for the old instructions
REGISTER = re.compile(r"%([xyz])mm(\d+)")
LOCAL = re.compile(r"^\.?L_?")
# Instructions whose last operand is read, not written.
READS_ALL = re.compile(r"^v?(p?test(p[sd])?|u?comis[sd]|p?movmskp?[sdb])$")
# x OP x is 0 (or all ones) whatever x was.
MAKES_ITS_OWN = re.compile(r"^v(pxor[dq]?|xorp[sd]|psub[bwdq]|pcmpeq[bwdq])$")
PREFIX = re.compile(r"^(bnd|repz?|repnz|notrack|data16|cs|lock)\s+")


def disassemble(path):
    """{(object, function): [(address, text)]}; local labels belong to the function before them."""
    out = subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(path)], capture_output=True, text=True,
                         check=True).stdout
    functions, where, code = {}, "", None
    for line in out.splitlines():
        if m := re.match(r"^(\S+):\s+file format", line):
            where, code = m[1], None
        elif m := re.match(r"^[0-9a-f]+ <(.+)>:$", line):
            if code is None or not LOCAL.match(m[1]):
                code = functions.setdefault((where, m[1]), [])
        elif (m := re.match(r"^\s+([0-9a-f]+):\t(.*)$", line)) and code is not None:
            code.append((int(m[1], 16), m[2]))
    return functions


def operands(text):
    """Split at the commas that are not inside brackets: '8(%rax,%rcx,4),%ymm0' has two."""
    return [o.strip() for o in re.split(r",(?![^({]*[)}])", text)] if text else []


def parse(text):
    text = text.split("#")[0].split("<")[0].strip()
    while m := PREFIX.match(text):
        text = text[m.end():]
    name, _, rest = text.partition(" ")
    return name, operands(rest.strip())


def wide_reads(name, ops):
    """Numbers of the registers of which the instruction uses more than the lower half."""
    if MAKES_ITS_OWN.match(name) and len(ops) == 3 and ops[0] == ops[1]:
        return set()
    read = ops if READS_ALL.match(name) else ops[:-1]
    return {int(n) for o in read for kind, n in REGISTER.findall(o) if kind in "yz" and int(n) < REGISTERS}


class Walk:
    """One function. `taken` and `left` are lists of (address, text, registers)."""

    def __init__(self, code):
        self.code = code
        self.index = {address: i for i, (address, _) in enumerate(code)}
        self.seen, self.taken, self.left = {}, {}, {}
        todo = [(0, (FOUND,) * REGISTERS)]
        while todo:
            todo += self.step(*todo.pop())

    def step(self, i, state):
        """What instruction i does to the state: [(next instruction, state)]."""
        if i >= len(self.code):
            return []
        state = tuple(a | b for a, b in zip(state, self.seen.get(i, (0,) * REGISTERS)))
        if self.seen.get(i) == state:
            return []
        self.seen[i] = state
        address, text = self.code[i]
        name, ops = parse(text)
        if name.startswith("j"):
            return self.jump(i, name, ops, state)
        if name in ("ret", "retq"):
            self.leave(address, text, state)
            return []
        if name in ("ud2", "hlt"):
            return []
        return [(i + 1, self.run(address, text, name, ops, list(state)))]

    def jump(self, i, name, ops, state):
        address, text = self.code[i]
        target = self.index.get(int(ops[0], 16)) if ops and re.fullmatch("[0-9a-f]+", ops[0]) else None
        after = [] if target is None else [(target, state)]
        if name in ("jmp", "jmpq"):
            if target is None:
                self.leave(address, text, state)
            return after
        return after + [(i + 1, state)]

    def leave(self, address, text, state):
        if dirty := [n for n in range(REGISTERS) if state[n] & WRITTEN]:
            self.left[address] = (text, dirty)

    def run(self, address, text, name, ops, state):
        if name in ("vzeroupper", "vzeroall"):
            return (CLEAR,) * REGISTERS
        if name in ("call", "callq"):
            return tuple(s | FOUND for s in state)
        if found := [n for n in wide_reads(name, ops) if state[n] & FOUND]:
            self.taken[address] = (text, found)
        target = REGISTER.match(ops[-1]) if ops and not READS_ALL.match(name) else None
        if target and int(target[2]) < REGISTERS and name.startswith("v"):
            state[int(target[2])] = CLEAR if target[1] == "x" else WRITTEN
        return tuple(state)


def faults(path):
    """[(object, function, 'taken'|'left', address, text)] of a library or object file."""
    rows = []
    for (where, name), code in disassemble(path).items():
        walk = Walk(code)
        rows += [(where, name, "taken", a, t) for a, (t, _) in sorted(walk.taken.items())]
        rows += [(where, name, "left", a, t) for a, (t, _) in sorted(walk.left.items())]
    return rows


def main():
    found = faults(sys.argv[1])
    for where, name, what, address, text in found:
        print(f"{where}: {name}: {what} at {address:#x}: {text}")
    print(f"{len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

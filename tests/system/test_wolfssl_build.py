"""The wolfSSL that the programs are linked with: what its machine code does with vector registers."""
import pathlib
import platform
import subprocess

import pytest

import vector_halves

LIBRARY = pathlib.Path(__file__).resolve().parents[2] / "build/deps/wolfssl/lib/libwolfssl.a"
pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="vector registers without upper halves")


def test_no_function_takes_or_leaves_upper_halves_of_vector_registers():
    assert vector_halves.faults(LIBRARY) == []


# One function each, and what is wrong with it.
CODE = {
    "movd_then_whole": ("movd %eax, %xmm9; vmovdqa %ymm9, %ymm3; vzeroupper; ret", ["taken"]),
    "vmovd_then_whole": ("vmovd %eax, %xmm9; vmovdqa %ymm9, %ymm3; vzeroupper; ret", []),
    "found_as_it_was": ("vpaddd %ymm1, %ymm2, %ymm3; vzeroupper; ret", ["taken"]),
    "lower_half_only": ("vpaddd %xmm1, %xmm2, %xmm3; ret", []),
    "made_zero": ("vpxor %ymm1, %ymm1, %ymm1; vmovdqu %ymm1, (%rdi); vzeroupper; ret", []),
    "returns_dirty": ("vmovdqu (%rsi), %ymm1; vmovdqu %ymm1, (%rdi); ret", ["left"]),
    "cleared_by_writing_the_lower_half": ("vmovdqu (%rsi), %ymm1; vpxor %xmm1, %xmm1, %xmm1; ret", []),
    "dirty_on_one_way": ("test %eax, %eax; je 1f; vmovdqu (%rsi), %ymm1; 1: ret", ["left"]),
    "clean_on_both_ways": ("vmovdqu (%rsi), %ymm1; je 1f; vzeroupper; ret; 1: vzeroupper; ret", []),
    "jumps_on_dirty": ("vmovdqu (%rsi), %ymm1; jmp *%rax", ["left"]),
    "a_call_leaves_anything": ("vmovd %eax, %xmm1; call *%rax; vmovdqa %ymm1, %ymm2; vzeroupper; ret", ["taken"]),
    "dirty_after_a_call": ("vmovdqu (%rsi), %ymm1; call *%rax; ret", ["left"]),
    "dirty_in_a_loop": ("1: movd %eax, %xmm1; vpaddd %ymm1, %ymm1, %ymm1; dec %eax; jne 1b; vzeroupper; ret",
                        ["taken"]),
}


@pytest.mark.parametrize("name", CODE)
def test_the_walk_sees_what_is_wrong_with(tmp_path, name):
    code, want = CODE[name]
    source, out = tmp_path / "f.s", tmp_path / "f.o"
    source.write_text(f".text\n{name}:\n" + code.replace("; ", "\n").replace("1: ", "1:\n") + "\n")
    subprocess.run(["as", "-o", out, source], check=True)
    assert sorted({what for _, _, what, _, _ in vector_halves.faults(out)}) == want

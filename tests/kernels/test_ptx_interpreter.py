"""The interpreter of PTX, on snippets of it: every class of instructions against NumPy or exact arithmetic."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tapegrad.kernels.cuda.drivers.ptx import flow, machine

KINDS = {
    "float16": "b16", "uint8": "u8", "int8": "s8", "uint16": "u16", "int16": "s16", "uint32": "u32", "int32": "s32", "float32": "f32",
    "uint64": "u64", "int64": "s64", "float64": "f64",
}  # fmt: skip
FAR = 1 << 60  # addresses on the device
GAP = 1 << 20


class Memory:
    """Arrays on the device."""

    def __init__(self) -> None:
        self.arrays: list[Any] = []

    def put(self, array: Any) -> int:
        self.arrays.append(np.ascontiguousarray(array).view(np.uint8).reshape(-1))
        return FAR + (len(self.arrays) - 1) * GAP

    def bytes_at(self, address: int) -> tuple[Any, int]:
        number, offset = divmod(address - FAR, GAP)
        if not 0 <= number < len(self.arrays) or offset > len(self.arrays[number]):
            raise RuntimeError("nowhere")
        return self.arrays[number], offset


def launch(text: str, memory: Memory, addresses: Sequence[int], threads: int, blocks: int = 1, shared: int = 0, apart: bool = False) -> None:
    program = flow.program(text)
    constants = {name: memory.put(np.frombuffer(v.values, np.uint8).copy()) for name, v in program.variables.items() if v.space in ("global", "const")}
    arguments = [np.uint64(a).tobytes() for a in addresses]
    machine.Launch(program, (blocks,), (threads,), shared, arguments, memory.bytes_at, constants, apart).run()


def entry(body: str, parameters: int, before: str = "") -> str:
    listed = ", ".join(f".param .u64 p{k}" for k in range(parameters))
    registers = (
        ".reg .pred %p<20>; .reg .b16 %h<20>; .reg .b32 %r<40>; .reg .b64 %d<40>; .reg .f32 %f<40>; .reg .f64 %g<40>;"
        ".reg .b32 %tid; .reg .b64 %at; .reg .b64 %q<9>;"
    )
    return f".version 8.0\n.target sm_90\n.address_size 64\n{before}\n.visible .entry kernel({listed})\n{{\n{registers}\nmov.u32 %tid, %tid.x;\n{body}\nret;\n}}"


def run(code: str, result: str, *inputs: Any, threads: int = 0, before: str = "", blocks: int = 1, shared: int = 0, apart: bool = False) -> Any:
    """What ``code`` makes of ``%x0``, ``%x1``, ..., an element of each input for each thread, in ``%y``."""
    n = threads or len(inputs[0])
    memory, out = Memory(), np.zeros(n * blocks, result)
    lines = [f".reg .{KINDS[result].replace('8', '16')} %y;"] if "8" in KINDS[result][1:2] else [f".reg .{KINDS[result]} %y;"]
    lines.append("mov.u32 %r39, %ctaid.x; mov.u32 %r38, %ntid.x; mad.lo.s32 %r39, %r39, %r38, %tid;")
    for k, x in enumerate((out, *inputs)):
        lines.append(f"ld.param.u64 %q{k}, [p{k}]; mul.wide.u32 %at, %r39, {x.dtype.itemsize}; add.s64 %q{k}, %q{k}, %at;")
    for k, x in enumerate(inputs):
        kind = KINDS[x.dtype.name]
        lines.append(f".reg .{'b16' if x.dtype.itemsize == 1 else kind} %x{k}; ld.global.{kind} %x{k}, [%q{k + 1}];")
    lines += [code, f"st.global.{KINDS[result]} [%q0], %y;"]
    addresses = [memory.put(x) for x in (out, *inputs)]
    launch(entry("\n".join(lines), len(addresses), before), memory, addresses, n, blocks, shared, apart)
    return memory.arrays[0].view(result)


def numbers(dtype: str, count: int = 512, seed: int = 0) -> Any:
    """Numbers of all magnitudes, and of floats all that are special."""
    random = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    bits = random.integers(0, 256, count * kind.itemsize, dtype=np.uint8).view(kind)
    if kind.kind == "f":
        near = random.standard_normal(count).astype(kind)
        found = np.where(random.random(count) < 0.5, near, bits)
        special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.5, np.finfo(kind).tiny, np.finfo(kind).smallest_subnormal, np.finfo(kind).max]
    else:
        shift = random.integers(0, 8 * kind.itemsize, count).astype(kind)
        found = bits >> shift
        special = [0, 1, np.iinfo(kind).max, np.iinfo(kind).min]
    found[: len(special)] = special
    return random.permutation(found)


def same(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(found, np.asarray(expected, found.dtype), strict=True)
    if found.dtype.kind == "f":
        number = ~np.isnan(found)
        np.testing.assert_array_equal(np.signbit(found[number]), np.signbit(np.asarray(expected, found.dtype)[number]))


# ---------------------------------------------------------------------------------------------------------------- floats


def rounded(exact: Fraction, dtype: Any, mode: str = "rn") -> Any:
    """A fraction in a float's dtype: found among neighbours of a guess, by exact comparison."""
    with np.errstate(over="ignore"):
        guess = dtype(float(exact)) if abs(exact) < Fraction(2) ** 1023 else dtype(np.inf if exact > 0 else -np.inf)
    near = [guess, np.nextafter(guess, dtype(-np.inf)), np.nextafter(guess, dtype(np.inf))]
    near = [x for x in near if np.isfinite(x)]
    if mode == "rm":
        return max(x for x in near if Fraction(float(x)) <= exact)
    if mode == "rp":
        return min(x for x in near if Fraction(float(x)) >= exact)
    if mode == "rz":
        return rounded(exact, dtype, "rm" if exact > 0 else "rp")
    unsigned = np.dtype(f"u{np.dtype(dtype).itemsize}")
    return min(near, key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(unsigned)) & 1))


@pytest.mark.parametrize(("kind", "mode"), [("f32", "rn"), ("f64", "rn"), ("f32", "rm"), ("f32", "rp"), ("f32", "rz")])
def test_fma_rounds_once(kind: str, mode: str) -> None:
    dtype = {"f32": np.float32, "f64": np.float64}[kind]
    random = np.random.default_rng(3)
    n = 600
    a, b = random.standard_normal((2, n)).astype(dtype)
    c = (-a * b * (1 + random.integers(-2, 3, n) * dtype(2.0**-20))).astype(dtype) * 2.0 ** random.integers(-30, 31, n)
    c = c.astype(dtype)
    last = np.finfo(dtype).eps
    # The sum's last bit decides, far below a tie; and results below the normal numbers.
    a[:4], b[:4], c[:4] = [1 + last] * 4, [1, 1, 1, -1], [last / 2, last / 2 * (1 + last), -last / 2, last / 2 * (1 - last / 2)]
    least = float(np.finfo(dtype).tiny)
    a[4:40], b[4:40], c[4:40] = random.standard_normal(36), least * random.standard_normal(36), least * random.standard_normal(36)
    found = run(f"fma.{mode}.{kind} %y, %x0, %x1, %x2;", dtype.__name__, a, b, c)
    expected = [rounded(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)), dtype, mode) for x, y, z in zip(a, b, c, strict=True)]
    same(found, np.array(expected))


def test_fma_of_special_numbers() -> None:
    a, b, c = (np.array(x, np.float64) for x in zip(*itertools.product([0.0, -0.0, 2.0, np.inf, np.nan, 1e300], repeat=3), strict=True))
    with np.errstate(all="ignore"):
        small = [x.astype(np.float32) for x in (a, b, c)]
        same(run("fma.rn.f64 %y, %x0, %x1, %x2;", "float64", a, b, c), a * b + c)
        same(run("fma.rn.f32 %y, %x0, %x1, %x2;", "float32", *small), small[0] * small[1] + small[2])


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_arithmetic_of_floats(kind: str) -> None:
    dtype = {"f32": "float32", "f64": "float64"}[kind]
    a, b = numbers(dtype), numbers(dtype, seed=1)
    with np.errstate(all="ignore"):
        for op, expected in {"add": a + b, "sub": a - b, "mul": a * b, "div.rn": a / b}.items():
            same(run(f"{op}.{kind} %y, %x0, %x1;", dtype, a, b), expected)
        same(run(f"sqrt.rn.{kind} %y, %x0;", dtype, a), np.sqrt(a))
        same(run(f"copysign.{kind} %y, %x0, %x1;", dtype, a, b), np.copysign(b, a))


def test_add_rounds_toward_zero() -> None:
    a, b = numbers("float32"), numbers("float32", seed=1)
    finite = np.isfinite(a) & np.isfinite(b) & (np.abs(a) < 1e38) & (np.abs(b) < 1e38)
    a, b = a[finite], b[finite]
    found = run("add.rz.f32 %y, %x0, %x1;", "float32", a, b)
    np.testing.assert_array_equal(found, [rounded(Fraction(float(x)) + Fraction(float(y)), np.float32, "rz") for x, y in zip(a, b, strict=True)])


def test_minimum_and_maximum_take_the_number_and_know_signs_of_zero() -> None:
    a, b = np.array([[0.0, -0.0], [-0.0, 0.0], [np.nan, 3], [3, np.nan], [2, 1], [np.nan, np.nan]], np.float32).T.copy()
    same(run("min.f32 %y, %x0, %x1;", "float32", a, b), [-0.0, -0.0, 3, 3, 1, np.nan])
    same(run("max.f32 %y, %x0, %x1;", "float32", a, b), [0.0, 0.0, 3, 3, 2, np.nan])
    same(run("max.NaN.f32 %y, %x0, %x1;", "float32", a, b), [0.0, 0.0, np.nan, np.nan, 2, np.nan])


def test_comparisons_of_floats_with_and_without_order() -> None:
    a, b = np.array([[1, 2], [2, 1], [1, 1], [np.nan, 1], [1, np.nan]], np.float32).T.copy()
    ordered = {"eq": [0, 0, 1], "ne": [1, 1, 0], "lt": [1, 0, 0], "le": [1, 0, 1], "gt": [0, 1, 0], "ge": [0, 1, 1]}
    for name, expected in ordered.items():
        for how, nan in ((name, 0), (name + "u", 1)):
            found = run(f"setp.{how}.f32 %p1, %x0, %x1; selp.u32 %y, 1, 0, %p1;", "uint32", a, b)
            same(found, [*expected, nan, nan])
    same(run("setp.nan.f32 %p1|%p2, %x0, %x1; selp.u32 %y, 1, 0, %p2;", "uint32", a, b), [1, 1, 1, 0, 0])
    code = "setp.gt.f32 %p2, %x1, 0f3FC00000; setp.ne.and.f32 %p1, %x0, %x1, !%p2; selp.u32 %y, 1, 0, %p1;"  # 1.5
    same(run(code, "uint32", a, b), [0, 1, 0, 0, 0])


def test_approximations_flush_what_is_below_normal() -> None:
    x = np.array([1e-40, -1e-40, 3.0], np.float32)
    same(run("rcp.approx.ftz.f32 %y, %x0;", "float32", x), [np.inf, -np.inf, np.float32(1) / np.float32(3)])
    same(run("ex2.approx.ftz.f32 %y, %x0;", "float32", np.array([-127, -2, 0.5], np.float32)), [0, 0.25, np.float32(2**0.5)])
    found = run("rcp.approx.ftz.f64 %y, %x0;", "float64", np.array([3.0]))
    assert abs(found[0] * 3 - 1) < 2**-20 and found.view(np.uint64)[0] & 0xFFFFFFFF == 0


# -------------------------------------------------------------------------------------------------------------- integers


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
def test_arithmetic_of_integers_wraps_and_truncates(dtype: str) -> None:
    kind, size = KINDS[dtype], 8 * np.dtype(dtype).itemsize
    a, b = numbers(dtype), numbers(dtype, seed=1)
    b[b == 0] = 3
    pairs = [(int(x), int(y)) for x, y in zip(a, b, strict=True)]

    def wrapped(values: list[int]) -> Any:
        return np.array([v & ((1 << size) - 1) for v in values], f"u{size // 8}").view(dtype)

    def quotient(x: int, y: int) -> int:
        return abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)

    expected = {
        "add": [x + y for x, y in pairs], "sub": [x - y for x, y in pairs], "mul.lo": [x * y for x, y in pairs],
        "mul.hi": [x * y >> size for x, y in pairs], "div": [quotient(x, y) for x, y in pairs],
        "rem": [x - quotient(x, y) * y for x, y in pairs], "min": [min(p) for p in pairs], "max": [max(p) for p in pairs],
    }  # fmt: skip
    for op, values in expected.items():
        same(run(f"{op}.{kind} %y, %x0, %x1;", dtype, a, b), wrapped(values))
    if size == 32:
        wide = dtype.replace("32", "64")
        same(run(f"mul.wide.{kind} %y, %x0, %x1;", wide, a, b), np.array([x * y for x, y in pairs], wide))
    same(run(f"setp.lt.{kind} %p1, %x0, %x1; selp.u32 %y, 1, 0, %p1;", "uint32", a, b), a < b)
    same(run(f"setp.hi.{kind.replace('s', 'u')} %p1, %x0, %x1; selp.u32 %y, 1, 0, %p1;", "uint32", a, b), a.view(f"u{size // 8}") > b.view(f"u{size // 8}"))


@pytest.mark.parametrize("size", [16, 32, 64])
def test_shifts_stop_at_the_width(size: int) -> None:
    x = numbers(f"int{size}", 128)
    by = np.arange(128, dtype=np.uint32)
    signed = [int(v) >> min(int(s), size) for v, s in zip(x, by, strict=True)]
    same(run(f"shr.s{size} %y, %x0, %x1;", f"int{size}", x, by), signed)
    bits = [int(v) for v in x.view(f"u{size // 8}")]
    same(run(f"shr.u{size} %y, %x0, %x1;", f"uint{size}", x.view(f"u{size // 8}"), by), [v >> int(s) for v, s in zip(bits, by, strict=True)])
    left = [(v << int(s)) & ((1 << size) - 1) for v, s in zip(bits, by, strict=True)]
    same(run(f"shl.b{size} %y, %x0, %x1;", f"uint{size}", x.view(f"u{size // 8}"), by), left)
    same(run(f"shl.b{size} %y, %x0, {size};", f"uint{size}", x.view(f"u{size // 8}")), [0] * 128)


def test_fields_of_bits() -> None:
    random = np.random.default_rng(5)
    for size in (32, 64):
        a, b = numbers(f"uint{size}"), numbers(f"uint{size}", seed=1)
        start, length = random.integers(0, 70, (2, 512)).astype(np.uint32)
        fields = [(int(x), int(y), int(s), int(n)) for x, y, s, n in zip(a, b, start, length, strict=True)]
        whole = (1 << size) - 1
        masks = [((1 << n) - 1) << s & whole for _, _, s, n in fields]
        same(run(f"bfi.b{size} %y, %x0, %x1, %x2, %x3;", f"uint{size}", a, b, start, length), [(x << s) & m | y & ~m & whole for (x, y, s, _), m in zip(fields, masks, strict=True)])
        same(run(f"bfe.u{size} %y, %x0, %x1, %x2;", f"uint{size}", a, start, length), [(x >> s) & ((1 << n) - 1) for x, _, s, n in fields])
        signed = []
        for x, _, s, n in fields:
            sign = x >> min(s + n - 1, size - 1) & 1 if n else 0
            signed.append(sum((x >> (s + k) & 1 if k < n and s + k < size else sign) << k for k in range(size)))
        same(run(f"bfe.s{size} %y, %x0, %x1, %x2;", f"uint{size}", a, start, length), signed)
        same(run(f"clz.b{size} %r1, %x0; mov.u32 %y, %r1;", "uint32", a), [size - int(x).bit_length() for x in a])
        same(run(f"popc.b{size} %r1, %x0; mov.u32 %y, %r1;", "uint32", a), [int(x).bit_count() for x in a])
        same(run(f"brev.b{size} %y, %x0;", f"uint{size}", a), [int(f"{int(x):0{size}b}"[::-1], 2) for x in a])
        same(run(f"bfind.u{size} %r1, %x0; mov.u32 %y, %r1;", "uint32", a), [(int(x).bit_length() - 1) & 0xFFFFFFFF for x in a])


def test_bytes_and_words_are_put_together() -> None:
    a, b, c = (numbers("uint32", seed=k) for k in range(3))
    pools = [int(x).to_bytes(4, "little") + int(y).to_bytes(4, "little") for x, y in zip(a, b, strict=True)]
    expected = []
    for pool, said in zip(pools, c.tolist(), strict=True):
        picked = [said >> 4 * k & 15 for k in range(4)]
        expected.append(sum((255 * (pool[p & 7] >> 7) if p & 8 else pool[p]) << 8 * k for k, p in enumerate(picked)))
    same(run("prmt.b32 %y, %x0, %x1, %x2;", "uint32", a, b, c), expected)
    both = [int(y) << 32 | int(x) for x, y in zip(a, b, strict=True)]
    same(run("shf.l.wrap.b32 %y, %x0, %x1, %x2;", "uint32", a, b, c), [v << (s & 31) >> 32 & 0xFFFFFFFF for v, s in zip(both, c.tolist(), strict=True)])
    same(run("shf.r.clamp.b32 %y, %x0, %x1, %x2;", "uint32", a, b, c), [v >> min(s, 32) & 0xFFFFFFFF for v, s in zip(both, c.tolist(), strict=True)])
    same(run("lop3.b32 %y, %x0, %x1, %x2, 0xE8;", "uint32", a, b, c), a & b | a & c | b & c)
    same(run("mov.b64 %y, {%x0, %x1};", "uint64", a, b), both)
    same(run("mov.b64 %d1, {%x0, %x1}; mov.b64 {_, %y}, %d1;", "uint32", a, b), b)
    same(run("{ .reg .b32 %r1; mov.b32 %r1, %x0; } mov.b32 %y, %x0;", "float32", a), a.view(np.float32))


def test_carries_go_on() -> None:
    a, b, c, d = (numbers("uint64", seed=k) for k in range(4))
    wide = [((int(y) << 64 | int(x)) + (int(w) << 64 | int(z))) >> 64 & (2**64 - 1) for x, y, z, w in zip(a, b, c, d, strict=True)]
    same(run("add.cc.u64 %d1, %x0, %x2; addc.u64 %y, %x1, %x3;", "uint64", a, b, c, d), wide)
    wide = [((int(y) << 64 | int(x)) - (int(w) << 64 | int(z))) >> 64 & (2**64 - 1) for x, y, z, w in zip(a, b, c, d, strict=True)]
    same(run("sub.cc.u64 %d1, %x0, %x2; subc.u64 %y, %x1, %x3;", "uint64", a, b, c, d), wide)
    wide = [(int(x) * int(y) + (int(w) << 64 | int(z))) >> 64 & (2**64 - 1) for x, y, z, w in zip(a, b, c, d, strict=True)]
    same(run("mad.lo.cc.u64 %d1, %x0, %x1, %x2; madc.hi.u64 %y, %x0, %x1, %x3;", "uint64", a, b, c, d), wide)


# ----------------------------------------------------------------------------------------------------------- conversions


def test_floats_to_integers_round_as_said_and_clamp() -> None:
    x = np.array([2.5, -2.5, 3.5, 1e30, -1e30, np.nan, np.inf, 2.0**31, -0.9], np.float32)
    most = 2**31 - 1
    same(run("cvt.rni.s32.f32 %y, %x0;", "int32", x), [2, -2, 4, most, -most - 1, 0, most, most, -1])
    same(run("cvt.rzi.s32.f32 %y, %x0;", "int32", x), [2, -2, 3, most, -most - 1, 0, most, most, 0])
    same(run("cvt.rmi.s32.f32 %y, %x0;", "int32", x), [2, -3, 3, most, -most - 1, 0, most, most, -1])
    same(run("cvt.rpi.u32.f32 %y, %x0;", "uint32", x), [3, 0, 4, 2**32 - 1, 0, 0, 2**32 - 1, 2**31, 0])
    same(run("cvt.rzi.s64.f32 %y, %x0;", "int64", x)[[0, 3, 4, 5]], [2, 2**63 - 1, -(2**63), -(2**63)])
    same(run("cvt.rni.f32.f32 %y, %x0;", "float32", x), np.rint(x))
    same(run("cvt.sat.f32.f32 %y, %x0;", "float32", x), [1, 0, 1, 1, 0, 0, 1, 1, 0])


def test_integers_are_extended_and_cut_by_their_signs() -> None:
    x = np.array([-1, -128, 127, 5], np.int8)
    same(run("cvt.s64.s8 %d1, %x0; mov.b64 %y, %d1;", "int64", x), x)
    same(run("ld.global.u8 %h1, [%q1]; cvt.u32.u16 %y, %h1;", "uint32", x), x.view(np.uint8))
    wide = numbers("int64")
    same(run("cvt.u16.u64 %h2, %x0; cvt.s16.s8 %h1, %h2; cvt.s32.s16 %y, %h1;", "int32", wide), wide.astype(np.int8))
    same(run("cvt.rn.f32.s64 %y, %x0;", "float32", wide), wide.astype(np.float32))
    same(run("cvt.sat.s8.s64 %h1, %x0; cvt.s32.s8 %y, %h1;", "int32", wide), np.clip(wide, -128, 127))


def test_sixteen_bit_floats() -> None:
    x = numbers("float32")
    x[:3] = [1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-8]
    with np.errstate(all="ignore"):
        narrow = x.astype(np.float16)
    number = ~np.isnan(x)
    same(run("cvt.rn.f16.f32 %h1, %x0; cvt.f32.f16 %y, %h1;", "float32", x), narrow.astype(np.float32))
    found = run("cvt.rn.bf16.f32 %h1, %x0; cvt.u32.u16 %r1, %h1; shl.b32 %r1, %r1, 16; mov.b32 %y, %r1;", "float32", x)
    exact = [v if not np.isfinite(v) else rounded_bfloat16(v) for v in x]
    same(found[number], np.array(exact, np.float32)[number])
    same(run("cvt.rn.bf16x2.f32 %r1, %x0, %x1; shr.u32 %r1, %r1, 16; shl.b32 %r1, %r1, 16; mov.b32 %y, %r1;", "float32", x, x)[number], found[number])
    a, b = narrow[:256], narrow[256:]
    with np.errstate(all="ignore"):
        same(run("mul.f16 %y, %x0, %x1;", "float16", a, b), a * b)


def rounded_bfloat16(x: Any) -> Any:
    bits = int(np.float32(x).view(np.uint32))
    low, rest = bits >> 16, bits & 0xFFFF
    up = rest > 0x8000 or (rest == 0x8000 and low & 1)
    return np.uint32((low + up) << 16).view(np.float32)


# --------------------------------------------------------------------------------------------------- threads and memory

ROOM = ".visible .shared .align 8 .b8 room[1024];"


def test_threads_part_and_meet_again() -> None:
    code = """
        mov.u32 %r1, %x0; mov.u32 %r2, 0;
    $loop:
        setp.le.u32 %p1, %r1, 1;
        @%p1 bra $done;
        and.b32 %r3, %r1, 1;
        setp.eq.u32 %p2, %r3, 0;
        @%p2 bra $even;
        mad.lo.u32 %r1, %r1, 3, 1;
        bra.uni $next;
    $even:
        shr.u32 %r1, %r1, 1;
    $next:
        add.s32 %r2, %r2, 1;
        bra $loop;
    $done:
        shfl.sync.bfly.b32 %r4|%p3, %r2, 1, 31, -1;
        mov.u32 %y, %r4;
    """

    def steps(n: int) -> int:
        count = 0
        while n > 1:
            n, count = (3 * n + 1 if n % 2 else n // 2), count + 1
        return count

    x = np.arange(1, 129, dtype=np.uint32)
    same(run(code, "uint32", x), np.array([steps(int(n)) for n in x]).reshape(-1, 2)[:, ::-1].reshape(-1))


def test_a_guard_leaves_what_was_there() -> None:
    x = np.arange(40, dtype=np.uint32)
    same(run("mov.u32 %y, 7; setp.lt.u32 %p1, %x0, 5; @!%p1 add.u32 %y, %x0, 1;", "uint32", x), [7 if k < 5 else k + 1 for k in range(40)])


def test_shared_memory_between_barriers_is_each_blocks_own() -> None:
    code = """
        mov.u64 %d1, room; mul.wide.u32 %d2, %tid, 4; add.s64 %d3, %d1, %d2;
        st.shared.u32 [%d3], %x0;
        bar.sync 0;
        mov.u32 %r1, 127; sub.u32 %r1, %r1, %tid; mul.wide.u32 %d2, %r1, 4; add.s64 %d3, %d1, %d2;
        ld.shared.u32 %y, [%d3];
    """
    x = np.arange(384, dtype=np.uint32)
    for apart in (False, True):
        same(run(code, "uint32", x, threads=128, blocks=3, before=ROOM, apart=apart), x.reshape(3, 128)[:, ::-1].reshape(-1))
    early = run(code.replace("bar.sync 0;", ""), "uint32", x, threads=128, blocks=3, before=ROOM, apart=True)  # before it is there
    assert (early.reshape(3, 128)[:, :64] == 0xFFF5FFF5).all() and (early.reshape(3, 128)[:, 64:] == x.reshape(3, 128)[:, 63::-1]).all()
    with pytest.raises(RuntimeError, match="of 1024 bytes of shared memory"):
        run(code.replace("127", "-127"), "uint32", x[:128], before=ROOM)


def test_dynamic_shared_memory_comes_after_the_rest() -> None:
    before = ROOM + ".extern .shared .align 16 .b8 more[];"
    code = "mov.u64 %d1, more; mul.wide.u32 %d2, %tid, 4; add.s64 %d1, %d1, %d2; st.shared.u32 [%d1], %x0; ld.shared.u32 %y, [%d1];"
    x = np.arange(32, dtype=np.uint32)
    same(run(code, "uint32", x, before=before, shared=128), x)
    with pytest.raises(RuntimeError, match="shared memory"):
        run(code, "uint32", x, before=before, shared=124)


def test_what_never_meets_is_an_error() -> None:
    x = np.arange(64, dtype=np.uint32)
    with pytest.raises(RuntimeError, match="barrier that others of their block never reach|wait for their warp"):
        run("setp.lt.u32 %p1, %x0, 5; @%p1 bra $a; shfl.sync.idx.b32 %r1|%p2, %x0, 0, 31, -1; $a: bar.sync 0; mov.u32 %y, 0;", "uint32", x)


def test_what_was_not_written_is_no_number() -> None:
    x = np.ones(32, np.float32)
    assert np.isnan(run("add.f32 %y, %x0, %f9;", "float32", x)).all()
    assert np.isnan(run("ld.shared.f32 %y, [room+8];", "float32", x, before=ROOM)).all()
    found = run("setp.gt.u32 %p1, %tid, 3; @%p1 mov.f32 %f9, 0f40000000; add.f32 %y, %x0, %f9;", "float32", x)
    assert np.isnan(found[:4]).all() and (found[4:] == 3).all()


def test_accesses_are_checked() -> None:
    x = np.arange(32, dtype=np.uint32)
    same(run("and.b32 %r1, %tid, -4; mul.wide.u32 %d1, %r1, 4; ld.param.u64 %d2, [p1]; add.s64 %d1, %d1, %d2; ld.global.v4.u32 {%r1, %r2, %r3, %y}, [%d1];", "uint32", x), x // 4 * 4 + 3)
    with pytest.raises(RuntimeError, match="not aligned"):
        run("ld.global.v2.u32 {%r1, %y}, [%q1];", "uint32", x)
    with pytest.raises(RuntimeError, match="of a block of 128"):
        run("ld.global.u32 %y, [%q1+4];", "uint32", x)
    with pytest.raises(RuntimeError, match="nowhere"):
        run("mov.u64 %d1, 64; ld.global.u32 %y, [%d1];", "uint32", x)


def test_generic_addresses_of_every_space() -> None:
    code = """
        .local .align 8 .b8 own[16];
        mov.u64 %d1, own; cvta.local.u64 %d1, %d1; st.u32 [%d1+4], %tid;
        mov.u64 %d2, room; cvta.shared.u64 %d2, %d2;
        setp.eq.u32 %p1, %tid, 0; @%p1 st.u32 [%d2+4], 99;
        bar.sync 0;
        setp.lt.u32 %p1, %x0, 8; selp.b64 %d3, %d1, %d2, %p1; ld.u32 %y, [%d3+4];
    """
    x = np.arange(32, dtype=np.uint32)
    same(run(code, "uint32", x, before=ROOM), [k if k < 8 else 99 for k in range(32)])


def test_atomics_happen_one_after_another() -> None:
    x = np.arange(96, dtype=np.uint32)
    code = "setp.eq.u32 %p1, %tid, 0; @%p1 st.shared.u32 [room], 5; bar.sync 0; atom.shared.add.u32 %y, [room], 2;"
    found = run(code, "uint32", x, before=ROOM)
    same(np.sort(found), 5 + 2 * np.arange(96))
    total = np.array([10, 2**40], np.uint64)
    memory = Memory()
    address = memory.put(total)
    body = "ld.param.u64 %d1, [p0]; cvt.s64.s32 %d2, %tid; sub.s64 %d2, 3, %d2; atom.global.min.s64 %d3, [%d1], %d2;"
    launch(entry(f"{body} atom.global.cas.b64 %d4, [%d1+8], {2**40}, 7;", 1), memory, [address], 40)
    same(memory.arrays[0].view(np.int64), [3 - 39, 7])


def test_exchanges_within_a_warp() -> None:
    x = np.arange(64, dtype=np.uint32) * 3
    rows = x.reshape(2, 32)
    lanes = np.arange(32)
    cases = {
        "down.b32 %r1|%p1, %x0, 5, 31, -1": np.where(lanes + 5 < 32, np.minimum(lanes + 5, 31), lanes), "up.b32 %r1|%p1, %x0, 3, 0, -1": np.where(lanes < 3, lanes, lanes - 3),
        "bfly.b32 %r1|%p1, %x0, 16, 31, -1": lanes ^ 16, "idx.b32 %r1|%p1, %x0, 2, 6175, -1": lanes // 8 * 8 + 2,
    }  # fmt: skip
    for text, source in cases.items():
        same(run(f"shfl.sync.{text}; mov.u32 %y, %r1;", "uint32", x), rows[:, source].reshape(-1))
    same(run("shfl.sync.down.b32 %r1|%p1, %x0, 5, 31, -1; selp.u32 %y, 1, 0, %p1;", "uint32", x), np.tile(lanes < 27, 2))
    odd = "and.b32 %r2, %x0, 1; setp.eq.u32 %p1, %r2, 1;"
    same(run(f"{odd} vote.sync.ballot.b32 %y, %p1, -1;", "uint32", x), [0xAAAAAAAA] * 64)
    same(run(f"{odd} vote.sync.any.pred %p2, %p1, 0x55555555; selp.u32 %y, 1, 0, %p2;", "uint32", x), [0] * 64)
    same(run("redux.sync.add.u32 %y, %x0, -1;", "uint32", x), np.repeat(rows.sum(1), 32))
    same(run("shr.u32 %r1, %tid, 4; match.any.sync.b32 %y, %r1, -1;", "uint32", x), np.tile(np.repeat([0xFFFF, 0xFFFF0000], 16), 2))
    same(run("setp.gt.u32 %p1, %tid, 3; @%p1 bra $a; activemask.b32 %r1; $a: mov.u32 %y, %r1;", "uint32", x)[:4], [15] * 4)


def test_functions_are_called() -> None:
    before = """
        .global .align 4 .b8 table[8] = {1, 0, 0, 0, 2, 1, 0, 0};
        .func (.param .b64 out) twice(.param .b64 x, .param .b32 n)
        {
            .reg .f64 %g<3>; .reg .b32 %r<9>; .reg .pred %p<3>; .reg .b64 %d<3>;
            ld.param.f64 %g1, [x]; ld.param.u32 %r1, [n];
            mov.u64 %d1, table; ld.global.u32 %r2, [%d1+4];
        $again:
            setp.eq.u32 %p1, %r1, 0;
            @%p1 bra $out;
            add.f64 %g1, %g1, %g1; sub.u32 %r1, %r1, 1;
            bra $again;
        $out:
            cvt.rn.f64.u32 %g2, %r2; add.f64 %g1, %g1, %g2;
            st.param.f64 [out+0], %g1;
            ret;
        }
    """
    call = "{{ .param .b64 param0; st.param.f64 [param0+0], {x}; .param .b32 param1; st.param.b32 [param1+0], %tid; .param .b64 retval0; call.uni (retval0), twice, (param0, param1); ld.param.f64 %g5, [retval0+0]; }}"
    x = np.arange(8, dtype=np.float64)
    once = x * 2.0**x + 258
    same(run(call.format(x="%x0") + call.format(x="%g5") + "mov.f64 %y, %g5;", "float64", x, before=before), once * 2.0**x + 258)


def test_an_unknown_instruction_is_named() -> None:
    with pytest.raises(NotImplementedError, match=r"wgmma\.fence"):
        run("wgmma.fence.sync.aligned; mov.u32 %y, 0;", "uint32", np.zeros(32, np.uint32))


# ---------------------------------------------------------------------------------------------------------- tensor cores


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_products_of_tiles_that_ldmatrix_read(kind: str) -> None:
    """A tile of a, row by row in shared memory, and one of b, transposed as it is read."""
    code = f"""
        mov.u32 %r1, %laneid;
        mov.u64 %d1, room;
        mul.wide.u32 %d2, %tid, 16; ld.param.u64 %d3, [p1]; add.s64 %d3, %d3, %d2; add.s64 %d4, %d1, %d2;
        cp.async.ca.shared.global [%d4], [%d3], 16;
        setp.gt.u32 %p1, %tid, 15; @%p1 bra $half;
        ld.param.u64 %d3, [p2]; add.s64 %d3, %d3, %d2;
        ld.global.v4.u32 {{%r2, %r3, %r4, %r5}}, [%d3]; st.shared.v4.u32 [%d4+512], {{%r2, %r3, %r4, %r5}};
    $half:
        cp.async.commit_group; cp.async.wait_group 0;
        bar.sync 0;
        and.b32 %r2, %tid, 15; shr.u32 %r3, %tid, 4; mul.lo.u32 %r2, %r2, 32; mad.lo.u32 %r2, %r3, 16, %r2;
        cvt.u64.u32 %d2, %r2; add.s64 %d2, %d1, %d2;
        ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{%r10, %r11, %r12, %r13}}, [%d2];
        and.b32 %r2, %tid, 15; mul.wide.u32 %d2, %r2, 16; add.s64 %d2, %d1, %d2;
        ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {{%r14, %r15}}, [%d2+512];
        mov.f32 %f1, 0f3F800000;
        mma.sync.aligned.m16n8k16.row.col.f32.{kind}.{kind}.f32 {{%f2, %f3, %f4, %f5}}, {{%r10, %r11, %r12, %r13}}, {{%r14, %r15}}, {{%f1, %f1, %f1, %f1}};
        shr.u32 %r2, %tid, 2; and.b32 %r3, %tid, 3; mul.lo.u32 %r3, %r3, 2; mad.lo.u32 %r2, %r2, 8, %r3;
        ld.param.u64 %d3, [p0]; mul.wide.u32 %d2, %r2, 4; add.s64 %d3, %d3, %d2;
        st.global.v2.f32 [%d3], {{%f2, %f3}}; st.global.v2.f32 [%d3+256], {{%f4, %f5}};
    """
    random = np.random.default_rng(1)
    a, b = random.integers(-8, 9, (16, 16)), random.integers(-8, 9, (16, 8))
    memory = Memory()

    def bits(x: Any) -> Any:
        return x.astype(np.float16) if kind == "f16" else (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)

    addresses = [memory.put(np.zeros((16, 8), np.float32)), memory.put(bits(a)), memory.put(bits(b))]
    launch(entry(code, 3, ROOM), memory, addresses, 32)
    same(memory.arrays[0].view(np.float32).reshape(16, 8), a @ b + 1)


def test_products_in_tf32() -> None:
    """Elements (row, column) of thread 4 g + t: a (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4), b (t, g), (t + 4, g), c as for 16 bits."""
    random = np.random.default_rng(1)
    a, b = random.integers(-8, 9, (16, 8)).astype(np.float32), random.integers(-8, 9, (8, 8)).astype(np.float32)
    g, t = np.arange(32) // 4, np.arange(32) % 4
    given = [a[g, t], a[g + 8, t], a[g, t + 4], a[g + 8, t + 4], b[t, g], b[t + 4, g]]
    moved = "".join(f"mov.b32 %r{k}, %x{k};" for k in range(6))
    product = "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f2, %f3, %f4, %f5}, {%r0, %r1, %r2, %r3}, {%r4, %r5}, {%f1, %f1, %f1, %f1};"
    c = a @ b
    for register, (row, column) in {"%f2": (g, 2 * t), "%f3": (g, 2 * t + 1), "%f4": (g + 8, 2 * t), "%f5": (g + 8, 2 * t + 1)}.items():
        same(run(f"{moved} mov.f32 %f1, 0f00000000; {product} mov.f32 %y, {register};", "float32", *given), c[row, column])

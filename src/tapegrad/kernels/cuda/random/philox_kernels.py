"""Philox4x32-10 on the device (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), and numbers made of its words.

A thread makes whole blocks of four 32-bit words, from (seed, counter + block) alone: the numbers are the CPU's, up to the rounding of
functions. What takes more words than one block has counts further in the upper half of the counter, which the CPU leaves 0.
"""

from __future__ import annotations

import math
from typing import Any

from .. import language as L
from ..elements import stored, to_computed, to_stored, type_of, unchanged
from ..kernel import family, from_text
from ..language import cuda, device, float32, float64, int32, int64, uint32, uint64

THREADS = L.BLOCK
FLOATS = ("float32", "float64", "float16", "bfloat16")
_log, _sqrt, _sin, _cos = L.log, L.sqrt, L.sin, L.cos


@device
def philox(seed, counter, further):  # type: ignore[no-untyped-def]
    """Block ``counter`` of four words."""
    c0, c1, c2, c3 = uint32(counter), uint32(uint64(counter) >> uint64(32)), uint32(further), uint32(0)
    k0, k1 = uint32(seed), uint32(uint64(seed) >> uint64(32))
    for _ in range(10):
        p0, p1 = uint64(0xD2511F53) * uint64(c0), uint64(0xCD9E8D57) * uint64(c2)
        c0, c1 = uint32(uint32(p1 >> uint64(32)) ^ c1 ^ k0), uint32(p1 & uint64(0xFFFFFFFF))
        c2, c3 = uint32(uint32(p0 >> uint64(32)) ^ c3 ^ k1), uint32(p0 & uint64(0xFFFFFFFF))
        k0, k1 = uint32((uint64(k0) + uint64(0x9E3779B9)) & uint64(0xFFFFFFFF)), uint32((uint64(k1) + uint64(0xBB67AE85)) & uint64(0xFFFFFFFF))
    return c0, c1, c2, c3


@device
def joined(low, high):  # type: ignore[no-untyped-def]
    return (uint64(high) << uint64(32)) | uint64(low)


@device
def single(word):  # type: ignore[no-untyped-def]
    """24 random bits in [0, 1)."""
    return float32(int32(word >> uint32(8))) * float32(2.0**-24)


@device
def double(high, low):  # type: ignore[no-untyped-def]
    """53 random bits in [0, 1)."""
    return float64(int64(joined(low, high) >> uint64(11))) * float64(2.0**-53)


@device
def _turn(u):  # type: ignore[no-untyped-def]
    """(cos, sin) of 2 pi u for a float32 u in [0, 1): the quarter turns are taken off exactly; Taylor's series at up to pi / 4."""
    quarters = int32(u * float32(4) + float32(0.5))
    t = (u * float32(4) - float32(quarters)) * float32(math.pi / 2)
    s = t * t
    sine = ((float32(1 / 362880) * s + float32(-1 / 5040)) * s + float32(1 / 120)) * s + float32(-1 / 6)
    cosine = (((float32(1 / 40320) * s + float32(-1 / 720)) * s + float32(1 / 24)) * s + float32(-0.5)) * s + float32(1)
    sine = sine * s * t + t
    odd = (quarters & int32(1)) != 0
    x, y = (sine, cosine) if odd else (cosine, sine)
    return -x if ((quarters + int32(1)) & int32(2)) != 0 else x, -y if (quarters & int32(2)) != 0 else y


@device
def _radius32(u):  # type: ignore[no-untyped-def]
    return _sqrt(_log(float32(1) - u) * float32(-2))


@device
def normals32(a, b, c, d):  # type: ignore[no-untyped-def]
    """Box and Muller, "A note on the generation of random normal deviates", 1958; 1 - u is in (0, 1]."""
    first, second = _radius32(single(a)), _radius32(single(c))
    cos0, sin0 = _turn(single(b))
    cos1, sin1 = _turn(single(d))
    return first * cos0, first * sin0, second * cos1, second * sin1


@device
def normals64(a, b, c, d):  # type: ignore[no-untyped-def]
    radius = _sqrt(_log(float64(1) - double(a, b)) * float64(-2))
    turn = double(c, d) * float64(2 * math.pi)
    return radius * _cos(turn), radius * _sin(turn)


# What becomes of a uniform number u in [0, 1), of a positive one (0 replaced by half a step), or of a standard normal one; a, b and c are
# the launch's. Those named in WIDE are computed in float64 always.
FORMULAS = {
    "uniform": "u",
    "uniform_between": "minimum(u * a + b, c)",
    "normal": "z",
    "normal_around": "z * a + b",
    "log_normal": "exp(float64(z) * a + b)",
    "exponential": "-log(open(u)) / a",
    "cauchy": "a + b * (sinpi(u_) / cospi(u_))",
    "geometric": "minimum(maximum(ceil(log(float64(open(u))) / a), float64(1)), c)",
}
WIDE = ("log_normal", "geometric")


@device
def _open32(u):  # type: ignore[no-untyped-def]
    return max(u, float32(2.0**-25))


@device
def _open64(u):  # type: ignore[no-untyped-def]
    return max(u, float64(2.0**-54))


def _source(name: str, dtype: str) -> str:
    """A kernel of numbers by a formula, four of a block or two."""
    wide = dtype == "float64"
    count = 2 if wide else 4
    formula = FORMULAS[name].replace("u_", "(open(u) - T(0.5))")
    lines = ["@device", f"def made({'z' if 'normal' in name else 'u'}, a, b, c):", f"    return {formula}", ""]
    lines += ["def kernel(out, n, seed, counter, a, b, c):", "    i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)"]
    lines += ["    step = int64(cuda.gridDim.x) * int64(cuda.blockDim.x)", f"    while i * {count} < n:", "        w = philox(seed, counter + i, uint32(0))"]
    if "normal" in name:
        lines += [f"        v = normals{64 if wide else 32}(w[0], w[1], w[2], w[3])"]
    elif wide:
        lines += ["        v = (double(w[0], w[1]), double(w[2], w[3]))"]
    else:
        lines += ["        v = (rounded(single(w[0])), rounded(single(w[1])), rounded(single(w[2])), rounded(single(w[3])))"]
    numbers = [f"put(made(v[{j}], a, b, c))" for j in range(count)]
    lines += [f"        first = i * {count}", f"        if first + {count} <= n:", f"            store{count}(out, first, ({', '.join(numbers)}))"]
    lines += ["        else:", f"            out[first] = {numbers[0]}"]
    for j in range(1, count - 1):
        lines += [f"            if first + {j} < n:", f"                out[first + {j}] = {numbers[j]}"]
    return "\n".join([*lines, "        i += step"]) + "\n"


def _fewer_bits(steps: int) -> Any:
    """As many bits as a 16-bit float holds, so that none rounds up to 1."""
    floor = L.floor

    @device
    def rounded(u):  # type: ignore[no-untyped-def]
        return floor(u * float32(steps)) * float32(1 / steps)

    return rounded


@family(threads=256, vectors=True, doubles=True, local=True, name=tuple(FORMULAS), dtype=FLOATS)
def numbers(name, dtype):  # type: ignore[no-untyped-def]
    """n numbers by one of FORMULAS: out, n, seed, counter, a, b, c. In double precision: float64, WIDE, and nothing else."""
    steps = {"float16": 2**11, "bfloat16": 2**8}.get(dtype) if name in ("uniform", "uniform_between") else None
    T = float64 if name in WIDE else type_of(dtype)
    last = to_stored(dtype)
    narrow = float32 if dtype in ("float32", "float16", "bfloat16") else float64

    @device
    def put(x):  # type: ignore[no-untyped-def]
        return last(narrow(x))

    scope = {**L.words(), "device": device, "T": T, "put": put, "philox": philox, "single": single, "double": double, "normals32": normals32}
    scope |= {"normals64": normals64, "rounded": unchanged if steps is None else _fewer_bits(steps), "open": _open64 if dtype == "float64" else _open32}
    scope |= {"minimum": min, "maximum": max, "float64": float64}
    scalar = "float64" if dtype == "float64" or name in WIDE else "float32"
    return from_text(_source(name, dtype), scope, f"random numbers: {name}"), f"{stored(dtype)}* int64 int64 int64 {scalar} {scalar} {scalar}"


@family(threads=256, vectors=True)
def words():  # type: ignore[no-untyped-def]
    """n uint64 words, two of a block, xor ``flip``."""

    def kernel(out, n, seed, counter, flip):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while 2 * i < n:
            w = philox(seed, counter + i, uint32(0))
            if 2 * i + 2 <= n:
                store2(out, 2 * i, (joined(w[0], w[1]) ^ uint64(flip), joined(w[2], w[3]) ^ uint64(flip)))
            else:
                out[2 * i] = joined(w[0], w[1]) ^ uint64(flip)
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    store2 = L.store2
    return kernel, "uint64* int64 int64 int64 int64"


@family(threads=256, vectors=True, narrow=(True, False))
def integers(narrow):  # type: ignore[no-untyped-def]
    """n int64 numbers: ``low`` plus a 64-bit word modulo ``span`` (0: 2^64), two of a block. A word above ``last``, which would favour the
    small numbers, gives way to one of a further block. ``narrow``: the span is at most 2^32 - 1."""
    store2 = L.store2

    @device
    def reduced(word, span):  # type: ignore[no-untyped-def]
        if narrow:  # two divisions of 32 bits, nearly: the first remainder is less than the span
            high = uint64(uint32(word >> uint64(32)) % uint32(span))
            return ((high << uint64(32)) | (word & uint64(0xFFFFFFFF))) % uint64(span)
        return word if span == 0 else word % uint64(span)

    @device
    def number(word, second, low, span, last, seed, block):  # type: ignore[no-untyped-def]
        further = uint32(0)
        while word > uint64(last):
            further = uint32(further + uint32(1))
            w = philox(seed, block, further)
            word = joined(w[2], w[3]) if second else joined(w[0], w[1])
        return int64(uint64(low) + reduced(word, span))

    def kernel(out, n, seed, counter, low, span, last):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while 2 * i < n:
            w = philox(seed, counter + i, uint32(0))
            first = number(joined(w[0], w[1]), False, low, span, last, seed, counter + i)
            second = number(joined(w[2], w[3]), True, low, span, last, seed, counter + i)
            if 2 * i + 2 <= n:
                store2(out, 2 * i, (first, second))
            else:
                out[2 * i] = first
            i += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, "int64* int64 int64 int64 int64 int64 int64"


@family(threads=256, vectors=True, dtype=FLOATS, aligned=(True, False), parts=(1, 2))
def dropout(dtype, aligned, parts):  # type: ignore[no-untyped-def]
    """x, out, n, seed, counter, threshold, scale: an element (of one part or, where complex, two) stays, times ``scale``, where the 24 bits of
    its word are at least the threshold; else it is 0. ``aligned``: by vectors of a block's elements."""
    T, get, put = type_of(dtype), to_computed(dtype), to_stored(dtype)
    count = 4 * parts
    lines = ["def kernel(x, out, n, seed, counter, threshold, scale):"]
    lines += ["    i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)"]
    lines += ["    step = int64(cuda.gridDim.x) * int64(cuda.blockDim.x)", "    while i * 4 < n:"]
    lines += ["        w = philox(seed, counter + i, uint32(0))", f"        first = i * {count}"]
    lines += [f"        k{j} = int64(w[{j}] >> uint32(8)) >= threshold" for j in range(4)]
    step = min(count, 2 if dtype == "float64" else 4)
    if aligned:
        lines += ["        if i * 4 + 4 <= n:"]
        for at in range(0, count, step):
            kept = [f"put(get(v[{j}]) * scale if k{(at + j) // parts} else T(0))" for j in range(step)]
            lines += [f"            v = load{step}(x, first + {at})", f"            store{step}(out, first + {at}, ({', '.join(kept)}))"]
        lines += ["        else:"]
    else:
        lines += ["        if True:"]
    for j in range(4):
        lines += [f"            if i * 4 + {j} < n:"]
        places = [f"first + {j * parts + part}" for part in range(parts)]
        lines += [f"                out[{place}] = put(get(x[{place}]) * scale if k{j} else T(0))" for place in places]
    scope = {**L.words(), "device": device, "philox": philox, "T": T, "get": get, "put": put}
    kernel = from_text("\n".join([*lines, "        i += step"]), scope, "dropout")
    return kernel, f"{stored(dtype)}* {stored(dtype)}* int64 int64 int64 int64 {'float64' if dtype == 'float64' else 'float32'}"

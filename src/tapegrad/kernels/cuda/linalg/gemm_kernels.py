"""Kernels of the matrix product: text, unrolled for a tile's shape, with the accumulators in names of their own so that they are registers.

A block computes a tile of C from slabs of A and B in shared memory. While it multiplies one slab it reads the next one into
registers, and then writes that to the other half of the shared memory, so that it waits once a slab.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import language as L
from ..elements import stored, to_computed, to_stored, unchanged
from ..kernel import family, from_text
from ..language import cuda, device


class Tile(NamedTuple):
    """Rows and columns that a block computes, the products of a slab, rows and columns of a thread; and an estimate of how near it comes to full speed."""

    rows: int
    columns: int
    depth: int
    row_count: int
    column_count: int
    speed: float = 1.0

    @property
    def threads(self) -> int:
        return self.rows // self.row_count * (self.columns // self.column_count)


_TILES = {"large": Tile(128, 128, 8, 8, 8), "medium": Tile(64, 64, 8, 8, 4), "small": Tile(32, 32, 16, 4, 4)}
_WIDE_TILES = {"large": Tile(64, 64, 8, 8, 4), "small": Tile(32, 32, 8, 4, 4)}  # for elements of 8 bytes
_COMPLEX_TILES = {"small": Tile(32, 32, 8, 2, 2)}
_TINY = {"tiny": Tile(16, 16, 4, 4, 4)}


def tiles(dtype: str) -> dict[str, Tile]:
    """The tiles that there are for a dtype, the largest first; in the simulator one that takes little time."""
    if L.SIMULATED:
        return _TINY
    if dtype.startswith("complex"):
        return _COMPLEX_TILES
    return _TILES if _size(accumulated(dtype)) == 4 else _WIDE_TILES


# How an operand lies: along which dimension its elements are neighbours, of the rows (columns of B) or of the products that are summed,
# and whether they can be read several at a time; else its strides may be any.
LAYOUTS = ("outer", "outer vectors", "inner", "inner vectors")
_ACCUMULATED = {"float16": "float32", "bfloat16": "float32", "bool": "int32", "int8": "int32", "uint8": "int32", "int16": "int32"}


def accumulated(dtype: str) -> str:
    """The dtype that products of a dtype are summed in."""
    return _ACCUMULATED.get(dtype, dtype)


def _size(dtype: str) -> int:
    return np.dtype(dtype).itemsize


def vector(dtype: str) -> int:
    """How many elements an operand is read by at a time; of 16-bit ones no more than of the float32 that they become."""
    return 1 if dtype.startswith("complex") else 16 // _size(accumulated(dtype))


@family(
    threads=256, vectors=True,
    tile=("large", "small"), dtype=("float32", "bfloat16"), a=("inner vectors", "outer"), b=("outer vectors",), extra=("start",),
)  # fmt: skip
def product(tile: str, dtype: str, a: str, b: str, extra: str) -> tuple[Callable[..., Any], str]:
    """C = A B, or A B + start for ``extra`` "start", or of "parts" a share of the products each.

    Grid: tiles, matrices (two batch dimensions; a block computes several where there are too many), parts.
    """
    source = product_source(tiles(dtype)[tile], dtype, a, b, extra)
    kind = accumulated(dtype)
    scope: dict[str, Any] = {"cuda": cuda, "int32": L.int32, "int64": L.int64, "T": getattr(L, kind), "get": to_computed(dtype)}
    scope |= {"put": unchanged if extra == "parts" else _truth if dtype == "bool" else to_stored(dtype), "kind": getattr(L, kind)}
    scope |= {name: getattr(L, name) for name in ("load2", "load4", "store2", "store4")}
    for name, layout in (("fetch_a", a), ("fetch_b", b)):
        scope[name] = fetch_of(vector(dtype) if layout.endswith("vectors") else 1, dtype)
    element = f"{stored(dtype)}*"
    into = f"{kind}*" if extra == "parts" else element
    return from_text(source, scope, "matrix product"), " ".join([element, element, element, into, *["int64"] * len(NUMBERS)])


# The kernel's parameters behind the four arrays: sizes, the inner batch dimension, products of a part, then in elements the
# strides (row, column, outer and inner batch) of A, B and the start.
NUMBERS = (
    "m", "n", "k", "matrices", "inner", "chunk", "a_row", "a_step", "a_outer", "a_inner", "b_step", "b_column", "b_outer", "b_inner",
    "s_row", "s_column", "s_outer", "s_inner",
)  # fmt: skip


@device  # type: ignore[untyped-decorator]
def _truth(x):  # type: ignore[no-untyped-def]
    return L.uint8(1) if x != 0 else L.uint8(0)


def fetch_of(count: int, dtype: str) -> Any:
    """A device function: ``count`` neighbouring elements of an operand, 0 for those from the ``left``-th on."""
    T, get, load = getattr(L, accumulated(dtype)), to_computed(dtype), getattr(L, f"load{max(count, 2)}")
    if count == 1:

        @device
        def fetch(p, at, left):  # type: ignore[no-untyped-def]
            x = T(0)
            if left > 0:
                x = T(get(p[at]))
            return (x,)

    elif count == 2:

        @device
        def fetch(p, at, left):  # type: ignore[no-untyped-def]
            x0, x1 = T(0), T(0)
            if left >= 2:
                v = load(p, at)
                x0, x1 = T(get(v[0])), T(get(v[1]))
            elif left > 0:
                x0 = T(get(p[at]))
            return x0, x1

    else:

        @device
        def fetch(p, at, left):  # type: ignore[no-untyped-def]
            x0, x1, x2, x3 = T(0), T(0), T(0), T(0)
            if left >= 4:
                v = load(p, at)
                x0, x1, x2, x3 = T(get(v[0])), T(get(v[1])), T(get(v[2])), T(get(v[3]))
            elif left > 0:
                x0 = T(get(p[at]))
                if left > 1:
                    x1 = T(get(p[at + 1]))
                if left > 2:
                    x2 = T(get(p[at + 2]))
            return x0, x1, x2, x3

    return fetch


class Slab(NamedTuple):
    """How the threads of a block bring a slab of an operand to shared memory, where all elements of one product are neighbours.

    Text of it uses, for the name "x", the pointer X, the device function fetch_x (see :func:`fetch_of`), the shared array slab_x,
    x_base, x_count (of the rows, or columns, that there are), buffer_x (0, or the half of slab_x), and ``left``, the products that
    there are.
    """

    name: str
    outer: str  # the stride of rows (or columns)
    step: str  # the stride of products
    extent: int  # rows (or columns)
    depth: int  # products
    inner: bool  # neighbours in memory are along the sum
    width: int  # elements of a read
    threads: int
    pitch: int  # from one product's elements to the next one's, in shared memory

    @property
    def reads(self) -> int:
        """Of each thread."""
        return self.extent * self.depth // (self.width * self.threads)

    @property
    def size(self) -> int:
        """Elements in shared memory."""
        return self.depth * self.pitch

    @property
    def across(self) -> int:
        """Reads along the direction of neighbours."""
        return (self.depth if self.inner else self.extent) // self.width

    def setup(self) -> list[str]:
        """What does not change from slab to slab."""
        x, outer, step = self.name, self.outer, self.step
        first, second = ("k", "i") if self.inner else ("i", "k")
        return [
            f"{x}_{first} = int32(t % int32({self.across}) * int32({self.width}))",
            f"{x}_{second} = int32(t // int32({self.across}))",
            f"{x}_put = int32({x}_k * int32({self.pitch}) + {x}_i)",
            f"{x}_hop = int64({self.threads // self.across}) * {outer if self.inner else step}",
            f"{x}_slab = int64({self.depth}) * {step}",
            f"{x}_start = {x}_base + int64({x}_i) * {outer} + int64({x}_k) * {step}",
        ]

    def read(self, r: int) -> str:
        """From global memory at x_at to registers."""
        x, further = self.name, r * (self.threads // self.across)
        names = ", ".join(f"{x}{r}_{v}" for v in range(self.width))
        if self.inner:
            left = f"left - {x}_k if {x}_i + {further} < {x}_count else 0"
        else:
            left = f"{x}_count - {x}_i if {x}_k + {further} < left else 0"
        return f"{names}{',' if self.width == 1 else ''} = fetch_{x}({x.upper()}, {x}_at + {r} * {x}_hop, {left})"

    def write(self, r: int, shared_width: int) -> list[str]:
        """From registers to shared memory, where elements of one product lie next to each other."""
        x, further = self.name, r * (self.threads // self.across)
        if not self.inner and self.width == shared_width > 1:
            values = ", ".join(f"{x}{r}_{v}" for v in range(self.width))
            return [f"store{self.width}(slab_{x}, buffer_{x} + {x}_put + int32({further * self.pitch}), ({values}))"]
        places = [v * self.pitch + further if self.inner else further * self.pitch + v for v in range(self.width)]
        return [f"slab_{x}[buffer_{x} + {x}_put + int32({place})] = {x}{r}_{v}" for v, place in enumerate(places)]


def product_source(tile: Tile, dtype: str, a_layout: str, b_layout: str, extra: str) -> str:
    """The text of a kernel of :func:`product`."""
    lanes = vector(dtype)

    def slab(name: str, outer: str, step: str, extent: int, layout: str) -> Slab:
        width = lanes if layout.endswith("vectors") else 1
        return Slab(name, outer, step, extent, tile.depth, layout.startswith("inner"), width, tile.threads, extent + lanes)

    a, b = slab("a", "a_row", "a_step", tile.rows, a_layout), slab("b", "b_column", "b_step", tile.columns, b_layout)
    rows, columns = tile.row_count, tile.column_count
    across = tile.columns // columns
    a_group, b_group = min(lanes, rows), min(lanes, columns)

    def place(i: int, group: int, extent: int, count: int, thread: str) -> str:
        """Where a thread's i-th row (column) is: groups of neighbours lie apart, so that threads read different banks."""
        return f"{thread} + int32({i // group * (extent // (count // group)) + i % group})"

    body: list[str] = []
    add = body.append
    add(f"slab_a = cuda.shared.array({2 * a.size}, kind, alignment=16)")
    add(f"slab_b = cuda.shared.array({2 * b.size}, kind, alignment=16)")
    add("t = int32(cuda.threadIdx.x)")
    add(f"tx = int32(t % int32({across}) * int32({b_group}))")
    add(f"ty = int32(t // int32({across}) * int32({a_group}))")
    add(f"tiles_n = (n + {tile.columns - 1}) // {tile.columns}")
    add("tile_m = int64(cuda.blockIdx.x) // tiles_n")
    add(f"m0 = tile_m * {tile.rows}")
    add(f"n0 = (int64(cuda.blockIdx.x) - tile_m * tiles_n) * {tile.columns}")
    add(f"a_count = int32(min(m - m0, int64({tile.rows})))")
    add(f"b_count = int32(min(n - n0, int64({tile.columns})))")
    add("first = int64(cuda.blockIdx.z) * chunk")
    add("last = min(k, first + chunk)")
    add("matrix = int64(cuda.blockIdx.y)")
    add("while matrix < matrices:")
    inside: list[str] = ["outer = matrix // inner", "within = matrix - outer * inner"]
    inside += ["a_base = outer * a_outer + within * a_inner + m0 * a_row", "b_base = outer * b_outer + within * b_inner + n0 * b_column"]
    inside += a.setup() + b.setup()
    inside += ["a_at = a_start + first * a_step", "b_at = b_start + first * b_step"]
    for i in range(rows):
        inside.append("; ".join(f"c{i}_{j} = T(0)" for j in range(columns)))
    inside += ["left = last - first", "buffer_a = int32(0)", "buffer_b = int32(0)"]
    reads = [o.read(r) for o in (a, b) for r in range(o.reads)]
    writes = [line for o in (a, b) for r in range(o.reads) for line in o.write(r, lanes)]
    inside += [*reads, *writes]
    inside += ["cuda.syncthreads()", "while left > 0:"]
    loop = [f"left -= {tile.depth}", "a_at += a_slab", "b_at += b_slab", "use_a = int32(buffer_a + ty)", "use_b = int32(buffer_b + tx)"]
    loop += [f"buffer_a = int32(int32({a.size}) - buffer_a)", f"buffer_b = int32(int32({b.size}) - buffer_b)"]
    loop += ["if left > 0:", *["    " + x for x in reads]]
    unrolled = min(tile.depth, max(1, 128 // (rows * columns)))
    loop.append(f"for p in range({tile.depth // unrolled}):")
    for p in range(unrolled):
        for name, array, group, extent, count, pitch in (
            ("x", "slab_a", a_group, tile.rows, rows, a.pitch),
            ("y", "slab_b", b_group, tile.columns, columns, b.pitch),
        ):
            use = "use_a" if name == "x" else "use_b"
            for g in range(0, count, group):
                at = f"{use} + int32({p * pitch + g // group * (extent // (count // group)) + g % group})"
                if group == 1:
                    loop.append(f"    {name}{g} = {array}[{at}]")
                else:
                    loop.append(f"    {', '.join(f'{name}{g + v}' for v in range(group))} = load{group}({array}, {at})")
        for i in range(rows):
            loop.append("    " + "; ".join(f"c{i}_{j} += x{i} * y{j}" for j in range(columns)))
    loop += [f"    use_a += int32({unrolled * a.pitch})", f"    use_b += int32({unrolled * b.pitch})"]
    loop += ["if left > 0:", *["    " + x for x in writes]]
    loop += ["cuda.syncthreads()"]
    inside += ["    " + line for line in loop]
    inside += _epilogue(tile, dtype, extra, a_group, b_group, place)
    inside += ["matrix += int64(cuda.gridDim.y)"]
    body += ["    " + line for line in inside]
    text = "\n".join("    " + line for line in body)
    return f"# {tile}\ndef kernel(A, B, start, out, {', '.join(NUMBERS)}):\n{text}\n"


def _epilogue(tile: Tile, dtype: str, extra: str, a_group: int, b_group: int, place: Callable[..., str]) -> list[str]:
    """From registers to C, several neighbours at a time where rows are aligned and whole."""
    rows, columns = tile.row_count, tile.column_count
    lines = [
        "c_base = (int64(cuda.blockIdx.z) * matrices + matrix) * m" if extra == "parts" else "c_base = matrix * m",
        "s_base = outer * s_outer + within * s_inner + m0 * s_row + n0 * s_column",
    ]
    width = b_group if _size(accumulated(dtype)) * b_group == 16 else 1
    for i in range(rows):
        row = place(i, a_group, tile.rows, rows, "ty")
        lines += [f"row = {row}", "if row < a_count:", "    c_at = (c_base + m0 + row) * n + n0", "    s_at = s_base + row * s_row"]
        for g in range(0, columns, b_group):
            lines.append(f"    column = {place(g, b_group, tile.columns, columns, 'tx')}")
            values = [f"c{i}_{g + v}" for v in range(b_group)]
            if extra == "start":
                values = [f"{x} + T(get(start[s_at + int64(column + {v}) * s_column]))" for v, x in enumerate(values)]
            single = [f"if column + {v} < b_count:\n            out[c_at + column + {v}] = put({x})" for v, x in enumerate(values)]
            if width > 1:
                lines += [
                    f"    if (n % {width} == 0) & (column < b_count):",
                    f"        store{width}(out, c_at + column, ({', '.join(f'put({x})' for x in values)}))",
                    "    else:",
                    *["        " + x.replace("\n            ", "\n                    ") for x in single],
                ]
            else:
                lines += ["    " + x.replace("\n            ", "\n                ") for x in single]
    return lines


@family(threads=256, dtype=("float32", "float64", "bfloat16"), extra=("", "start"))
def sum_parts(dtype: str, extra: str) -> tuple[Callable[..., Any], str]:
    """out = the sum of parts (parts, n), one after the other, and of what the product starts with: element ``i`` is at its row's and
    column's place of ``start``.
    """
    kind = accumulated(dtype)
    T, get, put, int64 = getattr(L, kind), to_computed(dtype), _truth if dtype == "bool" else to_stored(dtype), L.int64
    with_start = extra == "start"

    def kernel(parts, start, out, count, size, m, n, inner, s_row, s_column, s_outer, s_inner):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        step = int64(cuda.gridDim.x) * int64(cuda.blockDim.x)
        while i < size:
            total = parts[i]
            p = int64(1)
            while p < count:
                total += parts[p * size + i]
                p += 1
            if with_start:
                row = i // n
                matrix = row // m
                outer = matrix // inner
                at = outer * s_outer + (matrix - outer * inner) * s_inner + (row - matrix * m) * s_row + (i - row * n) * s_column
                total += T(get(start[at]))
            out[i] = put(total)
            i += step

    return kernel, f"{kind}* {stored(dtype)}* {stored(dtype)}* " + " ".join(["int64"] * 9)

"""The part that the kernels of convolution share: a block's tile of sums of products, from slabs in shared memory, unrolled as text.

While a block multiplies one slab it reads the next one into registers, then writes that to the other half of the shared memory, so that it
waits once a slab. Accumulators have names of their own, so that they are registers.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import language as L
from ..elements import to_computed, to_stored
from ..language import cuda, device
from ..linalg.gemm_kernels import Tile as Tile, accumulated as accumulated

OUTSIDE = -(2**30)  # a coordinate that no window makes one inside


def size_of(dtype: str) -> int:
    """Bytes of what sums are kept in."""
    return np.dtype(accumulated(dtype)).itemsize


@device  # type: ignore[untyped-decorator]
def write(out, at, here, x):  # type: ignore[no-untyped-def]
    """An element where there is one."""
    if here:
        out[at] = x


@functools.cache
def write_several(count: int) -> Any:
    """A device function: as :func:`write`, of neighbours."""
    store = getattr(L, f"store{count}")

    @device
    def write_all(out, at, here, values):  # type: ignore[no-untyped-def]
        if here:
            store(out, at, values)

    return write_all


def scope_of(dtype: str, wide: bool) -> dict[str, Any]:
    """What the text of a kernel refers to."""
    names = ("int32", "int64", "quotient", "load2", "load4", "store2", "store4")
    scope: dict[str, Any] = {name: getattr(L, name) for name in names}
    scope |= {"write": write, "write2": write_several(2), "write4": write_several(4)}
    scope |= {"cuda": cuda, "T": getattr(L, accumulated(dtype)), "I": L.int64 if wide else L.int32}
    return scope | {"get": to_computed(dtype), "put": to_stored(dtype)}


def group_of(count: int, dtype: str) -> int:
    """How many of a thread's rows or columns lie next to each other: what one access to shared memory reads."""
    lanes = 1 if dtype.startswith("complex") else 16 // size_of(dtype)
    return min(count & -count, lanes, 4)


def place(i: int, group: int, extent: int, count: int, thread: str) -> str:
    """Where a thread's i-th row or column is: groups of neighbours lie apart, so that threads read different banks."""
    return f"int32({thread} * {group} + {i // group * (extent // (count // group)) + i % group})"


class Slabs:
    """The text that multiplies the slabs of a tile.

    Attributes:
        pitch_a, pitch_b: from one product's elements to the next one's in shared memory.
    """

    def __init__(self, tile: Tile, dtype: str) -> None:
        self.tile = tile
        self.a_group, self.b_group = group_of(tile.row_count, dtype), group_of(tile.column_count, dtype)
        self.pitch_a, self.pitch_b = tile.rows + 4, tile.columns + 4

    def setup(self) -> list[str]:
        """Shared memory, the thread's place, and sums of 0."""
        tile = self.tile
        across = tile.columns // tile.column_count
        lines = [
            f"slab_a = cuda.shared.array({2 * tile.depth * self.pitch_a}, T, alignment=16)",
            f"slab_b = cuda.shared.array({2 * tile.depth * self.pitch_b}, T, alignment=16)",
            "t = int32(cuda.threadIdx.x)",
            f"ty = int32(quotient(t, int32({across})))",
            f"tx = int32(t - ty * {across})",
            "use_a = int32(0)",
            "use_b = int32(0)",
        ]
        return lines + ["; ".join(f"c{i}_{j} = T(0)" for j in range(tile.column_count)) for i in range(tile.row_count)]

    def row(self, i: int) -> str:
        """Where the thread's i-th row is."""
        return place(i, self.a_group, self.tile.rows, self.tile.row_count, "ty")

    def column(self, j: int) -> str:
        """Where its j-th column is; ``b_group`` of them lie next to each other."""
        return place(j, self.b_group, self.tile.columns, self.tile.column_count, "tx")

    def loop(self, first: list[str], read: list[str], write: list[tuple[str, str, str]], more: str, advance: list[str]) -> list[str]:
        """Multiply slabs while ``more`` holds.

        Args:
            first: what is to be done once before.
            read: from device memory into registers.
            write: (array "a" or "b", place in its slab, register).
            more: a condition, the same for all threads.
            advance: to the next slab.
        """
        stores = [f"slab_{array}[use_{array} + {at}] = {value}" for array, at, value in write]
        lines = [*first, f"if {more}:", *_in(read), *_in(stores), "cuda.syncthreads()"]
        body = [*advance, f"if {more}:", *_in(read), *self._multiply()]
        body += [f"use_{x} = int32({self.tile.depth * pitch} - use_{x})" for x, pitch in (("a", self.pitch_a), ("b", self.pitch_b))]
        body += [f"if {more}:", *_in(stores), "cuda.syncthreads()"]
        return [*lines, f"while {more}:", *_in(body)]

    def _multiply(self) -> list[str]:
        tile, lines = self.tile, []
        for p in range(tile.depth):
            for name, slab, group, extent, count, thread, pitch in (
                ("x", "a", self.a_group, tile.rows, tile.row_count, "ty", self.pitch_a),
                ("y", "b", self.b_group, tile.columns, tile.column_count, "tx", self.pitch_b),
            ):
                for g in range(0, count, group):
                    at = f"use_{slab} + {p * pitch + g // group * (extent // (count // group))} + {thread} * {group}"
                    names = ", ".join(f"{name}{g + v}" for v in range(group))
                    lines.append(f"{names} = slab_{slab}[{at}]" if group == 1 else f"{names} = load{group}(slab_{slab}, {at})")
            lines += ["; ".join(f"c{i}_{j} += x{i} * y{j}" for j in range(tile.column_count)) for i in range(tile.row_count)]
        return lines


def _in(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]


def inside(dims: int, position: str, offset: str) -> str:
    """The condition that coordinates ``position``_d, _h, _w moved by ``offset``1, 2, 3 are those of an element."""
    parts = []
    for axis, k in (("d", 1), ("h", 2), ("w", 3))[3 - dims :]:
        at = f"{position}_{axis} + {offset}{k}"
        parts.append(f"({at} >= 0) & ({at} < size_{axis})")
    return " & ".join(parts)


def decoded(dims: int, flat: str, into: str, sizes: str) -> list[str]:
    """A flat position as coordinates ``into``_d, _h, _w, of axes of ``sizes``_h and _w."""
    lines, rest = [], flat
    for axis in {1: "", 2: "w", 3: "wh"}[dims]:
        lines.append(f"{into}_over_{axis} = I(quotient({rest}, {sizes}_{axis}))")
        lines.append(f"{into}_{axis} = I({rest} - {into}_over_{axis} * {sizes}_{axis})")
        rest = f"{into}_over_{axis}"
    return [*lines, f"{into}_{'dhw'[3 - dims]} = I({rest})"]

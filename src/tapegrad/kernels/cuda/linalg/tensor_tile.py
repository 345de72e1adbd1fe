"""The part that kernels on tensor cores share: how slabs lie in shared memory, how a warp takes its fragments from them, and what a thread
has of the tile of sums, as text.

A slab is rows of chunks of 16 bytes. Either a row is one row of A (column of B) and its chunks are products, which is called "inner"; or a
row is one product, and its chunks are rows of A (columns of B). So what is contiguous in device memory stays so. Chunks change places by
their row, so that the eight rows that the cores take at a time lie in different banks.

Fragments are those of ``mma``, see https://docs.nvidia.com/cuda/parallel-thread-execution/#warp-level-matrix-instructions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from .. import language as L
from ..elements import stored, to_stored

CHUNKS = 4  # of a slab along the sum: two steps of the tensor cores


class Kind(NamedTuple):
    """What is multiplied: how many of them make 16 bytes, as what they lie in shared memory, and the word that multiplies them."""

    dtype: str
    lanes: int
    word: str
    multiply: str

    @property
    def depth(self) -> int:
        """Products of a slab."""
        return CHUNKS * self.lanes

    @property
    def pointer(self) -> str:
        """The type of a pointer to them."""
        return f"{stored(self.dtype)}*"


KINDS = {
    "float16": Kind("float16", 8, "uint16", "mma_16816_float16"),
    "bfloat16": Kind("bfloat16", 8, "uint16", "mma_16816_bfloat16"),
    "tf32": Kind("float32", 4, "uint32", "mma_1688_tf32"),
}


def kind_of(dtype: str, tf32: bool) -> str:
    """The name in ``KINDS`` of what arrays of this dtype are multiplied as; "" for those that tensor cores don't multiply."""
    return dtype if dtype in KINDS else "tf32" if tf32 and dtype == "float32" else ""


class TensorTile(NamedTuple):
    """Rows and columns that a block computes, warps down and across, and an estimate of how near it comes to full speed."""

    rows: int
    columns: int
    down: int
    across: int
    speed: float = 1.0

    @property
    def threads(self) -> int:
        return 32 * self.down * self.across

    @property
    def row_count(self) -> int:
        """Of a thread."""
        return self.rows // self.down // 8

    @property
    def column_count(self) -> int:
        """Of a thread."""
        return self.columns // self.across // 4

    def setup(self) -> list[str]:
        """The thread's place."""
        return [
            "t = int32(cuda.threadIdx.x)",
            "lane = int32(t & int32(31))",
            f"warp_a = int32((t >> int32(5)) // int32({self.across}) * int32({self.rows // self.down}))",
            f"warp_b = int32((t >> int32(5)) % int32({self.across}) * int32({self.columns // self.across}))",
            "own_row = int32(warp_a + (lane >> int32(2)))",
            "own_column = int32(warp_b + (lane & int32(3)) * int32(2))",
        ]

    def sums(self) -> list[str]:
        """c{i}_{j} = 0."""
        return ["; ".join(f"c{i}_{j} = T(0)" for j in range(self.column_count)) for i in range(self.row_count)]

    def row(self, i: int) -> str:
        """Where the thread's i-th row is."""
        return f"int32(own_row + int32({8 * i}))"

    def column(self, j: int) -> str:
        """Where its j-th column is; two lie next to each other."""
        return f"int32(own_column + int32({j // 2 * 8 + j % 2}))"


def scope_of(kind: str) -> dict[str, Any]:
    """What the text refers to."""
    names = (
        "int32", "int64", "uint16", "uint32", "load_matrices", "load_matrices_transposed", "copy_async", "commit_copies", "wait_copies",
        "wait_copies_but_1", "round_tf32", "store_quad", "store2", "quotient", "bits_of_float32",
    )  # fmt: skip
    scope = {name: getattr(L, name) for name in names}
    made = KINDS[kind]
    return scope | {"mma": getattr(L, made.multiply), "word": getattr(L, made.word), "T": L.float32, "put": to_stored(made.dtype)}


class Slab(NamedTuple):
    """An operand in shared memory, "a" or "b".

    Text of it uses, for the name "a", the shared array slab_a and ``use_a``, the place there of the slab that is multiplied.
    """

    name: str
    kind: Kind
    extent: int  # rows of A (columns of B) of the block
    each: int  # of a warp
    inner: bool
    exact: bool  # floats are TF32 already

    @property
    def size(self) -> int:
        """Elements."""
        return self.extent * self.kind.depth

    @property
    def across(self) -> int:
        """Chunks of a row."""
        return CHUNKS if self.inner else self.extent // self.kind.lanes

    def place(self, row: str, chunk: str) -> str:
        """Where a chunk is, in elements."""
        lanes = self.kind.lanes
        return f"int32(({row}) * int32({self.across * lanes}) + (({chunk}) ^ {self._moved(row)}) * int32({lanes}))"

    def element(self, i: str, k: str) -> str:
        """Where an element is: of row (column) ``i`` and product ``k``."""
        shift, rest = self.kind.lanes.bit_length() - 1, self.kind.lanes - 1
        row, along = (i, k) if self.inner else (k, i)
        return f"int32({self.place(row, f'(({along}) >> int32({shift}))')} + (({along}) & int32({rest})))"

    def _moved(self, row: str) -> str:
        """By what chunks of a row change places."""
        if not self.inner and self.kind.lanes == 4:
            return f"int32(((({row}) & int32(3)) * int32(2)) & int32({self.across - 1}))"
        near = min(8, self.across & -self.across)
        return f"int32((({row}) >> int32({3 - (near.bit_length() - 1)})) & int32({near - 1}))"

    def setup(self) -> list[str]:
        """Where the thread's first fragments are."""
        x, lanes = self.name, self.kind.lanes
        warp = f"warp_{x}"
        half, eighth = "(lane >> int32(4))", "((lane >> int32(3)) & int32(1))"
        if self.inner:
            row, chunk = (f"{warp} + (lane & int32(15))", half) if x == "a" else (f"{warp} + {half} * int32(8) + (lane & int32(7))", eighth)
            return [f"first_{x}0 = {self.place(row, chunk)}", f"first_{x}1 = int32(first_{x}0 ^ int32({2 * lanes}))"]
        lines = []
        if lanes == 8:
            row, chunk = (half, eighth) if x == "a" else (eighth, half)
            row = f"{row} * int32(8) + (lane & int32(7))"
            for m in range(self.each // 16):
                lines.append(f"first_{x}{m} = {self.place(row, f'((({warp} + int32({16 * m})) >> int32(3)) + {chunk})')}")
            return lines
        for m in range(self.each // 8):
            lines.append(f"first_{x}{m} = {self.element(f'({warp} + int32({8 * m}) + (lane >> int32(2)))', '(lane & int32(3))')}")
        return lines

    def take(self, m: int, step: int) -> list[str]:
        """Of the m-th 16 rows (columns) of the warp, the fragments of a step: {a}{m}_0 to 3."""
        x, lanes = self.name, self.kind.lanes
        names = [f"{x}{m}_{r}" for r in range(4)]
        if self.inner:
            at = f"use_{x} + first_{x}{step} + int32({m * 16 * self.across * lanes})"
            lines = [f"{', '.join(names)} = load_matrices(slab_{x}, int32({at}))"]
        elif lanes == 8:
            at = f"use_{x} + first_{x}{m} + int32({step * 16 * self.extent})"
            lines = [f"{', '.join(names)} = load_matrices_transposed(slab_{x}, int32({at}))"]
        else:
            lines = []
            for r, name in enumerate(names):
                eight, four = (r % 2, r // 2) if x == "a" else (r // 2, r % 2)
                at = f"use_{x} + first_{x}{2 * m + eight} + int32({(step * 8 + four * 4) * self.extent})"
                lines.append(f"{name} = slab_{x}[int32({at})]")
        if lanes == 4 and not self.exact:
            lines += [f"{name} = round_tf32({name})" for name in names]
        return lines

    def copies(self, threads: int) -> Iterator[str]:
        """Copies of a slab from X at x_at (see :meth:`copied`) to ``into_x``, where ``ahead`` products and x_count rows (columns) are."""
        x, lanes = self.name, self.kind.lanes
        hop = threads // self.across
        if self.inner:
            yield f"{x}_ahead = max(min(int32(ahead - {x}_chunk), int32({lanes})), int32(0))"
        for r in range(self.extent * CHUNKS // threads):
            row = f"int32({x}_row + int32({r * hop}))"
            if self.inner:
                count = f"int32({row} < {x}_count) * {x}_ahead"
            else:
                count = f"int32({row} < ahead) * {x}_valid"
            to = f"int32(into_{x} + {x}_put + int32({r * hop * self.across * lanes}))"
            yield f"copy_async(slab_{x}, {to}, {x.upper()}, {x}_at + {r} * {x}_hop, int32({count}))"

    def copied(self, threads: int, outer: str, step: str) -> list[str]:
        """What copies need that does not change: ``outer`` is the stride of rows (columns) and ``step`` that of products, one of them 1."""
        x, lanes = self.name, self.kind.lanes
        i, k = (f"{x}_row", f"{x}_chunk") if self.inner else (f"{x}_chunk", f"{x}_row")
        return [
            f"{x}_row = int32(t // int32({self.across}))",
            f"{x}_chunk = int32(t % int32({self.across}) * int32({lanes}))",
            f"{x}_put = {self.place(f'{x}_row', f'(t % int32({self.across}))')}",
            f"{x}_hop = int64({threads // self.across}) * {outer if self.inner else step}",
            f"{x}_start = int64({i}) * {outer} + int64({k}) * {step}",
            f"{x}_valid = max(min(int32({x}_count - {x}_chunk), int32({lanes})), int32(0))",
        ]


def slabs_of(tile: TensorTile, kind: Kind, a_inner: bool, b_inner: bool, exact: bool) -> tuple[Slab, Slab]:
    """Both operands of a tile."""
    return (
        Slab("a", kind, tile.rows, tile.rows // tile.down, a_inner, exact),
        Slab("b", kind, tile.columns, tile.columns // tile.across, b_inner, exact),
    )


def multiplied(tile: TensorTile, a: Slab, b: Slab) -> list[str]:
    """c{i}_{j} += the products of a slab."""
    lines = []
    for step in range(CHUNKS // 2):
        for slab in (b, a):
            for m in range(slab.each // 16):
                lines += slab.take(m, step)
        for m in range(tile.row_count // 2):
            for n in range(tile.column_count // 2):
                sums = [f"c{2 * m + h}_{2 * n + v}" for h in range(2) for v in range(2)]
                left = [f"a{m}_{r}" for r in range(4)]
                right = [f"b{n // 2}_{n % 2 * 2 + r}" for r in range(2)]
                lines.append(f"{', '.join(sums)} = mma({', '.join([*left, *right, *sums])})")
    return lines

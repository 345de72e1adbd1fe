"""What both directions of attention are made of: products and copies of tiles, maxima of columns, masks.

This module imports Numba, so it is imported only when a kernel has to be compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ...native.abi import POINTERS, inline
from ..linalg.gemm import Tile
from ..linalg.micro import micro_kernel, transpose_block
from ..vector import Vector
from ..vmath import functions as vmath
from .attention import queries

_WORD = ir.IntType(64)


def _column_maxima(vector: Vector, vectors: int) -> Any:
    """The intrinsic ``raise_to(address, rows, into)``: ``into[j] = max(into[j], row[j] of each row)`` for rows of so many vectors.

    NaN counts for nothing. (LLVM unrolls a loop of these and then finds no vectors in it.)
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def raise_to(typing_context, address, rows, into):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            base, into = (builder.inttoptr(args[i], ir.IntType(8).as_pointer()) for i in (0, 2))
            start = [vector.load(builder, into, _WORD(v * vector.bytes)) for v in range(vectors)]
            entry, loop, done = builder.block, builder.append_basic_block("rows"), builder.append_basic_block("raised")
            builder.branch(loop)
            builder.position_at_end(loop)
            left, at = builder.phi(_WORD), builder.phi(_WORD)
            most = [builder.phi(vector.type) for _ in range(vectors)]
            raised = []
            for v in range(vectors):
                x = vector.load(builder, base, builder.add(at, _WORD(v * vector.bytes)))
                raised.append(builder.select(builder.fcmp_ordered(">", x, most[v]), x, most[v]))
            less = builder.sub(left, _WORD(1))
            steps = [(left, args[1], less), (at, _WORD(0), builder.add(at, _WORD(vectors * vector.bytes))), *zip(most, start, raised, strict=True)]
            for phi, first, following in steps:
                phi.add_incoming(first, entry)
                phi.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed(">", less, _WORD(0)), loop, done)
            builder.position_at_end(done)
            for v in range(vectors):
                vector.store(builder, raised[v], into, _WORD(v * vector.bytes))
            return context.get_dummy_value()

        return types.void(*[types.int64] * 3), generate

    return raise_to


class Pieces:
    """Functions for the kernels, for one dtype and register tile."""

    def __init__(self, dtype: str, tile: Tile) -> None:
        T, values, word = getattr(types, dtype), POINTERS[dtype], POINTERS["int64"]
        SIZE = np.dtype(dtype).itemsize
        LANES, ROWS, VECTORS = tile.vector_bytes // SIZE, tile.rows, tile.vectors
        WIDE = queries(tile, SIZE)
        STEP = WIDE * SIZE
        exp = vmath.functions(dtype)["exp"]
        vector = Vector(SIZE, LANES)
        multiply = micro_kernel(vector, [VECTORS] * ROWS, tile.fused)
        transpose = transpose_block(vector)
        nothing, LOWEST = T(-np.inf), T(np.log(np.finfo(dtype).tiny) + 1)
        self.raise_to = _column_maxima(vector, VECTORS)

        @inline
        def weight_of(x):  # type: ignore[no-untyped-def]
            """exp, but 0 for subnormal results: CPUs take a hundred cycles for those, and a causal tile is full of them."""
            tiny = x < LOWEST
            y = T(exp(LOWEST if tiny else x))
            return T(0) if tiny else y

        @inline
        def product(m, columns, depth, a, a_row, a_step, b, b_step, c, c_row, add):  # type: ignore[no-untyped-def]
            """c (m, columns) = or += a @ b; columns are whole vectors."""
            tiles = (m + ROWS - 1) // ROWS
            for j in range(0, columns, VECTORS * LANES):
                vectors = min(VECTORS, (columns - j) // LANES)
                for t in range(tiles):
                    i = t * m // tiles
                    rows = (t + 1) * m // tiles - i
                    multiply(rows, vectors, depth, a + i * a_row, a_row, a_step, b + j * SIZE, b_step, c + i * c_row + j * SIZE, c_row, add)

        @inline
        def transposed(source, row, column, count, width, target):  # type: ignore[no-untyped-def]
            """Rows (count, width) as columns (width, WIDE) of the target, zeros beside them."""
            done, whole = 0, 0  # what goes by blocks
            if column == SIZE:
                done, whole = count // LANES * LANES, width // LANES * LANES
                for j in range(0, done, LANES):
                    for p in range(0, whole, LANES):
                        transpose(source + j * row + p * SIZE, row, target + p * STEP + j * SIZE, STEP)
            for p in range(width):
                to = values(target + p * STEP)
                for j in range(done if p < whole else 0, count):
                    to[j] = values(source + j * row + p * column)[0]
                for j in range(count, WIDE):
                    to[j] = T(0)

        @inline
        def packed(source, row, column, count, width, padded, target):  # type: ignore[no-untyped-def]
            """(address, step) of rows that can be read by whole vectors: where they are, or copied to the target."""
            if column == SIZE and width == padded:
                return source, row
            for i in range(count):
                to = values(target + i * padded * SIZE)
                for j in range(width):
                    to[j] = values(source + i * row + j * column)[0]
                for j in range(width, padded):
                    to[j] = T(0)
            return target, padded * SIZE

        @inline
        def masked(scores, keys, mask, row, column, count):  # type: ignore[no-untyped-def]
            """Add the mask (queries, keys) to transposed scores."""
            for k in range(keys):
                s = values(scores + k * STEP)
                if row == 0:
                    x = values(mask + k * column)[0]
                    for j in range(WIDE):
                        s[j] += x
                else:
                    for j in range(count):
                        s[j] += values(mask + j * row + k * column)[0]

        @inline
        def hide_later(scores, keys, ahead):  # type: ignore[no-untyped-def]
            """Causal: key k is hidden from queries j < k + ahead."""
            for k in range(max(0, 1 - ahead), keys):
                s = values(scores + k * STEP)
                for j in range(min(k + ahead, WIDE)):
                    s[j] = nothing

        self.T, self.values, self.word, self.weight_of, self.nothing = T, values, word, weight_of, nothing
        self.SIZE, self.WIDE, self.STEP, self.LANES = SIZE, WIDE, STEP, LANES
        self.product, self.transposed, self.packed, self.masked = product, transposed, packed, masked
        self.hide_later = hide_later

"""What convolution is made of, as vector instructions: the register tile, and a block transpose with edges.

Addresses and strides are 64-bit integers in bytes, and no address needs more than its element's alignment. This module
imports Numba, so it is imported only when a kernel has to be compiled.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..linalg.micro import add_products, merge
from ..vector import Vector

_WORD = ir.IntType(64)
_BYTES = ir.IntType(8).as_pointer()


class _Operands(NamedTuple):
    """Arguments of the register tiles, LLVM values of 64 bits; see ``register_tile``."""

    rows: Any
    vectors: Any
    depth: Any
    a: Any
    b: Any
    offsets: Any
    step: Any
    first: Any
    first_row: Any
    c: Any
    c_row: Any
    count: Any


def register_tile(vector: Vector, most_rows: tuple[int, ...], across: bool, fused: bool) -> Any:
    """The intrinsic ``tile(rows, vectors, depth, a, b, offsets, step, first, first_row, c, c_row, count)``.

    ``c[i, j] = first[i, j] + sum over p < depth of a[p, i] * b[p, j]`` for i < rows and j < vectors * lanes. The elements of a lie next
    to each other along i, those of b along j. Along p, one of the two has its places in a table of 64-bit ``offsets``, the other a
    stride, ``step``: with ``across`` a has the table (positions are rows, channels lie across), else b (channels are rows), and then
    ``first[i]`` stands for all columns of a row, and only ``count`` columns are written. ``first_row`` and ``c_row`` are strides along i;
    ``most_rows`` are the most rows for 1, 2, ... vectors. A sum runs over p in order, so an element's bits don't depend on its tile.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(  # type: ignore[no-untyped-def]
        typing_context, rows, vectors, depth, a, b, offsets, step, first, first_row, c, c_row, count
    ):
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            operands = _Operands(*args)
            done = builder.append_basic_block("tile.done")
            # One loop for each size, so that all sums are registers and no work is spent on absent rows.
            base = len(most_rows) + 1
            switch = builder.switch(builder.add(builder.mul(operands.rows, _WORD(base)), operands.vectors), done)
            for v, most in enumerate(most_rows, 1):
                for r in range(1, most + 1):
                    block = builder.append_basic_block(f"tile.{r}x{v}")
                    switch.add_case(_WORD(r * base + v), block)
                    builder.position_at_end(block)
                    _emit_tile(builder, vector, r, v, across, fused, operands)
                    builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 12), generate

    return tile


def _emit_tile(builder: Any, vector: Vector, rows: int, vectors: int, across: bool, fused: bool, o: _Operands) -> None:
    a_start, b_start, first, c, table_start = (builder.inttoptr(at, _BYTES) for at in (o.a, o.b, o.first, o.c, o.offsets))
    tile = [(i, j) for i in range(rows) for j in range(vectors)]

    def place(row: Any, i: int, j: int) -> Any:
        return builder.add(builder.mul(row, _WORD(i)), _WORD(j * vector.bytes))

    if across:
        starts = {(i, j): vector.load(builder, first, place(o.first_row, i, j)) for i, j in tile}
    else:
        starts = {(i, j): vector.broadcast(builder, first, place(o.first_row, i, 0)) for i, j in tile}
    entry, loop = builder.block, builder.append_basic_block("depth")
    finish = builder.append_basic_block("store")
    builder.cbranch(builder.icmp_signed(">", o.depth, _WORD(0)), loop, finish)

    builder.position_at_end(loop)
    left, table, stepping = builder.phi(_WORD), builder.phi(_BYTES), builder.phi(_BYTES)
    sums = {ij: builder.phi(vector.type) for ij in tile}
    at = builder.gep(a_start if across else b_start, [builder.load(builder.bitcast(table, _WORD.as_pointer()))])
    a, b = (at, stepping) if across else (stepping, at)
    b_values = [vector.load(builder, b, _WORD(j * vector.bytes)) for j in range(vectors)]
    new = add_products(builder, vector, fused, sums, a, [_WORD(i * vector.size) for i in range(rows)], b_values)
    less = builder.sub(left, _WORD(1))
    steps = [(left, o.depth, less), (table, table_start, builder.gep(table, [_WORD(8)]))]
    steps += [(stepping, b_start if across else a_start, builder.gep(stepping, [o.step]))]
    merge(entry, loop, steps + [(sums[ij], starts[ij], new[ij]) for ij in tile])
    builder.cbranch(builder.icmp_signed(">", less, _WORD(0)), loop, finish)

    builder.position_at_end(finish)
    results = {ij: builder.phi(vector.type) for ij in tile}
    merge(entry, loop, [(results[ij], starts[ij], new[ij]) for ij in tile])
    for i, j in tile:
        if across:
            vector.store(builder, results[i, j], c, place(o.c_row, i, j))
        else:
            left_over = builder.sub(o.count, _WORD(j * vector.lanes))
            vector.store_first(builder, left_over, results[i, j], builder.gep(c, [place(o.c_row, i, j)]))


def dot_tile(vector: Vector, most: int, fused: bool) -> Any:
    """The intrinsic ``dots(taps, a, count, b, offsets, sums)``: ``sums[i] += a[j] * b[offsets[i] + j]`` for i < taps and all j < count.

    A sum is a vector, of which lane l takes every j that leaves l.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def dots(typing_context, taps, a, count, b, offsets, sums):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            done = builder.append_basic_block("dots.done")
            switch = builder.switch(args[0], done)
            for taps in range(1, most + 1):
                block = builder.append_basic_block(f"dots.{taps}")
                switch.add_case(_WORD(taps), block)
                builder.position_at_end(block)
                _emit_dots(builder, vector, taps, fused, *args[1:])
                builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), generate

    return dots


def _emit_dots(builder: Any, vector: Vector, taps: int, fused: bool, a: Any, count: Any, b: Any, offsets: Any, sums: Any) -> None:
    a, b, offsets, sums = (builder.inttoptr(at, _BYTES) for at in (a, b, offsets, sums))
    starts = [vector.load(builder, sums, _WORD(i * vector.bytes)) for i in range(taps)]
    places = [builder.load(builder.bitcast(builder.gep(offsets, [_WORD(8 * i)]), _WORD.as_pointer())) for i in range(taps)]
    entry, loop = builder.block, builder.append_basic_block("along")
    finish = builder.append_basic_block("store")
    builder.branch(loop)

    builder.position_at_end(loop)
    j = builder.phi(_WORD)
    totals = [builder.phi(vector.type) for _ in range(taps)]
    at = builder.mul(j, _WORD(vector.size))
    left = builder.sub(count, j)
    x = vector.load_first(builder, left, builder.gep(a, [at]))
    new = []
    for total, place in zip(totals, places, strict=True):
        y = vector.load_first(builder, left, builder.gep(b, [builder.add(place, at)]))
        new.append(vector.fma(builder, x, y, total) if fused else builder.fadd(total, builder.fmul(x, y)))
    following = builder.add(j, _WORD(vector.lanes))
    merge(entry, loop, [(j, _WORD(0), following), *zip(totals, starts, new, strict=True)])
    builder.cbranch(builder.icmp_signed("<", following, count), loop, finish)

    builder.position_at_end(finish)
    for i, total in enumerate(new):
        vector.store(builder, total, sums, _WORD(i * vector.bytes))


def transpose_part(vector: Vector) -> Any:
    """The intrinsic ``transpose(source, source_row, rows, columns, target, target_row)``: ``target[j, i] = source[i, j]``.

    Of a block of at most lanes x lanes elements, ``rows`` and ``columns`` at least 1; nothing beside it is read or written.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def transpose(typing_context, source, source_row, rows, columns, target, target_row):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source, target = (builder.inttoptr(args[i], _BYTES) for i in (0, 4))
            rows, columns = args[2], args[3]
            last = builder.sub(rows, _WORD(1))
            values = []
            for i in range(vector.lanes):  # rows that are missing are read again
                row = builder.select(builder.icmp_signed("<", _WORD(i), last), _WORD(i), last)
                values.append(vector.load_first(builder, columns, builder.gep(source, [builder.mul(args[1], row)])))
            done = builder.append_basic_block("transposed")
            for j, value in enumerate(vector.turned(builder, values)):
                vector.store_first(builder, rows, value, builder.gep(target, [builder.mul(args[5], _WORD(j))]))
                following = builder.append_basic_block("row")
                builder.cbranch(builder.icmp_signed(">", columns, _WORD(j + 1)), following, done)
                builder.position_at_end(following)
            builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), generate

    return transpose

"""What the matrix product is made of, as vector instructions: the register tile, a block transpose, copies at edges.

Addresses and strides are 64-bit integers in bytes, and no address needs more than its element's alignment. This module
imports Numba, so it is imported only when a kernel has to be compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..vector import Vector

_WORD = ir.IntType(64)
_BYTES = ir.IntType(8).as_pointer()
_I64 = types.int64


class _Operands(NamedTuple):
    """Arguments of the register tile, LLVM values of 64 bits; see ``micro_kernel``."""

    rows: Any
    vectors: Any
    depth: Any
    a: Any
    a_row: Any
    a_step: Any
    b: Any
    b_step: Any
    c: Any
    c_row: Any
    add: Any


def micro_kernel(vector: Vector, max_vectors: Sequence[int], fused: bool) -> Any:
    """The intrinsic ``tile(rows, vectors, depth, a, a_row, a_step, b, b_step, c, c_row, add)``.

    It sets (``add`` = 0) or increments (other values) ``c[i, j]`` by the sum over p < depth of ``a[i, p] * b[p, j]``
    for i < rows and j < vectors * lanes; ``max_vectors`` are the most vectors for 1, 2, ... rows. ``a_row`` and
    ``a_step`` are A's strides along i and p, ``b_step`` B's along p, ``c_row`` C's along i; B and C have unit stride
    along j. Every sum starts at zero and runs over p in order, so an element's bits depend on nothing but its row, its
    column and ``depth``. Without ``fused`` (no FMA instruction) a product is rounded before it is added.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(  # type: ignore[no-untyped-def]
        typing_context, rows, vectors, depth, a, a_row, a_step, b, b_step, c, c_row, add
    ):
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            builder.call(_tile_of_any_size(builder.module, vector, tuple(max_vectors), fused), args)
            return context.get_dummy_value()

        return types.void(*[_I64] * 11), generate

    return tile


def _tile_of_any_size(module: Any, vector: Vector, max_vectors: tuple[int, ...], fused: bool) -> Any:
    """LLVM's function that does what ``micro_kernel`` says, by one function for each size: all accumulators are registers, no work is
    spent on absent rows, and LLVM compiles many small functions faster than a large one."""
    kind = f"tile.{vector.lanes}x{8 * vector.size}.{fused}"
    name = f"{kind}.{max_vectors}"
    if name in module.globals:
        return module.globals[name]
    function = _new_function(module, name)
    builder = ir.IRBuilder(function.append_basic_block())
    done = function.append_basic_block("done")
    ir.IRBuilder(done).ret_void()
    base = max(max_vectors) + 1
    switch = builder.switch(builder.add(builder.mul(function.args[0], _WORD(base)), function.args[1]), done)
    for rows, most in enumerate(max_vectors, 1):
        for vectors in range(1, most + 1):
            own = f"{kind}.{rows}x{vectors}"
            if own not in module.globals:
                tile = _new_function(module, own)
                inside = ir.IRBuilder(tile.append_basic_block())
                _emit_tile(inside, vector, rows, vectors, fused, _Operands(*tile.args))
                inside.ret_void()
            block = function.append_basic_block(f"{rows}x{vectors}")
            switch.add_case(_WORD(rows * base + vectors), block)
            builder.position_at_end(block)
            builder.call(module.globals[own], function.args, tail=True)
            builder.ret_void()
    return function


def _new_function(module: Any, name: str) -> Any:
    """A function of this module alone that takes a tile's arguments and stays a function."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [_WORD] * len(_Operands._fields)), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    return function


def _emit_tile(builder: Any, vector: Vector, rows: int, vectors: int, fused: bool, o: _Operands) -> None:
    """The loop of a tile of ``rows`` x ``vectors`` accumulators, and its stores to C."""
    entry = builder.block
    loop, finish, setting, adding, done = (builder.append_basic_block(name) for name in ("depth", "finish", "set", "add", "stored"))
    tile = [(i, j) for i in range(rows) for j in range(vectors)]
    a_start, b_start, c = (builder.inttoptr(at, _BYTES) for at in (o.a, o.b, o.c))
    row_offsets = [_hidden(builder, builder.mul(o.a_row, _WORD(i))) for i in range(rows)]
    c_offsets = {(i, j): builder.add(builder.mul(o.c_row, _WORD(i)), _WORD(j * vector.bytes)) for i, j in tile}
    for ij in tile:  # C arrives while the products are summed
        vector.prefetch(builder, c, c_offsets[ij])
    builder.cbranch(builder.icmp_signed(">", o.depth, _WORD(0)), loop, finish)

    builder.position_at_end(loop)
    left, a, b = builder.phi(_WORD), builder.phi(_BYTES), builder.phi(_BYTES)
    sums = {ij: builder.phi(vector.type) for ij in tile}
    b_values = [vector.load(builder, b, _WORD(j * vector.bytes)) for j in range(vectors)]
    new = add_products(builder, vector, fused, sums, a, row_offsets, b_values)
    less = _hidden(builder, builder.sub(left, _WORD(1)))
    next_a, next_b = builder.gep(a, [o.a_step]), builder.gep(b, [o.b_step])
    steps = [(left, o.depth, less), (a, a_start, next_a), (b, b_start, next_b)]
    merge(entry, loop, steps + [(sums[ij], vector.zero, new[ij]) for ij in tile])
    builder.cbranch(builder.icmp_signed(">", less, _WORD(0)), loop, finish)

    builder.position_at_end(finish)
    results = {ij: builder.phi(vector.type) for ij in tile}
    merge(entry, loop, [(results[ij], vector.zero, new[ij]) for ij in tile])
    builder.cbranch(builder.icmp_signed("!=", o.add, _WORD(0)), adding, setting)
    for block in (adding, setting):
        builder.position_at_end(block)
        for ij in tile:
            result = results[ij]
            if block is adding:
                result = builder.fadd(vector.load(builder, c, c_offsets[ij]), result)
            vector.store(builder, result, c, c_offsets[ij])
        builder.branch(done)
    builder.position_at_end(done)


def add_products(
    builder: Any, vector: Vector, fused: bool, sums: dict[tuple[int, int], Any], a: Any, offsets: Sequence[Any], b_values: Sequence[Any]
) -> dict[tuple[int, int], Any]:
    """``sums[i, j] + a[i] * b[j]``, where A's elements lie at ``offsets`` from ``a``; without ``fused`` a product is rounded before."""
    new = {}
    for i, offset in enumerate(offsets):
        a_value = vector.broadcast(builder, a, offset)
        for j, b_value in enumerate(b_values):
            if fused:
                new[i, j] = vector.fma(builder, a_value, b_value, sums[i, j])
            else:
                new[i, j] = builder.fadd(sums[i, j], builder.fmul(a_value, b_value))
    return new


def merge(entry: Any, loop: Any, values: list[tuple[Any, Any, Any]]) -> None:
    """Give each of (phi, first, following) its values: where control comes from ``entry``, and from ``loop``."""
    for phi, first, following in values:
        phi.add_incoming(first, entry)
        phi.add_incoming(following, loop)


def _hidden(builder: Any, value: Any) -> Any:
    """The same integer, of which LLVM knows nothing (an empty instruction makes it).

    LLVM would step from row to row by a chain of additions, slower than the FMAs, and unroll until addresses spill.
    """
    return builder.asm(ir.FunctionType(_WORD, [_WORD]), "", "=r,0", [value], False)


def padded_copy(vector: Vector) -> Any:
    """The intrinsic ``copy(source, target, count)``: ``count`` elements, at most a vector's, then zeros to its end."""

    @intrinsic  # type: ignore[untyped-decorator]
    def copy(typing_context, source, target, count):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source, target = (builder.inttoptr(args[i], _BYTES) for i in (0, 1))
            vector.store(builder, vector.load_first(builder, args[2], source), target, _WORD(0))
            return context.get_dummy_value()

        return types.void(*[_I64] * 3), generate

    return copy


def exact_copy(vector: Vector) -> Any:
    """The intrinsic ``copy(source, target, count)``: ``count`` elements, at most a vector's, and nothing beyond."""

    @intrinsic  # type: ignore[untyped-decorator]
    def copy(typing_context, source, target, count):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source, target = (builder.inttoptr(args[i], _BYTES) for i in (0, 1))
            vector.store_first(builder, args[2], vector.load_first(builder, args[2], source), target)
            return context.get_dummy_value()

        return types.void(*[_I64] * 3), generate

    return copy


def exact_fill(vector: Vector) -> Any:
    """The intrinsic ``fill(source, target, count)``: the element at ``source`` at ``count`` places, at most a vector's."""

    @intrinsic  # type: ignore[untyped-decorator]
    def fill(typing_context, source, target, count):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source, target = (builder.inttoptr(args[i], _BYTES) for i in (0, 1))
            vector.store_first(builder, args[2], vector.broadcast(builder, source, _WORD(0)), target)
            return context.get_dummy_value()

        return types.void(*[_I64] * 3), generate

    return fill


def partial_store(vector: Vector) -> Any:
    """The intrinsic ``put(source, target, count, add)``: set or increment ``count`` elements, at most a vector's."""

    @intrinsic  # type: ignore[untyped-decorator]
    def put(typing_context, source, target, count, add):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source, target = (builder.inttoptr(args[i], _BYTES) for i in (0, 1))
            value = vector.load(builder, source, _WORD(0))
            total = builder.fadd(vector.load_first(builder, args[2], target), value)
            adding = builder.icmp_signed("!=", args[3], _WORD(0))
            vector.store_first(builder, args[2], builder.select(adding, total, value), target)
            return context.get_dummy_value()

        return types.void(*[_I64] * 4), generate

    return put


def transpose_block(vector: Vector) -> Any:
    """The intrinsic ``transpose(source, source_row, target, target_row)``: a block of lanes x lanes elements."""

    @intrinsic  # type: ignore[untyped-decorator]
    def transpose(typing_context, source, source_row, target, target_row):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source, target = (builder.inttoptr(args[i], _BYTES) for i in (0, 2))
            rows = [vector.load(builder, source, builder.mul(args[1], _WORD(i))) for i in range(vector.lanes)]
            for i, row in enumerate(vector.turned(builder, rows)):
                vector.store(builder, row, target, builder.mul(args[3], _WORD(i)))
            return context.get_dummy_value()

        return types.void(*[_I64] * 4), generate

    return transpose

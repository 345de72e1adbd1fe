"""What the matrix product is made of, as vector instructions: the register tile, a block transpose, copies at edges.

Addresses and strides are 64-bit integers in bytes, and no address needs more than its element's alignment. This module
imports Numba, so it is imported only when a kernel has to be compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..abi import repeated

_WORD = ir.IntType(64)
_BYTES = ir.IntType(8).as_pointer()
_HALF = ir.IntType(32)
_I64 = types.int64


class Vector:
    """Vectors of ``lanes`` floats of ``size`` bytes, and what is done with them at an address plus a byte offset."""

    def __init__(self, size: int, lanes: int) -> None:
        self.size, self.lanes = size, lanes
        self.element = ir.FloatType() if size == 4 else ir.DoubleType()
        self.type = ir.VectorType(self.element, lanes)
        self.bytes = size * lanes
        self._suffix = f"v{lanes}f{8 * size}"
        self.zero = ir.Constant(self.type, [0.0] * lanes)

    def load(self, builder: Any, base: Any, offset: Any) -> Any:
        value = builder.load(builder.bitcast(builder.gep(base, [offset]), self.type.as_pointer()))
        value.align = self.size
        return value

    def store(self, builder: Any, value: Any, base: Any, offset: Any) -> None:
        pointer = builder.bitcast(builder.gep(base, [offset]), self.type.as_pointer())
        builder.store(value, pointer).align = self.size

    def broadcast(self, builder: Any, base: Any, offset: Any) -> Any:
        pointer = builder.bitcast(builder.gep(base, [offset]), self.element.as_pointer())
        return repeated(builder, builder.load(pointer), self.lanes)

    def fma(self, builder: Any, x: Any, y: Any, z: Any) -> Any:
        return self._call(builder, "fma", self.type, [x, y, z])

    def load_first(self, builder: Any, count: Any, base: Any) -> Any:
        """The first ``count`` elements at ``base``, then zeros; memory beyond them is not touched."""
        args = [base, _HALF(self.size), self._mask(builder, count), self.zero]
        return self._call(builder, "masked.load", self.type, args)

    def store_first(self, builder: Any, count: Any, value: Any, base: Any) -> None:
        args = [value, base, _HALF(self.size), self._mask(builder, count)]
        self._call(builder, "masked.store", ir.VoidType(), args)

    def turned(self, builder: Any, rows: Sequence[Any]) -> list[Any]:
        """As many vectors as there are lanes, transposed."""
        half, index = self.lanes // 2, ir.VectorType(_HALF, self.lanes)
        low = ir.Constant(index, [lane // 2 + self.lanes * (lane % 2) for lane in range(self.lanes)])
        high = ir.Constant(index, [half + lane // 2 + self.lanes * (lane % 2) for lane in range(self.lanes)])
        values = list(rows)
        for _ in range(self.lanes.bit_length() - 1):  # each round of interleaving moves one bit of the row to the column
            values = [builder.shuffle_vector(x, y, mask) for x, y in zip(values[:half], values[half:], strict=True) for mask in (low, high)]
        return values

    def prefetch(self, builder: Any, base: Any, offset: Any) -> None:
        """Start to fetch a cache line that will be written."""
        kind = ir.FunctionType(ir.VoidType(), [_BYTES, _HALF, _HALF, _HALF])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [builder.gep(base, [offset]), _HALF(1), _HALF(3), _HALF(1)])

    def _mask(self, builder: Any, count: Any) -> Any:
        numbers = ir.Constant(ir.VectorType(_WORD, self.lanes), list(range(self.lanes)))
        return builder.icmp_signed("<", numbers, repeated(builder, count, self.lanes))

    def _call(self, builder: Any, name: str, returns: Any, args: list[Any]) -> Any:
        kind = ir.FunctionType(returns, [arg.type for arg in args])
        suffix = self._suffix + (".p0" if name.startswith("masked") else "")
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.{suffix}"), args)


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
            operands = _Operands(*args)
            done = builder.append_basic_block("tile.done")
            # One loop for each size, so that all accumulators are registers and no work is spent on absent rows.
            base = max(max_vectors) + 1
            chosen = builder.add(builder.mul(operands.rows, _WORD(base)), operands.vectors)
            switch = builder.switch(chosen, done)
            for r, most in enumerate(max_vectors, 1):
                for v in range(1, most + 1):
                    block = builder.append_basic_block(f"tile.{r}x{v}")
                    switch.add_case(_WORD(r * base + v), block)
                    builder.position_at_end(block)
                    _emit_tile(builder, vector, r, v, fused, operands)
                    builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(*[_I64] * 11), generate

    return tile


def _emit_tile(builder: Any, vector: Vector, rows: int, vectors: int, fused: bool, o: _Operands) -> None:
    """The loop of a tile of ``rows`` x ``vectors`` accumulators, and its stores to C."""
    entry, loop = builder.block, builder.append_basic_block("depth")
    finish = builder.append_basic_block("store")
    tile = [(i, j) for i in range(rows) for j in range(vectors)]
    a_start, b_start = builder.inttoptr(o.a, _BYTES), builder.inttoptr(o.b, _BYTES)
    row_offsets = [_hidden(builder, builder.mul(o.a_row, _WORD(i))) for i in range(rows)]
    c = builder.inttoptr(o.c, _BYTES)
    c_offsets = {(i, j): builder.add(builder.mul(o.c_row, _WORD(i)), _WORD(j * vector.bytes)) for i, j in tile}
    for ij in tile:  # C arrives while the products are summed
        vector.prefetch(builder, c, c_offsets[ij])
    builder.cbranch(builder.icmp_signed(">", o.depth, _WORD(0)), loop, finish)

    builder.position_at_end(loop)
    left, a, b = builder.phi(_WORD), builder.phi(_BYTES), builder.phi(_BYTES)
    sums = {ij: builder.phi(vector.type) for ij in tile}
    b_values = [vector.load(builder, b, _WORD(j * vector.bytes)) for j in range(vectors)]
    new = {}
    for i in range(rows):
        a_value = vector.broadcast(builder, a, row_offsets[i])
        for j in range(vectors):
            if fused:
                new[i, j] = vector.fma(builder, a_value, b_values[j], sums[i, j])
            else:
                new[i, j] = builder.fadd(sums[i, j], builder.fmul(a_value, b_values[j]))
    less = _hidden(builder, builder.sub(left, _WORD(1)))
    steps = [(left, o.depth, less), (a, a_start, builder.gep(a, [o.a_step])), (b, b_start, builder.gep(b, [o.b_step]))]
    for phi, first, following in steps + [(sums[ij], vector.zero, new[ij]) for ij in tile]:
        phi.add_incoming(first, entry)
        phi.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed(">", less, _WORD(0)), loop, finish)

    builder.position_at_end(finish)
    results = {ij: builder.phi(vector.type) for ij in tile}
    for ij in tile:
        results[ij].add_incoming(vector.zero, entry)
        results[ij].add_incoming(new[ij], loop)
    adding = builder.icmp_signed("!=", o.add, _WORD(0))
    for ij in tile:
        total = builder.fadd(vector.load(builder, c, c_offsets[ij]), results[ij])
        vector.store(builder, builder.select(adding, total, results[ij]), c, c_offsets[ij])


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

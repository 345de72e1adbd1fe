"""What reductions are made of: blocks of a fixed shape as explicit vector instructions, and the tree that joins them.

A block is reduced by independent lanes of at most 16 steps each, then by halves; blocks are joined by a binary counter.
The order never depends on alignment, the CPU's vector width or the number of threads, so neither do the bits. Addresses
are 64-bit integers in bytes and need no more than their element's alignment. This module imports Numba, so it is
imported only when a kernel has to be compiled.
"""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from . import abi, vmath
from .reduce_layout import BLOCK_BYTES, LEVELS, TILE_BYTES

_WORD = ir.IntType(64)
_I64 = types.int64
_LANE_BYTES = 64  # one group of lanes; LLVM splits it where the CPU's vectors are shorter
_GROUPS = BLOCK_BYTES // _LANE_BYTES // 16  # groups of lanes reduced side by side, 16 steps each


def inline(function: Any) -> Any:
    """Compile a helper into its callers: for what differs from one kernel to the next."""
    return njit(inline="always", error_model="numpy")(function)


def shared(function: Any) -> Any:
    """Compile a helper once for all kernels of this process; LLVM then inlines it or not."""
    return njit(error_model="numpy")(function)


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def stack_bytes(typing_context: Any, count: Any) -> Any:
    """The address of ``count`` (a literal) bytes on the stack, not cleared as those of ``abi.stack_words`` are."""
    room = ir.ArrayType(ir.IntType(8), count.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        with builder.goto_entry_block():
            place = builder.alloca(room)
        place.align = _LANE_BYTES
        return builder.ptrtoint(place, _WORD)

    return _I64(types.literal(count.literal_value)), generate


class Combine:
    """How two LLVM values (scalars or vectors) become one: ``sum``, ``max`` or ``min``; NaN wins in the last two."""

    def __init__(self, op: str, dtype: str) -> None:
        self.op, self.dtype = op, np.dtype(dtype)
        self.floating = self.dtype.kind == "f"
        self.size = self.dtype.itemsize
        self.lanes = _LANE_BYTES // self.size
        self.numba = getattr(types, dtype)
        bits = 8 * self.size
        self.element = (ir.FloatType() if bits == 32 else ir.DoubleType()) if self.floating else ir.IntType(bits)

    @property
    def identity(self) -> Any:
        if self.op == "sum":
            return self.element(-0.0 if self.floating else 0)
        if self.floating:
            return self.element(-math.inf if self.op == "max" else math.inf)
        limits = np.iinfo(self.dtype)
        return self.element(int(limits.min if self.op == "max" else limits.max))

    def vector(self, lanes: int) -> Any:
        return ir.VectorType(self.element, lanes)

    def splat(self, lanes: int) -> Any:
        return ir.Constant(self.vector(lanes), [self.identity.constant] * lanes)

    def __call__(self, builder: Any, a: Any, b: Any) -> Any:
        if self.op == "sum":
            return builder.fadd(a, b) if self.floating else builder.add(a, b)
        sign = "<" if self.op == "max" else ">"
        if self.floating:
            worse = builder.fcmp_ordered(sign, a, b)
            return builder.select(builder.or_(worse, builder.fcmp_unordered("uno", b, b)), b, a)
        compare = builder.icmp_signed if self.dtype.kind == "i" else builder.icmp_unsigned
        return builder.select(compare(sign, a, b), b, a)

    def load(self, builder: Any, address: Any, kind: Any) -> Any:
        value = builder.load(builder.inttoptr(address, kind.as_pointer()))
        value.align = self.size
        return value

    def store(self, builder: Any, value: Any, address: Any) -> None:
        builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = self.size

    def across(self, builder: Any, vector: Any, lanes: int) -> Any:
        """All lanes of a vector into a scalar, by halves."""
        index = ir.IntType(32)
        while lanes > 1:
            lanes //= 2
            low, high = (
                builder.shuffle_vector(
                    vector, vector, ir.Constant(ir.VectorType(index, lanes), list(range(first, first + lanes)))
                )
                for first in (0, lanes)
            )
            vector = self(builder, low, high)
        return builder.extract_element(vector, ir.Constant(index, 0))


def _function(builder: Any, name: str, result: Any, parameters: int, emit: Any) -> Any:
    """A function of 64-bit integers inside this module, emitted on first use; callers share its code."""
    found = builder.module.globals.get(name)
    if found is None:
        found = ir.Function(builder.module, ir.FunctionType(result, [_WORD] * parameters), name)
        found.linkage = "internal"
        found.attributes.add("noinline")
        emit(ir.IRBuilder(found.append_basic_block("entry")), list(found.args))
    return found


def _combine_intrinsic(combine: Combine) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def both(typing_context: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return combine(builder, *args)

        return combine.numba(combine.numba, combine.numba), generate

    return both


def _block_intrinsic(combine: Combine) -> Any:
    """``block(address, count)``: 1 <= count <= BLOCK contiguous elements into one value."""

    def emit_groups(builder: Any, address: Any, vectors: Any) -> Any:
        kind = combine.vector(combine.lanes)
        sums = [cgutils.alloca_once(builder, kind) for _ in range(_GROUPS + 1)]
        for place in sums:
            builder.store(combine.splat(combine.lanes), place)

        def step(place: Any, at: Any) -> None:
            builder.store(combine(builder, builder.load(place), combine.load(builder, at, kind)), place)

        rounds = builder.udiv(vectors, _WORD(_GROUPS))
        with cgutils.for_range(builder, rounds) as loop:
            base = builder.add(address, builder.mul(loop.index, _WORD(_GROUPS * _LANE_BYTES)))
            for k in range(_GROUPS):
                step(sums[k], builder.add(base, _WORD(k * _LANE_BYTES)))
        done = builder.mul(rounds, _WORD(_GROUPS))
        rest = builder.add(address, builder.mul(done, _WORD(_LANE_BYTES)))
        with cgutils.for_range(builder, builder.sub(vectors, done)) as loop:
            step(sums[_GROUPS], builder.add(rest, builder.mul(loop.index, _WORD(_LANE_BYTES))))
        values = [builder.load(place) for place in sums]
        last = values.pop()
        while len(values) > 1:
            values = [combine(builder, a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
        return combine.across(builder, combine(builder, values[0], last), combine.lanes)

    def emit(builder: Any, args: list[Any]) -> None:
        address, count = args
        total = cgutils.alloca_once(builder, combine.element)
        builder.store(combine.identity, total)
        vectors = builder.udiv(count, _WORD(combine.lanes))
        done = builder.mul(vectors, _WORD(combine.lanes))
        rest = builder.add(address, builder.mul(done, _WORD(combine.size)))
        with cgutils.for_range(builder, builder.sub(count, done)) as loop:
            at = builder.add(rest, builder.mul(loop.index, _WORD(combine.size)))
            builder.store(combine(builder, builder.load(total), combine.load(builder, at, combine.element)), total)
        with builder.if_then(builder.icmp_unsigned("!=", vectors, _WORD(0))):
            builder.store(combine(builder, emit_groups(builder, address, vectors), builder.load(total)), total)
        builder.ret(builder.load(total))

    @intrinsic  # type: ignore[untyped-decorator]
    def block(typing_context: Any, address: Any, count: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.call(_function(builder, f"block.{combine.op}", combine.element, 2, emit), args)

        return combine.numba(_I64, _I64), generate

    return block


def _rows_intrinsic(combine: Combine) -> Any:
    """``rows(address, stride, count, columns, out)``: out[j] = the rows' j-th elements in order, for 1 <= count rows.

    ``out`` may be the very place of a row.
    """

    def strips(builder: Any, args: list[Any], lanes: int, groups: int, place: Any) -> None:
        """As many strips of ``groups`` vectors as fit into the columns left; ``place`` holds the first of these."""
        address, stride, count, columns, out = args
        kind = combine.vector(lanes) if lanes > 1 else combine.element
        width, bytes_each = lanes * groups, lanes * combine.size
        first = builder.load(place)
        number = builder.udiv(builder.sub(columns, first), _WORD(width))
        with cgutils.for_range(builder, number) as strip:
            offset = builder.mul(builder.add(first, builder.mul(strip.index, _WORD(width))), _WORD(combine.size))
            base = builder.add(address, offset)
            sums = [cgutils.alloca_once(builder, kind) for _ in range(groups)]
            for k, total in enumerate(sums):
                builder.store(combine.load(builder, builder.add(base, _WORD(k * bytes_each)), kind), total)
            with cgutils.for_range(builder, builder.sub(count, _WORD(1))) as loop:
                row = builder.add(base, builder.mul(builder.add(loop.index, _WORD(1)), stride))
                for k, total in enumerate(sums):
                    value = combine.load(builder, builder.add(row, _WORD(k * bytes_each)), kind)
                    builder.store(combine(builder, builder.load(total), value), total)
            for k, total in enumerate(sums):
                target = builder.add(builder.add(out, offset), _WORD(k * bytes_each))
                combine.store(builder, builder.load(total), target)
        builder.store(builder.add(first, builder.mul(number, _WORD(width))), place)

    def emit(builder: Any, args: list[Any]) -> None:
        place = cgutils.alloca_once(builder, _WORD)
        builder.store(_WORD(0), place)
        strips(builder, args, combine.lanes, 4, place)
        lanes = combine.lanes
        while lanes:
            strips(builder, args, lanes, 1, place)
            lanes //= 4 if lanes >= 4 else 2
        builder.ret_void()

    @intrinsic  # type: ignore[untyped-decorator]
    def rows(typing_context: Any, address: Any, stride: Any, count: Any, columns: Any, out: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            builder.call(_function(builder, f"rows.{combine.op}", ir.VoidType(), 5, emit), args)
            return context.get_dummy_value()

        return types.void(_I64, _I64, _I64, _I64, _I64), generate

    return rows


@functools.cache
def reducer(op: str, dtype: str) -> SimpleNamespace:
    """The pieces for one operation and dtype: ``both``, ``block``, ``rows``, and a tree for values and one for tiles.

    A tree is memory on the stack (``LEVELS`` values, or ``LEVELS`` + 1 tiles of ``TILE_BYTES``) and a count of what was
    pushed: the bits of the count tell which levels are in use.
    """
    combine = Combine(op, dtype)
    both, block, rows = _combine_intrinsic(combine), _block_intrinsic(combine), _rows_intrinsic(combine)
    element = abi.POINTERS[dtype]

    @shared
    def push(tree, count, value):  # type: ignore[no-untyped-def]
        """Add a value to the tree at an address; the new count."""
        levels = element(tree)
        level, bits = 0, count
        while bits & 1:
            value = both(levels[level], value)
            level += 1
            bits >>= 1
        levels[level] = value
        return count + 1

    @shared
    def total(tree, count):  # type: ignore[no-untyped-def]
        """All that was pushed, at least one value."""
        levels = element(tree)
        level, bits = 0, count
        while not bits & 1:
            level += 1
            bits >>= 1
        value = levels[level]
        bits >>= 1
        while bits:
            level += 1
            if bits & 1:
                value = both(levels[level], value)
            bits >>= 1
        return value

    @shared
    def push_rows(tree, count, address, stride, number, columns):  # type: ignore[no-untyped-def]
        """Add a block of 1 <= number <= ROWS rows to a tree of tiles; the new count."""
        if count & 1 == 0:
            rows(address, stride, number, columns, tree)
            return count + 1
        spare = tree + LEVELS * TILE_BYTES
        rows(address, stride, number, columns, spare)
        level, bits = tree, count
        while bits & 1:
            bits >>= 1
            rows(level, spare - level, 2, columns, spare if bits & 1 else level + TILE_BYTES)
            level += TILE_BYTES
        return count + 1

    @shared
    def total_rows(tree, count, columns):  # type: ignore[no-untyped-def]
        """The address of the tile that holds all that was pushed, at least one block; it is part of the tree."""
        place, bits = tree, count
        while not bits & 1:
            place += TILE_BYTES
            bits >>= 1
        level = place
        bits >>= 1
        while bits:
            level += TILE_BYTES
            if bits & 1:
                rows(level, place - level, 2, columns, place)
            bits >>= 1
        return place

    return SimpleNamespace(
        both=both, block=block, rows=rows, push=push, total=total, push_rows=push_rows, total_rows=total_rows
    )


def converters(dtype: str, compute: str) -> SimpleNamespace:
    """``pointer`` to elements of a dtype, ``load`` (element to compute value), ``store`` (back again) and ``size``."""
    scalar = getattr(types, compute)
    if dtype in ("float16", "bfloat16"):
        to_float = abi.float16_to_float if dtype == "float16" else vmath.bfloat16_to_float
        from_float = abi.float_to_float16 if dtype == "float16" else vmath.float_to_bfloat16
        load, store = inline(lambda bits: scalar(to_float(bits))), inline(lambda value: from_float(value))
        return SimpleNamespace(pointer=abi.POINTERS["uint16"], load=load, store=store, size=2)
    target = types.uint8 if dtype == "bool" else getattr(types, dtype)
    load, store = inline(lambda value: scalar(value)), inline(lambda value: target(value))
    return SimpleNamespace(pointer=abi.POINTERS[dtype], load=load, store=store, size=np.dtype(dtype).itemsize)


@shared
def offset_of(index, table, first, number, words, column):  # type: ignore[no-untyped-def]
    """Index times stride, summed over ``number`` dimensions that start at ``table[first]`` and have ``words`` each."""
    offset = 0
    for d in range(number - 1, 0, -1):
        row = first + d * words
        offset += index % table[row] * table[row + column]
        index //= table[row]
    if number > 0:
        offset += index * table[first + column]
    return offset

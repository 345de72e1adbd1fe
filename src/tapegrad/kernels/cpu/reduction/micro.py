"""What reductions are made of: blocks of a fixed shape as explicit vector instructions.

A block is reduced by independent lanes of at most 16 steps each, then by halves (``reduce_tree`` joins the blocks).
The order never depends on alignment, the CPU's vector width or the number of threads, so neither do the bits. Addresses
are 64-bit integers in bytes and need no more than their element's alignment. This module imports Numba, so it is
imported only when a kernel has to be compiled.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils as _cgutils

from ...native import abi
from ...native.abi import emitted, inline
from ..vmath import functions as vmath
from .layout import BLOCK_BYTES

cgutils: Any = _cgutils  # Numba has no annotations
_WORD = ir.IntType(64)
_I64 = types.int64
_LANE_BYTES = 64  # one group of lanes; LLVM splits it where the CPU's vectors are shorter
_GROUPS = BLOCK_BYTES // _LANE_BYTES // 16  # groups of lanes reduced side by side, 16 steps each
_AHEAD = 2048  # bytes fetched ahead: the processor's own prefetching stops at the end of a page


class Combine:
    """How two LLVM values (scalars or vectors) become one: ``sum``, ``max`` or ``min``; NaN wins in the last two."""

    def __init__(self, op: str, dtype: str) -> None:
        self.op, self.dtype, self.name = op, np.dtype(dtype), f"{op}.{dtype}"
        self.floating = self.dtype.kind == "f"
        self.size = self.dtype.itemsize
        self.lanes = _LANE_BYTES // self.size
        self.numba = getattr(types, dtype)
        self.element = _llvm(self.numba)

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

    def prefetch(self, builder: Any, address: Any) -> None:
        """Start to fetch a cache line that will be read."""
        half, pointer = ir.IntType(32), builder.inttoptr(address, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, half, half, half])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, half(0), half(3), half(1)])

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


class Native:
    """A function inside a kernel's module, emitted when first called there; ``emit(builder, args)`` writes its body.

    Functions written this way cost Numba nothing: as Python helpers they would take most of a kernel's compile time. One that is not
    ``inlined`` costs LLVM less, if it has several callers.
    """

    def __init__(self, name: str, result: Any, parameters: list[Any], emit: Any, *, inlined: bool = True) -> None:
        self.name, self.emit, self.inlined = name, emit, inlined
        self.signature = result(*parameters)

    def __call__(self, builder: Any, *args: Any) -> Any:
        function = builder.module.globals.get(self.name)
        if function is None:
            returns = ir.VoidType() if self.signature.return_type == types.void else _llvm(self.signature.return_type)
            kind = ir.FunctionType(returns, [_llvm(parameter) for parameter in self.signature.args])
            function = ir.Function(builder.module, kind, self.name)
            function.linkage = "internal"
            if not self.inlined:
                function.attributes.add("noinline")
            self.emit(ir.IRBuilder(function.append_basic_block("entry")), list(function.args))
        return builder.call(function, args)

    def intrinsic(self) -> Any:
        """The function for Numba code to call."""
        return emitted(self.signature.return_type, self.signature.args, self)


def _llvm(numba_type: Any) -> Any:
    if isinstance(numba_type, types.Float):
        return ir.FloatType() if numba_type.bitwidth == 32 else ir.DoubleType()
    return ir.IntType(numba_type.bitwidth)


def block(combine: Combine) -> Native:
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
                combine.prefetch(builder, builder.add(base, _WORD(k * _LANE_BYTES + _AHEAD)))
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

    return Native(f"block.{combine.name}", combine.numba, [_I64, _I64], emit)


def rows(combine: Combine) -> Native:
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

    return Native(f"rows.{combine.name}", types.void, [_I64] * 5, emit, inlined=False)


def converters(dtype: str, compute: str) -> SimpleNamespace:
    """``pointer`` to elements of a dtype, ``load`` (element to compute value), ``store`` (back again) and ``size``."""
    scalar = getattr(types, compute)
    if dtype in ("float16", "bfloat16"):
        to_float = abi.float16_to_float if dtype == "float16" else vmath.bfloat16_to_float
        from_float = abi.float_to_float16 if dtype == "float16" else vmath.float_to_bfloat16
        load = inline(lambda bits: scalar(to_float(bits)))
        store = inline(lambda value: from_float(value))
        return SimpleNamespace(pointer=abi.POINTERS["uint16"], load=load, store=store, size=2)
    target = types.uint8 if dtype == "bool" else getattr(types, dtype)
    load = inline(lambda value: scalar(value))
    store = inline(lambda value: target(value))
    return SimpleNamespace(pointer=abi.POINTERS[dtype], load=load, store=store, size=np.dtype(dtype).itemsize)

"""Windows next to each other as one vector: their largest elements, or their sums.

This module imports Numba, so it is imported only when a kernel has to be compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ...native.abi import repeated
from ..vector import Vector

LANES = 16

_WORD, _HALF = ir.IntType(64), ir.IntType(32)
_BYTES = ir.IntType(8).as_pointer()
_HALVES = ir.VectorType(_HALF, LANES)


def _numbers(count: int, step: int = 1) -> Any:
    return ir.Constant(ir.VectorType(_HALF, count), [step * i for i in range(count)])


def _candidates(builder: Any, vector: Vector, address: Any, column: Any, width: Any, stride: Any, step: int) -> tuple[Any, Any, Any]:
    """The elements at ``column + lane * stride``, these columns, and which of them are inside; ``address`` is the row's.

    ``step`` is the stride where it is small, else 0.
    """
    narrow, width = builder.trunc(column, _HALF), builder.trunc(width, _HALF)
    count = max(step, 1) * LANES
    numbers = _numbers(count) if step else builder.mul(_numbers(LANES), repeated(builder, builder.trunc(stride, _HALF), LANES))
    columns = builder.add(repeated(builder, narrow, count), numbers)
    inside = builder.icmp_unsigned("<", columns, repeated(builder, width, count))
    if step:
        wide = Vector(vector.size, count, vector.kind)
        at = builder.add(address, builder.mul(column, _WORD(vector.size)))
        values = wide.load_where(builder, inside, builder.inttoptr(at, _BYTES))
        if step > 1:
            chosen = _numbers(LANES, step)
            values, columns, inside = (builder.shuffle_vector(v, v, chosen) for v in (values, columns, inside))
        return values, columns, inside
    words = ir.VectorType(_WORD, LANES)
    places = builder.mul(builder.sext(columns, words), repeated(builder, _WORD(vector.size), LANES))
    pointers = builder.inttoptr(builder.add(repeated(builder, address, LANES), places), ir.VectorType(_BYTES, LANES))
    return vector.gather_where(builder, inside, pointers), columns, inside


def window_tile(dtype: str, what: str, step: int) -> Any:
    """The intrinsic ``tile(plane, row, columns, next_column, rows, next_row, depths, next_depth, first, width, stride, out, extra, by, count)``.

    Lane i, of at most 16 and less than ``count``, stands for a window with the columns ``first + i * stride + c * next_column`` for c <
    ``columns``, those inside ``[0, width)``, in the rows beginning at element ``row + b * next_row + a * next_depth`` of the plane.
    ``what``: "max" writes the largest elements to ``out`` and their int64 places to ``extra``; "sum" the sums to ``out``, each divided by
    ``by`` and by its divisor at ``extra``. ``step`` is the stride if it is 1 or 2, else 0.
    """
    kind = np.dtype(dtype)
    lanes, places_lanes = Vector(kind.itemsize, LANES, "f" if kind.kind == "f" else "i"), Vector(8, LANES, "i")

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(  # type: ignore[no-untyped-def]
        typing_context, plane, row, columns, next_column, rows, next_row, depths, next_depth, first, width, stride, out, extra, by, count
    ):
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            plane, row, columns, next_column, rows, next_row, depths, next_depth, first, width, stride, out, extra, by, count = args
            entry, loop, finish = builder.block, builder.append_basic_block("window"), builder.append_basic_block("windows.done")
            total = builder.mul(builder.mul(columns, rows), depths)
            zero, before = lanes.zero, ir.Constant(_HALVES, [-1] * LANES)
            builder.cbranch(builder.icmp_signed(">", total, _WORD(0)), loop, finish)

            builder.position_at_end(loop)
            left, c, b, line = (builder.phi(_WORD) for _ in range(4))
            best, place = builder.phi(lanes.type), builder.phi(_HALVES)
            column = builder.add(first, builder.mul(c, next_column))
            address = builder.add(plane, builder.mul(line, _WORD(lanes.size)))
            values, at, inside = _candidates(builder, lanes, address, column, width, stride, step)
            if what == "max":
                fresh = builder.icmp_signed("<", place, ir.Constant(_HALVES, [0] * LANES))
                if kind.kind == "f":
                    above = builder.or_(builder.fcmp_ordered(">", values, best), builder.fcmp_unordered("uno", values, values))
                else:
                    above = (builder.icmp_signed if kind.kind == "i" else builder.icmp_unsigned)(">", values, best)
                better = builder.and_(inside, builder.or_(fresh, above))
                chosen = builder.select(better, values, best)
                at = builder.add(at, repeated(builder, builder.trunc(line, _HALF), LANES))
                chosen_place = builder.select(better, at, place)
            else:  # what is outside was loaded as zero
                chosen, chosen_place = builder.fadd(best, values), place
            # the next column, or the first of the next row, or of the next depth's first row
            c1, b1 = builder.add(c, _WORD(1)), builder.add(b, _WORD(1))
            row_ends = builder.icmp_signed("==", c1, columns)
            depth_ends = builder.and_(row_ends, builder.icmp_signed("==", b1, rows))
            back = builder.sub(next_depth, builder.mul(builder.sub(rows, _WORD(1)), next_row))
            move = builder.select(depth_ends, back, builder.select(row_ends, next_row, _WORD(0)))
            less = builder.sub(left, _WORD(1))
            following = [
                (left, total, less),
                (c, _WORD(0), builder.select(row_ends, _WORD(0), c1)),
                (b, _WORD(0), builder.select(depth_ends, _WORD(0), builder.select(row_ends, b1, b))),
                (line, row, builder.add(line, move)),
                (best, zero, chosen),
                (place, before, chosen_place),
            ]
            for phi, start, later in following:
                phi.add_incoming(start, entry)
                phi.add_incoming(later, builder.block)
            last = builder.block
            builder.cbranch(builder.icmp_signed(">", less, _WORD(0)), loop, finish)

            builder.position_at_end(finish)
            results = []
            for start, later in ((zero, chosen), (before, chosen_place)):
                phi = builder.phi(start.type)
                phi.add_incoming(start, entry)
                phi.add_incoming(later, last)
                results.append(phi)
            wanted = builder.icmp_signed("<", _numbers(LANES), repeated(builder, builder.trunc(count, _HALF), LANES))
            if what == "max":
                places = builder.sext(results[1], ir.VectorType(_WORD, LANES))
                places_lanes.store_where(builder, wanted, places, builder.inttoptr(extra, _BYTES))
                result = results[0]
            else:
                divisors = builder.fmul(lanes.load_where(builder, wanted, builder.inttoptr(extra, _BYTES)), repeated(builder, by, LANES))
                result = builder.fdiv(results[0], divisors)
            lanes.store_where(builder, wanted, result, builder.inttoptr(out, _BYTES))
            return context.get_dummy_value()

        number = {"float32": types.float32, "float64": types.float64}.get(dtype, types.int64)
        return types.void(*[types.int64] * 13, number if what == "sum" else types.int64, types.int64), generate

    return tile

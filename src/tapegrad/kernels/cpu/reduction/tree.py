"""How blocks of a reduction are joined: a binary counter, whose shape depends on nothing but the number of blocks.

A tree is memory on the stack, ``LEVELS`` values or ``LEVELS`` + 1 tiles of ``TILE_BYTES``, and a count of what was
pushed; the bits of the count tell which levels are in use. Imported only when a kernel has to be compiled.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from llvmlite import ir
from numba import types

from .layout import BLOCK_BYTES, LEVELS, TILE_BYTES
from .micro import Combine, Native, block, cgutils, rows

_WORD, _BIT = ir.IntType(64), ir.IntType(1)
_I64 = types.int64


def _free_level(builder: Any, count: Any) -> Any:
    """The lowest level that is not in use."""
    return builder.cttz(builder.not_(count), _BIT(0))


def _for_used_levels(builder: Any, count: Any, visit: Any) -> Any:
    """Emit ``visit(level)`` for the levels in use above the lowest one; that one."""
    lowest = builder.cttz(count, _BIT(0))
    above = builder.add(lowest, _WORD(1))
    top = builder.sub(_WORD(64), builder.ctlz(count, _BIT(0)))
    with cgutils.for_range(builder, builder.sub(top, above)) as loop:
        level = builder.add(above, loop.index)
        used = builder.trunc(builder.lshr(count, level), _BIT)
        with builder.if_then(used):
            visit(level)
    return lowest


def value_tree(combine: Combine) -> tuple[Native, Native]:
    """``push(tree, count, value)``: the new count. ``total(tree, count)``: all that was pushed, at least one value."""

    def place(builder: Any, tree: Any, level: Any) -> Any:
        return builder.add(tree, builder.mul(level, _WORD(combine.size)))

    def push(builder: Any, args: list[Any]) -> None:
        tree, count, value = args
        level = _free_level(builder, count)
        joined = cgutils.alloca_once_value(builder, value)
        with cgutils.for_range(builder, level) as loop:
            other = combine.load(builder, place(builder, tree, loop.index), combine.element)
            builder.store(combine(builder, other, builder.load(joined)), joined)
        combine.store(builder, builder.load(joined), place(builder, tree, level))
        builder.ret(builder.add(count, _WORD(1)))

    def total(builder: Any, args: list[Any]) -> None:
        tree, count = args
        lowest = builder.cttz(count, _BIT(0))
        joined = cgutils.alloca_once_value(
            builder, combine.load(builder, place(builder, tree, lowest), combine.element)
        )

        def visit(level: Any) -> None:
            other = combine.load(builder, place(builder, tree, level), combine.element)
            builder.store(combine(builder, other, builder.load(joined)), joined)

        _for_used_levels(builder, count, visit)
        builder.ret(builder.load(joined))

    return (
        Native(f"push.{combine.name}", _I64, [_I64, _I64, combine.numba], push),
        Native(f"total.{combine.name}", combine.numba, [_I64, _I64], total),
    )


def _tile_tree(combine: Combine) -> tuple[Native, Native]:
    """``push_rows(tree, count, address, stride, number, columns)``: the new count, with a block of rows added.

    ``total_rows(tree, count, columns)``: the address of the tile, part of the tree, of all the blocks, at least one.
    """
    reduce_rows = rows(combine)

    def place(builder: Any, tree: Any, level: Any) -> Any:
        return builder.add(tree, builder.mul(level, _WORD(TILE_BYTES)))

    def push_rows(builder: Any, args: list[Any]) -> None:
        tree, count, address, stride, number, columns = args
        level = _free_level(builder, count)
        spare, last = place(builder, tree, _WORD(LEVELS)), builder.sub(level, _WORD(1))
        free = builder.icmp_unsigned("==", level, _WORD(0))
        reduce_rows(builder, address, stride, number, columns, builder.select(free, tree, spare))
        with cgutils.for_range(builder, level) as loop:
            other = place(builder, tree, loop.index)
            final = builder.icmp_unsigned("==", loop.index, last)
            target = builder.select(final, place(builder, tree, level), spare)
            reduce_rows(builder, other, builder.sub(spare, other), _WORD(2), columns, target)
        builder.ret(builder.add(count, _WORD(1)))

    def total_rows(builder: Any, args: list[Any]) -> None:
        tree, count, columns = args
        target = place(builder, tree, builder.cttz(count, _BIT(0)))

        def visit(level: Any) -> None:
            other = place(builder, tree, level)
            reduce_rows(builder, other, builder.sub(target, other), _WORD(2), columns, target)

        _for_used_levels(builder, count, visit)
        builder.ret(target)

    return (
        Native(f"push_rows.{combine.name}", _I64, [_I64] * 6, push_rows),
        Native(f"total_rows.{combine.name}", _I64, [_I64] * 3, total_rows),
    )


def new_tree(builder: Any) -> Any:
    """The address of memory for a tree of values."""
    with builder.goto_entry_block():
        return builder.ptrtoint(builder.alloca(ir.ArrayType(_WORD, LEVELS)), _WORD)


def for_blocks(builder: Any, n: Any, size: int, visit: Any) -> None:
    """Emit ``visit(offset, count)``, the offset in bytes, for the blocks of n elements of so many bytes."""
    most = _WORD(BLOCK_BYTES // size)
    blocks = builder.udiv(builder.add(n, builder.sub(most, _WORD(1))), most)
    with cgutils.for_range(builder, blocks) as loop:
        left = builder.sub(n, builder.mul(loop.index, most))
        count = builder.select(builder.icmp_signed("<", left, most), left, most)
        visit(builder.mul(loop.index, _WORD(BLOCK_BYTES)), count)


def _run(combine: Combine) -> Native:
    """``run(address, n)``: n >= 1 contiguous elements."""
    of_block, (push, total) = block(combine), value_tree(combine)

    def emit(builder: Any, args: list[Any]) -> None:
        address, n = args
        tree, pushed = new_tree(builder), cgutils.alloca_once_value(builder, _WORD(0))

        def visit(offset: Any, count: Any) -> None:
            value = of_block(builder, builder.add(address, offset), count)
            builder.store(push(builder, tree, builder.load(pushed), value), pushed)

        for_blocks(builder, n, combine.size, visit)
        builder.ret(total(builder, tree, builder.load(pushed)))

    return Native(f"run.{combine.name}", combine.numba, [_I64, _I64], emit)


def reducer(op: str, dtype: str) -> SimpleNamespace:
    """What kernels call for an operation and dtype: ``block``, ``push``, ``total``, ``push_rows``, ``total_rows``, ``run``."""
    combine = Combine(op, dtype)
    push, total = value_tree(combine)
    push_rows, total_rows = _tile_tree(combine)
    natives = {"block": block(combine), "push": push, "total": total, "push_rows": push_rows, "total_rows": total_rows}
    natives["run"] = _run(combine)
    return SimpleNamespace(**{name: native.intrinsic() for name, native in natives.items()})


def _emit_offset(builder: Any, args: list[Any]) -> None:
    index, dims, number, words, column = args
    rest, offset = cgutils.alloca_once_value(builder, index), cgutils.alloca_once_value(builder, _WORD(0))

    def word(row: Any, at: Any) -> Any:
        entry = builder.add(builder.mul(row, words), at)
        return builder.load(builder.inttoptr(builder.add(dims, builder.shl(entry, _WORD(3))), _WORD.as_pointer()))

    def add(position: Any, row: Any) -> None:
        builder.store(builder.add(builder.load(offset), builder.mul(position, word(row, column))), offset)

    with builder.if_then(builder.icmp_signed(">", number, _WORD(0))):
        inner = builder.sub(number, _WORD(1))
        with cgutils.for_range(builder, inner) as loop:
            row = builder.sub(inner, loop.index)
            size = word(row, _WORD(0))
            add(builder.urem(builder.load(rest), size), row)
            builder.store(builder.udiv(builder.load(rest), size), rest)
        add(builder.load(rest), _WORD(0))
    builder.ret(builder.load(offset))


# offset_of(index, dims, number, words, column): a C-order index as a sum of position times stride over ``number``
# dimensions at the address ``dims``, of ``words`` words each: the size first, the stride at ``column``.
offset_of = Native("offset_of", _I64, [_I64] * 5, _emit_offset).intrinsic()

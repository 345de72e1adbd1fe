"""Several sums of products over the same elements at once, as explicit vector instructions.

The order of a sum is that of all reductions: in blocks, as ``micro.block`` has it, lanes of at most 16 steps, then halves, whatever the
CPU's vectors are; and the blocks in a tree. Imported only when a kernel has to be compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types

from ...native.abi import repeated
from .micro import Combine, Native, cgutils
from .tree import for_blocks, new_tree, value_tree

_WORD = ir.IntType(64)
_I64 = types.int64
_GROUPS = 4  # as in ``micro.block``


class Value:
    """A scalar or vector in an expression: ``+``, ``-`` and ``*`` emit instructions."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __add__(self, other: Value) -> Value:
        return Value(self.builder, self.builder.fadd(self.value, other.value))

    def __sub__(self, other: Value) -> Value:
        return Value(self.builder, self.builder.fsub(self.value, other.value))

    def __mul__(self, other: Value) -> Value:
        return Value(self.builder, self.builder.fmul(self.value, other.value))


def sums(name: str, dtype: str, arrays: int, scalars: int, results: int, terms: Callable[..., Sequence[Value]]) -> Any:
    """``f(out, runs, step, n, address..., scalar...)``: the sums of ``terms(element..., scalar...)``, to ``out``.

    They go over ``runs`` >= 1 runs of n >= 1 contiguous elements, from one of which to the next there are ``step`` elements. ``name``
    tells one set of terms from another in a module; ``results`` is how many there are.
    """
    combine = Combine("sum", dtype)
    of_block = _block_sums(combine, name, arrays, scalars, results, terms)
    push, total = value_tree(combine)

    def emit(builder: Any, args: list[Any]) -> None:
        (out, runs, step, n), addresses, numbers = args[:4], args[4 : 4 + arrays], args[4 + arrays :]
        trees, pushed = [new_tree(builder) for _ in range(results)], cgutils.alloca_once_value(builder, _WORD(0))
        pointer = builder.inttoptr(out, combine.element.as_pointer())
        places = [builder.gep(pointer, [_WORD(k)]) for k in range(results)]
        with cgutils.for_range(builder, runs) as run:
            begin = builder.mul(builder.mul(run.index, step), _WORD(combine.size))

            def visit(offset: Any, count: Any) -> None:
                of_block(builder, out, count, *[builder.add(a, builder.add(begin, offset)) for a in addresses], *numbers)
                seen = builder.load(pushed)
                for tree, place in zip(trees, places, strict=True):
                    builder.store(push(builder, tree, seen, builder.load(place)), pushed)

            for_blocks(builder, n, combine.size, visit)
        for tree, place in zip(trees, places, strict=True):
            builder.store(total(builder, tree, builder.load(pushed)), place)
        builder.ret_void()

    return Native(f"sums.{name}.{dtype}", types.void, [_I64] * (4 + arrays) + [combine.numba] * scalars, emit).intrinsic()


def _block_sums(combine: Combine, name: str, arrays: int, scalars: int, results: int, terms: Callable[..., Sequence[Value]]) -> Native:
    """``f(out, count, address..., scalar...)``: the sums over 1 <= count <= BLOCK places."""
    lanes, size, element = combine.lanes, combine.size, combine.element
    kind = combine.vector(lanes)

    def emit(builder: Any, args: list[Any]) -> None:
        out, count, addresses, numbers = args[0], args[1], args[2 : 2 + arrays], args[2 + arrays :]

        def step(places: Sequence[Any], offset: Any, of: Any, constants: Sequence[Any]) -> None:
            elements = [Value(builder, combine.load(builder, builder.add(a, offset), of)) for a in addresses]
            found = terms(*elements, *[Value(builder, c) for c in constants])
            for place, term in zip(places, found, strict=True):
                builder.store(builder.fadd(builder.load(place), term.value), place)

        wide = [[cgutils.alloca_once_value(builder, combine.splat(lanes)) for _ in range(results)] for _ in range(_GROUPS + 1)]
        total = [cgutils.alloca_once_value(builder, combine.identity) for _ in range(results)]
        constants = [repeated(builder, scalar, lanes) for scalar in numbers]
        vectors = builder.udiv(count, _WORD(lanes))
        rounds = builder.udiv(vectors, _WORD(_GROUPS))
        with cgutils.for_range(builder, rounds) as loop:
            base = builder.mul(loop.index, _WORD(_GROUPS * lanes * size))
            for k in range(_GROUPS):
                step(wide[k], builder.add(base, _WORD(k * lanes * size)), kind, constants)
        done = builder.mul(rounds, _WORD(_GROUPS))
        with cgutils.for_range(builder, builder.sub(vectors, done)) as loop:
            step(wide[_GROUPS], builder.mul(builder.add(done, loop.index), _WORD(lanes * size)), kind, constants)
        done = builder.mul(vectors, _WORD(lanes))
        with cgutils.for_range(builder, builder.sub(count, done)) as loop:
            step(total, builder.mul(builder.add(done, loop.index), _WORD(size)), element, numbers)
        for k in range(results):
            a, b, c, d, rest = (builder.load(group[k]) for group in wide)
            joined = builder.fadd(builder.fadd(builder.fadd(a, b), builder.fadd(c, d)), rest)
            value = builder.fadd(combine.across(builder, joined, lanes), builder.load(total[k]))
            combine.store(builder, value, builder.add(out, _WORD(k * size)))
        builder.ret_void()

    return Native(f"block_sums.{name}.{combine.name}", types.void, [_I64] * (2 + arrays) + [combine.numba] * scalars, emit)


"""Vectors as LLVM has them: what kernels in explicit vector instructions are made of.

No address needs more than its element's alignment. This module imports Numba, so it is imported only when a kernel has to be compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from ..native.abi import repeated

_WORD = ir.IntType(64)
_BYTES = ir.IntType(8).as_pointer()
_HALF = ir.IntType(32)


class Vector:
    """Vectors of ``lanes`` numbers of ``size`` bytes, floats ("f") or integers, and what is done with them at an address plus a byte offset."""

    def __init__(self, size: int, lanes: int, kind: str = "f") -> None:
        self.size, self.lanes, self.kind = size, lanes, kind
        self.element = ir.IntType(8 * size) if kind != "f" else ir.FloatType() if size == 4 else ir.DoubleType()
        self.type = ir.VectorType(self.element, lanes)
        self.bytes = size * lanes
        self._suffix = f"v{lanes}{'f' if kind == 'f' else 'i'}{8 * size}"
        self.zero = ir.Constant(self.type, [0] * lanes)

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

    def load_where(self, builder: Any, mask: Any, base: Any) -> Any:
        """The elements at ``base`` where the mask is set; zeros, and no access, elsewhere."""
        return self._call(builder, "masked.load", self.type, [base, _HALF(self.size), mask, self.zero])

    def store_where(self, builder: Any, mask: Any, value: Any, base: Any) -> None:
        self._call(builder, "masked.store", ir.VoidType(), [value, base, _HALF(self.size), mask])

    def gather_where(self, builder: Any, mask: Any, pointers: Any) -> Any:
        """The elements at a vector of pointers where the mask is set; zeros, and no access, elsewhere."""
        kind = ir.FunctionType(self.type, [pointers.type, _HALF, mask.type, self.type])
        name = f"llvm.masked.gather.{self._suffix}.v{self.lanes}p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [pointers, _HALF(self.size), mask, self.zero])

    def load_first(self, builder: Any, count: Any, base: Any) -> Any:
        """The first ``count`` elements at ``base``, then zeros; memory beyond them is not touched."""
        return self.load_where(builder, self._first(builder, count), base)

    def store_first(self, builder: Any, count: Any, value: Any, base: Any) -> None:
        self.store_where(builder, self._first(builder, count), value, base)

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

    def _first(self, builder: Any, count: Any) -> Any:
        numbers = ir.Constant(ir.VectorType(_WORD, self.lanes), list(range(self.lanes)))
        return builder.icmp_signed("<", numbers, repeated(builder, count, self.lanes))

    def _call(self, builder: Any, name: str, returns: Any, args: list[Any]) -> Any:
        kind = ir.FunctionType(returns, [arg.type for arg in args])
        suffix = self._suffix + (".p0" if name.startswith("masked") else "")
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.{suffix}"), args)

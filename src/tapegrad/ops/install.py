"""Gives Tensor its operators and methods, NumPy its protocols, and ``expr`` its functions on tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes, expr, inplace
from ..public import METHODS
from ..registry import REGISTRY
from ..scalarops import ElementwiseOp, elementwise_op
from ..tensor import Tensor
from . import convert, elementwise, index, matmul, numpy_protocols, python_protocols, shape


def _reflected(op: ElementwiseOp) -> Callable[[Tensor, Any], Any]:
    call = op.call

    def method(self: Tensor, other: Any) -> Any:
        return call(other, self) if _operand(other) else NotImplemented

    return method


def _forward(op: ElementwiseOp) -> Callable[[Tensor, Any], Any]:
    """The operator: what is no operand gets a chance to handle the tensor itself."""
    call = op.call

    def method(self: Tensor, other: Any) -> Any:
        return call(self, other) if _operand(other) else NotImplemented

    return method


def _operand(other: Any) -> bool:
    return isinstance(other, (Tensor, int, float, complex, np.ndarray, np.generic))


_BINARY = {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "pow": "pow"}
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def _install_operators() -> None:
    for symbol, name in _BINARY.items():
        op = elementwise_op(name)
        # the generated call itself, so that an operator costs no second Python call
        setattr(Tensor, f"__{symbol}__", op.call)
        setattr(Tensor, f"__r{symbol}__", _reflected(op))
        setattr(Tensor, f"__i{symbol}__", inplace.in_place_method(op))
    for name in _COMPARISONS:
        setattr(Tensor, f"__{name}__", _forward(elementwise_op(name)))
    Tensor.__neg__ = elementwise.neg
    Tensor.__abs__ = elementwise.abs
    Tensor.__pos__ = lambda self: self
    Tensor.__matmul__ = matmul.matmul
    Tensor.__rmatmul__ = lambda self, other: matmul.matmul(other, self)
    Tensor.__invert__ = _invert
    Tensor.__and__ = Tensor.__rand__ = _bools("&", elementwise.logical_and)
    Tensor.__or__ = Tensor.__ror__ = _bools("|", elementwise.logical_or)
    Tensor.__getitem__ = index.getitem
    Tensor.__setitem__ = index.setitem
    Tensor.__contains__ = python_protocols.contains
    Tensor.__copy__, Tensor.__deepcopy__, Tensor.__reduce_ex__ = (
        python_protocols.copied,
        python_protocols.deep_copied,
        python_protocols.reduced,
    )


def _invert(self: Tensor) -> Tensor:
    if self.dtype is not dtypes.bool_:
        raise TypeError(f"~ works on bool tensors only so far, got {self.dtype}")
    return elementwise.logical_not(self)  # type: ignore[no-any-return]


def _bools(symbol: str, op: Callable[..., Any]) -> Callable[[Tensor, Any], Any]:
    def method(self: Tensor, other: Any) -> Any:
        if self.dtype is not dtypes.bool_ or (isinstance(other, Tensor) and other.dtype is not dtypes.bool_):
            raise TypeError(f"{symbol} works on bool tensors only so far")
        return op(self, other)

    return method


_ALIASES = {"clip": "clamp", "multiply": "mul", "divide": "div", "subtract": "sub", "negative": "neg"}


def _install_methods() -> None:
    for op in REGISTRY.values():
        if isinstance(op, ElementwiseOp) and op.method and op.dtype != "bool":
            METHODS.setdefault(f"{op.name}_", inplace.in_place_method(op))
    for name, function in METHODS.items():
        setattr(Tensor, name, function)
    for alias, name in _ALIASES.items():
        setattr(Tensor, alias, METHODS[name])
    Tensor.where, Tensor.T, Tensor.mT = _where, property(_transposed), property(_matrix_transposed)
    Tensor.data = property(convert.detach, convert.set_data)  # type: ignore[attr-defined]


def _transposed(self: Tensor) -> Tensor:
    """The view with all dimensions reversed."""
    return shape.permute(self, *reversed(range(self.ndim)))


def _matrix_transposed(self: Tensor) -> Tensor:
    """The view with the last two dimensions swapped."""
    if self.ndim < 2:
        raise RuntimeError(f"mT needs at least 2 dimensions, got shape {tuple(self.shape)}")
    return shape.transpose(self, -2, -1)


def _where(self: Tensor, condition: Tensor, other: Any) -> Any:
    """The tensor where ``condition`` holds, else ``other``."""
    return elementwise.where(condition, self, other)


def _check_power(base: Any, exponent: Any) -> None:
    integral = isinstance(base, Tensor) and base.dtype.category == 1 and not isinstance(exponent, (Tensor, float, complex))
    if integral and exponent < 0:
        raise RuntimeError("pow: integers to negative integer powers are no integers; convert the base with .float()")


def _expression_functions() -> dict[str, Callable[..., Any]]:
    """What ``expr`` calls when an elementwise function is given tensors."""
    table: dict[str, Callable[..., Any]] = {}
    for name in expr._PRIMITIVES:
        op = REGISTRY.get(name)
        if isinstance(op, ElementwiseOp):
            table[name] = op.call
    return table


def install() -> None:
    """Install everything; importing ``tapegrad`` does it once."""
    elementwise_op("pow").check = _check_power
    _install_methods()
    _install_operators()
    Tensor.__array_ufunc__ = numpy_protocols.array_ufunc
    Tensor.__array_function__ = numpy_protocols.array_function
    expr.TABLE[Tensor] = _expression_functions()


"""Gives Tensor its operators and methods, NumPy its protocols, and ``expr`` its functions on tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import expr, inplace
from ..public import ALIASES, METHODS
from ..registry import REGISTRY
from ..scalarops import ElementwiseOp, define, elementwise_op
from ..tensor import Tensor
from . import convert, dlpack, numpy_protocols, python_protocols
from .checks import need_fitting
from .elementwise import basic as elementwise, bitwise, complex_parts, rounding
from .index import indexing as index
from .linalg import matmul
from .shape import permute


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


_BINARY = {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "pow": "pow", "floordiv": "floor_divide", "mod": "remainder"}
_BINARY |= {"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift"}
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
    Tensor.__pos__ = rounding.positive
    Tensor.__matmul__ = matmul.matmul
    Tensor.__rmatmul__ = lambda self, other: matmul.matmul(other, self)
    Tensor.__invert__ = bitwise.bitwise_not
    Tensor.__getitem__ = index.getitem
    Tensor.__setitem__ = index.setitem
    Tensor.__contains__ = python_protocols.contains
    Tensor.__copy__, Tensor.__deepcopy__, Tensor.__reduce_ex__ = (
        python_protocols.copied,
        python_protocols.deep_copied,
        python_protocols.reduced,
    )


def _install_methods() -> None:
    for op in REGISTRY.values():
        if isinstance(op, ElementwiseOp) and op.method and not (op.dtype == "bool" and op.name.startswith("is")):
            METHODS.setdefault(f"{op.name}_", inplace.in_place_method(op))
    for name, of in ALIASES.items():
        if f"{of}_" in METHODS:
            METHODS[f"{name}_"] = METHODS[f"{of}_"]
    for name, function in METHODS.items():
        setattr(Tensor, name, function)
    Tensor.where = _where
    Tensor.T, Tensor.mT = property(permute.all_transposed), property(permute.matrix_transposed)
    Tensor.H, Tensor.mH = property(permute.hermitian), property(permute.adjoint)
    Tensor.real = property(complex_parts.real, complex_parts.set_real)  # type: ignore[attr-defined]
    Tensor.imag = property(complex_parts.imag, complex_parts.set_imag)  # type: ignore[attr-defined]
    Tensor.data = property(convert.detach, convert.set_data)  # type: ignore[attr-defined]


def _where(self: Tensor, condition: Tensor, other: Any) -> Any:
    """The tensor where ``condition`` holds, else ``other``."""
    return elementwise.where(condition, self, other)


def _check_power(base: Any, exponent: Any) -> None:
    integral = isinstance(base, Tensor) and base.dtype.category == 1 and not isinstance(exponent, (Tensor, float, complex))
    if integral and exponent < 0:
        raise RuntimeError("pow: integers to negative integer powers are no integers; convert the base with .float()")


_OPS_OF_PRIMITIVES = {"left_shift": "bitwise_left_shift", "right_shift": "bitwise_right_shift", "rint": "round", "trunc_divide": "div_trunc"}


def _expression_functions() -> dict[str, Callable[..., Any]]:
    """What ``expr`` calls when an elementwise function is given tensors."""
    table: dict[str, Callable[..., Any]] = {}
    for name in expr.PRIMITIVES:
        op = REGISTRY.get(_OPS_OF_PRIMITIVES.get(name, name))
        table[name] = op.call if isinstance(op, ElementwiseOp) else functools.partial(_defined, name)
    return table


def _defined(name: str, *operands: Any) -> Any:
    """A primitive that is no op of its own, on tensors."""
    return _define(name, len(operands))(*operands)


@functools.cache
def _define(name: str, count: int) -> Callable[..., Any]:
    return define(name, (lambda x: expr.apply(name, x)) if count == 1 else (lambda x, y: expr.apply(name, x, y)))


def install() -> None:
    """Install everything; importing ``tapegrad`` does it once."""
    elementwise_op("pow").check = _check_power
    need_fitting("pow", 1)
    for name in ("add", "sub", "mul", "div", "div_floor", "div_trunc", "floor_divide"):
        elementwise_op(name).takes_numbers = True
    _install_methods()
    _install_operators()
    Tensor.__array_ufunc__ = numpy_protocols.array_ufunc
    Tensor.__array_function__ = numpy_protocols.array_function
    Tensor.__dlpack__, Tensor.__dlpack_device__ = dlpack.dlpack, dlpack.dlpack_device
    Tensor.__cuda_array_interface__ = property(dlpack.cuda_array_interface)  # type: ignore[attr-defined]
    expr.TABLE[Tensor] = _expression_functions()


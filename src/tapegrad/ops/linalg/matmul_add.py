"""Sums of a tensor and a matrix product, ``beta * input + alpha * product``, and their in-place forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...casting import as_they_are
from ...computation import broadcast_shape
from ...device import placed
from ...public import METHODS, composite, named
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor, wrap
from ..checks import need_same_dtype
from ..elementwise.basic import add, mul, where
from .matmul import conjugate, matmul, mT, need_dims, outer, summed_to

__all__ = ["addbmm", "addmm", "addmv", "addr", "baddbmm"]


_fused = register(
    Op(
        "matmul_add",
        ("input", "mat1", "mat2"),
        lambda B, x, a, b: B.matmul_add(a, b, x),
        {
            "input": lambda K, g, input_shape: summed_to(K, g, input_shape),
            "mat1": lambda K, g, mat2, mat1_shape: summed_to(K, K.matmul(g, conjugate(K, mT(K, mat2))), mat1_shape),
            "mat2": lambda K, g, mat1, mat2_shape: summed_to(K, K.matmul(conjugate(K, mT(K, mat1)), g), mat2_shape),
        },
        dtype="promote",
        method=False,
        samples=[
            Sample((Input((3, 5)), Input((3, 4)), Input((4, 5)))),
            Sample((Input((5,)), Input((3, 4)), Input((4, 5)))),
            Sample((Input((3, 1)), Input((2, 3, 4)), Input((2, 4, 5)))),
        ],
        reference=lambda x, a, b: x + a @ b,
        error_inputs=[ErrorInput(lambda tg: tg.addmm(tg.ones(7), tg.ones(3, 4), tg.ones(4, 5)), RuntimeError, "addmm: shapes .* can't be broadcast")],
        kinds="f",
    )
)


def _plus_product(name: str, input: Tensor, a: Tensor, b: Tensor, beta: Any, alpha: Any) -> Tensor:
    """``beta * input + alpha * (a @ b)``; the plain sum, of floats that fit, in one pass."""
    plain = beta == 1 and alpha == 1 and input.dtype == a.dtype == b.dtype and input.dtype.is_floating_point and a.device == b.device == input.device
    if plain and a.shape[-1] == b.shape[-2]:
        shape = (*a.shape[:-1], b.shape[-1])
        if broadcast_shape(name, [tuple(input.shape), shape]) == shape:
            return _fused.call(input, a, b)  # type: ignore[no-any-return]
    return _sum(name, input, matmul(a, b), beta, alpha)


def _sum(name: str, input: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    """With ``beta`` 0 the input plays no part, not even its NaNs; its gradient is 0."""
    need_same_dtype(name, input=input, product=product)
    shape = tuple(product.shape)
    if broadcast_shape(name, [tuple(input.shape), shape]) != shape:
        raise RuntimeError(f"{name}: input of shape {tuple(input.shape)} does not broadcast to the product's shape {shape}")
    if not input.dtype.differentiable and (isinstance(beta, float) or isinstance(alpha, float)):
        raise RuntimeError(f"{name}: beta and alpha must be integers for dtype {input.dtype}")
    product = product if alpha == 1 else mul(product, alpha)
    if beta == 0:
        return where(wrap(placed(np.array(False), input.device)), input, product) if input.requires_grad else product  # type: ignore[no-any-return]
    return add(product, input if beta == 1 else mul(input, beta))  # type: ignore[no-any-return]


def _reference(product: Callable[..., Any]) -> Callable[..., Any]:
    def reference(x: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1) -> Any:
        return alpha * product(a, b) + (beta * x if beta else 0)

    return reference


def _declared(product: Callable[..., Any], *shapes: tuple[int, ...], broadcast: tuple[int, ...]) -> dict[str, Any]:
    out, a, b = shapes
    return {
        "samples": [
            Sample((Input(out), Input(a), Input(b))),
            Sample((Input(broadcast), Input(a), Input(b)), {"beta": 0.5, "alpha": 2.0}),
            Sample((Input(out), Input(a), Input(b)), {"alpha": -1}),
        ],
        "reference": _reference(product),
        "kinds": "ifc",
    }


def _mistakes(name: str, product: tuple[tuple[int, ...], tuple[int, ...]], wrong: tuple[int, ...]) -> list[ErrorInput]:
    return [
        ErrorInput(lambda tg: getattr(tg, name)(tg.ones(7), *map(tg.ones, product)), RuntimeError, f"{name}: shapes .* can't be broadcast"),
        ErrorInput(lambda tg: getattr(tg, name)(tg.ones(1), tg.ones(*wrong), tg.ones(*product[1])), RuntimeError, f"{name}: .* must be a "),
        ErrorInput(
            lambda tg: getattr(tg, name)(tg.ones(1, dtype=tg.float64), *map(tg.ones, product)), RuntimeError, f"{name}: expected equal dtypes, got input .*float64"
        ),
    ]


@composite(**_declared(np.matmul, (3, 5), (3, 4), (4, 5), broadcast=(5,)), error_inputs=_mistakes("addmm", ((3, 4), (4, 5)), (3,)))
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``: the input broadcasts to (m, n), the matrices are (m, k) and (k, n).

    Raises:
        RuntimeError: for shapes that don't fit, different dtypes, or fractions of integers.
    """
    need_dims("addmm", mat1=(mat1, 2), mat2=(mat2, 2))
    return _plus_product("addmm", input, mat1, mat2, beta, alpha)


@composite(**_declared(np.matmul, (3,), (3, 4), (4,), broadcast=()), error_inputs=_mistakes("addmv", ((3, 4), (4,)), (3,)))
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat @ vec)``: the input broadcasts to (m,), the matrix is (m, k), the vector (k,).

    Raises:
        RuntimeError: for shapes that don't fit, different dtypes, or fractions of integers.
    """
    need_dims("addmv", mat=(mat, 2), vec=(vec, 1))
    return _sum("addmv", input, matmul(mat, vec), beta, alpha)


@composite(**_declared(np.outer, (3, 4), (3,), (4,), broadcast=(3, 1)), error_inputs=_mistakes("addr", ((3,), (4,)), (3, 1)))
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * outer(vec1, vec2)``: the input broadcasts to (m, n), the vectors are (m,) and (n,).

    Raises:
        RuntimeError: for shapes that don't fit, different dtypes, or fractions of integers.
    """
    need_dims("addr", vec1=(vec1, 1), vec2=(vec2, 1))
    return _sum("addr", input, outer(vec1, vec2), beta, alpha)


def _need_batches(name: str, batch1: Tensor, batch2: Tensor) -> None:
    need_dims(name, batch1=(batch1, 3), batch2=(batch2, 3))
    if batch1.shape[0] != batch2.shape[0]:
        raise RuntimeError(f"{name}: batches of {batch1.shape[0]} and {batch2.shape[0]} matrices")


@composite(
    **_declared(np.matmul, (2, 3, 5), (2, 3, 4), (2, 4, 5), broadcast=(3, 1)), error_inputs=_mistakes("baddbmm", ((2, 3, 4), (2, 4, 5)), (3, 4))
)
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * bmm(batch1, batch2)``: the input broadcasts to (b, m, n).

    Raises:
        RuntimeError: for shapes that don't fit, different dtypes, or fractions of integers.
    """
    _need_batches("baddbmm", batch1, batch2)
    return _plus_product("baddbmm", input, batch1, batch2, beta, alpha)


@composite(
    **_declared(lambda a, b: np.matmul(a, b).sum(0), (3, 5), (2, 3, 4), (2, 4, 5), broadcast=(5,)),
    error_inputs=_mistakes("addbmm", ((2, 3, 4), (2, 4, 5)), (3, 4)),
)
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * bmm(batch1, batch2).sum(0)``: the input broadcasts to (m, n).

    Raises:
        RuntimeError: for shapes that don't fit, different dtypes, or fractions of integers.
    """
    _need_batches("addbmm", batch1, batch2)
    (b, m, k), n = batch1.shape, batch2.shape[2]
    if batch2.shape[1] != k:
        raise RuntimeError(f"addbmm: shapes {tuple(batch1.shape)} and {tuple(batch2.shape)} don't fit: {k} columns meet {batch2.shape[1]} rows")
    # one product that adds up over the batch, too
    return _sum("addbmm", input, matmul(batch1.permute(1, 0, 2).reshape(m, b * k), batch2.reshape(b * k, n)), beta, alpha)


def _in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def method(self: Tensor, *args: Any, beta: Any = 1, alpha: Any = 1) -> Tensor:
        result = function(self, *args, beta=beta, alpha=alpha)
        if result.shape != self.shape:
            raise RuntimeError(f"{method.__name__}: the result has shape {tuple(result.shape)}, it can't be written into shape {tuple(self.shape)}")
        return self.copy_(result)  # type: ignore[no-any-return]

    return named(method, f"{function.__name__}_", f"In-place version of :func:`tapegrad.{function.__name__}`; returns the tensor.")


METHODS.update({f"{f.__name__}_": as_they_are(_in_place(f)) for f in (addmm, addmv, addr, baddbmm, addbmm)})

"""Linear algebra on matrices in the last two dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...computation import broadcast_shape
from ...opcall import check_devices
from ...public import composite, public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..checks import need_floating, need_same_dtype
from .matmul import conjugate, mT

__all__ = ["cholesky_solve"]
LINALG = ["LinAlgError", "cholesky", "solve_triangular"]


class LinAlgError(RuntimeError):
    """A matrix that an algorithm can't do with, such as a singular one."""


def _adjoint(K: Any, x: Any) -> Any:
    return conjugate(K, mT(K, x))


def _need_square(name: str, argument: str, x: Tensor) -> None:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise RuntimeError(f"{name}: {argument} must be square matrices (..., n, n), got shape {tuple(x.shape)}")
    need_floating(name, complex=True, **{argument: x})


# ------------------------------------------------------------------------------------------------------ triangular systems


def _solution_vjp(K: Any, g: Any, a: Any, out: Any, upper: bool, unitriangular: bool, needs: tuple[bool, bool]) -> Any:
    """Of X = A^-1 B: A^-H g for B, and the triangle of -A^-H g X^H for A (Giles, "An extended collection of matrix derivative results", 2008)."""
    for_b = K.triangular_solve(_adjoint(K, a), g, upper=not upper, unitriangular=unitriangular)
    for_a = None
    if needs[0]:
        for_a = K.neg(K.matmul(for_b, _adjoint(K, out)))
        offset = (1 if upper else -1) if unitriangular else 0
        for_a = K.triu(for_a, diagonal=offset) if upper else K.tril(for_a, diagonal=offset)
    return for_a, for_b


def _solved(a: Any, b: Any, upper: bool, unitriangular: bool) -> Any:
    a = np.triu(a) if upper else np.tril(a)
    if unitriangular:
        a = a - a * np.eye(a.shape[-1]) + np.eye(a.shape[-1])
    return np.linalg.inv(a) @ b


_triangular_solve = register(
    Op(
        "triangular_solve",
        ("A", "B"),
        lambda B, a, b, *, upper, unitriangular: B.solve_triangular(a, b, upper, unitriangular),
        {("A", "B"): lambda K, g, A, out, upper, unitriangular, needs: _solution_vjp(K, g, A, out, upper, unitriangular, needs)},
        dtype="promote",
        method=False,
        batch="leading",
        samples=[
            Sample((Input((3, 3), 0.5, 1.5), Input((3, 2))), {"upper": upper, "unitriangular": unit})
            for upper, unit in ((False, False), (True, False), (False, True), (True, True))
        ]
        + [Sample((Input((2, 2, 2), 0.5, 1.5), Input((2, 2, 1))), {"upper": False, "unitriangular": False})],
        reference=_solved,
        kinds="fc",
    )
)


def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """X with A X = B, or X A = B for ``left=False``, for triangular matrices A; batches broadcast.

    Args:
        A: (..., n, n); what lies on the other side of the diagonal is not looked at. A zero on the diagonal gives infinities.
        B: (..., n, k), or (..., k, n) for ``left=False``.
        upper: which triangle of A counts.
        unitriangular: the diagonal of A is ones, whatever it holds.

    Raises:
        RuntimeError: for matrices that don't fit, or different dtypes.
    """
    name = "linalg.solve_triangular"
    check_devices(name, (A, B))
    _need_square(name, "A", A)
    side = -2 if left else -1
    if B.ndim < 2 or B.shape[side] != A.shape[-1]:
        raise RuntimeError(f"{name}: A of shape {tuple(A.shape)} and B of shape {tuple(B.shape)} don't fit")
    need_same_dtype(name, A=A, B=B)
    if not left:  # X A = B is A^T X^T = B^T
        return solve_triangular(A.mT, B.mT, upper=not upper, unitriangular=unitriangular).mT  # type: ignore[no-any-return]
    batch = broadcast_shape(name, [tuple(A.shape[:-2]), tuple(B.shape[:-2])])
    operands = tuple(x if x.shape[:-2] == batch else x.expand(*batch, *x.shape[-2:]) for x in (A, B))
    return _triangular_solve.call(*operands, upper=upper, unitriangular=unitriangular)  # type: ignore[no-any-return]


# ----------------------------------------------------------------------------------------------------- Cholesky's factorization


def _half(K: Any, x: Any) -> Any:
    """The lower triangle with half of the diagonal."""
    return K.sub(K.tril(x, diagonal=0), K.mul(_diagonal(K, x), 0.5))


def _diagonal(K: Any, x: Any) -> Any:
    return K.tril(K.triu(x, diagonal=0), diagonal=0)


def _factor_vjp(K: Any, g: Any, out: Any) -> Any:
    """Murray, "Differentiation of the Cholesky decomposition", 2016, https://arxiv.org/abs/1602.07527; symmetric, as the input is."""
    adjoint = _adjoint(K, out)
    middle = _half(K, K.matmul(adjoint, g))
    middle = K.mul(K.add(middle, _adjoint(K, middle)), 0.5)
    # L^-H M L^-1, where M is Hermitian
    right = _adjoint(K, K.triangular_solve(adjoint, middle, upper=True, unitriangular=False))
    return K.triangular_solve(adjoint, right, upper=True, unitriangular=False)


def _factored(B: Any, x: Any) -> Any:
    try:
        return B.cholesky(x)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"linalg.cholesky: the input of shape {tuple(x.shape)} is not positive definite; adding a small multiple of the identity may help"
        ) from None


_cholesky = register(
    Op(
        "cholesky",
        ("input",),
        _factored,
        {"input": lambda K, g, out: _factor_vjp(K, g, out)},
        method=False,
        batch="leading",
        kinds="fc",
    )
)


@public(
    _cholesky,
    error_inputs=[
        ErrorInput(lambda tg: tg.linalg.cholesky(tg.ones(2, 3)), RuntimeError, r"linalg.cholesky: input must be square .*\(2, 3\)"),
        ErrorInput(lambda tg: tg.linalg.cholesky(-tg.ones(2, 2)), LinAlgError, "linalg.cholesky: .* is not positive definite"),
    ],
)
def cholesky(input: Tensor, *, upper: bool = False) -> Tensor:
    """The triangular L with L L^H = input, or U with U^H U = input for ``upper``, of positive definite matrices (..., n, n).

    Only the lower triangle of the input is read. The gradient is symmetric.

    Raises:
        RuntimeError: when they are not square.
        LinAlgError: when one is not positive definite.
    """
    _need_square("linalg.cholesky", "input", input)
    factor: Tensor = _cholesky.call(input)
    return factor.mH if upper else factor  # type: ignore[no-any-return]


def _cholesky_solved(b: Any, factor: Any, upper: bool = False) -> Any:
    t = np.triu(factor) if upper else np.tril(factor)
    t = t.swapaxes(-1, -2).conj()
    matrix = t @ t.swapaxes(-1, -2).conj() if upper else t.swapaxes(-1, -2).conj() @ t
    return np.linalg.inv(matrix) @ b


@composite(
    samples=[
        Sample((Input((3, 2)), Input((3, 3), 0.5, 1.5))),
        Sample((Input((2, 3, 1)), Input((3, 3), 0.5, 1.5)), {"upper": True}),
    ],
    reference=_cholesky_solved,
    error_inputs=[
        ErrorInput(lambda tg: tg.cholesky_solve(tg.ones(2, 1), tg.ones(2, 3)), RuntimeError, r"cholesky_solve: input2 must be square .*\(2, 3\)"),
        ErrorInput(lambda tg: tg.cholesky_solve(tg.ones(3), tg.eye(3)), RuntimeError, r"cholesky_solve: .*\(3,\) and .*\(3, 3\) don't fit"),
    ],
    kinds="fc",
)
def cholesky_solve(input: Tensor, input2: Tensor, upper: bool = False) -> Tensor:
    """X with A X = input, where ``input2`` is Cholesky's factor of A: L of A = L L^H, or U of A = U^H U for ``upper``.

    Args:
        input: (..., n, k).
        input2: (..., n, n); batches broadcast.
        upper: which factor it is.

    Raises:
        RuntimeError: for matrices that don't fit, or different dtypes.
    """
    _need_square("cholesky_solve", "input2", input2)
    if input.ndim < 2 or input.shape[-2] != input2.shape[-1]:
        raise RuntimeError(f"cholesky_solve: input of shape {tuple(input.shape)} and input2 of shape {tuple(input2.shape)} don't fit")
    first, second = (input2.mH, input2) if upper else (input2, input2.mH)
    return solve_triangular(second, solve_triangular(first, input, upper=False), upper=True)

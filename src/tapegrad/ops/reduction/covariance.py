"""Covariances and correlations of variables, the rows of a matrix."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...modes import check_values
from ...public import composite
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..checks import need_ndim
from ..elementwise.basic import clamp, mul
from ..linalg.matmul import matmul
from .reduce import sum as sum_

__all__ = ["corrcoef", "cov"]


def _np_cov(*args: Any, input: Any = None, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    return np.cov(args[0] if args else input, ddof=correction, fweights=fweights, aweights=aweights)


def _need_positive(name: str, weights: Any) -> None:
    if (weights < 0).any():
        raise RuntimeError(f"cov: {name} must not be negative")


@composite(
    samples=[
        Sample((Input((3, 5)),)),
        Sample((Input((5,)),), {"correction": 0}),
        Sample((Input((3, 5)), Input((5,), 1, 4, "int"), Input((5,), 0.5, 2.0)), {"correction": 1}, names=("input", "fweights", "aweights")),
    ],
    reference=_np_cov,
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 2, 2).cov(), RuntimeError, r"cov: expected at most 2 dimensions, got shape \(2, 2, 2\)"),
        ErrorInput(lambda tg: tg.ones(2, 3).cov(fweights=tg.ones(3)), RuntimeError, "cov: fweights must be integers, got tapegrad.float32"),
        ErrorInput(lambda tg: tg.ones(2, 3).cov(aweights=tg.ones(2)), RuntimeError, r"cov: aweights must have shape \(3,\), got \(2,\)"),
        ErrorInput(lambda tg: tg.ones(2, 3).cov(fweights=tg.tensor([1, -1, 1])), RuntimeError, "cov: fweights must not be negative"),
    ],
)
def cov(input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
    """The covariances of the rows of a matrix (variables, observations) -> (variables, variables); a vector is one variable.

    ``fweights`` (integers) repeat observations, ``aweights`` weigh them; the divisor is their sum less ``correction``.

    Raises:
        RuntimeError: for more than two dimensions, or weights of another shape, kind or sign.
    """
    need_ndim("cov", input, most=2)
    x = input.reshape(1, -1) if input.ndim < 2 else input
    n = int(x.shape[1])
    for name, w in (("fweights", fweights), ("aweights", aweights)):
        if w is not None:
            if tuple(w.shape) != (n,):
                raise RuntimeError(f"cov: {name} must have shape {(n,)}, got {tuple(w.shape)}")
            if (w.dtype.category == 1) is not (name == "fweights"):
                raise RuntimeError(f"cov: {name} must be {'integers' if name == 'fweights' else 'floating-point'}, got {w.dtype}")
            check_values(w, functools.partial(_need_positive, name))
    if not x.dtype.differentiable:
        x = x.float()
    weight = fweights.to(x.dtype) if fweights is not None else None
    if aweights is not None:
        weight = aweights.to(x.dtype) if weight is None else mul(weight, aweights)
    if weight is None:
        freedom: Any = max(n - correction, 0)
        centred = x - x.mean(1, keepdim=True) if n else x
        left = centred
    else:
        total = sum_(weight)
        centred = x - (sum_(x * weight, 1) / total).unsqueeze(1)
        left = centred * weight
        lost = correction if aweights is None else correction * sum_(weight * aweights) / total
        freedom = clamp(total - lost, 0)
    right = centred.conj() if x.dtype.is_complex else centred
    result: Tensor = matmul(left, right.mT) / freedom if n else matmul(left, right.mT) * float("nan")
    return result.squeeze()  # type: ignore[no-any-return]


@composite(
    samples=[Sample((Input((3, 5)),))],
    reference=np.corrcoef,
    smooth=False,
    error_inputs=[ErrorInput(lambda tg: tg.ones(2, 2, 2).corrcoef(), RuntimeError, r"corrcoef: expected at most 2 dimensions, got shape \(2, 2, 2\)")],
)
def corrcoef(input: Tensor) -> Tensor:
    """Pearson's correlations of the rows of a matrix (variables, observations); NaN for a constant.

    Raises:
        RuntimeError: for more than two dimensions.
    """
    need_ndim("corrcoef", input, most=2)
    c = cov(input)
    if c.ndim == 0:
        return c / c  # type: ignore[no-any-return]
    deviation = c.diagonal().sqrt()
    return clamp(c / deviation.unsqueeze(1) / deviation, -1.0, 1.0)  # type: ignore[no-any-return]

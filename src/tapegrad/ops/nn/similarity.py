"""How near vectors are: unit length, cosines, distances between pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import dtypes
from ...computation import broadcast_shape
from ...modes import no_grad
from ...public import composite
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..reduction.vector_norm import norm
from ..shape.copy import to_dtype
from ..shape.expand import expand
from ..shape.reshape import normalize_dim

__all__ = ["cosine_similarity", "normalize", "pairwise_distance"]


def _p_norm(x: Any, p: float, axis: Any, keepdims: bool = False) -> Any:
    return np.sum(np.abs(x) ** p, axis=axis, keepdims=keepdims) ** (1 / p)


@composite(
    method=False,
    samples=[
        Sample((Input((3, 4)),)),
        Sample((Input((3, 4)),), {"p": 3.0, "dim": 0}),
        Sample((Input((2, 3, 4)),), {"dim": (0, 2), "eps": 0.01}),
    ],
    reference=lambda x, p=2.0, dim=1, eps=1e-12: x / np.maximum(_p_norm(x, p, dim, True), eps),
    error_inputs=[ErrorInput(lambda tg: tg.nn.functional.normalize(tg.ones(2, 3), dim=2), IndexError, "norm: dimension 2 is out of range")],
)
def normalize(input: Tensor, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """The input divided by its p-norm over ``dim``, or by ``eps`` where the norm is less; a vector of zeros has gradient 1 / eps.

    Raises:
        RuntimeError: for a tensor that is not floating-point.
    """
    result = input / norm(input, p, dim, True).clamp_min(eps)
    return result if out is None else out.copy_(result)


def _cosine_reference(a: Any, b: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    a, b = np.broadcast_arrays(a, b)
    lengths = [np.maximum(_p_norm(x, 2, dim), eps) for x in (a, b)]
    return np.sum(a * b, axis=dim) / lengths[0] / lengths[1]


@composite(
    method=False,
    samples=[
        Sample((Input((3, 4)), Input((3, 4)))),
        Sample((Input((3, 4)), Input((2, 3, 4))), {"dim": -1}),
        Sample((Input((4,)), Input((4,))), {"dim": 0, "eps": 1e-3}),
    ],
    reference=_cosine_reference,
    error_inputs=[
        ErrorInput(
            lambda tg: tg.nn.functional.cosine_similarity(tg.ones(2, 3), tg.ones(4)), RuntimeError, r"cosine_similarity: shapes \(2, 3\) and \(4,\)"
        ),
        ErrorInput(lambda tg: tg.nn.functional.cosine_similarity(tg.arange(3), tg.arange(3), 0), RuntimeError, "cosine_similarity: .*floating"),
    ],
)
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along ``dim``; the two broadcast. Lengths below ``eps`` count as ``eps``.

    Raises:
        RuntimeError: when shapes can't be broadcast, or for integer tensors.
    """
    common = dtypes.result_type(x1, x2)
    if not common.is_floating_point:
        raise RuntimeError(f"cosine_similarity: expected floating-point tensors, got {x1.dtype} and {x2.dtype}; convert one with .float()")
    shape = broadcast_shape("cosine_similarity", [x1._array.shape, x2._array.shape])
    at = normalize_dim(dim, len(shape), "cosine_similarity")
    a, b = (_directed(to_dtype(x, common), shape, at, eps) for x in (x1, x2))
    return (a * b).sum(at)


def _directed(x: Tensor, shape: tuple[int, ...], dim: int, eps: float) -> Tensor:
    x = expand(x, *shape)
    length = norm(x, 2, dim, True).clone()
    with no_grad():  # as in PyTorch, the gradient is that of the length also where it counts as eps
        length.clamp_(min=eps)
    return x / length


@composite(
    method=False,
    samples=[
        Sample((Input((3, 4)), Input((3, 4), 3.0, 4.0))),
        Sample((Input((3, 4)), Input((3, 4), 3.0, 4.0)), {"p": 1.0, "keepdim": True}),
        Sample((Input((2, 3, 4)), Input((4,), 3.0, 4.0)), {"p": 3.0, "eps": 0.01}),
        Sample((Input((4,)), Input((4,), 3.0, 4.0))),
    ],
    reference=lambda a, b, p=2.0, eps=1e-6, keepdim=False: _p_norm(a - b + eps, p, -1, keepdim),
    error_inputs=[ErrorInput(lambda tg: tg.nn.functional.pairwise_distance(tg.ones(2, 3), tg.ones(4)), RuntimeError, r"\(2, 3\) and \(4,\)")],
)
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps over the last dimension; the two broadcast.

    Raises:
        RuntimeError: when shapes can't be broadcast.
    """
    return norm(x1 - x2 + eps, p, -1, keepdim)

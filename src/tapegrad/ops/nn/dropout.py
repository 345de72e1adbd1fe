"""Dropout: of elements, of whole features, and the form that keeps the mean and variance of SELU networks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ...device import backend
from ...observing import level_outside
from ...plan import ON_ARRAYS
from ...public import composite, public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor, wrap
from ..checks import need_floating, need_ndim
from ..elementwise.basic import where
from ..random.generator import drawn_like
from .smooth_activation import SELU_ALPHA, SELU_SCALE

__all__ = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]

_dropout = register(
    Op(
        "dropout",
        ("input",),
        lambda B, x, *, p, start: B.dropout(x, p, *start),
        {"input": lambda K, g, p, start: K.dropout(g, p=p, start=start)},
        random=True,
        method=False,
        samples=[Sample((Input((3, 5)),), {"p": 0.5, "start": (3, 7)})],
        reference=lambda x, p, start: np.where(backend(x).random_uniform(x.shape, np.dtype(np.float32), *start)[0] >= p, x / (1 - p), 0),
        kinds="fc",
    )
)

_drop_features = register(
    Op(
        "drop_features",
        ("input",),
        lambda B, x, *, p, mask: _masked(B, x, p, mask),
        {"input": lambda K, g, p, mask: K.drop_features(g, p=p, mask=mask)},
        random=True,
        method=False,
        batch="elementwise",
        samples=[Sample((Input((3, 4)),), {"p": 0.5, "mask": np.arange(12).reshape(3, 4) % 3 > 0})],
        reference=lambda x, p, mask: np.where(mask, x / (1 - p), 0),
        kinds="fc",
    )
)


def _masked(B: Any, x: Any, p: float, mask: Any) -> Any:
    with np.errstate(all="ignore"):  # what overflows may be what is dropped
        return B.apply_mask(x, mask, 0.0 if p == 1 else 1.0 / (1.0 - p))


def _kept(input: Tensor, shape: tuple[int, ...], p: float) -> Any:
    """Where a draw says to keep."""
    u = drawn_like(None, "uniform", input, shape, np.dtype(np.float32))
    return ON_ARRAYS.ge(u, p)


def _idle(name: str, input: Tensor, p: float, training: bool) -> bool:
    """Whether there is nothing to do; raises for mistakes."""
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: p must be between 0 and 1, got {p}")
    if not training or p == 0:
        return True
    need_floating(name, complex=True, input=input)
    return False


def _drop(name: str, input: Tensor, p: float, training: bool, inplace: bool, shape: tuple[int, ...]) -> Tensor:
    """Drop features with a mask of ``shape``, which broadcasts to the input's."""
    if _idle(name, input, p, training):
        return input
    result: Tensor = _drop_features.call(input, p=p, mask=_kept(input, shape, p))
    return input.copy_(result) if inplace else result


def _mistakes(name: str, *shape: int) -> list[ErrorInput]:
    return [ErrorInput(lambda tg: getattr(tg.nn.functional, name)(tg.ones(*shape), -0.5), ValueError, f"{name}: p must be between 0 and 1")]


@public(
    _dropout,
    samples=[Sample((Input((2, 3, 4)),), {"training": False}), Sample((Input((2, 3, 4)),), {"p": 0.0})],
    reference=lambda x, **params: x,
    error_inputs=[ErrorInput(lambda tg: tg.nn.functional.dropout(tg.ones(3), 1.5), ValueError, "dropout: p must be between 0 and 1")],
)
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, set each element to 0 with probability ``p`` and scale the others by 1 / (1 - p); else the input.

    Raises:
        ValueError: when p is not in [0, 1].
        RuntimeError: when numbers of the input's dtype can't be scaled.
    """
    if _idle("dropout", input, p, training):
        return input
    result: Tensor = _dropout.call(input, p=float(p), start=drawn_like(None, "blocks", input, -(-input._array.size // 4)))
    return input.copy_(result) if inplace else result


def _features(name: str, input: Tensor, *expected: int, unbatched: int | None = None) -> tuple[int, ...]:
    """The shape of a mask with one element per feature, of an input with an expected number of dimensions or, with a warning, another."""
    need_ndim(name, input, 2)
    if input.ndim not in expected:
        warnings.warn(
            f"{name}: an input of {input.ndim} dimensions, {tuple(input.shape)}, is taken as (n, c, ...), which PyTorch deprecates; expected "
            f"{' or '.join(map(str, expected))}; use dropout() for single elements",
            UserWarning,
            stacklevel=level_outside(),
        )
    leading = 1 if input.ndim == unbatched else 2
    return (*(int(n) for n in input._array.shape[:leading]), *[1] * (input.ndim - leading))


@composite(
    method=False,
    samples=[Sample((Input((2, 3, 4)),), {"training": False}), Sample((Input((2, 3, 4)),), {"p": 0.0})],
    reference=lambda x, **params: x,
    error_inputs=[
        *_mistakes("dropout1d", 2, 3),
        ErrorInput(lambda tg: tg.nn.functional.dropout1d(tg.ones(2)), RuntimeError, r"dropout1d: expected 2 or 3 dimensions, got .*\(2,\)"),
    ],
)
def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """:func:`dropout` of whole channels of (n, c, l) or (c, l).

    Raises:
        ValueError, RuntimeError: as :func:`dropout`; for another number of dimensions.
    """
    if input.ndim not in (2, 3):
        raise RuntimeError(f"dropout1d: expected 2 or 3 dimensions, got an input of shape {tuple(input.shape)}")
    return _drop("dropout1d", input, p, training, inplace, _features("dropout1d", input, 2, 3, unbatched=2))


@composite(
    method=False,
    samples=[Sample((Input((2, 3, 2, 2)),), {"training": False})],
    reference=lambda x, **params: x,
    error_inputs=[
        *_mistakes("dropout2d", 2, 3, 4),
        ErrorInput(lambda tg: tg.nn.functional.dropout2d(tg.ones(2)), RuntimeError, r"dropout2d: expected at least 2 dimensions, got shape \(2,\)"),
    ],
)
def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """:func:`dropout` of whole channels of (n, c, h, w); three dimensions mean (n, c, l), as in PyTorch.

    Warns:
        UserWarning: for another number of dimensions, of which the first two are taken as n and c.

    Raises:
        ValueError, RuntimeError: as :func:`dropout`; for fewer than 2 dimensions.
    """
    return _drop("dropout2d", input, p, training, inplace, _features("dropout2d", input, 3, 4))


@composite(
    method=False,
    samples=[Sample((Input((2, 3, 2, 2, 1)),), {"training": False})],
    reference=lambda x, **params: x,
    error_inputs=[
        ErrorInput(lambda tg: tg.nn.functional.dropout3d(tg.ones(2)), RuntimeError, r"dropout3d: expected at least 2 dimensions, got shape \(2,\)"),
        *_mistakes("dropout3d", 2, 3, 4, 5),
    ],
)
def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """:func:`dropout` of whole channels of (n, c, d, h, w) or (c, d, h, w).

    Warns:
        UserWarning: for another number of dimensions, of which the first two are taken as n and c.

    Raises:
        ValueError, RuntimeError: as :func:`dropout`; for fewer than 2 dimensions.
    """
    return _drop("dropout3d", input, p, training, inplace, _features("dropout3d", input, 4, 5, unbatched=4))


# ------------------------------------------------------------------------------------------------------------ alpha dropout

_SATURATED = -SELU_SCALE * SELU_ALPHA  # what selu gives far below 0


def _alpha_drop(name: str, input: Tensor, p: float, training: bool, inplace: bool, shape: tuple[int, ...]) -> Tensor:
    """Replace what is dropped by SELU's limit, then restore mean 0 and variance 1 by an affine map."""
    if _idle(name, input, p, training):
        return input
    if p == 1:
        result = input * 0.0
    else:
        a = ((1 - p) * (1 + p * _SATURATED**2)) ** -0.5
        shift = -a * p * _SATURATED
        result = where(wrap(_kept(input, shape, p)), input * a + shift, a * _SATURATED + shift)
    return input.copy_(result) if inplace else result


@composite(
    method=False,
    samples=[Sample((Input((3, 4)),)), Sample((Input((3, 4)),), {"p": 0.0, "training": True})],
    reference=lambda x, **params: x,
    error_inputs=_mistakes("alpha_dropout", 3),
)
def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """In training, :func:`dropout` that keeps mean 0 and variance 1 in networks with :func:`selu`; else the input.

    Klambauer et al., https://arxiv.org/abs/1706.02515.

    Raises:
        ValueError, RuntimeError: as :func:`dropout`.
    """
    return _alpha_drop("alpha_dropout", input, p, training, inplace, tuple(input.shape))


@composite(
    method=False,
    samples=[Sample((Input((2, 3, 4)),))],
    reference=lambda x, **params: x,
    error_inputs=[
        *_mistakes("feature_alpha_dropout", 2, 3),
        ErrorInput(
            lambda tg: tg.nn.functional.feature_alpha_dropout(tg.ones(3), training=True), RuntimeError, "feature_alpha_dropout: expected at least 2"
        ),
    ],
)
def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """:func:`alpha_dropout` of whole channels of (n, c, ...).

    Raises:
        ValueError, RuntimeError: as :func:`dropout`; for fewer than 2 dimensions.
    """
    if training:
        need_ndim("feature_alpha_dropout", input, 2)
    shape = (*(int(n) for n in input._array.shape[:2]), *[1] * (input.ndim - 2))
    return _alpha_drop("feature_alpha_dropout", input, p, training, inplace, shape)

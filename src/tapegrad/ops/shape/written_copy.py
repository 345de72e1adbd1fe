"""Copies in which a part has been written: the out-of-place forms of writing to a view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...public import composite
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from .copy import clone
from .diagonal import diagonal
from .reshape import normalize_dim
from .split import select

__all__ = ["diagonal_scatter", "select_scatter", "slice_scatter"]


def _written(input: Tensor, src: Tensor, view: Callable[[Tensor], Tensor], name: str) -> Tensor:
    out = clone(input)
    part = view(out)
    if part.shape != src.shape:
        raise RuntimeError(f"{name}: src needs the shape {tuple(part.shape)} of what it overwrites, got {tuple(src.shape)}")
    part.copy_(src)
    return out


def _reference(view: Callable[..., Any]) -> Callable[..., Any]:
    def reference(input: Any, src: Any, **params: Any) -> Any:
        out = input.copy()
        view(out, **params)[...] = src
        return out

    return reference


def _np_select(x: Any, dim: int, index: int) -> Any:
    return np.moveaxis(x, dim, 0)[index]


def _np_slice(x: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    return np.moveaxis(np.moveaxis(x, dim, 0)[start:end:step], 0, dim)


def _np_diagonal(x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    out = np.diagonal(x, offset, dim1, dim2)
    out.flags.writeable = True
    return out


@composite(
    samples=[Sample((Input((3, 4)), Input((3,))), {"dim": 1, "index": -1}), Sample((Input((3, 4)), Input((4,))), {"dim": 0, "index": 1})],
    reference=_reference(_np_select),
    error_inputs=[ErrorInput(lambda tg: tg.select_scatter(tg.ones(2, 3), tg.ones(2), 0, 0), RuntimeError, r"select_scatter: src .*\(3,\).*\(2,\)")],
)
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of ``input`` with ``src`` at ``index`` of dimension ``dim``, where :func:`select` looks.

    Raises:
        RuntimeError: when ``src`` does not have the shape of that part.
    """
    return _written(input, src, lambda out: select(out, dim, index), "select_scatter")


@composite(
    samples=[
        Sample((Input((5, 2)), Input((2, 2))), {"start": 1, "end": 5, "step": 2}),
        Sample((Input((2, 5)), Input((2, 3))), {"dim": 1, "start": -3}),
    ],
    reference=_reference(_np_slice),
    error_inputs=[ErrorInput(lambda tg: tg.slice_scatter(tg.ones(3), tg.ones(2), end=1), RuntimeError, r"slice_scatter: src .*\(1,\).*\(2,\)")],
)
def slice_scatter(input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    """A copy of ``input`` with ``src`` in the slice ``start:end:step`` of dimension ``dim``.

    Raises:
        RuntimeError: when ``src`` does not have the shape of that part.
    """
    at = (slice(None),) * normalize_dim(dim, input.ndim, "slice_scatter")
    return _written(input, src, lambda out: out[(*at, slice(start, end, step))], "slice_scatter")


@composite(
    samples=[Sample((Input((3, 4)), Input((3,)))), Sample((Input((2, 4, 3)), Input((4, 2))), {"offset": 1, "dim1": 0, "dim2": 2})],
    reference=_reference(_np_diagonal),
    error_inputs=[ErrorInput(lambda tg: tg.diagonal_scatter(tg.ones(3, 3), tg.ones(2)), RuntimeError, r"diagonal_scatter: src .*\(3,\).*\(2,\)")],
)
def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy of ``input`` with ``src`` on a :func:`diagonal`.

    Raises:
        RuntimeError: when ``src`` does not have the diagonal's shape.
    """
    return _written(input, src, lambda out: diagonal(out, offset, dim1, dim2), "diagonal_scatter")

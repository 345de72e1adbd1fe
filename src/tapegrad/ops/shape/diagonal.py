"""Diagonals and triangles."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import dtypes, inplace
from ...device import made_on, to_device
from ...public import composite, method, public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor, wrap
from ..checks import need_ndim
from ..reduction.reduce import sum as sum_
from .reshape import normalize_dims, reshape

__all__ = [
    "diag",
    "diag_embed",
    "diagflat",
    "diagonal",
    "trace",
    "tril",
    "tril_indices",
    "triu",
    "triu_indices",
]

_DIAGONALS: list[tuple[tuple[int, ...], int, int, int]] = [
    ((3, 4), 0, 0, 1),
    ((3, 4), 1, 0, 1),
    ((2, 3, 4), -1, 2, 0),
    ((3, 3), 5, 0, 1),
    ((0, 3), 0, 0, 1),
]


def _placed(g: Any, offset: int, dim1: int, dim2: int, size: tuple[int, ...]) -> Any:
    out = np.zeros(size, g.dtype)
    for k in range(g.shape[-1]):
        at: list[Any] = [slice(None)] * len(size)
        at[dim1], at[dim2] = k - min(offset, 0), k + max(offset, 0)
        out[tuple(at)] = g[..., k]
    return out


_diagonal = register(
    Op(
        "diagonal",
        ("input",),
        lambda B, x, *, offset, dim1, dim2: B.diagonal(x, offset, dim1, dim2),
        {
            "input": lambda K, g, input_shape, offset, dim1, dim2: K.diagonal_backward(
                g, offset=offset, dim1=dim1, dim2=dim2, size=input_shape
            )
        },
        view=True,
        part=True,
        samples=[Sample((Input(s),), {"offset": o, "dim1": a, "dim2": b}) for s, o, a, b in _DIAGONALS],
        reference=lambda x, offset, dim1, dim2: np.diagonal(x, offset, dim1, dim2),
        error_inputs=[
            ErrorInput(lambda tg: tg.ones(2, 3).diagonal(0, 1, -1), RuntimeError, "diagonal: dim appears twice"),
            ErrorInput(lambda tg: tg.ones(3).diagonal(), IndexError, "diagonal: dimension 1 is out of range"),
        ],
    )
)

_embed = register(
    Op(
        "diagonal_backward",
        ("input",),
        lambda B, g, *, offset, dim1, dim2, size: B.place_diagonal(g, offset, dim1, dim2, size),
        {"input": lambda K, g, offset, dim1, dim2: K.diagonal(g, offset=offset, dim1=dim1, dim2=dim2)},
        method=False,
        samples=[
            Sample((Input((3,)),), {"offset": 1, "dim1": 0, "dim2": 1, "size": (3, 4)}),
            Sample((Input((3, 2)),), {"offset": -1, "dim1": 2, "dim2": 0, "size": (2, 3, 4)}),
        ],
        reference=_placed,
    )
)


@public(
    _diagonal,
    samples=[
        Sample((Input((3, 4)),)),
        Sample((Input((3, 4)),), {"offset": -1}),
        Sample((Input((2, 3, 4)),), {"offset": 1, "dim1": -2, "dim2": -1}),
    ],
    reference=lambda x, offset=0, dim1=0, dim2=1: np.diagonal(x, offset, dim1, dim2),
)
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The view of a diagonal of two dimensions, as the last dimension; ``offset`` counts to the right of the main one.

    Raises:
        RuntimeError: when the two dimensions are one.
    """
    a, b = normalize_dims((dim1, dim2), input.ndim, "diagonal")
    return _diagonal.call(input, offset=offset, dim1=a, dim2=b)  # type: ignore[no-any-return]


def _embedded(x: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    out = np.apply_along_axis(lambda v: np.diag(v, offset), -1, x)
    return np.moveaxis(out, (-2, -1), (dim1, dim2))


@composite(
    samples=[
        Sample((Input((2, 3)),)),
        Sample((Input((2, 3)),), {"offset": -1}),
        Sample((Input((2, 3)),), {"offset": 1, "dim1": 0, "dim2": 2}),
    ],
    reference=_embedded,
    error_inputs=[ErrorInput(lambda tg: tg.ones(3).diag_embed(0, 1, 1), RuntimeError, "diag_embed: dim appears twice")],
)
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the last dimension on a diagonal of ``dim1`` and ``dim2``, and zeros elsewhere.

    Raises:
        RuntimeError: when the two dimensions are one.
    """
    need_ndim("diag_embed", input, 1)
    a, b = normalize_dims((dim1, dim2), input.ndim + 1, "diag_embed")
    if a > b:
        offset = -offset
    size = list(input.shape[:-1])
    for d in sorted((a, b)):
        size.insert(d, int(input.shape[-1]) + abs(offset))
    if a > b:
        a, b = b, a
    params = {"offset": offset, "dim1": a, "dim2": b, "size": tuple(size)}
    return _embed.call(input, **params)  # type: ignore[no-any-return]


@composite(
    samples=[Sample((Input((3,)),)), Sample((Input((3, 4)),)), Sample((Input((3, 4)),), {"diagonal": -1}), Sample((Input((2,)),), {"diagonal": 2})],
    reference=lambda x, diagonal=0: np.diag(x, diagonal),
    error_inputs=[ErrorInput(lambda tg: tg.ones(2, 2, 2).diag(), RuntimeError, r"diag: expected 1 or 2 dimensions, got shape \(2, 2, 2\)")],
)
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Of a vector, the matrix with it on a diagonal; of a matrix, a copy of a diagonal.

    Raises:
        RuntimeError: for other numbers of dimensions.
    """
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim != 2:
        raise RuntimeError(f"diag: expected 1 or 2 dimensions, got shape {tuple(input.shape)}; use diagonal() or diag_embed()")
    return input.diagonal(diagonal).clone()


@composite(samples=[Sample((Input((2, 2)),)), Sample((Input((2,)),), {"offset": -1})], reference=lambda x, offset=0: np.diagflat(x, offset))
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements, flattened, on a diagonal."""
    return diag_embed(reshape(input, input.numel()), offset)


@composite(
    samples=[Sample((Input((3, 4)),)), Sample((Input((3, 3)),))],
    reference=np.trace,
    error_inputs=[ErrorInput(lambda tg: tg.ones(3).trace(), RuntimeError, r"trace: expected a matrix, got shape \(3,\)")],
)
def trace(input: Tensor) -> Tensor:
    """The sum of the main diagonal of a matrix.

    Raises:
        RuntimeError: for another number of dimensions.
    """
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, got shape {tuple(input.shape)}")
    return sum_(diagonal(input))


# --------------------------------------------------------------------------------------------------------------- triangles


def _triangle(name: str, reference: Any) -> Op:
    return register(
        Op(
            name,
            ("input",),
            lambda B, x, *, diagonal: getattr(B, name)(x, diagonal),
            {"input": lambda K, g, diagonal: getattr(K, name)(g, diagonal=diagonal)},
            samples=[
                Sample((Input((3, 4)),), {"diagonal": 0}),
                Sample((Input((2, 4, 3)),), {"diagonal": -1}),
                Sample((Input((3, 3)),), {"diagonal": 1}),
                Sample((Input((0, 3)),), {"diagonal": 0}),
            ],
            reference=lambda x, diagonal: reference(x, diagonal),
            error_inputs=[ErrorInput(lambda tg: getattr(tg.ones(3), name)(), RuntimeError, rf"{name}: .* at least 2 dimensions, .*\(3,\)")],
        )
    )


_tril, _triu = _triangle("tril", np.tril), _triangle("triu", np.triu)
_TRIANGLES = [Sample((Input((3, 4)),)), Sample((Input((2, 4, 3)),), {"diagonal": 1}), Sample((Input((3, 3)),), {"diagonal": -1})]


@public(_tril, samples=_TRIANGLES, reference=lambda x, diagonal=0: np.tril(x, diagonal))
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """A copy of matrices with zeros above a diagonal.

    Raises:
        RuntimeError: for fewer than two dimensions.
    """
    need_ndim("tril", input, 2)
    return _tril.call(input, diagonal=diagonal)  # type: ignore[no-any-return]


@public(_triu, samples=_TRIANGLES, reference=lambda x, diagonal=0: np.triu(x, diagonal))
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """A copy of matrices with zeros below a diagonal.

    Raises:
        RuntimeError: for fewer than two dimensions.
    """
    need_ndim("triu", input, 2)
    return _triu.call(input, diagonal=diagonal)  # type: ignore[no-any-return]


@method
def tril_(self: Tensor, diagonal: int = 0) -> Tensor:
    """:func:`tril` in place; returns the tensor."""
    need_ndim("tril_", self, 2)
    return inplace.write(_tril, self, (), {"diagonal": diagonal})


@method
def triu_(self: Tensor, diagonal: int = 0) -> Tensor:
    """:func:`triu` in place; returns the tensor."""
    need_ndim("triu_", self, 2)
    return inplace.write(_triu, self, (), {"diagonal": diagonal})


def _triangle_indices(name: str, row: int, col: int, offset: int, dtype: Any, device: Any, upper: bool) -> Tensor:
    if row < 0 or col < 0:
        raise RuntimeError(f"{name}: row {row} and col {col} must not be negative")
    wanted = dtypes.int64 if dtype is None else dtypes.to_dtype(dtype)
    return wrap(made_on(to_device(device), "triangle_places", row, col, offset, upper, wanted.numpy))


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The places on and below a diagonal of a (row, col) matrix: shape (2, n), row by row.

    Raises:
        RuntimeError: for negative sizes.
    """
    return _triangle_indices("tril_indices", row, col, offset, dtype, device, upper=False)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The places on and above a diagonal of a (row, col) matrix: shape (2, n), row by row.

    Raises:
        RuntimeError: for negative sizes.
    """
    return _triangle_indices("triu_indices", row, col, offset, dtype, device, upper=True)

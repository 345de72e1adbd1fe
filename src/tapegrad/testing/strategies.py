"""Hypothesis strategies for tensors, to property-test models of your own. This module alone imports Hypothesis.

    @given(strategies.tensors(shape=(3, 4), requires_grad=True, dtype=tg.float64))
    def test_my_layer(x):
        check_grads(my_layer, x)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from .. import dtypes as _dtypes
from ..tensor import Tensor, wrap
from .layouts import LAYOUTS, arranged

Shape = tuple[int, ...]
_KINDS = {"bool": 0, "integer": 1, "floating": 2, "complex": 3}


def shapes(*, min_dims: int = 0, max_dims: int = 4, min_side: int = 0, max_side: int = 5) -> st.SearchStrategy[Shape]:
    """Shapes, 0-d and without elements included unless the limits exclude them; they shrink to small ones."""
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)


@st.composite
def broadcastable_shapes(
    draw: st.DrawFn, n: int = 2, *, min_dims: int = 0, max_dims: int = 4, min_side: int = 0, max_side: int = 5
) -> tuple[Shape, ...]:
    """``n`` shapes that broadcast together: one shape, with leading dimensions left out and others set to 1, ``n`` times.

    At least ``min_dims`` dimensions stay; sides are 1 also where ``min_side`` is larger.
    """
    full = draw(shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side))
    found = []
    for _ in range(n):
        dims = draw(st.integers(min_dims, len(full)))
        kept = full[len(full) - dims :]
        ones = draw(st.lists(st.booleans(), min_size=dims, max_size=dims))
        found.append(tuple(1 if one else side for side, one in zip(kept, ones, strict=True)))
    return tuple(found)


def dtypes(*kinds: str) -> st.SearchStrategy[_dtypes.dtype]:
    """Dtypes of these kinds: "bool", "integer", "floating", "complex". By default float32 and float64.

    Raises:
        ValueError: for another kind.
    """
    if not kinds:
        return st.sampled_from([_dtypes.float32, _dtypes.float64])
    if unknown := set(kinds) - set(_KINDS):
        raise ValueError(f"dtypes: unknown kinds {sorted(unknown)}; there are {', '.join(_KINDS)}")
    wanted = {_KINDS[kind] for kind in kinds}
    return st.sampled_from([d for d in _dtypes.ALL if d.category in wanted])


def layouts() -> st.SearchStrategy[str]:
    """Names of memory layouts: contiguous, transposed, negative strides, expanded (stride 0), offset (with gaps)."""
    return st.sampled_from(LAYOUTS)


@st.composite
def tensors(
    draw: st.DrawFn,
    shape: Shape | Sequence[int] | st.SearchStrategy[Shape] | None = None,
    dtype: Any = None,
    elements: tuple[float, float] | st.SearchStrategy[Any] = (-10.0, 10.0),
    *,
    requires_grad: bool | st.SearchStrategy[bool] = False,
    layout: str | st.SearchStrategy[str] | None = None,
) -> Tensor:
    """Tensors; every argument is a value or a strategy for one.

    Args:
        shape: by default from :func:`shapes`.
        dtype: anything that names a dtype; by default from :func:`dtypes`.
        elements: the range of values (both ends included; for complex numbers, of either part; cut to what the dtype
            holds), or a strategy for one element.
        requires_grad: must be False for integer and bool dtypes.
        layout: one of :func:`layouts`, by default any. "expanded" repeats elements.

    Raises:
        ValueError: for an empty range, or one without a value of the dtype.
    """
    size = draw(shape) if isinstance(shape, st.SearchStrategy) else draw(shapes()) if shape is None else tuple(shape)
    of = draw(dtypes()) if dtype is None else _dtypes.to_dtype(draw(dtype) if isinstance(dtype, st.SearchStrategy) else dtype)
    element = elements if isinstance(elements, st.SearchStrategy) else _elements(of, *elements)
    # NumPy has no bfloat16: a value is drawn as a float32, and is then rounded.
    drawn = np.float32 if of.numpy.kind == "V" or of.name == "bfloat16" else of.numpy
    array = draw(hnp.arrays(drawn, size, elements=element)).astype(of.numpy)
    name = draw(layouts()) if layout is None else draw(layout) if isinstance(layout, st.SearchStrategy) else layout
    tensor = wrap(arranged(array, name))
    needed = draw(requires_grad) if isinstance(requires_grad, st.SearchStrategy) else requires_grad
    return tensor.requires_grad_() if needed else tensor


def _elements(of: _dtypes.dtype, low: float, high: float) -> st.SearchStrategy[Any]:
    if not low <= high:
        raise ValueError(f"tensors: the range of elements, {low} to {high}, is empty")
    if of.category == 0:
        return st.booleans()
    if of.category == 1:
        info = _dtypes.iinfo(of)
        a, b = max(math.ceil(low), info.min), min(math.floor(high), info.max)
        if a > b:
            raise ValueError(f"tensors: {of} has no values from {low} to {high}")
        return st.integers(a, b)
    parts = {_dtypes.complex64: _dtypes.float32, _dtypes.complex128: _dtypes.float64}.get(of, of)
    number = _floats(parts, low, high)
    return st.builds(complex, number, number) if of.category == 3 else number


def _floats(of: _dtypes.dtype, low: float, high: float) -> st.SearchStrategy[float]:
    """Floats of this dtype in [low, high]: the ends are moved inwards to values that it has."""
    kind = np.dtype(np.float32) if of.name == "bfloat16" else of.numpy
    a, b = kind.type(low), kind.type(high)
    a = np.nextafter(a, kind.type(np.inf)) if float(a) < low else a
    b = np.nextafter(b, kind.type(-np.inf)) if float(b) > high else b
    if a > b:
        raise ValueError(f"tensors: {of} has no values from {low} to {high}")
    return st.floats(float(a), float(b), width={2: 16, 4: 32, 8: 64}[kind.itemsize])  # type: ignore[arg-type]

"""The strategies keep their promises, and reach what they are for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings, strategies as st

import tapegrad as tg
from tapegrad import dtypes
from tapegrad.tensor import Tensor
from tapegrad.testing import check_grads, strategies as tgst
from tapegrad.testing.layouts import LAYOUTS, arranged

REACH = settings(max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@given(tgst.shapes(min_dims=1, max_dims=3, min_side=2, max_side=4))
def test_shapes_stay_within_limits(shape: tuple[int, ...]) -> None:
    assert 1 <= len(shape) <= 3
    assert all(2 <= n <= 4 for n in shape)


@given(st.data(), st.integers(1, 4))
def test_broadcastable_shapes_broadcast(data: st.DataObject, n: int) -> None:
    shapes = data.draw(tgst.broadcastable_shapes(n, max_side=3))
    assert len(shapes) == n
    assert len(np.broadcast_shapes(*shapes)) == max(map(len, shapes))


@pytest.mark.parametrize(
    "wanted",
    [
        lambda s: s[0] != s[1] and all(s),
        lambda s: len(s[0]) > len(s[1]) > 0,
        lambda s: 1 in s[0] and s[1][-1:] == (3,),
        lambda s: s[0] == () and s[1] == (),
        lambda s: 0 in s[0],
    ],
)
def test_broadcastable_shapes_reach(wanted: Any) -> None:
    assert wanted(find(tgst.broadcastable_shapes(), wanted, settings=REACH))


@given(tgst.dtypes("integer", "bool"))
def test_dtypes_are_of_their_kinds(dtype: dtypes.dtype) -> None:
    assert dtype.category <= 1


def test_default_dtypes_and_unknown_kinds() -> None:
    for dtype in (tg.float32, tg.float64):
        assert find(tgst.dtypes(), lambda d, dtype=dtype: d is dtype, settings=REACH) is dtype
    with pytest.raises(ValueError, match=r"unknown kinds \['real'\]; there are bool, integer"):
        tgst.dtypes("real")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (5,), (), (0, 3)])
def test_arranged(layout: str, shape: tuple[int, ...]) -> None:
    values = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    laid = arranged(values, layout)
    assert laid.shape == shape
    assert laid.dtype == values.dtype
    assert not np.shares_memory(laid, values)
    np.testing.assert_array_equal(laid, np.broadcast_to(values[..., :1], shape) if layout == "expanded" and shape else values)
    if values.size > 1 and values.ndim > 1:
        strides = laid.strides
        assert {
            "contiguous": laid.flags.c_contiguous,
            "transposed": laid.flags.f_contiguous and not laid.flags.c_contiguous,
            "negative": all(s < 0 for s in strides),
            "expanded": strides[-1] == 0 and not laid.flags.writeable,
            "offset": all(s > 0 for s in strides) and not laid.flags.c_contiguous and not laid.flags.f_contiguous,
        }[layout]


def test_unknown_layout() -> None:
    with pytest.raises(ValueError, match="no layout 'fortran'; there are contiguous, transposed"):
        arranged(np.ones(3), "fortran")


@given(st.data(), st.sampled_from(dtypes.ALL), tgst.shapes(max_dims=3), tgst.layouts())
def test_tensors_are_what_was_asked_for(data: st.DataObject, dtype: dtypes.dtype, shape: tuple[int, ...], layout: str) -> None:
    x = data.draw(tgst.tensors(shape, dtype, (-3.0, 5.0), layout=layout))
    assert tuple(x.shape) == shape
    assert x.dtype is dtype
    assert not x.requires_grad
    a = x._array.astype(np.complex128)
    assert np.all((a.real >= -3) & (a.real <= 5) & (a.imag >= -3) & (a.imag <= 5))


@given(tgst.tensors(elements=(0.1, 0.3)))
def test_ends_that_the_dtype_does_not_have_are_not_crossed(x: Tensor) -> None:
    wide = x._array.astype(np.float64)
    assert np.all((wide >= 0.1) & (wide <= 0.3))


@given(tgst.tensors(shape=(2,), dtype="float64", elements=st.sampled_from([0.25, -8.0]), requires_grad=True))
def test_elements_may_be_a_strategy(x: Tensor) -> None:
    assert x.requires_grad
    assert x.is_leaf
    assert set(x.tolist()) <= {0.25, -8.0}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tensors_reach_every_layout(layout: str) -> None:
    def wanted(x: Tensor) -> bool:
        a = x._array
        if a.ndim < 2 or min(a.shape) < 2:
            return False
        return {
            "contiguous": a.flags.c_contiguous,
            "transposed": a.flags.f_contiguous,
            "negative": all(s < 0 for s in a.strides),
            "expanded": a.strides[-1] == 0,
            "offset": min(a.strides) > a.itemsize,
        }[layout]

    found = find(tgst.tensors(tgst.shapes(max_dims=2)), wanted, settings=REACH)
    assert found.shape == (2, 2), "it shrinks"


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (tgst.tensors((2,), "float32", (1.0, 0.0)), "is empty"),
        (tgst.tensors((2,), "int8", (200.0, 300.0)), "int8 has no values from 200"),
        (tgst.tensors((2,), "float16", (1.00001, 1.00002)), "float16 has no values from 1.00001"),
    ],
)
def test_impossible_elements(strategy: st.SearchStrategy[Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find(strategy, lambda x: True, settings=REACH)


@settings(max_examples=10)
@given(x=tgst.tensors(tgst.shapes(max_dims=2, max_side=3), tg.float64, (-2.0, 2.0), requires_grad=True))
def test_with_check_grads(x: Tensor) -> None:
    check_grads(lambda x: (x.tanh() * x).sum(), x, order=1)
